"""The tracker node without ROS: events with made-up times in, actions out."""
from dataclasses import replace

from acme_tracking.detections import Detections
from acme_tracking.sessions.events import (
    Answered,
    Cancel,
    Configured,
    DetectionsArrived,
    DetectorSeen,
    ImageArrived,
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
from acme_tracking.sessions.tracking import STALE_IMAGES, TrackerParameters, TrackingSession
from acme_tracking.tracking.track import State
import numpy as np
import pytest

SECOND = 1_000_000_000
PERIOD = SECOND // 10
START = 5 * SECOND  # of the clock; stamps are on another one
TEXTURE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
CAR = Detections([[50, 40, 100, 80]], [0.9], ['car'])


def at(index):
    return START + index * PERIOD


class Story:
    """Tells a session what happens; `index` counts images at ten a second, stamped from 1 s on."""

    def __init__(self, first_id=1, **changes):
        values = {'tracker': 'correlation', 'newcomers_interval': 100.0, **changes}
        self.session = TrackingSession(TrackerParameters(**values), START, first_id)
        self.index = 0

    def on(self, event):
        return self.session.on(event)

    def image(self, index=None, image=TEXTURE):
        """Let the next image (or the one of an index) come; return the actions."""
        self.index = self.index + 1 if index is None else index
        actions = self.on(ImageArrived(at(self.index), SECOND + self.index * PERIOD, image))
        if any(isinstance(action, PublishTracks) for action in actions):
            actions += self.on(TracksPublished(at(self.index)))
        return actions

    def images(self, count):
        return [action for _ in range(count) for action in self.image()]

    def detections(self, index, found=CAR, time=None):
        return self.on(DetectionsArrived(at(self.index) if time is None else time,
                                         SECOND + index * PERIOD, found))

    def detector(self, present=True):
        return self.on(DetectorSeen(at(self.index), present))

    def answer(self, ticket, success=True, message=''):
        return self.on(Answered(at(self.index), ticket, success, message))

    def tick(self, seconds=0.0):
        """Return what is reported so many seconds after the last image."""
        report, = self.on(Tick(at(self.index) + int(seconds * SECOND)))
        assert isinstance(report, Report)
        return report

    def tracks(self):
        """Return the confirmed tracks on the next image."""
        return only(PublishTracks, self.image()).confirmed


def only(kind, actions):
    found = [action for action in actions if isinstance(action, kind)]
    assert len(found) == 1, actions
    return found[0]


def texts(actions):
    return [action.text for action in actions if isinstance(action, Warn)]


def kinds(actions):
    return [type(action) for action in actions]


# Images


def test_every_image_is_answered_by_tracks_also_when_there_are_none():
    story = Story()
    published = only(PublishTracks, story.image())
    assert published.stamp == SECOND + PERIOD
    assert len(published.confirmed) == len(published.tentative) == 0


def test_a_late_detection_is_a_track_on_the_present_image():
    story = Story()
    story.images(5)
    assert story.detections(2) == []
    tracks = story.tracks()
    assert tracks.ids.tolist() == [1] and tracks.labels.tolist() == ['car']
    np.testing.assert_allclose(tracks.boxes, CAR.boxes, atol=2)


def test_ids_begin_where_the_session_before_ended():
    story = Story(first_id=41)
    story.image()
    story.detections(1)
    assert story.tracks().ids.tolist() == [41]
    assert story.session.tracker.next_id == 42


def test_an_image_that_is_not_newer_is_counted_and_many_are_said_once():
    story = Story()
    story.images(3)
    assert story.image(index=3) == story.image(index=2 + 1) == []
    said = [text for _ in range(30) for text in texts(story.image(index=3))]
    assert said == [f'the stamps of the images do not increase: {STALE_IMAGES} in a row were not '
                    'later than 1.300 s, the last had 1.300 s; they are not tracked']
    report = story.tick()
    assert (report.level, report.message) == (
        'warning', 'the stamps of the images do not increase')
    assert report.values['out_of_order_images'] == 32 and report.values['images'] == 3
    story.image(index=4)
    assert story.tick().level == 'ok'


def test_time_that_jumps_back_starts_anew_with_other_ids():
    story = Story()
    story.detector()
    request = only(Request, story.images(10))
    story.detections(9)
    assert len(story.tracks())
    actions = story.image(index=1)
    assert texts(actions) == ['time jumped back by 1.000 s: all tracks are reset']
    assert only(Cancel, actions).ticket == request.ticket
    assert len(only(PublishTracks, actions).confirmed) == 0
    story.detections(1)
    assert story.tracks().ids.tolist() == [2]


def test_a_skipped_image_is_not_tracked_but_a_detection_may_speak_about_it():
    story = Story()
    story.image()
    assert story.on(ImageSkipped(at(2), SECOND + 2 * PERIOD, TEXTURE)) == []
    story.image(index=3)
    story.detections(2)
    assert len(story.tracks()) == 1
    report = story.tick()
    assert (report.values['skipped_images'], report.values['images']) == (1, 3)


def test_what_is_no_image_is_refused_and_said_now_and_then():
    story = Story()
    assert texts(story.image(image=np.zeros((0, 4), np.uint8)))[0].startswith(
        'refused images: image must be uint8')
    assert story.on(Refused(at(2), 'images', 'no data')) == []
    assert texts(story.on(Refused(at(80), 'images', 'no data'))) == ['refused images: no data']
    assert texts(story.on(Refused(at(80), 'detections', 'no box'))) == [
        'refused detections: no box']
    report = story.tick()
    assert report.values['refused_images'] == 3 and report.values['refused_detections'] == 1


def test_a_score_that_is_not_worth_telling_is_not_published():
    story = Story(tracker='centroid', max_coast=1.0, minimum_score=0.055)
    story.image()
    story.detections(1)
    scores = [tracks.scores.tolist() for tracks in (story.tracks() for _ in range(9))]
    assert all(score > 0.055 for row in scores for score in row)
    assert len(scores[0]) == 1 and scores[-1] == []
    assert story.session.tracker.count(State.COASTING) == 1, 'followed on, and may come back'


# Detections that are early, late, repeated, or of nothing


def followed(story):
    """Return how many objects are followed after two more images."""
    story.image()
    return len(story.tracks())


def test_a_detection_older_than_the_buffer_is_dropped_and_said_once():
    story = Story(buffer_seconds=0.5)
    story.images(20)
    said = texts(story.detections(3)) + texts(story.detections(4))
    assert len(said) == 1 and 'older than all images of the last buffer_seconds = 0.5 s' in said[0]
    assert followed(story) == 0
    assert story.tick().values['detections.older_than_buffer'] == 2


def test_a_detection_of_an_image_that_never_came_is_dropped():
    story = Story()
    story.images(3)
    story.image(index=6)
    assert 'the stamp of no image that came here' in texts(story.detections(4))[0]
    assert followed(story) == 0
    assert story.tick().values['detections.of_unknown_images'] == 1


def test_a_detection_that_overtakes_its_image_waits_for_it():
    story = Story()
    story.image()
    assert story.detections(3) == []
    assert len(story.tracks()) == 0
    assert len(story.tracks()) == 0, 'its tracks are out before the detection is fused'
    assert len(story.tracks()) == 1


def test_early_detections_wait_each_for_its_own_image_and_not_for_each_other():
    story = Story()
    story.image()
    story.detections(9)
    story.detections(2)
    assert followed(story) == 1, 'image 2 has come, whatever image 9 does'


def test_a_detection_far_ahead_of_the_images_is_dropped_and_keeps_nothing_waiting():
    story = Story()
    story.image()
    assert 'ahead of the images' in texts(story.detections(36_000))[0]
    story.detections(2)
    assert followed(story) == 1
    assert story.tick().values['detections.ahead_of_images'] == 1
    story.on(Reset(at(9)))
    story.image()
    story.detections(36_000)
    story.image(index=36_000)
    assert followed(story) == 0, 'gone, also when its stamp comes'


def test_an_early_detection_whose_image_never_comes_is_dropped_when_a_later_one_does():
    story = Story()
    story.image()
    story.detections(3)
    assert 'no image that came here' in texts(story.image(index=5))[0]
    assert followed(story) == 0


def test_an_answer_that_is_repeated_or_old_is_no_second_miss():
    story = Story(max_missed=0.3)
    story.image()
    story.detections(1)
    story.images(4)
    nothing = Detections.empty()
    for _ in range(3):
        story.detections(4, nothing)
    story.detections(2, nothing)
    story.detections(3, nothing)
    assert story.session.tracker.count(State.CONFIRMED) == 1
    story.detections(5, nothing)
    assert story.session.tracker.count(State.COASTING) == 1, 'a second run that does not see it'


def weaker(score):
    return Detections(CAR.boxes, [score], CAR.labels)


def test_weak_detections_do_not_make_a_sure_track_however_sure_the_visual_tracker_is():
    story = Story()
    story.image()
    story.detections(1, weaker(0.36))
    assert story.tracks().scores[0] == pytest.approx(0.72, abs=0.03)
    for _ in range(10):
        story.detections(story.index, weaker(0.36))
        assert story.tracks().scores[0] < 0.75
    for _ in range(12):
        story.detections(story.index, weaker(0.9))
        scores = story.tracks().scores
    assert scores[0] > 0.95


def test_a_detector_that_runs_often_is_not_believed_sooner_that_an_object_is_gone():
    """What counts is for how long it was missed, not how often."""
    scores = []
    for every in (1, 4):
        story = Story(max_missed=100.0)
        story.image()
        story.detections(1)
        for _ in range(12):
            story.image()
            if story.index % every == 1 or every == 1:
                story.detections(story.index, Detections.empty())
        scores.append(float(story.tracks().scores[0]))
        assert story.session.tracker.count(State.CONFIRMED) == 1
    assert scores[0] == pytest.approx(scores[1], abs=0.02) and 0.75 < scores[0] < 0.95


def test_an_object_that_is_missed_for_long_coasts_after_two_runs_at_least():
    story = Story(max_missed=0.5)
    story.image()
    story.detections(1)
    for _ in range(4):
        story.image()
        story.detections(story.index, Detections.empty())
    assert story.session.tracker.count(State.CONFIRMED) == 1, 'missed for 0.4 s only'
    story.image()
    story.detections(story.index, Detections.empty())
    assert story.session.tracker.count(State.COASTING) == 1
    story = Story(max_missed=0.5)
    story.image()
    story.detections(1)
    story.images(9)
    story.detections(story.index, Detections.empty())
    assert story.session.tracker.count(State.CONFIRMED) == 1, 'missed once only'


def test_a_detection_that_a_later_run_does_not_confirm_is_not_believed_at_once():
    story = Story()
    story.images(6)
    story.detections(5, Detections.empty())
    story.detections(2)
    published = only(PublishTracks, story.image())
    assert len(published.confirmed) == 0 and len(published.tentative) == 1


def test_nothing_from_before_a_reset_is_fused_after_it():
    story = Story()
    story.images(5)
    story.detections(5)
    assert len(story.tracks()) == 1
    story.on(Reset(at(6)))
    story.detections(6)
    story.images(2)
    assert followed(story) == 0
    story.detections(story.index)
    assert story.tracks().ids.tolist() == [2]


def test_no_more_than_max_tracks_of_the_best_are_followed():
    story = Story(max_tracks=3)
    x = np.arange(10, dtype=np.float32)[:, np.newaxis] * 15
    boxes = x * [1, 0, 1, 0] + [2, 20, 12, 40]
    story.image()
    story.detections(1, Detections(boxes, np.linspace(0.5, 0.95, 10), ['car'] * 10))
    assert story.tracks().boxes[:, 0].round(-1).tolist() == [110.0, 120.0, 140.0]
    story.detections(2, Detections(boxes, np.linspace(0.95, 0.5, 10), ['car'] * 10))
    assert story.session.tracker.count(State.CONFIRMED) == 3
    assert story.tick().values['objects_beyond_max_tracks'] == 7 + 7 + 3


# Detection on demand


def test_without_a_detector_nothing_is_asked_and_after_a_while_it_is_missed_once():
    story = Story()
    early = story.images(100)
    assert Request not in kinds(early) and texts(early) == []
    late = story.images(300)
    assert texts(late) == ['the detector is not there: tracking goes on without it (said once)']
    assert story.tick().message == 'tracking without a detector'
    story.detector()
    request = only(Request, story.images(6))
    assert request.reason == 'nothing_to_track'
    assert texts(story.answer(request.ticket)) == ['the detector answers again']
    assert story.tick().level == 'ok'


def test_a_detector_that_works_by_itself_is_not_missed():
    story = Story()
    for _ in range(400):
        assert texts(story.image()) == []
        story.detections(story.index)
    assert story.tick().level == 'ok'


def test_one_request_at_a_time():
    story = Story(minimum_interval=0.0)
    story.detector()
    first = only(Request, story.image())
    assert (first.reason, first.urgent) == ('nothing_to_track', True)
    assert Request not in kinds(story.images(5))
    assert story.answer(first.ticket) == []
    second = only(Request, story.image())
    assert second.ticket != first.ticket


def test_a_request_without_an_answer_is_cancelled_and_its_late_answer_counts_for_nothing():
    story = Story(request_timeout=1.0, minimum_interval=0.0)
    story.detector()
    first = only(Request, story.image())
    assert Cancel not in kinds(story.images(9))
    actions = story.image()
    assert only(Cancel, actions).ticket == first.ticket
    second = only(Request, actions)
    assert story.answer(first.ticket) == [], 'late'
    assert Request not in kinds(story.image()), 'the second is still on its way'
    story.answer(second.ticket)
    assert only(Request, story.image())
    values = story.tick().values
    assert values['stale_answers'] == 1 and values['request_timeouts'] == 1
    assert values['requests.nothing_to_track'] == 3


def test_a_detector_that_is_silent_is_missed_once_when_it_had_answered_before():
    story = Story(request_timeout=1.0)
    story.detector()
    story.answer(only(Request, story.image()).ticket)
    said = texts(story.images(60))
    assert said == ['the detector does not answer within 1.0 s: tracking goes on without it '
                    '(said once)']


def test_a_detector_that_goes_is_not_waited_for():
    story = Story(request_timeout=100.0)
    story.detector()
    first = only(Request, story.image())
    assert story.detector(present=False) == [Cancel(first.ticket)]
    story.detector()
    assert only(Request, story.images(6)).ticket != first.ticket


def test_a_failed_answer_is_said_now_and_then():
    story = Story(minimum_interval=0.0)
    story.detector()
    said = []
    for _ in range(10):
        said += texts(story.answer(only(Request, story.image()).ticket, False, 'no image yet'))
    assert said == ['the detector could not serve a request: no image yet']


# Parameters and health


def test_a_live_change_is_used_from_the_next_image_on():
    story = Story(newcomers_interval=100.0)
    story.detector()
    story.image()
    story.detections(1)
    story.answer(1)
    assert Request not in kinds(story.images(20))
    story.on(Configured(at(21), replace(story.session.parameters, newcomers_interval=1.0)))
    request = only(Request, story.image())
    assert (request.reason, request.urgent) == ('newcomers_due', False)


def test_no_images_are_missed_after_the_usual_interval_and_not_before():
    story = Story()
    assert story.tick(1.0).level == 'ok', 'just begun'
    assert story.tick(3.0).message == 'no images'
    story.images(3)
    assert story.tick(1.9).level == 'ok' and story.tick(2.1).message == 'no images'
    story.image(index=30)
    story.image(index=60)
    assert story.tick(8.9).level == 'ok', 'a camera at one image in three seconds'
    assert story.tick(9.1).message == 'no images'


def test_a_sender_who_is_not_heard_is_named_once():
    story = Story()
    story.image()

    def tick(index):
        return story.on(Tick(at(index), ['/front/camera', '/other']))
    report, = tick(30)
    assert report.message == 'no images from /front/camera and /other'
    warning, report = tick(1202)
    assert report.message in warning.text and 'another user' in warning.text
    assert tick(1210) == [report], 'said before'
    story.image(index=1300)
    assert len(tick(1301)) == 1, 'heard'
    assert len(tick(6000)) == 2, 'silent once more'


@pytest.mark.parametrize('seed', range(3))
def test_the_same_events_give_the_same_actions(seed):
    def run():
        story, published = Story(), []
        chance = np.random.default_rng(seed)
        story.detector()
        for _ in range(25):
            shift = int(chance.integers(0, 4))
            actions = story.image(image=np.roll(TEXTURE, shift, axis=1))
            if chance.random() < 0.4:
                actions += story.detections(story.index - int(chance.integers(0, 6)))
            published += [(action.confirmed.boxes.tobytes(), action.confirmed.scores.tobytes())
                          for action in actions if isinstance(action, PublishTracks)]
        return published
    assert run() == run()
