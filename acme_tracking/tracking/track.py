"""The life of one object: tentative, confirmed, coasting, dropped."""
from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from enum import Enum
import math

from acme_tracking import geometry
from acme_tracking.tracking.camera_motion import CameraMotion, STILL
from acme_tracking.tracking.motion import fit_motion, Motion
from acme_tracking.tracking.visual import can_be_moved, VisualTracker
import numpy as np

# An object that is out of sight is in sight again when its visual tracker is so sure of it.
REGAINED = 0.5
# So many of the last detections are remembered, to tell two objects from two boxes on one.
SIGHTINGS = 8
# How fast the belief in an object follows the scores of its detections, and how fast it falls when
# the detector does not see it: time constants in seconds.  By time and not by runs, for what a
# detector misses on one image it misses on the next.
HIT_SECONDS, MISS_SECONDS = 0.8, 1.5
# From this belief on there is an object; below, its share of it scales the score of the track.
BELIEVED = 0.5


class State(Enum):
    """What is known of a track."""

    TENTATIVE = 'tentative'  # detected, not yet believed
    CONFIRMED = 'confirmed'  # followed by its visual tracker
    COASTING = 'coasting'    # not seen now, predicted
    DROPPED = 'dropped'      # gone


class Track:
    """
    One object with its visual tracker and its boxes by stamp.

    Boxes by stamp are what makes late detections usable: a detection is compared with the box at
    its own stamp, and `correct` forgets everything later, to be found again by a replay.
    """

    def __init__(self, track_id: int, visual: VisualTracker):
        """Create a tentative track; `correct` gives it its first box."""
        self.id = track_id
        self.state = State.TENTATIVE
        self.confidence = 0.0
        self.detections = 0      # how many detections it was paired with
        self.misses = 0          # how many detector runs in a row did not see it
        self.belief = 0.0        # mean score of its latest detections, misses counted as 0
        self.seen_at = 0         # stamp of the newest detector run that saw it
        self.judged_at = 0       # stamp of the newest detector run that saw it or missed it
        self.sightings = deque(maxlen=SIGHTINGS)  # (stamp, box) of its detections
        self.turns = 0           # images since its visual tracker looked
        self.visual = visual
        self._votes = Counter()  # summed detection scores by label
        self._stamps, self._boxes, self._weights = [], [], []
        self._steps = []         # how the camera moved since the box before
        self._motion: Motion | None = None  # how it goes on while nobody looks
        self._lost_at = 0
        self._lost_confidence = 0.0

    @property
    def box(self) -> np.ndarray:
        """The newest box, float32 (4,)."""
        return self._boxes[-1]

    @property
    def label(self) -> str:
        """The label with the greatest sum of detection scores."""
        return max(self._votes, key=self._votes.get)

    @property
    def mean_score(self) -> float:
        """The mean score of its detections."""
        return self._votes.total() / self.detections

    @property
    def score(self) -> float:
        """How likely the box is on an object: what tracker and detector both speak for."""
        return self.confidence * min(1.0, self.belief / BELIEVED)

    @property
    def born_at(self) -> int:
        """The oldest stamp with a known box."""
        return self._stamps[0]

    @property
    def is_followed(self) -> bool:
        """Whether its visual tracker is in charge."""
        return self.state in (State.TENTATIVE, State.CONFIRMED)

    @property
    def is_looked_for(self) -> bool:
        """
        Whether its visual tracker looks for it: also again, after it was lost.

        Not where the detector has missed it since, and not by a tracker that learns what it sees.
        """
        return self.is_followed or (self.state is State.COASTING and not self.misses
                                    and can_be_moved(self.visual))

    def box_at(self, stamp: int) -> np.ndarray:
        """Return the box, float32 (4,), at a stamp; interpolated, or the nearest end's."""
        if stamp >= self._stamps[-1]:
            return self._boxes[-1]
        times = np.array(self._stamps) - stamp  # small numbers: float64 is exact for them
        columns = np.array(self._boxes).T
        return np.array([np.interp(0, times, column) for column in columns], dtype=np.float32)

    def coasting_seconds(self, stamp: int) -> float:
        """Return for how long the object has not been seen; 0 while it is."""
        return (stamp - self._lost_at) * 1e-9 if self.state is State.COASTING else 0.0

    def was_detected_beside(self, other: Track, overlap: float) -> bool:
        """Tell whether one detector run saw both, in boxes with an IoU below `overlap`."""
        theirs = dict(other.sightings)
        return any(geometry.iou(box, theirs[stamp])[0, 0] < overlap
                   for stamp, box in self.sightings if stamp in theirs)

    # What detections tell

    def correct(self, stamp: int, box, score: float, label: str) -> None:
        """
        Take a detection on the image of `stamp`: restart there, forget what came later.

        The visual tracker is started by who calls, together with those of other tracks.
        """
        step = STILL
        while self._stamps and self._stamps[-1] >= stamp:
            step = self._steps[-1] if self._stamps[-1] == stamp else STILL
            self._stamps.pop(), self._boxes.pop(), self._weights.pop(), self._steps.pop()
        self._record(stamp, box, 1.0, step)
        self.confidence, self.turns = score, 0
        if self.state is State.COASTING:
            self.state = State.CONFIRMED
        self._motion = None
        self._note_sighting(stamp, box, score, label)

    def shift(self, stamp: int, box, score: float, label: str) -> None:
        """Take a detection on the image of `stamp` without a replay: move and resize all since."""
        (before,), (after,) = geometry.to_center(self.box_at(stamp)), geometry.to_center(box)
        first = bisect_left(self._stamps, stamp)
        for index in range(first, len(self._stamps)):
            moved = geometry.to_center(self._boxes[index])[0]
            moved[:2] += after[:2] - before[:2]
            moved[2:] *= after[2:] / before[2:]
            self._boxes[index] = geometry.from_center(moved)[0]
        self._motion = None
        self.visual.expect(self.box)
        self._note_sighting(stamp, box, score, label)

    def _note_sighting(self, stamp, box, score, label):
        self._votes[label] += score
        self.detections += 1
        self.sightings.append((stamp, np.asarray(box)))
        if stamp > self.judged_at:
            known = self._known_for(stamp, HIT_SECONDS) if self.judged_at else 0.0
            self.belief = score + known * (self.belief - score)
            self.judged_at = self.seen_at = stamp
            self.misses = 0

    def note_miss(self, stamp: int) -> None:
        """Count a detector run that did not see it, unless a later run has judged already."""
        if stamp > self.judged_at:
            self.belief *= self._known_for(stamp, MISS_SECONDS)
            self.judged_at = stamp
            self.misses += 1

    def _known_for(self, stamp, seconds):
        """Return what is left, after the time since the last run, of what was believed then."""
        return math.exp(-(stamp - self.judged_at) * 1e-9 / seconds)

    # What images tell

    def follow(self, stamp: int, seen, camera: CameraMotion, threshold: float,
               max_coast: float) -> None:
        """
        Go on to the next image: by sight while confidence holds, else by prediction.

        `seen` is the box and confidence of the visual tracker, None while it does not look;
        `camera` how the camera moved.
        """
        if seen is not None:
            self.turns = 0
            box, confidence = seen
            # written so that a confidence that is no number is below every threshold
            if confidence >= (threshold if self.is_followed else REGAINED):
                self.confidence = confidence
                if self.state is State.COASTING:
                    self.state = State.CONFIRMED
                self._record(stamp, box, confidence, camera)
                self._motion = None
                return
            if self.is_followed:
                self.confidence = confidence
                self.coast(stamp, confidence)
        self.turns += 1
        self._motion = self._course().seen_after(camera)
        self._record(stamp, self._motion.predict(stamp), 0.0, camera)
        if self.state is State.COASTING:
            remaining = 1 - self.coasting_seconds(stamp) / max_coast
            self.confidence = self._lost_confidence * max(0.0, remaining)
            if remaining < 0:
                self.state = State.DROPPED

    def predict(self, stamp: int) -> np.ndarray:
        """
        Return the box, float32 (4,), expected at a stamp later than the last look.

        It is what the camera would see if it stood still since the newest box.
        """
        return self._course().predict(stamp)

    def _course(self):
        if self._motion is None:
            self._motion = fit_motion(self._stamps, self._boxes, self._weights, self._steps)
        return self._motion

    def coast(self, stamp: int, confidence: float) -> None:
        """
        Stop trusting the visual tracker: from now on the box is predicted.

        A tentative track is dropped instead: nothing but one detection speaks for it.
        """
        self._lost_at, self._lost_confidence = stamp, confidence
        self.state = State.DROPPED if self.state is State.TENTATIVE else State.COASTING

    def forget_before(self, stamp: int) -> None:
        """Drop the boxes older than `stamp`, but never the last one that was seen."""
        last_seen = len(self._weights) - 1
        while self._weights[last_seen] <= 0:
            last_seen -= 1
        first = min(bisect_left(self._stamps, stamp), last_seen)
        del (self._stamps[:first], self._boxes[:first], self._weights[:first],
             self._steps[:first])

    def _record(self, stamp, box, weight, camera):
        self._stamps.append(stamp)
        self._boxes.append(np.asarray(box, dtype=np.float32))
        self._weights.append(weight)
        self._steps.append(camera)
