"""
What the detector node does: the CNN runs on the newest image, when asked or all the time.

One run at a time; requests that arrive during it share its answer.  What is older than a limit, by
its stamp or its arrival, is not run on.  New weights are loaded while runs go on with the present
ones, and are given up when they cannot be used.
"""
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
import statistics
from typing import Any

from acme_tracking.confinement import ConfinedParameters
from acme_tracking.detection.options import (
    MAXIMUM_TILES,
    NMS_THRESHOLD,
    ONE_OBJECT_IOU,
    SCORE_THRESHOLD,
    SIDES,
)
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import (
    Answer,
    Asked,
    Configured,
    ImageArrived,
    LoadWeights,
    PublishDetections,
    Report,
    Reset,
    RestoreWeights,
    RunFinished,
    StartRun,
    Tick,
    Warn,
    WeightsLoaded,
    WeightsSet,
)
from acme_tracking.sessions.silence import Silence

SECOND = 1_000_000_000
# A failure that repeats is said once in so long.
REPEAT = 5 * SECOND
# Images are missed when none came for so long, and for so many times their usual interval.
SILENCE, INTERVALS_OF_SILENCE = 3 * SECOND, 3
# The usual interval is the median of so many.
INTERVALS = 10
# Stamps that are further ahead of this host's clock are of another one, and so are those further
# behind, unless they came to be so without a jump.
AHEAD, BEHIND = SECOND, 60 * SECOND


@dataclass(frozen=True)
class DetectorParameters(ConfinedParameters):
    """The parameters of the detector node."""

    mode: str = parameter(
        'on_request', 'When the CNN runs: on each call of redetect, or on every image that it can '
        'keep up with (calls are answered too).', choices=('on_request', 'continuous'))
    maximum_image_age: float = parameter(
        2.0, 'Images that are older, by their stamp or their arrival, are not detected, and a '
        'call of redetect fails. Stamps of another clock, as of a bag played without /clock, do '
        'not count. 0 for no limit.', minimum=0.0, maximum=3600.0)
    score_threshold: float = parameter(
        SCORE_THRESHOLD, 'Objects with a lower score are not published.', minimum=0.0, maximum=1.0)
    nms_threshold: float = parameter(
        NMS_THRESHOLD, 'Of two boxes of a class with a higher IoU only the better one is '
        f'published; of two classes, where it is above {ONE_OBJECT_IOU} too.', minimum=0.0,
        maximum=1.0)
    classes: list[str] = parameter(
        [], 'Names of the classes to publish, for example [car, bus]; empty for all.')
    input_size: int = parameter(
        0, 'Images are resized to the area of a square of this side, in pixels, for the CNN; 0 '
        'for the size that the weights were trained for. Larger finds smaller objects and takes '
        'longer.', minimum=0, maximum=SIDES[1])
    tiles: int = parameter(
        1, 'Above 1 the CNN also looks at so many overlapping columns times rows of the image, '
        'each at input_size: for small objects in large images. 2 takes 5 times as long, 3 takes '
        '10 times.', minimum=1, maximum=MAXIMUM_TILES)
    weights: str = parameter(
        '', 'Checkpoint (.safetensors), ONNX file (.onnx) or model of the Hugging Face hub '
        '(hf:ID), see docs/detector.md; empty for those in the package. Read whenever it is '
        'set, also to the same path, while the present one goes on; a bad one is refused, or set '
        'back when that shows only while it is loaded.', opens=True)
    classifier: str = parameter(
        '', 'Checkpoint of a classifier that gives every object a class of its own, for example '
        'kinds of vehicles; empty for none. The score becomes the geometric mean of both, after '
        'score_threshold. Read whenever it is set, like weights.', opens=True)
    refined_classes: list[str] = parameter(
        [], 'Classes of the detector whose objects the classifier names, for example '
        '[car, truck, bus]; empty for all.')
    device: str = parameter(
        'auto', 'Where the CNN runs; auto takes CUDA if there is any, and torch.',
        choices=('auto', 'cpu', 'cuda'), applies='configure')
    half: bool = parameter(
        True, 'Half precision on CUDA, and bfloat16 on CPUs that have it.', applies='configure')
    threads: int = parameter(
        0, 'CPU threads of the CNN; 0 for as many as there are cores.', minimum=0, maximum=256,
        applies='configure')
    compressed: bool = parameter(
        False, 'Subscribe to image_raw/compressed instead of image_raw.', applies='activate')


# All are loaded anew when one of them is set.
LOADED = ('weights', 'classifier', 'refined_classes')


@dataclass
class _Run:
    """The run in progress: its number, its image, when it began, and who waits for it."""

    number: int
    image: ImageArrived
    begun: int
    callers: list[Any]


class DetectionSession:
    """Events in, actions out; see `events`."""

    def __init__(self, parameters: DetectorParameters):
        """Begin with these parameters, whose weights are loaded."""
        self.parameters = parameters
        self._loaded = parameters  # those whose weights are in use
        self._silence = Silence()
        self._loading = 0
        self._counts = Counter()
        self._latency, self._error, self._weights_error = 0, '', ''
        self._said_at: int | None = None
        self._said_once = set()
        self._number = 0
        self._forget()

    def on(self, event) -> list:
        """Take an event; return what is to be done, in this order."""
        return self._HANDLERS[type(event)](self, event)

    def _forget(self):
        self._newest: ImageArrived | None = None
        self._shared = False  # whether its stamp is of the clock of this host
        self._seen: ImageArrived | None = None  # the image that the CNN ran on last
        self._run: _Run | None = None
        self._heard_at: int | None = None  # when images came last, or began to be waited for
        self._intervals = deque(maxlen=INTERVALS)

    # Images and requests

    def _image_arrived(self, event):
        if self._newest is not None:
            self._intervals.append(event.time - self._newest.time)
        self._shared = self._shares_clock(event)
        self._newest, self._heard_at = event, event.time
        self._silence.end()
        self._counts['images'] += 1
        return self._say_of_age(event.time) + self._continue(event.time)

    def _shares_clock(self, event) -> bool:
        """Tell whether the stamp is of this host's clock: near it, or gone from it bit by bit."""
        if event.clock is None or event.clock - event.stamp < -AHEAD:
            return False
        if event.clock - event.stamp <= BEHIND:
            return True
        last = self._newest
        return self._shared and event.stamp >= last.stamp and abs(
            (event.clock - last.clock) - (event.time - last.time)) <= AHEAD

    def _asked(self, event):
        if self._run is not None:
            self._run.callers.append(event.caller)
            return []
        why = self._why_not(event.time)
        if why:
            return [Answer(event.caller, False, why)]
        return self._start(event.time, [event.caller])

    def _why_not(self, time) -> str:
        if self._newest is None:
            return 'no image yet'
        age, limit = self._age(time), self.parameters.maximum_image_age
        return f'newest image is {age:.1f} s old' if limit and age > limit else ''

    def _age(self, time) -> float:
        """Return how old the newest image is, in seconds."""
        newest = self._newest
        on_its_way = max(0, newest.clock - newest.stamp) if self._shared else 0
        return (time - newest.time + on_its_way) / SECOND

    def _say_of_age(self, time):
        if self._why_not(time):
            self._counts['old_images'] += 1
            return self._once(
                'old', f'images are {self._age(time):.1f} s old when they come, by their stamps: '
                'those older than maximum_image_age = '
                f'{self.parameters.maximum_image_age} s are not detected (said once; see '
                'old_images on /diagnostics): the link is too slow for them, or the clocks of '
                'the hosts differ')
        if self._newest.clock is not None and not self._shared:
            return self._once(
                'another clock', 'the stamps of the images are of another clock: the age of '
                'images counts from their arrival', 'info')
        return []

    def _once(self, key, text, level='warning'):
        if key in self._said_once:
            return []
        self._said_once.add(key)
        return [Warn(text, level)]

    # Runs

    def _continue(self, time):
        """Start a run in continuous mode, when there is an image that it did not run on yet."""
        if (self.parameters.mode == 'continuous' and self._run is None
                and self._newest is not self._seen and not self._why_not(time)):
            return self._start(time, [])
        return []

    def _start(self, time, callers):
        self._seen = self._newest
        self._number += 1
        self._run = _Run(self._number, self._newest, time, callers)
        return [StartRun(self._number, self._newest.stamp, self._newest.image)]

    def _run_finished(self, event):
        run = self._run
        if run is None or run.number != event.run:
            return []  # of before a reset
        self._run = None
        self._counts['runs'] += 1
        self._error = event.error if event.detections is None else ''
        if event.detections is None:
            self._counts['failures'] += 1
            actions = self._say(event.time) + _answers(run.callers, False, event.error)
        else:
            actions = self._publish(run, event)
        return actions + self._continue(event.time)

    def _publish(self, run, event):
        self._latency = event.time - run.begun
        seconds, nanoseconds = divmod(run.image.stamp, SECOND)
        return [PublishDetections(run.image.stamp, run.image.image, event.detections), *_answers(
            run.callers, True, f'stamp={seconds}.{nanoseconds:09d} '
            f'detections={len(event.detections)} latency_ms={self._latency / 1e6:.1f}')]

    def _say(self, time):
        if self._said_at is not None and time - self._said_at < REPEAT:
            return []
        self._said_at = time
        return [Warn(f'cannot detect: {self._error}')]

    def _reset(self, event):
        callers = self._run.callers if self._run is not None else []
        self._forget()
        self._error = ''
        return _answers(callers, False, 'the detector was deactivated')

    # Parameters

    def _configured(self, event):
        self.parameters = event.parameters
        if all(getattr(event.parameters, name) == getattr(self._loaded, name) for name in LOADED):
            self._loaded = event.parameters  # with other classes, perhaps
        if self._heard_at is None:
            self._heard_at = event.time
        return self._continue(event.time)

    def _weights_set(self, event):
        self._loading += 1
        return [LoadWeights(event.parameters)]

    def _weights_loaded(self, event):
        self._loading -= 1
        self._weights_error = event.error
        if not event.error:
            self._loaded = event.parameters
            return [Warn('the weights that were set are used from now on', 'info')]
        actions = [Warn(f'the weights that were set are not used: {event.error}', 'error')]
        if not self._loading:  # else others were set meanwhile
            actions.append(RestoreWeights({
                name: getattr(self._loaded, name) for name in (*LOADED, 'classes')}))
        return actions

    # Health

    def _tick(self, event):
        if self._heard_at is None:
            self._heard_at = event.time
        usual = statistics.median(self._intervals) if self._intervals else 0
        level, warnings, silent = 'warning', [], event.time - self._heard_at
        if silent <= max(SILENCE, INTERVALS_OF_SILENCE * usual):
            if self._weights_error:
                message = f'the weights that were set are not used: {self._weights_error}'
            elif self._error:
                message = f'the last run failed: {self._error}'
            elif self._newest is not None and self._why_not(self._newest.time):
                message = f'images are {self._age(self._newest.time):.1f} s old when they come'
            else:
                level, message = 'ok', 'ready'
        else:
            message, warnings = self._silence.report(event.senders, silent)
        return [*warnings, Report(level, message, {
            'mode': self.parameters.mode,
            **{name: self._counts[name] for name in ('images', 'old_images', 'runs', 'failures')},
            'age_counts_from': 'stamp' if self._shared else 'arrival',
            'latency_ms': round(self._latency / 1e6, 1)})]

    _HANDLERS = {
        ImageArrived: _image_arrived, Asked: _asked, RunFinished: _run_finished, Reset: _reset,
        Configured: _configured, WeightsSet: _weights_set, WeightsLoaded: _weights_loaded,
        Tick: _tick,
    }


def _answers(callers, success, message):
    return [Answer(caller, success, message) for caller in callers]
