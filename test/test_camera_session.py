"""What the camera decides, told as stories with made-up times (in seconds)."""
from dataclasses import replace

from acme_tracking.parameters import with_values
from acme_tracking.sessions.camera import CameraParameters, CameraSession
from acme_tracking.sessions.events import (
    Activated,
    CloseSource,
    Configured,
    Deactivated,
    End,
    ImageRead,
    Listeners,
    OpenSource,
    Publish,
    ReadNext,
    SourceEnded,
    SourceFailed,
    Tick,
    WaitUntil,
    Warn,
    Woken,
)
import numpy as np
import pytest

SECOND = 10**9


def ns(seconds):
    return round(seconds * SECOND)


class Story:
    """A session, told events at times in seconds; times of actions are given in seconds too."""

    def __init__(self, source='clip.mp4', source_rate=10.0, largest=0, **parameters):
        self.parameters = CameraParameters(source=source, **{'on_end': 'hold', **parameters})
        self.session = CameraSession(
            self.parameters, 0.0 if '://' in source else source_rate, largest)
        self.warnings = []

    def tell(self, event, time, *values):
        """Tell an event; return the actions but for warnings, which are kept."""
        actions = self.session.on(event(ns(time), *values))
        self.warnings += [action for action in actions if isinstance(action, Warn)]
        return [action if not isinstance(action, WaitUntil) else
                ('wait', None if action.time is None else action.time / SECOND)
                for action in actions if not isinstance(action, Warn)]

    def image(self, time, image='image', stamp=None):
        return self.kinds(self.tell(ImageRead, time, image, stamp))

    def change(self, time, **parameters):
        self.parameters = replace(self.parameters, **parameters)
        return self.kinds(self.tell(Configured, time, self.parameters))

    def report(self, time):
        report, = self.tell(Tick, time)
        return report

    @staticmethod
    def kinds(actions):
        return [action if isinstance(action, tuple) else type(action) for action in actions]


def play(story, begin, end, step=0.001):
    """Give every image at once when it is asked for; return when each was published, by name."""
    published, wake, number, asked = [], None, 0, False
    actions = story.tell(Activated, begin)
    ticks = round((end - begin) / step)
    for tick in range(ticks + 1):
        now = begin + tick * step
        while True:
            for action in actions:
                if isinstance(action, tuple):
                    wake = action[1]
                elif isinstance(action, ReadNext):
                    asked = True
                elif isinstance(action, Publish):
                    published.append((round(now, 6), action.image))
            if asked:
                asked, number = False, number + 1
                actions = story.tell(ImageRead, now, number)
            elif wake is not None and now >= wake:
                wake, actions = None, story.tell(Woken, now)
            else:
                break
        actions = []
    return published


# Pacing


def test_images_of_a_recording_are_due_a_period_apart():
    story = Story()
    assert story.tell(Activated, 5.0) == [ReadNext()]
    first, = [item for item in story.tell(ImageRead, 5.3, 'one') if isinstance(item, Publish)]
    assert (first.image, first.stamp) == ('one', None)
    assert story.image(5.31) == [('wait', 5.4)], 'a period after the first, not after it was read'
    assert story.kinds(story.tell(Woken, 5.401)) == [ReadNext, Publish]
    assert story.image(5.42) == [('wait', 5.5)], 'a little late: made up for'


def test_delays_do_not_add_up_and_the_rate_may_be_given():
    story = Story(rate=50.0)
    times = [time for time, _ in play(story, 0.0, 2.0)]
    assert times == pytest.approx([0.02 * index for index in range(101)], abs=0.002)


def test_a_recording_keeps_its_own_times():
    story = Story()
    story.tell(Activated, 0.0)
    assert story.image(0.0, stamp=ns(0)) == [ReadNext, Publish]
    assert story.image(0.01, stamp=ns(0.4)) == [('wait', 0.4)]
    assert story.kinds(story.tell(Woken, 0.401)) == [ReadNext, Publish]
    assert story.image(0.41, stamp=ns(0.45)) == [('wait', 0.45)]
    assert story.kinds(story.tell(Woken, 0.451)) == [ReadNext, Publish]
    assert story.image(0.46, stamp=ns(0)) == [('wait', 0.55)], 'in a loop: after the usual time'
    assert story.change(0.47, rate=20.0) == [('wait', 0.5)], 'unless a rate is asked for'


def test_the_duration_of_a_recording_is_that_of_its_own_times():
    story = Story(duration=0.5)
    story.tell(Activated, 0.0)
    assert story.image(0.0, stamp=ns(0)) == [ReadNext, Publish]
    assert story.image(0.0, stamp=ns(0.4)) == [('wait', 0.4)]
    assert story.kinds(story.tell(Woken, 0.4)) == [ReadNext, Publish]
    story.image(0.4, stamp=ns(2.0))
    assert story.report(0.4).message == 'ended'


@pytest.mark.parametrize('late, expected', [(0.29, 0.2), (0.31, 0.41)])
def test_a_long_delay_starts_the_schedule_anew(late, expected):
    story = Story()
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.image(late) == [ReadNext, Publish], 'it is late'
    after = story.image(late + 0.001)
    assert after == ([ReadNext, Publish] if expected < late else [('wait', expected)])


def test_the_rate_changes_at_once():
    story = Story(rate=0.001)
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.image(0.1) == [('wait', 1000.0)]
    assert story.change(0.2, rate=4.0) == [('wait', 0.25)]
    assert story.change(0.3, rate=5.0) == [ReadNext, Publish, ('wait', None)]


def test_a_live_source_is_thinned():
    story = Story('rtsp://camera', rate=10.0)
    story.tell(Activated, 0.0)
    published = [index for index in range(60)
                 if Publish in story.image(1.0 + index / 30 + 0.003 * (index % 2))]
    assert published == [0, *range(2, 60, 3)], 'every third of 30 per second'
    assert story.image(5.0)[0] is Publish and story.image(5.01) == [('wait', 10.01)], 'no burst'


def test_all_images_of_a_live_source_are_published_with_their_stamps():
    story = Story('rtsp://camera')
    story.tell(Activated, 0.0)
    for index in range(5):
        action = story.tell(ImageRead, 1 + index / 1000, 'image', 77 + index)[0]
        assert isinstance(action, Publish) and action.stamp == 77 + index


@pytest.mark.parametrize('rate', [1e-11, 0.0009, 1001.0, -1.0])
def test_rates_that_cannot_be_kept_are_refused(rate):
    with pytest.raises(ValueError, match="'rate' must be"):
        with_values(CameraParameters(), {'rate': rate})


# Duration and pauses


@pytest.mark.parametrize('rate, duration, count', [(30.0, 1.0, 30), (10.0, 0.52, 6), (3.0, 2.0, 6),
                                                  (20.0, 0.5, 10)])
def test_duration_of_a_recording_is_counted_in_images(rate, duration, count):
    story = Story(source_rate=rate, duration=duration)
    assert len(play(story, 0.0, 3.0)) == count
    assert story.report(3.0).message == 'ended'


def test_duration_of_a_recording_counts_over_a_pause():
    story = Story(duration=1.0)
    assert len(play(story, 0.0, 0.35)) == 4
    story.tell(Deactivated, 0.4)
    assert len(play(story, 60.0, 65.0)) == 6
    assert story.report(65.0).values['images'] == 10
    assert len(play(story, 70.0, 75.0)) == 10, 'after its end it begins again'


def test_a_pause_goes_on_with_the_image_that_was_not_due():
    story = Story()
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.image(0.01, 'held') == [('wait', 0.1)]
    assert story.tell(Deactivated, 0.05) == [('wait', None)]
    action, = [item for item in story.tell(Activated, 9.0) if isinstance(item, Publish)]
    assert action.image == 'held'
    story.tell(Deactivated, 9.05)
    assert story.image(9.06, 'late') == [], 'an image that is read while it is inactive waits'
    assert Publish in story.kinds(story.tell(Activated, 10.0))


def test_duration_of_a_live_source_counts_over_a_pause():
    story = Story('rtsp://camera', duration=10.0, on_end='exit')
    story.tell(Activated, 0.0)
    assert ('wait', 8.0) in story.image(3.0), 'silence, and counted from its first image'
    story.tell(Deactivated, 7.0)
    assert story.kinds(story.tell(Activated, 100.0)) == [OpenSource, ('wait', 105.0)]
    assert ('wait', 106.0) in story.image(101.0)
    assert ('wait', 107.0) in story.image(105.0), 'four seconds before the pause, six after it'
    assert story.tell(Woken, 107.0) == [CloseSource(), End(0)]


# The end


def test_a_recording_ends():
    story = Story(on_end='exit')
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.tell(SourceEnded, 0.01) == [End(0)]
    assert story.report(1.0).level == 'ok' and story.report(1.0).message == 'ended'
    assert story.warnings == [Warn('the source ended after 1 images', 'info')]
    assert story.kinds(story.tell(Activated, 5.0)) == [ReadNext]


def test_a_recording_that_is_held_at_its_end_begins_again():
    story = Story()
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.tell(SourceEnded, 0.01) == []
    story.tell(Deactivated, 2.0)
    assert story.tell(Activated, 3.0) == [ReadNext(restart=True)]


def test_a_recording_that_is_cut_short_says_so():
    story = Story(on_end='exit')
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.tell(SourceEnded, 0.01, '63 of 150 images') == [End(1)]
    report = story.report(1.0)
    assert (report.level, report.message) == ('warning', 'ended early: 63 of 150 images')
    assert story.warnings[-1] == Warn('the source ended early: 63 of 150 images', 'warning')


def test_a_recording_that_cannot_be_read_fails():
    story = Story(on_end='exit')
    story.tell(Activated, 0.0)
    assert story.tell(SourceFailed, 0.1, 'no permission') == [End(1)]
    assert story.report(1.0).level == 'error'
    assert story.report(1.0).message == 'failed: no permission'


def test_loop_begins_again():
    story = Story(loop=True)
    story.tell(Activated, 0.0)
    story.image(0.0)
    assert story.tell(SourceEnded, 0.01) == [ReadNext(restart=True)]
    assert story.image(0.02) == [('wait', 0.1)]
    assert story.tell(Woken, 0.1)[0] == ReadNext(), 'not from the beginning again'
    assert story.tell(SourceEnded, 0.2, '1 of 2 images') == [ReadNext(restart=True)]
    assert story.report(0.3).level == 'warning'
    assert story.report(0.3).message == 'running: ended early: 1 of 2 images'


@pytest.mark.parametrize('event, words', [
    ((SourceEnded,), 'no images any more'), ((SourceFailed, 'clip.mp4 is gone'), 'is gone')])
def test_a_loop_waits_for_its_files_to_come_back(event, words):
    story = Story(loop=True, on_end='exit', reconnect_initial=0.5)
    story.tell(Activated, 0.0)
    story.image(0.0)
    story.tell(SourceEnded, 1.0)
    kind, *values = event
    assert story.tell(kind, 1.0, *values) == [('wait', 1.5)]
    report = story.report(1.2)
    assert report.level == 'warning' and report.message.startswith('lost: ')
    assert words in report.message
    assert story.tell(Woken, 1.5) == [ReadNext(restart=True)]
    assert story.tell(kind, 1.5, *values) == [('wait', 2.5)], 'twice as long'
    story.tell(Woken, 2.5)
    assert story.image(2.6) == [ReadNext, Publish]
    assert story.report(3.0).message == 'running'


# Listeners


def test_a_recording_waits_for_its_subscribers():
    story = Story(wait_for_subscribers=2)
    assert story.tell(Activated, 0.0) == []
    assert 'waiting for 2 subscription(s)' in story.warnings[0].text
    assert story.report(0.1).level == 'warning' and story.report(0.1).message == 'waiting'
    assert story.tell(Listeners, 1.0, 1) == []
    assert story.tell(Listeners, 2.0, 2) == [('wait', 2.5)], 'until they really receive'
    assert story.tell(Listeners, 2.1, 1) == [('wait', None)], 'one left'
    assert story.tell(Listeners, 3.0, 3) == [('wait', 3.5)]
    assert story.tell(Listeners, 3.2, 2) == []
    assert story.tell(Woken, 3.5) == [ReadNext()]
    assert story.tell(Listeners, 4.0, 0) == [], 'once it runs it goes on'
    assert story.report(5.0).values['subscriptions'] == 0


def test_waiting_ends_when_nobody_is_waited_for_any_more():
    story = Story(wait_for_subscribers=2)
    story.tell(Activated, 0.0)
    assert story.change(1.0, wait_for_subscribers=0) == [ReadNext]


# Live sources that drop


def test_a_silent_stream_is_opened_again_ever_more_rarely():
    story = Story('rtsp://camera', stream_timeout=2.0, reconnect_initial=0.5,
                  reconnect_maximum=3.0)
    now, pauses = 0.0, []
    assert story.tell(Activated, now) == [OpenSource(story.parameters), ('wait', 2.0)]
    for _ in range(5):
        now += 2.0
        closed, (_, again) = story.tell(Woken, now)
        assert closed == CloseSource()
        assert story.report(now).level == 'error'
        assert story.report(now).message == 'lost: no image for 2 s'
        pauses.append(round(again - now, 6))
        now = again
        assert story.kinds(story.tell(Woken, now)) == [OpenSource, ('wait', now + 2.0)]
        assert story.report(now).message == 'opening'
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert story.report(now).values['reconnects'] == 0, 'it never worked'
    story.image(now)
    assert ('wait', now + 1.5) in story.tell(SourceFailed, now + 1.0, 'unplugged'), 'short again'


@pytest.mark.parametrize('event, words', [
    ((SourceEnded,), 'lost: the stream ended'), ((SourceFailed, 'unplugged'), 'lost: unplugged')])
def test_a_dropped_stream_is_opened_again_and_counted(event, words):
    story = Story('rtsp://camera', reconnect_initial=0.5)
    story.tell(Activated, 0.0)
    assert story.image(1.0) == [Publish, ('wait', 6.0)]
    assert story.report(1.0).message == 'running'
    kind, *values = event
    assert story.tell(kind, 2.0, *values) == [CloseSource(), ('wait', 2.5)]
    assert story.report(2.1).message == words
    assert story.tell(Woken, 2.5)[0] == OpenSource(story.parameters)
    story.image(3.0)
    assert story.report(3.1).values['reconnects'] == 1


def test_a_reconnect_opens_the_source_that_was_configured():
    story = Story('rtsp://camera')
    configured = story.parameters
    story.tell(Activated, 0.0)
    story.change(1.0, source='rtsp://other', stream_timeout=9.0)
    story.tell(SourceFailed, 2.0, 'unplugged')
    assert story.tell(Woken, 2.5) == [OpenSource(configured), ('wait', 7.5)]
    assert story.report(3.0).values['source'] == 'rtsp://camera'


def test_a_live_source_is_left_when_the_node_is_deactivated():
    story = Story('rtsp://camera')
    story.tell(Activated, 0.0)
    story.image(1.0)
    assert story.tell(Deactivated, 2.0) == [CloseSource(), ('wait', None)]
    assert story.image(2.1) == [], 'one that was on its way'
    story.tell(Activated, 3.0)
    story.image(4.0)
    assert story.report(5.0).values['reconnects'] == 0, 'it was not lost'


@pytest.mark.parametrize('source', ['clip.mp4', 'rtsp://front/1'])
def test_images_that_the_transport_has_no_room_for_are_said_once(source):
    story = Story(source, largest=1_000_000)
    story.tell(Activated, 0.0)
    story.image(0.1, np.zeros((500, 500, 4), np.uint8))
    assert not story.warnings and story.report(0.15).level == 'ok'
    for time in 0.2, 0.3:
        story.image(time, np.zeros((800, 600, 3), np.uint8))
        story.tell(Woken, time)
    warning, = story.warnings
    assert 'images of 1.4 MB: the transport has room for 1.0 MB' in warning.text
    report = story.report(0.3)
    assert report.level == 'warning' and 'images of 1.4 MB' in report.message


def test_the_rate_that_is_reported():
    story = Story('rtsp://camera')
    story.tell(Activated, 0.0)
    for index in range(31):
        story.image(index / 10)
    assert story.report(3.0).values['rate'] == 10.0
    assert story.report(9.0).values['rate'] == 0.0, 'none came lately'
