"""
How well does a box fit the object it was started on?  Judged by looks alone.

A tracker that learns as it goes is content with whatever it has drifted to.  What the object
looked like at first does not drift: through the true box, and also through boxes that miss it by
some pixels or by their size.  If the image in a box agrees best with what a box that misses would
show, then it misses.
"""
from __future__ import annotations

from acme_tracking import geometry
import cv2
import numpy as np

# The image in a box and around it (CONTEXT times its size: an outline tells more of a size than an
# inside) is reduced to SIDE x SIDE cells, each the mean of SAMPLES x SAMPLES pixels, so that the
# cost is the same for objects of any size.
CONTEXT, SIDE, SAMPLES = 1.25, 16, 3
# Boxes that miss: larger or smaller by these factors, aside by up to REACH cells.
SCALES = (0.62, 0.8, 1.0, 1.25, 1.6)
REACH = 3
# How much of the present looks is mixed in by `learn`.
LEARNING_RATE = 0.2


class Agreement:
    """The looks of one object."""

    def __init__(self, image: np.ndarray, box: np.ndarray):
        """Remember what is in `box`, float (4,), of an image, uint8 (H, W, 3) or (H, W)."""
        self._looks = _looks_through_misses(image, box)

    def quality(self, image: np.ndarray, box: np.ndarray) -> float:
        """
        Return how well `box` fits the object, in [0, 1]; 1 on the image it was made with.

        It is the greatest product, over the boxes that miss, of their normalised cross-correlation
        with what is seen (J. P. Lewis, Fast Normalized Cross-Correlation, 1995) and of their IoU
        with the true box.
        """
        seen = _normalized(_see(image, box, CONTEXT, SIDE).reshape(1, -1))[0]
        return float(np.clip((self._looks @ seen * _OVERLAPS).max(), 0, 1))

    def learn(self, image: np.ndarray, box: np.ndarray) -> None:
        """Mix in the present looks, where `box` is likely to be right."""
        present = _looks_through_misses(image, box)
        self._looks = _normalized(self._looks + LEARNING_RATE * (present - self._looks))


def _looks_through_misses(image, box):
    """Return float32 (boxes that miss, SIDE * SIDE), each of mean 0 and norm 1."""
    cells = SIDE + 2 * REACH
    rows = [np.lib.stride_tricks.sliding_window_view(
        _see(image, box, CONTEXT * scale * cells / SIDE, cells), (SIDE, SIDE)
    ).reshape(-1, SIDE * SIDE) for scale in SCALES]
    return _normalized(np.concatenate(rows))


def _overlaps():
    """Return the IoU of each box that misses with the true one, in the order of the looks."""
    boxes = []
    for scale in SCALES:
        aside = np.arange(-REACH, REACH + 1) * scale * CONTEXT / SIDE
        boxes += [(x, y, scale, scale) for y in aside for x in aside]
    return geometry.iou(geometry.from_center((0, 0, 1, 1)), geometry.from_center(boxes))[0]


_OVERLAPS = _overlaps()


def _see(image, box, context, cells):
    """Return `context` times the box in grey, float32 (cells, cells); borders are continued."""
    height, width = image.shape[:2]
    steps = context * ((np.arange(cells * SAMPLES) + 0.5) / (cells * SAMPLES) - 0.5)
    (x, y, w, h), = geometry.to_center(box).tolist()
    columns = np.clip(x + steps * w, 0, width - 1).astype(int)
    rows = np.clip(y + steps * h, 0, height - 1).astype(int)
    pixels = image[rows[:, np.newaxis], columns]
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return cv2.resize(pixels.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)


def _normalized(rows):
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0.01, norms, np.inf)  # nothing agrees with a blank
