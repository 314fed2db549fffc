"""
No visual model at all: the object is followed by motion and detections alone.

This is the centroid tracking algorithm.  What it needs is done for every track: detections are
paired with predicted boxes by overlap and by the distance of their centres, and between detections
a box moves on with constant velocity.  So this tracker has nothing to add but to say so.
"""
from __future__ import annotations

from acme_tracking.tracking.visual.boxes import starting_box
import numpy as np

# How often a box that stands still is right, over some seconds; origin: see docs/confidence.md.
# It is below any sensible threshold, so that a track predicts its box at once.
CONFIDENCE = 0.12


class CentroidTracker:
    """Keeps the box it was given, and has little confidence in it; see `VisualTracker`."""

    def __init__(self):
        """Create a tracker that follows nothing yet."""
        self._box = None

    def start(self, image: np.ndarray, box) -> None:
        """Keep `box`."""
        self._box = starting_box(image, box)

    def update(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the box it was given, and the little confidence that it deserves."""
        if self._box is None:
            raise RuntimeError('update before start: there is no object to follow')
        return self._box, CONFIDENCE
