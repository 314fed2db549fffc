"""Non-maximum suppression: of boxes that overlap, keep the one with the highest score."""
from acme_tracking.detection.options import ONE_OBJECT_IOU
from acme_tracking.geometry import as_boxes, iou
import numpy as np

VOTING_IOU = 0.7  # boxes that overlap so much bound one object; 0.6 and 0.8 are less exact


def suppress(boxes, scores, labels, threshold: float, limit: int | None = None) -> np.ndarray:
    """
    Return the indices of the boxes to keep, by falling score; equal scores keep their order.

    A box goes when its IoU with a kept one is above `threshold`, and above ONE_OBJECT_IOU too
    where their labels differ.  `boxes` has the shape (N, 4), `scores` and `labels` (N,); `limit`
    ends the search after so many kept boxes.
    """
    boxes, labels = as_boxes(boxes), np.asarray(labels)
    rest = np.argsort(-np.asarray(scores), kind='stable')
    keep = []
    while len(rest) and (limit is None or len(keep) < limit):
        best, rest = rest[0], rest[1:]
        keep.append(best)
        limits = np.where(labels[rest] == labels[best], threshold, max(threshold, ONE_OBJECT_IOU))
        rest = rest[iou(boxes[best], boxes[rest])[0] <= limits]
    return np.array(keep, dtype=np.intp)


def vote(boxes, scores, kept, threshold: float) -> np.ndarray:
    """
    Return the kept boxes (K, 4), each the mean of all that overlap it by VOTING_IOU or more.

    `kept` and `threshold` are those of `suppress`; what it takes for two objects does not vote.
    What suppression throws away still tells where the object ends (box voting, Gidaris and
    Komodakis, 2015).  Weights are IoU times the square of the score: with the square, boxes below
    a score threshold would hardly have changed the mean.
    """
    boxes, scores = as_boxes(boxes), np.asarray(scores)
    overlap = iou(boxes[kept], boxes)
    weights = np.where(overlap >= max(threshold, VOTING_IOU), overlap * scores ** 2, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    means = weights @ boxes / np.where(total > 0, total, 1.0)
    return np.where(total > 0, means, boxes[kept]).astype(boxes.dtype)
