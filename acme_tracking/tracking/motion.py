"""Where an unseen object probably is: constant velocity, fitted to its last boxes."""
from __future__ import annotations

from dataclasses import dataclass

from acme_tracking import geometry
import numpy as np

# Boxes older than this tell of another manoeuvre; seconds.
FIT_WINDOW = 0.7
# A size is predicted between these factors of the last one: a fit of few boxes must not blow up.
SIZE_LIMITS = (0.6, 1.7)


@dataclass(frozen=True)
class Motion:
    """A box moving with constant velocity: centre x, y, width, height and their change."""

    stamp: int                              # nanoseconds
    state: tuple[float, float, float, float]     # pixels
    velocity: tuple[float, float, float, float]  # pixels per second

    def predict(self, stamp: int) -> np.ndarray:
        """Return the box, float32 (4,), x1 y1 x2 y2, at a later stamp in nanoseconds."""
        seconds = (stamp - self.stamp) * 1e-9  # plain numbers: five times as fast as arrays of 4
        x, y, width, height = (value + change * seconds
                               for value, change in zip(self.state, self.velocity))
        half_width, half_height = (
            0.5 * min(max(size, SIZE_LIMITS[0] * last), SIZE_LIMITS[1] * last)
            for size, last in zip((width, height), self.state[2:]))
        return np.array([x - half_width, y - half_height, x + half_width, y + half_height],
                        dtype=np.float32)


def fit_motion(stamps, boxes, weights) -> Motion:
    """
    Fit constant velocity to the boxes of the last `FIT_WINDOW` seconds, by weighted least squares.

    stamps: int (N,) increasing, nanoseconds; boxes: (N, 4); weights: (N,) positive, how far each
    box is to be trusted.  With one box, or boxes of one moment, the velocity is 0.
    """
    times = (np.asarray(stamps, dtype=np.int64) - stamps[-1]) * 1e-9
    recent = times >= -FIT_WINDOW
    times, weights = times[recent], np.asarray(weights, dtype=float)[recent]
    states = geometry.to_center(np.asarray(boxes)[recent]).astype(float)
    weights = weights / weights.sum()
    mean_time, mean_state = weights @ times, weights @ states
    spread = weights @ (times - mean_time) ** 2
    if spread < 1e-6:
        return Motion(stamps[-1], tuple(states[-1].tolist()), (0.0,) * 4)
    velocity = (weights * (times - mean_time)) @ (states - mean_state) / spread
    return Motion(stamps[-1], tuple((mean_state - velocity * mean_time).tolist()),
                  tuple(velocity.tolist()))
