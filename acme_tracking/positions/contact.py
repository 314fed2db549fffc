"""
Time to contact from the growth of a box, without any calibration.

An object that comes nearer at a constant speed grows: with its size s in the image and the time
to contact T, s' = s / T (Lee, 1976).  A Kalman filter follows the logarithm of the size and the
rate 1 / T, so that what is said is smooth.
"""
from __future__ import annotations

import math

import numpy as np

RATE_DEVIATION = 1.0     # 1/s, of an object that is new
# 1/s per square root of a second: how far accelerations change the rate, at rate 0 and, as a share
# of it, for fast ones.
RATE_DRIFT, DRIFT_SHARE = 0.02, 0.2
FASTEST = 5.0            # 1/s; nothing is told of the last fifth of a second


class Growth:
    """The growth of one box."""

    def __init__(self, size: float, deviation: float):
        """Begin with a size in pixels and the deviation of its logarithm."""
        self._state = np.array([math.log(size), 0.0])
        self._covariance = np.diag([deviation ** 2, RATE_DEVIATION ** 2])

    def go_on_with(self, size: float, deviation: float) -> None:
        """Measure another size of the same object from now on, such as the width."""
        self._state[0] = math.log(size)
        self._covariance[0] = self._covariance[:, 0] = deviation ** 2, 0.0

    def predict(self, seconds: float) -> None:
        """Let time pass: at constant speed the rate itself grows by its square."""
        size, rate = self._state
        left = max(1 - rate * seconds, 0.2)  # it never gets to the contact itself
        self._state = np.array([size - math.log(left), rate / left])
        change = np.array([[1, seconds / left], [0, 1 / left ** 2]])
        drift = RATE_DRIFT + DRIFT_SHARE * abs(rate)
        noise = np.array([[seconds ** 3 / 3, seconds ** 2 / 2], [seconds ** 2 / 2, seconds]])
        self._covariance = change @ self._covariance @ change.T + drift ** 2 * noise

    def update(self, size: float, deviation: float) -> None:
        """Take a new size in pixels, with the deviation of its logarithm."""
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + deviation ** 2)
        self._state = self._state + gain * (math.log(size) - self._state[0])
        self._covariance = self._covariance - np.outer(gain, self._covariance[0])
        self._state[1] = min(max(self._state[1], -FASTEST), FASTEST)

    @property
    def rate(self) -> tuple[float, float]:
        """The inverse of the time to contact, 1/s, and its deviation; negative: it goes away."""
        return float(self._state[1]), math.sqrt(self._covariance[1, 1])

    @property
    def time_to_contact(self) -> float:
        """Seconds; infinite where the box does not grow by more than chance makes it."""
        rate, deviation = self.rate
        return 1 / rate if rate > deviation else math.inf
