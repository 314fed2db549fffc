"""
Views: the parts of an image that a network looks at, and the way of its boxes back.

A view is x1 y1 x2 y2 in pixels of the image; it is resized to a (width, height) of the input.
"""
from __future__ import annotations

import cv2
import numpy as np

STRIDE = 32  # width and height of our network's input are multiples of it
TILE_OVERLAP = 0.2  # of a tile's sides: what is smaller lies whole in one of the tiles
CUT = 4.0  # pixels of the input: a box so near to where a tile was cut shows part of an object


def input_size(width: int, height: int, side: int) -> tuple:
    """
    Return the (width, height) that an image is resized to, multiples of the network's stride.

    Its area is about `side` * `side` and its aspect the image's, up to the rounding.
    """
    scale = side / (width * height) ** 0.5
    return tuple(max(STRIDE, round(length * scale / STRIDE) * STRIDE)
                 for length in (width, height))


def views_of(width: int, height: int, tiles: int) -> np.ndarray:
    """
    Return the parts of an image to look at, int (V, 4) as x1 y1 x2 y2: the whole, then the tiles.

    There are `tiles` columns and rows of equal tiles, which overlap by TILE_OVERLAP; none for 1.
    """
    whole = np.array([[0, 0, width, height]])
    if tiles == 1:
        return whole
    side = np.array([width, height]) / (tiles - (tiles - 1) * TILE_OVERLAP)
    columns, rows = np.meshgrid(np.arange(tiles), np.arange(tiles))
    first = np.stack([columns.ravel(), rows.ravel()], axis=1) * side * (1 - TILE_OVERLAP)
    first = np.minimum(first.astype(int), np.array([width, height]) - 1)
    last = np.minimum(np.ceil(first + side).astype(int), (width, height))
    return np.concatenate([whole, np.concatenate([first, last], axis=1)])


def resized(image, size):
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def is_cut(boxes, view, size, width, height):
    """Return bool (P,): boxes of a view, in pixels of the input, that end where it was cut."""
    cut = np.array([view[0] > 0, view[1] > 0, view[2] < width, view[3] < height])
    gaps = np.concatenate([boxes[:, :2], np.array(size) - boxes[:, 2:]], axis=1)
    return ((gaps < CUT) & cut).any(axis=1)


def in_image(boxes, view, size):
    """Bring boxes (P, 4) of a view from pixels of the input to pixels of the image."""
    scale = np.array([(view[2] - view[0]) / size[0], (view[3] - view[1]) / size[1]] * 2)
    return (boxes * scale + np.tile(view[:2], 2)).astype(np.float32)
