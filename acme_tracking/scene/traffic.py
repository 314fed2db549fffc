"""
Who is on the synthetic road, where and when, in metres: a function of time, without a camera.

Only `scene.py` and tests enter here.  Traffic fills the places of endless lanes, which move along
the road at the speed of the lane; chance without state says which places are taken, and by whom.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math

from acme_tracking.scene import models
import numpy as np

STROLLER_ID = 2
FIRST_LANE_ID = 3
SLOTS = 100_000  # places in a lane before time 0 that still give an id above 0
# Metres from place to place, above the longest vehicle; and the share of the places that are taken
# at density 1.
GAP = {'road': 20.0, 'parking': 7.5, 'pavement': 6.0, 'crossing': 30.0}
SHARE = {'road': 1.0, 'parking': 0.8, 'pavement': 0.5, 'crossing': 1.0}
START = -10.0  # metres ahead of a fixed camera where receding traffic begins, out of its view
TURN_EVERY = 5  # one place in so many of lane 0 holds a vehicle that comes back in lane 1
BEHIND, AHEAD = 25.0, 120.0  # metres around a camera that moves in which there is traffic
# Somebody may cross the road in each place of 'crossing' once in so many seconds.
CROSSING_SECONDS, CROSSINGS = 2.0, 20_000
SLOWEST = 1.1  # metres per second of who crosses
DOORS = 6.0  # metres from the kerb to the doors that they come from and go to
LEAD = 8.0  # metres from a driving camera to the place ahead of it
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Lane:
    """A row of places along the road."""

    kind: str  # of GAP
    number: int
    offset: float  # metres right of the road's middle
    direction: int  # 1 towards larger y, -1 towards smaller
    speed: float  # metres per second
    phase: float  # seconds


@dataclass(frozen=True, eq=False)
class Mover:
    """A vehicle or a person at one moment: metres in the world, unit `heading` (2,)."""

    identity: int
    label: str
    ground: np.ndarray  # (2,), below its middle
    heading: np.ndarray
    size: tuple  # length, width, height
    model: models.Mesh | None = None  # of a vehicle
    braking: bool = False
    looks: tuple = ()  # of a person
    stride: float = 0.0  # phase of the gait, radians


@lru_cache(maxsize=1 << 14)
def unit(*keys):
    """Hash integers to a number in [0, 1), chance without state (SplitMix64, Steele 2014)."""
    state = 0
    for key in keys:
        state = ((state ^ (key & MASK)) + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state / (MASK + 1)


def plan_lanes(road, rng):
    """Return the lanes of a road and of its pavements; traffic keeps right or left."""
    hand = 1 if rng.random() < 0.6 else -1
    speed = rng.uniform(7, 12)
    lanes = []
    for lane in range(road.lanes):
        offset = hand * (road.median / 2 + (lane + 0.5) * road.lane_width)
        pace, phase = speed * (1 - 0.12 * lane), rng.uniform(100, 1000)
        for direction in (1, -1):
            lanes.append(Lane('road', len(lanes), direction * offset, direction, pace, phase))
    for offset in (-1.9, -1.0, 1.0, 1.9):
        lanes.append(Lane('pavement', len(lanes), offset + math.copysign(road.half + 0.2, offset),
                          1 if abs(offset) > 1.5 else -1, rng.uniform(1.1, 1.6),
                          rng.uniform(100, 1000)))
    return lanes


def kerbside(road, lanes):
    """Return the lanes that a road has besides: parked vehicles, and people who cross."""
    number, hand = len(lanes), math.copysign(1, lanes[0].offset)
    parked = [Lane('parking', number + k, side * hand * (road.half - 1.1), side, 0.0, 0.0)
              for k, side in enumerate((1, -1))]
    return [*parked, Lane('crossing', number + 2, 0.0, 1, 0.0, 0.0)]


def vehicle(identity, label, model, ground, heading, braking=False):
    """Return a vehicle as a mover."""
    return Mover(identity, label, ground, heading, (model.length, model.width, model.height),
                 model, braking)


def person(identity, ground, heading, walked, chance):
    """Return a person as a mover, after `walked` metres; `chance` in [0, 1) gives the looks."""
    looks = models.looks(chance)
    return Mover(identity, 'person', ground, heading, (0.35, 0.45, looks[0]), looks=looks,
                 stride=2 * math.pi * walked / 1.45)


class Traffic:
    """
    The traffic of one road, a function of time.

    drive: the way of a camera that moves along, None for a camera that stands at y = 0.
    """

    def __init__(self, road, lanes, fleet, seed, density, drive=None):
        """Fill a share `density` of the places with vehicles of `fleet`, (label, model) each."""
        self._road, self._lanes, self._seed, self._density = road, lanes, seed, density
        self._fleet, self._drive = fleet, drive
        self._small = [(label, model) for label, model in fleet if model.length < 5]
        self._begin, self._end = (0.0, 0.0) if drive else (START, road.far)
        # Lanes 0 and 1 move alike, so whoever turns round comes back a fixed number of places
        # later.  Who drives along never sees them again.
        self._turn = (None if drive else
                      math.ceil((2 * road.far + 6 * lanes[0].speed) / GAP['road']))
        self._may_cross = {}

    def at(self, time, only=None):
        """Yield the movers at a time in seconds; of the lanes `only` the one with this id."""
        if not self._density:
            return
        if not self._drive:
            yield from self._stroller(time)
        low, high = self._window(time)
        for lane in self._lanes:
            if lane.kind == 'crossing':
                yield from self._crossing(lane, time, low, high)
            else:
                yield from self._row(lane, time, low, high, only)

    def _window(self, time):
        """Return the smallest and the largest y where there is traffic."""
        if not self._drive:
            return START, self._road.far
        y = self._drive.y(time)
        return y - BEHIND, y + AHEAD

    def _row(self, lane, time, low, high, only=None):
        """Yield who is in the places of a lane from y = low to high."""
        gap = GAP[lane.kind]
        travelled, braking = self._travelled(lane, time)
        near, far = ((low - self._begin, high - self._begin) if lane.direction > 0
                     else (self._end - high, self._end - low))
        first, last = (travelled - far) / gap, (travelled - near) / gap
        for place in range(math.floor(first), math.ceil(last) + 1):
            mover = self._in_place(lane, place, travelled - place * gap, braking, only)
            if mover is not None and low < mover.ground[1] < high:
                yield mover

    def _travelled(self, lane, time):
        """Return how far a lane has come, and whether its vehicles brake."""
        if self._is_own(lane):
            # the distance to the vehicle ahead changes, but never to nothing
            return (self._drive.y(time) + LEAD + 5 * (1 + math.sin(0.35 * time)),
                    self._drive.brakes(time))
        # Stop-and-go is common to the lane, so that nobody runs into the vehicle ahead.
        wave = 0.55 * time + lane.phase
        driving = lane.kind == 'road'
        return (lane.speed * (time + lane.phase + (0.6 * math.sin(wave) if driving else 0.0)),
                driving and math.sin(wave) > 0.6)

    def _is_own(self, lane):
        """Return whether a driving camera is in this lane, which then moves as it does."""
        return self._drive is not None and self._drive.lane == lane.number

    def _in_place(self, lane, place, position, braking, only):
        """Return who is in one place of a lane, `position` metres after its start, or None."""
        number, origin = lane.number, place
        if self._turn and number == 1 and (place - self._turn) % TURN_EVERY == 0:
            number, origin = 0, place - self._turn  # it left in lane 0 and turned out of sight
        identity = self._identity(number, origin)
        if only not in (None, identity) or (self._is_own(lane) and place == 1):
            return None
        taken = unit(self._seed, number, origin) < self._density * SHARE[lane.kind]
        turns = self._turn and number == 0 and origin % TURN_EVERY == 0
        ahead = self._is_own(lane) and place == 0
        if not (taken or turns or ahead):
            return None
        chance = [unit(self._seed, number, origin, salt) for salt in (1, 2, 3)]
        if lane.kind == 'pavement':
            y = self._y(lane, position)
            return person(identity, self._road.place(lane.offset + 0.4 * chance[0], y),
                          self._road.along(y) * lane.direction, position, chance[1])
        fleet = self._small if lane.kind == 'parking' else self._fleet
        label, model = fleet[int(chance[0] * len(fleet))]
        slack = GAP[lane.kind] - model.length - (2.5 if lane.kind == 'road' else 0.8)
        position += model.length / 2 + chance[1] * slack
        y = self._y(lane, position)
        if lane.kind == 'parking' and self._road.on_crossing(y, 6.0):
            return None
        s = lane.offset
        if lane.kind == 'road':
            s += 0.25 * math.sin(position / 17 + 6 * chance[2])
        return vehicle(identity, label, model, self._road.place(s, y),
                       self._road.along(y) * lane.direction, braking)

    def _identity(self, number, place):
        return FIRST_LANE_ID + number + len(self._lanes) * (place + SLOTS)

    def _y(self, lane, position):
        return self._begin + position if lane.direction > 0 else self._end - position

    def _stroller(self, time):
        """Yield the person who leaves the picture and comes back, for ever."""
        span = 45.0
        walked = 1.4 * time + span * unit(self._seed, STROLLER_ID)
        leg, rest = divmod(walked, span)
        back = leg % 2 == 1
        s = math.copysign(self._road.half + 2.7, self._road.middle)
        y = START + (span - rest if back else rest)
        heading = self._road.along(y) * (-1 if back else 1)
        yield person(STROLLER_ID, self._road.place(s, y), heading, walked, unit(self._seed, 0))

    # Who crosses the road.

    def _crossing(self, lane, time, low, high):
        gap, reach = GAP['crossing'], self._road.half + DOORS
        now = math.floor(time / CROSSING_SECONDS)
        longest = math.ceil(2 * reach / SLOWEST / CROSSING_SECONDS)
        for cell in range(math.floor(low / gap), math.ceil(high / gap)):
            for start in range(now, now - longest - 1, -1):
                place = cell * CROSSINGS + start
                if not self._crosses(lane, place, cell, start):
                    continue
                begin, y, speed, side = self._walk(lane, cell, start)
                walked = speed * (time - begin)
                if 0 < walked < 2 * reach:
                    across = self._road.along(y)[::-1] * (side, -side)
                    yield person(self._identity(lane.number, place),
                                 self._road.place(side * (walked - reach), y), across, walked,
                                 unit(self._seed, lane.number, place, 5))

    def _walk(self, lane, cell, start):
        """Return when somebody sets out, at which y, how fast and to which side."""
        keys = self._seed, lane.number, cell * CROSSINGS + start
        chance = [unit(*keys, salt) for salt in (1, 2, 3, 4)]
        y = GAP['crossing'] * (cell + 0.1 + 0.8 * chance[1])
        if self._road.on_crossing(y, GAP['crossing'] / 2):
            y = self._road.nearest_crossing(y) + 2.4 * (chance[1] - 0.5)
        runs = chance[2] < 0.2
        speed = (2.4 if runs else SLOWEST) + 0.7 * ((5 * chance[2]) % 1.0)
        return CROSSING_SECONDS * (start + chance[0]), y, speed, 1 if chance[3] < 0.5 else -1

    def _crosses(self, lane, place, cell, start):
        """Return whether the place is taken, and nothing comes while its person crosses."""
        if len(self._may_cross) > 10_000:  # who drives for hours forgets
            self._may_cross.clear()
        if place not in self._may_cross:
            taken = unit(self._seed, lane.number, place) < 2 * self._density
            self._may_cross[place] = taken and self._is_free(*self._walk(lane, cell, start))
        return self._may_cross[place]

    def _is_free(self, begin, y, speed, side):
        reach = self._road.half + DOORS
        for lane in self._lanes:
            if lane.kind in ('road', 'parking'):
                there = begin + (reach + side * lane.offset) / speed
                width = 2.2 / speed  # seconds from the middle of the lane to its edge
                for time in np.arange(there - width, there + width, 0.25):
                    if self._is_own(lane) and -6 < y - self._drive.y(time) < 6:
                        return False
                    for other in self._row(lane, time, y - 12, y + 12):
                        if abs(other.ground[1] - y) < other.size[0] / 2 + 1.2:
                            return False
        return True
