"""Success and precision, against numbers worked out by hand and against counted pixels."""
import doctest

from acme_tracking.metrics import success
import numpy as np
import pytest

TRUTH = np.array([[0, 0, 10, 10]] * 4, np.float32)


def test_the_example_in_the_documentation():
    assert doctest.testmod(success).failed == 0


def test_perfect_boxes_miss_only_the_last_threshold():
    assert success.success_auc(TRUTH, TRUTH) == pytest.approx(20 / 21)
    assert success.precision(TRUTH, TRUTH) == 1


def test_boxes_elsewhere_score_nothing():
    assert success.success_auc(TRUTH + 50, TRUTH) == 0
    assert success.precision(TRUTH + 50, TRUTH) == 0


def test_four_boxes_by_hand():
    # IoU 1, 1/3, 9/11 and 0: above 20, 7 (0 to 0.30), 17 (0 to 0.80) and 0 of the 21 thresholds
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [1, 0, 11, 10], [30, 0, 40, 10]]
    curve = success.success_curve(boxes, TRUTH)
    assert curve[[0, 6, 7, 16, 17, 20]].tolist() == [0.75, 0.75, 0.5, 0.5, 0.25, 0]
    assert success.success_auc(boxes, TRUTH) == pytest.approx((20 + 7 + 17) / 4 / 21)
    assert success.precision(boxes, TRUTH) == 0.75  # the last centre is 30 pixels away


def test_a_centre_at_just_20_pixels_counts():
    assert success.precision([[20, 0, 30, 10]], [[0, 0, 10, 10]]) == 1
    assert success.precision([[20.1, 0, 30.1, 10]], [[0, 0, 10, 10]]) == 0
    assert success.precision([[5, 0, 15, 10]], [[0, 0, 10, 10]], pixels=4) == 0


def test_images_without_the_object_do_not_count():
    truth = TRUTH.copy()
    truth[1:] = [[np.nan] * 4, [0] * 4, [5, 5, 5, 9]]
    assert success.success_auc(TRUTH + [[0], [50], [50], [50]], truth) == pytest.approx(20 / 21)


def test_against_counted_pixels():
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 30, (2, 50, 2))
    boxes, truth = np.concatenate([corners, corners + rng.integers(1, 30, (2, 50, 2))], axis=2)

    def pixels(box):
        mask = np.zeros((60, 60), bool)
        mask[box[1]:box[3], box[0]:box[2]] = True
        return mask

    overlaps = [(pixels(a) & pixels(b)).sum() / (pixels(a) | pixels(b)).sum()
                for a, b in zip(boxes, truth)]
    expected = [np.mean(np.array(overlaps) > threshold) for threshold in np.arange(21) / 20]
    np.testing.assert_allclose(success.success_curve(boxes, truth), expected, atol=0.021)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match='4 boxes for 3 true boxes'):
        success.success_auc(TRUTH, TRUTH[:3])
    with pytest.raises(ValueError, match='at least one true box'):
        success.precision(TRUTH, np.full((4, 4), np.nan))
