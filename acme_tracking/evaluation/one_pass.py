"""
Visual trackers led through a sequence: started once on the first true box, never helped again.

That is the one-pass evaluation of Y. Wu, J. Lim, M.-H. Yang, Online Object Tracking: A Benchmark,
2013.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import time

from acme_tracking import geometry
from acme_tracking.evaluation.sequences import Sequence
from acme_tracking.tracking.visual import VisualTracker
import numpy as np


@dataclass(frozen=True, eq=False)
class Pass:
    """
    What a tracker made of the N - 1 images after the first.

    boxes: float32 (N - 1, 4); confidences: float (N - 1,) in [0, 1]; seconds: float (N - 1,), what
    each update took; truth: float32 (N - 1, 4), as in the sequence.
    """

    boxes: np.ndarray
    confidences: np.ndarray
    seconds: np.ndarray
    truth: np.ndarray

    @property
    def overlaps(self) -> np.ndarray:
        """The IoU with the true box, float32 (N - 1,); NaN where that is unknown."""
        overlaps = np.array([geometry.iou(box, true)[0, 0]
                             for box, true in zip(self.boxes, self.truth)], dtype=np.float32)
        overlaps[~np.isfinite(self.truth).all(axis=1)] = np.nan
        return overlaps


def run(sequence: Sequence, trackers: Mapping[str, VisualTracker]) -> dict[str, Pass]:
    """
    Lead the trackers through a sequence, and return what each made of it.

    They take turns on every image, each time another first, so that other load on the machine and
    warm caches fall to all alike.
    """
    names = list(trackers)
    records = {name: [] for name in names}
    image = sequence.image(0)
    for tracker in trackers.values():
        tracker.start(image, sequence.boxes[0])
    for index in range(1, len(sequence)):
        image = sequence.image(index)
        first = index % len(names)
        for name in names[first:] + names[:first]:
            begin = time.perf_counter()
            box, confidence = trackers[name].update(image)
            records[name].append((box, confidence, time.perf_counter() - begin))
    return {name: _as_pass(records[name], sequence.boxes[1:]) for name in names}


def _as_pass(records, truth):
    boxes, confidences, seconds = zip(*records)
    return Pass(np.array(boxes, dtype=np.float32), np.array(confidences), np.array(seconds), truth)
