"""Which detection belongs to which track, and where an unseen object is expected."""
import itertools

from acme_tracking import geometry
from acme_tracking.tracking.association import assign, FORBIDDEN, pairing_cost
from acme_tracking.tracking.motion import fit_motion
import numpy as np
import pytest

SECOND = 1_000_000_000


def test_the_assignment_is_the_best_of_all_permutations():
    random = np.random.default_rng(0)
    for _ in range(50):
        cost = random.random((4, 5))
        best = min(sum(cost[row, column] for row, column in enumerate(columns))
                   for columns in itertools.permutations(range(5), 4))
        assert sum(cost[pair] for pair in assign(cost)) == pytest.approx(best)


def test_pairs_outside_the_gate_are_never_assigned():
    cost = np.array([[FORBIDDEN, 0.5], [FORBIDDEN, 0.4]])
    assert assign(cost) == [(1, 1)]
    assert assign(np.zeros((0, 3))) == []


def cost_of(track, box, slack=0.0, labels=('car', 'car')):
    return pairing_cost([track], labels[:1], [slack], [box], labels[1:], minimum_iou=0.3)[0, 0]


def test_the_cost_orders_overlap_before_distance_before_nothing():
    track = [0, 0, 10, 10]
    same = cost_of(track, track)
    overlapping = cost_of(track, [3, 0, 13, 10])
    near = cost_of(track, [15, 0, 25, 10], slack=20.0)
    far = cost_of(track, [35, 0, 45, 10], slack=20.0)
    assert same == 0 < overlapping < near < 2 < FORBIDDEN <= far
    assert cost_of(track, [15, 0, 25, 10]) >= FORBIDDEN, 'no slack while it is seen'
    assert cost_of(track, [10, 0, 50, 40], slack=99.0) >= FORBIDDEN, 'another size'
    assert cost_of(track, track, labels=('car', 'person')) > same


def test_constant_velocity_is_recovered_and_predicted():
    stamps = [index * SECOND // 10 for index in range(5)]
    boxes = [[10 + 2 * i, 20 - i, 30 + 2 * i, 50 - i] for i in range(5)]
    motion = fit_motion(stamps, boxes, np.ones(5))
    assert motion.velocity == pytest.approx(20 - 10j) and motion.shrinks == pytest.approx(0)
    np.testing.assert_allclose(motion.predict(SECOND), [30, 10, 50, 40], atol=1e-3)


@pytest.mark.parametrize('speed', [-0.5, 0.5])
def test_what_moves_evenly_in_space_grows_ever_faster_or_shrinks_ever_less(speed):
    """An object goes by half of its distance in a second: its size is that of its distance."""
    stamps = [index * SECOND // 10 for index in range(6)]
    sizes = [600 / (1 + speed * stamp / SECOND) for stamp in [*stamps, SECOND]]
    boxes = geometry.from_center([[900, 500, size, size / 2] for size in sizes])
    expected = fit_motion(stamps, boxes[:-1], np.ones(6)).predict(SECOND)
    width, linear = expected[2] - expected[0], sizes[5] + 5 * (sizes[5] - sizes[4])
    assert abs(width - sizes[-1]) < 0.2 * abs(linear - sizes[-1])


def test_growth_that_noise_may_feign_is_not_believed():
    stamps = [index * SECOND // 30 for index in range(6)]
    boxes = geometry.from_center([[100, 50, 20 + 2 * (index % 2), 20] for index in range(6)])
    width = np.diff(fit_motion(stamps, boxes, np.ones(6)).predict(SECOND)[[0, 2]])
    assert width == pytest.approx(21, abs=0.6)


def test_a_doubtful_box_weighs_less():
    stamps = [index * SECOND // 10 for index in range(5)]
    boxes = geometry.from_center([[10.0 * i, 0, 10, 10] for i in range(5)])
    boxes[4] -= 30
    trusting = fit_motion(stamps, boxes, [1, 1, 1, 1, 1]).velocity.real
    doubting = fit_motion(stamps, boxes, [1, 1, 1, 1, 0.1]).velocity.real
    assert trusting < doubting < 100 + 1e-6
    assert doubting > 80


def test_one_box_stands_still_and_a_size_cannot_vanish():
    still = fit_motion([SECOND], [[0, 0, 10, 20]], [1.0])
    np.testing.assert_allclose(still.predict(9 * SECOND), [0, 0, 10, 20], atol=1e-6)
    shrinking = fit_motion([0, SECOND // 10], [[0, 0, 20, 20], [0, 0, 10, 10]], [1.0, 1.0])
    width, height = np.diff(shrinking.predict(9 * SECOND).reshape(2, 2), axis=0)[0]
    assert width == pytest.approx(height) and 6 <= width < 7
