"""What holds for any order of events, any parameter value and any message (hypothesis)."""
from dataclasses import replace
import functools

from acme_tracking.detections import Detections
from acme_tracking.parameters import ParameterSet, specifications, validate
from acme_tracking.sessions.camera import CameraParameters, CameraSession
from acme_tracking.sessions.detection import DetectionSession, DetectorParameters
from acme_tracking.sessions.events import (
    Activated,
    Answer,
    Answered,
    Asked,
    Cancel,
    CloseSource,
    Configured,
    Deactivated,
    DetectionsArrived,
    DetectorSeen,
    End,
    ImageArrived,
    ImageRead,
    ImageSkipped,
    Listeners,
    OpenSource,
    Publish,
    PublishDetections,
    PublishTracks,
    ReadNext,
    Report,
    Request,
    Reset,
    RunFinished,
    SourceEnded,
    SourceFailed,
    StartRun,
    Tick,
    TracksPublished,
    WaitUntil,
    Warn,
    Woken,
)
from acme_tracking.sessions.location import LocatorParameters
from acme_tracking.sessions.tracking import TrackerParameters, TrackingSession
from hypothesis import given, HealthCheck, settings, strategies
import numpy as np
import pytest

SECOND = 10**9
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
STEPS = strategies.integers(0, 12 * SECOND)
# No deadline: a busy machine may take any time for an example.
few = settings(max_examples=200, deadline=None, derandomize=True,
               suppress_health_check=[HealthCheck.too_slow])

# No subnormal numbers: some library has the processor take them for 0.
floats = functools.partial(strategies.floats, allow_subnormal=False)
numbers = floats(-200, 300, width=32)
found = strategies.lists(
    strategies.tuples(numbers, numbers, numbers, numbers, floats(0, 1),
                      strategies.sampled_from(['car', 'person'])), max_size=4).map(
    lambda rows: Detections([row[:4] for row in rows], [row[4] for row in rows],
                            [row[5] for row in rows]))
stamps = strategies.integers(0, 60).map(lambda index: index * SECOND // 10)

TRACKING = strategies.one_of(
    stamps.map(lambda stamp: lambda time, _: ImageArrived(time, stamp, IMAGE)),
    stamps.map(lambda stamp: lambda time, _: ImageSkipped(time, stamp, IMAGE)),
    strategies.tuples(stamps, found).map(
        lambda item: lambda time, _: DetectionsArrived(time, *item)),
    strategies.tuples(strategies.integers(0, 3), strategies.booleans()).map(
        lambda item: lambda time, tickets: Answered(time, tickets[-1:] and tickets[-1] - item[0]
                                                    or 0, item[1])),
    strategies.booleans().map(lambda present: lambda time, _: DetectorSeen(time, present)),
    strategies.just(lambda time, _: Tick(time)),
    strategies.just(lambda time, _: TracksPublished(time)),
    strategies.just(lambda time, _: Reset(time)))


@few
@given(strategies.lists(strategies.tuples(STEPS, TRACKING), max_size=40))
def test_a_tracker_answers_each_new_image_and_has_one_request_at_a_time(story):
    session, time, tickets, open_ones = TrackingSession(TrackerParameters(), 0), 0, [], []
    newest = -1
    for step, make in story:
        time += step
        event = make(time, tickets)
        actions = session.on(event)
        published = [action for action in actions if isinstance(action, PublishTracks)]
        if isinstance(event, ImageArrived) and event.stamp > newest:
            assert [action.stamp for action in published] == [event.stamp]
        assert all(np.isfinite(action.confirmed.boxes).all() for action in published)
        if isinstance(event, (ImageArrived, ImageSkipped)):
            newest = max(newest, event.stamp)
        if isinstance(event, Reset):
            newest = -1
        for action in actions:
            if isinstance(action, Request):
                assert not open_ones
                open_ones, tickets = [action.ticket], [*tickets, action.ticket]
            elif isinstance(action, Cancel):
                assert open_ones == [action.ticket]
                open_ones = []
            else:
                assert isinstance(action, (PublishTracks, Warn, Report))
        if isinstance(event, Answered) and event.ticket in open_ones:
            open_ones = []
    assert len(tickets) == len(set(tickets))


DETECTION = strategies.one_of(
    strategies.just(lambda time, _: ImageArrived(time, time, 'image')),
    strategies.just(lambda time, _: Asked(time, object())),
    strategies.tuples(strategies.integers(0, 1), found, strategies.booleans()).map(
        lambda item: lambda time, run: RunFinished(
            time, run - item[0], item[1] if item[2] else None, '' if item[2] else 'no luck')),
    strategies.sampled_from(['on_request', 'continuous']).map(
        lambda mode: lambda time, _: Configured(time, replace(DetectorParameters(), mode=mode))),
    strategies.just(lambda time, _: Tick(time)),
    strategies.just(lambda time, _: Reset(time)))


@few
@given(strategies.lists(strategies.tuples(STEPS, DETECTION), max_size=40))
def test_a_detector_answers_each_caller_once_and_has_one_run_at_a_time(story):
    session, time, run, running, waiting = DetectionSession(DetectorParameters()), 0, 0, 0, set()
    for step, make in [*story, (0, lambda time, _: Reset(time))]:
        time += step
        event = make(time, run)
        if isinstance(event, Asked):
            waiting.add(event.caller)
        if isinstance(event, RunFinished) and event.run == running or isinstance(event, Reset):
            running = 0
        for action in session.on(event):
            if isinstance(action, StartRun):
                assert not running
                run = running = action.run
            elif isinstance(action, Answer):
                waiting.remove(action.caller)
            else:
                assert isinstance(action, (Warn, Report, PublishDetections))
    assert not waiting


CAMERA = strategies.one_of(
    *(strategies.just(kind) for kind in (Activated, Deactivated, Woken, Tick)),
    strategies.just(lambda time: ImageRead(time, IMAGE, time)),
    strategies.sampled_from(['', '3 of 9 images']).map(
        lambda early: lambda time: SourceEnded(time, early)),
    strategies.just(lambda time: SourceFailed(time, 'gone')),
    strategies.integers(0, 2).map(lambda count: lambda time: Listeners(time, count)))


@few
@given(strategies.sampled_from(['clip.mp4', 'rtsp://front/1']), strategies.booleans(),
       strategies.lists(strategies.tuples(STEPS, CAMERA), max_size=40))
def test_a_camera_publishes_only_what_it_read_and_nothing_while_it_is_inactive(source, loop,
                                                                               story):
    live = '://' in source
    session = CameraSession(CameraParameters(source=source, loop=loop, wait_for_subscribers=1),
                            0.0 if live else 10.0)
    time, active, read = 0, False, 0
    for step, make in story:
        time += step
        event = make(time)
        if isinstance(event, (Activated, Deactivated)):
            if isinstance(event, Activated) == active:
                continue  # no lifecycle does that
            active = not active
        read += isinstance(event, ImageRead)
        for action in session.on(event):
            assert isinstance(action, (Publish, ReadNext, OpenSource, CloseSource, WaitUntil, End,
                                       Warn, Report))
            if isinstance(action, Publish):
                assert active
                read -= 1
            if isinstance(action, WaitUntil):
                assert action.time is None or action.time >= 0
        assert read >= 0


anything = strategies.one_of(
    strategies.none(), strategies.booleans(), strategies.integers(), floats(),
    strategies.text(max_size=20), strategies.binary(max_size=5),
    strategies.lists(strategies.one_of(strategies.integers(), floats(),
                                       strategies.text(max_size=5)), max_size=4))


@pytest.mark.parametrize('kind', [CameraParameters, DetectorParameters, LocatorParameters,
                                  TrackerParameters])
def test_any_value_is_taken_as_declared_or_refused_with_a_reason(kind):
    names = [item.name for item in specifications(kind)]

    @few
    @given(strategies.dictionaries(strategies.sampled_from([*names, 'no_such_name']), anything,
                                   max_size=3))
    def check(values):
        parameters = ParameterSet(kind, {})
        before = parameters.wanted
        try:
            parameters.set(values)
        except ValueError as error:
            assert any(name in str(error) for name in values)
            assert parameters.wanted == before
        else:
            validate(parameters.wanted)
    check()
