"""The nodes' sessions with a virtual clock: what is late, lost, away or overloaded, by hand."""
from acme_tracking.detections import Detections
from acme_tracking.evaluation.outcome import COASTING
from acme_tracking.evaluation.simulation import Simulation, Surroundings
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
import numpy as np
import pytest

PERIOD = 100_000_000
FIRST = 1_000_000_000  # the stamp of the first image, on another clock than the arrivals
GREY = np.full((48, 64, 3), 90, np.uint8)
CAR = Detections([[10, 10, 30, 24]], [0.9], ['car'])


def stamp(index):
    return FIRST + index * PERIOD


def simulate(count=12, mode='on_request', detect=lambda *_: CAR, images=None, interval=1,
             parameters=None, **surroundings):
    """Lead a simulation through images; return it, finished."""
    given = {'tracker': 'centroid', 'minimum_interval': 0.5, **(parameters or {})}
    simulation = Simulation(TrackerParameters(**given), DetectorParameters(mode=mode), detect,
                            Surroundings(**surroundings))
    for index in images or range(0, count * interval, interval):
        simulation.step(index * PERIOD, stamp(index), GREY)
    simulation.finish()
    return simulation


def runs(simulation):
    return [(one - FIRST) // PERIOD for one in simulation.outcome.detected]


def first_seen(simulation):
    """Return the index of the first image on which there was a track."""
    return next(index for index, tracks in enumerate(simulation.outcome.tracks) if len(tracks))


@pytest.mark.parametrize('latency, seen', [(0.0, 1), (0.05, 1), (0.1, 1), (0.25, 3), (0.3, 3)])
def test_an_answer_arrives_after_the_latency(latency, seen):
    """At the very moment of an image it is in time; at once it is too late for its own."""
    assert first_seen(simulate(latency=latency)) == seen


def test_the_tracker_gets_what_the_policy_asked_for():
    outcome = simulate(latency=0.25).outcome
    assert outcome.detected[:2] == [stamp(0), stamp(5)], 'at first, then after minimum_interval'
    assert [len(tracks) for tracks in outcome.tracks[:5]] == [0, 0, 0, 1, 1]
    assert outcome.corrected[0] == (stamp(0), 1) and outcome.requests['nothing_to_track'] == 1
    assert outcome.states[4].tolist() == [COASTING], 'centroid predicts at once'
    assert outcome.stamps == [stamp(index) for index in range(12)] and outcome.lost == 0


def test_a_continuous_detector_takes_the_newest_image_when_it_is_done():
    simulation = simulate(mode='continuous', latency=0.25)
    assert runs(simulation) == [0, 2, 4, 7, 9, 11]
    assert [(one - FIRST) // PERIOD for one, _ in simulation.outcome.corrected][:3] == [0, 2, 4]
    assert runs(simulate(mode='continuous', latency=0.05)) == list(range(12)), 'it keeps up'


def test_answers_that_are_lost_are_asked_for_again_after_the_timeout():
    simulation = simulate(count=60, lost_answers=1.0, parameters={'request_timeout': 2.0})
    assert runs(simulation) == [0, 20, 40]
    assert not any(map(len, simulation.outcome.tracks))
    some = simulate(count=400, lost_answers=0.5, parameters={'request_timeout': 2.0})
    assert any(map(len, some.outcome.tracks))


def test_jitter_is_the_same_every_time():
    again = [runs(simulate(count=100, mode='continuous', latency=0.1, jitter=0.4))
             for _ in range(2)]
    assert again[0] == again[1]
    steps = np.diff(again[0])
    assert steps.min() >= 1 and steps.max() <= 5 and len(set(steps.tolist())) > 2


def test_a_detector_that_restarts_forgets_the_run_it_was_at():
    away = simulate(count=40, latency=0.5, away=(0.2, 2.0))
    assert runs(away)[:2] == [0, 20], 'the first run dies with it; then it is asked again'
    assert first_seen(away) == 25
    assert first_seen(simulate(count=40, latency=0.5)) == 5


@pytest.mark.parametrize('cost', [0.5, 1.0, 3.0])
def test_an_overloaded_tracker_publishes_the_newest_image_and_is_never_far_behind(cost):
    outcome = simulate(count=300, image_cost=cost, latency=0.1).outcome
    worked = [tracks is not None for tracks in outcome.tracks]
    assert len(worked) == 300 and outcome.lost > 300 * (1 - 0.12 / cost)
    assert max(outcome.ages.values()) < cost + 0.101, \
        'its own cost, and at most one interval of waiting'
    assert any(map(len, outcome.tracks)), 'detections of images that were skipped are used'


def test_images_out_of_order_are_for_the_session_to_judge():
    outcome = simulate(images=[0, 1, 2, 1, 3]).outcome
    assert outcome.stamps == [stamp(index) for index in (0, 1, 2, 3)] and outcome.lost == 0


@pytest.mark.parametrize('values, words', [
    ({'latency': -1}, 'latency must be from 0 to 60, got -1'),
    ({'lost_answers': 1.5}, 'lost_answers must be from 0 to 1'),
    ({'away': (3, 1)}, 'away must be a start and an end after it')])
def test_surroundings_out_of_their_range_are_named(values, words):
    with pytest.raises(ValueError, match=words):
        Surroundings(**values)
