"""The tracker node: images and late detections in, tracks out, detections asked for on demand."""
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
import functools
import queue
import statistics
import sys
import threading
import time

from acme_tracking.detections import Detections
from acme_tracking.drawing import draw_tracks
from acme_tracking.messages import (
    detections_from_msg,
    detections_to_msg,
    image_from_msg,
    image_to_msg,
    stamp_to_ns,
)
from acme_tracking.nodes.managed import ManagedNode, run
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import Report
from acme_tracking.tracking.policy import REASONS
from acme_tracking.tracking.track import State
from acme_tracking.tracking.tracker import MultiObjectTracker, TrackingParameters
import numpy as np
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

# An image this much older than the last one is not late, time itself went back (a bag that loops,
# a simulation that restarts).
TIME_JUMP = 100_000_000  # nanoseconds
# A detector that has never answered is only missed after so many seconds: loading a network takes
# longer than starting a tracker.
STARTUP_GRACE = 30.0


@dataclass(frozen=True)
class TrackerParameters(TrackingParameters):
    """The parameters of the core, and those of the node."""

    max_backlog: float = parameter(
        1.0, 'When images wait longer than this for their turn, all but the newest are skipped.',
        minimum=0.0, maximum=60.0)


class TrackerNode(ManagedNode):
    """
    Drives `MultiObjectTracker` with messages.

    The executor only receives; one worker does everything else, in the order of arrival.  So the
    core needs no locks, and a replay, which may take as long as several images, does not make the
    short queue of the subscription lose any.
    """

    def __init__(self):
        """Declare the parameters."""
        super().__init__('tracker', TrackerParameters)
        self._worker = None

    def configure(self):
        """Make the tracker and the publishers."""
        self._tracker = MultiObjectTracker(self.parameters)
        warm_up(self.parameters)
        self._counts = Counter()
        self._requests = Counter()
        self._pending = None          # the future of the request in flight
        self._timeouts = 0
        self._detector_answers = True
        self._miss_detector_from = time.monotonic() + STARTUP_GRACE
        self._durations = deque(maxlen=100)
        self._tracks = self.publisher(Detection2DArray, 'tracks', RELIABLE_QOS)
        self._tentative = self.publisher(Detection2DArray, '~/tentative', RELIABLE_QOS)
        self._debug_image = self.publisher(Image, '~/debug_image', IMAGE_QOS)
        self._redetect = self.client(Trigger, 'redetect')
        self.service(Trigger, '~/reset', self._on_reset)

    def activate(self):
        """Start to work and to listen."""
        self._tracker.set_parameters(self.parameters)
        self._jobs = queue.SimpleQueue()
        self._received_images = self._taken_images = 0
        self._catching_up = False
        self._worker = threading.Thread(target=self._work, name='tracker', daemon=True)
        self._worker.start()
        self.subscription(Image, 'image_raw', self._on_image, IMAGE_QOS)
        self.subscription(Detection2DArray, 'detections', self._on_detections, RELIABLE_QOS)

    def deactivate(self):
        """Stop, and forget the tracks: by the next activation the objects are elsewhere."""
        if self._worker is None:
            return
        self._put(None)
        self._worker.join()
        self._worker = None
        self._reset()

    def parameters_changed(self, previous):
        """Use the new values from the next image on."""
        self._put(self._tracker.set_parameters, self.parameters)

    def _on_reset(self, _, response):
        dropped = sum(self._tracker.count(state) for state in State)
        if self._worker is not None:
            self._put(self._reset)
        response.success, response.message = True, f'{dropped} tracks dropped'
        return response

    # What the executor receives

    def _on_image(self, message):
        self._received_images += 1
        self._put(self._process_image, message, time.monotonic())

    def _on_detections(self, message):
        self._put(self._process_detections, message)

    def _on_answer(self, request, future):
        self._put(self._process_answer, request, future)

    def _put(self, job, *arguments):
        self._jobs.put(job and functools.partial(self.guarded(job), *arguments))

    # What the worker does

    def _work(self):
        for job in iter(self._jobs.get, None):
            job()

    def _is_skipped(self, arrived) -> bool:
        """Tell whether to pass over an image in favour of the newest one that waits."""
        self._taken_images += 1
        waited = time.monotonic() - arrived
        self._catching_up = self._taken_images < self._received_images and (
            self._catching_up or waited > self.parameters.max_backlog)
        self._counts['skipped_images'] += self._catching_up
        return self._catching_up

    def _process_image(self, message, arrived):
        if self._is_skipped(arrived):
            return
        start = time.perf_counter()
        stamp = stamp_to_ns(message.header.stamp)
        if not self._is_new(stamp):
            return
        try:
            image = image_from_msg(message)
            tracks = self._tracker.advance(stamp, image)
        except ValueError as error:
            self._refuse('images', error)
            return
        self._counts['images'] += 1
        self._tracks.publish(detections_to_msg(tracks.confirmed, message.header))
        self._tentative.publish(detections_to_msg(tracks.tentative, message.header))
        if self._debug_image.get_subscription_count():
            self._debug_image.publish(
                image_to_msg(draw_tracks(image, tracks.confirmed), message.header))
        self._ask()
        self._durations.append(time.perf_counter() - start)

    def _is_new(self, stamp) -> bool:
        last = self._tracker.stamp
        if last is None or stamp > last:
            return True
        if last - stamp < TIME_JUMP:
            self._counts['out_of_order_images'] += 1
            return False
        self.get_logger().info(f'time jumped back by {(last - stamp) * 1e-9:.3f} s: '
                               'all tracks are reset')
        self._reset()
        return True

    def _reset(self):
        self._abandon_request()
        self._tracker.reset()

    def _process_detections(self, message):
        too_late = self._tracker.too_late
        try:
            self._tracker.correct(stamp_to_ns(message.header.stamp), detections_from_msg(message))
        except ValueError as error:
            self._refuse('detections', error)
        if too_late == 0 < self._tracker.too_late:
            self.get_logger().warning(
                'detections arrive later than buffer_seconds = '
                f'{self.parameters.buffer_seconds}: they are fused without a replay '
                '(said once; see detections_older_than_buffer on /diagnostics)')

    def _refuse(self, what, error):
        self._counts[f'refused_{what}'] += 1
        self.get_logger().warning(f'refused {what}: {error}', throttle_duration_sec=5.0)

    # Detection on demand

    def _ask(self):
        request = self._tracker.request()
        if request is None:
            return
        self._abandon_request()
        if self._tracker.policy.timeouts > self._timeouts:
            self._timeouts = self._tracker.policy.timeouts
            self._note_detector(False, 'does not answer within '
                                       f'{self.parameters.request_timeout} s')
        if not self._redetect.service_is_ready():
            self._note_detector(False, 'is not there')
            self._tracker.policy.answered()
            return
        self._requests[request.reason] += 1
        # Only ever a callback: waiting for the answer here would block the thread that brings it.
        self._pending = self._redetect.call_async(Trigger.Request())
        self._pending.add_done_callback(functools.partial(self._on_answer, request))

    def _process_answer(self, request, future):
        if future is not self._pending:
            return
        self._pending = None
        self._tracker.policy.answered()
        self._note_detector(True)
        if not future.result().success:
            self.get_logger().warning(
                f'the detector could not serve a request ({request.reason}): '
                f'{future.result().message}', throttle_duration_sec=5.0)

    def _abandon_request(self):
        if self._pending is not None:
            future, self._pending = self._pending, None
            self._redetect.remove_pending_request(future)

    def _note_detector(self, answers, why=''):
        if answers:
            self._miss_detector_from = 0.0
        elif time.monotonic() < self._miss_detector_from:
            return
        if answers and not self._detector_answers:
            self.get_logger().info('the detector answers again')
        elif self._detector_answers and not answers:
            self.get_logger().warning(
                f"the detector behind '{self.resolve_service_name('redetect')}' {why}: "
                'tracking goes on without it (said once)')
        self._detector_answers = answers

    # Diagnostics

    def diagnose(self):
        """Report what came in, what is followed and what was asked for."""
        images = self._counts['images']
        level, message = 'ok', 'tracking'
        if images == self._counts['images at last diagnosis']:
            level, message = 'warning', 'no images'
        elif not self._detector_answers:
            level, message = 'warning', 'tracking without a detector'
        self._counts['images at last diagnosis'] = images
        values = {name: self._counts[name] for name in (
            'images', 'skipped_images', 'refused_images', 'refused_detections',
            'out_of_order_images')}
        values.update({f'requests.{reason}': self._requests[reason] for reason in REASONS})
        values.update({f'tracks.{state.value}': self._tracker.count(state)
                       for state in (State.CONFIRMED, State.COASTING, State.TENTATIVE)})
        self.perform([Report(level, message, {
            **values, 'request_timeouts': self._tracker.policy.timeouts,
            'detections_older_than_buffer': self._tracker.too_late,
            'buffer_megabytes': round(self._tracker.buffered_bytes / 1e6, 1),
            'image_ms_median': round(1e3 * statistics.median(self._durations or [0]), 1)})])


def warm_up(parameters: TrackingParameters) -> None:
    """Track once: what is loaded at first use takes 0.1 s, which the first images would wait."""
    tracker = MultiObjectTracker(parameters)
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    tracker.advance(1, image)
    tracker.correct(1, Detections([[50, 40, 100, 80]], [1.0], ['car']))
    tracker.advance(2, image)


def main():
    """Run the tracker node."""
    sys.exit(run(TrackerNode))


if __name__ == '__main__':
    main()
