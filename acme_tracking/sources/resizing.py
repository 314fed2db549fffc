"""Images in the size that is asked for."""
from __future__ import annotations

import cv2
import numpy as np


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return an image in this size; 0 keeps a side, or its proportion when only one is 0."""
    high, wide = image.shape[:2]
    if not (width or height) or (width, height) == (wide, high):
        return image
    size = (width or max(1, round(wide * height / high)),
            height or max(1, round(high * width / wide)))
    smaller = size[0] * size[1] < wide * high
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
