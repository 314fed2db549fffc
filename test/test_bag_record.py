"""Recording a running graph: real publishers, a real process, a bag at the end."""
from collections import Counter
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking.bags.reading import BagReader  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.messages import image_to_msg  # noqa: E402
from acme_tracking.nodes.bag_recorder import BagRecorder, find_class  # noqa: E402
import numpy as np  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402


def test_topics_are_recorded_as_they_appear(graph, tmp_path):
    counts = Counter()
    with BagWriter(tmp_path / 'bag') as writer:
        graph.add(BagRecorder(writer, ['/front/image_raw', '/front/tracks'], counts))
        pictures = graph.node.create_publisher(Image, '/front/image_raw', qos_profile_sensor_data)
        graph.wait_until(pictures.get_subscription_count)
        tracks = graph.node.create_publisher(Detection2DArray, '/front/tracks', 10)
        graph.wait_until(tracks.get_subscription_count)
        message = image_to_msg(np.full((24, 32, 3), 7, np.uint8), Header())
        for stamp in range(1, 6):
            message.header.stamp.sec = stamp
            tracks.publish(Detection2DArray(header=message.header))
        graph.wait_until(lambda: counts['/front/tracks'] == 5)

        def an_image_arrives():
            pictures.publish(message)  # best effort: it may be lost
            return counts['/front/image_raw']
        graph.wait_until(an_image_arrives)
    with BagReader(tmp_path / 'bag') as reader:
        offered = {topic.name: topic.qos[0].reliability.name for topic in reader.topics}
        assert list(reader.detections('/front/tracks')) == [k * 10**9 for k in range(1, 6)]
        read = list(reader.images('/front/image_raw'))
    assert offered == {'/front/image_raw': 'BEST_EFFORT', '/front/tracks': 'RELIABLE'}
    assert read and all((image == 7).all() for _, _, image in read)
    assert [time for _, time, _ in read] == sorted(time for _, time, _ in read)


INTERRUPTED = """
import rclpy, sys
from acme_tracking.nodes import bag_recorder
def spin_once(node, timeout_sec):
    rclpy.shutdown()
    node.create_timer(1.0, print)
rclpy.spin_once = spin_once
print(bag_recorder.record(sys.argv[1], 'mcap', ['/front/tracks']))
"""


def test_ctrl_c_while_rclpy_makes_a_timer_ends_the_recording_too(tmp_path):
    printed = subprocess.run([sys.executable, '-c', INTERRUPTED, str(tmp_path / 'bag')],
                             stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert printed == '{}\n'
    with BagReader(tmp_path / 'bag') as reader:
        assert not reader.topics


def test_ctrl_c_ends_the_recording_with_a_readable_bag(graph, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'acme_tracking', 'bag', 'record', str(tmp_path / 'bag'),
         '--namespace', 'front', '--topics', 'tracks'], stdout=subprocess.PIPE, text=True)
    try:
        tracks = graph.node.create_publisher(Detection2DArray, '/front/tracks', 10)
        graph.wait_until(tracks.get_subscription_count)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1 and 'Nothing was published' in printed
    with BagReader(tmp_path / 'bag') as reader:
        assert [topic.name for topic in reader.topics] == ['/front/tracks']


def test_nothing_published_is_said(tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'acme_tracking', 'bag', 'record', str(tmp_path / 'bag'),
         '--seconds', '0.5'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and 'Nothing was published' in result.stdout
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.topics == []


def test_a_type_that_is_not_installed_is_unknown(monkeypatch):
    assert find_class('std_msgs/msg/Header') is Header
    assert find_class('odd_msgs/msg/Odd') is None
    monkeypatch.setitem(sys.modules, 'std_msgs.msg', None)
    assert find_class('std_msgs/msg/Header') is None, 'bags know its fields, ROS does not'
