"""
The ways of tracking that are compared, all led through one recording at once.

A peer, a tracker of the library, is tried in four ways: with detections of every image, or of as
many as detection on demand took, evenly spread; and with these at once, or as late as they are
for the tracker of this package.
"""
from __future__ import annotations

from collections import deque
from fractions import Fraction
import itertools
from math import ceil
import time as clock

from acme_tracking.detections import Detections
from acme_tracking.evaluation.baselines import Peer, PEERS, TwoPhase
from acme_tracking.evaluation.outcome import CnnRun, Outcome
from acme_tracking.evaluation.simulation import Detect
import numpy as np

ON_DEMAND, CONTINUOUS, TWO_PHASE = 'on_demand', 'continuous', 'two_phase'
# mode: (peer, whether it has detections of every image, whether they are late)
PEER_MODES = {
    f'{name}{"" if dense else "_nth"}{"_late" if late else ""}': (name, dense, late)
    for dense, late, name in itertools.product((True, False), (False, True), PEERS)}
MODES = {
    ON_DEMAND: 'detection on demand: this package',
    CONTINUOUS: 'this package with a detector that always runs',
    TWO_PHASE: 'detection on every N-th image and dlib, without latency',
    **{mode: f'{PEERS[name].title}, detections of '
       + ('every image' if dense else 'as many images as on demand')
       + (', with latency' if late else ', without latency')
       for mode, (name, dense, late) in PEER_MODES.items()},
}


class Baseline:
    """A baseline gets the images in order, and its detections at once."""

    def __init__(self, detect: Detect):
        """Detect with `detect`."""
        self.outcome, self._detect = Outcome(), detect

    def step(self, time: int, stamp: int, image: np.ndarray) -> None:
        """Take the next image; one that is not later than the last is passed over."""
        if not self.outcome.stamps or stamp > self.outcome.stamps[-1]:
            tracks = self._track(time, stamp, image)
            self.outcome.add(stamp, tracks, np.zeros(len(tracks)))

    def finish(self) -> None:
        """Nothing is under way."""

    def _track(self, time, stamp, image) -> Detections:
        raise NotImplementedError


class EveryNth(Baseline):
    """The detector on every N-th image, dlib in between."""

    def __init__(self, detect: Detect, every: int):
        """Detect with `detect` on one of `every` images."""
        super().__init__(detect)
        self._script = TwoPhase(every)

    def _track(self, time, stamp, image):
        found = self._detect(stamp, image) if self._script.is_due else None
        tracks = self._script.update(image, found)
        if found is not None:
            self.outcome.runs.append(CnnRun(stamp, found=found))
            self.outcome.corrected += [(stamp, int(one)) for one in tracks.ids]
        return tracks


class PeerMode(Baseline):
    """
    A tracker of the library on the clock of a recording.

    With detections that are late it gives, for an image, the objects that it found on the newest
    image whose detections have come, where it expects them to be by now.  Nothing holds it up:
    a detector that is late is as late for every image, as if there were as many as it takes.
    """

    def __init__(self, detect: Detect, peer: Peer, share: Fraction, latency: float):
        """Detect with `detect` on a `share` of the images, `latency` in seconds."""
        super().__init__(detect)
        self._known, self._share, self._latency = peer, share, round(latency * 1e9)
        self._ahead = None  # a copy of the peer that has gone on to the newest image
        self._images, self._waiting = 0, deque()  # those that the peer has not taken

    def _track(self, time, stamp, image):
        self._waiting.append((time + self._latency, stamp, image, self._look_at(stamp, image)))
        come = max((number for number, (at, *_, found) in enumerate(self._waiting, 1)
                    if found is not None and at <= time), default=0)
        for _ in range(come):
            shown, self._ahead = self._take(*self._waiting.popleft()[1:]), None
        unseen = list(self._waiting)
        if unseen and self._ahead is None:
            self._ahead = self._known.ahead()
        elif unseen:
            unseen = unseen[-1:]
        for _, at, picture, _ in unseen:
            shown = self._ahead.predict(at * 1e-9, picture)
        return shown

    def _look_at(self, stamp, image):
        """Return what the detector finds on an image; None when it does not look at it."""
        self._images += 1
        if ceil(self._images * self._share) == ceil((self._images - 1) * self._share):
            return None
        found = self._detect(stamp, image)
        self.outcome.runs.append(CnnRun(stamp, found=found, latency=self._latency * 1e-9))
        return found

    def _take(self, stamp, image, detections):
        if detections is None:
            return self._known.look(image)
        tracks = self._known.update(stamp * 1e-9, image, detections)
        self.outcome.corrected += [(stamp, int(one)) for one in tracks.ids]
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
