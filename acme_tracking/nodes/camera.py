"""
The camera node: publishes the images of a source, with camera_info, at the source's pace.

Images are read and published on a thread of their own, so that neither a blocking grab nor the
rendering of a scene keeps the executor from services, parameters and Ctrl-C.  A recorded source is
paced and complete; of a live one the newest image is published, and it is opened again when it
drops.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import math
import os
import sys
import threading
import time

from acme_tracking.messages import (
    camera_info_from_yaml,
    camera_info_of_size,
    image_to_compressed,
    image_to_msg,
    scale_camera_info,
)
from acme_tracking.nodes.managed import ManagedNode, run
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import Report
from acme_tracking.sources import (
    check_support,
    DEFAULT_RATE,
    is_live,
    LiveReader,
    open_source,
    Schedule,
)
import cv2
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

# Seconds between the arrival of the last awaited subscription and the first image: the publisher
# knows of the match before the other side does, and only then are images received.
SETTLE = 0.5
# Seconds that the process stays after its last message: shared memory goes away with it, and who
# listens must have read it.
LINGER = 0.5
# Seconds that acknowledgements of the last messages are waited for, by reliable subscriptions.
LAST_ACKNOWLEDGEMENTS = 2.0


@dataclass(frozen=True)
class CameraParameters:
    """The parameters of the camera node."""

    source: str = parameter(
        'synthetic', "'synthetic' (a rendered road), a video file, a folder of images, the index "
        'or path of a device, a URL (rtsp://, http:// ...), or gstreamer: and a pipeline that '
        'ends in appsink.', applies='configure')
    rate: float = parameter(
        0.0, 'Images per second; 0 for the rate of the source. A live source is thinned to it.',
        minimum=0.0, maximum=1000.0)
    loop: bool = parameter(False, 'Begin again at the end of a recorded source.')
    on_end: str = parameter(
        'exit', 'At the end of the source end the process, or stay and publish nothing.',
        choices=('exit', 'hold'))
    duration: float = parameter(
        0.0, 'End after so many seconds of the source; 0 for its own end.', minimum=0.0)
    width: int = parameter(
        0, 'Width to resize images to; 0 to keep it, or in proportion to the height.',
        minimum=0, maximum=8192, applies='configure')
    height: int = parameter(
        0, 'Height to resize images to; 0 to keep it, or in proportion to the width.',
        minimum=0, maximum=8192, applies='configure')
    frame_id: str = parameter(
        'camera_optical_frame', 'Frame of the headers: the optical frame of the camera.')
    camera_info_url: str = parameter(
        '', 'Calibration file (YAML of camera_calibration, a path or file://) for camera_info, '
        'scaled to the size of the images; empty for their size and zeros.', applies='configure')
    compressed: bool = parameter(
        False, 'Publish image_raw/compressed (JPEG) too.', applies='configure')
    jpeg_quality: int = parameter(80, 'Quality of compressed images.', minimum=1, maximum=100)
    wait_for_subscribers: int = parameter(
        0, 'A recorded source begins when its images have so many subscriptions, so that they get '
        'all of it.', minimum=0, maximum=1000)
    stream_timeout: float = parameter(
        5.0, 'A live source without an image for so many seconds is opened again.', minimum=0.1,
        maximum=600.0, applies='configure')
    reconnect_initial: float = parameter(
        0.5, 'Seconds until a live source that dropped is opened again; doubled after each '
        'failure.', minimum=0.01, maximum=600.0, applies='configure')
    reconnect_maximum: float = parameter(
        10.0, 'Longest time in seconds between two attempts.', minimum=0.01,
        maximum=3600.0, applies='configure')
    scene_width: int = parameter(640, 'Width of the rendered road.', minimum=64,
                                 maximum=8192, applies='configure')
    scene_height: int = parameter(360, 'Height of the rendered road.', minimum=64,
                                  maximum=8192, applies='configure')
    scene_seed: int = parameter(
        0, 'Chooses road, light and traffic of the rendered road.', minimum=0,
        applies='configure')
    scene_density: float = parameter(
        0.2, 'Traffic on the rendered road.', minimum=0.0, maximum=1.0, applies='configure')
    scene_target: str = parameter(
        '', 'One more object on the rendered road, which goes to and fro across the picture: car, '
        'truck, bus, motorcycle or person; empty for none.',
        choices=('', 'car', 'truck', 'bus', 'motorcycle', 'person'), applies='configure')
    scene_target_speed: float = parameter(
        4.0, 'Metres per second of scene_target.', minimum=0.01, maximum=50.0, applies='configure')
    scene_occlusion: list[float] = parameter(
        [], 'When a board hides scene_target (or else the object nearest to the middle) on the '
        'rendered road: [start, duration] in seconds; empty for never.', applies='configure')


class CameraNode(ManagedNode):
    """Publishes `image_raw`, `camera_info` and, when asked for, `image_raw/compressed`."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('camera', CameraParameters)
        self._source = self._reader = self._thread = None
        self._stopped = threading.Event()
        self._state, self._error = 'stopped', ''
        self._images = 0
        self._times = deque(maxlen=100)  # of the latest publications, on the monotonic clock

    # Lifecycle

    def configure(self):
        """Create the publishers; open a recorded source, so that a wrong one is known now."""
        wanted = self.parameters
        calibration = wanted.camera_info_url.removeprefix('file://')
        self._calibration = camera_info_from_yaml(calibration) if calibration else None
        check_support(wanted.source)
        self._source = None if is_live(wanted.source) else self._open()
        self._images, self._state, self._error = 0, 'stopped', ''
        self._pending = None  # read, but not yet due when the node was deactivated
        self._raw = self.publisher(Image, 'image_raw', IMAGE_QOS)
        self._info = self.publisher(CameraInfo, 'camera_info', RELIABLE_QOS)
        self._compressed = None
        if wanted.compressed:
            self._compressed = self.publisher(CompressedImage, 'image_raw/compressed', IMAGE_QOS)

    def activate(self):
        """Begin to publish; a recorded source goes on where it was stopped."""
        self._stopped = threading.Event()
        self._times.clear()
        if self._source is not None and self._state == 'ended':
            self._source.restart()
        if self._source is None:
            wanted = self.parameters
            self._reader = LiveReader(
                self._open, timeout=wanted.stream_timeout, initial=wanted.reconnect_initial,
                maximum=wanted.reconnect_maximum, stamp=self._now)
        work = self._publish_recorded if self._source else self._publish_live
        self._thread = threading.Thread(target=self._work, args=(work,), name='camera',
                                        daemon=True)
        self._thread.start()

    def deactivate(self):
        """Stop publishing."""
        self._stopped.set()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._state != 'ended':
            self._state = 'stopped'

    def cleanup(self):
        """Close a recorded source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open(self):
        wanted = self.parameters
        return open_source(
            wanted.source, timeout=wanted.stream_timeout, size=(wanted.width, wanted.height),
            width=wanted.scene_width, height=wanted.scene_height, seed=wanted.scene_seed,
            rate=wanted.rate or DEFAULT_RATE, density=wanted.scene_density,
            target=wanted.scene_target or None, target_speed=wanted.scene_target_speed,
            occlusion=wanted.scene_occlusion or None)

    # The thread

    def _work(self, publish):
        try:
            publish()
        except Exception as error:
            if not self._stopped.is_set() and self.context.ok():
                self._state, self._error = 'failed', str(error)
                self.get_logger().error(f'publishing failed: {error}')

    def _publish_recorded(self):
        if not self._wait_for_subscribers():
            return
        self._state = 'running'
        schedule, published = None, 0
        while (image := self._next_recorded(published)) is not None:
            rate = self.parameters.rate or self._source.rate
            if schedule is None or schedule.rate != rate:
                schedule = Schedule(rate)
            if not schedule.wait(self._stopped):
                self._pending = image
                return
            self._publish(image, self._now())
            published += 1
        self._end()

    def _next_recorded(self, published):
        """Return the next image; None at the end, the one that `duration` sets or the source."""
        wanted = self.parameters
        limit = math.ceil(wanted.duration * (wanted.rate or self._source.rate))
        if limit and published >= limit:
            return None
        image, self._pending = self._pending, None
        if image is None:
            image = self._source.read()
        if image is None and wanted.loop:
            self._source.restart()
            image = self._source.read()
        return image

    def _publish_live(self):
        begin, due = None, 0.0
        while not self._stopped.is_set():
            newest, duration = self._reader.next(0.1), self.parameters.duration
            now = time.monotonic()
            if begin is not None and duration and now - begin > duration:
                self._reader.close()
                self._end()
                return
            if newest is None:
                continue
            begin = begin or now
            period = 1 / self.parameters.rate if self.parameters.rate else 0.0
            # Half a period of tolerance: cameras are not exact either.
            if now >= due - period / 2:
                due = max(due + period, now)
                self._publish(*newest)

    def _wait_for_subscribers(self):
        wanted = self.parameters.wait_for_subscribers
        if self._listeners() < wanted:
            self._state = 'waiting'
            self.get_logger().info(f'waiting for {wanted} subscription(s) of the images')
        while self._listeners() < wanted:
            if self._stopped.wait(0.05):
                return False
        return not (wanted and self._stopped.wait(SETTLE))

    def _end(self):
        """Let the last images leave, say on /diagnostics that it was all, and end the process."""
        self._state = 'ended'
        self.get_logger().info(f'the source ended after {self._images} images')
        self._wait_until_delivered(self._raw, self._info, self._compressed)
        self.diagnose()
        if self.parameters.on_end == 'exit':
            self._wait_until_delivered(self._diagnostics)
            if not self._stopped.wait(LINGER):
                self.finish()

    def _wait_until_delivered(self, *publishers):
        deadline = time.monotonic() + LAST_ACKNOWLEDGEMENTS
        for publisher in filter(None, publishers):
            while not self._stopped.is_set() and time.monotonic() < deadline:
                if publisher.wait_for_all_acked(Duration(seconds=0.1)):
                    break

    # Publishing

    def _now(self):
        return self.get_clock().now().to_msg()

    def _listeners(self):
        """Count the subscriptions of the images, raw and compressed."""
        return sum(publisher.get_subscription_count()
                   for publisher in (self._raw, self._compressed) if publisher)

    def _publish(self, image, stamp):
        image = self._resized(image)
        header = Header(stamp=stamp, frame_id=self.parameters.frame_id)
        height, width = image.shape[:2]
        info = (scale_camera_info(self._calibration, width, height) if self._calibration
                else camera_info_of_size(width, height))
        info.header = header
        # To build a message costs more than to look whether anybody wants it.
        if self._raw.get_subscription_count():
            self._raw.publish(image_to_msg(image, header))
        if self._compressed and self._compressed.get_subscription_count():
            self._compressed.publish(image_to_compressed(
                image, header, quality=self.parameters.jpeg_quality))
        self._info.publish(info)
        self._images += 1
        self._times.append(time.monotonic())

    def _resized(self, image):
        height, width = image.shape[:2]
        wide, high = self.parameters.width, self.parameters.height
        if not (wide or high) or (wide, high) == (width, height):
            return image
        size = (wide or max(1, round(width * high / height)),
                high or max(1, round(height * wide / width)))
        smaller = size[0] * size[1] < width * height
        return cv2.resize(image, size,
                          interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    # Diagnostics

    def diagnose(self):
        """Report images, rate, the state of the source, and who listens."""
        state, error = self._state, self._error
        reader = self._reader
        if reader is not None and state != 'ended':
            state, error = reader.state, reader.error
        level = {'running': 'ok', 'ended': 'ok', 'waiting': 'warning',
                 'opening': 'warning'}.get(state, 'error')
        self.perform([Report(level, f'{state}: {error}' if error else state, {
            'source': self.parameters.source, 'state': state, 'images': self._images,
            'rate': round(self._rate(), 2), 'reconnects': reader.reconnects if reader else 0,
            'subscriptions': self._listeners()})])

    def _rate(self):
        """Return the images per second of the last seconds; 0 when none came lately."""
        times = [at for at in tuple(self._times) if at > time.monotonic() - 5.0]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def main():
    """Run the camera node."""
    status = run(CameraNode)
    if LiveReader.any_hangs():
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == '__main__':
    main()
