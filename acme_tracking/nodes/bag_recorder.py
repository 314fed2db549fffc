"""Records topics of a running graph into a bag: what `acme_tracking bag record` runs."""
from __future__ import annotations

from collections import Counter
import functools
import importlib
import time

from acme_tracking.bags.topics import quality_of_service, typestore
from acme_tracking.bags.writing import BagWriter
from acme_tracking.nodes.running import ros, until_shut_down
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

# How often to look for topics that were not there yet, in seconds.
LOOK_EVERY = 0.2
DEPTH = 100  # deeper than a consumer needs: a slow disk must not lose what others received


class BagRecorder(Node):
    """Subscribes to topics as they appear, with the QoS they are offered with."""

    def __init__(self, writer: BagWriter, topics, counts: Counter):
        """Record the topics (absolute names) into an open bag; count the messages of each."""
        super().__init__('bag_recorder')
        self._counts = counts
        self._writer, self._missing = writer, set(topics)
        self.create_timer(LOOK_EVERY, self._look)

    def _look(self):
        """Subscribe to what is published by now; rosbag2 also takes messages as they are sent."""
        for topic in sorted(self._missing):
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            self._missing.remove(topic)
            message_type = publishers[0].topic_type
            message_class = find_class(message_type)
            if message_class is None:
                self.get_logger().warning(f'{topic} is left out: its type {message_type} is '
                                          'unknown here')
                continue
            self._subscribe(topic, message_type, message_class, all(
                info.qos_profile.reliability is ReliabilityPolicy.RELIABLE
                for info in publishers))

    def _subscribe(self, topic, message_type, message_class, reliable):
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE if reliable
                         else ReliabilityPolicy.BEST_EFFORT)
        entry = self._writer.topic(topic, message_type, quality_of_service(10, reliable))
        self.create_subscription(message_class, topic, functools.partial(self._write, entry), qos,
                                 raw=True)

    def _write(self, entry, data):
        self._writer.write(entry, self.get_clock().now().nanoseconds, bytes(data))
        self._counts[entry.topic] += 1


def find_class(message_type: str):
    """Return the class of a type such as std_msgs/msg/Header; None where it is not installed."""
    if message_type not in typestore().fielddefs:
        return None
    package, _, name = message_type.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None  # bags know its fields, ROS does not


def record(path, storage: str, topics, seconds: float = 0.0) -> dict[str, int]:
    """
    Record until Ctrl-C, or for `seconds` if not 0; return the number of messages by topic.

    Raises FileExistsError where there is something at `path` already.
    """
    end = time.monotonic() + (seconds or float('inf'))
    counts = Counter()
    with ros(), BagWriter(path, storage) as writer, until_shut_down():
        node = BagRecorder(writer, topics, counts)
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
    return dict(counts)
