"""
The sessions of detector and tracker node, driven through a recording with a virtual clock.

What is decided is decided by the very code that runs on the robot; here is only what surrounds it:
a camera whose images arrive when they were recorded, a CNN that takes its time and may be late,
lose answers or be away, and a computer on which an image costs what it is said to cost.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import functools
import heapq
import itertools

from acme_tracking.detections import Detections
from acme_tracking.evaluation.outcome import CnnRun, COASTING, FOLLOWED, Outcome
from acme_tracking.sessions.detection import DetectionSession, DetectorParameters
from acme_tracking.sessions.events import (
    Answer,
    Answered,
    Asked,
    DetectionsArrived,
    DetectorSeen,
    ImageArrived,
    PublishDetections,
    PublishTracks,
    Request,
    Reset,
    RunFinished,
    StartRun,
    TracksPublished,
)
from acme_tracking.sessions.inbox import Inbox, WaitingDetections, WaitingImage
from acme_tracking.sessions.tracking import TrackerParameters, TrackingSession
from acme_tracking.tracking.track import State
import numpy as np

Detect = Callable[[int, np.ndarray], Detections]


@dataclass(frozen=True)
class Surroundings:
    """
    What a graph runs on, durations in seconds.

    latency: from the start of a run of the CNN to its answer.  jitter: it takes up to so much
    longer, evenly distributed.  lost_answers: the share of runs whose detections and answer never
    arrive.  away: (start, end) since the first image, when there is no detector; () for never.
    image_cost: what the tracker takes for an image, and for each that it replays.
    """

    latency: float = 0.1
    jitter: float = 0.0
    lost_answers: float = 0.0
    away: tuple[float, ...] = ()
    image_cost: float = 0.0

    def __post_init__(self):
        """Raise ValueError for a value out of its range."""
        for name, most in (('latency', 60), ('jitter', 60), ('lost_answers', 1),
                           ('image_cost', 60)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f'{name} must be from 0 to {most}, got {value}')
        if self.away and not (len(self.away) == 2 and 0 <= self.away[0] <= self.away[1]):
            raise ValueError(f'away must be a start and an end after it, got {self.away}')


class Simulation:
    """
    Detector and tracker node on one virtual clock; integer nanoseconds, those of the recording.

    outcome: what came of it, complete after `finish`.
    """

    def __init__(self, tracker: TrackerParameters, detector: DetectorParameters, detect: Detect,
                 surroundings: Surroundings):
        """Track with these parameters; `detect` tells what the CNN finds on an image."""
        self.outcome = Outcome()
        self._tracker_parameters, self._surroundings = tracker, surroundings
        self._detect = detect
        self._tracking: TrackingSession | None = None  # begins with the first image
        self._detection = DetectionSession(replace(detector, cameras=()))  # a recording is of one
        self._inbox, self._busy_until, self._working = Inbox(), 0, False
        self._agenda, self._order = [], itertools.count()
        self._chance = np.random.default_rng(0)
        self._alive = 0   # grows when the detector restarts: what an earlier one did is gone
        self._said: dict[int, PublishTracks] = {}
        self._arrived: dict[int, int] = {}

    def step(self, time: int, stamp: int, image: np.ndarray) -> None:
        """Let an image arrive at a time, after all that happens before."""
        if self._tracking is None:
            self._begin(time)
        self._run_until(time)
        self._arrived.setdefault(stamp, time)
        self._perform_detection(time, self._detection.on(
            ImageArrived(time, stamp, (stamp, image))))
        self._inbox.put(WaitingImage(time, stamp, image.nbytes, functools.partial(_same, image)))
        self._work(time)

    def finish(self) -> None:
        """Let all that is under way come to its end."""
        self._run_until(None)
        for stamp in sorted(self._arrived):
            said = self._said.get(stamp)
            self.outcome.add(stamp, *said) if said else self.outcome.add(stamp, None)

    def _begin(self, time):
        self._tracking = TrackingSession(self._tracker_parameters, time)
        self._tell(DetectorSeen(time, True))
        for index, moment in enumerate(self._surroundings.away):
            self._at(time + _nanoseconds(moment), self._restart if index else self._go_away)

    # The clock

    def _at(self, time, action, *arguments):
        heapq.heappush(self._agenda, (time, next(self._order), action, arguments))

    def _run_until(self, time):
        while self._agenda and (time is None or self._agenda[0][0] <= time):
            now, _, action, arguments = heapq.heappop(self._agenda)
            action(now, *arguments)

    # The tracker node: one worker, which takes an event after the other

    def _tell(self, event):
        self._inbox.put(event)
        self._work(event.time)

    def _work(self, now):
        while not self._working and (taken := self._inbox.take()):
            self._handle(now, taken[0])

    def _handle(self, now, event):
        steps = self._tracking.tracker.steps
        actions = self._tracking.on(event)
        steps = max(self._tracking.tracker.steps - steps, isinstance(event, ImageArrived))
        self._note_corrections(event)
        cost = _nanoseconds(steps * self._surroundings.image_cost)
        if cost:
            self._working = True
            self._at(now + cost, self._work_is_done, actions)
        else:
            self._perform_tracking(now, actions)

    def _work_is_done(self, now, actions):
        self._working = False
        self._perform_tracking(now, actions)
        self._work(now)

    def _perform_tracking(self, now, actions):
        for action in actions:
            if isinstance(action, PublishTracks):
                self._note_tracks(now, action)
                self._handle(now, TracksPublished(now))
            elif isinstance(action, Request):
                self.outcome.requests[action.reason] += 1
                self._perform_detection(now, self._detection.on(
                    Asked(now, action.ticket, urgent=action.urgent)), action.reason)
            # nothing for Cancel: an answer that comes all the same is for the session to judge

    def _note_tracks(self, now, action):
        states = self._tracking.tracker.states()
        self._said.setdefault(action.stamp, (action.confirmed, [
            COASTING if states[one] is State.COASTING else FOLLOWED
            for one in action.confirmed.ids.tolist()]))
        self.outcome.ages.setdefault(action.stamp, (now - self._arrived[action.stamp]) * 1e-9)

    def _note_corrections(self, event):
        if isinstance(event, DetectionsArrived):
            self.outcome.corrected += [
                (event.stamp, one) for one in self._tracking.tracker.detected_at(event.stamp)]

    # The detector node

    def _perform_detection(self, now, actions, reason=''):
        for action in actions:
            if isinstance(action, StartRun):
                self._start_run(now, action, reason)
            elif isinstance(action, PublishDetections):
                self._tell(WaitingDetections(now, action.stamp,
                                             functools.partial(_same, action.detections)))
            elif isinstance(action, Answer):
                self._tell(Answered(now, action.caller, action.success, action.message))

    def _start_run(self, now, action, reason):
        self.outcome.runs.append(CnnRun(action.stamp, reason))
        late, lost = self._chance.random(2)
        seconds = self._surroundings.latency + self._surroundings.jitter * late
        self._at(now + _nanoseconds(seconds), self._end_run, action,
                 lost < self._surroundings.lost_answers, self._alive, self.outcome.runs[-1])

    def _end_run(self, now, run, lost, alive, noted):
        if alive != self._alive:
            return  # of a detector that has gone since
        found = self._detect(*run.image)
        if not lost:
            noted.found, noted.latency = found, (now - self._arrived[run.stamp]) * 1e-9
        actions = self._detection.on(RunFinished(now, run.run, found))
        self._perform_detection(now, [action for action in actions
                                      if not lost or isinstance(action, StartRun)])

    def _go_away(self, now):
        self._alive += 1
        self._detection.on(Reset(now))
        self._tell(DetectorSeen(now, False))

    def _restart(self, now):
        self._tell(DetectorSeen(now, True))


def _nanoseconds(seconds):
    return round(seconds * 1e9)


def _same(value):
    return value
