"""Every visual tracker that this machine can make, through the shared protocol."""
from acme_tracking import geometry
from acme_tracking.scene import Scene
from acme_tracking.tracking import visual
from acme_tracking.tracking.tracker import TrackingParameters
from acme_tracking.tracking.visual import availability, make_tracker, start_all, update_all
import cv2
import numpy as np
import pytest

USABLE = [name for name, reason in availability().items() if not reason]
SEEING = [name for name in USABLE if name != 'centroid']  # by looks
ROAD = Scene(seed=1, rate=30, density=0, target='car')


def truth_box(index):
    truth = ROAD.truth(index)
    return truth.boxes[list(truth.ids).index(1)]


def test_all_are_usable_with_the_pinned_requirements():
    assert [*USABLE, 'nano', 'vit'] == list(visual.TRACKER_NAMES), 'two need files'


@pytest.mark.parametrize('name', SEEING)
@pytest.mark.parametrize('grey', [False, True])
def test_it_follows_a_car(name, grey):
    tracker = make_tracker(name)
    images = [ROAD.render(index) for index in range(15)]
    for image in images:
        image.setflags(write=False)
    if grey:
        images = [image[:, :, 1] for image in images]  # a strided view
    tracker.start(images[0], truth_box(0))
    for index in range(1, 15):
        box, confidence = tracker.update(images[index])
        assert box.shape == (4,) and box.dtype == np.float32
        assert TrackingParameters().confidence_threshold < confidence <= 1, 'or it would coast'
    assert geometry.iou(box, truth_box(14))[0, 0] > 0.7


@pytest.mark.parametrize('name', SEEING)
def test_it_finds_the_same_whatever_was_drawn_by_chance_before(name):
    found = []
    for seed in 1, 2:
        tracker = make_tracker(name)
        cv2.setRNGSeed(seed)
        tracker.start(ROAD.render(0), truth_box(0))
        found.append([])
        for index in range(1, 5):
            cv2.setRNGSeed(seed)
            box, confidence = tracker.update(ROAD.render(index))
            found[-1].append([*box.tolist(), confidence])
    assert found[0] == found[1]


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
@pytest.mark.parametrize('box', [
    [-30, -20, 50, 40], [600, 320, 700, 420], [-50, -50, 690, 410], [0, 0, 640, 360],
    [20, 20, 21, 21], [20, 20, 22, 23], [20, 20, 23, 90], [20, 20, 24, 24], [20, 20, 90, 22],
    [639, 359, 640, 360], [638.6, 358.6, 800, 800], [20.4, 20.4, 21.4, 21.4]])
def test_any_box_with_a_pixel_is_taken(name, box):
    """Also where the library below raises, or never returns."""
    tracker = make_tracker(name)
    tracker.start(ROAD.render(0), box)
    for index in (1, 2):
        found, confidence = tracker.update(ROAD.render(index))
        assert found.shape == (4,) and found.dtype == np.float32 and np.isfinite(found).all()
        assert 0 <= confidence <= 1


@pytest.mark.parametrize('name', USABLE)
@pytest.mark.parametrize('fill', [0, 255, 'noise'])
def test_it_may_start_on_nothing(name, fill):
    image = (np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
             if fill == 'noise' else np.full((360, 640, 3), fill, np.uint8))
    tracker = make_tracker(name)
    tracker.start(image, [100, 100, 160, 150])
    box, confidence = tracker.update(ROAD.render(0))
    assert np.isfinite(box).all() and 0 <= confidence < 0.5


@pytest.mark.parametrize('name', USABLE)
def test_no_image_makes_it_raise(name):
    """Black, white, noise, grey, one pixel, of changing sizes."""
    rng = np.random.default_rng(0)
    tracker = make_tracker(name)
    tracker.start(ROAD.render(0), truth_box(0))
    for index in range(30):
        height, width = rng.choice([1, 2, 7, 40, 120], 2)
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        image = (np.zeros_like(noise), np.full_like(noise, 255), noise, noise[..., 0])[index % 4]
        box, confidence = tracker.update(image)
        assert np.isfinite(box).all() and 0 <= confidence <= 1


@pytest.mark.parametrize('name', USABLE)
def test_a_second_start_forgets_the_first(name):
    fresh, used = make_tracker(name), make_tracker(name)
    used.start(ROAD.render(0), [300, 200, 360, 260])
    used.update(ROAD.render(1))
    for tracker in fresh, used:
        tracker.start(ROAD.render(5), truth_box(5))
    (box, confidence), (same, equal) = (t.update(ROAD.render(6)) for t in (fresh, used))
    assert geometry.iou(box, same)[0, 0] > 0.8  # MIL draws lots
    assert confidence == pytest.approx(equal, abs=0.3)


@pytest.mark.parametrize('name', USABLE)
def test_many_at_once_are_as_good_as_one_by_one(name):
    boxes = [truth_box(0), [300, 200, 360, 260]]
    groups = [[make_tracker(name) for _ in boxes] for _ in range(2)]
    start_all(groups[0], ROAD.render(0), boxes)
    for tracker, box in zip(groups[1], boxes):
        tracker.start(ROAD.render(0), box)
    together = update_all(groups[0], ROAD.render(1))
    alone = [tracker.update(ROAD.render(1)) for tracker in groups[1]]
    for (box, confidence), (same, equal) in zip(together, alone, strict=True):
        assert geometry.iou(box, same)[0, 0] > 0.8
        assert confidence == pytest.approx(equal, abs=0.3)
    start_all([], ROAD.render(1), [])
    assert update_all([], ROAD.render(1)) == []


def test_a_bad_box_among_many_leaves_all_trackers_as_they_were():
    trackers = [make_tracker('correlation') for _ in range(2)]
    start_all(trackers, ROAD.render(0), [truth_box(0), [300, 200, 360, 260]])
    with pytest.raises(ValueError, match='inside the 640 x 360 image'):
        start_all(trackers, ROAD.render(1), [[0, 0, 9, 9], [900, 900, 910, 910]])
    (box, _), _ = update_all(trackers, ROAD.render(1))
    assert geometry.iou(box, truth_box(1))[0, 0] > 0.7


def test_what_is_kept_of_an_object_fits_in_64_kb():
    trackers = [make_tracker('correlation') for _ in range(20)]
    start_all(trackers, ROAD.render(0), [truth_box(0)] * 20)
    for index in range(1, 9):  # all is learned anew by then
        update_all(trackers, ROAD.render(index))
    for tracker in trackers:
        arrays = [value if value.base is None else value.base for value in vars(tracker).values()
                  if isinstance(value, np.ndarray)]
        assert 40_000 < sum(memoryview(array).nbytes for array in arrays) < 64_000


@pytest.mark.parametrize('side', [1, 2, 4, 8])
def test_the_strongest_contrasts_are_followed(side):
    """What is learned is kept in 16 bits, which must hold whatever there may be to see."""
    rng = np.random.default_rng(side)
    image = rng.choice(np.array([0, 255], np.uint8), (160 // side, 160 // side, 3))
    image = image.repeat(side, axis=0).repeat(side, axis=1)
    tracker = make_tracker('correlation')
    tracker.start(image, np.array([50, 50, 90, 90]))
    for step in range(1, 13):
        moved = np.roll(image, (2 * step, step), axis=(0, 1))
        box, confidence = tracker.update(moved)
    assert confidence > 0.5
    assert box == pytest.approx([62, 74, 102, 114], abs=2)


def test_motion_alone_is_never_confident():
    tracker = make_tracker('centroid')
    tracker.start(ROAD.render(0), [10, 20, 30, 40])
    box, confidence = tracker.update(ROAD.render(1))
    assert box.tolist() == [10, 20, 30, 40] and confidence == 0.12


def test_a_missing_tracker_says_why_and_what_else_there_is(monkeypatch):
    from acme_tracking.tracking.visual.opencv import CsrtTracker
    monkeypatch.setattr(CsrtTracker, 'algorithm', 'TrackerOfTomorrow')
    assert 'neither cv2.TrackerOfTomorrow nor' in availability()['csrt']
    assert availability()['mosse'] == ''
    with pytest.raises(RuntimeError, match="'csrt' cannot be used here: .*usable: .*mosse"):
        make_tracker('csrt')


@pytest.mark.parametrize('name', USABLE)
def test_update_before_start_is_an_error(name):
    with pytest.raises(RuntimeError, match='before start'):
        make_tracker(name).update(ROAD.render(0))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="one of .*dlib.*, got 'siamese'"):
        make_tracker('siamese')
