"""
A video of images with their tracks drawn on them, made on a thread of its own.

Of several cameras it shows the latest frame of each, side by side.
"""
from __future__ import annotations

from collections.abc import Callable
import itertools
import math
from pathlib import Path
import queue
import threading

from acme_tracking.drawing import draw_tracks
from acme_tracking.sources.resizing import resized
import cv2
import numpy as np

RATE_FRAMES = 20  # the frames that the rate is taken from
WIDTH = 1920  # what several cameras are shrunk to, together


class AnnotatedVideo:
    """
    Draws and encodes frames in order, at the mean rate of the stamps of the first ones.

    Those of the first camera set the pace.
    """

    def __init__(self, path: Path, told: Callable[[str, int], None], cameras: int = 1):
        """
        Write the frames of so many cameras to `path`.

        `told(error, camera)` is called on the thread after each frame, with '' if all is well.
        """
        self.error = ''
        self._path, self._told = path, told
        self._latest = [None] * cameras
        self._frames = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name='annotated video', daemon=True)
        self._thread.start()

    def write(self, stamp: int, read: Callable, tracks, label: str, camera: int = 0) -> None:
        """
        Append a frame of a camera with its stamp in nanoseconds, its tracks and a label.

        `read()` returns the image, uint8 BGR (H, W, 3); when it raises ValueError, the frame is
        left out.
        """
        self._frames.put((stamp, read, tracks, label, camera))

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
            self._told(self.error, 0)

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
        stamp, read, tracks, label, camera = frame
        try:
            self._latest[camera] = draw_tracks(read(), tracks, label)
            shown = camera == 0
        except ValueError:
            shown = False
        self._told('', camera)
        return (stamp, side_by_side(self._latest)) if shown else None

    def _check(self, count):
        """Look whether the frames are there: OpenCV does not say when a disk is full."""
        capture = cv2.VideoCapture(str(self._path))
        found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if found < count:
            raise OSError(f'{self._path} has {found} of {count} frames: is the disk full?')


def side_by_side(pictures) -> np.ndarray:
    """
    Return pictures, uint8 (H, W, 3), as one, in rows; all have the size of the first.

    None is black.  Several are shrunk when they would be wider than WIDTH together.
    """
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(len(pictures) ** 0.5)
    height, width = pictures[0].shape[:2]
    scale = min(1, WIDTH / (columns * width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    black = np.zeros((size[1], size[0], 3), np.uint8)
    tiles = [black if picture is None else resized(picture, *size) for picture in pictures]
    tiles += [black] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[first:first + columns])
                      for first in range(0, len(tiles), columns)])
