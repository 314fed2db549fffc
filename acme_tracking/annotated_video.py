"""A video of images with their tracks drawn on them, made on a thread of its own."""
from __future__ import annotations

from collections.abc import Callable
import itertools
from pathlib import Path
import queue
import threading

from acme_tracking.drawing import draw_tracks
from acme_tracking.sources.resizing import resized
import cv2

RATE_FRAMES = 20  # the frames that the rate is taken from


class AnnotatedVideo:
    """Draws and encodes frames in order, at the mean rate of the stamps of the first ones."""

    def __init__(self, path: Path, told: Callable[[str], None]):
        """Write to `path`; `told(error)` is called on the thread after each frame, '' if well."""
        self.error = ''
        self._path, self._told = path, told
        self._frames = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name='annotated video', daemon=True)
        self._thread.start()

    def write(self, stamp: int, read: Callable, tracks, label: str) -> None:
        """
        Append a frame with its stamp in nanoseconds, its tracks and a label.

        `read()` returns the image, uint8 BGR (H, W, 3); when it raises ValueError, the frame is
        left out.
        """
        self._frames.put((stamp, read, tracks, label))

    def close(self) -> None:
        """Finish the file, and return when it is complete; OSError says what is wrong with it."""
        self._frames.put(None)
        self._thread.join()
        if self.error:
            raise OSError(self.error)

    def _run(self):
        try:
            self._encode()
        except Exception as error:
            self.error = str(error)
            self._told(self.error)

    def _encode(self):
        drawn = filter(None, map(self._draw, iter(self._frames.get, None)))
        head = list(itertools.islice(drawn, RATE_FRAMES))
        if not head:
            return
        seconds = (head[-1][0] - head[0][0]) * 1e-9
        rate = (len(head) - 1) / seconds if seconds > 0 else 10.0
        size = head[0][1].shape[1::-1]
        encoder = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size)
        if not encoder.isOpened():
            raise OSError(f'{self._path} cannot be written')
        count = 0
        for _, picture in itertools.chain(head, drawn):
            encoder.write(resized(picture, *size))
            count += 1
        encoder.release()
        self._check(count)

    def _draw(self, frame):
        stamp, read, tracks, label = frame
        try:
            picture = draw_tracks(read(), tracks, label)
        except ValueError:
            picture = None
        self._told('')
        return None if picture is None else (stamp, picture)

    def _check(self, count):
        """Look whether the frames are there: OpenCV does not say when a disk is full."""
        capture = cv2.VideoCapture(str(self._path))
        found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if found < count:
            raise OSError(f'{self._path} has {found} of {count} frames: is the disk full?')
