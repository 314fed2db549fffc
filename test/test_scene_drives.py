"""The synthetic road seen by a camera that moves: poses, what stands still, who is on the road."""
from dataclasses import replace
import math

from acme_tracking.labels import CLASSES
from acme_tracking.scene import DRIVES, Scene
from acme_tracking.scene.ground import CROSSING, PERIOD
from acme_tracking.scene.models import Camera
from acme_tracking.scene.painting import Footprint, painting_order
from acme_tracking.scene.surroundings import halvings, Panel, Panels
import numpy as np
import pytest

RATE = 10.0
_scenes = {}


@pytest.fixture(params=DRIVES)
def drive(request):
    """Return a scene with one of the moving cameras; each is made once."""
    return scene(request.param)


def scene(camera):
    if camera not in _scenes:
        _scenes[camera] = Scene(seed=2, rate=RATE, density=0.3, camera=camera)
    return _scenes[camera]


def movers(drive, index):
    return list(drive._traffic.at(index / RATE))


@pytest.mark.parametrize('size', [(641, 363), (64, 64), (240, 320)])
def test_size_is_what_was_asked_for(size):
    road = Scene(*size, seed=2, camera='handheld')
    assert road.render(3).shape == (size[1], size[0], 3)
    boxes = road.truth(3).boxes
    assert (boxes >= 0).all() and (boxes[:, 2:] <= size).all()


def test_truth_is_well_formed_and_its_metres_are_where_its_pixels_are(drive):
    seen = 0
    for index in range(0, 300, 30):
        truth, camera = drive.truth(index), drive.camera(index)
        assert len(set(truth.ids.tolist())) == len(truth) and (truth.ids > 0).all()
        assert set(truth.labels) <= set(CLASSES)
        assert ((truth.visibility >= 0) & (truth.visibility <= 1)).all()
        whole = (truth.boxes[:, :2] > 1).all(axis=1)
        whole &= (truth.boxes[:, 2:] < (drive.width - 1, drive.height - 1)).all(axis=1)
        for box, place, size in zip(truth.boxes[whole], truth.positions[whole],
                                    truth.sizes[whole]):
            heights = (0, 0, 0), (0, 0, size[2])
            (x, foot), (_, head) = camera.to_image(camera.to_view([*place, 0] + np.array(heights)))
            assert box[0] - 2 < x < box[2] + 2
            tall = box[3] - box[1]  # who walks is less tall than who stands
            assert box[1] < foot < box[3] + 1 + 0.01 * tall
            assert box[1] - 2 - 0.04 * tall < head < box[3]
            seen += 1
    assert seen > 30


def test_box_is_tight_around_the_drawn_pixels(drive, monkeypatch):
    monkeypatch.setattr(drive._surroundings, 'standing', lambda camera: [])
    everything, checked = drive._things, 0
    for index in range(0, 200, 20):
        for thing in everything(index / RATE):
            x1, y1, x2, y2 = thing.extent
            if x1 < 2 or y1 < 2 or x2 > drive.width - 2 or y2 > drive.height - 2 or y2 - y1 < 10:
                continue
            alone = [replace(thing, shadow=[])]
            monkeypatch.setattr(drive, '_things', lambda time, alone=alone: alone)
            rows, columns = np.nonzero(own_pixels(drive, index, monkeypatch))
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            np.testing.assert_allclose(found, drive.truth(index).boxes[0], atol=2)
            checked += 1
    assert checked > 10


def own_pixels(drive, index, monkeypatch):
    """Return the pixels that are the same on a black and on a white ground, bool (H, W)."""
    images = []
    for tone in (0, 255):
        ground = np.full((drive.height, drive.width, 3), tone, np.uint8)
        monkeypatch.setattr(drive, '_empty', lambda camera, ground=ground: ground)
        images.append(drive.render(index).astype(int))
    return np.abs(images[0] - images[1]).max(axis=2) < 100


def test_an_object_keeps_id_label_and_size_and_moves_as_such_things_do(drive):
    last = {}
    for index in range(40):
        now = {mover.identity: mover for mover in movers(drive, index)}
        assert len(now) == len(movers(drive, index))
        for identity in now.keys() & last.keys():
            before, after = last[identity], now[identity]
            assert (before.label, before.size) == (after.label, after.size)
            step = np.linalg.norm(after.ground - before.ground) * RATE
            assert step < (4 if after.label == 'person' else 25)
        if last:
            assert len(now.keys() & last.keys()) > 0.8 * len(last)
        last = now


@pytest.mark.parametrize('camera', ['braking', 'driving', 'turning', 'handheld'])
def test_the_markings_of_the_road_are_where_the_pose_says(camera):
    drive, judged = scene(camera), 0
    road = drive._road
    for index in range(0, 400, 5):
        camera = drive.camera(index)
        y = road.nearest_crossing(camera.y + 12)
        if not 4 < y - camera.y < 14:
            continue
        assert (road.crossing + CROSSING / 2 - y) % PERIOD == pytest.approx(0)
        image = bare(drive, index).astype(int)
        for edge in np.arange(-2, 2.1, 0.5):  # between white and asphalt
            pair = [brightness(image, camera, road.place(edge + aside, y))
                    for aside in (-0.12, 0.12)]
            if None in pair or abs(edge) < road.median:
                continue
            assert (pair[1] > pair[0] + 15) == (edge % 1 == 0), (index, edge, pair)
            judged += 1
    assert judged > 20


def bare(drive, index):
    """Return an image of the empty road."""
    return drive._surroundings.background(drive.camera(index))


def brightness(image, camera, place):
    view = camera.to_view(np.array([[*place, 0.0]]))
    if view[0, 2] < 1:
        return None
    x, y = np.floor(camera.to_image(view)[0]).astype(int)
    inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
    return image[y, x].mean() if inside else None


@pytest.mark.parametrize('roll, pitch, yaw', [(0, 0, 0), (0.1, 0.2, 0.3), (-0.2, -0.05, -0.4)])
def test_a_picture_in_the_world_is_where_its_points_are_projected(roll, pitch, yaw):
    picture = np.zeros((160, 320, 4), np.uint8)
    picture[..., 3] = 255
    spots = {(40, 60): 0, (270, 50): 1, (150, 130): 2}  # of 8 x 8 texels, one in each channel
    for (column, row), channel in spots.items():
        picture[row - 4:row + 4, column - 4:column + 4, channel] = 255
    origin, right = np.array([-3.0, 9.0, 0.2]), np.array([8.0, 2.0, 0.0])
    up = np.array([0.0, 0.0, 4.0])
    camera = Camera(640, 360, 1.5, yaw, pitch, 500.0, roll, 0.3, -0.5)
    panel = Panel(halvings(picture), origin, right, up, np.array([0.2, -1.0, 0.0]))
    (_, seen, low), = Panels([panel]).warped(camera)
    for (column, row), channel in spots.items():
        rows, columns = np.nonzero(seen[..., channel] > 128)
        point = origin + right * column / 320 + up * (1 - row / 160)
        expected = camera.to_image(camera.to_view(point[None]))[0]
        if (expected > 5).all() and (expected < (635, 355)).all():
            found = np.array([columns.mean(), rows.mean()]) + 0.5 + low
            np.testing.assert_allclose(found, expected, atol=0.8)


def test_houses_and_trees_pass_as_the_camera_moves():
    drive = scene('driving')
    camera = drive.camera(0)
    ahead = replace(camera, y=camera.y + 1.0)
    shown = [{id(owner): owner.footprint for owner in drive._surroundings._near[1]}
             if drive._surroundings.standing(c) else {} for c in (camera, ahead)]
    assert shown[0].keys() & shown[1].keys() and len(shown[0]) > 20


def test_what_a_camera_does_is_what_its_name_says():
    poses = {name: [scene(name).camera(index) for index in range(0, 600, 2)] for name in DRIVES}

    def wobble(name, axis, frames=1):
        values = np.array([getattr(pose, axis) for pose in poses[name]])
        return np.degrees(np.abs(values[frames:] - values[:-frames])).mean()

    for name in DRIVES:
        assert np.diff([pose.y for pose in poses[name]]).min() >= 0
    assert wobble('turning', 'yaw') > 2 * wobble('driving', 'yaw')
    assert wobble('handheld', 'pitch') > 3 * wobble('driving', 'pitch')
    assert wobble('handheld', 'roll') > 3 * wobble('driving', 'roll')
    assert min(pose.height for pose in poses['drone']) > 10
    assert max(pose.height for name in DRIVES if name != 'drone' for pose in poses[name]) < 2
    speeds = np.diff([pose.y for pose in poses['braking']]) * RATE / 2
    assert speeds.min() < 0.1 and speeds.max() > 9
    road = scene('braking')._road
    stops = [pose.y for pose, speed in zip(poses['braking'], speeds) if speed < 0.1]
    assert all(3 < road.nearest_crossing(y) - y < 12 for y in stops)


@pytest.mark.parametrize('camera', ['driving', 'turning', 'braking'])
def test_a_car_with_a_camera_runs_into_nobody(camera):
    drive = scene(camera)
    for index in range(0, 600, 3):
        pose = drive.camera(index)
        for mover in movers(drive, index):
            away = pose.position[:2] - mover.ground
            ahead = away @ mover.heading
            aside = away @ (-mover.heading[1], mover.heading[0])
            assert abs(ahead) > mover.size[0] / 2 or abs(aside) > mover.size[1] / 2


def test_people_cross_and_no_vehicle_runs_into_them():
    drive, crossed = scene('braking'), set()
    road = drive._road
    for index in range(0, 900, 3):
        there = movers(drive, index)
        on_road = [m for m in there if m.label == 'person'
                   and abs(m.ground[0] - road.centre(m.ground[1])) < road.half - 0.5]
        crossed |= {person.identity for person in on_road}
        for person in on_road:
            for other in there:
                if other.label != 'person':
                    away = person.ground - other.ground
                    ahead = away @ other.heading
                    aside = away @ (-other.heading[1], other.heading[0])
                    assert (abs(ahead) > other.size[0] / 2 or abs(aside) > other.size[1] / 2)
    assert len(crossed) >= 5


def test_things_come_and_go(drive):
    ids = [set(drive.truth(index).ids.tolist()) for index in range(0, 600, 60)]
    assert len(set.union(*ids)) > 2 * max(map(len, ids))


@pytest.mark.parametrize('seed', range(20))
def test_painting_order_is_that_of_rays(seed):
    rng = np.random.default_rng(seed)
    eye, footprints = np.zeros(2), []
    while len(footprints) < 25:
        centre, turn = rng.uniform((-20, 2), (20, 60)), rng.uniform(0, math.pi)
        new = Footprint(centre, np.array([math.sin(turn), math.cos(turn)]),
                        rng.uniform(0.4, 12), rng.uniform(0.4, 2.5))
        if not any(overlap(new, old) for old in footprints):
            footprints.append(new)
    extents = np.tile([0.0, 0.0, 1.0, 1.0], (25, 1))
    place = np.argsort(painting_order(footprints, extents, eye))
    for angle in np.linspace(-1.4, 1.4, 400):
        ray = np.array([math.sin(angle), math.cos(angle)])
        hits = [(entry, i) for i, f in enumerate(footprints)
                if (entry := where_it_enters(ray, f)) is not None]
        inwards = [place[i] for _, i in sorted(hits)]
        assert inwards == sorted(inwards, reverse=True)


def corners(footprint):
    aside = np.array([-footprint.heading[1], footprint.heading[0]]) * footprint.width / 2
    ahead = footprint.heading * footprint.length / 2
    return footprint.centre + np.stack([ahead + aside, ahead - aside, -ahead - aside,
                                        aside - ahead])


def overlap(a, b):
    for one in (a, b):
        for axis in (one.heading, np.array([-one.heading[1], one.heading[0]])):
            first, second = corners(a) @ axis, corners(b) @ axis
            if first.max() < second.min() or second.max() < first.min():
                return False
    return True


def where_it_enters(ray, footprint):
    """Return how far from the origin a ray enters a rectangle, None if it passes it."""
    low, high = 0.0, np.inf
    for axis, half in ((footprint.heading, footprint.length / 2),
                       (np.array([-footprint.heading[1], footprint.heading[0]]),
                        footprint.width / 2)):
        speed, start = ray @ axis, -footprint.centre @ axis
        if abs(speed) < 1e-9:
            return None
        near, far = sorted(((-half - start) / speed, (half - start) / speed))
        low, high = max(low, near), min(high, far)
    return low if low < high else None


@pytest.mark.parametrize('arguments, words', [
    ({'camera': 'boat'}, 'camera.*boat'),
    ({'camera': 'drone', 'target': 'car'}, "target must be None with camera 'drone'.*car"),
    ({'camera': 'driving', 'occlusion': (1.0, 1.0)}, 'occlusion must be None')])
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        Scene(**arguments)


def test_a_camera_that_rolls_clockwise_turns_the_picture_the_other_way():
    level, rolled = (Camera(640, 360, 1.5, 0.3, 0.1, 500.0, roll) for roll in (0.0, 0.2))
    for camera in (level, rolled):
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
    right = level.position + 10 * level.axes[2] + 3 * level.axes[0]
    (_, before), (_, after) = (c.to_image(c.to_view(right[None]))[0] for c in (level, rolled))
    assert before == pytest.approx(180) and after < 155
