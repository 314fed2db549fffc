"""The tracker node: images and late detections in, tracks out, detections asked for on demand."""
from __future__ import annotations

from collections import deque
from dataclasses import replace
import functools
import statistics
import sys

from acme_tracking.drawing import draw_tracks
from acme_tracking.messages import (
    detections_from_msg,
    detections_to_msg,
    image_from_msg,
    image_to_compressed,
    image_to_msg,
    stamp_to_ns,
)
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.quality import IMAGE_QOS, OFFERED_IMAGE_QOS, RELIABLE_QOS
from acme_tracking.nodes.running import exit_with, now, run
from acme_tracking.nodes.worker import Worker
from acme_tracking.sessions.event_log import EventLog
from acme_tracking.sessions.events import (
    Answered,
    Cancel,
    Configured,
    DetectorSeen,
    PublishTracks,
    Report,
    Request,
    Reset,
    Tick,
    TracksPublished,
)
from acme_tracking.sessions.inbox import WaitingDetections, WaitingImage
from acme_tracking.sessions.tracking import TrackerParameters, TrackingSession
from acme_tracking.tracking.tracker import warm_up
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

# The next id of a node by its name: ids are never used twice in the life of the process.
_next_ids: dict[str, int] = {}


class TrackerNode(ManagedNode):
    """
    Turns messages into events of a `TrackingSession`, and its actions into messages.

    The executor only receives; one worker does everything else, in the order of arrival.  So the
    session needs no locks, and a replay, which may take as long as several images, does not make
    the short queue of the subscription lose any.
    """

    def __init__(self, **options):
        """Declare the parameters; `options` are those of `ManagedNode`."""
        super().__init__('tracker', TrackerParameters, **options)
        self._session = self._worker = self._log = None

    def configure(self):
        """Begin a session; make the publishers."""
        warm_up(self.parameters)
        begin = self.parameters, now(), _next_ids.get(self.get_fully_qualified_name(), 1)
        self._session = TrackingSession(*begin)
        if self.parameters.event_log:
            self._log = EventLog(self.parameters.event_log, *begin)
        self._futures, self._detector_seen = {}, False
        self._durations, self._ages = deque(maxlen=100), deque(maxlen=100)
        self._tracks = self.publisher(Detection2DArray, 'tracks', RELIABLE_QOS)
        self._tentative = self.publisher(Detection2DArray, '~/tentative', RELIABLE_QOS)
        self._debug_image = self.publisher(Image, '~/debug_image', OFFERED_IMAGE_QOS)
        self._debug_compressed = self.publisher(CompressedImage, '~/debug_image/compressed',
                                                OFFERED_IMAGE_QOS)
        self._redetect = self.client(Trigger, 'redetect')
        self._routine = self.client(Trigger, 'redetect/routine')
        self.service(Trigger, '~/reset', self._on_reset)

    def activate(self):
        """Start to work and to listen."""
        self._worker = Worker('tracker', self.guarded(self._handle))
        self._worker.put(Configured(now(), self.parameters))
        self._images = self.subscription(Image, 'image_raw', self._on_image, IMAGE_QOS)
        self.subscription(Detection2DArray, 'detections', self._on_detections, RELIABLE_QOS)

    def deactivate(self):
        """Stop, and forget the tracks: by the next activation the objects are elsewhere."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
            self._handle(Reset(now()), None)

    def cleanup(self):
        """End the session."""
        if self._session is not None:
            _next_ids[self.get_fully_qualified_name()] = self._session.tracker.next_id
        if self._log is not None:
            self._log.close()
        self._session = self._log = None

    def parameters_changed(self, previous):
        """Use the new values from the next event on."""
        self._put(Configured(now(), self.parameters))

    def diagnose(self):
        """Let the session report; the worker does, so that it is never asked in the middle."""
        self._put(Tick(now(), self.senders(self._images)))

    # Messages to events, on the executor

    def _on_image(self, message):
        ready = self._redetect.service_is_ready()
        if ready != self._detector_seen:
            self._detector_seen = ready
            self._put(DetectorSeen(now(), ready))
        self._put(WaitingImage(now(), stamp_to_ns(message.header.stamp), len(message.data),
                               functools.partial(image_from_msg, message), message.header))

    def _on_detections(self, message):
        self._put(WaitingDetections(now(), stamp_to_ns(message.header.stamp),
                                    functools.partial(detections_from_msg, message)))

    def _on_answer(self, ticket, future):
        self._futures.pop(ticket, None)
        error = future.exception()
        answer = (False, str(error)) if error else (future.result().success,
                                                    future.result().message)
        self._put(Answered(now(), ticket, *answer))

    def _on_reset(self, _, response):
        dropped = len(self._session.tracker.states())
        self._put(Reset(now()))
        response.success, response.message = True, f'{dropped} tracks dropped'
        return response

    def _put(self, event):
        worker = self._worker
        if worker is not None:
            worker.put(event)

    # Events to actions to messages, on the worker

    def _handle(self, event, header):
        start = now()
        self._event, self._header = event, header
        actions = self._session.on(event)
        if self._log is not None:
            self._log.note(event, actions)
        self.perform(actions)
        if any(isinstance(action, PublishTracks) for action in actions):
            self._durations.append(now() - start)
            self._ages.append(now() - event.time)
            self._handle(TracksPublished(now()), None)

    def act(self, action):
        """Turn an action of the session into a message or a call."""
        if isinstance(action, PublishTracks):
            self._publish(action)
        elif isinstance(action, Request):
            # a detector of one camera need not tell the one from the other
            client = self._redetect if action.urgent or not self._routine.service_is_ready() \
                else self._routine
            # Only ever a callback: waiting here would keep images from being tracked.
            future = client.call_async(Trigger.Request())
            self._futures[action.ticket] = client, future
            future.add_done_callback(functools.partial(self._on_answer, action.ticket))
        elif isinstance(action, Cancel):
            if action.ticket in self._futures:
                client, future = self._futures.pop(action.ticket)
                client.remove_pending_request(future)

    def perform(self, actions):
        """Add to a report what only a clock can tell."""
        super().perform([replace(action, values={
            **action.values, 'image_ms_median': _milliseconds(self._durations),
            'age_ms_median': _milliseconds(self._ages)})
            if isinstance(action, Report) else action for action in actions])

    def _publish(self, action):
        self._tracks.publish(detections_to_msg(action.confirmed, self._header))
        self.count()
        self._tentative.publish(detections_to_msg(action.tentative, self._header))
        # To draw costs more than to look whether anybody wants it.
        listened = [(publisher, encode) for publisher, encode in (
            (self._debug_image, image_to_msg), (self._debug_compressed, image_to_compressed))
            if publisher.get_subscription_count()]
        if listened:
            drawn = draw_tracks(self._event.image, action.confirmed)
            for publisher, encode in listened:
                publisher.publish(encode(drawn, self._header))


def _milliseconds(nanoseconds):
    return round(1e-6 * statistics.median(nanoseconds or [0]), 1)


def main():
    """Run the tracker node, or, with namespaces as arguments, one in each of them."""
    namespaces = remove_ros_args(sys.argv)[1:]
    exit_with(run(*[functools.partial(TrackerNode, namespace=each) for each in namespaces]
                  or [TrackerNode]))


if __name__ == '__main__':
    main()
