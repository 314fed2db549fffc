"""The ways of tracking that are compared, all led through one recording at once."""
from __future__ import annotations

import time as clock

from acme_tracking.detections import Detections
from acme_tracking.evaluation.baselines import Sort, TwoPhase
from acme_tracking.evaluation.outcome import Outcome
from acme_tracking.evaluation.simulation import Detect
import numpy as np

ON_DEMAND, CONTINUOUS, EVERY_IMAGE, TWO_PHASE = (
    'on_demand', 'continuous', 'every_image', 'two_phase')
MODES = {
    ON_DEMAND: 'detection on demand: this package',
    CONTINUOUS: 'this package with a detector that always runs',
    EVERY_IMAGE: 'detection on every image and SORT, without latency',
    TWO_PHASE: 'detection on every N-th image and dlib, without latency',
}


class Baseline:
    """A baseline gets the images in order, and its detections at once."""

    def __init__(self, detect: Detect):
        """Detect with `detect`."""
        self.outcome, self._detect = Outcome(), detect

    def step(self, time: int, stamp: int, image: np.ndarray) -> None:
        """Take the next image; one that is not later than the last is passed over."""
        if not self.outcome.stamps or stamp > self.outcome.stamps[-1]:
            tracks = self._track(stamp, image)
            self.outcome.add(stamp, tracks, np.zeros(len(tracks)))

    def finish(self) -> None:
        """Nothing is under way."""

    def _track(self, stamp, image) -> Detections:
        raise NotImplementedError

    def _note_detected(self, stamp, tracks):
        self.outcome.detected.append(stamp)
        self.outcome.corrected += [(stamp, int(one)) for one in tracks.ids]


class EveryImage(Baseline):
    """The detector on every image, its boxes joined by SORT."""

    def __init__(self, detect: Detect):
        """Detect with `detect`."""
        super().__init__(detect)
        self._sort = Sort()

    def _track(self, stamp, image):
        tracks = self._sort.update(self._detect(stamp, image))
        self._note_detected(stamp, tracks)
        return tracks


class EveryNth(Baseline):
    """The detector on every N-th image, dlib in between."""

    def __init__(self, detect: Detect, every: int):
        """Detect with `detect` on one of `every` images."""
        super().__init__(detect)
        self._script = TwoPhase(every)

    def _track(self, stamp, image):
        due = self._script.is_due
        tracks = self._script.update(image, self._detect(stamp, image) if due else None)
        if due:
            self._note_detected(stamp, tracks)
        return tracks


class Stopwatch:
    """Calls a function, and remembers how long each call took."""

    def __init__(self, function):
        """Wrap `function`."""
        self._function, self.seconds = function, []

    def __call__(self, *arguments):
        """Call it."""
        start = clock.perf_counter()
        try:
            return self._function(*arguments)
        finally:
            self.seconds.append(clock.perf_counter() - start)


def drive(modes: dict, images, detect: Stopwatch) -> None:
    """
    Lead the modes, by name, through `images` (time, stamp, image), which each sees once.

    `detect` is the one that they were made with: its time is not counted as theirs.
    """
    for time, stamp, image in images:
        for mode in modes.values():
            count, start = len(detect.seconds), clock.perf_counter()
            mode.step(time, stamp, image)
            detecting = sum(detect.seconds[count:])
            mode.outcome.seconds.append(clock.perf_counter() - start - detecting)
    for mode in modes.values():
        mode.finish()
