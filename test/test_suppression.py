"""Non-maximum suppression against a brute-force one."""
from acme_tracking.detection.suppression import suppress, vote
import numpy as np
import pytest


def overlap(a, b):
    """Return the IoU of two boxes with whole coordinates by counting pixels."""
    pixels = [{(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}
              for box in (a, b)]
    union = len(pixels[0] | pixels[1])
    return len(pixels[0] & pixels[1]) / union if union else 0.0


def brute_force(boxes, scores, labels, threshold):
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[index], boxes[other])
               <= (threshold if labels[index] == labels[other] else max(threshold, 0.7))
               for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('threshold', [0.0, 0.35, 0.6, 1.0])
def test_agrees_with_brute_force(seed, threshold):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 20, (25, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 15, (25, 2))], axis=1)
    scores, labels = rng.permutation(25) / 25, rng.integers(0, 3, 25)
    kept = suppress(boxes, scores, labels, threshold)
    assert kept.tolist() == brute_force(boxes.tolist(), scores, labels, threshold)


def test_nothing_in_nothing_out():
    assert suppress(np.zeros((0, 4)), np.zeros(0), np.zeros(0), 0.5).tolist() == []


def test_stops_at_the_limit_with_the_best():
    boxes = [[i * 10, 0, i * 10 + 5, 5] for i in range(6)]
    assert suppress(boxes, [0.1, 0.9, 0.3, 0.8, 0.2, 0.7], [0] * 6, 0.5,
                    limit=2).tolist() == [1, 3]


def test_equal_scores_keep_their_order():
    boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]
    assert suppress(boxes, [0.5, 0.5, 0.5], [0, 0, 0], 0.5).tolist() == [0, 2]


def test_a_rider_stays_on_the_motorcycle_but_one_vehicle_has_one_name():
    boxes = [[0, 0, 10, 20], [0, 2, 10, 16], [0, 0, 10, 19]]
    labels = ['motorcycle', 'person', 'car']
    assert suppress(boxes, [0.9, 0.8, 0.7], labels, 0.5).tolist() == [0, 1]


def test_boxes_of_one_object_vote_by_overlap_and_squared_score():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4], [50, 50, 60, 60]]
    scores = [0.8, 0.4, 0.7, 0.5]
    bottom = (10 * 0.64 + 8 * 0.8 * 0.16) / (0.64 + 0.8 * 0.16)  # the third overlaps by 0.4
    np.testing.assert_allclose(vote(boxes, scores, [0, 3], 0.5),
                               [[0, 0, 10, bottom], [50, 50, 60, 60]], rtol=1e-6)


def test_who_keeps_every_box_gets_each_as_it_is():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9]]
    assert vote(boxes, [0.8, 0.4], [0, 1], 1.0).tolist() == boxes
    assert vote(boxes, [0.0, 0.0], [0], 0.5).tolist() == boxes[:1]
    assert vote(np.zeros((0, 4)), [], np.zeros(0, dtype=int), 0.5).shape == (0, 4)
