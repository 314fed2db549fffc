"""
A synthetic road with exact ground truth: perspective, occlusion, exit and return, changing light.

The picture for tests, benchmarks, the demo and for training when no camera is at hand.  Every
image is a function of the constructor's arguments and its index alone, so any image can be had at
any time, in any order and in any process.  No ROS here.
"""

from dataclasses import dataclass
import math

from acme_tracking.labels import CLASSES
from acme_tracking.positions.camera import Calibration
from acme_tracking.scene import models
from acme_tracking.scene.ego import Drive, MANNERS
from acme_tracking.scene.ground import paint_background, Road, sample_noise, tile_noise
from acme_tracking.scene.motion import ground_depth, motion_of, place, solid_depth, STEP
from acme_tracking.scene.painting import Footprint, painting_order
from acme_tracking.scene.surroundings import Surroundings
from acme_tracking.scene.traffic import kerbside, person, plan_lanes, Traffic, unit, vehicle
import cv2
import numpy as np

TARGET_ID = 1
DRIVES = tuple(MANNERS)
CAMERAS = 'fixed', *DRIVES


@dataclass(frozen=True, eq=False)
class Truth:
    """
    What an image shows: N objects with a part in the picture, hidden or not, far to near.

    boxes: float32 (N, 4), x1 y1 x2 y2 in pixels, the extent as if nothing stood before the object,
    clipped to the image.  labels: str (N,), of `CLASSES`.  ids: int64 (N,), the same for the same
    object in every image.  visibility: float32 (N,) in [0, 1], the share of the object's pixels
    that is inside the image and not hidden.

    positions: float64 (N, 2), the middle of where it stands on the ground, metres in the world.
    headings: float64 (N, 2), unit vectors.  sizes: float64 (N, 3), length, width, height, metres.
    """

    boxes: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    visibility: np.ndarray
    positions: np.ndarray
    headings: np.ndarray
    sizes: np.ndarray

    def __len__(self):
        """Return the number of objects."""
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class _Thing:
    """A mover ready to be drawn: polygons, shadow, its extent in pixels."""

    mover: object
    polygons: list
    shadow: list
    extent: np.ndarray
    footprint: Footprint

    def paint(self, image):
        """Paint it on an image."""
        models.paint(image, self.polygons)

    def silhouette(self, limit):
        """
        Return the object's own pixels as (mask uint8, (column, row) of its first pixel).

        It reaches out of the picture, at most `limit` pixels before its corner and twice as much
        after.
        """
        x1, y1, x2, y2 = np.clip(self.extent, -limit, 2 * limit)
        origin = math.floor(x1) - 2, math.floor(y1) - 2
        mask = np.zeros((math.ceil(y2) + 3 - origin[1], math.ceil(x2) + 3 - origin[0]), np.uint8)
        models.paint(mask, [(points, 1) for points, _ in self.polygons], origin, cv2.LINE_8)
        return mask, origin


class _Furniture:
    """A still thing in front of traffic (tree, post, pillar, gantry, board), painted once."""

    def __init__(self, polygons, footprint, size):
        self.extent = x1, y1, x2, y2 = models.extent(polygons)
        low = max(math.floor(x1) - 1, 0), max(math.floor(y1) - 1, 0)
        high = min(math.ceil(x2) + 1, size[0]), min(math.ceil(y2) + 1, size[1])
        shape = max(high[1] - low[1], 0), max(high[0] - low[0], 0)
        self.footprint = footprint
        self._window = slice(low[1], low[1] + shape[0]), slice(low[0], low[0] + shape[1])
        self._picture = np.zeros((*shape, 3), np.uint8)
        self._mask = np.zeros(shape, np.uint8)
        if self._mask.size:
            models.paint(self._picture, polygons, low, cv2.LINE_8)
            models.paint(self._mask, [(points, 255) for points, _ in polygons], low, cv2.LINE_8)

    def paint(self, image):
        """Copy the thing into an image."""
        cv2.copyTo(self._picture, self._mask, image[self._window])

    def hide(self, owner):
        """Take the pixels of the thing from the objects behind it."""
        owner[self._window][self._mask > 0] = 0


def _check(condition, name, value, expected):
    if not condition:
        raise ValueError(f'{name} must be {expected}, got {value!r}')


class Scene:
    """
    A road seen by a camera; `seed` chooses road, camera, time of day and traffic.

    `rate` is in images per second: image `index` shows the scene `index / rate` seconds after its
    start. `density` in [0, 1] is the share of the places in the lanes and on the pavements that
    are taken.

    `camera` is 'fixed', a traffic camera, or one of `DRIVES`, which goes along an endless road:
    'driving', 'turning' (through tight bends) and 'braking' (before people who cross) in a car,
    'handheld' on the pavement, and 'drone'.

    `target` adds one object of that label which goes to and fro across the picture of a fixed
    camera for ever, at a constant distance and `target_speed` metres per second (a vehicle
    reverses on its way back); its id is `TARGET_ID`, and no tree, post or pillar stands in its
    way.

    `occlusion` (start, duration) in seconds: a board hides one object of a fixed camera completely
    during that time, the target or else the object nearest to the middle of the picture;
    `hidden_id` says which.

    ValueError names an argument that is out of range.
    """

    def __init__(self, width=640, height=360, seed=0, rate=30.0, density=0.5, target=None,
                 target_speed=4.0, occlusion=None, camera='fixed'):
        _check(64 <= width <= 8192, 'width', width, 'from 64 to 8192 pixels')
        _check(64 <= height <= 8192, 'height', height, 'from 64 to 8192 pixels')
        _check(seed >= 0, 'seed', seed, '0 or more')
        _check(0 < rate <= 1000, 'rate', rate, 'above 0 and at most 1000 images per second')
        _check(0 <= density <= 1, 'density', density, 'from 0 to 1')
        _check(target is None or target in CLASSES, 'target', target, f'None or one of {CLASSES}')
        _check(0 < target_speed <= 50, 'target_speed', target_speed, 'above 0 and at most 50 m/s')
        _check(camera in CAMERAS, 'camera', camera, f'one of {CAMERAS}')
        for name, value in (('target', target), ('occlusion', occlusion)):
            _check(camera == 'fixed' or value is None, name, value, f'None with camera {camera!r}')
        self.width, self.height, self.seed = int(width), int(height), int(seed)
        self.rate, self.density = float(rate), float(density)
        self.target, self.target_speed = target, float(target_speed)
        self._board = self._board_time = self.hidden_id = None
        if camera == 'fixed':
            self._plan_fixed(np.random.default_rng((self.seed, 0)))
        else:
            self._plan_drive(camera, np.random.default_rng((self.seed, 1 + DRIVES.index(camera))))
        if occlusion is not None:
            self._plan_board(*occlusion)

    def render(self, index):
        """Return image `index` as BGR uint8 (height, width, 3)."""
        time, camera = self._time(index), self.camera(index)
        things = self._things(time)
        image = self._shadowed(self._empty(camera), things)
        for item in self._ordered(things, time):
            item.paint(image)
        image = cv2.multiply(image, self._weather(camera, time), scale=1 / 128)
        image = cv2.GaussianBlur(image, (3, 3), self._blur)
        return cv2.addWeighted(image, 1.0, self._noise(index), 1.0, -128.0)

    def truth(self, index):
        """Return what image `index` shows, as a `Truth`."""
        time = self._time(index)
        owner = np.zeros((self.height, self.width), np.int32)
        things, sizes = [], []
        for item in self._ordered(self._things(time), time):
            if isinstance(item, _Thing):
                things.append(item)
                sizes.append(self._own(owner, item, len(things)))
            else:
                item.hide(owner)
        seen = np.bincount(owner.ravel(), minlength=len(things) + 1)[1:]
        boxes = np.array([t.extent for t in things], np.float32).reshape(-1, 4)
        limits = np.array([self.width, self.height] * 2, np.float32)
        movers = [t.mover for t in things]
        return Truth(np.clip(boxes, 0, limits), np.array([m.label for m in movers], dtype='U10'),
                     np.array([m.identity for m in movers], np.int64),
                     (seen / np.maximum(sizes, 1)).astype(np.float32),
                     np.array([m.ground for m in movers], float).reshape(-1, 2),
                     np.array([m.heading for m in movers], float).reshape(-1, 2),
                     np.array([m.size for m in movers], float).reshape(-1, 3))

    def motion(self, index):
        """Return how all that is on the road at image `index`, seen or not, moves: a `Motion`."""
        time = self._time(index)
        return motion_of(*(place(self._movers(moment), self._camera_at(moment)) for moment in
                           (max(time - STEP, 0.0), time, time + STEP)), STEP + min(time, STEP))

    def depth(self, index):
        """
        Return how far image `index` shows things, metres along the viewing direction.

        float32 (height, width), NaN for the sky and what stands beside the road.  Objects are as
        deep as the upright boxes around them.
        """
        time, camera = self._time(index), self.camera(index)
        depth = ground_depth(camera)
        for item in self._ordered(self._things(time), time):
            if isinstance(item, _Thing):
                mask = np.zeros(depth.shape, np.uint8)
                models.paint(mask, [(points, 1) for points, _ in item.polygons], line=cv2.LINE_8)
                pixels = np.nonzero(mask)
                depth[pixels] = solid_depth(item.mover, camera, *pixels)
            else:
                item.hide(depth)
        return np.where(depth > 0, depth, np.nan)

    def camera(self, index):
        """Return the camera that takes image `index`, as `models.Camera`: place, axes, focal."""
        return self._camera_at(self._time(index))

    @property
    def calibration(self):
        """What camera_info says of the camera, a `positions.camera.Calibration`."""
        camera = self._camera_at(0.0)
        matrix = np.array([[camera.focal, 0.0, camera.width / 2 - 0.5],
                           [0.0, camera.focal, camera.height_px / 2 - 0.5], [0.0, 0.0, 1.0]])
        projection = np.hstack([matrix, np.zeros((3, 1))])
        return Calibration(camera.width, camera.height_px, 'plumb_bob',
                           tuple(matrix.ravel().tolist()), (0.0,) * 5,
                           tuple(projection.ravel().tolist()))

    def _camera_at(self, time):
        if self._drive is None:
            return self._camera
        return self._drive.camera(time, self.width, self.height, self._focal)

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

    def _plan_fixed(self, rng):
        """Plan a road seen by a traffic camera."""
        self._drive = self._surroundings = None
        lanes = self._plan_road(rng)
        self._plan_camera(rng)
        self._plan_light(rng)
        self._traffic = Traffic(self._road, lanes, self._fleet(rng, (0.62, 0.18, 0.1, 0.1)),
                                self.seed, self.density)
        self._plan_target(rng)
        self._background = paint_background(self._road, self._camera, self._light, rng)
        self._plan_furniture(rng, lanes)
        self._plan_weather(rng)

    def _plan_drive(self, kind, rng):
        """Plan an endless road and the way of a camera along it."""
        swing, wave = (rng.uniform(*MANNERS[kind].swing), rng.uniform(*MANNERS[kind].wave))
        self._road = Road(
            lanes=int(rng.choice((1, 2), p=(0.6, 0.4))), lane_width=rng.uniform(3.2, 3.6),
            median=0.4, crossing=rng.uniform(20, 60), parking=2.5, swing=swing, wave=wave)
        lanes = plan_lanes(self._road, rng)
        self._drive = Drive(kind, self._road, lanes, rng)
        lanes += kerbside(self._road, lanes)
        self._focal = max(self.width, self.height * 16 / 9) * rng.uniform(0.8, 1.0)
        self._plan_light(rng)
        fleet = self._fleet(rng, (0.5, 0.13, 0.12, 0.25))
        self._traffic = Traffic(self._road, lanes, fleet, self.seed, self.density, self._drive)
        self._surroundings = Surroundings(self._road, self._light, self.seed, rng)
        self._furniture = []
        self._plan_weather(rng)

    def _plan_road(self, rng):
        """Plan the road of a fixed camera; return its lanes."""
        lanes = int(rng.choice((1, 2, 3), p=(0.25, 0.5, 0.25)))
        far = rng.uniform(85, 115)
        self._road = road = Road(
            lanes=lanes, lane_width=rng.uniform(3.3, 3.7),
            median=float(rng.choice((0.4, 2.6))) if lanes > 1 else 0.4,
            middle=float(rng.choice((-1, 1))) * rng.uniform(0, 3.5 * lanes + 8), far=far,
            bend=rng.uniform(-1, 1) * 9 / far ** 2,
            crossing=rng.uniform(17, 30) if rng.random() < 0.4 else 0.0)
        return plan_lanes(road, rng)

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

    def _fleet(self, rng, shares):
        """Return vehicles, (label, model) each, with about these shares of the kinds."""
        mix = 0.5 * rng.dirichlet((9, 2.5, 1.5, 1.2)) + 0.5 * np.array(shares)
        labels = [CLASSES[k] for k in rng.choice(4, 40, p=mix)]
        return [(label, models.MODELS[label](rng)) for label in labels]

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

    def _plan_furniture(self, rng, lanes):
        """Put trees and lamp posts at the near kerb, a pillar in the median, a gantry across."""
        self._furniture = []
        if self.target is not None:
            return
        road, camera = self._road, self._camera
        near = math.copysign(road.half + 3.3, -road.middle)
        gantry = rng.uniform(36, 50) if rng.random() < 0.6 else None
        items = []
        for y in np.arange(rng.uniform(12, 22), 70, rng.uniform(18, 30)):
            leaves = models.LEAVES[rng.integers(len(models.LEAVES))]
            items.append((near, y, 0.5, models.tree_polygons(
                camera, self._light, rng, road.place(near, y), rng.uniform(4, 6),
                rng.uniform(1.2, 1.9), leaves)))
        items += [(0.97 * near, y, 0.2, self._standing(models.lamp_post(), 0.97 * near, y))
                  for y in np.arange(rng.uniform(16, 26), 80, 27)]
        if road.median > 1:
            y = rng.uniform(22, 34)
            items.append((0.0, y, 2.0, self._standing(models.pillar(), 0.0, y)))
        if gantry:
            over = [lane.offset for lane in lanes if lane.kind == 'road']
            signs = [-offset for offset in over if rng.random() < 0.7]
            wide = road.half + 0.9
            items.append((0.0, gantry, 2 * wide,
                          self._standing(models.gantry(wide, signs, rng), 0.0, gantry)))
        self._furniture = [
            _Furniture(polygons, Footprint(road.place(s, y), road.along(y), min(wide, 1.2), wide),
                       (self.width, self.height)) for s, y, wide, polygons in items if polygons]

    def _standing(self, mesh, s, y):
        return models.mesh_polygons(mesh, self._camera, self._light, self._road.place(s, y),
                                    self._road.along(y))

    def _plan_weather(self, rng):
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
        boxes = {t.mover.identity: t.extent for t in self._things(start)}
        boxes = {i: b for i, b in boxes.items() if b[:2].min() >= 0 and (b[2:] <= size).all()}
        _check(boxes, 'occlusion', (start, duration), 'at a time when an object is wholly in view')
        self.hidden_id = TARGET_ID if TARGET_ID in boxes else min(
            boxes, key=lambda i: np.linalg.norm(boxes[i][:2] + boxes[i][2:] - size))
        steps = np.linspace(start, start + duration, 2 + math.ceil(duration * 30))
        extents = np.array([t.extent for time in steps
                            for t in self._things(time, self.hidden_id)
                            if t.mover.identity == self.hidden_id])
        low, high = extents.min(axis=0)[:2] - 5, extents.max(axis=0)[2:] + 5
        self._board = _Furniture(models.board_polygons(low, high), None, size)
        self._board_time = start, start + duration

    # The moment: what is where at a time, in seconds.

    def _things(self, time, only=None):
        """Return every object with a part in the picture, in no order; of the lanes `only` one."""
        camera = self._camera_at(time)
        things = [self._thing(mover, camera) for mover in self._movers(time, only)]
        return [thing for thing in things if thing is not None]

    def _movers(self, time, only=None):
        target = [self._target_mover(time)] if self.target else []
        return [*target, *self._traffic.at(time, only)]

    def _ordered(self, things, time):
        """Return objects and furniture in painting order, what is behind first."""
        camera = self._camera_at(time)
        items = [*things, *self._furniture]
        if self._surroundings:
            items += self._surroundings.standing(camera)
        order = painting_order([item.footprint for item in items],
                               np.array([item.extent for item in items]), camera.position[:2])
        items = [items[index] for index in order]
        if self._board and self._board_time[0] <= time <= self._board_time[1]:
            items.append(self._board)
        return items

    def _empty(self, camera):
        """Return the ground and the sky."""
        return self._surroundings.background(camera) if self._surroundings else self._background

    def _target_mover(self, time):
        swing = self._target_swing
        leg, rest = divmod(self.target_speed * time + 0.3 * swing, 2 * swing)
        back = leg % 2 == 1
        across = np.array([math.cos(self._camera.yaw), -math.sin(self._camera.yaw)])
        ground = self._target_middle + across * (swing - rest if back else rest - swing)
        if self._target_model:
            return vehicle(TARGET_ID, self.target, self._target_model, ground, across)
        return person(TARGET_ID, ground, -across if back else across, rest, 0.3)

    def _thing(self, mover, camera):
        """Return the mover as the camera sees it, None if it is out of the picture."""
        right, _, depth = camera.to_view(np.array([*mover.ground, 0.0]))
        reach = max(mover.size[0], 1.0)
        if depth < -reach or abs(right) > depth * camera.spread + 2 * reach:
            return None
        # there is less light on what comes out from under the far bridge
        dim = min(1.0, max(0.12, (self._road.far - mover.ground[1]) / 14))
        polygons = (models.mesh_polygons(mover.model, camera, self._light, mover.ground,
                                         mover.heading, dim, mover.braking) if mover.model else
                    models.person_polygons(camera, self._light, mover.ground, mover.heading,
                                           mover.stride, mover.looks, dim))
        if not polygons:
            return None
        x1, y1, x2, y2 = extent = models.extent(polygons)
        if x2 <= 1 or y2 <= 1 or x1 >= self.width - 1 or y1 >= self.height - 1:
            return None
        if self._surroundings:
            polygons = self._surroundings.hazed(polygons, depth)
        return _Thing(mover, polygons, self._shadow(mover, camera), extent,
                      Footprint(mover.ground, mover.heading, *mover.size[:2]))

    def _shadow(self, mover, camera):
        """Return (points, brightness) of the shadows that an upright box throws on the ground."""
        (length, width, height), ground, heading = mover.size, mover.ground, mover.heading
        ahead = np.array([*heading, 0]) * length / 2
        aside = np.array([-heading[1], heading[0], 0]) * width / 2
        corners = [ahead + aside, ahead - aside, -ahead - aside, aside - ahead]
        foot = np.array([*ground, 0]) + corners
        reach = np.zeros(3)
        if self._sunny:
            sun = self._light.sun
            reach[:2] = -0.8 * height / max(sun[2], 0.35) * sun[:2]
        contact, far = models.project_flat(camera, foot, foot + reach)
        if contact is None:
            return []
        return [(far, 140), (contact, 120)] if self._sunny else [(contact, 120)]

    def _shadowed(self, background, things):
        """Return the background with the shadows of the objects on it."""
        shade = np.full((self.height, self.width), 255, np.uint8)
        for thing in things:
            models.paint(shade, thing.shadow)
        shade = cv2.blur(shade, (5, 3))
        shade = cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR)
        return cv2.multiply(background, shade, scale=1 / 255)

    def _weather(self, camera, time):
        """Return the light of the moment, 128 for normal, uint8 (height, width, 3)."""
        x, y = camera.scaled(1 / 20).ground()
        x = np.clip(np.nan_to_num(x, nan=150), -150, 150)
        y = np.clip(np.nan_to_num(y, nan=150), 0, 150)
        across, along = self._cloud_drift * time + (camera.x, camera.y)
        clouds = sample_noise(self._clouds, x + across, y + along, 1.2)
        global_light = 1 + 0.1 * math.sin(2 * math.pi * time / self._drift_period)
        light = 128 * global_light * (1 - self._cloud_depth * np.clip(clouds, 0, 1.5))
        small = np.clip(light, 0, 255).astype(np.uint8)
        large = cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(large, cv2.COLOR_GRAY2BGR)

    def _noise(self, index):
        """Return the sensor's noise, 128 for none, uint8 (height, width, 3)."""
        row, column = (int(65 * unit(self.seed, index, salt)) for salt in (0, 1))
        return self._grain[row:row + self.height, column:column + self.width]
