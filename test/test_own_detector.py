"""The example of a detector of one's own does what its page says, with the tracker as it is."""
from pathlib import Path
import subprocess
import sys

from acme_tracking.messages import detections_from_msg, image_to_msg, ns_to_stamp
from acme_tracking.nodes.quality import IMAGE_QOS
from acme_tracking.nodes.tracker import TrackerNode
import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

DOCS = Path(__file__).resolve().parent.parent / 'docs'
EXAMPLE = DOCS / 'examples' / 'own_detector.py'
NOISE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)


def picture(index):
    """Return an image with something bright that goes to and fro."""
    image = NOISE // 4
    left = 20 + abs(index * 3 % 240 - 120)
    image[40:70, left:left + 40] = 200 + NOISE[40:70, :40] // 5
    return image, [left, 40, left + 40, 70]


def test_it_is_the_one_on_the_page():
    assert f'```python\n{EXAMPLE.read_text()}```' in (DOCS / 'own_detector.md').read_text()


def test_the_tracker_asks_it_and_follows_what_it_finds(graph):
    assert graph.add(TrackerNode()).start()
    images = graph.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
    sent, good = {}, []

    def compare(message):
        stamp = message.header.stamp.sec
        tracks = detections_from_msg(message)
        good.extend(label for box, label in zip(tracks.boxes, tracks.labels)
                    if np.abs(box - sent[stamp]).max() < 8)
    graph.node.create_subscription(Detection2DArray, 'tracks', compare, 10)
    with subprocess.Popen([sys.executable, str(EXAMPLE)]) as example:
        try:
            graph.wait_until(lambda: images.get_subscription_count() == 2)

            def publish():
                index = len(sent) + 1
                image, sent[index] = picture(index)
                images.publish(image_to_msg(image, Header(stamp=ns_to_stamp(index * 10**9))))
                graph.executor.spin_once(timeout_sec=0.05)
                return len(good) >= 5
            graph.wait_until(publish)
        finally:
            example.terminate()
    assert set(good) == {'object'}
