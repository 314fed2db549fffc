"""
The detector node: runs the CNN on the newest image, when asked or all the time.

Everything of ROS happens on the executor's one thread; inference alone runs on a worker thread,
which hands its result back through a guard condition.  An answer to `redetect` is sent when its
run ends, not when the service callback returns: a callback that waits would block the executor,
and a coroutine that waits makes rclpy (Jazzy) spin at full load until it is done.
"""
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
import functools
import os
import queue
import threading
import time

from acme_tracking.detection.detector import Detector
from acme_tracking.messages import detections_to_msg, image_from_compressed, image_from_msg
from acme_tracking.nodes.managed import ManagedNode, run
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.events import Report
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

WARM_UP_SHAPE = (480, 640, 3)
RELOADING = {'weights', 'classifier', 'refined_classes'}  # parameters that build a new detector


@dataclass
class Run:
    """One run of the CNN: on which message, and what came out of it."""

    message: Image | CompressedImage
    started: float
    detections: object = None
    error: Exception | None = None


class Worker:
    """A thread that runs one job after the other; it sleeps while there is none."""

    def __init__(self):
        """Start the thread."""
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name='inference', daemon=True)
        self._thread.start()

    def submit(self, job) -> None:
        """Run `job()`, which must not raise, on the thread."""
        self._jobs.put(job)

    def call(self, job):
        """Run `job()` on the thread, wait for it, and return or raise what it does."""
        results = queue.SimpleQueue()

        def attempt():
            try:
                results.put((job(), None))
            except Exception as error:
                results.put((None, error))
        self.submit(attempt)
        result, error = results.get()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Wait for the present job and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self):
        while (job := self._jobs.get()) is not None:
            job()


class DetectorNode(ManagedNode):
    """Publishes `detections` for images of `image_raw`; serves `redetect`."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('detector', DetectorParameters)
        self._worker = self._detector = None
        self._candidate = None  # the detector of weights that are being set
        self._newest = None  # the newest image message
        self._seen = None  # the one that the CNN ran on last
        self._run = None  # the Run in progress
        self._waiting = deque()  # (response, header) of requests that share the run in progress
        self._finished = queue.SimpleQueue()
        self._counts = Counter()
        self._latency = 0.0
        self._error = ''
        self._wake = self.create_guard_condition(self.guarded(self._collect))

    # Lifecycle

    def configure(self):
        """Load the weights and run once, so that the first request is not slow."""
        self._worker = Worker()
        self._detector = self._worker.call(functools.partial(self._load, self.parameters))
        self.get_logger().info(f'{self._describe()} on {self._detector.device}')
        self._publisher = self.publisher(Detection2DArray, 'detections', RELIABLE_QOS)
        service = self.create_service(Trigger, 'redetect', self._on_redetect)
        self._keep(self.destroy_service, service)
        self._send, service.send_response = service.send_response, self._respond

    def _describe(self):
        detector = self._detector
        words = f'detects {", ".join(detector.names)}'
        if detector.refiner is not None:
            words += (f', names {", ".join(detector.refiner.classes) or "all"} as '
                      + ', '.join(detector.refiner.classifier.names))
        return words

    def activate(self):
        """Receive images."""
        if self.parameters.compressed:
            self.subscription(CompressedImage, 'image_raw/compressed', self._on_image, IMAGE_QOS)
        else:
            self.subscription(Image, 'image_raw', self._on_image, IMAGE_QOS)

    def deactivate(self):
        """Forget the image and tell those who wait; a run in progress ends unheard."""
        self._newest = self._seen = self._run = None
        self._answer(False, 'the detector was deactivated')

    def cleanup(self):
        """Give the network's memory back."""
        if self._worker is not None:
            self._worker.close()
        self._worker = self._detector = self._candidate = None

    def parameters_changed(self, previous):
        """Apply what `Detector.configure` changes to the next run."""
        if self._detector is not None:
            self._detector.configure(**self._options(self.parameters))
        self._start_if_continuous()

    def diagnose(self):
        """Report the device, the work done and what went wrong last."""
        images = self._counts['images']
        level, message = 'ok', 'ready'
        if images == self._counts['images at last diagnosis']:
            level, message = 'warning', 'no images'
        elif self._error:
            level, message = 'warning', f'the last run failed: {self._error}'
        self._counts['images at last diagnosis'] = images
        self.perform([Report(level, message, {
            'mode': self.parameters.mode, 'device': self._detector.device,
            **{name: self._counts[name] for name in ('images', 'runs', 'failures')},
            'latency_ms': round(self._latency * 1e3, 1)})])

    # Images, requests and runs, all on the executor's thread

    def _on_image(self, message):
        self._newest = message
        self._counts['images'] += 1
        self._start_if_continuous()

    def _on_redetect(self, request, response):
        if self.state != 'active':
            response.message = f'the detector is {self.state}'
        elif self._newest is None and self._run is None:
            response.message = 'no image yet'
        elif self._run is None:
            self._start()
        return response

    def _respond(self, response, header):
        """Take the executor's answer: now if it says why not, else when the run ends."""
        if response.message:
            self._send(response, header)
        else:
            self._waiting.append((response, header))

    def _start_if_continuous(self):
        """Start a run, unless one is in progress or no image is newer than the last run's."""
        if (self.parameters.mode == 'continuous' and self._run is None
                and self._newest is not self._seen):
            self._start()

    def _start(self):
        self._seen = self._newest
        self._run = Run(self._newest, time.monotonic())
        self._worker.submit(functools.partial(self._infer, self._run, self._detector))

    def _collect(self):
        """Publish the finished run and answer those who wait for it."""
        while not self._finished.empty():
            finished = self._finished.get()
            if finished is not self._run:
                continue  # of before a deactivation
            self._run = None
            self._conclude(finished)
        self._start_if_continuous()

    def _conclude(self, finished):
        self._counts['runs'] += 1
        if finished.error is not None:
            self._counts['failures'] += 1
            self._error = str(finished.error)
            self.get_logger().warning(f'cannot detect: {self._error}', throttle_duration_sec=5.0)
            self._answer(False, self._error)
            return
        header = finished.message.header
        self._publisher.publish(detections_to_msg(finished.detections, header))
        self._error = ''
        self._latency = time.monotonic() - finished.started
        self._answer(True, f'stamp={header.stamp.sec}.{header.stamp.nanosec:09d} '
                     f'detections={len(finished.detections)} '
                     f'latency_ms={self._latency * 1e3:.1f}')

    def _answer(self, success, message):
        while self._waiting and self.context.ok():
            response, header = self._waiting.popleft()
            response.success, response.message = success, message
            self._send(response, header)

    # On the worker's thread

    def _load(self, parameters):
        """Build the detector here, as torch keeps its number of threads per calling thread."""
        detector = Detector.from_checkpoint(
            parameters.weights or None, classifier=parameters.classifier,
            refined_classes=parameters.refined_classes, device=parameters.device,
            half=parameters.half, threads=parameters.threads or len(os.sched_getaffinity(0)),
            **self._options(parameters))
        image = np.zeros(WARM_UP_SHAPE, dtype=np.uint8)
        detector(image)
        if detector.refiner is not None:  # the warm-up image shows no object
            detector.refiner.classifier([image])
        return detector

    def _infer(self, run, detector):
        try:
            decode = image_from_msg if isinstance(run.message, Image) else image_from_compressed
            run.detections = detector(decode(run.message))
        except Exception as error:  # whatever the message or the device does, the node lives on
            run.error = error
        self._finished.put(run)
        self._wake.trigger()

    # Parameters

    @staticmethod
    def _options(parameters):
        names = 'score_threshold', 'nms_threshold', 'classes', 'input_size', 'tiles'
        return {name: getattr(parameters, name) for name in names}

    def check_parameters(self, wanted, names):
        """Refuse also what the detector refuses; before `configure`, that refuses it."""
        self._candidate = None
        if self._detector is None:
            return
        if names & RELOADING:
            # The executor waits for a run in progress and for the warm-up, so that whoever
            # sets the parameter is told; runs go on with the present network until then.
            self._candidate = self._worker.call(functools.partial(self._load, wanted))
        else:
            self._detector.check(**self._options(wanted))

    def parameters_applied(self, previous):
        """Take the new network, also the one of the same path."""
        if self._candidate is not None:
            self._detector, self._candidate = self._candidate, None
            self.get_logger().info(f'{self._describe()} from now on')
        super().parameters_applied(previous)


def main():
    """Run the node until it is asked to end."""
    raise SystemExit(run(DetectorNode))


if __name__ == '__main__':
    main()
