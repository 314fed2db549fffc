"""
The tracker of many objects: a visual update on every image, corrected by late detections.

    tracks = tracker.advance(stamp, image)     every image
    tracker.correct(stamp, detections)         whenever detections of an earlier image arrive
    request = tracker.request()                should the detector run now, and why?

A detection is always late.  It is paired with the tracks' boxes at its own stamp, the visual
trackers are restarted on the image of that stamp, and the images since are replayed.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.parameters import parameter, validate
from acme_tracking.tracking.association import assign, FORBIDDEN, pairing_cost
from acme_tracking.tracking.buffer import ImageBuffer
from acme_tracking.tracking.policy import Request, RequestParameters, RequestPolicy
from acme_tracking.tracking.track import State, Track
from acme_tracking.tracking.visual import make_tracker, start_all, TRACKER_NAMES, update_all
import numpy as np

# A track is dropped when less than this share of its box lies inside the image.
MINIMUM_VISIBLE = 0.3
# Two tracks that overlap by more follow one object; the one detected less often is dropped.
SAME_OBJECT_IOU = 0.7
# What is left of the confidence of a track that the detector has missed `max_misses` times.  A
# visual tracker may be sure of the road where an object was: with a detector that misses a fifth
# of what is there, two misses leave 0.28 of a confidence of 0.9.
LEFT_BY_MISSES = 0.3
# How far the centre of a box may be off while its object is seen, in box sizes; when the object is
# not seen, so much more for every second.
DRIFT = 0.3
# What recovers an object that was out of sight has at least this share of the mean score of its
# detections: a detector may take what hides the object for one, too, but is less sure of it.
RECOVERY_SHARE = 0.5
# Detections of images that have not arrived yet wait for them; more than these are lost images.
MAXIMUM_EARLY = 10


@dataclass(frozen=True)
class TrackingParameters(RequestParameters):
    """How objects are followed; durations in seconds of image time."""

    tracker: str = parameter(
        'correlation', 'The visual tracker.', choices=TRACKER_NAMES, applies='configure')
    tracker_weights: list[str] = parameter(
        [], 'Files of the visual tracker: backbone and neckhead of nano, or the one of vit.',
        applies='configure')
    confidence_threshold: float = parameter(
        0.2, 'A track whose confidence is not at least this coasts.', minimum=0.0, maximum=1.0)
    max_coast: float = parameter(
        3.0, 'A track not seen for longer is dropped.', minimum=0.01, maximum=3600.0)
    confirm_score: float = parameter(
        0.5, 'A detection with this score is believed at once.', minimum=0.0, maximum=1.0)
    confirm_detections: int = parameter(
        2, 'Weaker detections are believed when there are so many of one object.',
        minimum=1, maximum=100)
    max_misses: int = parameter(
        2, 'A track that so many detections in a row did not show coasts, with less confidence.',
        minimum=1, maximum=1000)
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

    Deterministic: time is nothing but the stamps (integer nanoseconds) it is given.
    """

    def __init__(self, parameters: TrackingParameters | None = None):
        """
        Create a tracker of nothing; `parameters` may be changed between two calls.

        Raises ValueError for a parameter out of its range or weights that do not fit,
        RuntimeError when the visual tracker cannot be made on this machine.
        """
        self.parameters = parameters or TrackingParameters()
        validate(self.parameters)
        self._make_visual()
        self.policy = RequestPolicy(self.parameters)
        self._next_id = 1
        self.too_late = 0  # detections older than the buffer
        self.reset()

    def _make_visual(self):
        return make_tracker(self.parameters.tracker, self.parameters.tracker_weights)

    def reset(self) -> None:
        """Forget every object and image; ids go on, so that they stay unique in a run."""
        self._tracks: list[Track] = []
        self._early = deque(maxlen=MAXIMUM_EARLY)
        self._buffer = ImageBuffer(self.parameters.buffer_seconds,
                                   self.parameters.buffer_megabytes)
        self._shape = None
        self.policy.reset()
        self.stamp: int | None = None

    def set_parameters(self, parameters: TrackingParameters) -> None:
        """Use other parameters from now on; those that were read when it was made are ignored."""
        self.parameters = self.policy.parameters = parameters

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
        image = np.ascontiguousarray(image)  # once, not in every visual tracker
        if (image.dtype != np.uint8 or not image.size or image.ndim < 2
                or image.shape[2:] not in ((), (3,))):
            raise ValueError('image must be uint8 of shape (H, W, 3) or (H, W), got '
                             f'{image.dtype} {image.shape}')
        self._buffer.add(stamp, image)
        if self._shape not in (None, image.shape):
            self.reset()
            self._buffer.add(stamp, image)
        self.stamp, self._shape = stamp, image.shape
        self._follow(self._tracks, stamp, image)
        for track in self._tracks:
            track.forget_before(stamp - int(self.parameters.buffer_seconds * 1e9))
        self._drop_dead()
        while self._early and self._early[0][0] <= stamp:
            self._fuse(*self._early.popleft())
        return self._snapshot()

    def correct(self, stamp: int, detections: Detections) -> None:
        """
        Fuse the detections made on the image of `stamp`, and bring the result to the present.

        Detections that overtook their image wait for it.  Those older than every buffered image
        are counted in `too_late` and fused with the present, without a replay.
        """
        if self.stamp is None or stamp > self.stamp:
            self._early.append((stamp, detections))
        else:
            self._fuse(stamp, detections)

    def request(self) -> Request | None:
        """Return why the detector should run now, or None; see `RequestPolicy`."""
        if self.stamp is None:
            return None
        believed = [track for track in self._tracks if track.state is not State.TENTATIVE]
        return self.policy.decide(
            self.stamp, {track.id: track.confidence for track in believed},
            [track.id for track in believed if track.state is State.COASTING])

    def count(self, state: State) -> int:
        """Return the number of tracks in a state."""
        return sum(track.state is state for track in self._tracks)

    # The steps of `correct`

    def _fuse(self, stamp, detections):
        fused_at = self._buffer.nearest(stamp)
        if fused_at is None:
            self.too_late += 1
            fused_at = self.stamp
        image = self._buffer.get(fused_at)
        detections = detections.select(self._is_visible(detections.boxes))
        pairs = self._pair(fused_at, detections)
        touched = self._correct_paired(fused_at, detections, pairs)
        self._note_misses(fused_at, [row for row, _ in pairs])
        touched += self._start_unpaired(fused_at, detections, pairs)
        start_all([track.visual for track in touched], image, [track.box for track in touched])
        for later, later_image in self._buffer.after(fused_at, self.parameters.replay_images):
            self._follow(touched, later, later_image)
        self._drop_dead()
        self._merge()

    def _pair(self, stamp, detections):
        if not self._tracks or not len(detections):
            return []
        boxes = np.array([track.box_at(stamp) for track in self._tracks])
        # A followed box may have drifted a little; the longer an object is unseen, the further it
        # may be from where it is predicted.
        unseen = np.array([track.coasting_seconds(self.stamp) for track in self._tracks])
        slack = np.sqrt(geometry.area(boxes)) * (DRIFT + unseen)
        cost = pairing_cost(boxes, [track.label for track in self._tracks], slack,
                            detections.boxes, detections.labels, self.parameters.minimum_iou)
        least = [RECOVERY_SHARE * track.mean_score if track.state is State.COASTING else 0.0
                 for track in self._tracks]
        cost[detections.scores < np.array(least)[:, np.newaxis]] = FORBIDDEN
        return assign(cost)

    def _correct_paired(self, stamp, detections, pairs):
        corrected = []
        for row, column in pairs:
            track = self._tracks[row]
            if track.detected_at >= stamp:
                continue  # it knows better already
            track.correct(stamp, detections.boxes[column], float(detections.scores[column]),
                          str(detections.labels[column]))
            self._confirm(track)
            corrected.append(track)
        return corrected

    def _confirm(self, track):
        if track.state is State.TENTATIVE and (
                track.confidence >= self.parameters.confirm_score
                or track.detections >= self.parameters.confirm_detections):
            track.state = State.CONFIRMED

    def _note_misses(self, stamp, paired):
        for row, track in enumerate(self._tracks):
            if row in paired or track.born_at > stamp:
                continue
            track.misses += 1
            if track.state is State.CONFIRMED and track.misses >= self.parameters.max_misses:
                track.coast(self.stamp, LEFT_BY_MISSES * track.confidence)
        self._tracks = [track for track in self._tracks
                        if not (track.state is State.TENTATIVE and track.misses)]

    def _start_unpaired(self, stamp, detections, pairs):
        paired = {column for _, column in pairs}
        started = []
        for column in set(range(len(detections))) - paired:
            box = detections.boxes[column]
            if self._tracks and geometry.iou(
                    box, [track.box_at(stamp) for track in self._tracks]).max() > SAME_OBJECT_IOU:
                continue  # a second box on an object that is followed
            track = Track(self._next_id, self._make_visual())
            self._next_id += 1
            track.correct(stamp, box, float(detections.scores[column]),
                          str(detections.labels[column]))
            self._confirm(track)
            started.append(track)
        self._tracks += started
        return started

    # What both calls need

    def _follow(self, tracks, stamp, image):
        """Take tracks to a later image, the visual trackers all at once."""
        followed = [track for track in tracks if track.is_followed]
        seen = dict(zip([track.id for track in followed],
                        update_all([track.visual for track in followed], image)))
        for track in tracks:
            if track.state is not State.DROPPED:
                track.follow(stamp, seen.get(track.id), self.parameters.confidence_threshold,
                             self.parameters.max_coast)

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
        kept = []
        for track in sorted(self._tracks, key=lambda track: (-track.detections, track.id)):
            if not kept or geometry.iou(
                    track.box, [other.box for other in kept]).max() <= SAME_OBJECT_IOU:
                kept.append(track)
        self._tracks = sorted(kept, key=lambda track: track.id)

    def _snapshot(self) -> Tracks:
        believed = [track for track in self._tracks if track.state is not State.TENTATIVE]
        tentative = [track for track in self._tracks if track.state is State.TENTATIVE]
        return Tracks(self.stamp, self._as_detections(believed), self._as_detections(tentative))

    def _as_detections(self, tracks):
        height, width = self._shape[:2]
        return Detections(
            boxes=geometry.clip([track.box for track in tracks], width, height),
            scores=[track.confidence for track in tracks],
            labels=[track.label for track in tracks],
            ids=[track.id for track in tracks])
