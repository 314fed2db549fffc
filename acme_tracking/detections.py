"""Detections: the one value that flows between camera, detector, tracker and evaluation."""
from __future__ import annotations

from dataclasses import dataclass

from acme_tracking.geometry import as_boxes
import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """
    The objects found on one image, by a detector or by a tracker.

    boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of that image.
    scores: float32 (N,) in [0, 1]: the detector's score, or the confidence of the track.
    labels: str (N,), class names.
    ids: int64 (N,), the identities of tracks; None where nobody tracked.

    Raises ValueError when the lengths differ or a score is not in [0, 1] (NaN is not).
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    ids: np.ndarray | None = None

    def __post_init__(self):
        """Bring every field to its documented type and check that they belong together."""
        put = object.__setattr__
        put(self, 'boxes', as_boxes(self.boxes))
        put(self, 'scores', np.asarray(self.scores, dtype=np.float32).reshape(-1))
        put(self, 'labels', np.asarray(self.labels, dtype=str).reshape(-1))
        if self.ids is not None:
            put(self, 'ids', np.asarray(self.ids, dtype=np.int64).reshape(-1))
        columns = {'scores': self.scores, 'labels': self.labels, 'ids': self.ids}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.boxes):
                raise ValueError(f'{len(self.boxes)} boxes need as many {name}, '
                                 f'got {len(column)}')
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ValueError(f'scores must be in [0, 1], got {self.scores}')

    @classmethod
    def empty(cls) -> Detections:
        """Return detections of nothing."""
        return cls(boxes=[], scores=[], labels=[])

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.boxes)

    def select(self, chosen) -> Detections:
        """Return the objects chosen by a bool mask (N,) or by indices, in their order."""
        chosen = np.asarray(chosen)
        if chosen.size == 0:
            chosen = chosen.astype(int)
        return Detections(self.boxes[chosen], self.scores[chosen], self.labels[chosen],
                          None if self.ids is None else self.ids[chosen])
