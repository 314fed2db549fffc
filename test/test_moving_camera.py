"""Targets that jump, cameras that shake: patches of noise before a world of noise."""
from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.tracking import camera_motion
from acme_tracking.tracking.track import State
from acme_tracking.tracking.tracker import MultiObjectTracker
from acme_tracking.tracking.visual import make_tracker, start_all, update_all
import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 480, 320
SIDE = 40


def noise(seed, width, height, blur=3):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(image, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)


WORLD = noise(0, 1200, 900)
PATCH = noise(1, SIDE, SIDE) // 2 + np.array([90, 20, 0], np.uint8)


def view(camera=(300, 300), objects=()):
    """Return what the camera sees whose first pixel is that of the world; objects in the world."""
    world = WORLD.copy()
    for x, y in objects:
        world[y:y + SIDE, x:x + SIDE] = PATCH
    return world[camera[1]:camera[1] + HEIGHT, camera[0]:camera[0] + WIDTH]


def box_of(place, camera=(300, 300)):
    x, y = place[0] - camera[0], place[1] - camera[1]
    return np.array([x, y, x + SIDE, y + SIDE], np.float32)


def overlap(box, place, camera=(300, 300)):
    return geometry.iou(box, box_of(place, camera))[0, 0]


def started(*places):
    """Return correlation trackers on objects that stood still for some images."""
    trackers = [make_tracker('correlation') for _ in places]
    start_all(trackers, view(objects=places), [box_of(place) for place in places])
    for _ in range(4):
        update_all(trackers, view(objects=places))
    return trackers


@pytest.mark.parametrize('jump', [(62, 0), (0, -62), (58, 58), (-62, 30)])
def test_a_target_that_jumps_is_found_again(jump):
    place = 500, 440
    tracker, = started(place)
    place = place[0] + jump[0], place[1] + jump[1]
    box, confidence = tracker.update(view(objects=[place]))
    assert overlap(box, place) > 0.7 and confidence > 0.3


def test_it_is_not_looked_for_where_another_object_sits():
    """One of two equal objects vanishes: its tracker takes the other, unless that is known."""
    gone, other = (500, 440), (560, 440)
    image = view(objects=[other])
    alone, = started(gone)
    assert overlap(alone.update(image)[0], other) > 0.7
    (box, confidence), (rest, _) = update_all(started(gone, other), image)
    assert overlap(rest, other) > 0.7
    assert overlap(box, other) == 0 and confidence < 0.5
    (box, confidence), = update_all(started(gone), image, others=[box_of(other)])
    assert overlap(box, other) == 0 and confidence < 0.5


def shaken(index):
    """Return where the camera is: it jumps by up to two sizes of an object."""
    rng = np.random.default_rng(index)
    return 300 + int(rng.integers(-40, 41)), 300 + int(rng.integers(-40, 41))


def follow_shaken(count):
    place, boxes = (530, 440), []
    tracker = make_tracker('correlation')
    tracker.start(view(shaken(0), [place]), box_of(place, shaken(0)))
    for index in range(1, count):
        box, _ = tracker.update(view(shaken(index), [place]))
        assert overlap(box, place, shaken(index)) > 0.6, index
        boxes.append(box)
    return np.array(boxes)


def test_a_camera_that_shakes_does_not_shake_a_target_off():
    follow_shaken(20)


def test_it_is_the_same_every_time():
    np.testing.assert_array_equal(follow_shaken(8), follow_shaken(8))


def test_a_face_that_fills_the_picture_is_not_moved_by_the_background():
    """It keeps its place, soon hard to tell, while what is behind it jumps to and fro."""
    face, other = noise(2, 300, 240), noise(3, 300, 240)
    tracker, box = make_tracker('correlation'), [90, 40, 390, 280]
    for index in range(24):
        image = view((300 + 90 * (index % 2), 300 - 36 * (index % 2))).copy()
        share = 1 if index < 4 else 0.33
        image[40:280, 90:390] = cv2.addWeighted(face, share, other, 1 - share, 0)
        if index:
            found, confidence = tracker.update(image)
            assert geometry.iou(found, box)[0, 0] > 0.75, index
        else:
            tracker.start(image, box)
    assert confidence < 0.7


def panning(index):
    return 300 + 9 * index, 300 + 3 * index


def stamp_of(index):
    return 1 + index * 33_000_000


def test_an_object_out_of_sight_stays_where_it_is_while_the_camera_pans():
    place, tracker = (620, 440), MultiObjectTracker()
    for index in range(20):
        hidden = index >= 10
        tracks = tracker.advance(stamp_of(index), view(panning(index), [] if hidden else [place]))
        if not index:
            tracker.correct(stamp_of(0), Detections([box_of(place, panning(0))], [0.9], ['car']))
    assert tracker.states() == {1: State.COASTING}
    assert overlap(tracks.confirmed.boxes[0], place, panning(19)) > 0.6


@pytest.mark.parametrize('missed', [False, True])
def test_an_object_that_is_back_in_sight_is_taken_unless_the_detector_missed_it(missed):
    place, tracker = (620, 440), MultiObjectTracker()
    for index in range(20):
        hidden = 8 <= index < 13
        tracker.advance(stamp_of(index), view(panning(index), [] if hidden else [place]))
        if not index:
            tracker.correct(stamp_of(0), Detections([box_of(place, panning(0))], [0.9], ['car']))
        if hidden and missed:
            tracker.correct(stamp_of(index), Detections.empty())
        if hidden:
            assert tracker.states() == {1: State.COASTING}
    assert tracker.states() == {1: State.COASTING if missed else State.CONFIRMED}


def test_a_late_detection_is_brought_to_the_present_of_a_camera_that_pans():
    """As late as 9 images, in which the picture moves by three sizes; then it is lost at once."""
    def camera(index):
        return 200 + 15 * index, 330

    place, tracker = (560, 440), MultiObjectTracker()
    for index in range(10):
        tracker.advance(stamp_of(index), view(camera(index), [place]))
    tracker.correct(stamp_of(0), Detections([box_of(place, camera(0))], [0.9], ['car']))
    tracks = tracker.advance(stamp_of(10), view(camera(10)))
    assert tracker.states() == {1: State.COASTING}
    assert overlap(tracks.confirmed.boxes[0], place, camera(10)) > 0.6


def test_no_picture_is_made_when_there_is_nothing_to_follow(monkeypatch):
    monkeypatch.setattr(camera_motion, '_reduced', lambda image: pytest.fail('computed'))
    tracker = MultiObjectTracker()
    for index in range(3):
        tracker.advance(stamp_of(index), view(panning(index)))
        tracker.correct(stamp_of(index), Detections.empty())
