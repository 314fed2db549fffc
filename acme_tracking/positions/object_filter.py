"""
Follows one object in the ground plane: an extended Kalman filter that measures whole boxes.

The state is position and velocity (constant velocity with noise; Bar-Shalom, Li and Kirubarajan,
"Estimation with Applications to Tracking and Navigation", 2001, chapter 6), the object's size as
shares of what is usual for its class, and how far the camera's pitch is off.  What is measured are
the edges of the box, or those and a depth: the solid of the state is projected and compared.  So
one estimate holds all that makes a position uncertain: an edge that the image border cuts is not
measured, and a foot point near the horizon moves little with the distance.
"""
from __future__ import annotations

from dataclasses import dataclass
import math

from acme_tracking.positions.camera import Mount
from acme_tracking.positions.solids import extents, Kind
import numpy as np

X, Y, VX, VY, LENGTH, WIDTH, HEIGHT, PITCH = range(8)
SEEN = [X, Y, LENGTH, WIDTH, HEIGHT, PITCH]            # what of them `extents` takes
STEPS = np.array([0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-5])  # for derivatives
SPEED_DEVIATIONS = 10.0, 4.0  # m/s, along and across, of an object that is new
PITCH_SECONDS = 1.0         # a car that nods has another pitch after this time
# The heading is not estimated, since left and right turns look alike: it is along the vehicle (or
# across, where the first box fits that better by so much in squared deviations), then that of the
# velocity, and may be off by so many radians, as long as so many seconds.
ACROSS, HEADING_DEVIATION, HEADING_LASTS = 6.0, 0.3, 1.0
# It follows velocities above this (m/s), in about a second, that are within this angle.
LEAST_SPEED, LARGEST_TURN = 2.0, math.radians(40)
ITERATIONS = 4              # of the first measurement
WHOLE = 4                   # values of a box of which every edge is known
# A box that differs by more than this (squared, in deviations) is believed less (Huber, 1964).
SURPRISING = 16.0
LARGEST_SHARE = math.log(3)   # of the usual size


@dataclass(frozen=True, eq=False)
class Measurement:
    """
    What an image says of an object.

    values: float64 (M,), and rows: (M, 5), which of `extents` they are, as a linear combination.
    noise: (M, M), their covariance.
    """

    values: np.ndarray
    rows: np.ndarray
    noise: np.ndarray


class ObjectFilter:
    """
    The estimate of one object.

    state: float64 (8,), and covariance (8, 8); sizes are logarithms of shares of the usual.
    heading: radians from x to y, of its long side.
    """

    def __init__(self, kind: Kind, mount: Mount, start, heading: float, pitch_deviation: float):
        """
        Begin at `start` (x, y), metres, which may be off by as much as it is far.

        heading: radians.  pitch_deviation: of the camera's, radians.
        """
        self.kind, self.heading = kind, heading
        self._corners, self._pitch_deviation = kind.corners(), pitch_deviation
        self._lasting = 1.0  # measurements that the present error of the heading lasts
        far = np.linalg.norm(np.asarray(start) - mount.position[:2])
        self.state = np.zeros(8)
        self.state[[X, Y]] = start
        self.covariance = np.diag(np.square([
            far, far, *SPEED_DEVIATIONS, *kind.deviation, pitch_deviation]))

    @classmethod
    def begin(cls, kind: Kind, mount: Mount, start, pitch_deviation: float,
              measurement: Measurement) -> ObjectFilter | None:
        """
        Return the filter of a new object, along or across the vehicle, whatever fits better.

        A box that the border cuts says nothing of that.  None where the camera does not see what
        is at `start`.
        """
        best, least = None, math.inf
        whole = len(measurement.values) == WHOLE
        for heading in (0.0, math.pi / 2) if kind.turns and whole else (0.0,):
            found = cls(kind, mount, start, heading, pitch_deviation)
            cost = found.update(mount, measurement, ITERATIONS) + ACROSS * bool(heading)
            if cost < least:
                best, least = found, cost
        return best

    def predict(self, seconds: float, acceleration: float) -> None:
        """Let time pass, with accelerations (m/s^2, deviation) that last about a second."""
        change = np.eye(8)
        change[X, VX] = change[Y, VY] = seconds
        stays = math.exp(-seconds / PITCH_SECONDS)
        change[PITCH, PITCH] = stays
        noise = np.zeros((8, 8))
        spread = acceleration ** 2 * np.array([[seconds ** 3 / 3, seconds ** 2 / 2],
                                               [seconds ** 2 / 2, seconds]])
        for place, speed in ((X, VX), (Y, VY)):
            noise[np.ix_((place, speed), (place, speed))] = spread
        noise[PITCH, PITCH] = self._pitch_deviation ** 2 * (1 - stays ** 2)
        self.state = change @ self.state
        self.covariance = change @ self.covariance @ change.T + noise
        self._lasting = max(1.0, HEADING_LASTS / seconds) if seconds else 1.0
        self._turn(seconds)

    def _turn(self, seconds):
        """Let the heading follow the velocity."""
        vx, vy = self.state[VX], self.state[VY]
        speed = math.hypot(vx, vy)
        turn = math.remainder(math.atan2(vy, vx) - self.heading, math.pi)
        sure = speed > max(LEAST_SPEED, 2 * math.sqrt(self.covariance[VX, VX]))
        if self.kind.turns and sure and abs(turn) < LARGEST_TURN:
            self.heading += turn * min(1.0, seconds)

    def update(self, mount: Mount, measurement: Measurement, iterations: int = 1) -> float:
        """
        Take a measurement, with the iterated filter (Bell and Cathey, 1993).

        Return how badly prior and measurement fit together, as squared deviations; infinite when
        nothing was learnt, since the object is where the camera does not see it.
        """
        prior = state = self.state
        for _ in range(iterations):
            seen, slopes, turned = self._seen(mount, state, measurement.rows)
            if not (np.isfinite(seen).all() and np.isfinite(slopes).all()
                    and np.isfinite(turned).all()):
                return math.inf
            innovation = measurement.values - seen - slopes @ (prior - state)
            known = slopes @ self.covariance
            spread = known @ slopes.T
            noise = measurement.noise + turned
            cost = float(innovation @ np.linalg.solve(spread + noise, innovation))
            noise = noise * max(1.0, cost / SURPRISING)
            gain = np.linalg.solve(spread + noise, known).T
            state = prior + gain @ innovation
            sizes = state[LENGTH:HEIGHT + 1]
            np.clip(sizes, -LARGEST_SHARE, LARGEST_SHARE, out=sizes)
        kept = np.eye(8) - gain @ slopes
        self.state = state
        # Joseph's form, which stays positive
        self.covariance = kept @ self.covariance @ kept.T + gain @ noise @ gain.T
        return cost

    def _seen(self, mount, state, rows):
        """
        Return what is expected to be measured, (M,), and its derivatives, (M, 8).

        And the covariance (M, M) of what another heading makes of it, which counts as noise that
        does not vanish when many images are averaged.
        """
        own = np.append(state[SEEN], self.heading)
        steps = np.diag([*STEPS, HEADING_DEVIATION])
        states = np.vstack([own, own + steps, own - steps])
        states[:, 2:5] = np.exp(states[:, 2:5]) * self.kind.size
        seen = extents(mount, self._corners, states) @ rows.T
        ahead, back = np.split(seen[1:], 2)
        slopes = np.zeros((len(rows), 8))
        slopes[:, SEEN] = ((ahead[:-1] - back[:-1]) / (2 * STEPS[:, None])).T
        odd, even = (ahead[-1] - back[-1]) / 2, (ahead[-1] + back[-1]) / 2 - seen[0]
        return seen[0], slopes, self._lasting * (np.outer(odd, odd) + np.outer(even, even))

    @property
    def size(self) -> np.ndarray:
        """Length, width and height, float64 (3,), metres."""
        return np.exp(self.state[LENGTH:HEIGHT + 1]) * self.kind.size
