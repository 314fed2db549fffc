"""
The correlation tracker of dlib: a discriminative correlation filter in translation and scale.

Method: M. Danelljan, G. Haeger, F. Khan, M. Felsberg, Accurate Scale Estimation for Robust Visual
Tracking, 2014 (DSST), on histograms of oriented gradients.
"""
from __future__ import annotations

import math

from acme_tracking import geometry
from acme_tracking.tracking.visual.boxes import starting_box
import dlib
import numpy as np

# dlib reports the peak-to-sidelobe ratio of the filter's response, which has no upper bound.  A
# logistic curve brings it to [0, 1]: at the centre a box is as likely on its object as not.
# Origin of the constants: see docs/confidence.md.
PSR_CENTER = 8.0
PSR_SCALE = 1.2


class DlibTracker:
    """One object followed by `dlib.correlation_tracker`; see `VisualTracker` for the protocol."""

    def __init__(self):
        """Create a tracker that follows nothing yet."""
        self._tracker = None
        self._box = None

    def start(self, image: np.ndarray, box) -> None:
        """Learn the object in `box` of `image`."""
        self._box = starting_box(image, box)
        self._tracker = dlib.correlation_tracker()
        self._tracker.start_track(np.ascontiguousarray(image),
                                  dlib.drectangle(*self._box.tolist()))

    def update(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Find the object in `image`; return its box and confidence."""
        if self._tracker is None:
            raise RuntimeError('update before start: there is no object to follow')
        try:
            # The features take the strongest gradient among the channels, so BGR serves as RGB.
            ratio = self._tracker.update(np.ascontiguousarray(image))
        except RuntimeError:  # dlib asserts that its last position is not empty
            return self._box, 0.0
        position = self._tracker.get_position()
        box = np.array([position.left(), position.top(), position.right(), position.bottom()],
                       dtype=np.float32)
        if not geometry.is_proper(box)[0] or math.isnan(ratio):
            return self._box, 0.0  # a black image gives a ratio of NaN
        self._box = box
        return box, confidence(ratio)


def confidence(peak_to_sidelobe: float) -> float:
    """Return the confidence in [0, 1] of a peak-to-sidelobe ratio."""
    # exp is bounded so that an infinite or huge ratio cannot overflow
    return 1 / (1 + math.exp(min(50.0, (PSR_CENTER - peak_to_sidelobe) / PSR_SCALE)))
