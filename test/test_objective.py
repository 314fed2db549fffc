"""Target assignment and losses."""
from acme_tracking import geometry
from acme_tracking.detection.network import points
from acme_tracking.labels import CLASSES
from acme_tracking.training.objective import (
    assign,
    CANDIDATES,
    class_weights,
    distance_iou,
    IGNORED,
    loss,
    overlap_of,
)
import numpy as np
import pytest
import torch

SIZE = (96, 128)
CENTERS, STRIDES = points(SIZE, (8, 16, 32))
OBJECT = torch.tensor([[20.0, 20.0, 60.0, 52.0]])
FIRST = torch.tensor([0])  # the one image
NOTHING = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
EVEN = torch.ones(len(CLASSES))  # all classes count the same


def random_boxes(rng, count):
    corners = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 60, (count, 2))], 1).astype('f4')


def perfect(boxes):
    """Return predictions at every point of one image: the box of the first object."""
    return boxes[None, :1].expand(-1, len(CENTERS), -1).clone()


def test_iou_agrees_with_the_geometry_of_the_package():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 20), random_boxes(rng, 30)
    found = overlap_of(torch.from_numpy(b).expand(20, -1, -1), torch.from_numpy(a)).numpy()
    np.testing.assert_allclose(found, geometry.iou(a, b), atol=1e-5)


def test_distance_iou_by_hand():
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [30, 40, 40, 50]])
    # the second: overlap 1/2, centres 2.5 apart, diagonal squared 200; the third: no overlap,
    # centres 50 apart, diagonal squared 40**2 + 50**2
    expected = torch.tensor([1.0, 0.5 - 6.25 / 200, -2500 / 4100])
    torch.testing.assert_close(distance_iou(a, b), expected)


def even(count=1):
    """Return the same score for every object and point."""
    return torch.full((count, len(CENTERS)), 0.5)


def test_an_object_takes_its_best_points_and_only_points_inside():
    order = torch.randperm(len(CENTERS), generator=torch.Generator().manual_seed(0))
    scores = (0.1 + order / len(CENTERS))[None]
    owner, quality = assign(perfect(OBJECT), scores, CENTERS, OBJECT, FIRST)
    chosen = torch.nonzero(owner[0] == 0)[:, 0]
    inside = ((CENTERS > OBJECT[0, :2]) & (CENTERS < OBJECT[0, 2:])).all(dim=1)
    best = torch.where(inside, scores[0], torch.zeros(())).topk(CANDIDATES).indices
    assert set(chosen.tolist()) == set(best.tolist())
    assert quality.max() == pytest.approx(1.0)
    assert (quality[0][owner[0] < 0] == 0).all()


def test_quality_is_the_overlap_of_the_best_prediction():
    boxes = perfect(OBJECT)
    boxes[..., 2] += 10  # all predictions are too wide: IoU 40 / 50
    owner, quality = assign(boxes, even(), CENTERS, OBJECT, FIRST)
    assert quality[owner >= 0].max() == pytest.approx(0.8)


def test_a_tiny_object_still_gets_points():
    tiny = torch.tensor([[31.0, 31.0, 33.0, 33.0]])  # between the centres of all cells
    owner, _ = assign(perfect(tiny), even(), CENTERS, tiny, FIRST)
    assert (owner >= 0).any()
    assert (CENTERS[owner[0] >= 0] - 32).abs().max() < 8


def test_a_point_of_two_objects_goes_to_the_better_overlap():
    truth = torch.tensor([[20.0, 20.0, 60.0, 52.0], [22.0, 20.0, 64.0, 52.0]])
    owner, _ = assign(perfect(truth[1:]), even(2), CENTERS, truth, torch.tensor([0, 0]))
    both = (CENTERS > 24).all(dim=1) & (CENTERS[:, 0] < 58) & (CENTERS[:, 1] < 50)
    assert set(owner[0][both].tolist()) <= {1, -1}


def test_objects_take_points_of_their_own_image_only():
    boxes = perfect(OBJECT).expand(3, -1, -1)
    owner, quality = assign(boxes, even(2), CENTERS, OBJECT.expand(2, -1), torch.tensor([0, 2]))
    assert owner[0].unique().tolist() == [-1, 0]
    assert owner[1].unique().tolist() == [-1]
    assert owner[2].unique().tolist() == [-1, 1]
    assert quality[1].max() == 0


def predictions(objectness=0.0):
    torch.manual_seed(0)
    boxes = perfect(OBJECT).requires_grad_()
    return (boxes, torch.full((1, len(CENTERS)), objectness, requires_grad=True),
            torch.zeros(1, len(CENTERS), len(CLASSES), requires_grad=True))


def test_points_in_an_ignored_box_cost_nothing_unless_they_belong_to_an_object():
    region = torch.tensor([[0.0, 0.0, 64.0, 96.0]])
    inside = (CENTERS[:, 0] < 64)[None]
    for truth, labels in ((region, [IGNORED]), (torch.cat([region, OBJECT]), [IGNORED, 0])):
        _, objectness, _ = outputs = predictions()
        loss(outputs, CENTERS, truth, torch.tensor(labels), torch.zeros(len(labels)).long(),
             EVEN)[0].backward()
        assert (objectness.grad[~inside] > 0).all()
        touched = (objectness.grad[inside] != 0).sum()
        assert touched == 0 if len(labels) == 1 else 0 < touched < inside.sum()


def test_a_vehicle_of_unknown_kind_trains_objectness_and_box_but_no_class():
    unknown, bus = torch.tensor([len(CLASSES)]), torch.tensor([CLASSES.index('bus')])
    for labels, trains_class in ((unknown, False), (bus, True)):
        boxes, objectness, classes = outputs = predictions()
        value, parts = loss(outputs, CENTERS, OBJECT + 3, labels, FIRST, EVEN)
        value.backward()
        assert objectness.grad.abs().sum() > 0
        assert boxes.grad.abs().sum() > 0
        assert bool(classes.grad.abs().sum() > 0) == trains_class
        assert (parts['class'] > 0) == trains_class


def test_an_image_without_objects_trains_objectness_only():
    boxes, objectness, classes = outputs = predictions()
    value, parts = loss(outputs, CENTERS, *NOTHING, EVEN)
    value.backward()
    assert (objectness.grad > 0).all()
    assert parts['box'] == parts['class'] == 0


def test_a_sure_point_without_an_object_pulls_hardest():
    gradients = []
    for logit in (-4.0, 0.0, 4.0):
        _, objectness, _ = outputs = predictions(logit)
        loss(outputs, CENTERS, *NOTHING, EVEN)[0].backward()
        gradients.append(float(objectness.grad.mean()))
    assert 100 * gradients[0] < gradients[1] < gradients[2]


def test_a_crowd_has_more_say_than_one_object_but_less_for_each():
    """Nine equal cars on one image and one on another: gradients of their boxes."""
    cars = torch.tensor([[x, y, x + 24.0, y + 24.0] for x in (4, 40, 80) for y in (4, 36, 68)])
    truth, image = torch.cat([cars, cars[4:5]]), torch.tensor([0] * 9 + [1])
    centers = CENTERS[None].expand(2, -1, -1)
    boxes = torch.cat([centers - 13, centers + 13], dim=-1).requires_grad_()
    classes = torch.zeros(2, len(CENTERS), len(CLASSES))
    loss((boxes, torch.zeros(2, len(CENTERS)), classes), CENTERS, truth,
         torch.zeros(10, dtype=torch.long), image, EVEN)[0].backward()
    crowd, single = boxes.grad.abs().sum(dim=(1, 2))
    assert 2 < crowd / single < 5


def test_rare_classes_count_more_but_not_as_much_as_they_are_rare():
    labels = np.array(['car'] * 400 + ['bus'] * 100 + ['vehicle'] * 50)
    weights = class_weights(labels, ('car', 'bus', 'person'))
    assert weights[1] / weights[0] == pytest.approx(2)
    assert (400 * weights[0] + 100 * weights[1]) / 500 == pytest.approx(1)
    assert np.isfinite(weights).all()


def test_every_image_has_the_same_say_about_classes():
    """An image with nine cars and one with a bus: the gradients of both are as large."""
    torch.manual_seed(0)
    cars = torch.tensor([[x, y, x + 24.0, y + 24.0] for x in (4, 40, 80) for y in (4, 36, 68)])
    truth = torch.cat([cars, OBJECT])
    image = torch.tensor([0] * 9 + [1])
    labels = torch.tensor([CLASSES.index('car')] * 9 + [CLASSES.index('bus')])
    centers = CENTERS[None].expand(2, -1, -1)
    boxes = torch.cat([centers - 14, centers + 14], dim=-1)
    classes = torch.zeros(2, len(CENTERS), len(CLASSES), requires_grad=True)
    loss((boxes, torch.zeros(2, len(CENTERS)), classes), CENTERS, truth, labels,
         image, EVEN)[0].backward()
    says = classes.grad.abs().sum(dim=(1, 2))
    assert says[0] == pytest.approx(says[1].item(), rel=1e-4)
