"""What every source of images is."""
from __future__ import annotations

from acme_tracking.positions.camera import Calibration
import numpy as np

DEFAULT_RATE = 30.0  # images per second of a video that does not say, and of a rendered scene
LOWEST_RATE, HIGHEST_RATE = 0.001, 1000.0  # what a source says beyond them is a mistake


class SourceUnavailable(OSError):
    """A device or stream that cannot be opened now; it may help to try again."""


class Source:
    """
    Images in order.

    rate: images per second, 0 when a live source does not say.  size: (width, height) in pixels of
    the first image.  live: whether the images come by themselves, now or never.  ended_early: what
    is missing of a recording that has ended, '' if nothing is.  offset: of the latest image of a
    recording that knows, nanoseconds since the first; None where images follow at `rate`.
    calibration: of the camera (`positions.camera.Calibration`), None when the source has none.
    """

    rate: float
    size: tuple[int, int]
    live = False
    ended_early = ''
    offset: int | None = None
    calibration: Calibration | None = None

    def read(self) -> np.ndarray | None:
        """Return the next image, uint8 BGR (H, W, 3); None at the end, or when a stream broke."""
        raise NotImplementedError

    def restart(self) -> None:
        """
        Begin again with the first image of a recorded source.

        Raises FileNotFoundError or ValueError when what was recorded is there no more.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give the source back; it cannot be read any more."""
