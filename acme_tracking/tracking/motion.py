"""
Where an unseen object probably is: constant velocity, fitted to its last boxes.

Velocities are those that a camera would see that stands still from the newest image on.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from acme_tracking import geometry
from acme_tracking.tracking.camera_motion import CameraMotion
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

    def seen_after(self, camera: CameraMotion) -> Motion:
        """Return the same motion as it is seen once the camera has moved."""
        return replace(self, state=_seen_after(self.state, camera.turn, camera.shift),
                       velocity=_seen_after(self.velocity, camera.turn, 0))


def _seen_after(state, turn, shift):
    x, y, width, height = state
    place = turn * complex(x, y) + shift
    return place.real, place.imag, width * abs(turn), height * abs(turn)


def fit_motion(stamps, boxes, weights, steps=None) -> Motion:
    """
    Fit constant velocity to the boxes of the last `FIT_WINDOW` seconds, by weighted least squares.

    stamps: int (N,) increasing, nanoseconds; boxes: (N, 4); weights: (N,), how far each box is to
    be trusted, 0 where the object was not seen; steps: N of `CameraMotion`, each since the box
    before, or None for a camera that stands still.  With one box, or boxes of one moment, the
    velocity is 0.
    """
    stamps, weights = np.asarray(stamps, dtype=np.int64), np.asarray(weights, dtype=float)
    last = stamps[weights > 0][-1]
    first = np.searchsorted(stamps, last - int(FIT_WINDOW * 1e9))
    states = geometry.to_center(boxes[first:]).astype(float)
    if steps is not None:
        states = _seen_from_the_end(states, steps[first:])
    times, weights = (stamps[first:] - last) * 1e-9, weights[first:] / weights[first:].sum()
    mean_time, mean_state = weights @ times, weights @ states
    spread = weights @ (times - mean_time) ** 2
    if spread < 1e-6:
        return Motion(int(last), tuple(states[weights > 0][-1].tolist()), (0.0,) * 4)
    velocity = (weights * (times - mean_time)) @ (states - mean_state) / spread
    return Motion(int(last), tuple((mean_state - velocity * mean_time).tolist()),
                  tuple(velocity.tolist()))


def _seen_from_the_end(states, steps):
    """Return what states (N, 4) on images of their own are on the last of these images."""
    turns = np.array([step.turn for step in steps[:0:-1]], dtype=complex)
    shifts = np.array([step.shift for step in steps[:0:-1]], dtype=complex)
    turns = np.cumprod([1, *turns])           # of all steps from an image to the last
    shifts = np.cumsum([0, *turns[:-1] * shifts])
    places = turns[::-1] * (states[:, 0] + 1j * states[:, 1]) + shifts[::-1]
    return np.column_stack([places.real, places.imag,
                            states[:, 2:] * abs(turns[::-1])[:, np.newaxis]])
