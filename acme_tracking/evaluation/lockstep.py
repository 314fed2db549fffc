"""
The tracker and the baselines, driven image by image: what a graph would do, without its chance.

Time is the stamps of the images.  A detector that takes `latency` seconds is simulated as the
nodes work: it runs on the newest image at the moment it is asked, one run at a time, and its
answer reaches the tracker before the first image that is not earlier than its end.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import time

from acme_tracking.detections import Detections
from acme_tracking.evaluation.baselines import Sort, TwoPhase
from acme_tracking.tracking.track import State
from acme_tracking.tracking.tracker import MultiObjectTracker, TrackingParameters
import numpy as np

ON_DEMAND, CONTINUOUS, EVERY_IMAGE, TWO_PHASE = (
    'on_demand', 'continuous', 'every_image', 'two_phase')
MODES = {
    ON_DEMAND: 'detection on demand: this package',
    CONTINUOUS: 'this package with a detector that always runs',
    EVERY_IMAGE: 'detection on every image and SORT, without latency',
    TWO_PHASE: 'detection on every N-th image and dlib, without latency',
}
# States of a track on an image.
FOLLOWED, COASTING = 0, 1

Detect = Callable[[int, np.ndarray], Detections]


@dataclass(eq=False)
class Outcome:
    """
    What one mode made of a sequence.

    stamps: of the images, nanoseconds.  tracks: Detections with ids, for each image.  states: for
    each image an int array, FOLLOWED or COASTING for each track.  detected: stamps of the images
    that the CNN ran on.  corrected: (stamp, id) of every detection that a track took.  requests:
    how often the detector was asked for each reason.  seconds: what each image took, without CNN.
    lost: how many images nothing was said about.
    """

    stamps: list[int] = field(default_factory=list)
    tracks: list[Detections] = field(default_factory=list)
    states: list[np.ndarray] = field(default_factory=list)
    detected: list[int] = field(default_factory=list)
    corrected: list[tuple[int, int]] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, stamp, tracks, states):
        """Append what was said about one image."""
        self.stamps.append(stamp)
        self.tracks.append(tracks)
        self.states.append(states)


class LateDetector:
    """The detector node with its latency: one run at a time, on the newest image."""

    def __init__(self, detect: Detect, latency: float, continuous: bool = False):
        """Answer after `latency` seconds; `continuous` runs whenever there is a newer image."""
        self._detect, self._latency = detect, round(latency * 1e9)
        self._continuous = continuous
        self._newest = self._seen = self._run = None
        self.asked = False  # whether someone waits for an answer
        self.runs = []      # stamps of the images it ran on

    def ask(self, now: int) -> None:
        """Start a run, or share the one in progress."""
        self.asked = True
        self._start(now)

    def see(self, stamp: int, image: np.ndarray) -> None:
        """Take the newest image."""
        self._newest = stamp, image
        if self._continuous:
            self._start(stamp)

    def finished(self, now: int):
        """Yield (stamp of the image, detections) of the runs that end up to `now`, in order."""
        while self._run and self._run[0] <= now:
            end, stamp, detections = self._run
            self._run = None
            yield stamp, detections
            self.asked = False
            if self._continuous and self._newest[0] != self._seen:
                self._start(end)

    def _start(self, now):
        if self._run is None:
            self._seen = self._newest[0]
            self.runs.append(self._seen)
            self._run = now + self._latency, self._seen, self._detect(*self._newest)


class _Observed(MultiObjectTracker):
    """The tracker of the node, whose tracks can be looked at."""

    def states_of(self, ids) -> np.ndarray:
        """Return FOLLOWED or COASTING for each of the ids, int8 (N,)."""
        coasting = {track.id for track in self._tracks if track.state is State.COASTING}
        return np.array([COASTING if one in coasting else FOLLOWED for one in ids], dtype=np.int8)

    def corrected_at(self, stamp) -> list[int]:
        """Return the ids of the tracks whose newest detection is of a stamp."""
        return [track.id for track in self._tracks if track.detected_at == stamp]


class OnDemand:
    """The tracker with a late detector, as the two nodes work together."""

    def __init__(self, parameters: TrackingParameters, latency: float, detect: Detect,
                 continuous: bool = False):
        """Follow with these parameters; see `LateDetector` for the others."""
        self.outcome = Outcome()
        self._tracker = _Observed(parameters)
        self._detector = LateDetector(detect, latency, continuous)
        self.outcome.detected = self._detector.runs

    def step(self, stamp: int, image: np.ndarray) -> None:
        """Take the next image."""
        for made_at, detections in self._detector.finished(stamp):
            self._tracker.correct(made_at, detections)
            if self._detector.asked:
                self._tracker.policy.answered()
            self.outcome.corrected += [(made_at, one)
                                       for one in self._tracker.corrected_at(made_at)]
        tracks = self._tracker.advance(stamp, image).confirmed
        self._detector.see(stamp, image)
        request = self._tracker.request()
        if request:
            self.outcome.requests[request.reason] = (
                self.outcome.requests.get(request.reason, 0) + 1)
            self._detector.ask(stamp)
        self.outcome.add(stamp, tracks, self._tracker.states_of(tracks.ids))


class EveryImage:
    """The detector on every image, its boxes joined by SORT."""

    def __init__(self, detect: Detect):
        """Detect with `detect`."""
        self.outcome, self._sort, self._detect = Outcome(), Sort(), detect

    def step(self, stamp: int, image: np.ndarray) -> None:
        """Take the next image."""
        tracks = self._sort.update(self._detect(stamp, image))
        self.outcome.detected.append(stamp)
        self.outcome.corrected += [(stamp, int(one)) for one in tracks.ids]
        self.outcome.add(stamp, tracks, np.zeros(len(tracks), np.int8))


class EveryNth:
    """The detector on every N-th image, dlib in between."""

    def __init__(self, detect: Detect, every: int):
        """Detect with `detect` on one of `every` images."""
        self.outcome, self._script, self._detect = Outcome(), TwoPhase(every), detect

    def step(self, stamp: int, image: np.ndarray) -> None:
        """Take the next image."""
        due = self._script.is_due
        tracks = self._script.update(image, self._detect(stamp, image) if due else None)
        if due:
            self.outcome.detected.append(stamp)
            self.outcome.corrected += [(stamp, int(one)) for one in tracks.ids]
        self.outcome.add(stamp, tracks, np.zeros(len(tracks), np.int8))


class Stopwatch:
    """Calls a function, and remembers how long each call took."""

    def __init__(self, function):
        """Wrap `function`."""
        self._function, self.seconds = function, []

    def __call__(self, *arguments):
        """Call it."""
        start = time.perf_counter()
        try:
            return self._function(*arguments)
        finally:
            self.seconds.append(time.perf_counter() - start)


def drive(modes: dict, images, detect: Stopwatch) -> None:
    """
    Lead the modes, by name, through `images`, pairs of stamp and image; all see each image once.

    `detect` is the one that they were made with: its time is not counted as theirs.
    """
    for stamp, image in images:
        for mode in modes.values():
            count, start = len(detect.seconds), time.perf_counter()
            mode.step(stamp, image)
            detecting = sum(detect.seconds[count:])
            mode.outcome.seconds.append(time.perf_counter() - start - detecting)
