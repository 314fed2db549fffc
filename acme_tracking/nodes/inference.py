"""
What the detector node does on a thread of its own: loading networks and running them.

A network is made of the parameters, and called with image messages and the parameters of the
moment for what is on each; it has a `device`, says how many images it is best to give it
`together`, and tells as text what it does.
"""
from __future__ import annotations

import contextlib
import functools
import queue
import threading

from acme_tracking.detection.detector import check_checkpoints, Detector
from acme_tracking.detection.options import options_of
from acme_tracking.detection.runtimes import survive
from acme_tracking.detections import Detections
from acme_tracking.messages import image_from_compressed, image_from_msg
from acme_tracking.sessions.events import RunFinished, WeightsLoaded
from sensor_msgs.msg import Image


class Cnn:
    """The detector of a checkpoint."""

    def __init__(self, parameters):
        """Load it and run it once, so that the first image does not take longer than others."""
        survive(parameters.weights, parameters.half)
        self._detector = Detector.from_parameters(parameters)
        self._detector.warm_up()
        self.device = self._detector.runtime.device
        self.together = self._detector.runtime.together

    @staticmethod
    def check(parameters) -> None:
        """Raise ValueError when it could not be made, as far as that shows in milliseconds."""
        check_checkpoints(parameters.weights or None, parameters.classifier,
                          parameters.refined_classes, parameters.classes)

    def __call__(self, messages, parameters) -> list[Detections]:
        """Return what is seen on each image, raw or compressed."""
        self._detector.configure(**options_of(parameters))
        return self._detector.look([
            (image_from_msg if isinstance(message, Image) else image_from_compressed)(message)
            for message in messages])

    def __str__(self):
        """Say what it detects, and what runs it."""
        return str(self._detector)


class Inference:
    """
    A thread that loads and runs networks, in the order in which it is told to.

    network: the present one; None before the first was loaded.
    results: what came out, as functions that make an event of a time.
    """

    def __init__(self, make_network, wake):
        """Start the thread, which calls `wake()` for each result; it sleeps without a job."""
        self.network, self.results = None, queue.SimpleQueue()
        self._make_network, self._wake = make_network, wake
        self._jobs = queue.SimpleQueue()
        # Made here, too, as torch keeps its number of threads for each thread that calls it.
        self._thread = threading.Thread(target=self._work, name='inference', daemon=True)
        self._thread.start()

    def load(self, parameters) -> None:
        """Use the network of these parameters from now on; the present one when that fails."""
        self._jobs.put(functools.partial(self._load, parameters))

    def run(self, images: list[tuple[int, object]], parameters) -> None:
        """Run the network that is there by then on messages together, each with its number."""
        self._jobs.put(functools.partial(self._run, images, parameters))

    def close(self, seconds: float) -> None:
        """Drop what waits, and give the present job so long to end, or leave it behind."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        self._jobs.put(None)
        self._thread.join(seconds)

    def _work(self):
        for job in iter(self._jobs.get, None):
            for result in job():
                self.results.put(result)
                self._wake()
            del job  # it holds images

    def _load(self, parameters):
        try:
            self.network = self._make_network(parameters)
        except Exception as error:  # a file that is not what it seemed; memory of the device
            return [functools.partial(WeightsLoaded, parameters=parameters, error=_text(error))]
        return [functools.partial(WeightsLoaded, parameters=parameters,
                                  together=self.network.together)]

    def _run(self, images, parameters):
        numbers, messages = zip(*images)
        try:
            found = self.network(messages, parameters)
        except Exception as error:  # whatever the message or the device does, the node lives on
            if len(images) > 1:  # one that is broken is no matter of the others
                return [result for image in images for result in self._run([image], parameters)]
            return [functools.partial(RunFinished, run=numbers[0], detections=None,
                                      error=_text(error))]
        return [functools.partial(RunFinished, run=number, detections=each)
                for number, each in zip(numbers, found)]


def _text(error) -> str:
    return str(error) or type(error).__name__
