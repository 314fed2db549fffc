"""
The tracker of many objects: a visual update on every image, corrected by late detections.

    tracks = tracker.advance(stamp, image)     every image
    tracker.correct(stamp, detections)         whenever detections of an earlier image arrive
    request = tracker.request()                should the detector run now, and why?

A detection is always late.  It is paired with the tracks' boxes at its own stamp, the visual
trackers are restarted on the image of that stamp, and the images since are replayed.  It may only
ever say something about its own stamp: what is older than the buffer, or about an image that never
came, is counted in `dropped` and changes nothing; what was said before, or is known better from a
later image, says nothing new.
"""
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.parameters import parameter, validate
from acme_tracking.tracking import turns
from acme_tracking.tracking.association import pair
from acme_tracking.tracking.buffer import ImageBuffer
from acme_tracking.tracking.camera_motion import Camera
from acme_tracking.tracking.newcomers import Newcomers
from acme_tracking.tracking.policy import Request, RequestParameters, RequestPolicy
from acme_tracking.tracking.track import State, Track
from acme_tracking.tracking.visual import (
    can_be_moved,
    make_tracker,
    start_all,
    TRACKER_NAMES,
    update_all,
)
import numpy as np

# A track is dropped when less than this share of its box lies inside the image.
MINIMUM_VISIBLE = 0.3
# Two tracks that overlap by more follow one object, unless one run of the detector saw both in
# boxes that overlap by less than the second: then one object passes the other.
SAME_OBJECT_IOU, APART_IOU = 0.7, 0.3
# What is left of the confidence of a track that the detector has missed for `max_missed`, and so
# many times in a row.  A visual tracker may be sure of the road where an object was: with a
# detector that misses a fifth of what is there, two misses leave 0.28 of a confidence of 0.9.
LEFT_BY_MISSES, MISSES = 0.3, 2
# Detections of images that have not arrived yet wait for them; more than these are lost images.
MAXIMUM_EARLY = 10

# Why detections are dropped.
OLD, AHEAD, UNKNOWN = 'older_than_buffer', 'ahead_of_images', 'of_unknown_images'
REASONS_TO_DROP = (OLD, AHEAD, UNKNOWN)


@dataclass(frozen=True)
class TrackingParameters(RequestParameters):
    """How objects are followed; durations in seconds of image time."""

    tracker: str = parameter(
        'correlation', 'The visual tracker.', choices=TRACKER_NAMES, applies='configure')
    tracker_weights: list[str] = parameter(
        [], 'Files of the visual tracker: backbone and neckhead of nano, or the one of vit.',
        applies='configure', opens=True)
    confidence_threshold: float = parameter(
        0.2, 'A track whose confidence is not at least this coasts.', minimum=0.0, maximum=1.0)
    max_coast: float = parameter(
        3.0, 'A track not seen for longer is dropped.', minimum=0.01, maximum=3600.0)
    max_tracks: int = parameter(
        200, 'More objects are not followed; of the detections on an image the best count.',
        minimum=1, maximum=10000)
    looks_per_image: int = parameter(
        50, 'With more objects the visual trackers of those that have waited longest, and are in '
        'most doubt, look at an image; the others are predicted, and none that is in sight waits '
        'for more than three images.',
        minimum=1, maximum=10000)
    confirm_score: float = parameter(
        0.3, 'A detection with this score is believed at once.', minimum=0.0, maximum=1.0)
    confirm_detections: int = parameter(
        2, 'Weaker detections are believed when there are so many of one object.',
        minimum=1, maximum=100)
    max_missed: float = parameter(
        1.0, 'A track that the detector has run for so long, and twice, without showing, coasts, '
        'with less confidence.', minimum=0.0, maximum=3600.0)
    minimum_iou: float = parameter(
        0.3, 'Overlap from which a detection may belong to a track.', minimum=0.01, maximum=1.0)
    buffer_seconds: float = parameter(
        2.0, 'How late a detection may be and still be replayed.',
        minimum=0.0, maximum=60.0, applies='configure')
    buffer_megabytes: float = parameter(
        500.0, 'Memory for the images to replay.', minimum=1.0, maximum=100000.0,
        applies='configure')
    replay_images: int = parameter(
        6, 'A replay uses at most so many images, spread evenly, to bound its cost.',
        minimum=1, maximum=1000)


@dataclass(frozen=True)
class Tracks:
    """
    The tracks on one image.

    confirmed: what is believed, coasting tracks with their falling score included.
    tentative: what was detected once, not yet believed.
    """

    stamp: int
    confirmed: Detections
    tentative: Detections


class MultiObjectTracker:
    """
    Follows many objects; see the module's description for its three calls.

    Deterministic: time is nothing but the stamps (integer nanoseconds) it is given.  `next_id` is
    the id of the next new object, `dropped` counts messages of detections by the reason why they
    could not be used, `excess` the objects beyond `max_tracks`, `steps` the images that visual
    trackers looked at, replays included.
    """

    def __init__(self, parameters: TrackingParameters | None = None, next_id: int = 1):
        """
        Create a tracker of nothing; `parameters` may be changed between two calls.

        Raises ValueError for a parameter out of its range or weights that do not fit,
        RuntimeError when the visual tracker cannot be made on this machine.
        """
        self.parameters = parameters or TrackingParameters()
        validate(self.parameters)
        self._make_visual()
        self.policy = RequestPolicy(self.parameters)
        self.next_id = next_id
        self.dropped: Counter[str] = Counter()
        self.excess = self.steps = 0
        self.reset()

    def _make_visual(self):
        return make_tracker(self.parameters.tracker, self.parameters.tracker_weights)

    def reset(self) -> None:
        """Forget every object and image; ids go on, so that they stay unique."""
        self._tracks: list[Track] = []
        self._early: deque[tuple[int, Detections]] = deque()
        self._fused_at = 0  # stamp of the newest image of which detections are known
        self._buffer = ImageBuffer(self.parameters.buffer_seconds,
                                   self.parameters.buffer_megabytes)
        self._camera = Camera()
        self._shape = None
        self._newcomers = Newcomers()
        self.policy.reset()
        self.stamp: int | None = None

    def set_parameters(self, parameters: TrackingParameters) -> None:
        """Use other parameters from now on; those of the buffer and visual tracker stay."""
        self.parameters = self.policy.parameters = parameters

    @property
    def newest(self) -> int | None:
        """The stamp of the newest image, also of one that was only remembered."""
        return self._buffer.newest

    @property
    def buffered_bytes(self) -> int:
        """The memory of the images kept for a replay."""
        return self._buffer.bytes

    def advance(self, stamp: int, image: np.ndarray) -> Tracks:
        """
        Follow every object to the next image, uint8 (H, W, 3) BGR or (H, W) grey.

        Raises ValueError when the stamp is not later than the last one, or for another array.
        An image of another size than the last one is a cut: every track is dropped.
        """
        image = self._keep(stamp, image)
        self.stamp = stamp
        self._follow(turns.whose(self._tracks, self.parameters.looks_per_image), stamp, image,
                     self._tracks)
        oldest = stamp - int(self.parameters.buffer_seconds * 1e9)
        for track in self._tracks:
            track.forget_before(oldest)
        self._drop_dead()
        self._newcomers.look(image, self._camera.motion,
                             [track.box for track in self._tracks if track.is_followed])
        return self._snapshot()

    def catch_up(self) -> None:
        """
        Fuse the detections that waited for an image that has come by now.

        It takes as long as `correct`, so the tracks on that image are published before.
        """
        while self._early and self.stamp is not None and self._early[0][0] <= self.stamp:
            self._fuse(*self._early.popleft())

    def remember(self, stamp: int, image: np.ndarray) -> None:
        """Keep an image that nobody looks at, for a detection that may come of it."""
        self._keep(stamp, image, followed=False)

    def correct(self, stamp: int, detections: Detections) -> None:
        """
        Fuse the detections made on the image of `stamp`, and bring the result to the present.

        Detections that overtook their image wait for `catch_up`.
        """
        if self.stamp is not None and stamp <= self.stamp:
            self._fuse(stamp, detections)
        elif self.stamp is not None and (
                stamp > self.stamp + int(self.parameters.buffer_seconds * 1e9)):
            self.dropped[AHEAD] += 1
        else:
            self._early = deque(sorted([*self._early, (stamp, detections)],
                                       key=lambda waiting: waiting[0]))
            if len(self._early) > MAXIMUM_EARLY:
                self._early.popleft()
                self.dropped[UNKNOWN] += 1

    def request(self) -> Request | None:
        """Return why the detector should run now, or None; see `RequestPolicy`."""
        if self.stamp is None:
            return None
        return self.policy.decide(
            self.stamp, {track.id: track.confidence for track in self._tracks
                         if track.state is not State.TENTATIVE},
            self.count(State.COASTING) > 0, self._newcomers.are_seen)

    def count(self, state: State) -> int:
        """Return the number of tracks in a state."""
        return sum(track.state is state for track in self._tracks)

    def states(self) -> dict[int, State]:
        """Return the state of every track by its id."""
        return {track.id: track.state for track in self._tracks}

    @property
    def longest_wait(self) -> int:
        """For how many images no visual tracker has looked at some object that is followed."""
        return max((track.turns for track in self._tracks if track.is_followed), default=0)

    def detected_at(self, stamp: int) -> list[int]:
        """Return the ids of the tracks that a detection on the image of `stamp` belongs to."""
        return [track.id for track in self._tracks if stamp in dict(track.sightings)]

    # The steps of `correct`

    def _fuse(self, stamp, detections):
        fused_at = self._buffer.find(stamp)
        if fused_at is None:
            self.dropped[OLD if stamp < self._buffer.oldest else UNKNOWN] += 1
            return
        detections = self._usable(detections)
        boxes = np.array([track.box_at(fused_at) for track in self._tracks]).reshape(-1, 4)
        pairs = pair(self._tracks, boxes, self.stamp, detections, self.parameters.minimum_iou)
        found_again = {self._tracks[row].id for row, _ in pairs
                       if self._tracks[row].state is State.COASTING}
        restarted = self._correct_paired(fused_at, boxes, detections, pairs)
        self._note_misses(fused_at, {row for row, _ in pairs})
        started = self._start_unpaired(fused_at, boxes, detections, pairs)
        self.policy.found(found_again, bool(started))
        self._fused_at = max(self._fused_at, fused_at)
        self._replay(fused_at, restarted + started)
        self._drop_dead()
        self._merge()

    def _usable(self, detections):
        """Return the detections that lie in the image, the best `max_tracks` of them."""
        detections = detections.select(self._is_visible(detections.boxes))
        if len(detections) > self.parameters.max_tracks:
            self.excess += len(detections) - self.parameters.max_tracks
            best = np.argsort(-detections.scores, kind='stable')[:self.parameters.max_tracks]
            detections = detections.select(np.sort(best))
        return detections

    def _correct_paired(self, stamp, boxes, detections, pairs):
        """Give the tracks their detections; return those whose visual tracker must restart."""
        news = [(self._tracks[row], boxes[row], column) for row, column in pairs
                if not self._tracks[row].sightings or self._tracks[row].sightings[-1][0] < stamp]
        restarting = turns.who_restarts(
            [(track, geometry.iou(box, detections.boxes[column])[0, 0])
             for track, box, column in news], self.parameters.looks_per_image)
        restarted = []
        for (track, _, column), restarts in zip(news, restarting):
            found = (stamp, detections.boxes[column], float(detections.scores[column]),
                     str(detections.labels[column]))
            if restarts:
                track.correct(*found)
                restarted.append(track)
            else:
                track.shift(*found)
            self._confirm(track)
        return restarted

    def _confirm(self, track):
        if track.state is State.TENTATIVE and (
                track.confidence >= self.parameters.confirm_score
                or track.detections >= self.parameters.confirm_detections):
            track.state = State.CONFIRMED

    def _note_misses(self, stamp, paired):
        for row, track in enumerate(self._tracks):
            if row in paired or track.born_at > stamp:
                continue
            track.note_miss(stamp)
            if (track.state is State.CONFIRMED and track.misses >= MISSES
                    and (stamp - track.seen_at) * 1e-9 >= self.parameters.max_missed):
                track.coast(self.stamp, LEFT_BY_MISSES * track.confidence)
        self._tracks = [track for track in self._tracks
                        if not (track.state is State.TENTATIVE and track.misses)]

    def _start_unpaired(self, stamp, boxes, detections, pairs):
        """Start a track on every detection of its own; one that a later run did not see waits."""
        paired = {column for _, column in pairs}
        followed = geometry.iou(detections.boxes, boxes).max(axis=1, initial=0) > SAME_OBJECT_IOU
        started = []
        for column in np.flatnonzero(~followed).tolist():
            if column in paired:
                continue
            if len(self._tracks) + len(started) >= self.parameters.max_tracks:
                self.excess += 1
                continue
            track = Track(self.next_id, self._make_visual())
            self.next_id += 1
            track.correct(stamp, detections.boxes[column], float(detections.scores[column]),
                          str(detections.labels[column]))
            if stamp >= self._fused_at:
                self._confirm(track)
            started.append(track)
        self._tracks += started
        return started

    def _replay(self, stamp, tracks):
        """Start visual trackers on the image of `stamp`, and lead them to the present."""
        if not tracks:
            return
        boxes, image = [track.box for track in tracks], self._buffer.get(stamp)
        start_all([track.visual for track in tracks], image, boxes)
        self.steps += 1
        self._camera = Camera()
        self._camera.advance(image, boxes)
        images = turns.images_of_replay(len(tracks), self.parameters)
        for later, image in self._buffer.after(stamp, images):
            self._follow([track for track in tracks if track.is_looked_for], later, image, tracks)

    # What both calls need

    def _keep(self, stamp, image, followed=True):
        """Put an image into the buffer, contiguous, as every visual tracker needs it."""
        image = np.ascontiguousarray(image)
        if (image.dtype != np.uint8 or not image.size or image.ndim < 2
                or image.shape[2:] not in ((), (3,))):
            raise ValueError('image must be uint8 of shape (H, W, 3) or (H, W), got '
                             f'{image.dtype} {image.shape}')
        if self._shape not in (None, image.shape) and stamp > (self.newest or 0):
            self.reset()
        self._buffer.add(stamp, image, followed)
        self._shape = image.shape
        return image

    def _follow(self, looking, stamp, image, tracks):
        """Take tracks to a later image; the visual trackers of those `looking` all at once."""
        self._camera.advance(image, [track.box for track in tracks])
        for track in looking:
            if track.turns and can_be_moved(track.visual):
                track.visual.expect(track.predict(stamp))
        ids = [track.id for track in looking]
        brief = len(tracks) > self.parameters.looks_per_image
        others = [] if brief else [track.box_at(stamp) for track in self._tracks
                                   if track.id not in ids]
        seen = dict(zip(ids, update_all([track.visual for track in looking], image, self._camera,
                                        others, brief)))
        self.steps += bool(looking)
        for track in tracks:
            if track.state is not State.DROPPED:
                track.follow(stamp, seen.get(track.id), self._camera.motion.believed,
                             self.parameters.confidence_threshold, self.parameters.max_coast)

    def _is_visible(self, boxes):
        """Return bool (N,): proper boxes of which enough lies inside the image."""
        height, width = self._shape[:2]
        proper = geometry.is_proper(boxes)
        boxes = np.where(proper[:, np.newaxis], boxes, 0)
        visible = geometry.area(geometry.clip(boxes, width, height))
        return proper & (visible >= 1) & (visible >= MINIMUM_VISIBLE * geometry.area(boxes))

    def _drop_dead(self):
        if not self._tracks:
            return
        visible = self._is_visible([track.box for track in self._tracks])
        self._tracks = [track for track, inside in zip(self._tracks, visible)
                        if inside and track.state is not State.DROPPED]

    def _merge(self):
        """Of two tracks on one object keep the one that was detected more often."""
        order = sorted(self._tracks, key=lambda track: (-track.detections, track.id))
        overlaps = geometry.iou(*2 * [[track.box for track in order]]) > SAME_OBJECT_IOU
        kept = []
        for index, track in enumerate(order):
            rivals = [other for other in kept if overlaps[index, other]]
            if all(track.was_detected_beside(order[other], APART_IOU) for other in rivals):
                kept.append(index)
        self._tracks = sorted((order[index] for index in kept), key=lambda track: track.id)

    def _snapshot(self) -> Tracks:
        believed = [track for track in self._tracks if track.state is not State.TENTATIVE]
        tentative = [track for track in self._tracks if track.state is State.TENTATIVE]
        return Tracks(self.stamp, self._as_detections(believed), self._as_detections(tentative))

    def _as_detections(self, tracks):
        height, width = self._shape[:2]
        return Detections(
            boxes=geometry.clip([track.box for track in tracks], width, height),
            scores=[track.score for track in tracks],
            labels=[track.label for track in tracks],
            ids=[track.id for track in tracks])


def warm_up(parameters: TrackingParameters) -> None:
    """Track once: what is loaded at first use takes 0.1 s, which the first images would wait."""
    tracker = MultiObjectTracker(parameters)
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    tracker.advance(1, image)
    tracker.correct(1, Detections([[50, 40, 100, 80]], [1.0], ['car']))
    tracker.advance(2, image)
