"""A video file as a source."""
from __future__ import annotations

import os
from pathlib import Path

from acme_tracking.sources.pacing import period_ns
from acme_tracking.sources.source import DEFAULT_RATE, HIGHEST_RATE, LOWEST_RATE, Source
import cv2

# Containers that state how many images they hold; of others OpenCV guesses from the duration.
COUNTED = {'.avi', '.m4v', '.mov', '.mp4'}
# So many may be missing without a word: an edit list or the last reordered image.
TOLERATED = 2
# FFmpeg then says nothing of its own about a broken file, beside what is said here; read when the
# first is opened.
QUIET = 'OPENCV_FFMPEG_LOGLEVEL', '-8'


class VideoSource(Source):
    """
    A video file, to its end, upright; `ended_early` when images are missing that it announces.

    OpenCV turns the images of a camera that was held upright, as the file says.
    """

    def __init__(self, path: Path):
        """Open `path`; raise ValueError when it is not a video that OpenCV reads."""
        self._path = path
        self._capture = None
        self.restart()
        first = self.read()
        if first is None:
            raise self._no_video()
        self.size = first.shape[1::-1]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if LOWEST_RATE <= rate <= HIGHEST_RATE else DEFAULT_RATE
        self.restart()

    def read(self):
        """Return the next image."""
        image = self._capture.read()[1]
        if image is not None:
            self._count += 1
            self.offset = self._offset_of(round(1e6 * self._capture.get(cv2.CAP_PROP_POS_MSEC)))
        elif 0 < self._count < self._announced - TOLERATED and not self.ended_early:
            self.ended_early = f'{self._count} of {self._announced} images'
        return image

    def restart(self):
        """Open the file again, which is exact where seeking is not."""
        self.close()
        os.environ.setdefault(*QUIET)
        self._capture = cv2.VideoCapture(str(self._path))
        if not self._capture.isOpened():
            raise self._no_video()
        counted = self._path.suffix.lower() in COUNTED
        self._announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) if counted else 0
        self._count, self._begin, self.offset, self.ended_early = 0, 0, None, ''

    def close(self):
        """Close the file."""
        if self._capture is not None:
            self._capture.release()

    def _offset_of(self, time):
        """Return when an image is due by its own stamp, or if that is none, after the last one."""
        if self.offset is None:
            self._begin = time
            return 0
        own = time - self._begin
        return own if own > self.offset else self.offset + period_ns(self.rate)

    def _no_video(self):
        if not self._path.is_file():
            return FileNotFoundError(f'{self._path} is there no more')
        return ValueError(f'{self._path} is not a video that OpenCV reads')
