"""What comes by itself: a device, a network stream or a pipeline as a source."""
from __future__ import annotations

from acme_tracking.sources.source import HIGHEST_RATE, LOWEST_RATE, Source, SourceUnavailable
import cv2

GSTREAMER = 'gstreamer:'


class StreamSource(Source):
    """A device, a network stream or a GStreamer pipeline; `read` may block up to `timeout` s."""

    live = True

    def __init__(self, spec: str, timeout: float = 5.0, size: tuple[int, int] = (0, 0)):
        """
        Open `spec` as `open_source` reads it, in at most `timeout` seconds where OpenCV can.

        A device is asked for images of `size` (width, height); (0, 0) leaves it its own.
        """
        self._capture = _capture(spec, timeout, size)
        image = self._next() if self._capture.isOpened() else None
        if image is None:
            self._capture.release()
            raise SourceUnavailable(
                f'cannot open {spec}: no such device or stream, no permission, or no image')
        self._first = image
        self.size = image.shape[1::-1]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if LOWEST_RATE <= rate <= HIGHEST_RATE else 0.0

    def read(self):
        """Wait for the next image."""
        if self._first is not None:
            image, self._first = self._first, None
            return image
        return self._next()

    def _next(self):
        """Return the next image; a pipeline may give gray ones."""
        image = self._capture.read()[1]
        gray = image is not None and image.ndim == 2
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if gray else image

    def close(self):
        """Close the connection."""
        self._capture.release()


def _capture(spec, timeout, size):
    if spec.startswith(GSTREAMER):
        return cv2.VideoCapture(spec.removeprefix(GSTREAMER), cv2.CAP_GSTREAMER)
    if '://' in spec:
        limit = int(timeout * 1000)
        return cv2.VideoCapture(spec, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit,
                                                       cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit])
    capture = cv2.VideoCapture(int(spec) if spec.isdecimal() else spec, cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits in a queue is old when it is read
    for attribute, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size):
        if value:
            capture.set(attribute, value)
    return capture
