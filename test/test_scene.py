"""The synthetic scene: one picture for one set of arguments, and a truth the pixels confirm."""

from acme_tracking.labels import CLASSES
from acme_tracking.scene import CAMERAS, Scene, TARGET_ID
import numpy as np
import pytest


@pytest.fixture(scope='module')
def road():
    """Return a scene with traffic."""
    return Scene(seed=4)


@pytest.mark.parametrize('camera', CAMERAS)
def test_same_arguments_and_index_give_the_same_image_in_any_order(camera):
    one, other = (Scene(320, 180, seed=4, camera=camera) for _ in range(2))
    forward = [one.render(index) for index in (0, 400, 20)]
    backward = [other.render(index) for index in (20, 400, 0)][::-1]
    for a, b in zip(forward, backward):
        assert a.shape == (180, 320, 3) and a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.truth(20).boxes, other.truth(20).boxes)
    moved = (forward[0] != forward[2]).any(axis=2).mean()
    assert moved > (0 if camera == 'fixed' else 0.5)
    assert (Scene(320, 180, seed=5, camera=camera).render(0) != forward[0]).mean() > 0.5


def test_time_is_in_seconds_whatever_the_rate():
    slow, fast = Scene(seed=4, rate=10.0), Scene(seed=4, rate=50.0)
    np.testing.assert_array_equal(slow.truth(20).boxes, fast.truth(100).boxes)


@pytest.mark.parametrize('size', [(64, 64), (320, 240), (641, 363)])
def test_size_is_what_was_asked_for(size):
    scene = Scene(*size, seed=2)
    assert scene.render(3).shape == (size[1], size[0], 3)
    boxes = scene.truth(3).boxes
    assert (boxes >= 0).all() and (boxes[:, 2] <= size[0]).all() and (boxes[:, 3] <= size[1]).all()


@pytest.mark.parametrize('seed', range(4))
def test_truth_is_well_formed(seed):
    scene = Scene(seed=seed)
    for index in (0, 100):
        truth = scene.truth(index)
        assert len(truth) == len(truth.boxes) == len(truth.labels) == len(truth.visibility) > 0
        assert truth.boxes.dtype == np.float32 and truth.ids.dtype == np.int64
        assert set(truth.labels) <= set(CLASSES)
        assert len(set(truth.ids.tolist())) == len(truth) and (truth.ids > 0).all()
        assert ((truth.visibility >= 0) & (truth.visibility <= 1)).all()
        assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()


@pytest.mark.parametrize('target', CLASSES)
@pytest.mark.parametrize('seed', [1, 4])
def test_box_is_tight_around_the_drawn_pixels(target, seed):
    scene = Scene(seed=seed, density=0.0, target=target)
    for index in (0, 20, 150):
        rows, columns = np.nonzero(own_pixels(scene, index))
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        np.testing.assert_allclose(found, scene.truth(index).boxes[0], atol=1.5)


def own_pixels(scene, index):
    """Return the pixels that are the same on a black and on a white ground, bool (H, W)."""
    kept = scene._background
    scene._background = np.zeros_like(kept)
    dark = scene.render(index)
    scene._background = np.full_like(kept, 255)
    bright = scene.render(index)
    scene._background = kept
    return np.abs(dark.astype(int) - bright).max(axis=2) < 40


def test_visibility_is_the_share_of_the_pixels_in_the_picture():
    scene = Scene(seed=4, density=0.0, target='car')
    truth = scene.truth(20)
    assert truth.visibility[0] == pytest.approx(1.0)
    shown = []
    for index in range(0, 400, 4):
        (mask, (x, _)), = [t.silhouette(640) for t in scene._things(index / 30)]
        columns = np.arange(mask.shape[1]) + x
        shown.append(mask[:, (columns >= 0) & (columns < 640)].sum() / mask.sum()
                     == pytest.approx(scene.truth(index).visibility[0], abs=1e-6))
    assert all(shown)


def test_an_object_at_the_edge_is_partly_visible(road):
    truths = [road.truth(index) for index in range(0, 200, 5)]
    boxes = np.concatenate([t.boxes for t in truths])
    visibility = np.concatenate([t.visibility for t in truths])
    cut = (boxes[:, 3] >= 360) & (boxes[:, 3] - boxes[:, 1] > 20)
    assert cut.any() and (visibility[cut] < 1).all()


def test_nearer_vehicles_and_furniture_hide_what_is_behind(road):
    visibility = np.concatenate([road.truth(index).visibility for index in range(0, 300, 10)])
    assert ((visibility > 0.05) & (visibility < 0.95)).sum() > 20
    assert (visibility == 0).any() and (visibility == 1).any()


@pytest.mark.parametrize('target', ['car', 'person'])
def test_occlusion_hides_the_target_for_its_duration(target):
    scene = Scene(seed=3, density=0.0, target=target, occlusion=(2.0, 1.0))
    assert scene.hidden_id == TARGET_ID
    truths = [scene.truth(index) for index in range(45, 105)]
    assert all(truth.ids.tolist() == [TARGET_ID] for truth in truths)
    visibility = np.concatenate([truth.visibility for truth in truths])
    hidden = np.arange(45, 105)[visibility == 0]
    assert hidden.tolist() == list(range(60, 91))
    assert (visibility[visibility > 0] == 1).all()
    free = Scene(seed=3, density=0.0, target=target)
    np.testing.assert_array_equal(free.render(59), scene.render(59))
    np.testing.assert_array_equal(free.truth(75).boxes, scene.truth(75).boxes)
    x1, y1, x2, y2 = scene.truth(75).boxes[0].astype(int)
    assert (free.render(75) != scene.render(75))[y1:y2, x1:x2].mean() > 0.8


def test_occlusion_without_target_hides_the_object_in_the_middle(road):
    scene = Scene(seed=4, occlusion=(1.0, 0.5))
    at = {i: k for k, i in enumerate(scene.truth(40).ids.tolist())}
    assert scene.truth(40).visibility[at[scene.hidden_id]] == 0
    x1, y1, x2, y2 = road.truth(30).boxes[road.truth(30).ids.tolist().index(scene.hidden_id)]
    assert abs((x1 + x2) / 2 - 320) < 200 and abs((y1 + y2) / 2 - 180) < 150


def test_target_moves_evenly_and_stays_in_the_picture():
    scene = Scene(seed=6, density=0.0, target='car', target_speed=4.0)
    boxes = np.concatenate([scene.truth(index).boxes for index in range(0, 1200, 10)])
    assert (boxes[:, 0] > 0).all() and (boxes[:, 2] < 640).all()
    centre = (boxes[:, 0] + boxes[:, 2]) / 2
    steps = np.abs(np.diff(centre))
    usual = np.median(steps)
    assert usual > 15 and (np.abs(steps - usual) < 0.2 * usual).mean() > 0.8
    width = boxes[:, 2] - boxes[:, 0]
    assert width.max() < 1.25 * width.min()


def test_an_object_keeps_id_and_label_and_moves_without_jumps(road):
    last = None
    for index in range(0, 60):
        truth = road.truth(index)
        named = zip(truth.labels, truth.boxes)
        now = dict(zip(truth.ids.tolist(), named))
        for identity, (label, box) in now.items() if last else ():
            if identity in last:
                assert last[identity][0] == label
                assert np.abs(last[identity][1] - box).max() < 60
        if last:
            assert len(now.keys() & last.keys()) > 0.7 * len(last)
        last = now


def test_objects_leave_and_come_back_with_their_id():
    scene = Scene(seed=4, rate=1.0)
    seen, gone, back = set(), {}, set()
    for index in range(90):
        ids = set(scene.truth(index).ids.tolist())
        gone.update({i: index for i in seen - ids if i not in gone})
        back |= {i for i in ids & gone.keys() if index - gone[i] > 1}
        seen |= ids
    vehicles = {i for i in back if i > 2}
    assert len(vehicles) >= 2, 'no vehicle turned round'
    assert 2 in back, 'the stroller did not come back'


def test_light_changes_with_time():
    scene = Scene(seed=0, density=0.0)
    means = [scene.render(index).mean() for index in range(0, 1800, 60)]
    assert max(means) > 1.1 * min(means)
    assert np.abs(np.diff([scene.render(i).mean() for i in range(10)])).max() < 2


@pytest.mark.parametrize('arguments, words', [
    ({'width': 10}, 'width.*10'), ({'height': 9000}, 'height.*9000'), ({'seed': -1}, 'seed.*-1'),
    ({'rate': 0.0}, 'rate.*0.0'), ({'rate': float('nan')}, 'rate.*nan'),
    ({'density': 1.5}, 'density.*1.5'), ({'target': 'boat'}, 'target.*boat'),
    ({'target_speed': 0.0}, 'target_speed.*0.0'), ({'occlusion': (-1.0, 1.0)}, 'occlusion.*-1.0'),
    ({'occlusion': (1.0, 0.0)}, r'occlusion.*\(1.0, 0.0\)'),
    ({'density': 0.0, 'occlusion': (1.0, 1.0)}, 'occlusion.*wholly in view')])
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        Scene(**arguments)


def test_negative_index_is_named(road):
    for call in (road.render, road.truth):
        with pytest.raises(ValueError, match='index.*-1'):
            call(-1)
