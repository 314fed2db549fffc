"""
What detection on demand is compared with: other people's trackers, and the classic script.

The trackers are those of the library `trackers`, which is not needed for anything else: they join
the boxes of a detector by their motion.  What they are told, and when, is for `modes` to say.
"""
from __future__ import annotations

import copy
from dataclasses import dataclass
import importlib
from math import ceil

from acme_tracking import geometry
from acme_tracking.detection.suppression import suppress
from acme_tracking.detections import Detections
from acme_tracking.tracking.association import assign, FORBIDDEN
from acme_tracking.tracking.visual import make_tracker
import numpy as np

# Without what they depend on: they name another OpenCV, whose files would replace ours.
HOW_TO_INSTALL = 'pip install --no-deps trackers==2.6.1 supervision==0.31.2'
# Of detections that overlap by more, the best is given to a peer, whatever their classes: none of
# them knows that two boxes may be one object.
ONE_OBJECT_IOU = 0.6
# How long a peer keeps a lost object, as the library does, in seconds; but always for so many
# images with detections, where these are rare.
KEPT_SECONDS, KEPT_IMAGES = 1.0, 2.5
# What the library counts times in, images per second.
LIBRARY_RATE = 30.0


@dataclass(frozen=True)
class PeerSettings:
    """
    How a tracker of the library is used.

    title: as papers call it.  tracker: its class.  parameters: those that differ from the defaults
    of the library.
    """

    title: str
    tracker: str
    parameters: dict


# What was best with the shipped detector on a clip of a highway, with detections of every image
# and of every fifth.  Its scores are low: with the library's defaults, which want 0.6 and 0.7, all
# but SORT would hardly start a track.
PEERS = {
    'sort': PeerSettings('SORT', 'SORTTracker', {
        'minimum_consecutive_frames': 2, 'minimum_iou_threshold': 0.1}),
    'bytetrack': PeerSettings('ByteTrack', 'ByteTrackTracker', {
        'track_activation_threshold': 0.4, 'high_conf_det_threshold': 0.4}),
    'ocsort': PeerSettings('OC-SORT', 'OCSORTTracker', {
        'high_conf_det_threshold': 0.35, 'minimum_consecutive_frames': 1,
        'minimum_iou_threshold': 0.2}),
    'botsort': PeerSettings('BoT-SORT', 'BoTSORTTracker', {
        'track_activation_threshold': 0.4, 'high_conf_det_threshold': 0.4,
        'minimum_iou_threshold_first_assoc': 0.05,
        'minimum_iou_threshold_unconfirmed_assoc': 0.05}),
}


def missing_library() -> str:
    """Return why the trackers of the library cannot be used here, '' when they can."""
    try:
        importlib.import_module('trackers')
    except ImportError as error:
        return f'needs the library trackers ({error}): {HOW_TO_INSTALL}'
    return ''


class Peer:
    """A tracker of the library, with the values of this package going in and coming out."""

    def __init__(self, settings: PeerSettings, rate: float, share: float = 1.0):
        """
        Make the tracker, for `rate` images per second, a `share` of them with detections.

        Raises ImportError when the library is missing.
        """
        import trackers
        kept = LIBRARY_RATE * max(KEPT_SECONDS, KEPT_IMAGES / (rate * share))
        self._tracker = getattr(trackers, settings.tracker)(
            frame_rate=rate, lost_track_buffer=ceil(kept), **settings.parameters)
        self._shown = Detections([], [], [], [])

    def update(self, time: float, image: np.ndarray, detections: Detections) -> Detections:
        """Take an image (its time in seconds) with its detections; return the objects on it."""
        everything = np.zeros(len(detections))  # as if all were of one class
        given = detections.select(suppress(detections.boxes, detections.scores, everything,
                                           ONE_OBJECT_IOU))
        found = self._step(time, image, given)
        rows = found.data['row'] if len(found) else np.zeros(0, int)
        sure = found.tracker_id >= 0
        chosen = given.select(rows[sure])
        self._shown = Detections(found.xyxy[sure], chosen.scores, chosen.labels,
                                 1 + found.tracker_id[sure])
        return self._shown

    def look(self, image: np.ndarray) -> None:
        """See an image that nobody looks for objects on: only the camera's motion counts."""
        if self._estimator is not None:
            from trackers import CMC
            CMC.apply_batch(self._estimator.estimate(image), self._tracker.tracks)

    def ahead(self) -> Peer:
        """Return a tracker that goes on from here without detections, for `predict`."""
        return copy.deepcopy(self)

    def predict(self, time: float, image: np.ndarray) -> Detections:
        """Return where the objects of the last update are on the next image, as it expects."""
        if not len(self._shown):
            return self._shown
        self._step(time, image, Detections.empty())
        expected = self._tracker.tracked_objects
        box_of = dict(zip((1 + expected.tracker_id).tolist(), expected.xyxy))
        known = self._shown.select([one in box_of for one in self._shown.ids.tolist()])
        boxes = [box_of[one] for one in known.ids.tolist()]
        found = Detections(boxes, known.scores, known.labels, known.ids)
        return found.select(geometry.is_proper(found.boxes))

    @property
    def _estimator(self):
        """What estimates the motion of the camera; None in a tracker that does not."""
        return getattr(self._tracker, 'cmc', None)

    def _step(self, time, image, detections):
        import supervision
        given = supervision.Detections(
            xyxy=detections.boxes, confidence=detections.scores,
            data={'row': np.arange(len(detections))})
        return self._tracker.update(given, frame=image if self._estimator else None,
                                    timestamp=time)


class TwoPhase:
    """
    The classic script: detect on every N-th image, follow with dlib in between.

    Each detection starts new visual trackers and forgets the old ones; who is who is told by the
    nearest centre, and an object that is not found in `maximum_gone` detections is forgotten.
    Raises RuntimeError when this machine has no dlib.
    """

    def __init__(self, every: int, tracker: str = 'dlib', maximum_gone: int = 2):
        """Detect on one of `every` images, follow with the visual tracker of that name."""
        make_tracker(tracker)
        self._every, self._tracker, self._gone = every, tracker, maximum_gone
        self._images, self._next_id = 0, 1
        self._known = {}    # id: box, at how many detections in a row it was not found
        self._visuals, self._shown = [], Detections.empty()

    @property
    def is_due(self) -> bool:
        """Whether the next image is one to detect on."""
        return self._images % self._every == 0

    def update(self, image: np.ndarray, detections: Detections | None) -> Detections:
        """Take the next image, with its detections when they are due; return the objects on it."""
        self._images += 1
        if detections is not None:
            self._start(image, detections)
        elif self._visuals:
            followed = [visual.update(image) for visual in self._visuals]
            height, width = image.shape[:2]
            self._shown = Detections(
                geometry.clip([box for box, _ in followed], width, height),
                [confidence for _, confidence in followed], self._shown.labels, self._shown.ids)
        for identity, box in zip(self._ids(), self._shown.boxes):
            self._known[identity] = box, 0 if detections is not None else self._known[identity][1]
        return self._shown.select(geometry.is_proper(self._shown.boxes))

    def _ids(self):
        return self._shown.ids.tolist() if len(self._shown) else []

    def _start(self, image, detections):
        ids, known = np.zeros(len(detections), int), list(self._known)
        distance = np.linalg.norm(
            geometry.centers([box for box, _ in self._known.values()])[:, np.newaxis]
            - geometry.centers(detections.boxes)[np.newaxis], axis=2)
        size = np.sqrt(geometry.area([box for box, _ in self._known.values()]))[:, np.newaxis]
        for row, column in assign(np.where(distance <= 2 * size, distance, FORBIDDEN)):
            ids[column] = known[row]
        for column in np.flatnonzero(ids == 0):
            ids[column] = self._next_id
            self._next_id += 1
        self._known = {identity: (box, gone + 1) for identity, (box, gone) in self._known.items()
                       if identity in ids or gone < self._gone}
        self._known.update((int(identity), (box, 0))
                           for identity, box in zip(ids, detections.boxes))
        self._visuals = [make_tracker(self._tracker) for _ in ids]
        for visual, box in zip(self._visuals, detections.boxes):
            visual.start(image, box)
        self._shown = Detections(detections.boxes, detections.scores, detections.labels, ids)
