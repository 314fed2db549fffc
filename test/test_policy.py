"""When the detector is asked: the policy knows nothing but stamps and confidences."""
from acme_tracking.tracking.policy import (
    EVERY_NTH_IMAGE,
    LOW_CONFIDENCE,
    NEWCOMERS_DUE,
    NOTHING_TO_TRACK,
    Request,
    RequestParameters,
    RequestPolicy,
    UNEXPLAINED_MOTION,
)
import pytest

SECOND = 1_000_000_000


def policy(**changes):
    values = {'request_confidence': 0.6, 'request_hysteresis': 0.1, 'newcomers_interval': 2.0,
              'minimum_interval': 0.5, 'request_timeout': 1.0, **changes}
    return RequestPolicy(RequestParameters(**values))


def ask(subject, seconds, confidences, **seen):
    request = subject.decide(int(seconds * SECOND), confidences, **seen)
    return request and request.reason


def test_nothing_to_track_asks_at_once_and_then_at_the_minimum_interval():
    subject = policy()
    assert subject.decide(5, {}) == Request(NOTHING_TO_TRACK, 5)
    subject.answered()
    assert ask(subject, 0.4, {}) is None
    assert ask(subject, 0.51, {}) == NOTHING_TO_TRACK


def test_newcomers_are_looked_for_when_all_is_well():
    subject = policy()
    assert ask(subject, 0.0, {1: 0.9}) == NEWCOMERS_DUE
    subject.answered()
    assert ask(subject, 1.9, {1: 0.9}) is None
    assert ask(subject, 2.1, {1: 0.9}) == NEWCOMERS_DUE


def test_one_fall_of_confidence_asks_once_until_it_has_risen_above_the_hysteresis():
    subject = policy(newcomers_interval=1000.0)
    ask(subject, 0.0, {}), subject.answered()
    times = iter(range(1, 100))

    def reason(confidence):
        subject.answered()
        return ask(subject, next(times), {1: confidence})

    assert reason(0.65) is None
    assert reason(0.55) == LOW_CONFIDENCE
    assert reason(0.55) is None
    assert reason(0.65) is None, 'above the threshold, not above the hysteresis'
    assert reason(0.55) is None
    assert reason(0.75) is None
    assert reason(0.55) == LOW_CONFIDENCE
    assert reason(float('nan')) is None
    subject.answered()
    assert ask(subject, next(times), {2: float('nan')}) == LOW_CONFIDENCE


def test_a_track_that_is_found_and_lost_again_asks_anew():
    subject = policy(newcomers_interval=1000.0)
    assert ask(subject, 0.0, {1: 0.1}) == LOW_CONFIDENCE
    subject.answered()
    subject.found(again=(), newcomers=False)
    assert ask(subject, 1.0, {1: 0.1}) is None
    subject.found(again=[1], newcomers=False)
    assert ask(subject, 2.0, {1: 0.1}) == LOW_CONFIDENCE


@pytest.mark.parametrize('what, reason', [('lost', LOW_CONFIDENCE), ('moves', UNEXPLAINED_MOTION)])
def test_what_is_asked_for_in_vain_is_asked_for_less_and_less(what, reason):
    subject = policy(newcomers_interval=1000.0)
    assert ask(subject, 0.0, {1: 0.9}) == NEWCOMERS_DUE
    subject.answered()
    asked = []
    for tenth in range(1, 100):
        if ask(subject, tenth / 10, {1: 0.9}, **{what: True}) == reason:
            asked.append(tenth)
            subject.answered()
            subject.found(again=(), newcomers=False)
    assert asked == [5, 15, 35, 75]
    subject.found(again=(), newcomers=True)
    assert ask(subject, 10.0, {1: 0.9}, **{what: True}) == reason, 'it was worth asking'


def test_one_request_is_in_flight_until_it_is_answered_or_times_out():
    subject = policy()
    assert ask(subject, 0.0, {}) == NOTHING_TO_TRACK
    assert ask(subject, 0.9, {}) is None
    assert subject.timeouts == 0
    assert ask(subject, 1.1, {}) == NOTHING_TO_TRACK
    assert subject.timeouts == 1


def test_the_classic_scheme_asks_on_every_nth_image_and_for_nothing_else():
    subject = policy(detect_every=3, minimum_interval=100.0)
    reasons = []
    for image in range(7):
        reasons.append(ask(subject, image / 30, {1: 0.0} if image % 2 else {}, moves=True))
        subject.answered()
    assert reasons == [EVERY_NTH_IMAGE, None, None, EVERY_NTH_IMAGE, None, None, EVERY_NTH_IMAGE]
    assert ask(policy(detect_every=1), 0.0, {}) == EVERY_NTH_IMAGE
