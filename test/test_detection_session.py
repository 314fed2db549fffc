"""The detection session, event by event, in made-up seconds."""
from dataclasses import replace
import subprocess
import sys

from acme_tracking.detections import Detections
from acme_tracking.sessions.detection import DetectionSession, DetectorParameters
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
    RunFinished,
    StartRun,
    Tick,
    Warn,
    WeightsLoaded,
    WeightsSet,
)
import pytest

USED = Warn('the weights that were set are used from now on', 'info')
FOUND = Detections([[0, 0, 2, 2], [4, 4, 8, 8]], [0.9, 0.5], ['car', 'bus'])


class Story:
    """Tells a session what happens; times are in seconds."""

    def __init__(self, **parameters):
        self.parameters = replace(DetectorParameters(), **parameters)
        self.session = DetectionSession(self.parameters)

    def tell(self, event, time, *arguments):
        return list(map(plain, self.session.on(event(round(time * 1e9), *arguments))))

    def image(self, time, name, stamp=0, clock=None):
        return self.tell(ImageArrived, time, stamp, name, clock)

    def sent(self, time, age, noon=1_700_000_000, clock=None):
        """Let an image of an age arrive, `time` seconds after this host's clock showed `noon`."""
        clock = noon + time if clock is None else clock
        return self.image(time, 'image', round((noon + time - age) * 1e9), round(clock * 1e9))

    def ask(self, time, caller='me'):
        return self.tell(Asked, time, caller)

    def done(self, time, run, found=FOUND, error=''):
        return self.tell(RunFinished, time, run, found, error)

    def set(self, time, **parameters):  # noqa: A003
        self.parameters = replace(self.parameters, **parameters)
        return self.tell(Configured, time, self.parameters)

    def health(self, time):
        report, = self.session.on(Tick(round(time * 1e9)))
        assert isinstance(report, Report)
        return report


def plain(action):
    """Return what can be compared."""
    if isinstance(action, StartRun):
        return 'run', action.run, action.stamp, action.image
    if isinstance(action, PublishDetections):
        return 'publish', action.stamp, action.image, len(action.detections)
    return action


def test_a_request_runs_on_the_newest_image_and_is_answered_after_publishing():
    story = Story()
    assert story.image(0.0, 'old', 1_000_000_001) == []
    assert story.image(0.1, 'new', 2_000_000_002) == []
    assert story.ask(0.2) == [('run', 1, 2_000_000_002, 'new')]
    assert story.done(0.2503, 1) == [
        ('publish', 2_000_000_002, 'new', 2),
        Answer('me', True, 'stamp=2.000000002 detections=2 latency_ms=50.3')]


def test_without_an_image_there_is_nothing_to_run_on():
    assert Story().ask(1.0) == [Answer('me', False, 'no image yet')]


def test_requests_during_a_run_share_its_answer():
    story = Story()
    story.image(0.0, 'first', 5)
    assert story.ask(0.1, 'a') == [('run', 1, 5, 'first')]
    assert story.ask(0.2, 'b') == []
    assert story.image(0.3, 'second', 6) == []
    assert story.ask(0.4, 'c') == []
    message = 'stamp=0.000000005 detections=0 latency_ms=400.0'
    assert story.done(0.5, 1, Detections.empty()) == [
        ('publish', 5, 'first', 0), *(Answer(who, True, message) for who in 'abc')]
    assert story.ask(0.6) == [('run', 2, 6, 'second')]


@pytest.mark.parametrize('limit, age, served', [
    (2.0, 2.0, True), (2.0, 2.001, False), (0.0, 1e6, True), (60.0, 15.0, True)])
def test_an_image_that_arrived_long_ago_is_not_detected_on(limit, age, served):
    story = Story(maximum_image_age=limit)
    story.image(1.0, 'image')
    actions = story.ask(1.0 + age)
    assert (actions == [('run', 1, 0, 'image')]) is served
    assert served or actions == [Answer('me', False, 'newest image is 2.0 s old')]


def test_the_age_is_that_of_the_newest_image():
    story = Story()
    story.image(0.0, 'image')
    assert story.ask(15.0) == [Answer('me', False, 'newest image is 15.0 s old')]
    story.image(15.1, 'newer')
    assert story.ask(15.2) == [('run', 1, 0, 'newer')]


OLD = Warn(
    'images are 26.0 s old when they come, by their stamps: those older than maximum_image_age = '
    '2.0 s are not detected (said once; see old_images on /diagnostics): the link is too slow for '
    'them, or the clocks of the hosts differ')
ANOTHER_CLOCK = Warn('the stamps of the images are of another clock: the age of images counts '
                     'from their arrival', 'info')


def old(age):
    return [Answer('me', False, f'newest image is {age:.1f} s old')]


@pytest.mark.parametrize('mode', ['on_request', 'continuous'])
def test_an_image_that_is_old_by_its_stamp_is_not_detected_on(mode):
    story = Story(mode=mode)
    assert story.sent(0.0, 26.0) == [OLD]
    assert story.ask(0.5) == old(26.5)
    assert story.sent(1.0, 26.0) == [], 'said once'
    report = story.health(1.1)
    assert (report.level, report.message) == ('warning', 'images are 26.0 s old when they come')
    assert report.values['old_images'] == 2 and report.values['age_counts_from'] == 'stamp'
    fresh = story.sent(2.0, 1.9)
    started = fresh if mode == 'continuous' else story.ask(2.1)
    assert [action[0] for action in started] == ['run']
    assert story.health(2.2).level == 'ok' and story.health(2.2).values['old_images'] == 2


def test_the_age_by_stamp_goes_on_while_the_image_waits():
    story = Story()
    story.sent(0.0, 1.5)
    assert story.ask(0.6) == old(2.1)
    story.sent(0.7, 1.5)
    assert story.ask(1.1)[0][0] == 'run'


def test_an_image_that_grew_old_during_a_run_is_not_run_on():
    story = Story(mode='continuous')
    story.sent(0.0, 0.0)
    story.sent(0.1, 1.0)
    assert [action[0] for action in story.done(1.2, 1)] == ['publish']


def test_a_stamp_a_little_ahead_is_no_younger_than_its_arrival():
    story = Story()
    story.sent(0.0, -1.0)
    assert story.health(0.1).values['age_counts_from'] == 'stamp'
    assert story.ask(2.1) == old(2.1)


def test_a_stamp_of_a_minute_ago_is_old_from_the_first_image_on():
    story = Story()
    story.sent(0.0, 60.0)
    assert story.ask(0.0) == old(60.0)


@pytest.mark.parametrize('age', [86400.0, 60.1, -1.1, -3600.0])
def test_stamps_of_another_clock_tell_no_age(age):
    story = Story()
    assert story.sent(0.0, age) == [ANOTHER_CLOCK]
    assert story.sent(0.1, age) == [], 'said once'
    assert story.ask(2.0)[0][0] == 'run'
    assert story.health(2.0).values['age_counts_from'] == 'arrival'
    story.done(2.0, 1)
    assert story.ask(2.2) == old(2.1)


def test_a_link_that_falls_behind_bit_by_bit_is_no_other_clock():
    story = Story()
    for second in range(200):
        story.sent(float(second), 0.9 * second)
    assert story.ask(199.0) == old(179.1)


@pytest.mark.parametrize('jump', ['stamps go back', 'clock is set'])
def test_what_jumps_is_another_clock_then(jump):
    story = Story()
    for second in range(100):  # more than a minute behind, and known to be
        story.sent(float(second), 0.9 * second)
    if jump == 'stamps go back':  # a bag of yesterday begins
        assert story.sent(100.0, 86400.0) == [ANOTHER_CLOCK]
    else:
        assert story.sent(100.0, 90.0, clock=1_700_003_700) == [ANOTHER_CLOCK]
    assert story.ask(100.1)[0][0] == 'run'


def test_simulated_time_counts_once_it_is_there():
    story = Story()
    story.sent(0.0, 0.0, clock=0)
    assert story.health(0.1).values['age_counts_from'] == 'arrival'
    story.sent(0.2, 0.0)
    assert story.health(0.3).values['age_counts_from'] == 'stamp'
    story.sent(0.4, 26.0)
    assert story.ask(0.4) == old(26.0)


def test_without_a_limit_no_age_matters():
    story = Story(maximum_image_age=0.0, mode='continuous')
    assert story.sent(0.0, 26.0)[0][0] == 'run'
    assert story.health(0.1).values['old_images'] == 0


def test_a_failed_run_is_an_answer_and_a_warning_now_and_then():
    story = Story()
    story.image(0.0, 'image')
    story.ask(0.1)
    assert story.done(0.2, 1, None, 'no colours') == [
        Warn('cannot detect: no colours'), Answer('me', False, 'no colours')]
    story.ask(0.3)
    assert story.done(0.4, 2, None, 'no colours') == [Answer('me', False, 'no colours')]
    story.image(5.0, 'image')
    story.ask(5.1)
    assert story.done(5.2, 3, None, 'no light') == [
        Warn('cannot detect: no light'), Answer('me', False, 'no light')]


def test_continuous_mode_runs_on_every_image_it_can_keep_up_with():
    story = Story(mode='continuous')
    assert story.image(0.0, 'a', 1) == [('run', 1, 1, 'a')]
    assert story.image(0.1, 'b', 2) == story.image(0.2, 'c', 3) == []
    assert story.done(0.3, 1) == [('publish', 1, 'a', 2), ('run', 2, 3, 'c')]
    assert story.done(0.4, 2) == [('publish', 3, 'c', 2)], 'it ran on the newest already'
    assert story.image(0.5, 'd', 4) == [('run', 3, 4, 'd')]
    assert story.ask(0.6) == []
    assert story.done(0.7, 3, None, 'broken')[1:] == [Answer('me', False, 'broken')]
    assert story.ask(0.8) == [('run', 4, 4, 'd')], 'who asks gets a run'


def test_an_image_that_comes_after_a_failed_run_is_run_on():
    story = Story(mode='continuous')
    story.image(0.0, 'a', 1)
    story.image(0.1, 'b', 2)
    assert story.done(0.2, 1, None, 'broken')[1:] == [('run', 2, 2, 'b')]


def test_a_change_of_the_mode_counts_at_once():
    story = Story()
    story.image(0.0, 'a', 1)
    assert story.set(0.1, mode='continuous') == [('run', 1, 1, 'a')]
    story.image(0.2, 'b', 2)
    assert story.set(0.3, mode='on_request') == []
    assert story.done(0.4, 1) == [('publish', 1, 'a', 2)]
    assert story.ask(0.5) == [('run', 2, 2, 'b')]
    story.done(0.6, 2)
    assert story.set(0.7, mode='continuous') == [], 'it ran on that image already'
    story.set(0.8, maximum_image_age=0.1)
    assert story.ask(0.9) == [Answer('me', False, 'newest image is 0.7 s old')]


def test_a_reset_answers_who_waits_and_what_ends_after_it_is_nobodys():
    story = Story()
    story.image(0.0, 'before', 1)
    story.ask(0.1, 'a'), story.ask(0.2, 'b')
    assert story.tell(Reset, 0.3) == [
        Answer(who, False, 'the detector was deactivated') for who in 'ab']
    assert story.ask(0.4) == [Answer('me', False, 'no image yet')]
    story.image(0.5, 'after', 2)
    assert story.ask(0.6) == [('run', 2, 2, 'after')]
    assert story.done(0.7, 1) == [], 'of before the reset'
    assert story.done(0.8, 2) == [
        ('publish', 2, 'after', 2),
        Answer('me', True, 'stamp=0.000000002 detections=2 latency_ms=200.0')]
    assert story.tell(Reset, 0.9) == []


def test_a_reset_lets_go_of_the_images():
    import gc
    import weakref

    class Image:
        pass
    story, image = Story(mode='continuous'), Image()
    story.image(0.0, image)
    kept = weakref.ref(image)
    story.tell(Reset, 0.1)
    del image
    gc.collect()
    assert kept() is None


def test_the_report_counts_and_tells_the_last_latency():
    story = Story()
    story.image(0.0, 'image')
    assert story.health(0.1) == Report('ok', 'ready', {
        'mode': 'on_request', 'images': 1, 'old_images': 0, 'runs': 0, 'failures': 0,
        'age_counts_from': 'arrival', 'latency_ms': 0.0})
    story.ask(0.2)
    story.done(0.325, 1)
    story.ask(0.4)
    story.done(0.5, 2, None, 'no light')
    assert story.health(0.6) == Report('warning', 'the last run failed: no light', {
        'mode': 'on_request', 'images': 1, 'old_images': 0, 'runs': 2, 'failures': 1,
        'age_counts_from': 'arrival', 'latency_ms': 125.0})
    story.ask(0.7)
    story.done(0.8, 3)
    assert story.health(0.9).level == 'ok'


def levels(story, times):
    return ''.join(story.health(time).level[0] for time in times)


def test_images_are_missed_after_three_seconds():
    story = Story()
    story.set(10.0)
    assert levels(story, (11, 12, 13, 13.1)) == 'ooow'
    assert story.health(13.2).message == 'no images'
    story.image(14.0, 'image')
    story.image(14.1, 'image')
    assert levels(story, (14.5, 17.0, 17.2)) == 'oow'
    story.tell(Reset, 20.0)
    story.set(30.0)
    assert levels(story, (32.9, 33.1)) == 'ow'


def test_a_sender_who_is_not_heard_is_named_once():
    story = Story()
    story.image(0, 'image')
    assert len(story.tell(Tick, 119.0, {'': ['/front/camera']})) == 1, 'it may be waiting'
    *warnings, report = story.tell(Tick, 121.0, {'': ['/front/camera']})
    assert report.message == 'no images from /front/camera'
    assert [report.message in warning.text for warning in warnings] == [True]
    assert len(story.tell(Tick, 122.0, {'': ['/front/camera']})) == 1, 'said before'
    story.image(123.0, 'image')
    assert len(story.tell(Tick, 900.0, {'': ['/front/camera']})) == 2, 'silent once more'


def test_a_slow_camera_is_not_missed():
    story = Story()
    for time in (0, 5, 10, 15):
        story.image(time, 'image')
    assert levels(story, (19.9, 29.9, 30.1)) == 'oow'
    for time in (100, 105, 110):  # a gap does not make it slower
        story.image(time, 'image')
    assert levels(story, (124.9, 125.1)) == 'ow'


def test_new_weights_are_loaded_while_runs_go_on():
    story = Story()
    story.image(0.0, 'image', 1)
    story.ask(0.1)
    story.set(0.2, weights='new')
    assert story.tell(WeightsSet, 0.2, story.parameters) == [LoadWeights(story.parameters)]
    assert story.ask(0.3) == []
    assert len(story.done(0.4, 1)) == 3
    assert story.tell(WeightsLoaded, 0.5, story.parameters) == [USED]
    assert story.health(0.6).level == 'ok'


def test_weights_that_cannot_be_loaded_are_set_back():
    story = Story(weights='good', classes=('car',))
    story.set(0.0, classes=('bus',))
    story.set(0.1, weights='bad', classes=('crane',))
    story.tell(WeightsSet, 0.1, story.parameters)
    assert story.tell(WeightsLoaded, 0.2, story.parameters, 'bad: no memory') == [
        Warn('the weights that were set are not used: bad: no memory', 'error'),
        RestoreWeights({'weights': 'good', 'classifier': '', 'refined_classes': (),
                        'classes': ('bus',)})]
    report = story.health(0.3)
    assert (report.level, report.message) == (
        'warning', 'the weights that were set are not used: bad: no memory')
    story.tell(WeightsSet, 0.4, story.parameters)
    story.tell(WeightsLoaded, 0.5, story.parameters)
    assert story.health(0.6).level == 'ok'


def test_weights_that_were_set_meanwhile_are_not_set_back():
    story = Story(weights='good')
    story.set(0.1, weights='bad')
    bad = story.parameters
    story.tell(WeightsSet, 0.1, bad)
    story.set(0.2, weights='better')
    story.tell(WeightsSet, 0.2, story.parameters)
    warning, = story.tell(WeightsLoaded, 0.3, bad, 'bad')
    assert isinstance(warning, Warn)
    assert story.tell(WeightsLoaded, 0.4, story.parameters) == [USED]
    story.set(0.5, weights='worse')
    story.tell(WeightsSet, 0.5, story.parameters)
    _, restored = story.tell(WeightsLoaded, 0.6, story.parameters, 'worse')
    assert restored.values['weights'] == 'better'


def test_it_needs_neither_ros_nor_torch():
    code = ('import sys, acme_tracking.sessions.detection; '
            'sys.exit(any(name in sys.modules for name in ("rclpy", "torch")))')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
