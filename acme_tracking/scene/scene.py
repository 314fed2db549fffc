"""
A synthetic road with exact ground truth: perspective, occlusion, exit and return, changing light.

The picture for tests, benchmarks, the demo and for training when no camera is at hand.  Every
image is a function of the constructor's arguments and its index alone, so any image can be had at
any time, in any order and in any process.  No ROS here.
"""

from dataclasses import dataclass
import math

from acme_tracking.labels import CLASSES
from acme_tracking.scene import models
from acme_tracking.scene.ground import paint_background, Road, sample_noise, tile_noise
import cv2
import numpy as np

TARGET_ID = 1
STROLLER_ID = 2
FIRST_LANE_ID = 3
SLOTS = 100_000  # places in a lane before time 0 that still give an id above 0
GAP = {'road': 20.0, 'pavement': 6.0}  # metres from place to place, above the longest vehicle
SHARE = {'road': 1.0, 'pavement': 0.5}  # of the places that are taken at density 1
START = -10.0  # metres ahead of the camera where receding traffic begins, out of its view
TURN_EVERY = 5  # one place in so many of lane 0 holds a vehicle that comes back in lane 1
MASK = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class Truth:
    """
    What an image shows: N objects with a part in the picture, hidden or not, far to near.

    boxes: float32 (N, 4), x1 y1 x2 y2 in pixels, the extent as if nothing stood before the object,
    clipped to the image.  labels: str (N,), of `CLASSES`.  ids: int64 (N,), the same for the same
    object in every image.  visibility: float32 (N,) in [0, 1], the share of the object's pixels
    that is inside the image and not hidden.
    """

    boxes: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    visibility: np.ndarray

    def __len__(self):
        """Return the number of objects."""
        return len(self.ids)


@dataclass(frozen=True)
class _Lane:
    kind: str  # 'road' or 'pavement'
    number: int
    offset: float  # metres right of the road's middle
    direction: int  # 1 away from the camera, -1 towards it
    speed: float  # metres per second
    phase: float  # seconds


@dataclass(frozen=True, eq=False)
class _Thing:
    """An object ready to be drawn: polygons, shadow, its place in the painting order."""

    identity: int
    label: str
    polygons: list
    shadow: list
    order: tuple

    def silhouette(self, limit):
        """
        Return the object's own pixels as (mask uint8, (column, row) of its first pixel).

        It reaches out of the picture, at most `limit` pixels before its corner and twice as much
        after.
        """
        x1, y1, x2, y2 = np.clip(models.extent(self.polygons), -limit, 2 * limit)
        origin = math.floor(x1) - 2, math.floor(y1) - 2
        mask = np.zeros((math.ceil(y2) + 3 - origin[1], math.ceil(x2) + 3 - origin[0]), np.uint8)
        models.paint(mask, [(points, 1) for points, _ in self.polygons], origin, cv2.LINE_8)
        return mask, origin


class _Furniture:
    """A still thing in front of traffic (tree, post, pillar, gantry, board), painted once."""

    def __init__(self, polygons, order, size):
        x1, y1, x2, y2 = models.extent(polygons)
        low = max(math.floor(x1) - 1, 0), max(math.floor(y1) - 1, 0)
        high = min(math.ceil(x2) + 1, size[0]), min(math.ceil(y2) + 1, size[1])
        shape = max(high[1] - low[1], 0), max(high[0] - low[0], 0)
        self.order = order
        self.window = slice(low[1], low[1] + shape[0]), slice(low[0], low[0] + shape[1])
        self.picture = np.zeros((*shape, 3), np.uint8)
        mask = np.zeros(shape, np.uint8)
        if mask.size:
            models.paint(self.picture, polygons, low, cv2.LINE_8)
            models.paint(mask, [(points, 255) for points, _ in polygons], low, cv2.LINE_8)
        self.mask = mask

    def paint(self, image):
        """Copy the thing into an image."""
        cv2.copyTo(self.picture, self.mask, image[self.window])

    def hide(self, owner):
        """Take the pixels of the thing from the objects behind it."""
        owner[self.window][self.mask > 0] = 0


def _unit(*keys):
    """Hash integers to a number in [0, 1), chance without state (SplitMix64, Steele 2014)."""
    state = 0
    for key in keys:
        state = ((state ^ (key & MASK)) + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state / (MASK + 1)


def _check(condition, name, value, expected):
    if not condition:
        raise ValueError(f'{name} must be {expected}, got {value!r}')


class Scene:
    """
    A road seen by a traffic camera; `seed` chooses road, camera, time of day and traffic.

    `rate` is in images per second: image `index` shows the scene `index / rate` seconds after its
    start. `density` in [0, 1] is the share of the places in the lanes and on the pavements that
    are taken.

    `target` adds one object of that label which goes to and fro across the picture for ever, at a
    constant distance from the camera and `target_speed` metres per second (a vehicle reverses on
    its way back); its id is `TARGET_ID`, and no tree, post or pillar stands in its way.

    `occlusion` (start, duration) in seconds: a board hides one object completely during that time,
    the target or else the object nearest to the middle of the picture; `hidden_id` says which.

    ValueError names an argument that is out of range.
    """

    def __init__(self, width=640, height=360, seed=0, rate=30.0, density=0.5, target=None,
                 target_speed=4.0, occlusion=None):
        _check(64 <= width <= 8192, 'width', width, 'from 64 to 8192 pixels')
        _check(64 <= height <= 8192, 'height', height, 'from 64 to 8192 pixels')
        _check(seed >= 0, 'seed', seed, '0 or more')
        _check(0 < rate <= 1000, 'rate', rate, 'above 0 and at most 1000 images per second')
        _check(0 <= density <= 1, 'density', density, 'from 0 to 1')
        _check(target is None or target in CLASSES, 'target', target, f'None or one of {CLASSES}')
        _check(0 < target_speed <= 50, 'target_speed', target_speed, 'above 0 and at most 50 m/s')
        self.width, self.height, self.seed = int(width), int(height), int(seed)
        self.rate, self.density = float(rate), float(density)
        self.target, self.target_speed = target, float(target_speed)
        rng = np.random.default_rng((self.seed, 0))
        self._plan_road(rng)
        self._plan_camera(rng)
        self._plan_light(rng)
        self._plan_traffic(rng)
        self._plan_target(rng)
        self._background = paint_background(self._road, self._camera, self._light, rng)
        self._plan_furniture(rng)
        self._plan_weather(rng)
        self._board = self._board_time = self.hidden_id = None
        if occlusion is not None:
            self._plan_board(*occlusion)

    def render(self, index):
        """Return image `index` as BGR uint8 (height, width, 3)."""
        time = self._time(index)
        things = self._things(time)
        image = self._shadowed(things)
        for item in self._ordered(things, time):
            if isinstance(item, _Furniture):
                item.paint(image)
            else:
                models.paint(image, item.polygons)
        image = cv2.multiply(image, self._weather(time), scale=1 / 128)
        image = cv2.GaussianBlur(image, (3, 3), self._blur)
        return cv2.addWeighted(image, 1.0, self._noise(index), 1.0, -128.0)

    def truth(self, index):
        """Return what image `index` shows, as a `Truth`."""
        time = self._time(index)
        owner = np.zeros((self.height, self.width), np.int32)
        things, sizes = [], []
        for item in self._ordered(self._things(time), time):
            if isinstance(item, _Furniture):
                item.hide(owner)
            else:
                things.append(item)
                sizes.append(self._own(owner, item, len(things)))
        seen = np.bincount(owner.ravel(), minlength=len(things) + 1)[1:]
        boxes = np.array([models.extent(t.polygons) for t in things], np.float32).reshape(-1, 4)
        limits = np.array([self.width, self.height] * 2, np.float32)
        return Truth(np.clip(boxes, 0, limits), np.array([t.label for t in things], dtype='U10'),
                     np.array([t.identity for t in things], np.int64),
                     (seen / np.maximum(sizes, 1)).astype(np.float32))

    def _own(self, owner, thing, number):
        """Write `number` on the object's pixels of `owner`; return how many it has in all."""
        mask, (x, y) = thing.silhouette(max(self.width, self.height))
        left, top = max(0, -x), max(0, -y)
        inside = mask[top:max(top, self.height - y), left:max(left, self.width - x)] > 0
        rows, columns = inside.shape
        owner[y + top:y + top + rows, x + left:x + left + columns][inside] = number
        return cv2.countNonZero(mask)

    def _time(self, index):
        _check(index >= 0, 'index', index, '0 or more')
        return index / self.rate

    # The plan: everything that is the same in all images.

    def _plan_road(self, rng):
        lanes = int(rng.choice((1, 2, 3), p=(0.25, 0.5, 0.25)))
        far = rng.uniform(85, 115)
        self._road = road = Road(
            lanes=lanes, lane_width=rng.uniform(3.3, 3.7),
            median=float(rng.choice((0.4, 2.6))) if lanes > 1 else 0.4,
            middle=float(rng.choice((-1, 1))) * rng.uniform(0, 3.5 * lanes + 8), far=far,
            bend=rng.uniform(-1, 1) * 9 / far ** 2,
            crossing=rng.uniform(17, 30) if rng.random() < 0.4 else 0.0)
        hand = 1 if rng.random() < 0.6 else -1  # traffic keeps right or left
        speed = rng.uniform(7, 12)
        self._lanes = []
        for lane in range(lanes):
            offset = hand * (road.median / 2 + (lane + 0.5) * road.lane_width)
            pace, phase = speed * (1 - 0.12 * lane), rng.uniform(100, 1000)
            for direction in (1, -1):
                self._lanes.append(_Lane('road', len(self._lanes), direction * offset, direction,
                                         pace, phase))
        for offset in (-1.9, -1.0, 1.0, 1.9):
            self._lanes.append(_Lane('pavement', len(self._lanes),
                                     offset + math.copysign(road.half + 0.2, offset),
                                     1 if abs(offset) > 1.5 else -1, rng.uniform(1.1, 1.6),
                                     rng.uniform(100, 1000)))
        # Lanes 0 and 1 move alike, so whoever turns round comes back a fixed number of places
        # later.
        self._turn = math.ceil((2 * far + 6 * speed) / GAP['road'])

    def _plan_camera(self, rng):
        height, aim = rng.uniform(6.5, 10), rng.uniform(26, 38)
        yaw = math.atan2(self._road.middle * rng.uniform(0.75, 1), aim)
        focal = max(self.width, self.height * 16 / 9) * rng.uniform(0.85, 1.15)
        self._camera = models.Camera(self.width, self.height, height, yaw,
                                     math.atan2(height, aim), focal)

    def _plan_light(self, rng):
        kind = str(rng.choice(('day', 'overcast', 'evening', 'dusk'), p=(0.5, 0.25, 0.15, 0.1)))
        turn = rng.uniform(0, 2 * math.pi)
        rise, direct, ambient = {
            'day': (rng.uniform(0.7, 1.2), (0.52, 0.58, 0.62), (0.54, 0.5, 0.46)),
            'overcast': (1.2, (0.12, 0.12, 0.12), (0.8, 0.78, 0.76)),
            'evening': (rng.uniform(0.35, 0.55), (0.34, 0.52, 0.66), (0.5, 0.44, 0.42)),
            'dusk': (0.6, (0.04, 0.04, 0.04), (0.55, 0.47, 0.43))}[kind]
        sun = math.cos(rise) * np.array([math.cos(turn), math.sin(turn), math.tan(rise)])
        self._light = models.Light(sun, np.array(direct), np.array(ambient), kind == 'dusk')
        self._sunny = kind in ('day', 'evening')

    def _plan_traffic(self, rng):
        mix = 0.5 * rng.dirichlet((9, 2.5, 1.5, 1.2)) + 0.5 * np.array((0.62, 0.18, 0.1, 0.1))
        labels = [CLASSES[k] for k in rng.choice(4, 40, p=mix)]
        self._fleet = [(label, models.MODELS[label](rng)) for label in labels]

    def _plan_target(self, rng):
        if self.target is None:
            return
        is_person = self.target == 'person'
        self._target_model = None if is_person else models.MODELS[self.target](rng)
        length, height = (0.8, 1.7) if is_person else (self._target_model.length,
                                                       self._target_model.height)
        camera = self._camera
        lowest = camera.focal * camera.height / math.cos(camera.pitch) / (
            0.25 * self.height + camera.focal * math.tan(camera.pitch))
        depth = max(lowest, camera.focal * max(length, 1.6 * height) / (self.width / 6.5))
        reach = (depth - camera.height * math.sin(camera.pitch)) / math.cos(camera.pitch)
        self._target_middle = reach * np.array([math.sin(camera.yaw), math.cos(camera.yaw)])
        self._target_swing = depth * self.width / 2 / camera.focal - 0.75 * length - 0.5

    def _plan_furniture(self, rng):
        """Put trees and lamp posts at the near kerb, a pillar in the median, a gantry across."""
        self._furniture, self._gantry = [], None
        if self.target is not None:
            return
        road, camera = self._road, self._camera
        near = math.copysign(road.half + 3.3, -road.middle)
        self._gantry = rng.uniform(36, 50) if rng.random() < 0.6 else None
        items = []
        for y in np.arange(rng.uniform(12, 22), 70, rng.uniform(18, 30)):
            leaves = models.LEAVES[rng.integers(len(models.LEAVES))]
            items.append((near, y, models.tree_polygons(
                camera, self._light, rng, road.place(near, y), rng.uniform(4, 6),
                rng.uniform(1.2, 1.9), leaves)))
        items += [(0.97 * near, y, self._standing(models.lamp_post(), 0.97 * near, y))
                  for y in np.arange(rng.uniform(16, 26), 80, 27)]
        if road.median > 1:
            y = rng.uniform(22, 34)
            items.append((0.0, y, self._standing(models.pillar(), 0.0, y)))
        furniture = [(polygons, self._order(s, y)) for s, y, polygons in items]
        if self._gantry:
            over = [lane.offset for lane in self._lanes if lane.kind == 'road']
            signs = [-offset for offset in over if rng.random() < 0.7]
            gantry = models.gantry(road.half + 0.9, signs, rng)
            furniture.append((self._standing(gantry, 0.0, self._gantry), (1,)))
        size = self.width, self.height
        self._furniture = [_Furniture(p, order, size) for p, order in furniture if p]

    def _standing(self, mesh, s, y):
        return models.mesh_polygons(mesh, self._camera, self._light, self._road.place(s, y),
                                    self._road.along(y))

    def _plan_weather(self, rng):
        x, y = self._camera.scaled(1 / 20).ground()
        self._cloud_x = np.clip(np.nan_to_num(x, nan=150), -150, 150)
        self._cloud_y = np.clip(np.nan_to_num(y, nan=150), 0, 150)
        self._clouds = tile_noise(rng, 128, 3)
        self._cloud_depth = rng.uniform(0.08, 0.25) if self._sunny else 0.04
        self._cloud_drift = rng.uniform(-5, 5, 2)
        self._drift_period = rng.uniform(25, 60)
        self._blur = rng.uniform(0.5, 0.75)
        grain = rng.normal(128, rng.uniform(1.5, 3.5), (self.height + 64, self.width + 64, 3))
        self._grain = np.clip(np.round(grain), 0, 255).astype(np.uint8)

    def _plan_board(self, start, duration):
        """Let a board stand where the hidden object is from `start` for `duration` seconds."""
        _check(start >= 0 and duration > 0, 'occlusion', (start, duration),
               '(start, duration) in seconds, start 0 or more and duration above 0')
        size = np.array([self.width, self.height])
        boxes = {t.identity: models.extent(t.polygons) for t in self._things(start)}
        boxes = {i: b for i, b in boxes.items() if b[:2].min() >= 0 and (b[2:] <= size).all()}
        _check(boxes, 'occlusion', (start, duration), 'at a time when an object is wholly in view')
        self.hidden_id = TARGET_ID if TARGET_ID in boxes else min(
            boxes, key=lambda i: np.linalg.norm(boxes[i][:2] + boxes[i][2:] - size))
        steps = np.linspace(start, start + duration, 2 + math.ceil(duration * 30))
        extents = np.array([models.extent(t.polygons) for time in steps
                            for t in self._things(time, self.hidden_id)
                            if t.identity == self.hidden_id])
        low, high = extents.min(axis=0)[:2] - 5, extents.max(axis=0)[2:] + 5
        self._board = _Furniture(models.board_polygons(low, high), (3,), size)
        self._board_time = start, start + duration

    # The moment: what is where at a time, in seconds.

    def _things(self, time, only=None):
        """Return every object with a part in the picture, in no order; of the lanes `only` one."""
        things = [self._target_thing(time)] if self.target else []
        if self.density:
            things.append(self._stroller(time))
            for lane in self._lanes:
                things += self._lane_things(lane, time, only)
        return [thing for thing in things if thing is not None]

    def _ordered(self, things, time):
        """Return objects and furniture in painting order, what is behind first."""
        items = [*things, *self._furniture]
        if self._board and self._board_time[0] <= time <= self._board_time[1]:
            items.append(self._board)
        return sorted(items, key=lambda item: item.order)

    def _order(self, s, y):
        # Lanes are strips of ground: one farther to the side never stands before a nearer one, and
        # within a strip the farther is behind.  The gantry (1,) parts all this into two halves.
        behind = self._gantry is not None and y > self._gantry
        return (0 if behind else 2, -abs(s + self._road.middle), -y)

    def _lane_things(self, lane, time, only):
        gap, road = GAP[lane.kind], lane.kind == 'road'
        # Stop-and-go is common to the lane, so that nobody runs into the vehicle ahead.
        wave = 0.55 * time + lane.phase
        travelled = lane.speed * (time + lane.phase + (0.6 * math.sin(wave) if road else 0.0))
        braking = road and math.sin(wave) > 0.6
        first, last = (travelled - self._road.far + START) / gap, travelled / gap
        for place in range(math.floor(first), math.ceil(last) + 1):
            yield self._place_thing(lane, place, travelled - place * gap, braking, only)

    def _place_thing(self, lane, place, position, braking, only):
        """Return the object in one place of a lane, `position` metres after its start, or None."""
        number, origin = lane.number, place
        if number == 1 and (place - self._turn) % TURN_EVERY == 0:
            number, origin = 0, place - self._turn  # it left in lane 0 and turned out of sight
        identity = FIRST_LANE_ID + number + len(self._lanes) * (origin + SLOTS)
        if only not in (None, identity):
            return None
        taken = _unit(self.seed, number, origin) < self.density * SHARE[lane.kind]
        if not (taken or (number == 0 and origin % TURN_EVERY == 0)):
            return None
        chance = [_unit(self.seed, number, origin, salt) for salt in (1, 2, 3)]
        if lane.kind == 'pavement':
            return self._person(identity, lane.offset + 0.4 * chance[0],
                                self._ahead(lane, position), lane.direction, position, chance[1])
        label, model = self._fleet[int(chance[0] * len(self._fleet))]
        position += model.length / 2 + chance[1] * (GAP['road'] - model.length - 2.5)
        y = self._ahead(lane, position)
        if not START < y < self._road.far:
            return None
        s = lane.offset + 0.25 * math.sin(position / 17 + 6 * chance[2])
        ground, heading = self._road.place(s, y), self._road.along(y) * lane.direction
        return self._vehicle(identity, label, model, ground, heading, braking)

    def _ahead(self, lane, position):
        return START + position if lane.direction > 0 else self._road.far - position

    def _may_show(self, ground, reach):
        """Return whether something `reach` metres long that stands at `ground` may be in view."""
        right, _, depth = self._camera.to_view(np.array([*ground, 0.0]))
        return depth > -reach and abs(right) < depth * self._camera.spread + 2 * reach

    def _vehicle(self, identity, label, model, ground, heading, braking=False):
        if not self._may_show(ground, model.length):
            return None
        polygons = models.mesh_polygons(model, self._camera, self._light, ground, heading,
                                        self._dim(ground[1]), braking)
        size = model.length, model.width, model.height
        return self._thing(identity, label, polygons, ground, heading, size)

    def _person(self, identity, s, y, direction, walked, chance):
        if not 2 < y < self._road.far:
            return None
        return self._walker(identity, self._road.place(s, y), self._road.along(y) * direction,
                            walked, chance)

    def _walker(self, identity, ground, heading, walked, chance):
        if not self._may_show(ground, 1.0):
            return None
        looks = models.looks(chance)
        polygons = models.person_polygons(self._camera, self._light, ground, heading,
                                          2 * math.pi * walked / 1.45, looks, self._dim(ground[1]))
        return self._thing(identity, 'person', polygons, ground, heading, (0.35, 0.45, looks[0]))

    def _stroller(self, time):
        """Return the person who leaves the picture and comes back, for ever."""
        span = 45.0
        walked = 1.4 * time + span * _unit(self.seed, STROLLER_ID)
        leg, rest = divmod(walked, span)
        back = leg % 2 == 1
        s = math.copysign(self._road.half + 2.7, self._road.middle)
        y = START + (span - rest if back else rest)
        return self._person(STROLLER_ID, s, y, -1 if back else 1, walked, _unit(self.seed, 0))

    def _target_thing(self, time):
        swing = self._target_swing
        leg, rest = divmod(self.target_speed * time + 0.3 * swing, 2 * swing)
        back = leg % 2 == 1
        across = np.array([math.cos(self._camera.yaw), -math.sin(self._camera.yaw)])
        ground = self._target_middle + across * (swing - rest if back else rest - swing)
        if self._target_model:
            return self._vehicle(TARGET_ID, self.target, self._target_model, ground, across)
        return self._walker(TARGET_ID, ground, -across if back else across, rest, 0.3)

    def _dim(self, y):
        """Return the share of light on what comes out from under the far bridge."""
        return min(1.0, max(0.12, (self._road.far - y) / 14))

    def _thing(self, identity, label, polygons, ground, heading, size):
        if not polygons:
            return None
        x1, y1, x2, y2 = models.extent(polygons)
        if x2 <= 1 or y2 <= 1 or x1 >= self.width - 1 or y1 >= self.height - 1:
            return None
        return _Thing(identity, label, polygons, self._shadow(ground, heading, size),
                      self._order(self._road.offset(*ground), ground[1]))

    def _shadow(self, ground, heading, size):
        """Return (points, brightness) of the shadows that an upright box throws on the ground."""
        length, width, height = size
        ahead = np.array([*heading, 0]) * length / 2
        aside = np.array([-heading[1], heading[0], 0]) * width / 2
        corners = [ahead + aside, ahead - aside, -ahead - aside, aside - ahead]
        foot = np.array([*ground, 0]) + corners
        reach = np.zeros(3)
        if self._sunny:
            sun = self._light.sun
            reach[:2] = -0.8 * height / max(sun[2], 0.35) * sun[:2]
        contact, far = models.project_flat(self._camera, foot, foot + reach)
        if contact is None:
            return []
        return [(far, 140), (contact, 120)] if self._sunny else [(contact, 120)]

    def _shadowed(self, things):
        """Return the background with the shadows of the objects on it."""
        shade = np.full((self.height, self.width), 255, np.uint8)
        for thing in things:
            models.paint(shade, thing.shadow)
        shade = cv2.blur(shade, (5, 3))
        shade = cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR)
        return cv2.multiply(self._background, shade, scale=1 / 255)

    def _weather(self, time):
        """Return the light of the moment, 128 for normal, uint8 (height, width, 3)."""
        x, y = self._cloud_drift * time
        clouds = sample_noise(self._clouds, self._cloud_x + x, self._cloud_y + y, 1.2)
        global_light = 1 + 0.1 * math.sin(2 * math.pi * time / self._drift_period)
        light = 128 * global_light * (1 - self._cloud_depth * np.clip(clouds, 0, 1.5))
        small = np.clip(light, 0, 255).astype(np.uint8)
        large = cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(large, cv2.COLOR_GRAY2BGR)

    def _noise(self, index):
        """Return the sensor's noise, 128 for none, uint8 (height, width, 3)."""
        row, column = (int(65 * _unit(self.seed, index, salt)) for salt in (0, 1))
        return self._grain[row:row + self.height, column:column + self.width]
