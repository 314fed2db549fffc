"""
What the tracker node does: images and late detections in, tracks out, detections asked for.

`MultiObjectTracker` follows; this decides what reaches it: which image is new, what a jump in time
means, which answer is stale, when a request is given up, and what is worth saying.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from acme_tracking.confinement import ConfinedParameters
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import (
    Answered,
    Cancel,
    Configured,
    DetectionsArrived,
    DetectorSeen,
    ImageArrived,
    ImagesDropped,
    ImageSkipped,
    PublishTracks,
    Refused,
    Report,
    Request,
    Reset,
    Tick,
    TracksPublished,
    Warn,
)
from acme_tracking.sessions.silence import Silence
from acme_tracking.tracking.policy import REASONS, ROUTINE
from acme_tracking.tracking.track import State
from acme_tracking.tracking.tracker import (
    AHEAD,
    MultiObjectTracker,
    OLD,
    REASONS_TO_DROP,
    TrackingParameters,
    UNKNOWN,
)

SECOND = 1_000_000_000
# An image this much older than the last one is not late, time itself went back (a bag that loops,
# a simulation that restarts).
TIME_JUMP = SECOND // 10
# A detector that has never answered is only missed after so long: loading a network takes longer
# than starting a tracker.
STARTUP_GRACE = 30 * SECOND
# Detections that came by themselves so lately prove that there is a detector.
LATELY = 5 * SECOND
# What goes wrong again and again is said once in so long.
REPEAT = 5 * SECOND
# Images are missed when none came for this long, or for so many times the last interval.
SILENCE, INTERVALS_OF_SILENCE = 2 * SECOND, 3
# So many images in a row that are not newer than the last are no mishap of the transport.
STALE_IMAGES = 10


@dataclass(frozen=True)
class TrackerParameters(TrackingParameters, ConfinedParameters):
    """The parameters of the core, and those of the node."""

    minimum_score: float = parameter(
        0.05, 'Tracks with a lower score, coasting for long, are not published.',
        minimum=0.0, maximum=1.0)
    event_log: str = parameter(
        '', 'File that records every event, so that `acme_tracking repeat` can do the run again; '
        'empty for none.', applies='configure', opens=True)


class TrackingSession:
    """
    Events in, actions out; see `events`.

    tracker: the core, to be looked at.  Two sessions with the same parameters and `first_id` that
    get the same events return the same actions.
    """

    def __init__(self, parameters: TrackerParameters, time: int, first_id: int = 1):
        """
        Begin at a time; the first new object gets the id `first_id`.

        Raises ValueError and RuntimeError as `MultiObjectTracker` does.
        """
        self.parameters = parameters
        self.tracker = MultiObjectTracker(parameters, first_id)
        self._counts, self._requests = Counter(), Counter()
        self._said: dict[str, int] = {}     # when something was said last
        self._ticket = 0
        self._pending: int | None = None    # the ticket of the request in flight
        self._timeouts = 0
        self._present, self._answers = False, True
        self._miss_detector_from = time + STARTUP_GRACE
        self._detections_at: int | None = None
        self._image_at, self._interval, self._images_came = time, 0, False
        self._stale_in_a_row = 0
        self._silence = Silence()

    def on(self, event) -> list:
        """Take an event; return what is to be done, in this order."""
        return self._HANDLERS[type(event)](self, event)

    # Images

    def _image_arrived(self, event):
        actions = []
        if not self._is_new(event, actions):
            return actions
        try:
            tracks = self.tracker.advance(event.stamp, event.image)
        except ValueError as error:
            return actions + self._refuse('images', str(error), event.time)
        self._counts['images'] += 1
        worth = tracks.confirmed.scores >= self.parameters.minimum_score
        actions.append(PublishTracks(event.stamp, tracks.confirmed.select(worth),
                                     tracks.tentative))
        return actions + self._ask(event.time)

    def _image_skipped(self, event):
        actions = []
        if not self._is_new(event, actions):
            return actions
        try:
            self.tracker.remember(event.stamp, event.image)
        except ValueError as error:
            return actions + self._refuse('images', str(error), event.time)
        self._counts['skipped_images'] += 1
        return actions

    def _images_dropped(self, event):
        self._counts['dropped_images'] += event.count
        return []

    def _is_new(self, event, actions) -> bool:
        """Tell whether an image is later than the last; when time went back, start anew."""
        self._interval = event.time - self._image_at if self._images_came else 0
        self._image_at, self._images_came = event.time, True
        self._silence.end()
        last = self.tracker.newest
        if last is None or event.stamp > last:
            self._stale_in_a_row = 0
            return True
        if last - event.stamp >= TIME_JUMP:
            actions.append(Warn(f'time jumped back by {(last - event.stamp) / SECOND:.3f} s: '
                                'all tracks are reset', 'info'))
            actions += self._start_anew()
            return True
        self._counts['out_of_order_images'] += 1
        self._stale_in_a_row += 1
        if self._stale_in_a_row == STALE_IMAGES:
            actions.append(Warn(
                f'the stamps of the images do not increase: {STALE_IMAGES} in a row were not '
                f'later than {last / SECOND:.3f} s, the last had {event.stamp / SECOND:.3f} s; '
                'they are not tracked'))
        return False

    def _reset(self, event):
        return self._start_anew()

    def _start_anew(self):
        self.tracker.reset()
        self._stale_in_a_row = 0
        return self._cancel()

    # Detections

    def _tracks_published(self, event):
        self.tracker.catch_up()
        return self._say_what_was_dropped()

    def _detections_arrived(self, event):
        self._detections_at = event.time
        self.tracker.correct(event.stamp, event.detections)
        return self._say_what_was_dropped()

    def _say_what_was_dropped(self):
        why = {
            OLD: 'are older than all images of the last buffer_seconds = '
                 f'{self.parameters.buffer_seconds} s',
            AHEAD: 'are stamped more than buffer_seconds = '
                   f'{self.parameters.buffer_seconds} s ahead of the images',
            UNKNOWN: 'have the stamp of no image that came here'}
        return [self._once(reason, f'detections {why[reason]}: they are dropped (said once; see '
                           f'detections.{reason} on /diagnostics)')
                for reason in REASONS_TO_DROP
                if self.tracker.dropped[reason] and reason not in self._said]

    def _refused(self, event):
        return self._refuse(event.what, event.why, event.time)

    def _refuse(self, what, why, time):
        self._counts[f'refused_{what}'] += 1
        return self._now_and_then(f'refused_{what}', f'refused {what}: {why}', time)

    # Detection on demand

    def _ask(self, time):
        request = self.tracker.request()
        actions = []
        if self.tracker.policy.timeouts > self._timeouts:
            self._timeouts = self.tracker.policy.timeouts
            actions += self._cancel()
            actions += self._miss_detector('does not answer within '
                                           f'{self.parameters.request_timeout} s', time)
        if request is None:
            return actions
        if not self._present:
            self.tracker.policy.answered()
            return actions + self._miss_detector('is not there', time)
        self._ticket += 1
        self._pending = self._ticket
        self._requests[request.reason] += 1
        return [*actions, Request(self._ticket, request.reason,
                                  request.reason not in ROUTINE)]

    def _cancel(self):
        if self._pending is None:
            return []
        ticket, self._pending = self._pending, None
        return [Cancel(ticket)]

    def _answered(self, event):
        if event.ticket != self._pending:
            self._counts['stale_answers'] += 1
            return []
        self._pending = None
        self.tracker.policy.answered()
        actions = self._greet_detector()
        if not event.success:
            actions += self._now_and_then(
                'failed', f'the detector could not serve a request: {event.message}', event.time)
        return actions

    def _detector_seen(self, event):
        self._present = event.present
        if event.present or self._pending is None:
            return []
        self.tracker.policy.answered()  # whoever was asked is gone
        return self._cancel()

    def _greet_detector(self):
        self._miss_detector_from = 0
        if self._answers:
            return []
        self._answers = True
        return [Warn('the detector answers again', 'info')]

    def _miss_detector(self, why, time):
        by_itself = self._detections_at is not None and time - self._detections_at < LATELY
        if time < self._miss_detector_from or by_itself or not self._answers:
            return []
        self._answers = False
        return [Warn(f'the detector {why}: tracking goes on without it (said once)')]

    # What is said

    def _once(self, key, text):
        self._said[key] = 0
        return Warn(text)

    def _now_and_then(self, key, text, time):
        if key in self._said and time - self._said[key] < REPEAT:
            return []
        self._said[key] = time
        return [Warn(text)]

    def _tick(self, event):
        """Report what came in, what is followed and what was asked for."""
        silent = event.time - self._image_at
        level, message, warnings = 'ok', 'tracking', []
        if silent > max(SILENCE, INTERVALS_OF_SILENCE * self._interval):
            level = 'warning'
            message, warnings = self._silence.report(event.senders, silent)
        elif self._stale_in_a_row >= STALE_IMAGES:
            level, message = 'warning', 'the stamps of the images do not increase'
        elif not self._answers:
            level, message = 'warning', 'tracking without a detector'
        tracker = self.tracker
        values = {name: self._counts[name] for name in (
            'images', 'skipped_images', 'dropped_images', 'refused_images', 'out_of_order_images',
            'refused_detections', 'stale_answers')}
        values.update({f'detections.{reason}': tracker.dropped[reason]
                       for reason in REASONS_TO_DROP})
        values.update({f'requests.{reason}': self._requests[reason] for reason in REASONS})
        values.update({f'tracks.{state.value}': tracker.count(state)
                       for state in (State.CONFIRMED, State.COASTING, State.TENTATIVE)})
        return [*warnings, Report(level, message, {
            **values, 'objects_beyond_max_tracks': tracker.excess,
            'request_timeouts': tracker.policy.timeouts,
            'buffer_megabytes': round(tracker.buffered_bytes / 1e6, 1)})]

    def _configured(self, event):
        self.parameters = event.parameters
        self.tracker.set_parameters(event.parameters)
        return []

    _HANDLERS = {
        ImageArrived: _image_arrived, ImageSkipped: _image_skipped,
        ImagesDropped: _images_dropped, DetectionsArrived: _detections_arrived,
        Answered: _answered, DetectorSeen: _detector_seen, Refused: _refused,
        TracksPublished: _tracks_published, Configured: _configured, Reset: _reset, Tick: _tick,
    }
