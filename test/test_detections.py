"""The value that flows between the rooms."""
from acme_tracking.detections import Detections
import numpy as np
import pytest


def test_fields_have_their_documented_types():
    detections = Detections([[0, 0, 2, 2], [1, 1, 3, 3]], [0.5, 1], ['car', 'person'], [7, 9])
    assert detections.boxes.dtype == np.float32 and detections.boxes.shape == (2, 4)
    assert detections.scores.dtype == np.float32
    assert detections.ids.dtype == np.int64
    assert len(detections) == 2


def test_select_by_mask_and_by_index_keeps_rows_together():
    detections = Detections([[0, 0, 2, 2], [1, 1, 3, 3]], [0.5, 1], ['car', 'person'], [7, 9])
    for chosen in ([False, True], [1]):
        one = detections.select(chosen)
        assert (one.boxes[0].tolist(), one.labels[0], one.ids[0]) == ([1, 1, 3, 3], 'person', 9)
    assert len(detections.select([])) == 0
    assert len(Detections.empty()) == 0 and Detections.empty().ids is None


@pytest.mark.parametrize('arguments, message', [
    (([[0, 0, 1, 1]], [0.5, 0.5], ['car']), '1 boxes need as many scores, got 2'),
    (([[0, 0, 1, 1]], [0.5], []), '1 boxes need as many labels, got 0'),
    (([[0, 0, 1, 1]], [0.5], ['car'], [1, 2]), '1 boxes need as many ids, got 2'),
    (([[0, 0, 1, 1]], [1.5], ['car']), r'scores must be in \[0, 1\], got \[1.5\]'),
    (([[0, 0, 1, 1]], [float('nan')], ['car']), r'scores must be in \[0, 1\], got \[nan\]'),
])
def test_columns_that_do_not_belong_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Detections(*arguments)
