"""
How well tracks are located: the locator's session is led through them, and judged by the truth.

The truth is on `ground_truth_3d` beside the images (vision_msgs/Detection3DArray, the ids of
`ground_truth`, in the frame of the vehicle); calibration, transforms and depth are those of the
bag.
"""
from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
import math

from acme_tracking import geometry
from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import CAMERA_INFO, DEPTH, GROUND_TRUTH_3D, IMAGE, POSITIONS
from acme_tracking.bags.transforms import Transforms
from acme_tracking.evaluation.outcome import Outcome
from acme_tracking.messages import calibration_from_msg, depth_from_msg, stamp_to_ns
from acme_tracking.metrics.positions import figures, nees
from acme_tracking.positions.camera import Mount
from acme_tracking.positions.locator import Positions
from acme_tracking.sessions.events import (
    CameraInfoArrived,
    DepthArrived,
    MountFound,
    PublishPositions,
    Tick,
    TracksArrived,
    Warn,
)
from acme_tracking.sessions.location import LocationSession, LocatorParameters
import numpy as np

MATCH = 0.5     # IoU of a track with the true box
NEAREST = 3.0   # metres from the camera to the object, of what counts
SETTLED = 1.0   # seconds that an object is followed before it counts
# Times to contact count of objects that will pass so many metres beside the camera, which is not
# higher above the street.
PASSING, HIGHEST = 4.0, 3.0
# True velocities are measured between the places of an object so many seconds before and after.
AROUND = 0.1
RANGES = (0, 10), (10, 20), (20, 40), (40, math.inf)  # metres, of the table


@dataclass(frozen=True)
class Place:
    """
    Where an object truly is in the frame of the vehicle, metres.

    x, y: the middle.  near: x of the part that is nearest.  contact: seconds until that is beside
    the camera, infinite for what does not come, or will not pass near it.
    """

    x: float
    y: float
    near: float
    contact: float = math.inf

    @classmethod
    def moving(cls, x, y, near, contact, aside) -> Place:
        """Return the place of an object that goes aside by so many m/s until its contact."""
        passes = math.isfinite(contact) and abs(y + aside * contact) <= PASSING
        return cls(x, y, near, contact if passes else math.inf)


class Samples:
    """What was told of objects beside the truth, as `metrics.positions` judges it."""

    def __init__(self, farthest: float = math.inf):
        """Begin without any; objects that are more than `farthest` metres ahead do not count."""
        self._farthest = farthest
        self.rows, self._since, self._objects = [], {}, {}

    def add(self, drive, seconds: float, positions: Positions, truth_ids, places) -> None:
        """
        Note positions at a moment of a drive (any name), by the true places of objects by id.

        truth_ids: (N,), the object that each track is on, -1 for none.  An object that is followed
        anew, as another track, settles anew.
        """
        for index, (track, identity) in enumerate(zip(positions.ids.tolist(), truth_ids)):
            since = self._since.setdefault((drive, track), seconds)
            place = places.get(int(identity))
            if (place is None or seconds - since < SETTLED or place.near < NEAREST
                    or place.x > self._farthest):
                continue
            off = positions.states[index, :2] - (place.x, place.y)
            known = bool(np.isfinite(off).all())
            self.rows.append((
                self._objects.setdefault((drive, track), len(self._objects)), place.x, *off,
                nees([off], [positions.covariances[index, :2, :2]])[0] if known else math.nan,
                positions.times_to_contact[index], place.contact))


def matched(tracks, truth) -> np.ndarray:
    """Return the identity of the true box of the same class that each track is on, or -1."""
    if not len(truth):
        return np.full(len(tracks), -1)
    overlaps = geometry.iou(tracks.boxes, truth.boxes) * (
        tracks.labels[:, np.newaxis] == truth.labels)
    best = overlaps.argmax(axis=1)
    return np.where(overlaps.max(axis=1) >= MATCH, truth.ids[best], -1)


class Judge:
    """The true places of the objects in a bag, and what positions are made from."""

    def __init__(self, bag: BagReader, image_topic: str, parameters: LocatorParameters):
        """
        Read the truth of an open bag; `exists` tells whether there is any.

        Raises ValueError for a truth without decimal ids, or without camera_info.
        """
        self._bag, self._images, self._parameters = bag, image_topic, parameters
        topic = bag.topic_beside(image_topic, GROUND_TRUTH_3D, POSITIONS)
        self.exists = topic is not None
        self.warnings: list[str] = []
        if self.exists:
            self._info = self._camera_info()
            self._transforms = Transforms(bag) if parameters.mount_from == 'tf' else None
            self._places = _true_places(bag, topic, self._height() <= HIGHEST)

    def _camera_info(self):
        topic = self._bag.topic_beside(self._images, 'camera_info', CAMERA_INFO)
        if topic is None:
            raise ValueError(f'{self._bag.path} has {GROUND_TRUTH_3D}, but no camera_info, '
                             'without which there are no positions to judge by it')
        return next(message for message, _ in self._bag.messages(topic))

    def _height(self):
        """Return how high the camera is above the ground, metres, as far as that is known."""
        mount = (self._parameters.mount() if self._transforms is None
                 else self._mount(stamp_to_ns(self._info.header.stamp)).mount)
        return self._parameters.camera_height if mount is None else mount.position[2]

    def samples(self, outcome: Outcome, truth, least: float) -> list:
        """
        Return what the locator tells of the tracks of an outcome, as rows of `figures`.

        truth: the true boxes by stamp.  least: score from which tracks count.
        """
        found = Samples()
        for stamp, positions in self._locate(outcome):
            tracks = outcome.tracks[bisect_left(outcome.stamps, stamp)]
            if stamp not in truth or stamp not in self._places or not len(positions):
                continue
            true = truth[stamp].select(truth[stamp].scores > 0)
            ids = np.where(tracks.scores >= least, matched(tracks, true), -1)
            found.add('', stamp * 1e-9, positions, ids, self._places[stamp])
        return found.rows

    def _locate(self, outcome):
        """Yield (stamp, positions) of what the session of the locator publishes."""
        session, stamp = LocationSession(self._parameters, 0), 0
        actions = session.on(CameraInfoArrived(0, calibration_from_msg(self._info)))
        depth = self._depth()
        waiting = next(depth, None)
        for stamp, tracks in zip(outcome.stamps, outcome.tracks):
            limit = stamp + round(self._parameters.depth_tolerance * 1e9)
            while waiting is not None and waiting[0] <= limit:
                actions += session.on(DepthArrived(stamp, *waiting))
                waiting = next(depth, None)
            if self._transforms is not None:
                actions += session.on(self._mount(stamp))
            actions += session.on(TracksArrived(stamp, stamp, tracks))
            yield from self._told(actions)
            actions = []
        yield from self._told(session.on(Tick(stamp)))  # to say what has been missing

    def _told(self, actions):
        for action in actions:
            if isinstance(action, PublishPositions):
                yield action.stamp, action.positions
            elif isinstance(action, Warn) and action.text not in self.warnings:
                self.warnings.append(action.text)

    def _depth(self):
        if self._parameters.source != 'depth':
            return
        topic = self._bag.topic_beside(self._images, DEPTH, IMAGE)
        if topic is not None:
            for message, _ in self._bag.messages(topic):
                yield stamp_to_ns(message.header.stamp), depth_from_msg(message)

    def _mount(self, stamp):
        try:
            origin, turn = self._transforms.pose(self._parameters.base_frame,
                                                 self._info.header.frame_id, stamp)
            return MountFound(stamp, Mount.from_quaternion(origin, *turn.as_quat()))
        except ValueError as error:
            return MountFound(stamp, None, str(error))


def _true_places(bag, topic, can_touch):
    """Return {id: Place} by stamp."""
    paths = {}  # of every object, [(stamp, x, y, x of the nearest part)]
    for message, _ in bag.messages(topic):
        stamp = stamp_to_ns(message.header.stamp)
        for one in message.detections:
            if not one.id.isdecimal():
                raise ValueError(f'{bag.path}, {topic}: ids must be decimal numbers, those of the '
                                 f'true boxes, got {one.id!r}')
            x, y = one.bbox.center.position.x, one.bbox.center.position.y
            paths.setdefault(int(one.id), []).append((stamp, x, y, x - _reach(one.bbox)))
    places = {}
    for identity, path in paths.items():
        stamps, *columns = zip(*sorted(path))
        stamps, rows = np.array(stamps), np.array(columns).T
        first = np.searchsorted(stamps, stamps - AROUND * 1e9)
        last = np.searchsorted(stamps, stamps + AROUND * 1e9, side='right') - 1
        seconds = (stamps[last] - stamps[first]) * 1e-9
        change = (rows[last] - rows[first]) / np.maximum(seconds, 1e-9)[:, np.newaxis]
        for stamp, (x, y, near), (_, aside, closing) in zip(stamps.tolist(), rows, change):
            contact = near / -closing if can_touch and closing < 0 < near else math.inf
            places.setdefault(stamp, {})[identity] = Place.moving(x, y, near, contact, aside)
    return places


def _reach(box):
    """Return how far an upright box reaches ahead of its middle and behind it, metres."""
    x, y, z, w = (getattr(box.center.orientation, name) for name in 'xyzw')
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return (abs(math.cos(yaw)) * box.size.x + abs(math.sin(yaw)) * box.size.y) / 2


def by_distance(samples) -> dict:
    """Return the figures of all samples, and of those within RANGES by 'LOW-HIGH m'."""
    found = {'all': figures(samples)}
    for low, high in RANGES:
        within = figures(samples, low, high)
        if within is not None:
            found[f'{low}-{high} m' if math.isfinite(high) else f'from {low} m'] = within
    return found
