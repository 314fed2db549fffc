"""Every visual tracker that this machine can make, through the shared protocol."""
from acme_tracking import geometry
from acme_tracking.scene import Scene
from acme_tracking.tracking.visual import availability, make_tracker
import numpy as np
import pytest

USABLE = [name for name, reason in availability().items() if not reason]
ROAD = Scene(seed=1, rate=30, density=0, target='car')


def truth_box(index):
    truth = ROAD.truth(index)
    return truth.boxes[list(truth.ids).index(1)]


def test_dlib_is_usable_here():
    assert 'dlib' in USABLE


@pytest.mark.parametrize('name', USABLE)
@pytest.mark.parametrize('grey', [False, True])
def test_it_follows_a_car(name, grey):
    tracker = make_tracker(name)
    images = [ROAD.render(index) for index in range(15)]
    if grey:
        images = [image[:, :, 1] for image in images]  # a strided view
    tracker.start(images[0], truth_box(0))
    for index in range(1, 15):
        box, confidence = tracker.update(images[index])
        assert box.shape == (4,) and box.dtype == np.float32
        assert 0.5 < confidence <= 1
    assert geometry.iou(box, truth_box(14))[0, 0] > 0.7


@pytest.mark.parametrize('name', USABLE)
@pytest.mark.parametrize('value', [0, 255])
def test_it_is_not_confident_on_a_blank_image(name, value):
    tracker = make_tracker(name)
    tracker.start(ROAD.render(0), truth_box(0))
    for _ in range(3):
        box, confidence = tracker.update(np.full_like(ROAD.render(0), value))
        assert np.isfinite(box).all() and 0 <= confidence < 0.5


@pytest.mark.parametrize('name', USABLE)
@pytest.mark.parametrize('box', [[700, 10, 720, 30], [10, 10, 10, 30], [30, 10, 10, 30],
                                 [float('nan'), 0, 10, 10]])
def test_a_box_without_pixels_is_refused_by_its_value(name, box):
    with pytest.raises(ValueError, match='must start on a box inside the 640 x 360 image, got'):
        make_tracker(name).start(ROAD.render(0), box)


@pytest.mark.parametrize('name', USABLE)
def test_update_before_start_is_an_error(name):
    with pytest.raises(RuntimeError, match='before start'):
        make_tracker(name).update(ROAD.render(0))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="one of .*dlib.*, got 'siamese'"):
        make_tracker('siamese')
