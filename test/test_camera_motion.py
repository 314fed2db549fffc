"""The motion of the camera, on pictures of noise that are moved by a known similarity."""
from acme_tracking import geometry
from acme_tracking.tracking import camera_motion
from acme_tracking.tracking.camera_motion import Camera, CameraMotion, STILL
from acme_tracking.tracking.motion import fit_motion
import cv2
import numpy as np
import pytest

SIZE = 640, 360
BOX = np.array([[260, 140, 360, 220]], np.float32)


def texture(seed, size=SIZE):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def seen(image, turn, shift):
    """Return what a camera sees of an image after it moved."""
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(image, matrix.astype(float), SIZE, borderMode=cv2.BORDER_REFLECT)


def motion_between(before, after, boxes=BOX):
    camera = Camera()
    camera.advance(before, boxes)
    camera.advance(after, boxes)
    return camera.motion


@pytest.mark.parametrize('turn, shift', [
    (1, 0), (1, 25 - 12j), (1.05, -16 - 9j), (np.exp(0.06j), 12 - 18j)])
@pytest.mark.parametrize('grey', [False, True])
def test_a_similarity_is_found(turn, shift, grey):
    before = texture(0)
    after = seen(before, complex(turn), complex(shift))
    if grey:
        before, after = before[..., 0], after[..., 0]
    motion = motion_between(before, after)
    corners = np.array([[40, 40], [600, 40], [40, 320], [600, 320]], np.float32)
    expected = CameraMotion(turn, shift).points(corners)
    np.testing.assert_allclose(motion.points(corners), expected, atol=1.0)
    assert motion.grade > 0.8


def test_what_an_object_does_is_not_the_camera():
    """An object of half the picture moves; its box is known."""
    before, moved = texture(0), seen(texture(1), 1, 20)
    box = [120, 30, 520, 330]
    after = seen(before, 1, -6j)
    before[30:330, 120:520] = texture(1)[30:330, 120:520]
    after[30:330, 140:540] = moved[30:330, 140:540]
    motion = motion_between(before, after, [box])
    assert abs(motion.shift - -6j) < 1 and abs(motion.turn - 1) < 0.01


def test_no_texture_tells_nothing():
    grey = np.full((360, 640, 3), 128, np.uint8)
    assert motion_between(grey, grey) == STILL
    assert motion_between(texture(0), grey).grade < 0.2
    assert motion_between(texture(0), texture(1)).grade < 0.3, 'another place'
    assert motion_between(texture(0), texture(0, (320, 200))) == STILL


def test_nothing_is_computed_when_there_is_nothing_to_follow(monkeypatch):
    def refuse(*_):
        raise AssertionError('computed')
    camera = Camera()
    monkeypatch.setattr(camera_motion, '_reduced', refuse)
    for seed in range(3):
        camera.advance(texture(seed), [])
        assert camera.motion == STILL


def test_the_motion_is_computed_only_when_asked_for_and_once(monkeypatch):
    asked = []
    monkeypatch.setattr(camera_motion, '_estimate', lambda *_: asked.append(1) or STILL)
    camera = Camera()
    for seed in range(3):
        camera.advance(texture(seed), BOX)
    assert not asked
    assert camera.motion is camera.motion is STILL and len(asked) == 1


def test_it_is_the_same_every_time():
    before, after = texture(0), seen(texture(0), 1.02 + 0.01j, 5 - 3j)
    assert motion_between(before, after) == motion_between(before, after)


def test_motions_add_up():
    first, second = CameraMotion(1.1j, 3 - 2j, 0.9), CameraMotion(0.8 + 0.1j, -7 + 5j, 0.6)
    boxes = np.array([[0, 0, 10, 20], [50, 60, 90, 80]], np.float32)
    both = second.after(first)
    centers = geometry.centers(boxes)
    np.testing.assert_allclose(both.points(centers), second.points(first.points(centers)),
                               atol=1e-4)
    np.testing.assert_allclose(both.boxes(boxes), second.boxes(first.boxes(boxes)), atol=1e-4)
    assert both.grade == 0.6


def test_a_velocity_is_that_of_the_object_not_of_the_camera():
    """A parked car, seen from a camera that pans and zooms, is predicted where it stands."""
    steps = [CameraMotion(1.01 + 0.01j, complex(3 * index, -index), 1.0) for index in range(9)]
    box, boxes = BOX, []
    for step in steps:
        box = step.boxes(box)
        boxes.append(box[0])
    stamps = [int(index * 1e8) for index in range(9)]
    motion = fit_motion(stamps, boxes, np.ones(9), steps)
    assert abs(motion.velocity) < 1e-2
    np.testing.assert_allclose(motion.predict(stamps[-1] + 10 ** 9), boxes[-1], atol=0.1)
    later = CameraMotion(0.9 - 0.1j, 40 + 7j, 1.0)
    np.testing.assert_allclose(motion.seen_after(later).predict(stamps[-1] + 10 ** 9),
                               later.boxes(boxes[-1])[0], atol=0.2)
    blind = fit_motion(stamps, boxes, np.ones(9))
    assert abs(blind.velocity) > 10
