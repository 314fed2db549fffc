"""
Where an unseen object probably is: constant velocity, fitted to its last boxes.

Velocities are those that a camera would see that stands still from the newest image on.
"""
from __future__ import annotations

from dataclasses import dataclass

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
        # Plain numbers, one by one: ten times as fast as arrays of four.
        seconds = (stamp - self.stamp) * 1e-9
        x, y, width, height = self.state
        dx, dy, wider, higher = self.velocity
        x, y = x + dx * seconds, y + dy * seconds
        half_width = 0.5 * _limited(width + wider * seconds, width)
        half_height = 0.5 * _limited(height + higher * seconds, height)
        return np.array([x - half_width, y - half_height, x + half_width, y + half_height],
                        dtype=np.float32)

    def seen_after(self, camera: CameraMotion) -> Motion:
        """Return the same motion as it is seen once the camera has moved."""
        return Motion(self.stamp, _seen_after(self.state, camera.turn, camera.shift),
                      _seen_after(self.velocity, camera.turn, 0))


def _limited(size, last):
    return min(max(size, SIZE_LIMITS[0] * last), SIZE_LIMITS[1] * last)


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
    times, trusts, states = [], [], []
    turn, shift, last = 1, 0, None  # from the image of a box to the image of the newest
    for index in reversed(range(len(stamps))):
        if weights[index] > 0:
            last = stamps[index] if last is None else last
            if last - stamps[index] > FIT_WINDOW * 1e9:
                break
            x0, y0, x1, y1 = map(float, boxes[index])
            states.append(_seen_after(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0),
                                      turn, shift))
            times.append((stamps[index] - last) * 1e-9)
            trusts.append(float(weights[index]))
        if steps is not None:
            shift += turn * steps[index].shift
            turn *= steps[index].turn
    trusts = np.array(trusts) / sum(trusts)
    times, states = np.array(times), np.array(states)
    mean_time, mean_state = trusts @ times, trusts @ states
    times -= mean_time
    spread = trusts @ times ** 2
    if spread < 1e-6:
        return Motion(last, tuple(states[0].tolist()), (0.0,) * 4)
    velocity = (trusts * times) @ (states - mean_state) / spread
    return Motion(last, tuple((mean_state - velocity * mean_time).tolist()),
                  tuple(velocity.tolist()))
