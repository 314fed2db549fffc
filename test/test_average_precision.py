"""AP50 against cases worked out by hand."""
from acme_tracking.detections import Detections
from acme_tracking.training.average_precision import average_precision, match, Score
import numpy as np
import pytest

BOX = [10, 10, 30, 30]
FAR = [100, 100, 120, 120]


def detections(*rows):
    """Return Detections of (box, score, label) rows."""
    boxes, scores, labels = zip(*rows) if rows else ([], [], [])
    return Detections(list(boxes), list(scores), list(labels))


@pytest.mark.parametrize(('scores', 'correct', 'count', 'expected'), [
    ([], [], 3, 0.0),
    ([0.9], [True], 1, 1.0),
    ([0.9], [True], 2, 0.5),
    ([0.9, 0.8], [False, True], 1, 0.5),
    ([0.8, 0.9], [True, False], 1, 0.5),  # sorted by score
    # precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3; the envelope is 1 then 2/3
    ([0.9, 0.8, 0.7], [True, False, True], 3, 1 / 3 + 2 / 9),
    ([0.5], [True], 0, 0.0),
])
def test_average_precision(scores, correct, count, expected):
    value = average_precision(np.array(scores), np.array(correct, bool), count)
    assert value == pytest.approx(expected)


def test_a_truth_box_is_found_once_by_the_best():
    boxes = np.array([BOX, BOX, FAR], dtype=np.float32)
    assert match(boxes, [0.5, 0.9, 0.7], [BOX]).tolist() == [False, True, False]


def test_an_overlap_of_less_than_half_is_no_match():
    # 20 x 20 boxes shifted by 7: intersection 260, union 540
    assert match([[17, 10, 37, 30]], [0.9], [BOX]).tolist() == [False]
    assert match([[16, 10, 36, 30]], [0.9], [BOX]).tolist() == [True]


def test_the_mean_is_over_the_classes_present():
    score = Score()
    score.add(detections((BOX, 0.9, 'car'), (FAR, 0.8, 'person')), [BOX], ['car'])
    score.add(detections(), [FAR], ['bus'])
    summary = score.summary(0.5)
    assert summary['per_class'] == {'bus': 0.0, 'car': 1.0}
    assert summary['ap50'] == 0.5
    assert summary['recall'] == 0.5


def test_recall_and_precision_count_what_reaches_the_threshold():
    score = Score()
    score.add(detections((BOX, 0.4, 'car'), (FAR, 0.9, 'car')), [BOX], ['car'])
    assert score.summary(0.5)['recall'] == 0.0
    assert score.summary(0.3)['recall'] == 1.0
    assert score.summary(0.3)['precision'] == 0.5


def test_vehicle_labels_count_car_truck_and_bus_as_one_class():
    score = Score()
    score.add(detections((BOX, 0.9, 'truck'), (FAR, 0.8, 'person')), [BOX], ['vehicle'])
    assert score.summary(0.5)['per_class'] == {'vehicle': 1.0}
    mixed = Score()
    mixed.add(detections((BOX, 0.9, 'truck')), [BOX, FAR], ['vehicle', 'car'])
    assert mixed.summary(0.5)['per_class'] == {'vehicle': 0.5}


def test_a_wrong_class_is_no_match():
    score = Score()
    score.add(detections((BOX, 0.9, 'truck')), [BOX], ['car'])
    assert score.summary(0.5)['ap50'] == 0.0


def test_nothing_at_all_scores_nothing():
    assert Score().summary(0.5)['ap50'] == 0.0
