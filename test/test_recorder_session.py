"""What the recorder pairs, drops, counts, and when it ends, with made-up times (in seconds)."""
from acme_tracking.detections import Detections
from acme_tracking.sessions.events import (
    Deactivated,
    DetectionsArrived,
    End,
    FrameWritten,
    HealthArrived,
    ImageArrived,
    Progress,
    Tick,
    TracksArrived,
    WriteFrame,
)
from acme_tracking.sessions.recorder import AHEAD, RecorderSession
import pytest

SECOND = 10**9
PERIOD = SECOND // 10


class Picture:
    """Stands for an image message of 100 bytes."""

    data = bytes(100)


class Story:
    """A session that is told of images by number, ten per second."""

    def __init__(self, maximum_bytes=10_000):
        self.session = RecorderSession(5 * SECOND, maximum_bytes)

    def image(self, number):
        return self.session.on(ImageArrived(number * PERIOD, number * PERIOD, Picture()))

    def tracks(self, number, age=0.02, ids=(1,)):
        tracks = Detections([[0, 0, 9, 9]] * len(ids), [0.9] * len(ids), ['car'] * len(ids), ids)
        return frames(self.session.on(TracksArrived(
            number * PERIOD, number * PERIOD, tracks, round(age * SECOND))))

    def written(self, error=''):
        return self.session.on(FrameWritten(0, error))

    def health(self, time, node, **values):
        return self.session.on(HealthArrived(
            round(time * SECOND), node, {key: str(value) for key, value in values.items()}))


def frames(actions):
    """Return (number, whether the detector ran) of the frames to be written."""
    return [(action.stamp // PERIOD, action.detector_ran) for action in actions
            if isinstance(action, WriteFrame)]


def test_a_frame_is_drawn_a_second_later_with_what_the_detector_said():
    story = Story()
    for number in range(13):
        story.image(number)
        drawn = story.tracks(number)
        if number == 8:
            story.session.on(DetectionsArrived(0, 2 * PERIOD, Detections.empty()))
        assert drawn == ([(number - 10, number == 12)] if number >= 10 else [])
    story.session.on(DetectionsArrived(0, 0, Detections.empty()))  # drawn already
    assert frames(story.session.on(Deactivated(0))) == [(number, False) for number in range(3, 13)]
    assert story.session.summary()['detector_runs'] == 2


def test_few_frames_are_ahead_of_the_writing():
    story = Story()
    for number in range(20):
        story.image(number)
    for number in range(20):
        drawn = story.tracks(number)
    assert drawn == [] and story.session.on(Tick(0))[0].values['waiting_bytes'] > 0
    assert frames(story.written()) == [(AHEAD, False)]
    assert frames(story.written()) == [(AHEAD + 1, False)]


@pytest.mark.parametrize('tracked', [False, True])
def test_the_oldest_images_are_dropped_when_too_many_wait(tracked):
    story = Story(maximum_bytes=2000)
    for number in range(100):
        story.image(number)
        if tracked:
            story.tracks(number)  # and nothing is ever written
    report, = story.session.on(Tick(0))
    assert report.values['waiting_bytes'] == 2000
    summary = story.session.summary()
    assert summary['images'] == 100
    assert summary['dropped_frames'] == 80 - AHEAD * tracked
    if not tracked:
        for number in range(80, 100):
            story.tracks(number)
            story.written()
    drawn = frames(story.session.on(Deactivated(0)))
    assert drawn[-1] == (99, False) and drawn[0][0] >= 80, 'the newest win'
    assert len(drawn) == (20 if tracked else 10)


def test_images_without_tracks_go_with_the_next_frame():
    story = Story()
    for number in range(40):
        story.image(number)
        if number % 4 == 3:
            story.tracks(number)
            story.written()
    report, = story.session.on(Tick(0))
    assert report.values['waiting_bytes'] < 2000
    assert story.session.summary()['dropped_frames'] == 0, 'the tracker skipped them'


def test_tracks_count_once():
    story = Story()
    for number in 5, 5, 4, 6:
        story.tracks(number, age=0.01 * number, ids=(number, 7))
    summary = story.session.summary()
    assert (summary['tracked_images'], summary['tracks']) == (2, 3)
    assert summary['latency_ms'] == {'p50': 55.0, 'p95': 59.5}


def test_the_summary_of_nothing():
    assert Story().session.summary() == {
        'images': 0, 'tracked_images': 0, 'image_delivery': None, 'dropped_frames': 0,
        'tracks': 0, 'detector_runs': 0, 'requests': {}, 'latency_ms': {'p50': None, 'p95': None}}


def test_the_summary_takes_counts_from_the_health_of_the_others():
    story = Story()
    story.tracks(1)
    story.health(1, 'camera', images=4, state='running')
    story.health(1, 'tracker', images=1, **{'requests.low_confidence': 3, 'requests.odd': 'x'})
    summary = story.session.summary()
    assert summary['images'] == 4 and summary['image_delivery'] == 0.25
    assert summary['requests'] == {'low_confidence': 3, 'odd': 0}


def test_it_ends_when_the_camera_has_and_everything_is_tracked():
    story = Story()
    story.tracks(1)
    assert story.health(1, 'camera', state='ended', images=2) == []
    assert story.health(1, 'tracker', images=1) == []
    story.tracks(2)
    assert story.health(2, 'tracker', images=2) == [End(0)]
    assert story.health(3, 'tracker', images=2) == [], 'only once'


@pytest.mark.parametrize('state', ['ended', 'ended early', 'failed'])
def test_it_does_not_wait_for_lost_tracks_for_ever(state):
    story = Story()
    story.health(1.0, 'camera', state=state, images=2)
    assert End(0) not in story.session.on(Tick(3 * SECOND))
    assert End(0) in story.session.on(Tick(4 * SECOND + 1))


def test_health_without_our_values_is_passed_over():
    story = Story()
    assert story.health(1, 'camera') == story.health(1, 'camera', state='running') == []
    assert story.health(1, 'tracker', images='many') == []
    assert story.session.summary()['images'] == 0


def test_a_frame_that_cannot_be_written_is_the_end():
    story = Story()
    assert story.written('no space') == [End(1)]


def test_progress_is_shown_now_and_then():
    story = Story()
    shown = [number for number in range(100) if any(
        isinstance(action, Progress) for action in story.session.on(TracksArrived(
            number * PERIOD, number * PERIOD, Detections.empty(), 0)))]
    assert shown == [0, 50]
