"""Average precision against cases worked out by hand, and against pycocotools."""
from acme_tracking.detections import Detections
from acme_tracking.metrics.average_precision import average_precision, match, Score
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
    ([0.9], [True], 2, 51 / 101),  # recalls 0 to 0.5 are reached
    ([0.9, 0.8], [False, True], 1, 0.5),
    ([0.8, 0.9], [True, False], 1, 0.5),  # sorted by score
    # precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3; the envelope is 1 then 2/3
    ([0.9, 0.8, 0.7], [True, False, True], 3, (34 + 33 * 2 / 3) / 101),
    ([0.5], [False], 0, 0.0),
])
def test_average_precision(scores, correct, count, expected):
    correct = np.array(correct, bool)
    assert average_precision(np.array(scores), correct, ~correct, count) == pytest.approx(expected)


def test_a_truth_box_is_found_once_by_the_best():
    boxes = np.array([BOX, BOX, FAR], dtype=np.float32)
    owner, pardoned = match(boxes, [BOX], thresholds=[0.5])
    assert owner.tolist() == [[0, -1, -1]]
    assert not pardoned.any()


def test_an_overlap_of_less_than_the_threshold_is_no_match():
    # 20 x 20 boxes shifted by 7: intersection 260, union 540
    assert match([[17, 10, 37, 30]], [BOX])[0][0].tolist() == [-1]
    # by 6: 280 of 520, an IoU of 0.538
    assert match([[16, 10, 36, 30]], [BOX])[0][:, 0].tolist() == [0] + [-1] * 9


def test_what_is_found_on_an_ignored_box_is_pardoned():
    boxes, truth = [BOX, BOX, [12, 12, 16, 16]], [BOX, [0, 0, 40, 40]]
    owner, pardoned = match(boxes, truth, np.array([False, True]), thresholds=[0.5])
    assert owner.tolist() == [[0, -1, -1]]
    assert pardoned.tolist() == [[False, True, True]]


def test_the_mean_is_over_the_classes_present():
    score = Score()
    score.add(detections((BOX, 0.9, 'car'), (FAR, 0.8, 'person')), [BOX], ['car'])
    score.add(detections(), [FAR], ['bus'])
    summary = score.summary(0.5)
    assert {name: each['ap50'] for name, each in summary['per_class'].items()} == {
        'bus': 0.0, 'car': 1.0}
    assert summary['ap50'] == 0.5
    assert summary['recall'] == 0.5
    assert summary['per_class']['car']['boxes'] == 1


def test_recall_and_precision_count_what_reaches_the_threshold():
    score = Score()
    score.add(detections((BOX, 0.4, 'car'), (FAR, 0.9, 'car')), [BOX], ['car'])
    assert score.summary(0.5)['recall'] == 0.0
    assert score.summary(0.3)['recall'] == 1.0
    assert score.summary(0.3)['precision'] == 0.5


def test_vehicle_labels_count_car_truck_and_bus_as_one_class():
    score = Score()
    score.add(detections((BOX, 0.9, 'truck'), (FAR, 0.8, 'person')), [BOX], ['vehicle'])
    assert list(score.summary(0.5)['per_class']) == ['vehicle']
    assert score.summary(0.5)['ap50'] == 1.0
    mixed = Score()
    mixed.add(detections((BOX, 0.9, 'truck')), [BOX, FAR], ['vehicle', 'car'])
    assert mixed.summary(0.5)['ap50'] == pytest.approx(51 / 101)


def test_a_wrong_class_is_no_match():
    score = Score()
    score.add(detections((BOX, 0.9, 'truck')), [BOX], ['car'])
    assert score.summary(0.5)['ap50'] == 0.0


def test_an_image_counts_only_for_the_classes_that_were_labelled_on_it():
    score = Score()
    found = detections((BOX, 0.9, 'car'), (FAR, 0.8, 'person'))
    score.add(found, [BOX, FAR], ['car', 'person'])
    score.add(found, [BOX, FAR], ['car', 'truck'], labelled=('car', 'bus'))
    assert {name: (each['ap50'], each['boxes'])
            for name, each in score.summary(0.5)['per_class'].items()} == {
        'car': (1.0, 2), 'person': (1.0, 1)}
    assert score.confusion(0.5)[0] == ['car', 'person']
    score.add(found, [BOX], ['vehicle'], labelled=('vehicle',))  # cars and trucks count as it
    assert score.summary(0.5)['per_class']['vehicle']['ap50'] == 1.0


def test_nothing_at_all_scores_nothing():
    assert Score().summary(0.5)['ap50'] == 0.0
    assert Score().confusion(0.5)[1].tolist() == [[0]]


def test_ignored_boxes_are_neither_right_nor_wrong():
    score = Score()
    score.add(detections((BOX, 0.9, 'car'), (FAR, 0.8, 'car'), ([0, 0, 9, 9], 0.7, 'bus')),
              [BOX, FAR, [0, 0, 9, 9]], ['car', 'car', 'DontCare'], [False, True, True])
    summary = score.summary(0.5)
    assert (summary['ap50'], summary['recall'], summary['precision']) == (1.0, 1.0, 1.0)
    assert list(summary['per_class']) == ['car']


def test_the_confusion_matrix_counts_every_object_and_every_sure_detection():
    score = Score()
    score.add(detections((BOX, 0.9, 'bus'), (FAR, 0.8, 'car'), ([0, 0, 5, 5], 0.7, 'car'),
                         ([50, 50, 60, 60], 0.6, 'car'), ([0, 0, 9, 9], 0.2, 'car')),
              [BOX, FAR, [200, 200, 220, 220], [50, 50, 60, 60]],
              ['car', 'car', 'bus', 'DontCare'], [False, False, False, True])
    names, matrix = score.confusion(0.5)
    assert names == ['bus', 'car']
    assert matrix.tolist() == [[0, 0, 1],   # the bus was missed
                               [1, 1, 0],   # one car was found as a bus, one as a car
                               [0, 1, 0]]   # one car was found where nothing is


def test_curves_start_at_the_best_precision_and_end_at_nothing():
    score = Score()
    score.add(detections((BOX, 0.9, 'car')), [BOX, FAR], ['car', 'car'])
    curve = score.curves()['car']
    assert curve[:51].tolist() == [1.0] * 51
    assert curve[51:].tolist() == [0.0] * 50


def made_up(rng, classes):
    """Return images of (truth boxes, labels, ignored, Detections) as a poor detector gives."""
    for _ in range(40):
        count = rng.integers(0, 12)
        corners = rng.uniform(0, 300, (count, 2))
        truth = np.hstack([corners, corners + rng.uniform(8, 120, (count, 2))])
        labels = rng.choice(classes, count)
        ignored = rng.random(count) < 0.15
        near = truth.repeat(3, axis=0) + rng.normal(0, 6, (3 * count, 4))
        stray = rng.uniform(0, 150, (30, 2))
        boxes = np.vstack([near, np.hstack([stray, stray + rng.uniform(5, 90, (30, 2))])])
        boxes = boxes.astype(np.float32)
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
        yield truth, labels, ignored, Detections(
            boxes, rng.random(len(boxes)), rng.choice(classes, len(boxes)))


def test_it_agrees_with_pycocotools(capsys):
    reference = pytest.importorskip('pycocotools.cocoeval')
    from pycocotools.coco import COCO
    classes = ['bus', 'car', 'person']
    score, images, annotations, results = Score(), [], [], []
    for number, (truth, labels, ignored, found) in enumerate(
            made_up(np.random.default_rng(3), classes)):
        score.add(found, truth, labels, ignored)
        images.append({'id': number})
        for box, label, flag in zip(truth, labels, ignored):
            x1, y1, x2, y2 = np.float32(box).tolist()
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'iscrowd': int(flag),
                'category_id': classes.index(label), 'bbox': [x1, y1, x2 - x1, y2 - y1],
                'area': (x2 - x1) * (y2 - y1)})
        for (x1, y1, x2, y2), value, label in zip(found.boxes.tolist(), found.scores,
                                                  found.labels):
            results.append({'image_id': number, 'category_id': classes.index(label),
                            'bbox': [x1, y1, x2 - x1, y2 - y1], 'score': float(value)})
    truth = COCO()
    truth.dataset = {'images': images, 'annotations': annotations, 'info': {},
                     'categories': [{'id': i, 'name': name} for i, name in enumerate(classes)]}
    truth.createIndex()
    expected = reference.COCOeval(truth, truth.loadRes(results), 'bbox')
    expected.evaluate()
    expected.accumulate()
    precision = expected.eval['precision'][:, :, :, 0, -1]  # IoU, recall, class
    capsys.readouterr()
    summary = score.summary(0.5)
    assert summary['ap'] == pytest.approx(precision.mean(), abs=1e-6)
    assert summary['ap50'] == pytest.approx(precision[0].mean(), abs=1e-6)
    for number, name in enumerate(classes):
        ours = summary['per_class'][name]
        assert ours['ap'] == pytest.approx(precision[:, :, number].mean(), abs=1e-6)
        np.testing.assert_allclose(score.curves()[name], precision[0, :, number], atol=1e-6)
