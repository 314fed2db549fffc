"""Augmented views: boxes stay on their objects."""
from acme_tracking.training.augmentation import (
    cover,
    FILL,
    KEPT_SHARE,
    KEPT_SIDE,
    mosaic,
    SMALL,
    view,
    worsen,
)
from acme_tracking.training.data import Sample
import numpy as np
import pytest


def marked(width=200, height=200):
    """Return a black sample with two bright rectangles, and boxes exactly around them."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    boxes = np.array([[30, 40, 70, 60], [120, 100, 150, 170]], dtype=np.float32)
    for x1, y1, x2, y2 in boxes.astype(int):
        image[y1:y2, x1:x2] = 255
    return Sample(image, boxes, np.array(['car', 'person']))


def known(sample):
    """Return the sample without its ignored boxes."""
    kept = ~sample.ignored
    return Sample(sample.image, sample.boxes[kept], sample.labels[kept])


def bright_share(sample):
    """Return how bright the inside of each box is, and the brightness outside of all boxes."""
    light = sample.image.astype(float).mean(axis=2)
    outside = np.ones(light.shape, dtype=bool)
    shares = []
    for x1, y1, x2, y2 in np.round(sample.boxes).astype(int):
        shares.append(light[y1:y2, x1:x2].mean())
        outside[max(y1 - 2, 0):y2 + 2, max(x1 - 2, 0):x2 + 2] = False
    return np.array(shares), light[outside]


@pytest.mark.parametrize('seed', range(25))
def test_a_view_keeps_boxes_on_their_objects(seed):
    seen = known(view(marked(), (160, 96), np.random.default_rng(seed)))
    assert seen.image.shape == (96, 160, 3)
    assert len(seen.boxes) == len(seen.labels)
    shares, _ = bright_share(seen)
    assert (shares > 110).all()  # under the weakest light white is still brighter than the fill
    assert (seen.boxes >= 0).all()
    assert (seen.boxes <= [160, 96, 160, 96]).all()
    assert ((seen.boxes[:, 2:] - seen.boxes[:, :2]) >= KEPT_SIDE).all()


@pytest.mark.parametrize('seed', range(10))
def test_a_calm_view_shows_the_whole_image(seed):
    seen = view(marked(), (96, 96), np.random.default_rng(seed), calm=True)
    assert seen.labels.tolist() == ['car', 'person']
    shares, outside = bright_share(seen)
    assert (shares > 200).all()
    assert outside.max() == 0


def test_a_view_of_a_large_image_is_averaged_and_not_sampled():
    noise = np.random.default_rng(0).normal(128, 40, (400, 400, 1)).clip(0, 255).repeat(3, axis=2)
    sample = Sample(noise.astype(np.uint8), np.zeros((0, 4), np.float32), np.array([]))
    seen = view(sample, (100, 100), np.random.default_rng(0), calm=True)
    assert seen.image.std() == pytest.approx(10, rel=0.1)  # the mean of 4 x 4 pixels


def test_flips_happen_and_move_the_boxes():
    views = [view(marked(), (200, 200), np.random.default_rng(seed), calm=True)
             for seed in range(20)]
    lefts = {float(seen.boxes[0, 0]) for seen in views}
    assert lefts == {30.0, 130.0}


@pytest.mark.parametrize('seed', range(10))
def test_a_mosaic_is_four_views(seed):
    sample = marked()
    seen = known(mosaic([sample] * 4, (256, 160), np.random.default_rng(seed)))
    assert seen.image.shape == (160, 256, 3)
    assert len(seen.boxes) <= 8
    assert (bright_share(seen)[0] > 110).all()


def test_what_a_crop_leaves_of_an_object_is_ignored_and_ignored_boxes_stay_so():
    sample = marked()
    sample = Sample(sample.image, sample.boxes, sample.labels, np.array([False, True]))
    slivers = 0
    for seed in range(200):
        seen = view(sample, (160, 96), np.random.default_rng(seed))
        assert seen.ignored[seen.labels == 'person'].all()
        assert (seen.boxes[:, 2:] > seen.boxes[:, :2]).all()
        slivers += np.sum(seen.ignored & (seen.labels == 'car'))
    assert slivers > 0
    assert mosaic([sample] * 4, (256, 160), np.random.default_rng(0)).ignored.any()


def test_a_view_repeats_with_its_generator():
    a, b = (view(marked(), (160, 96), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.boxes, b.boxes)


def test_images_without_boxes_pass():
    empty = Sample(np.full((50, 60, 3), FILL, np.uint8), np.zeros((0, 4), np.float32),
                   np.zeros(0, dtype=str))
    rng = np.random.default_rng(0)
    assert view(empty, (64, 64), rng).boxes.shape == (0, 4)
    assert mosaic([empty] * 4, (64, 64), rng).boxes.shape == (0, 4)


def test_large_objects_shrink_further_than_small_ones():
    def smallest(side):
        sample = Sample(np.zeros((300, 300, 3), np.uint8),
                        np.array([[150 - side / 2, 150 - side / 2, 150 + side / 2,
                                   150 + side / 2]], dtype=np.float32), np.array(['car']))
        boxes = np.concatenate([known(view(sample, (300, 300), np.random.default_rng(seed))).boxes
                                for seed in range(300)])
        return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).min()) / side
    assert smallest(SMALL * 1.5) > 0.5 * 0.8  # not under half, but for what a crop takes
    assert 0.35 * 0.55 < smallest(SMALL * 10) < 0.45


def test_a_worsened_image_is_noisier_and_coarser_but_the_same_scene():
    image = np.full((64, 80, 3), 90, np.uint8)
    image[16:48, 20:60] = (200, 60, 30)
    errors = []
    for seed in range(100):
        seen = worsen(image, np.random.default_rng(seed))
        assert seen.dtype == np.uint8 and seen.shape == image.shape
        errors.append(np.abs(seen.astype(float) - image).mean(axis=(0, 1)))
    errors = np.array(errors)
    assert 15 < np.count_nonzero(errors.sum(axis=1)) < 40
    assert errors.max() < 12
    noisy = errors[errors.mean(axis=1) > 4]  # more than compression alone does
    assert len(noisy) and noisy.min() > 0.5 * noisy.max()  # in all three colours


def test_patches_hide_what_they_cover():
    hidden = 0
    for seed in range(200):
        image = np.full((100, 100, 3), 7, np.uint8)
        boxes = np.array([[10, 10, 20, 20], [60, 50, 72, 62]], dtype=np.float32)
        kept = cover(image, boxes, np.random.default_rng(seed))
        untouched = (image == 7).all(axis=2)
        assert not untouched.all()
        for (x1, y1, x2, y2), keep in zip(boxes.astype(int), kept):
            shown = untouched[y1:y2, x1:x2].mean()
            assert keep or shown <= KEPT_SHARE
            assert not keep or shown > 0  # three patches may leave less than each alone
        hidden += np.sum(~kept)
    assert 5 < hidden < 100
