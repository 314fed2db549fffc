"""Boxes, against pixels that are counted one by one."""
from acme_tracking import geometry
import numpy as np
import pytest


def mask(box, size=40):
    canvas = np.zeros((size, size), dtype=bool)
    x1, y1, x2, y2 = (int(edge) for edge in box)
    canvas[y1:y2, x1:x2] = True
    return canvas


def random_boxes(count, seed):
    corners = np.random.default_rng(seed).integers(0, 40, (count, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def test_iou_equals_counted_pixels():
    first, second = random_boxes(30, 1), random_boxes(20, 2)
    ours = geometry.iou(first, second)
    assert ours.shape == (30, 20) and ours.dtype == np.float32
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            union = (mask(a) | mask(b)).sum()
            counted = (mask(a) & mask(b)).sum() / union if union else 0
            assert ours[i, j] == pytest.approx(counted, abs=1e-6)


def test_area_and_clip_equal_counted_pixels():
    boxes = random_boxes(30, 3)
    assert geometry.area(boxes).tolist() == [mask(box).sum() for box in boxes]
    clipped = geometry.clip(boxes - 10, 20, 15)
    for box, inside in zip(boxes, clipped):
        assert geometry.area(inside)[0] == mask(box)[10:25, 10:30].sum()


def test_inverted_and_empty_boxes_have_no_area_and_no_overlap():
    inverted = [[10, 10, 5, 5]]
    assert geometry.area(inverted)[0] == 0
    assert geometry.iou(inverted, inverted)[0, 0] == 0
    assert geometry.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert geometry.is_proper([[0, 0, 1, 1], [0, 0, 0, 1], [2, 0, 1, 1],
                               [0, 0, np.nan, 1], [0, 0, np.inf, 1]]).tolist() == [
        True, False, False, False, False]


def test_notations_convert_there_and_back():
    boxes = random_boxes(10, 4)
    assert geometry.to_xywh([[1, 2, 4, 6]]).tolist() == [[1, 2, 3, 4]]
    assert geometry.to_center([[1, 2, 4, 6]]).tolist() == [[2.5, 4, 3, 4]]
    np.testing.assert_allclose(geometry.from_xywh(geometry.to_xywh(boxes)), boxes)
    np.testing.assert_allclose(geometry.from_center(geometry.to_center(boxes)), boxes)


@pytest.mark.parametrize('shape', [(3,), (2, 5), (1, 2, 4)])
def test_another_shape_is_refused_by_its_name(shape):
    with pytest.raises(ValueError, match=r'\(N, 4\).*' + str(shape[-1])):
        geometry.as_boxes(np.ones(shape))


def test_widening_adds_a_share_of_each_side():
    assert geometry.widen([10, 20, 30, 60], 0.1).tolist() == [[8, 16, 32, 64]]
    assert geometry.widen([], 0.1).shape == (0, 4)


def test_a_box_of_nan_overlaps_nothing():
    boxes = [[0, 0, 10, 10], [np.nan] * 4]
    assert geometry.iou(boxes, boxes).tolist() == [[1, 0], [0, 0]]
