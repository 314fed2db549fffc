"""
What the detector node does: the CNN runs on the newest image, when asked or all the time.

One run at a time, or one on images of several cameras together; requests that arrive during it
share the answer of their camera, and others wait for their turn (see `cameras`).  What is older
than a limit, by its stamp or its arrival, is not run on.  New weights are loaded while runs go on
with the present ones, and are given up when they cannot be used.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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
from acme_tracking.sessions.cameras import Camera, cameras_of, SECOND
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

# A failure that repeats is said once in so long.
REPEAT = 5 * SECOND


@dataclass(frozen=True)
class DetectorParameters(ConfinedParameters):
    """The parameters of the detector node."""

    cameras: list[str] = parameter(
        [], 'Namespaces of several cameras, for example [front, rear]: of each, NAME/image_raw is '
        'taken, NAME/redetect served and NAME/detections published. Empty for one, in the '
        'namespace of the node.', applies='configure')
    maximum_wait: float = parameter(
        1.0, 'Of several cameras, who called redetect/routine is not overtaken any more by who '
        'called redetect this long after.', minimum=0.0, maximum=3600.0)
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
        True, 'Half precision on CUDA; on CPUs bfloat16, and the shipped weights in 8-bit '
        'integers, where the processor is quicker with these.', applies='configure')
    threads: int = parameter(
        0, 'CPU threads of the CNN; 0 for as many as there are cores.', minimum=0, maximum=256,
        applies='configure')
    compressed: bool = parameter(
        False, 'Subscribe to image_raw/compressed instead of image_raw.', applies='activate')


# All are loaded anew when one of them is set.
LOADED = ('weights', 'classifier', 'refined_classes')


@dataclass
class _Run:
    """A run in progress: its camera and image, when it began, and who waits for it."""

    camera: Camera
    image: ImageArrived
    begun: int
    callers: list[Any]


class DetectionSession:
    """Events in, actions out; see `events`."""

    def __init__(self, parameters: DetectorParameters, together: int = 1):
        """
        Begin with these parameters, whose weights are loaded.

        together: on how many images of several cameras the CNN runs at once.  Raises ValueError
        for cameras that cannot be.
        """
        self.parameters, self._together = parameters, together
        self._loaded = parameters  # those whose weights are in use
        self._cameras = cameras_of(parameters.cameras)
        self._runs: dict[int, _Run] = {}  # in progress, by number
        self._loading = 0
        self._counts = Counter()
        self._latency, self._longest_wait = 0, 0
        self._error, self._weights_error = '', ''
        self._said_at: int | None = None
        self._said_once = set()
        self._number = 0

    def on(self, event) -> list:
        """Take an event; return what is to be done, in this order."""
        return self._HANDLERS[type(event)](self, event)

    # Images and requests

    def _image_arrived(self, event):
        camera = self._cameras[event.camera]
        camera.arrived(event)
        self._counts['images'] += 1
        return self._say_of_age(camera, event.time) + self._continue(event.time)

    def _asked(self, event):
        camera = self._cameras[event.camera]
        for run in self._runs.values():
            if run.camera is camera:
                run.callers.append(event.caller)
                return []
        why = self._why_not(camera, event.time)
        if why:
            return [Answer(event.caller, False, why)]
        camera.ask(event.caller, event.time, event.time + (0 if event.urgent else self._wait))
        return self._continue(event.time)

    def _why_not(self, camera, time) -> str:
        return camera.why_not(time, self.parameters.maximum_image_age)

    def _say_of_age(self, camera, time):
        if self._why_not(camera, time):
            self._counts['old_images'] += 1
            return self._once(
                camera, f'images are {camera.age(time):.1f} s old when they come, by their '
                'stamps: those older than maximum_image_age = '
                f'{self.parameters.maximum_image_age} s are not detected (said once; see '
                'old_images on /diagnostics): the link is too slow for them, or the clocks of '
                'the hosts differ')
        if camera.newest.clock is not None and not camera.shared:
            return self._once(
                camera, 'the stamps of the images are of another clock: the age of images counts '
                'from their arrival', 'info')
        return []

    def _once(self, camera, text, level='warning'):
        if (camera.name, level) in self._said_once:
            return []
        self._said_once.add((camera.name, level))
        return [Warn(camera.of(text), level)]

    # Runs

    @property
    def _wait(self) -> int:
        return round(self.parameters.maximum_wait * SECOND)

    def _continue(self, time):
        """Start runs for the cameras that are due first, unless some are in progress."""
        actions, room = [], 0 if self._runs else self._together
        while room and (camera := self._next(time)):
            why = self._why_not(camera, time)
            if why:  # its image was new enough when somebody asked
                actions += _answers(camera.dismiss(), False, why)
            else:
                actions.append(self._start(camera, time))
                room -= 1
        return actions

    def _next(self, time) -> Camera | None:
        """Return the camera that is due first, if any is."""
        continuous = self.parameters.mode == 'continuous'
        due = {camera: camera.due(continuous and not self._why_not(camera, time), self._wait)
               for camera in self._cameras.values()}
        return min((camera for camera in due if due[camera] is not None), key=due.get,
                   default=None)

    def _start(self, camera, time):
        callers, waited = camera.begin(time)
        self._longest_wait = max(self._longest_wait, waited)
        self._number += 1
        self._runs[self._number] = _Run(camera, camera.newest, time, callers)
        return StartRun(self._number, camera.newest.stamp, camera.newest.image)

    def _run_finished(self, event):
        run = self._runs.pop(event.run, None)
        if run is None:
            return []  # of before a reset
        self._counts['runs'] += 1
        run.camera.counts['runs'] += 1
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
        return [PublishDetections(run.image.stamp, run.image.image, event.detections,
                                  run.camera.name),
                *_answers(run.callers, True, f'stamp={seconds}.{nanoseconds:09d} '
                          f'detections={len(event.detections)} '
                          f'latency_ms={self._latency / 1e6:.1f}')]

    def _say(self, time):
        if self._said_at is not None and time - self._said_at < REPEAT:
            return []
        self._said_at = time
        return [Warn(f'cannot detect: {self._error}')]

    def _reset(self, event):
        callers = [caller for run in self._runs.values() for caller in run.callers]
        self._runs.clear()
        for camera in self._cameras.values():
            callers += camera.dismiss()
            camera.forget()
        self._error = ''
        return _answers(callers, False, 'the detector was deactivated')

    # Parameters

    def _configured(self, event):
        self.parameters = event.parameters
        if all(getattr(event.parameters, name) == getattr(self._loaded, name) for name in LOADED):
            self._loaded = event.parameters  # with other classes, perhaps
        for camera in self._cameras.values():
            camera.wait_from(event.time)
        return self._continue(event.time)

    def _weights_set(self, event):
        self._loading += 1
        return [LoadWeights(event.parameters)]

    def _weights_loaded(self, event):
        self._loading -= 1
        self._weights_error = event.error
        if not event.error:
            self._loaded, self._together = event.parameters, event.together
            return [Warn('the weights that were set are used from now on', 'info')]
        actions = [Warn(f'the weights that were set are not used: {event.error}', 'error')]
        if not self._loading:  # else others were set meanwhile
            actions.append(RestoreWeights({
                name: getattr(self._loaded, name) for name in (*LOADED, 'classes')}))
        return actions

    # Health

    def _tick(self, event):
        missed, warnings, senders = [], [], dict(event.senders)
        for name, camera in self._cameras.items():
            camera.wait_from(event.time)
            message, said = camera.silent(event.time, senders.get(name, ()))
            missed += [camera.of(message)] * bool(message)
            warnings += said
        message = '; '.join(missed) or self._complaint()
        return [*warnings, Report('warning' if message else 'ok', message or 'ready',
                                  self._values())]

    def _complaint(self) -> str:
        """Return what is wrong while images come."""
        if self._weights_error:
            return f'the weights that were set are not used: {self._weights_error}'
        if self._error:
            return f'the last run failed: {self._error}'
        return '; '.join(
            camera.of(f'images are {camera.age(camera.newest.time):.1f} s old when they come')
            for camera in self._cameras.values()
            if camera.newest is not None and self._why_not(camera, camera.newest.time))

    def _values(self) -> dict:
        shared = all(camera.shared for camera in self._cameras.values())
        values = {
            'mode': self.parameters.mode,
            **{name: self._counts[name] for name in ('images', 'old_images', 'runs', 'failures')},
            'age_counts_from': 'stamp' if shared else 'arrival',
            'latency_ms': round(self._latency / 1e6, 1)}
        if len(self._cameras) > 1:
            values['longest_wait_ms'] = round(self._longest_wait / 1e6, 1)
            self._longest_wait = 0
            for name, camera in self._cameras.items():
                values.update({f'{count}.{name}': camera.counts[count]
                               for count in ('images', 'runs')})
        return values

    _HANDLERS = {
        ImageArrived: _image_arrived, Asked: _asked, RunFinished: _run_finished, Reset: _reset,
        Configured: _configured, WeightsSet: _weights_set, WeightsLoaded: _weights_loaded,
        Tick: _tick,
    }


def _answers(callers, success, message):
    return [Answer(caller, success, message) for caller in callers]
