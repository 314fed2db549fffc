"""
The way of a camera that moves along the synthetic road: its pose, a function of time.

Only `scene.py` and tests enter here.
"""
from __future__ import annotations

from dataclasses import dataclass
import math

from acme_tracking.scene import models
from acme_tracking.scene.ground import PERIOD
import numpy as np

STEP = 0.02  # seconds between the entries of the table of the speed
BEFORE = 6.0  # metres from where a camera stops to a zebra crossing
NOD = math.radians(0.3)  # that a car nods for 1 m/s^2 of braking


@dataclass(frozen=True)
class Manner:
    """
    How a camera is carried; (low, high) are chosen from by the seed.

    cycle: (seconds, share of the speed), for ever.  shakes: for yaw, pitch and roll in degrees,
    and for sideways and up in metres, the amplitudes and frequencies (Hz) of its swinging.
    """

    speed: tuple  # metres per second
    height: tuple  # metres
    pitch: tuple  # degrees down
    cycle: tuple
    shakes: dict
    swing: tuple = (5.0, 9.0)  # metres that the road winds to either side
    wave: tuple = (220.0, 320.0)  # metres
    place: str = 'lane'  # where it goes: in a lane, on the pavement, or in the air
    nods: bool = True  # when it brakes, as a car does


CAR = {'yaw': ((0.5, 0.13), (0.08, 1.9)), 'pitch': ((0.16, 1.3), (0.07, 5.1), (0.03, 9.3)),
       'roll': ((0.35, 0.6), (0.08, 7.0)), 'sideways': ((0.15, 0.11),), 'up': ((0.015, 1.4),)}
HAND = {'yaw': ((9.0, 0.09), (1.6, 0.55), (0.6, 1.9), (0.25, 6.1)),
        'pitch': ((2.0, 0.21), (1.0, 0.8), (0.9, 1.9), (0.35, 5.3)),
        'roll': ((2.2, 0.3), (1.0, 0.95), (0.3, 4.4)),
        'sideways': ((0.05, 0.95),), 'up': ((0.035, 1.9),)}
AIR = {'yaw': ((13.0, 0.045), (4.0, 0.21), (0.3, 2.3)),
       'pitch': ((3.5, 0.11), (0.8, 0.45), (0.2, 3.1)), 'roll': ((2.5, 0.17), (0.3, 2.7)),
       'sideways': ((3.0, 0.06),), 'up': ((1.5, 0.07),)}
STEADY = ((0, 1.0), (6, 0.82), (12, 1.0))
MANNERS = {
    'driving': Manner((9, 13), (1.3, 1.6), (2, 4), STEADY, CAR),
    'turning': Manner((6.5, 8.5), (1.3, 1.6), (2, 4), STEADY, CAR, (10.0, 13.0), (95.0, 120.0)),
    'braking': Manner((11, 13), (1.3, 1.6), (2, 4),
                      ((0, 1), (4, 1), (6.2, 0), (8.7, 0), (13, 1)), CAR, (3.0, 5.0)),
    'handheld': Manner((1.1, 1.5), (1.55, 1.75), (2, 5), STEADY, HAND, place='pavement',
                       nods=False),
    'drone': Manner((3, 7), (14, 24), (27, 40), ((0, 1), (7, 0.2), (12, 0.2), (16, 1)), AIR,
                    place='air', nods=False),
}


class Drive:
    """A way along a road; see `MANNERS` for the kinds."""

    def __init__(self, kind, road, lanes, rng):
        """Choose speed, height, place and shakes by `rng`."""
        manner = MANNERS[kind]
        self._road, self._manner = road, manner
        self.lane, self._s = _place(manner.place, road, lanes, rng)
        self._height = rng.uniform(*manner.height)
        self._pitch = math.radians(rng.uniform(*manner.pitch))
        self._waves = {axis: [(amplitude * rng.uniform(0.8, 1.2), hertz * rng.uniform(0.85, 1.15),
                               rng.uniform(0, 2 * math.pi)) for amplitude, hertz in waves]
                       for axis, waves in manner.shakes.items()}
        self._start = rng.uniform(0, 400)
        self._tabulate(rng.uniform(*manner.speed))

    def _tabulate(self, speed):
        """Make a table of distance and acceleration over one cycle of the speed."""
        times, shares = np.array(self._manner.cycle, float).T
        self._seconds = times[-1]
        if not shares.all():  # it stops before every zebra crossing
            speed = PERIOD / np.trapezoid(shares, times)
        grid = np.arange(0, self._seconds, STEP)
        pace = speed * np.interp(grid, times, shares)
        kernel = np.hanning(round(0.8 / STEP))
        around = np.concatenate([pace[-len(kernel):], pace, pace[:len(kernel)]])
        pace = np.convolve(around, kernel / kernel.sum(), 'same')[len(kernel):-len(kernel)]
        self._grid = np.append(grid, self._seconds)
        self._distance = np.append(0, np.cumsum(pace) * STEP)
        self._speeding = np.gradient(np.append(pace, pace[0]), STEP)
        if not shares.all():
            stop = float(np.interp(times[shares == 0].mean(), self._grid, self._distance))
            self._start = self._road.crossing - BEFORE - stop + PERIOD

    def y(self, time):
        """Return how far along the road the camera is."""
        cycles, rest = divmod(time, self._seconds)
        return (self._start + cycles * self._distance[-1]
                + float(np.interp(rest, self._grid, self._distance)))

    def brakes(self, time):
        """Return whether its vehicle brakes."""
        return self._acceleration(time) < -0.8

    def camera(self, time, width, height, focal):
        """Return the camera at a time; focal in pixels."""
        shake = {axis: sum(a * math.sin(2 * math.pi * f * time + phase) for a, f, phase in waves)
                 for axis, waves in self._waves.items()}
        yaw, pitch, roll = (math.radians(shake[axis]) for axis in ('yaw', 'pitch', 'roll'))
        if self._manner.nods:
            pitch -= NOD * self._acceleration(time)
        y = self.y(time)
        x, _ = self._road.place(self._s + shake['sideways'], y)
        ahead = self._road.along(y + 4)  # a driver looks into the bend
        return models.Camera(width, height, self._height + shake['up'],
                             math.atan2(ahead[0], ahead[1]) + yaw, self._pitch + pitch, focal,
                             roll, x, y)

    def _acceleration(self, time):
        return float(np.interp(time % self._seconds, self._grid, self._speeding))


def _place(place, road, lanes, rng):
    """Return the number of the lane that the camera is in, if any, and its place on the road."""
    if place == 'air':
        return None, rng.uniform(-4, 4)
    if place == 'pavement':
        return None, math.copysign(road.half + 0.6, rng.uniform(-1, 1))
    own = rng.choice([lane.number for lane in lanes if lane.kind == 'road' and lane.direction > 0])
    return int(own), lanes[own].offset
