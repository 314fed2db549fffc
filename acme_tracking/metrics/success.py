"""
Scores of boxes against true boxes: success and precision.

Method: Y. Wu, J. Lim, M.-H. Yang, Online Object Tracking: A Benchmark, 2013 (OTB).  All functions
take boxes and truth as float (N, 4), x1 y1 x2 y2 in pixels; rows in which the object is absent
(truth without width or height) or the truth unknown (NaN) do not count.  A box of NaN, where the
tracker says nothing, is a miss.
"""
from __future__ import annotations

from acme_tracking import geometry
import numpy as np

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)
PRECISION_PIXELS = 20
NORMALISED_THRESHOLDS = np.linspace(0, 0.5, 51)


def success_curve(boxes, truth) -> np.ndarray:
    """
    Return the share of boxes whose IoU exceeds each of 21 thresholds from 0 to 1, float (21,).

    >>> success_curve([[0, 0, 10, 10], [5, 0, 15, 10]], [[0, 0, 10, 10]] * 2)[[0, 6, 7, 19, 20]]
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    boxes, truth = _present(boxes, truth)
    overlaps = np.array([geometry.iou(box, true)[0, 0] for box, true in zip(boxes, truth)])
    return (overlaps[:, np.newaxis] > SUCCESS_THRESHOLDS).mean(axis=0)


def success_auc(boxes, truth) -> float:
    """
    Return the area under the success curve, in [0, 1]: the mean over its thresholds.

    A perfect tracker has 20/21, for no IoU exceeds 1.
    """
    return float(success_curve(boxes, truth).mean())


def precision(boxes, truth, pixels: float = PRECISION_PIXELS) -> float:
    """Return the share of boxes whose centre is at most `pixels` from the true one."""
    boxes, truth = _present(boxes, truth)
    distances = np.linalg.norm(geometry.centers(boxes) - geometry.centers(truth), axis=1)
    return float((distances <= pixels).mean())


def normalised_precision(boxes, truth) -> float:
    """
    Return the area under the curve of precision over thresholds of 0 to 0.5 box sizes, in [0, 1].

    The distance of the centres is measured in widths and heights of the true box.  Method:
    M. Müller et al., TrackingNet, 2018.
    """
    boxes, truth = _present(boxes, truth)
    distances = np.linalg.norm((geometry.centers(boxes) - geometry.centers(truth))
                               / (truth[:, 2:] - truth[:, :2]), axis=1)
    return float((distances[:, np.newaxis] <= NORMALISED_THRESHOLDS).mean())


def _present(boxes, truth):
    boxes, truth = geometry.as_boxes(boxes), geometry.as_boxes(truth)
    if len(boxes) != len(truth):
        raise ValueError(f'got {len(boxes)} boxes for {len(truth)} true boxes')
    present = geometry.is_proper(truth)
    if not present.any():
        raise ValueError('at least one true box is needed, got none')
    return boxes[present], truth[present]
