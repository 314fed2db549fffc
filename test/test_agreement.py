"""How well a box fits an object, judged by looks."""
from acme_tracking.tracking.visual.agreement import Agreement
import cv2
import numpy as np
import pytest

IMAGE = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 4)
BOX = np.array([100, 80, 160, 120], np.float32)


@pytest.fixture
def agreement():
    """Give the looks of a box of noise."""
    return Agreement(IMAGE, BOX)


def test_the_box_it_was_made_with_fits(agreement):
    assert agreement.quality(IMAGE, BOX) == pytest.approx(1, abs=1e-3)


def test_it_falls_with_the_distance_and_in_size(agreement):
    aside = [agreement.quality(IMAGE, BOX + [x, 0, x, 0]) for x in (0, 4, 10, 30)]
    assert aside[0] > aside[1] > aside[2] > aside[3] and aside[3] < 0.4
    larger = [agreement.quality(IMAGE, BOX + np.array([-x, -x, x, x])) for x in (0, 4, 8, 12)]
    assert larger[0] > larger[1] > larger[2] > larger[3]


@pytest.mark.parametrize('by', [(6, 0, 6, 0), (0, -4, 0, -4), (-7, -5, 7, 5), (6, 4, -6, -4)])
def test_a_miss_of_which_it_knows_the_looks_costs_about_its_overlap(agreement, by):
    box = BOX + np.array(by)
    x1, y1, x2, y2 = np.maximum(BOX, box)[:2].tolist() + np.minimum(BOX, box)[2:].tolist()
    shared, areas = (x2 - x1) * (y2 - y1), np.prod(box[2:] - box[:2]) + 60 * 40
    assert agreement.quality(IMAGE, box) == pytest.approx(shared / (areas - shared), abs=0.15)


def test_light_does_not_matter(agreement):
    assert agreement.quality(cv2.convertScaleAbs(IMAGE, alpha=0.5, beta=20), BOX) > 0.98


def test_nothing_agrees_with_a_blank(agreement):
    blank = np.full_like(IMAGE, 90)
    assert agreement.quality(blank, BOX) == 0
    assert Agreement(blank, BOX).quality(IMAGE, BOX) == 0


def test_another_object_does_not_fit(agreement):
    assert agreement.quality(IMAGE[::-1, ::-1], BOX) < 0.4


@pytest.mark.parametrize('box', [[-40, -40, 20, 10], [300, 200, 400, 300], [-500, -500, 900, 900],
                                 [50, 50, 51, 51]])
@pytest.mark.parametrize('grey', [False, True])
def test_any_box_and_grey_images(box, grey):
    image = IMAGE[:, :, 1] if grey else IMAGE
    box = np.array(box, np.float32)
    assert 0 <= Agreement(image, box).quality(image, box) <= 1


def test_it_learns_new_looks_slowly(agreement):
    other = np.ascontiguousarray(IMAGE[::-1])
    before = agreement.quality(other, BOX), agreement.quality(IMAGE, BOX)
    agreement.learn(other, BOX)
    after = agreement.quality(other, BOX), agreement.quality(IMAGE, BOX)
    assert after[0] > before[0] and 0.9 < after[1] < before[1]
    for _ in range(20):
        agreement.learn(other, BOX)
    assert agreement.quality(other, BOX) > 0.98
