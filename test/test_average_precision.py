"""Average precision and what belongs to it against cases worked out by hand."""
from acme_tracking.detections import Detections
from acme_tracking.metrics.average_precision import Score
import pytest

BOX = [10, 10, 30, 30]
FAR = [100, 100, 120, 120]
NOTHING = [200, 200, 220, 220]
IGNORED = [300, 300, 330, 330]


def detections(*rows):
    """Return Detections of (box, score, label) rows."""
    boxes, scores, labels = zip(*rows) if rows else ([], [], [])
    return Detections(list(boxes), list(scores), list(labels))


@pytest.mark.parametrize(('found', 'ap50'), [
    ([], 0.0),
    ([(BOX, 0.9)], 51 / 101),  # recalls 0 to 0.5 are reached
    ([(BOX, 0.9), (FAR, 0.8)], 1.0),
    ([(NOTHING, 0.9), (BOX, 0.8), (FAR, 0.7)], 2 / 3),  # the envelope of 0, 1/2, 2/3
    ([(BOX, 0.7), (NOTHING, 0.9)], 51 / 101 / 2),  # sorted by score
    ([(BOX, 0.9), (BOX, 0.8), (FAR, 0.7)], (51 + 50 * 2 / 3) / 101),  # found twice is once wrong
    ([([17, 10, 37, 30], 0.9)], 0.0),  # an IoU of 260 / 540
    ([([16, 10, 36, 30], 0.9)], 51 / 101),  # of 280 / 520
])
def test_average_precision(found, ap50):
    score = Score()
    score.add(detections(*((*each, 'car') for each in found)), [BOX, FAR], ['car', 'car'])
    summary = score.summary(0.5)
    assert summary['ap50'] == pytest.approx(ap50, abs=1e-6)
    if found and found[0][0] == [16, 10, 36, 30]:
        assert summary['ap'] == pytest.approx(ap50 / 10, abs=1e-6)  # right at an IoU of 0.5 alone


def test_each_size_has_figures_of_its_own():
    small, medium, large = [0, 0, 20, 20], [100, 0, 140, 40], [200, 0, 400, 200]
    score = Score()
    stray = [0, 200, 20, 220]
    score.add(detections((small, 0.3, 'car'), (medium, 0.9, 'car'), (stray, 0.8, 'car')),
              [small, medium, large], ['car'] * 3)
    assert score.summary(0.5)['per_class']['car']['sizes'] == {
        'small': {'boxes': 1, 'ap50': pytest.approx(0.5), 'recall': 0.0},  # the stray one is small
        'medium': {'boxes': 1, 'ap50': pytest.approx(1.0), 'recall': 1.0},
        'large': {'boxes': 1, 'ap50': 0.0, 'recall': 0.0}}
    assert list(Score().summary(0.5)['per_class']) == []


def test_reliability_says_how_often_a_score_is_right():
    score = Score()
    for number in range(10):
        score.add(detections((BOX, 0.85, 'car'), (FAR, 0.35, 'car'), (IGNORED, 0.75, 'car')),
                  [*([BOX] if number < 8 else []), *([FAR] if number < 1 else []), IGNORED],
                  ['car'] * (1 + (number < 8) + (number < 1)),
                  [*[False] * ((number < 8) + (number < 1)), True])
    promised, kept, counts = score.reliability()['car']
    assert counts.tolist() == [0, 0, 0, 10, 0, 0, 0, 0, 10, 0]
    assert (promised[8], kept[8]) == (pytest.approx(0.85), pytest.approx(0.8))
    assert (promised[3], kept[3]) == (pytest.approx(0.35), pytest.approx(0.1))
    assert list(Score().reliability()) == []


def test_the_mean_is_over_the_classes_present():
    score = Score()
    score.add(detections((BOX, 0.9, 'car'), (FAR, 0.8, 'person')), [BOX], ['car'])
    score.add(detections(), [FAR], ['bus'])
    summary = score.summary(0.5)
    assert {name: each['ap50'] for name, each in summary['per_class'].items()} == pytest.approx({
        'bus': 0.0, 'car': 1.0})
    assert summary['ap50'] == pytest.approx(0.5)
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
    assert score.summary(0.5)['ap50'] == pytest.approx(1.0)
    mixed = Score()
    mixed.add(detections((BOX, 0.9, 'truck')), [BOX, FAR], ['vehicle', 'car'])
    assert mixed.summary(0.5)['ap50'] == pytest.approx(51 / 101)


def test_kinds_of_vehicles_can_be_counted_as_one_class_where_they_are_told_apart():
    score = Score(any_vehicle=True)
    score.add(detections((BOX, 0.9, 'truck'), (FAR, 0.8, 'person')), [BOX, FAR], ['car', 'person'])
    per_class = score.summary(0.5)['per_class']
    assert {name: each['ap50'] for name, each in per_class.items()} == pytest.approx({
        'person': 1.0, 'vehicle': 1.0})
    assert score.confusion(0.5)[0] == ['person', 'vehicle']


def test_a_wrong_class_is_no_match():
    score = Score()
    score.add(detections((BOX, 0.9, 'truck')), [BOX], ['car'])
    assert score.summary(0.5)['ap50'] == 0.0


def test_an_image_counts_only_for_the_classes_that_were_labelled_on_it():
    score = Score()
    found = detections((BOX, 0.9, 'car'), (FAR, 0.8, 'person'))
    score.add(found, [BOX, FAR], ['car', 'person'])
    score.add(found, [BOX, FAR], ['car', 'truck'], labelled=('car', 'bus'))
    assert {name: (pytest.approx(each['ap50']), each['boxes'])
            for name, each in score.summary(0.5)['per_class'].items()} == {
        'car': (1.0, 2), 'person': (1.0, 1)}
    assert score.summary(0.5)['precision'] == 1.0
    assert score.confusion(0.5)[0] == ['car', 'person']
    score.add(found, [BOX], ['vehicle'], labelled=('vehicle',))  # cars and trucks count as it
    assert score.summary(0.5)['per_class']['vehicle']['ap50'] == pytest.approx(1.0)


def test_nothing_at_all_scores_nothing():
    assert Score().summary(0.5)['ap50'] == 0.0
    assert Score().confusion(0.5)[1].tolist() == [[0]]


def test_ignored_boxes_are_neither_right_nor_wrong():
    score = Score()
    score.add(detections((BOX, 0.9, 'car'), (FAR, 0.8, 'car'), ([0, 0, 9, 9], 0.7, 'bus')),
              [BOX, FAR, [0, 0, 9, 9]], ['car', 'car', 'DontCare'], [False, True, True])
    summary = score.summary(0.5)
    assert summary['ap50'] == pytest.approx(1.0)
    assert (summary['recall'], summary['precision']) == (1.0, 1.0)
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
    assert curve.tolist() == pytest.approx([1.0] * 51 + [0.0] * 50)
