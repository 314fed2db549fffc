"""Non-maximum suppression: of boxes that overlap, keep the one with the highest score."""
from acme_tracking.geometry import as_boxes, iou
import numpy as np


def suppress(boxes, scores, threshold: float, limit: int | None = None) -> np.ndarray:
    """
    Return the indices of the boxes to keep, by falling score; equal scores keep their order.

    A box goes when its IoU with a kept one is above `threshold`.  `boxes` has the shape (N, 4),
    `scores` (N,); `limit` ends the search after so many kept boxes.
    """
    boxes = as_boxes(boxes)
    rest = np.argsort(-np.asarray(scores), kind='stable')
    keep = []
    while len(rest) and (limit is None or len(keep) < limit):
        best, rest = rest[0], rest[1:]
        keep.append(best)
        rest = rest[iou(boxes[best], boxes[rest])[0] <= threshold]
    return np.array(keep, dtype=np.intp)
