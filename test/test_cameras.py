"""One detector for many cameras: whose turn it is, event by event and with a virtual clock."""
from dataclasses import replace
import heapq
import itertools

from acme_tracking.detections import Detections
from acme_tracking.sessions.detection import DetectionSession, DetectorParameters
from acme_tracking.sessions.events import (
    Answer,
    Asked,
    Configured,
    ImageArrived,
    PublishDetections,
    Report,
    Reset,
    RunFinished,
    StartRun,
    Tick,
    Warn,
)
import pytest

NOTHING = Detections.empty()
SECOND = 1_000_000_000


class Story:
    """Tells a session of the cameras a, b and c what happens; times are in seconds."""

    def __init__(self, together=1, **parameters):
        self.parameters = DetectorParameters(cameras=('a', 'b', 'c'), **parameters)
        self.session = DetectionSession(self.parameters, together)

    def tell(self, event, time, *arguments):
        return [plain(action) for action in
                self.session.on(event(round(time * SECOND), *arguments))]

    def images(self, time, cameras='abc'):
        """Let an image of each camera come, named after camera and time."""
        return [action for camera in cameras for action in self.tell(
            ImageArrived, time, round(time * SECOND), f'{camera}{time:g}', None, camera)]

    def ask(self, time, camera, caller='', urgent=True):
        return self.tell(Asked, time, caller or camera, camera, urgent)

    def done(self, time, run, found=NOTHING, error=''):
        return self.tell(RunFinished, time, run, found, error)


def plain(action):
    """Return what can be compared at a glance: runs, and who is answered."""
    match action:
        case StartRun():
            return 'run', action.run, action.image
        case PublishDetections():
            return 'publish', action.camera, action.image
        case Answer():
            return 'answer', action.caller, action.success
    return action


def test_each_camera_is_answered_for_its_own_newest_image():
    story = Story()
    story.images(0.0)
    assert story.ask(0.1, 'b') == [('run', 1, 'b0')]
    assert story.ask(0.2, 'c') == story.images(0.3) == []
    assert story.done(0.4, 1) == [
        ('publish', 'b', 'b0'), ('answer', 'b', True), ('run', 2, 'c0.3')]
    assert story.done(0.5, 2) == [('publish', 'c', 'c0.3'), ('answer', 'c', True)]


def test_who_asks_during_a_run_shares_it_only_when_it_is_of_the_same_camera():
    story = Story()
    story.images(0.0)
    story.ask(0.1, 'a', 'one')
    assert story.ask(0.2, 'a', 'two') == story.ask(0.2, 'b', 'three') == []
    assert story.done(0.3, 1) == [
        ('publish', 'a', 'a0'), ('answer', 'one', True), ('answer', 'two', True), ('run', 2, 'b0')]


def test_one_place_in_the_queue_is_for_all_who_ask_about_a_camera():
    story = Story()
    story.images(0.0)
    story.ask(0.1, 'a')
    for caller in 'xyz':
        story.ask(0.2, 'b', caller)
    story.ask(0.3, 'c')
    assert story.done(0.4, 1)[-1] == ('run', 2, 'b0')
    assert story.done(0.5, 2) == [
        ('publish', 'b', 'b0'), *(('answer', caller, True) for caller in 'xyz'), ('run', 3, 'c0')]


def test_an_urgent_request_overtakes_one_that_can_wait():
    story = Story()
    story.images(0.0)
    story.ask(0.1, 'a')
    story.ask(0.2, 'b', urgent=False)
    story.ask(0.3, 'c', urgent=True)
    assert story.done(0.4, 1)[-1] == ('run', 2, 'c0')
    assert story.done(0.5, 2)[-1] == ('run', 3, 'b0')


@pytest.mark.parametrize('later, first', [(0.9, 'c'), (1.1, 'b')])
def test_but_not_one_that_has_waited_for_long(later, first):
    story = Story(maximum_wait=1.0, maximum_image_age=0.0)
    story.images(0.0)
    story.ask(0.1, 'a')
    story.ask(0.2, 'b', urgent=False)
    story.ask(0.2 + later, 'c', urgent=True)
    assert story.done(2.0, 1)[-1] == ('run', 2, f'{first}0')


def test_a_request_that_can_wait_becomes_urgent_when_an_urgent_one_joins_it():
    story = Story()
    story.images(0.0)
    story.ask(0.1, 'a')
    story.ask(0.2, 'b', 'timer', urgent=False)
    story.ask(0.3, 'b', 'lost')
    story.ask(0.4, 'c')
    assert story.done(0.5, 1)[-1] == ('run', 2, 'b0')


def test_with_nobody_else_a_request_that_can_wait_does_not():
    story = Story()
    story.images(0.0)
    assert story.ask(0.1, 'a', urgent=False) == [('run', 1, 'a0')]


def test_a_camera_that_went_silent_while_its_request_waited_is_told_so_and_passed_over():
    story = Story(maximum_image_age=1.0)
    story.images(0.0)
    story.ask(0.1, 'a')
    story.ask(0.2, 'b')
    story.images(1.4, 'ac')
    story.ask(1.5, 'c')
    assert story.done(1.6, 1) == [
        ('publish', 'a', 'a0'), ('answer', 'a', True), ('answer', 'b', False), ('run', 2, 'c1.4')]
    assert story.ask(1.7, 'b') == [('answer', 'b', False)], 'at once, though another runs'


def test_what_waits_together_runs_together_and_each_is_answered_for_itself():
    story = Story(together=2)
    story.images(0.0)
    assert story.ask(0.1, 'a') == [('run', 1, 'a0')], 'nobody else waits'
    story.ask(0.2, 'b'), story.ask(0.2, 'c')
    assert story.done(0.3, 1)[-2:] == [('run', 2, 'b0'), ('run', 3, 'c0')]
    story.ask(0.4, 'a')
    assert story.done(0.5, 2) == [('publish', 'b', 'b0'), ('answer', 'b', True)]
    assert story.done(0.5, 3, None, 'no colours')[1:] == [
        ('answer', 'c', False), ('run', 4, 'a0')], 'not before all are done'


def test_continuous_mode_takes_cameras_with_news_in_turn():
    story = Story(mode='continuous')
    assert story.images(0.0) == [('run', 1, 'a0')]
    assert story.done(0.1, 1)[-1] == ('run', 2, 'b0')
    story.images(0.15)
    assert [story.done(0.1 * index, index)[-1][-1] for index in (2, 3, 4)] == [
        'c0.15', 'a0.15', 'b0.15']
    assert story.done(0.5, 5) == [('publish', 'b', 'b0.15')], 'nothing is new'
    story.images(0.6, 'b')
    story.ask(0.61, 'c'), story.images(0.62, 'a')
    assert story.done(0.7, 6)[-1][-1] == 'c0.15', 'who asks comes first'


def test_a_reset_answers_all_who_wait():
    story = Story()
    story.images(0.0)
    for camera in 'abc':
        story.ask(0.1, camera)
    assert story.tell(Reset, 0.2) == [('answer', camera, False) for camera in 'abc']
    assert story.done(0.3, 1) == []
    assert story.ask(0.4, 'b') == [('answer', 'b', False)], 'no image yet'


def test_the_report_counts_by_camera_and_names_the_silent_one():
    story = Story()
    story.tell(Configured, 0.0, story.parameters)
    story.images(1.0, 'ab')
    story.ask(1.0, 'a'), story.ask(1.1, 'b')
    story.done(1.25, 1)
    warning, report = story.tell(Tick, 140.0, {'c': ['/c/camera'], 'a': []})
    assert isinstance(warning, Warn) and '/c/camera' in warning.text
    assert report.message == 'a: no images; b: no images; c: no images from /c/camera'
    values = report.values
    assert [values[f'images.{name}'] for name in 'abc'] == [1, 1, 0]
    assert [values[f'runs.{name}'] for name in 'abc'] == [1, 0, 0]
    assert values['longest_wait_ms'] == 150.0
    report = story.tell(Tick, 141.0)[-1]
    assert isinstance(report, Report) and report.values['longest_wait_ms'] == 0.0


@pytest.mark.parametrize('names, words', [
    (['front', 'rear left'], "got 'rear left'"), (['front', ''], "got ''"), (['9'], "got '9'"),
    (['front', 'front'], "'front' twice"), (['front/'], "got 'front/'")])
def test_cameras_that_cannot_be_are_named(names, words):
    with pytest.raises(ValueError, match=words):
        DetectionSession(replace(DetectorParameters(), cameras=tuple(names)))


# Load, with a virtual clock

class Road:
    """
    Many cameras at 10 images per second, and a CNN that takes `cost` seconds for a run.

    `asks(camera, index)` tells how a tracker asks on its image `index`: True for urgently, False,
    or None for not at all; it waits for an answer before it asks again.  waits: of each camera,
    how long each of its requests waited for its run, in seconds, with whether it was urgent.
    """

    def __init__(self, count, asks, cost, together=1, **parameters):
        names = tuple(f'camera{index}' for index in range(count))
        self.session = DetectionSession(DetectorParameters(cameras=names, **parameters), together)
        self.waits = {name: [] for name in names}
        self.answers, self.busy = dict.fromkeys(names, 0), 0.0
        self._asks, self._cost = asks, round(cost * SECOND)
        self._agenda, self._order = [], itertools.count()
        self._pending = {}

    def run(self, seconds):
        """Let it go on for so long; return itself."""
        for index in range(int(10 * seconds)):
            for position, name in enumerate(self.waits):
                self._at(index * SECOND // 10 + position * 1000, self._image, name, index)
        while self._agenda:
            time, _, action, arguments = heapq.heappop(self._agenda)
            action(time, *arguments)
        return self

    def _at(self, time, action, *arguments):
        heapq.heappush(self._agenda, (time, next(self._order), action, arguments))

    def _image(self, time, name, index):
        how = self._asks(name, index)
        if how == 'silent':
            return
        self._perform(time, self.session.on(ImageArrived(time, time, name, None, name)))
        if how is not None and (name not in self._pending or how == 'flood'):
            self._pending.setdefault(name, (time, bool(how)))
            self._perform(time, self.session.on(Asked(time, name, name, bool(how))))

    def _perform(self, time, actions):
        runs = [action for action in actions if isinstance(action, StartRun)]
        for run in runs:
            if run.image in self._pending:
                asked, urgent = self._pending[run.image]
                self.waits[run.image].append(((time - asked) / SECOND, urgent))
            self._at(time + self._cost, self._finish, run.run)
        self.busy += self._cost / SECOND * bool(runs)
        for action in actions:
            if isinstance(action, Answer):
                self._pending.pop(action.caller, None)
                self.answers[action.caller] += action.success

    def _finish(self, time, run):
        self._perform(time, self.session.on(RunFinished(time, run, NOTHING)))

    def longest(self, urgent=None):
        """Return the longest wait, of all requests or of those that are urgent or not."""
        return max(wait for waits in self.waits.values() for wait, how in waits
                   if urgent in (None, how))


COUNTS = pytest.mark.parametrize('count', [1, 2, 4, 8, 16, 32])


@COUNTS
def test_no_camera_starves_when_all_are_at_a_loss_all_the_time(count):
    cost = 0.05
    road = Road(count, lambda *_: True, cost, maximum_image_age=0.0).run(20)
    runs = [len(waits) for waits in road.waits.values()]
    assert max(runs) - min(runs) <= 1
    assert road.longest() <= count * cost + 1e-4
    if count >= 4:
        assert road.busy == pytest.approx(20, abs=count * cost + 0.2), 'no time is lost'


@COUNTS
@pytest.mark.parametrize('wait', [0.0, 0.5, 1.0])
def test_the_wait_is_bounded_however_many_urgent_requests_there_are(count, wait):
    cost = 0.05
    road = Road(count, lambda name, _: name != 'camera0', cost, maximum_wait=wait,
                maximum_image_age=0.0).run(20)
    assert road.longest(urgent=False) <= wait + count * cost + 1e-4
    assert len(road.waits['camera0']) >= 20 / (wait + count * cost + 0.2) - 1


@COUNTS
def test_urgent_requests_come_first_while_others_alone_take_all_the_time(count):
    """Every camera looks for newcomers whenever it may; the last loses an object now and then."""
    cost, last = 0.05, f'camera{count - 1}'
    road = Road(count, lambda name, index: name == last and (True if index % 10 == 0 else None),
                cost, maximum_wait=10.0, maximum_image_age=0.0).run(20)
    assert road.longest(urgent=True) <= cost + 1e-4, 'for the run in progress alone'
    if count > 1:
        assert road.longest(urgent=False) <= count * cost + 0.3


@COUNTS
def test_a_camera_that_floods_gets_no_more_than_its_turn(count):
    cost = 0.15
    road = Road(count, lambda name, _: 'flood' if name == 'camera0' else True, cost,
                maximum_image_age=0.0).run(20)
    runs = [len(waits) for waits in road.waits.values()]
    assert max(runs) - min(runs) <= 1


@COUNTS
def test_a_camera_that_goes_silent_keeps_nobody_waiting(count):
    def asks(name, index):
        return 'silent' if name == 'camera0' and index >= 50 else True
    cost = 0.02
    road = Road(count, asks, cost, maximum_image_age=0.5).run(20)
    assert road.longest() <= count * cost + 1e-4
    silent, *others = road.answers.values()
    assert silent <= 50
    assert not others or min(others) >= 20 / (count * cost + 0.1) - 1


@pytest.mark.parametrize('together', [1, 2, 4])
def test_a_batch_multiplies_what_is_looked_at(together):
    road = Road(8, lambda *_: True, 0.1, together, maximum_image_age=0.0).run(20)
    assert sum(map(len, road.waits.values())) == pytest.approx(200 * together, abs=20)
    assert road.longest() <= 0.1 * 8 / together + 0.1 + 1e-4


@COUNTS
def test_continuous_mode_looks_at_all_cameras_equally_often(count):
    road = Road(count, lambda *_: None, 0.03, mode='continuous').run(20)
    runs = [road.session._cameras[name].counts['runs'] for name in road.waits]
    assert max(runs) - min(runs) <= 1 and sum(runs) >= min(200 * count, 20 / 0.03) - 2
