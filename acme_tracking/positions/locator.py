"""Positions of all tracks: one filter for each, by boxes on the ground or by depth."""
from __future__ import annotations

from dataclasses import dataclass
import math

from acme_tracking.detections import Detections
from acme_tracking.parameters import parameter
from acme_tracking.positions.camera import Camera, Mount
from acme_tracking.positions.contact import Growth
from acme_tracking.positions.depth import core_depth
from acme_tracking.positions.edges import comparable_size, Edges, uncut
from acme_tracking.positions.object_filter import (
    HEIGHT,
    LENGTH,
    ObjectFilter,
    VX,
    VY,
    X,
    Y,
)
from acme_tracking.positions.solids import KINDS, OTHER
import numpy as np

SECOND = 1_000_000_000
# Errors of a box last for about so many seconds: images that come faster tell less each.
ERRORS_LAST = 0.5
# Squared deviations of a box from what was expected, beyond which it is that of another object,
# which the track went over to: one box in 2,000 is so far from a right estimate by chance.  With
# depth images it may as well be that of what passes in front.
ANOTHER = 20.0
LEAST_SCORE = 0.1  # a box that is less sure is not believed even less
# A filter whose track is not published is dropped after so long.
FORGET = SECOND


@dataclass(frozen=True)
class PositionParameters:
    """What positions are made from, and how far that may be off."""

    source: str = parameter(
        'ground', 'Where distances come from: ground, the boxes of objects of a usual size that '
        'stand on the plane of the road, or depth, the images on depth_image.',
        choices=('ground', 'depth'))
    pitch_deviation: float = parameter(
        0.3, 'How far the pitch of the camera may be off, as it nods and roads are not flat, in '
        'degrees.', minimum=0.0, maximum=20.0)
    box_deviation: float = parameter(
        1.0, 'How far an edge of a box may be off, in pixels ...', minimum=0.1, maximum=100.0)
    relative_box_deviation: float = parameter(
        0.02, '... and, in addition, as a share of the height of the box.', minimum=0.0,
        maximum=1.0)
    depth_deviation: float = parameter(
        0.03, 'How far the depth of an object may be off, as a share of it.', minimum=0.001,
        maximum=1.0)
    acceleration_deviation: float = parameter(
        2.0, 'Usual changes of the velocity of objects against the camera within a second, in '
        'm/s.', minimum=0.01, maximum=100.0)
    path_width: float = parameter(
        2.5, 'Width of what counts as the path straight ahead of the vehicle, in metres.',
        minimum=0.1, maximum=100.0)


@dataclass(frozen=True, eq=False)
class Positions:
    """
    Where N tracks are, in the frame of the vehicle: x forward, y left, metres.

    ids int64, labels str and scores float32, (N,), are those of the tracks.  states: (N, 4), the
    position of the middle and, in m/s, the velocity against the vehicle; covariances: (N, 4, 4).
    sizes: (N, 3), length, width, height, and size_deviations.  headings: (N,), radians from x to
    y, of the long side, so that forward and backward are one.  All these are float64, and NaN for
    tracks whose position is not known.

    times_to_contact: float64 (N,), seconds, infinite for what does not come nearer.
    """

    ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    states: np.ndarray
    covariances: np.ndarray
    sizes: np.ndarray
    size_deviations: np.ndarray
    headings: np.ndarray
    times_to_contact: np.ndarray

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    @property
    def known(self) -> np.ndarray:
        """Which tracks have a position, bool (N,)."""
        return np.isfinite(self.headings)

    def reach(self) -> np.ndarray:
        """Return half of what each object takes up forward and to the left, (N, 2), metres."""
        cosine, sine = np.abs(np.cos(self.headings)), np.abs(np.sin(self.headings))
        length, width = self.sizes[:, 0] / 2, self.sizes[:, 1] / 2
        return np.stack([cosine * length + sine * width, sine * length + cosine * width], axis=1)

    def in_path(self, width: float) -> np.ndarray:
        """Return which objects, bool (N,), reach into a path of this width straight ahead."""
        return ((np.abs(self.states[:, 1]) - self.reach()[:, 1] < width / 2)
                & (self.states[:, 0] > 0))

    def nearest_in_path(self, width: float) -> float:
        """Return the distance to what is nearest in the path, metres; infinite for nothing."""
        ahead = (self.states[:, 0] - self.reach()[:, 0])[self.in_path(width)]
        return float(max(ahead.min(), 0.0)) if len(ahead) else math.inf


@dataclass(eq=False)
class _Object:
    """What is known of a track: the stamps of when it was published and measured last."""

    seen: int
    measured: int = 0
    filter: ObjectFilter | None = None
    growth: Growth | None = None
    grows_by: int | None = None  # what the growth is of, as `comparable_size` tells


class Locator:
    """Follows the positions of tracks."""

    def __init__(self, parameters: PositionParameters):
        """Begin without objects."""
        self.parameters = parameters
        self._objects: dict[int, _Object] = {}
        self._stamp: int | None = None

    def locate(self, stamp: int, tracks: Detections, size, camera: Camera | None = None,
               mount: Mount | None = None, depth: np.ndarray | None = None) -> Positions:
        """
        Return the positions of tracks with ids on the image of `stamp`, later than the last.

        size: width and height of the image.  Without camera and mount only the times to contact
        are told.  depth: of the same image, where the parameters ask for it, as `core_depth` takes
        it.  The position of a track that was not measured in the last second is not known.
        """
        seconds = 0.0 if self._stamp is None else (stamp - self._stamp) / SECOND
        self._stamp = stamp
        self._predict(stamp, seconds)
        items = []
        for index, identity in enumerate(tracks.ids.tolist()):
            item = self._objects.setdefault(identity, _Object(stamp))
            item.seen = stamp
            box = tracks.boxes[index].astype(float)
            known = uncut(box, *size)
            deviation = self._deviation(box, float(tracks.scores[index]))
            _grow(item, box, known, deviation)
            deviation *= math.sqrt(max(1.0, ERRORS_LAST / seconds)) if seconds else 1.0
            if camera is not None and mount is not None:
                self._measure(item, KINDS.get(str(tracks.labels[index]), OTHER), mount, box,
                              Edges(camera, box, known, deviation), depth)
            items.append(item)
        return _positions(tracks, items)

    def _predict(self, stamp, seconds):
        self._objects = {identity: item for identity, item in self._objects.items()
                         if stamp - item.seen <= FORGET}
        for item in self._objects.values():
            if stamp - item.measured > FORGET:
                item.filter = None
            if item.filter is not None:
                item.filter.predict(seconds, self.parameters.acceleration_deviation)
            if item.growth is not None:
                item.growth.predict(seconds)

    def _deviation(self, box, score):
        """Return how far the edges of a box may be off, pixels."""
        wanted = self.parameters
        deviation = math.hypot(wanted.box_deviation,
                               wanted.relative_box_deviation * (box[3] - box[1]))
        return deviation / math.sqrt(max(score, LEAST_SCORE))

    def _measure(self, item, kind, mount, box, edges, depth):
        measurement = self._measurement(edges, box, depth)
        if measurement is None:
            return
        if item.filter is not None:
            cost = item.filter.update(mount, measurement)
            if cost < math.inf:
                item.measured = item.seen
            if not ANOTHER < cost < math.inf or self.parameters.source == 'depth':
                return
        start = edges.start(kind, mount)
        if start is not None:
            item.filter = ObjectFilter.begin(
                kind, mount, start, math.radians(self.parameters.pitch_deviation), measurement)
            item.measured = item.seen

    def _measurement(self, edges, box, depth):
        if self.parameters.source == 'ground':
            return edges.on_ground()
        found = None if depth is None else core_depth(depth, box)
        if found is None:
            return None
        middle, spread = found
        return edges.with_depth(middle, math.hypot(
            spread, self.parameters.depth_deviation * middle))


def _grow(item, box, known, deviation):
    """Measure how the box of an object has grown."""
    found = comparable_size(box, known)
    if found is None:
        return
    axis, pixels = found
    share = math.sqrt(2) * deviation / pixels
    if item.growth is None:
        item.growth = Growth(pixels, share)
    elif item.grows_by == axis:
        item.growth.update(pixels, share)
    else:
        item.growth.go_on_with(pixels, share)
    item.grows_by = axis


def _positions(tracks, items):
    states = np.full((len(items), 8), np.nan)
    covariances = np.full((len(items), 8, 8), np.nan)
    sizes, headings = np.full((len(items), 3), np.nan), np.full(len(items), np.nan)
    for index, item in enumerate(items):
        if item.filter is not None:
            states[index], covariances[index] = item.filter.state, item.filter.covariance
            sizes[index], headings[index] = item.filter.size, item.filter.heading
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return Positions(
        tracks.ids, tracks.labels, tracks.scores, states[:, [X, Y, VX, VY]],
        covariances[:, :4, :4], sizes, sizes * deviations[:, LENGTH:HEIGHT + 1], headings,
        np.array([item.growth.time_to_contact if item.growth else math.inf for item in items]))
