"""
Boxes: how they are written, compared and clipped.

Everywhere in the package a set of boxes is a float32 array of shape (N, 4) with the columns
x1, y1, x2, y2 in pixels of one image: the left, top, right and bottom edge, so that
``x2 - x1`` is the width.  The other notations exist only at the edges of the package (files,
messages) and are converted here.
"""
import math

import numpy as np


def as_boxes(boxes) -> np.ndarray:
    """
    Return `boxes` as a float32 array of shape (N, 4).

    One box of shape (4,) becomes (1, 4) and an empty sequence (0, 4).  Raises ValueError when the
    shape is another one.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f'boxes must have the shape (N, 4), got {np.shape(boxes)}')
    return array


def is_proper(boxes) -> np.ndarray:
    """Return bool (N,): finite boxes with a positive width and height."""
    boxes = as_boxes(boxes)
    return (np.isfinite(boxes).all(axis=1)
            & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def area(boxes) -> np.ndarray:
    """Return the areas, float32 (N,), in square pixels; 0 for inverted boxes."""
    boxes = as_boxes(boxes)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def iou(a, b) -> np.ndarray:
    """
    Return the intersection over union of every box in `a` with every box in `b`.

    `a` has the shape (N, 4), `b` (M, 4), the result float32 (N, M) with values in [0, 1].  A pair
    without any area, or with NaN in a box, has an IoU of 0.
    """
    a, b = as_boxes(a), as_boxes(b)
    top_left = np.maximum(a[:, np.newaxis, :2], b[np.newaxis, :, :2])
    bottom_right = np.minimum(a[:, np.newaxis, 2:], b[np.newaxis, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area(a)[:, np.newaxis] + area(b)[np.newaxis] - intersection
    positive = union > 0  # written so that NaN is no overlap
    return np.where(positive, intersection / np.where(positive, union, 1), 0).astype(np.float32)


def clip(boxes, width: int, height: int) -> np.ndarray:
    """Return the parts of the boxes, (N, 4), inside an image of `width` x `height` pixels."""
    limits = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(as_boxes(boxes), 0, limits)


def widen(boxes, margin: float) -> np.ndarray:
    """Return boxes (N, 4) with `margin` times their width and height added on each side."""
    boxes = as_boxes(boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + np.concatenate([-sides, sides], axis=1) * np.float32(margin)


def centers(boxes) -> np.ndarray:
    """Return the centres x, y of the boxes, float32 (N, 2)."""
    boxes = as_boxes(boxes)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def from_xywh(boxes) -> np.ndarray:
    """Return x1 y1 x2 y2 boxes of boxes written left, top, width, height (COCO, MOT, OpenCV)."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def to_xywh(boxes) -> np.ndarray:
    """Return x1 y1 x2 y2 boxes as left, top, width, height (COCO, MOT, OpenCV)."""
    boxes = as_boxes(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def from_center(boxes) -> np.ndarray:
    """Return x1 y1 x2 y2 boxes of boxes written centre x, centre y, width, height (messages)."""
    boxes = as_boxes(boxes)
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def extent_of_turned(width, height, radians: float):
    """Return the width and height of the upright box around one that is turned by an angle."""
    cosine, sine = abs(math.cos(radians)), abs(math.sin(radians))
    return width * cosine + height * sine, width * sine + height * cosine


def around_turned(boxes, degrees: float) -> np.ndarray:
    """Return the boxes (N, 4) around boxes that are turned on their centres by an angle."""
    boxes = to_center(boxes)
    boxes[:, 2], boxes[:, 3] = extent_of_turned(boxes[:, 2], boxes[:, 3], math.radians(degrees))
    return from_center(boxes)


def to_center(boxes) -> np.ndarray:
    """Return x1 y1 x2 y2 boxes as centre x, centre y, width, height (messages)."""
    boxes = as_boxes(boxes)
    return np.concatenate([centers(boxes), boxes[:, 2:] - boxes[:, :2]], axis=1)
