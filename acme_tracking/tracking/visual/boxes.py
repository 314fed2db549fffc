"""The box that a visual tracker starts on."""
from acme_tracking import geometry
import numpy as np


def starting_box(image: np.ndarray, box) -> np.ndarray:
    """
    Return the box, float32 (4,), of an object to follow from this image on.

    Raises ValueError when it is not finite, or covers less than one pixel of the image.
    """
    boxes = geometry.as_boxes(box)
    height, width = image.shape[:2]
    visible = geometry.clip(boxes, width, height)
    if (len(boxes) != 1 or not geometry.is_proper(boxes)[0]
            or not geometry.area(visible)[0] >= 1):
        raise ValueError(f'a tracker must start on a box inside the {width} x {height} image, '
                         f'got {boxes.tolist()}')
    return boxes[0]
