"""
The replay node: plays the images of a bag in real time, and records what the graph makes of them.

It is what `acme_tracking evaluate --live` starts beside detector and tracker.
"""
from __future__ import annotations

from dataclasses import dataclass
import functools
import threading
import time

from acme_tracking.bags.ahead import ahead
from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import DETECTIONS, quality_of_service
from acme_tracking.bags.writing import BagWriter
from acme_tracking.evaluation.live import PUBLISHED, READY, TOPICS
from acme_tracking.messages import image_to_msg, ns_to_stamp
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.quality import OFFERED_IMAGE_QOS
from acme_tracking.nodes.running import exit_with, run
from acme_tracking.parameters import parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tqdm import tqdm
from vision_msgs.msg import Detection2DArray

TRACKS_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
# After discovery the first messages may still be lost; and what is silent for so long is done.
SETTLE, SILENCE = 0.5, 5.0


@dataclass(frozen=True)
class ReplayParameters:
    """What to play, and where to record."""

    bag: str = parameter('', 'The bag to play.', applies='start')
    topic: str = parameter('image_raw', 'Its images.', applies='start')
    out: str = parameter('', 'The bag to record.', applies='start')
    rate: float = parameter(1.0, 'Speed, 1 for real time.', minimum=0.01, maximum=100.0,
                            applies='start')


class ReplayNode(ManagedNode):
    """Publishes `image_raw`; records tracks, detections, and when each image was published."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('replay', ReplayParameters)
        self._thread = self._writer = None
        self._stopped = threading.Event()

    def configure(self):
        """Open the bag to record, with a topic for what comes back and for the images' headers."""
        self._lock = threading.Lock()  # the images are published on a thread of their own
        self._writer = BagWriter(self.parameters.out)
        self._writer.__enter__()
        kept = quality_of_service(10, reliable=True)
        self._entries = {name: self._writer.topic(name, DETECTIONS, kept) for name in TOPICS}
        self._entries[PUBLISHED] = self._writer.topic(PUBLISHED, 'std_msgs/msg/Header', kept)
        self._images = self.publisher(Image, 'image_raw', OFFERED_IMAGE_QOS)

    def activate(self):
        """Begin to listen, and to play as soon as someone listens."""
        self._last_stamp, self._heard_at = None, time.monotonic()
        for name in TOPICS:
            self.subscription(Detection2DArray, name, functools.partial(self._record, name),
                              TRACKS_QOS)
        self._thread = threading.Thread(target=self._work, name='replay', daemon=True)
        self._thread.start()

    def deactivate(self):
        """Stop playing."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def cleanup(self):
        """Finish the recorded bag."""
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self._writer = None

    def _record(self, name, message):
        self._write(name, message)
        self._heard_at = time.monotonic()
        if name == TOPICS[0] and message.header.stamp == self._last_stamp:
            self.finish()

    def _write(self, name, message):
        with self._lock:
            self._writer.write(self._entries[name], time.time_ns(), message)

    def _work(self):
        try:
            self._play()
        except Exception as error:
            self.get_logger().error(f'playing failed: {error}')
            self.finish(1)
            return
        while not self._stopped.wait(0.1):
            if time.monotonic() - self._heard_at > SILENCE:
                self.finish()
                return

    def _play(self):
        while self._images.get_subscription_count() < READY:
            if self._stopped.wait(0.05):
                return
        if self._stopped.wait(SETTLE):
            return
        with BagReader(self.parameters.bag) as bag:
            count = next(item.count for item in bag.topics if item.name == self.parameters.topic)
            begin = last = None
            images = ahead(bag.images(self.parameters.topic))
            for stamp, recorded, image in tqdm(images, total=count, unit='image', desc='live'):
                if last is not None and stamp <= last:
                    continue
                last, begin = stamp, begin or (time.monotonic(), recorded)
                due = begin[0] + (recorded - begin[1]) * 1e-9 / self.parameters.rate
                if self._stopped.wait(max(0.0, due - time.monotonic())):
                    return
                self._publish(stamp, image)
        self._last_stamp = ns_to_stamp(last)
        self._heard_at = time.monotonic()

    def _publish(self, stamp, image):
        header = Header(stamp=ns_to_stamp(stamp), frame_id='camera_optical_frame')
        message = image_to_msg(image, header, 'mono8' if image.ndim == 2 else 'bgr8')
        self._write(PUBLISHED, header)
        self._images.publish(message)


def main():
    """Run the replay node."""
    exit_with(run(ReplayNode))


if __name__ == '__main__':
    main()
