"""The topics of a camera: images, their calibration, and compressed images when asked for."""
from __future__ import annotations

import threading
import time

from acme_tracking.files import local_path
from acme_tracking.messages import (
    calibration_to_msg,
    camera_info_from_yaml,
    camera_info_of_size,
    image_to_compressed,
    image_to_msg,
    scale_camera_info,
)
from acme_tracking.nodes.quality import OFFERED_IMAGE_QOS, RELIABLE_QOS
from acme_tracking.positions.camera import Calibration
from acme_tracking.sources.resizing import resized
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

# Seconds that acknowledgements of the last messages are waited for, by reliable subscriptions.
LAST_ACKNOWLEDGEMENTS = 2.0


class ImagePublishers:
    """Publishes images with their calibration, in the size and the forms that are asked for."""

    def __init__(self, node, calibration: Calibration | None = None):
        """
        Create those of a camera node; raises OSError or ValueError for a wrong calibration.

        calibration: of the source, which one that the parameters name takes the place of.
        """
        wanted = node.parameters
        self._calibration = calibration and calibration_to_msg(calibration)
        if wanted.camera_info_url:
            self._calibration = camera_info_from_yaml(local_path(wanted.camera_info_url))
        self._size = wanted.width, wanted.height
        self._raw = node.publisher(Image, 'image_raw', OFFERED_IMAGE_QOS)
        self._info = node.publisher(CameraInfo, 'camera_info', RELIABLE_QOS)
        self._compressed = None
        if wanted.compressed:
            self._compressed = node.publisher(CompressedImage, 'image_raw/compressed',
                                              OFFERED_IMAGE_QOS)

    @property
    def all(self) -> tuple:  # noqa: A003
        """The publishers, None in place of one that is not there."""
        return self._raw, self._info, self._compressed

    def listeners(self) -> int:
        """Count the subscriptions of the images, raw and compressed."""
        return sum(publisher.get_subscription_count()
                   for publisher in (self._raw, self._compressed) if publisher)

    def publish(self, image, header, quality: int) -> None:
        """Publish an image, uint8 BGR (H, W, 3); `quality` is that of JPEG."""
        image = resized(image, *self._size)
        height, width = image.shape[:2]
        info = (scale_camera_info(self._calibration, width, height) if self._calibration
                else camera_info_of_size(width, height))
        info.header = header
        # To build a message costs more than to look whether anybody wants it.
        if self._raw.get_subscription_count():
            self._raw.publish(image_to_msg(image, header))
        if self._compressed and self._compressed.get_subscription_count():
            self._compressed.publish(image_to_compressed(image, header, quality=quality))
        self._info.publish(info)


def wait_until_delivered(stopped: threading.Event, *publishers) -> None:
    """Wait until reliable subscriptions have what was published; not for ever, nor if None."""
    deadline = time.monotonic() + LAST_ACKNOWLEDGEMENTS
    for publisher in filter(None, publishers):
        while not stopped.is_set() and time.monotonic() < deadline:
            if publisher.wait_for_all_acked(Duration(seconds=0.1)):
                break
