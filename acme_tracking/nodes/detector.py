"""
The detector node: a `DetectionSession` on messages.

Everything of ROS happens on the executor's one thread, where nothing waits: networks are loaded
and run on another, whose results come back through a guard condition, and a call of `redetect` is
a coroutine that awaits a Future until the session answers.  Meanwhile rclpy (7.1.6) looks at it
whenever a message comes, and sleeps between them, as `run` spins without a timeout.
"""
from __future__ import annotations

import contextlib
from dataclasses import replace
import queue

from acme_tracking.detection import options
from acme_tracking.messages import detections_to_msg, stamp_to_ns
from acme_tracking.nodes.inference import Cnn, Inference
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.nodes.running import exit_with, now, run
from acme_tracking.sessions.cameras import below
from acme_tracking.sessions.detection import DetectionSession, DetectorParameters, LOADED
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
    StartRun,
    Tick,
    WeightsSet,
)
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

# Seconds that a run may still take when nobody wants it any more; then it is left behind.
PATIENCE = 2.0


class DetectorNode(ManagedNode):
    """Takes images, serves `redetect` and publishes `detections`, for one camera or several."""

    def __init__(self, parameters_type=DetectorParameters, network_type=Cnn, **options):
        """
        Declare the parameters; `inference` tells what a type of networks is.

        options: those of `ManagedNode`.
        """
        super().__init__('detector', parameters_type, **options)
        self._network_type = network_type
        self._session = self._inference = None
        self._restoring = False
        self._news = self.create_guard_condition(self.guarded(self._collect))

    def configure(self):
        """Load the network, so that the first request is not slow."""
        self._inference = Inference(self._network_type, self._wake)
        self._inference.load(self.parameters)
        error = self._wait_for_result().error
        if error:
            raise ValueError(error)
        self.get_logger().info(str(self._inference.network))
        self._session = DetectionSession(self.parameters, self._inference.network.together)
        self._detections = {name: self.publisher(Detection2DArray, below(name, 'detections'),
                                                 RELIABLE_QOS) for name in self._names}
        for name in self._names:
            self._serve(name, 'redetect', urgent=True)
            self._serve(name, 'redetect/routine', urgent=False)

    def activate(self):
        """Receive images."""
        self._handle(Configured(now(), self.parameters))
        message_type, topic = ((CompressedImage, 'image_raw/compressed')
                               if self.parameters.compressed else (Image, 'image_raw'))
        self._images = {name: self.subscription(
            message_type, below(name, topic), self._taker(name), IMAGE_QOS)
            for name in self._names}

    def deactivate(self):
        """Forget the image and tell those who wait; a run in progress ends unheard."""
        if self._session is not None:
            self._handle(Reset(now()))

    def cleanup(self):
        """Give the network's memory back."""
        if self._inference is not None:
            self._inference.close(PATIENCE)
        self._session = self._inference = None

    def diagnose(self):
        """Let the session report, and say where the CNN runs."""
        self._handle(Tick(now(), {
            name: self.senders(images) for name, images in self._images.items()}))

    def check_parameters(self, wanted, names):
        """Refuse what the network would; before `configure`, files and classes are its matter."""
        options.check(**{name: getattr(wanted, name) for name in options.OPTIONS})
        if self._session is not None and not self._restoring and names & {*LOADED, 'classes'}:
            self._network_type.check(wanted)

    def parameters_applied(self, previous, names):
        """Load what was set, also when it is the same file again."""
        if self._session is not None and not self._restoring and names & {*LOADED}:
            self._handle(WeightsSet(now(), self.parameters))
        super().parameters_applied(previous, names)

    def parameters_changed(self, previous):
        """Use the new values from the next run on."""
        self._handle(Configured(now(), self.parameters))

    def perform(self, actions):
        """Start the runs that are wanted at once together; add to a report where the CNN runs."""
        runs = [action for action in actions if isinstance(action, StartRun)]
        if runs:
            self._inference.run([(run.run, run.image) for run in runs], self.parameters)
        super().perform([replace(action, values={
            **action.values, 'device': self._inference.network.device})
            if isinstance(action, Report) and self._inference else action
            for action in actions if not isinstance(action, StartRun)])

    def act(self, action):
        """Turn an action of the session into a message, an answer or a job."""
        if isinstance(action, PublishDetections):
            self._detections[action.camera].publish(
                detections_to_msg(action.detections, action.image.header))
            self.count()
        elif isinstance(action, Answer):
            action.caller.set_result(action)
        elif isinstance(action, LoadWeights):
            self._inference.load(action.parameters)
        elif isinstance(action, RestoreWeights):
            self._restoring = True
            self.set_parameters_atomically(
                [Parameter(name, value=value) for name, value in action.values.items()])
            self._restoring = False

    @property
    def _names(self):
        """Return the namespaces of the cameras, '' for one in that of the node."""
        return self.parameters.cameras or ('',)

    def _on_image(self, camera, message):
        self._handle(ImageArrived(now(), stamp_to_ns(message.header.stamp), message,
                                  self.get_clock().now().nanoseconds, camera))

    def _taker(self, camera):
        def take_image(message):
            self._on_image(camera, message)
        return take_image

    def _serve(self, camera, name, urgent):
        async def redetect(_, response):
            if self.state != 'active':
                response.message = f'the detector is {self.state}'
                return response
            answered = Future()
            self._handle(Asked(now(), answered, camera, urgent))
            answer = await answered
            response.success, response.message = answer.success, answer.message
            return response
        self.service(Trigger, below(camera, name), redetect,
                     callback_group=ReentrantCallbackGroup())

    def _handle(self, event):
        self.perform(self._session.on(event))

    # Results of the other thread

    def _wake(self):
        with contextlib.suppress(InvalidHandle):  # the node did not wait for this, and is gone
            self._news.trigger()

    def _wait_for_result(self):
        while self.context.ok():
            with contextlib.suppress(queue.Empty):
                return self._inference.results.get(timeout=0.1)(now())
        raise RuntimeError('interrupted')

    def _collect(self):
        while self._inference is not None and not self._inference.results.empty():
            self._handle(self._inference.results.get()(now()))


def main():
    """Run the node until it is asked to end."""
    exit_with(run(DetectorNode))


if __name__ == '__main__':
    main()
