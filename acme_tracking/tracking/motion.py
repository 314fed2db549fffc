"""
Where an unseen object probably is: constant velocity, fitted to its last boxes.

The place changes evenly in the image, and so does the inverse of the size, as that of what moves
evenly in space does (D. N. Lee, A theory of visual control of braking based on information about
time-to-collision, 1976): what comes nearer grows faster and faster, what goes away shrinks less
and less.  To let the place follow the size too would be right, and foretells it better, but keeps
what has gone far away in the picture, where others are taken for it.

Velocities are those that a camera would see that stands still from the newest image on.
"""
from __future__ import annotations

from dataclasses import dataclass
import math

from acme_tracking.tracking.camera_motion import CameraMotion
import numpy as np

# Boxes older than this tell of another manoeuvre; seconds.
FIT_WINDOW = 0.7
# A size is predicted between these factors of the last one: a fit of few boxes must not blow up.
SIZE_LIMITS = (0.6, 1.7)
# Pixels that the size of a box is off, at least: growth that this may feign is not believed.
SIZE_NOISE = 2.0
SMALLEST = 1.0  # pixels, of a side


@dataclass(frozen=True)
class Motion:
    """
    How a box moves.

    stamp: nanoseconds.  place: of its centre, and velocity, x + iy, pixels and pixels per second.
    size: width and height, pixels.  shrinks: by which the inverse of the size grows, in shares of
    the present one per second.
    """

    stamp: int
    place: complex
    velocity: complex
    size: tuple[float, float]
    shrinks: float

    def predict(self, stamp: int) -> np.ndarray:
        """Return the box, float32 (4,), x1 y1 x2 y2, at a later stamp in nanoseconds."""
        # Plain numbers, one by one: ten times as fast as arrays of four.
        seconds = (stamp - self.stamp) * 1e-9
        inverse = min(max(1 + self.shrinks * seconds, 1 / SIZE_LIMITS[1]), 1 / SIZE_LIMITS[0])
        place = self.place + self.velocity * seconds
        width, height = 0.5 * self.size[0] / inverse, 0.5 * self.size[1] / inverse
        return np.array([place.real - width, place.imag - height,
                         place.real + width, place.imag + height], dtype=np.float32)

    def seen_after(self, camera: CameraMotion) -> Motion:
        """Return the same motion as it is seen once the camera has moved."""
        scale = abs(camera.turn)
        return Motion(self.stamp, camera.turn * self.place + camera.shift,
                      camera.turn * self.velocity, (scale * self.size[0], scale * self.size[1]),
                      self.shrinks)


def fit_motion(stamps, boxes, weights, steps=None) -> Motion:
    """
    Fit the motion to the boxes of the last `FIT_WINDOW` seconds, by weighted least squares.

    stamps: int (N,) increasing, nanoseconds; boxes: (N, 4); weights: (N,), how far each box is to
    be trusted, 0 where the object was not seen; steps: N of `CameraMotion`, each since the box
    before, or None for a camera that stands still.  With one box, or boxes of one moment, the
    velocity is 0.
    """
    times, trusts, places, sizes, shapes = [], [], [], [], []
    turn, shift, last = 1, 0, None  # from the image of a box to the image of the newest
    for index in reversed(range(len(stamps))):
        if weights[index] > 0:
            last = stamps[index] if last is None else last
            if last - stamps[index] > FIT_WINDOW * 1e9:
                break
            x0, y0, x1, y1 = map(float, boxes[index])
            width, height = max(x1 - x0, SMALLEST), max(y1 - y0, SMALLEST)
            times.append((stamps[index] - last) * 1e-9)
            trusts.append(float(weights[index]))
            places.append(turn * complex((x0 + x1) / 2, (y0 + y1) / 2) + shift)
            sizes.append(math.sqrt(width * height) * abs(turn))
            shapes.append(width / height)
        if steps is not None:
            shift += turn * steps[index].shift
            turn *= steps[index].turn
    place, velocity, _ = _line(times, trusts, places)
    size, shrinks = _fit_size(times, trusts, sizes)
    shape = math.sqrt(_mean(trusts, shapes))
    return Motion(last, place, velocity, (size * shape, size / shape), shrinks)


def _fit_size(times, trusts, sizes):
    """Return the present size, and by which share of its inverse that grows in a second."""
    usual = _mean(trusts, sizes)
    inverses = [usual / size for size in sizes]
    at, slope, spread = _line(times, [trust / inverse ** 2 for trust, inverse in zip(
        trusts, inverses)], inverses)  # an error of a pixel tells more of what is small
    if not spread:
        return sizes[0], 0.0
    count = len(times)
    noise = sum((inverse - at - slope * time) ** 2 for inverse, time in zip(inverses, times))
    noise = max(noise / max(count - 2, 1), (SIZE_NOISE / usual) ** 2) / (count * spread)
    # a slope is as sure as it is large beside what its own error may be
    believed = slope * slope ** 2 / (slope ** 2 + noise)
    at += (slope - believed) * sum(times) / count
    return usual / at, believed / at


def _line(times, weights, values):
    """Return value at time 0, change per second, and the variance of the times, of a line."""
    mean_time, mean = _mean(weights, times), _mean(weights, values)
    total, spread, covariance = 0.0, 0.0, 0.0
    for weight, time, value in zip(weights, times, values):
        total += weight
        spread += weight * (time - mean_time) ** 2
        covariance += weight * (time - mean_time) * (value - mean)
    if spread < 1e-6 * total:
        return values[0], 0.0, 0.0
    slope = covariance / spread
    return mean - slope * mean_time, slope, spread / total


def _mean(weights, values):
    return sum(weight * value for weight, value in zip(weights, values)) / sum(weights)
