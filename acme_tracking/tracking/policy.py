"""When the detector should run, and why."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from acme_tracking.parameters import parameter

NOTHING_TO_TRACK = 'nothing_to_track'
LOW_CONFIDENCE = 'low_confidence'
UNEXPLAINED_MOTION = 'unexplained_motion'
NEWCOMERS_DUE = 'newcomers_due'
EVERY_NTH_IMAGE = 'every_nth_image'
REASONS = (NOTHING_TO_TRACK, LOW_CONFIDENCE, UNEXPLAINED_MOTION, NEWCOMERS_DUE, EVERY_NTH_IMAGE)
# Nothing is lost by then: those of other cameras that are at a loss come first.
ROUTINE = NEWCOMERS_DUE, EVERY_NTH_IMAGE
# The wait between detections in vain is doubled so many times at most.
LONGEST_WAIT = 6


@dataclass(frozen=True)
class RequestParameters:
    """When the detector is asked; durations in seconds of image time."""

    request_confidence: float = parameter(
        0.5, 'A track that falls below this confidence asks for a detection.',
        minimum=0.0, maximum=1.0)
    request_hysteresis: float = parameter(
        0.1, 'A track asks anew only after its confidence has risen by this above '
        'request_confidence.', minimum=0.0, maximum=1.0)
    newcomers_interval: float = parameter(
        1.0, 'Look for new objects when the last detection is older than this.',
        minimum=0.0, maximum=3600.0)
    minimum_interval: float = parameter(
        0.5, 'Never ask twice within this time.', minimum=0.0, maximum=3600.0)
    request_timeout: float = parameter(
        2.0, 'A request without an answer for this long is given up.',
        minimum=0.01, maximum=3600.0)
    detect_every: int = parameter(
        0, 'N above 0 asks on every N-th image and for no other reason: the classic scheme, to '
        'compare with.', minimum=0, maximum=100000)


@dataclass(frozen=True)
class Request:
    """A wish for a detection: one of `REASONS`, and the stamp of the image that caused it."""

    reason: str
    stamp: int


class RequestPolicy:
    """
    Decides from the state of the tracks alone; time is the stamps of the images.

    At most one request is in flight: after `decide` returned one, the next comes only when
    `answered` was called or `request_timeout` has passed.
    """

    def __init__(self, parameters: RequestParameters):
        """Create a policy; `parameters` may be changed between two calls."""
        self.parameters = parameters
        self.timeouts = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, as after a jump in time."""
        self._images = 0
        self._last = None        # stamp of the last request
        self._in_flight = False
        self._asked_for = set()  # ids that asked, and have not recovered since
        self._suspects = False   # whether the last request was about somebody who is not in sight
        self._in_vain = 0        # such requests in a row that nothing came of

    def decide(self, stamp: int, confidences: Mapping[int, float], lost: bool = False,
               moves: bool = False) -> Request | None:
        """
        Return a request when the detector should run now; call it once per image.

        stamp: of the newest image; confidences: of every track by its id; lost: whether one of
        them is out of sight; moves: whether something moves that is no track.
        """
        self._images += 1
        recovered = self.parameters.request_confidence + self.parameters.request_hysteresis
        self._asked_for = {track for track in self._asked_for & confidences.keys()
                           if not confidences[track] >= recovered}  # NaN is no recovery
        reason = None if self._waits(stamp) else self._reason(stamp, confidences, lost, moves)
        if reason is None:
            return None
        self._asked_for.update(self._doubtful(confidences))
        self._last, self._in_flight = stamp, True
        return Request(reason, stamp)

    def answered(self) -> None:
        """Note that the request in flight has been answered, or could not be sent."""
        self._in_flight = False

    def found(self, again: Collection[int], newcomers: bool) -> None:
        """
        Note what a detection showed.

        again: ids of the tracks that were out of sight, which may ask anew; newcomers: whether
        there are objects that were not followed yet.
        """
        self._asked_for.difference_update(again)
        if again or newcomers:
            self._in_vain = 0
        elif self._suspects:
            self._in_vain += 1

    def _seconds_since_last(self, stamp) -> float:
        return float('inf') if self._last is None else (stamp - self._last) * 1e-9

    def _waits(self, stamp) -> bool:
        """Tell whether a request is in flight; one that took too long is given up."""
        if self._in_flight and (self._seconds_since_last(stamp)
                                >= self.parameters.request_timeout):
            self._in_flight = False
            self.timeouts += 1
        return self._in_flight

    def _doubtful(self, confidences):
        return {track for track, confidence in confidences.items()
                if not confidence >= self.parameters.request_confidence}

    def _reason(self, stamp, confidences, lost, moves):
        every = self.parameters.detect_every
        if every:
            return EVERY_NTH_IMAGE if (self._images - 1) % every == 0 else None
        since = self._seconds_since_last(stamp)
        if since < self.parameters.minimum_interval:
            return None
        if not confidences:
            self._suspects = False
            return NOTHING_TO_TRACK
        if self._doubtful(confidences) - self._asked_for:
            self._suspects, self._in_vain = False, 0
            return LOW_CONFIDENCE
        # Who stays away, and what moves and is nobody, is asked about less and less.
        wait = self.parameters.minimum_interval * 2 ** min(self._in_vain, LONGEST_WAIT)
        if (lost or moves) and since >= wait:
            self._suspects = True
            return LOW_CONFIDENCE if lost else UNEXPLAINED_MOTION
        if since >= self.parameters.newcomers_interval:
            self._suspects = False
            return NEWCOMERS_DUE
        return None
