"""
Which detection belongs to which track.

The optimal assignment (H. W. Kuhn, The Hungarian Method for the Assignment Problem, 1955) on a
gated cost, as in SORT (A. Bewley et al., Simple Online and Realtime Tracking, 2016), with a wider
gate for tracks whose place is only predicted.
"""
from __future__ import annotations

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.tracking.track import State
import numpy as np
from scipy.optimize import linear_sum_assignment

# A pair outside its gate; larger than any sum of allowed costs.
FORBIDDEN = 1e6
# What a differing class adds to a cost: detectors confuse a car with a truck, rarely for long.
OTHER_CLASS_COST = 0.2
# Two boxes paired by their distance alone may differ by this factor in area.
AREA_RATIO = 2.5
# How far the centre of a box may be off while its object is seen, in box sizes; when the object is
# not seen, so much more for every second.
DRIFT = 0.3
# What recovers an object that was out of sight has at least this share of the mean score of its
# detections: a detector may take what hides the object for one, too, but is less sure of it.
RECOVERY_SHARE = 0.5


def pair(tracks, boxes, now: int, detections: Detections,
         minimum_iou: float) -> list[tuple[int, int]]:
    """
    Return the pairs (row of tracks, row of detections).

    boxes: (T, 4), where the tracks were on the image of the detections.  now: stamp of the newest
    image: an object that is out of sight may be the farther off, the longer ago it was seen.
    """
    if not tracks or not len(detections):
        return []
    unseen = np.array([track.coasting_seconds(now) for track in tracks])
    slack = np.sqrt(geometry.area(boxes)) * (DRIFT + unseen)
    cost = pairing_cost(boxes, [track.label for track in tracks], slack, detections.boxes,
                        detections.labels, minimum_iou)
    least = np.array([RECOVERY_SHARE * track.mean_score if track.state is State.COASTING else 0.0
                      for track in tracks])
    cost[detections.scores < least[:, np.newaxis]] = FORBIDDEN
    return assign(cost)


def pairing_cost(track_boxes, track_labels, slack, boxes, labels, minimum_iou: float):
    """
    Return the cost, float (T, D), of giving detection d to track t; FORBIDDEN outside the gate.

    A pair that overlaps by `minimum_iou` costs 1 - IoU.  Others are only allowed where the track
    has `slack` (T,), the pixels by which its centre may be off: they cost from 1 to 2, growing
    with the distance, so that an overlap always wins.
    """
    overlap = geometry.iou(track_boxes, boxes)
    distance = np.linalg.norm(geometry.centers(track_boxes)[:, np.newaxis]
                              - geometry.centers(boxes)[np.newaxis], axis=2)
    slack = np.asarray(slack, dtype=float)[:, np.newaxis]
    area, other = geometry.area(track_boxes)[:, np.newaxis], geometry.area(boxes)[np.newaxis]
    similar = (area < AREA_RATIO * other) & (other < AREA_RATIO * area)
    near = (distance <= slack) & similar
    cost = np.where(near, 1 + distance / np.maximum(slack, 1), FORBIDDEN)
    cost = np.where(overlap >= minimum_iou, 1 - overlap, cost)
    differs = np.asarray(track_labels)[:, np.newaxis] != np.asarray(labels)[np.newaxis]
    return cost + OTHER_CLASS_COST * differs


def assign(cost) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of least total cost, without the forbidden ones."""
    return [(int(row), int(column)) for row, column in zip(*linear_sum_assignment(cost))
            if cost[row, column] < FORBIDDEN]
