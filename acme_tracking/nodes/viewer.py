"""Listens to a running graph for `acme_tracking view`."""
from __future__ import annotations

from collections.abc import Callable

from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.nodes.running import now, ros, until_shut_down
from acme_tracking.viewer.live import LiveRecording
from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray


class ViewerNode(Node):
    """Turns messages into a `LiveRecording`; passes over those that cannot be read."""

    def __init__(self, live: LiveRecording, namespace: str, compressed: bool):
        """Subscribe to the topics of a namespace, images raw or compressed."""
        super().__init__('viewer', namespace=namespace)
        self._live = live
        image = (CompressedImage, 'image_raw/compressed') if compressed else (Image, 'image_raw')
        print(f'Waiting for images on {self.resolve_topic_name(image[1])}.', flush=True)
        for message_type, topic, take, qos in (
                (*image, live.image, IMAGE_QOS),
                (Detection2DArray, 'tracks', live.tracks, RELIABLE_QOS),
                (Detection2DArray, 'detections', live.detections, RELIABLE_QOS),
                (DiagnosticArray, '/diagnostics', live.diagnostics, RELIABLE_QOS)):
            self.create_subscription(message_type, topic, self._guarded(topic, take), qos)

    def _guarded(self, topic, take):
        def call(message):
            try:
                take(now(), message)
            except ValueError as error:
                self.get_logger().warning(f'{topic}: {error}', throttle_duration_sec=5.0)
        return call


def follow(begin, namespace: str, compressed: bool, alive: Callable[[], bool]) -> None:
    """Show the graph below a namespace until Ctrl-C, or until `alive()` is false."""
    with ros():
        live = LiveRecording(begin, namespace)
        with until_shut_down():
            node = ViewerNode(live, namespace, compressed)
            while alive():
                rclpy.spin_once(node, timeout_sec=0.5)
        live.close()
