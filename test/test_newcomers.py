"""Something moves that no track explains: known pictures, in which squares move."""
from acme_tracking.tracking.camera_motion import CameraMotion
from acme_tracking.tracking.newcomers import Newcomers
import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 640, 360
GROUND = cv2.resize(np.random.default_rng(0).integers(40, 216, (45, 80, 3), dtype=np.uint8),
                    (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
STANDS = CameraMotion(grade=1.0)


def picture(square=None, ground=GROUND, side=40):
    """Return the ground with a bright square whose upper left corner is (x, y)."""
    image = ground.copy()
    if square is not None:
        x, y = square
        image[y:y + side, x:x + side] = 250
    return image


def box_of(square, side=40):
    x, y = square
    return [x, y, x + side, y + side]


def seen(images, motion=STANDS, boxes=((),) * 100):
    newcomers, said = Newcomers(), []
    for image, followed in zip(images, boxes):
        newcomers.look(image, motion, followed)
        said.append(newcomers.are_seen)
    return said


WAY = [(100 + 12 * step, 150) for step in range(6)]


def test_what_moves_is_seen_on_the_second_image_on_which_it_does():
    assert seen(map(picture, WAY)) == [False, False, True, True, True, True]


def test_a_picture_in_which_nothing_moves_shows_nobody():
    rng = np.random.default_rng(1)
    noisy = [np.clip(GROUND + rng.normal(0, 6, GROUND.shape), 0, 255).astype(np.uint8)
             for _ in range(6)]
    assert not any(seen(noisy)) and not any(seen([picture(WAY[0])] * 6))


def test_what_a_track_explains_is_nobody_new_and_what_is_beside_it_is():
    boxes = [[box_of(square)] for square in WAY]
    assert not any(seen(map(picture, WAY), boxes=boxes))
    both = [picture((square[0], 40), picture(square)) for square in WAY]
    assert any(seen(both, boxes=boxes))


def test_the_motion_of_the_camera_is_taken_out():
    wide = cv2.resize(GROUND, (2 * WIDTH, HEIGHT))
    views = [np.ascontiguousarray(wide[:, 9 * step:9 * step + WIDTH]) for step in range(6)]
    pans = CameraMotion(shift=-9, grade=1.0)
    assert any(seen(views)), 'else this picture would tell nothing'
    assert not any(seen(views, pans))
    walked = [picture(square, view) for square, view in zip(WAY, views)]
    assert any(seen(walked, pans))
    turn = np.exp(0.02j)
    matrix = np.array([[turn.real, -turn.imag, 3], [turn.imag, turn.real, -2]])
    turned = [GROUND]
    for _ in range(4):
        turned.append(cv2.warpAffine(turned[-1], matrix, (WIDTH, HEIGHT),
                                     borderMode=cv2.BORDER_REFLECT))
    assert not any(seen(turned, CameraMotion(turn, 3 - 2j, 1.0)))


def test_a_motion_of_the_camera_that_is_not_known_says_nothing():
    assert not any(seen(map(picture, WAY), CameraMotion()))


def test_what_was_seen_before_the_camera_was_lost_counts_no_more():
    newcomers = Newcomers()
    for square, motion in zip(WAY[:4], (STANDS, STANDS, CameraMotion(), STANDS)):
        newcomers.look(picture(square), motion, ())
        assert not newcomers.are_seen
    newcomers.look(picture(WAY[4]), STANDS, ())
    assert newcomers.are_seen


def test_what_goes_on_in_one_place_is_learned():
    """Leaves that swing by 6 pixels, now and then in step with the images."""
    leaves = cv2.resize(np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8),
                        (120, 80))
    images = []
    for index in range(80):
        image = GROUND.copy()
        shift = round(6 * np.sin(1.9 * index))
        image[100:180, 400:480] = leaves[:, 20 + shift:100 + shift]
        images.append(image)
    said = seen(images)
    assert any(said[:10]) and not any(said[40:])


@pytest.mark.parametrize('scale', [0.25, 3])
def test_sizes_of_images_and_grey_ones(scale):
    images = [cv2.resize(cv2.cvtColor(picture(square), cv2.COLOR_BGR2GRAY), None, fx=scale,
                         fy=scale, interpolation=cv2.INTER_AREA) for square in WAY]
    assert seen(images)[2:] == [True] * 4
    assert seen([images[0], cv2.resize(images[1], (64, 64)), images[2]]) == [False] * 3
