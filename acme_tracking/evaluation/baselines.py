"""
What detection on demand is compared with: the usual ways to track by a detector.

Both get their detections at once, as when a video is processed from a disk and may take as long as
it likes: no camera could have them so early, so they are better here than on a robot.
"""
from __future__ import annotations

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.tracking.association import assign, FORBIDDEN
from acme_tracking.tracking.visual import make_tracker
import numpy as np


class Sort:
    """
    Detections of every image joined by overlap with where a Kalman filter expects the objects.

    Method: A. Bewley et al., Simple Online and Realtime Tracking, 2016: constant velocity of
    centre and area, constant aspect, Hungarian assignment on IoU, with its defaults.
    """

    def __init__(self, minimum_iou: float = 0.3, minimum_hits: int = 3, maximum_age: int = 1):
        """Ages and hits are counted in images."""
        self._minimum_iou, self._hits, self._age = minimum_iou, minimum_hits, maximum_age
        self._tracks, self._next_id, self._images = [], 1, 0

    def update(self, detections: Detections) -> Detections:
        """Take the detections of the next image; return the objects seen on it."""
        self._images += 1
        for track in self._tracks:
            track.predict()
        self._tracks = [track for track in self._tracks if geometry.is_proper(track.box)[0]]
        overlap = geometry.iou(np.array([track.box for track in self._tracks]), detections.boxes)
        pairs = assign(np.where(overlap >= self._minimum_iou, 1 - overlap, FORBIDDEN))
        for row, column in pairs:
            self._tracks[row].correct(detections.boxes[column], detections.labels[column],
                                      detections.scores[column])
        for column in sorted(set(range(len(detections))) - {column for _, column in pairs}):
            self._tracks.append(_Filtered(self._next_id, detections.boxes[column],
                                          detections.labels[column], detections.scores[column]))
            self._next_id += 1
        self._tracks = [track for track in self._tracks if track.unseen <= self._age]
        shown = [track for track in self._tracks if not track.unseen and (
            track.streak >= self._hits or self._images <= self._hits)]
        return Detections([track.box for track in shown], [track.score for track in shown],
                          [track.label for track in shown], [track.id for track in shown])


class _Filtered:
    """A box in a Kalman filter: centre x, y, area, aspect and the velocity of the first three."""

    _STEP = np.eye(7) + np.eye(7, k=4)
    _NOISE = np.diag([1, 1, 1, 1, 0.01, 0.01, 0.0001])
    _SEEN = np.eye(4, 7)
    _MEASURED = np.diag([1.0, 1, 10, 10])

    def __init__(self, identity, box, label, score):
        self.id, self.label, self.score = identity, label, score
        self.unseen, self.streak = 0, 1
        self._state = np.zeros(7)
        self._state[:4] = self._measurement(box)
        self._spread = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])

    @staticmethod
    def _measurement(box):
        x, y, width, height = geometry.to_center(box)[0].astype(float)
        return np.array([x, y, width * height, width / height])

    @property
    def box(self):
        """The expected box, float32 (4,); without size when the filter expects none."""
        x, y, area, aspect = self._state[:4]
        width = np.sqrt(max(area * aspect, 0.0))
        return geometry.from_center([x, y, width, area / width if width else 0])[0]

    def predict(self):
        """Go on to the next image."""
        if self._state[2] + self._state[6] <= 0:
            self._state[6] = 0
        self._state = self._STEP @ self._state
        self._spread = self._STEP @ self._spread @ self._STEP.T + self._NOISE
        self.streak = 0 if self.unseen else self.streak
        self.unseen += 1

    def correct(self, box, label, score):
        """Take the detection of this image."""
        innovation = self._measurement(box) - self._state[:4]
        gain = self._spread @ self._SEEN.T @ np.linalg.inv(
            self._SEEN @ self._spread @ self._SEEN.T + self._MEASURED)
        self._state = self._state + gain @ innovation
        self._spread = (np.eye(7) - gain @ self._SEEN) @ self._spread
        self.unseen, self.streak = 0, self.streak + 1
        self.label, self.score = label, score


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
