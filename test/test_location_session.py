"""What the locator node does: exactly, with made-up times."""
from dataclasses import replace
import math

from acme_tracking.detections import Detections
from acme_tracking.positions.camera import Calibration, Mount
from acme_tracking.sessions.events import (
    CameraInfoArrived,
    Configured,
    DepthArrived,
    MountFound,
    PublishPositions,
    Refused,
    Report,
    Reset,
    Tick,
    TracksArrived,
    Warn,
)
from acme_tracking.sessions.location import LocationSession, LocatorParameters
import numpy as np
import pytest

SECOND = 10**9
CALIBRATION = Calibration(640, 360, 'plumb_bob', (500.0, 0, 320, 0, 500, 180, 0, 0, 1),
                          (0.0,) * 5)
# a car 15 m ahead, seen from 1.5 m above the ground
TRACKS = Detections([(290, 178, 350, 235)], [0.9], ['car'], [7])
DEPTH = np.full((360, 640), 13.6, np.float32)


class Story:
    """A session with what it did, and the time of the next event."""

    def __init__(self, calibrated=True, **parameters):
        self.parameters = LocatorParameters(**parameters)
        self.session, self.time = LocationSession(self.parameters, 0), 0
        self.tell(Configured(0, self.parameters))
        if calibrated:
            self.tell(CameraInfoArrived(0, CALIBRATION))

    def tell(self, *events):
        """Return the actions of all events."""
        return [action for event in events for action in self.session.on(event)]

    def tracks(self, stamp, tracks=TRACKS, time=None):
        """Return what tracks with a stamp, in seconds, bring about; they come at once."""
        stamp = round(stamp * SECOND)
        return self.tell(TracksArrived(stamp if time is None else time, stamp, tracks))

    def depth(self, stamp, depth=DEPTH, time=None):
        stamp = round(stamp * SECOND)
        return self.tell(DepthArrived(stamp if time is None else time, stamp, depth))

    def report(self, time):
        """Return what is said at a time, in seconds, and the report."""
        *said, report = self.tell(Tick(round(time * SECOND)))
        assert isinstance(report, Report)
        return [action.text for action in said], report


def published(actions):
    """Return the one thing that was published, beside which nothing was said."""
    action, = actions
    assert isinstance(action, PublishPositions)
    return action


def said(actions):
    """Return the one line that was said."""
    action, = actions
    assert isinstance(action, Warn)
    return action.text


def test_tracks_get_positions_with_their_stamp_and_ids():
    story = Story()
    action = published(story.tracks(1.0))
    assert (action.stamp, action.located, action.path_width) == (SECOND, True, 2.5)
    assert action.positions.ids.tolist() == [7] and action.positions.labels.tolist() == ['car']
    assert action.positions.states[0, :2] == pytest.approx([15, 0], abs=0.3)
    assert story.report(1.1) == ([], Report('ok', 'locating', {
        'source': 'ground', 'tracks': 1, 'out_of_order_tracks': 0, 'located': 1,
        'not_located': 0, 'depth_images': 0, 'tracks_without_depth': 0, 'refused_tracks': 0,
        'refused_camera_info': 0, 'refused_depth': 0}))


def test_the_same_events_give_the_same_positions():
    first, second = ([published(story.tracks(0.1 * index)).positions for index in range(5)]
                     for story in (Story(), Story()))
    assert all((a.states == b.states).all() for a, b in zip(first, second, strict=True))


def test_no_tracks_have_no_positions_but_are_told():
    assert len(published(Story().tracks(1.0, Detections.empty())).positions) == 0


def test_the_mount_of_the_parameters_counts_at_once():
    story = Story(camera_height=3.0, pitch_deviation=0.0)
    far = published(story.tracks(1.0)).positions.states[0, 0]
    lower = replace(story.parameters, camera_height=1.0)
    assert story.tell(Configured(SECOND, lower)) == []
    assert published(story.tracks(1.1)).positions.states[0, 0] < far - 3


# What is missing


def test_without_camera_info_there_is_nothing_and_it_is_said_once():
    story = Story(calibrated=False)
    assert story.tracks(1.0) == []
    assert story.report(2.0)[1].message == 'no camera_info'
    texts, report = story.report(6.0)
    assert texts == ['no positions: no camera_info'] and report.level == 'warning'
    assert story.report(7.0)[0] == []
    assert story.tell(CameraInfoArrived(7 * SECOND, CALIBRATION)) == []
    assert published(story.tracks(7.1)).located


@pytest.mark.parametrize('changes, words', [
    ({'matrix': (0.0,) * 9}, 'not calibrated'), ({'matrix': (-1.0,) + (0.0,) * 8}, 'focal'),
    ({'model': 'thin_prism'}, 'distortion_model'), ({'distortion': (math.nan,) * 5}, 'finite')])
def test_a_bad_calibration_is_said_once_and_leaves_only_times_to_contact(changes, words):
    story, bad = Story(calibrated=False), replace(CALIBRATION, **changes)
    assert words in said(story.tell(CameraInfoArrived(0, bad)))
    assert story.tell(CameraInfoArrived(1, bad)) == []
    action = published(story.tracks(1.0))
    assert not action.located and not action.positions.known.any()
    assert story.report(1.0)[1].message.startswith('camera_info is no use: ')
    assert story.tell(CameraInfoArrived(SECOND, CALIBRATION)) == []
    assert published(story.tracks(1.1)).positions.known.all()
    assert len(story.tell(CameraInfoArrived(SECOND, bad))) == 1


def test_camera_info_comes_with_every_image_and_changes_nothing():
    story = Story()
    story.tracks(1.0)
    assert story.tell(CameraInfoArrived(SECOND, replace(CALIBRATION))) == []
    nothing = Detections([(0, 0, 640, 360)], [0.9], ['car'], [7])
    assert published(story.tracks(1.1, nothing)).positions.known.all()  # it is remembered


def test_another_calibration_begins_anew():
    story = Story()
    near = published(story.tracks(1.0)).positions.states[0, 0]
    longer = replace(CALIBRATION, matrix=(1000.0, 0, 320, 0, 1000, 180, 0, 0, 1))
    story.tell(CameraInfoArrived(SECOND, longer))
    assert published(story.tracks(1.1)).positions.states[0, 0] > 1.5 * near


def test_tracks_without_ids_are_said_once():
    story, nameless = Story(), replace(TRACKS, ids=None)
    assert 'ids' in said(story.tracks(1.0, nameless))
    assert story.tracks(1.1, nameless) == []


def test_what_cannot_be_read_is_said_once_and_counted():
    story = Story()
    assert said(story.tell(Refused(0, 'depth', 'an encoding'))) == 'refused depth: an encoding'
    assert story.tell(Refused(1, 'depth', 'an encoding')) == []
    assert story.report(0.1)[1].values['refused_depth'] == 2


def test_silence_is_reported():
    story = Story()
    story.tracks(1.0)
    assert story.report(2.9)[1].message == 'locating'
    assert story.report(3.1)[1].message == 'no tracks'


# The transform


def test_with_tf_nothing_is_located_until_it_tells():
    story = Story(mount_from='tf')
    story.tell(MountFound(0, None, 'no frame base_link'))
    assert not published(story.tracks(1.0)).located
    assert story.report(2.0)[0] == []
    assert story.report(6.0)[0] == ['no positions: no transform to base_frame: no frame base_link']
    assert story.report(7.0)[0] == []
    story.tell(MountFound(7 * SECOND, Mount.from_angles(height=1.5)))
    assert published(story.tracks(7.1)).located


# Depth


def test_tracks_wait_for_the_depth_of_their_stamp():
    story = Story(source='depth')
    assert story.tracks(1.0) == []
    assert story.depth(0.9) == []
    action = published(story.depth(1.002))
    assert action.stamp == SECOND
    assert action.positions.states[0, 0] == pytest.approx(13.6 + 2.2, abs=0.3)
    assert story.depth(1.1) == []
    assert published(story.tracks(1.1)).stamp == round(1.1 * SECOND)


def test_depth_of_another_stamp_is_said_once_and_nothing_is_told():
    story = Story(source='depth')
    assert story.depth(1.04) == [] and story.tracks(1.0) == []
    texts, report = story.report(1.6)
    assert texts == ['no positions: no depth image has the stamp of the tracks, the nearest is '
                     '0.040 s off']
    assert report.values['tracks_without_depth'] == 1 and report.level == 'warning'
    assert story.tracks(1.7) == [] and story.report(2.3)[0] == []
    story.tracks(2.4)
    assert published(story.depth(2.4)).positions.known.all()
    assert story.report(2.5)[1].message == 'locating'
    story.tracks(2.6)
    assert len(story.report(3.2)[0]) == 1


def test_without_depth_images_it_is_said():
    story = Story(source='depth')
    assert story.tracks(1.0) == []
    assert story.report(1.6)[0] == ['no positions: no depth images']


def test_tracks_that_are_overtaken_are_given_up():
    story = Story(source='depth')
    story.tracks(1.0), story.tracks(1.1)
    assert [type(action) for action in story.depth(1.1)] == [Warn, PublishPositions]
    assert story.depth(1.0) == []


def test_depth_of_another_size_is_said_once_and_nothing_is_told():
    story, small = Story(source='depth'), DEPTH[:180, :320]
    story.tracks(1.0)
    assert '320 x 180 do not fit camera_info, 640 x 360' in said(story.depth(1.0, small))
    story.tracks(1.1)
    assert story.depth(1.1, small) == []
    story.tracks(1.2)
    assert published(story.depth(1.2)).positions.known.all()


@pytest.mark.parametrize('nothing', [math.nan, 0.0, math.inf])
def test_depth_without_depth_is_said_once_and_has_no_position(nothing):
    story, empty = Story(source='depth'), np.full_like(DEPTH, nothing)
    story.tracks(1.0)
    action, warning = story.depth(1.0, empty)
    assert not action.positions.known.any() and 'has no depth' in warning.text
    story.tracks(1.1)
    assert not published(story.depth(1.1, empty)).positions.known.any()
    story.tracks(1.2)
    assert published(story.depth(1.2)).positions.known.all()


# Time, and beginning anew


def test_time_that_goes_back_begins_anew_and_stamps_that_do_not_increase_are_passed_over():
    story = Story()
    story.tracks(5.0)
    assert story.tracks(5.0) == [] and story.tracks(4.95) == []
    warning, action = story.tracks(1.0, time=6 * SECOND)
    assert 'time jumped back by 4.000 s' in warning.text and action.stamp == SECOND
    assert story.report(6.0)[1].values['out_of_order_tracks'] == 2


def test_after_a_reset_objects_are_new():
    story = Story()
    nothing = Detections([(0, 0, 640, 360)], [0.9], ['car'], [7])
    story.tracks(1.0)
    assert published(story.tracks(1.1, nothing)).positions.known.all()
    story.tell(Reset(SECOND))
    assert not published(story.tracks(1.2, nothing)).positions.known.any()
