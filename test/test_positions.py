"""Positions from boxes: calibrations, the filter of one object, time to contact, depth, truth."""
from dataclasses import replace
import math

from acme_tracking.detections import Detections
from acme_tracking.metrics.positions import nees, nees_band, nees_of_objects
from acme_tracking.positions import locator as locator_module
from acme_tracking.positions.camera import Calibration, Camera, Mount
from acme_tracking.positions.contact import Growth
from acme_tracking.positions.depth import core_depth
from acme_tracking.positions.edges import Edges
from acme_tracking.positions.locator import Locator, PositionParameters
from acme_tracking.positions.solids import extents, KINDS
from acme_tracking.scene import Scene
import cv2
import numpy as np
import pytest

SECOND = 10**9
SIZE = 1280, 720
CALIBRATION = Calibration(*SIZE, 'plumb_bob', (1000.0, 0, 639.5, 0, 1000, 359.5, 0, 0, 1),
                          (0.0,) * 5, (900.0, 0, 639.5, 0, 0, 900, 359.5, 0, 0, 0, 1, 0))
CAMERA = Camera(CALIBRATION)
MOUNT = Mount.from_angles(height=1.5, pitch=math.radians(3))


def box_of(label, x, y, mount=MOUNT, heading=0.0, sizes=(1, 1, 1)):
    """Return the box of an object, not clipped: its solid as the test's own camera sees it."""
    kind = KINDS[label]
    state = np.array([[x, y, *np.multiply(kind.size, sizes), 0.0, heading]])
    left, top, right, bottom, _ = extents(mount, kind.corners(), state)[0]
    return np.array([left, top, right, bottom]) * 1000 + [640, 360, 640, 360]


def tracks(*boxes, label='car', ids=None):
    """Return sure tracks, clipped to the image."""
    boxes = np.clip(np.reshape(boxes, (-1, 4)), 0, [*SIZE, *SIZE])
    return Detections(boxes, [1.0] * len(boxes), [label] * len(boxes), ids or range(len(boxes)))


def locate(found, times=1, locator=None, seconds=0.1, camera=CAMERA, mount=MOUNT, depth=None):
    """Return the positions of the same tracks after some images."""
    locator = locator or Locator(PositionParameters())
    for index in range(times):
        positions = locator.locate(round(index * seconds * SECOND), found, SIZE, camera, mount,
                                   depth)
    return positions


# Calibrations


def test_pixels_of_a_pinhole_begin_where_boxes_do():
    assert CAMERA.rays([(640, 360), (1640, 360)]) == pytest.approx(np.array([(0, 0), (1, 0)]))
    assert Camera(CALIBRATION, rectified=True).rays([(1540, 360)]) == pytest.approx(
        np.array([(1, 0)]))


def test_distortion_is_taken_out_as_opencv_puts_it_in():
    matrix, points = np.reshape(CALIBRATION.matrix, (3, 3)), np.array([(0.3, -0.2), (-0.5, 0.1)])
    solid = np.column_stack([points, np.ones(2)])
    distortion = (-0.3, 0.12, 0.001, -0.002, 0.01)
    pixels = cv2.projectPoints(solid, np.zeros(3), np.zeros(3), matrix,
                               np.array(distortion))[0][:, 0] + 0.5
    assert Camera(replace(CALIBRATION, distortion=distortion)).rays(pixels) == pytest.approx(
        points, abs=1e-6)
    fisheye = replace(CALIBRATION, model='equidistant', distortion=(0.1, -0.05, 0.0, 0.0))
    pixels = cv2.fisheye.distortPoints(points[:, None], matrix,
                                       np.array(fisheye.distortion))[:, 0] + 0.5
    assert Camera(fisheye).rays(pixels) == pytest.approx(points, abs=1e-6)


def test_where_a_distortion_has_no_inverse_there_is_no_ray():
    camera = Camera(replace(CALIBRATION, distortion=(-0.5, 0.0, 0.0, 0.0, 0.0)))
    assert np.isnan(camera.rays([(1280, 720)])).all()
    assert np.isfinite(camera.rays([(700, 400)])).all()


@pytest.mark.parametrize('changes, words', [
    ({'matrix': (0.0,) * 9}, 'not calibrated: k is 0'),
    ({'matrix': (-5.0, 0, 9, 0, 5, 9, 0, 0, 1)}, 'focal lengths above 0'),
    ({'matrix': (math.nan, 0, 9, 0, 5, 9, 0, 0, 1)}, 'finite'),
    ({'matrix': (5.0, 0, 2000, 0, 5, 9, 0, 0, 1)}, 'principal point'),
    ({'width': 0}, 'width and height'),
    ({'model': 'thin_prism'}, 'distortion_model'),
    ({'distortion': (0.1, 0.2)}, 'd of plumb_bob'),
    ({'distortion': (math.inf,) * 5}, 'd of plumb_bob'),
])
def test_what_is_no_calibration_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        Camera(replace(CALIBRATION, **changes))


def test_a_transform_says_the_same_as_angles():
    # the quaternion of an optical frame that looks forward
    mount = Mount.from_quaternion((0.5, -0.2, 1.2), -0.5, 0.5, -0.5, 0.5)
    same = Mount.from_angles(0.5, -0.2, 1.2)
    assert mount.axes == pytest.approx(same.axes) and mount.position == pytest.approx(
        same.position)
    for position, quaternion in (((0, 0, -1), (-0.5, 0.5, -0.5, 0.5)), ((0, 0, 1), (0, 0, 0, 0))):
        with pytest.raises(ValueError):
            Mount.from_quaternion(position, *quaternion)


def test_angles_turn_as_those_of_the_scene():
    camera = Scene(camera='handheld', seed=3).camera(7)
    mount = Mount.from_angles(height=camera.height, roll=camera.roll, pitch=camera.pitch)
    ahead = np.array([math.sin(camera.yaw), math.cos(camera.yaw)])
    left = np.array([-ahead[1], ahead[0]])
    points = np.array([(12.0, 3.0, 0.4), (30.0, -5.0, 1.2)])
    world = np.column_stack([points[:, :1] * ahead + points[:, 1:2] * left + camera.position[:2],
                             points[:, 2]])
    assert mount.view(points) == pytest.approx(camera.to_view(world))


# One object


@pytest.mark.parametrize('label, x, y, heading', [
    ('car', 8, -3, 0), ('car', 20, 1, 0), ('car', 35, 4, 0), ('truck', 25, -4, 0),
    ('bus', 30, 5, 0), ('motorcycle', 12, 0, 0), ('person', 10, 2, 0), ('person', 30, -6, 0),
    ('car', 15, 0, math.pi / 2), ('bus', 30, 0, math.pi / 2)])
def test_an_object_of_usual_size_is_where_it_is(label, x, y, heading):
    positions = locate(tracks(box_of(label, x, y, heading=heading), label=label), times=10)
    assert positions.states[0, :2] == pytest.approx([x, y], abs=0.02 * x)
    assert positions.states[0, 2:] == pytest.approx([0, 0], abs=0.5)
    assert abs(math.cos(positions.headings[0] - heading)) > 0.98
    assert positions.sizes[0] == pytest.approx(KINDS[label].size, rel=0.05)


def test_a_camera_above_the_street_that_looks_aside_and_a_distorted_one_find_the_same():
    mount = Mount.from_angles(1.0, 0.5, 8.0, pitch=math.radians(20), yaw=math.radians(15),
                              roll=math.radians(4))
    positions = locate(tracks(box_of('car', 24, 8, mount)), times=10, mount=mount)
    assert positions.states[0, :2] == pytest.approx([24, 8], abs=0.3)


def test_errors_are_as_large_as_the_covariance_says():
    rng = np.random.default_rng(5)
    wanted = PositionParameters(box_deviation=1.5, relative_box_deviation=0.0,
                                pitch_deviation=0.4)
    squared = []
    for _ in range(150):
        x, y, kind = rng.uniform(8, 35), rng.uniform(-5, 5), KINDS['car']
        mount = Mount.from_angles(height=1.5, pitch=math.radians(3 + rng.normal(0, 0.4)))
        box = box_of('car', x, y, mount, rng.normal(0, 0.3),
                     np.exp(rng.normal(0, kind.deviation)))
        found = tracks(box + rng.normal(0, 1.5, 4))
        positions = locate(found, locator=Locator(wanted))
        error = positions.states[0, :2] - [x, y]
        squared.append(error @ np.linalg.solve(positions.covariances[0, :2, :2], error))
    assert 1.5 < np.mean(squared) < 2.6  # 2 on average, in 150 trials


def deviations(positions):
    """Return the deviations of x and y of the first object."""
    return np.sqrt(np.diag(positions.covariances[0, :2, :2]))


def test_a_box_that_the_border_cuts_says_so():
    whole = locate(tracks(box_of('car', 7, 0)), times=5)
    cut = locate(tracks(box_of('car', 5, 0)), times=5)  # its foot is below the image
    assert deviations(cut)[0] > 1.2 * deviations(whole)[0]
    assert abs(cut.states[0, 0] - 5) < 2 * deviations(cut)[0]
    aside = locate(tracks(box_of('car', 7, -5)), times=5)  # its right is out of the image
    assert deviations(aside)[1] > 1.2 * deviations(whole)[1]


def test_a_box_that_fills_the_image_has_no_position():
    assert not locate(tracks((0, 0, 1280, 720))).known[0]


def test_a_box_without_area_is_survived():
    flat = tracks((300, 200, 340, 200), (300, 200, 300, 240), (300, 240, 340, 200))
    assert len(locate(flat, times=3)) == 3


def test_a_foot_near_the_horizon_says_so():
    shares = []
    for x in 10, 30, 90:
        positions = locate(tracks(box_of('car', x, 0)))
        shares.append(deviations(positions)[0] / x)
    assert shares[0] < shares[1] < shares[2]
    above = tracks(box_of('car', 40, 0) - [0, 30, 0, 30])  # with a foot above the horizon
    positions = locate(above)
    assert positions.known[0] and deviations(positions)[0] > 3


def test_a_wrong_pitch_is_within_what_it_may_be():
    box = box_of('car', 30, 0, Mount.from_angles(height=1.5, pitch=math.radians(4)))
    for allowed, worst in ((0.05, 99), (1.0, 2.5)):
        positions = locate(tracks(box), locator=Locator(PositionParameters(
            pitch_deviation=allowed, box_deviation=0.5, relative_box_deviation=0.0)))
        off = abs(positions.states[0, 0] - 30) / deviations(positions)[0]
        assert off < worst
    assert deviations(positions)[0] > 1


def test_many_images_do_not_make_a_pitch_sure():
    sure, unsure = (locate(tracks(box_of('car', 30, 0)), 40, Locator(PositionParameters(
        pitch_deviation=allowed))) for allowed in (0.05, 1.0))
    assert deviations(unsure)[0] > 1.5 * deviations(sure)[0]


def test_images_that_come_faster_do_not_tell_more():
    found = tracks(box_of('person', 15, 0), label='person')
    wanted = PositionParameters(box_deviation=8.0, pitch_deviation=0.0)
    slow, fast = (deviations(locate(found, times, Locator(wanted), seconds))
                  for times, seconds in ((3, 0.5), (51, 0.02)))
    assert (fast > 0.9 * slow).all()


def test_a_box_with_a_low_score_and_other_edges_of_a_cut_one_are_believed_less():
    sure = tracks(box_of('car', 15, 0))
    unsure = replace(sure, scores=[0.2])
    assert deviations(locate(unsure, 5))[0] > 1.1 * deviations(locate(sure, 5))[0]
    box, known = sure.boxes[0], np.ones(4, bool)
    assert Edges(CAMERA, box, known & [True, True, False, True], 1.0).deviation == pytest.approx(
        2 * Edges(CAMERA, box, known, 1.0).deviation)


def test_a_box_that_contradicts_all_before_is_believed_less(monkeypatch):
    monkeypatch.setattr(locator_module, 'ANOTHER', math.inf)
    moved = []
    for aside in 2, 8:
        locator = Locator(PositionParameters(relative_box_deviation=0.0))
        locate(tracks(box_of('person', 20, 0), label='person'), 20, locator)
        far = tracks(box_of('person', 20, aside), label='person')
        moved.append(locator.locate(2 * SECOND, far, SIZE, CAMERA, MOUNT).states[0, 1])
    assert moved[1] < 2 * moved[0]  # though it is four times as far


def test_a_box_that_contradicts_all_before_too_much_is_that_of_another_object():
    locator = Locator(PositionParameters())
    before = locate(tracks(box_of('car', 35, 0)), 20, locator)
    there = tracks(box_of('car', 15, 2))
    after = locator.locate(2 * SECOND, there, SIZE, CAMERA, MOUNT)
    fresh = locate(there, 1)
    np.testing.assert_allclose(after.states, fresh.states, atol=0.2)
    assert after.covariances[0, 2, 2] > 20 * before.covariances[0, 2, 2], 'its speed is not known'


def test_a_depth_that_contradicts_all_before_is_that_of_what_passes_in_front():
    locator, box = Locator(PositionParameters(source='depth')), tracks(box_of('car', 35, 0))
    depth = np.full(SIZE[::-1], 35, np.float32)
    before = locate(box, 20, locator, depth=depth)
    after = locator.locate(2 * SECOND, box, SIZE, CAMERA, MOUNT, depth - 27)
    assert after.covariances[0, 2, 2] < 2 * before.covariances[0, 2, 2], 'its speed is still known'
    assert after.states[0, 0] > 25


def test_the_heading_follows_the_velocity():
    locator, course = Locator(PositionParameters()), math.radians(25)
    for index in range(40):
        x, y = 35 - 0.7 * index * math.cos(course), 4 - 0.7 * index * math.sin(course)
        positions = locator.locate(index * SECOND // 10, tracks(
            box_of('car', x, y, heading=course)), SIZE, CAMERA, MOUNT)
    assert abs(math.sin(positions.headings[0] - course)) < math.radians(8)


def test_velocity_against_the_vehicle_follows():
    locator = Locator(PositionParameters())
    for index in range(30):
        positions = locator.locate(index * SECOND // 10, tracks(
            box_of('car', 40 - 0.8 * index, -2 + 0.1 * index)), SIZE, CAMERA, MOUNT)
    assert positions.states[0, 2:] == pytest.approx([-8, 1], abs=0.4)
    assert positions.states[0, :2] == pytest.approx([40 - 0.8 * 29, 0.9], abs=0.4)


def test_what_is_not_measured_for_a_second_is_not_known_any_more():
    locator, nothing = Locator(PositionParameters()), tracks((0, 0, 1280, 720))
    locate(tracks(box_of('car', 12, 0)), locator=locator)
    predicted = locator.locate(SECOND // 2, nothing, SIZE, CAMERA, MOUNT)
    assert predicted.known[0] and deviations(predicted)[0] > 2
    assert locator.locate(SECOND, nothing, SIZE, CAMERA, MOUNT).known[0]
    assert not locator.locate(SECOND * 5 // 4, nothing, SIZE, CAMERA, MOUNT).known[0]


def test_without_a_calibration_there_is_only_time_to_contact():
    locator = Locator(PositionParameters())
    for index in range(20):
        positions = locator.locate(index * SECOND // 10, tracks(
            box_of('car', 34.3 - index, 0)), SIZE)
    assert not positions.known.any() and np.isnan(positions.states).all()
    # its rear is 2.2 m before its middle, and comes with 10 m/s
    assert positions.times_to_contact[0] == pytest.approx((34.3 - 19 - 2.2) / 10, rel=0.1)


# Time to contact


def test_growth_tells_the_time_and_is_smooth():
    rng = np.random.default_rng(1)
    growth, told = Growth(30.0, 0.02), []
    for index in range(1, 60):
        growth.predict(0.1)
        growth.update(30 * 8 / (8 - 0.1 * index) * math.exp(rng.normal(0, 0.02)), 0.02)
        told.append(growth.time_to_contact * 1.0)
    true = 8 - 0.1 * np.arange(1, 60)
    assert np.median(np.abs(told - true)[30:] / true[30:]) < 0.08
    assert np.abs(np.diff(told[30:])).max() < 1.0


def test_what_goes_away_or_stays_has_no_time_to_contact():
    for factor in 1.0, 0.97:
        growth = Growth(50.0, 0.02)
        for index in range(20):
            growth.predict(0.1)
            growth.update(50 * factor ** index, 0.02)
        assert growth.time_to_contact == math.inf


def test_growth_goes_on_with_the_width_when_the_height_is_cut():
    growth = Growth(100.0, 0.01)
    for index in range(1, 20):
        growth.predict(0.1)
        growth.update(100 * 5 / (5 - 0.1 * index), 0.01)
    before = growth.rate[0]
    growth.go_on_with(400.0, 0.01)
    assert growth.rate[0] == before


# Depth


def test_the_depth_of_the_core_counts():
    depth = np.full((720, 1280), 30, np.float32)
    depth[200:400, 300:500] = 12
    depth[250:260, 300:500] = np.nan
    depth[260:270, 300:500] = 0
    assert core_depth(depth, (300, 200, 500, 400)) == (12, 0)
    assert core_depth(np.full((720, 1280), np.nan, np.float32), (300, 200, 500, 400)) is None
    assert core_depth(np.zeros((720, 1280), np.float32), (300, 200, 500, 400)) is None
    assert core_depth(depth, (2000, 200, 2100, 400)) is None


def test_with_depth_neither_pitch_nor_usual_height_counts():
    sizes = 1.3, 1.2, 1.25
    wrong = Mount.from_angles(height=1.5, pitch=math.radians(6))
    found = tracks(box_of('car', 20, 3, wrong, sizes=sizes))
    depth = np.full((720, 1280), 20 - 4.4 * 1.3 / 2, np.float32)
    locator = Locator(PositionParameters(source='depth'))
    positions = locate(found, 10, locator, depth=depth)
    assert positions.states[0, :2] == pytest.approx([20, 3], abs=0.8)
    assert positions.sizes[0, 2] == pytest.approx(1.55 * 1.25, rel=0.05)
    assert not locate(found, 1, Locator(PositionParameters(source='depth')),
                      depth=np.full((720, 1280), np.nan, np.float32)).known[0]


# The path


def test_nearest_in_path_is_what_reaches_into_it():
    found = tracks(box_of('car', 25, 0), box_of('car', 12, -4), box_of('car', 18, 1.8))
    positions = locate(found, times=10)
    assert positions.in_path(2.5).tolist() == [True, False, True]
    assert positions.nearest_in_path(2.5) == pytest.approx(18 - 2.2, abs=0.5)
    assert positions.in_path(1.0).tolist() == [True, False, False]
    empty = Detections([], [], [], [])
    assert locate(empty).nearest_in_path(2.5) == math.inf


# Scores


def test_errors_are_measured_by_their_covariance():
    errors, covariances = [(2, 0), (1, 3)], [np.diag([4.0, 1]), np.diag([1.0, 9])]
    assert nees(errors, covariances) == pytest.approx([1, 2])
    assert nees_of_objects([1, 3, 8], ['a', 'a', 'b']) == (5, 2)
    low, high = nees_band(25)
    assert (low, high) == pytest.approx((1.294, 2.857), abs=0.001)  # chi2 of 50, over 25


# Truth of the scene


@pytest.mark.parametrize('kind', ['fixed', 'driving'])
def test_the_scene_tells_how_things_move(kind):
    scene = Scene(camera=kind, seed=2, rate=20, width=320, height=180)
    motion, later = scene.motion(40), scene.motion(41)
    now = dict(zip(motion.ids.tolist(), motion.states, strict=True))
    then = dict(zip(later.ids.tolist(), later.states, strict=True))
    both = now.keys() & then.keys()
    assert len(both) > 5
    for identity in both:
        moved = (then[identity][:2] - now[identity][:2]) * 20
        assert moved == pytest.approx((now[identity][2:] + then[identity][2:]) / 2, abs=0.3)
    near = motion.states[:, 0] - motion.sizes[:, 0] / 2
    straight = (np.abs(np.sin(motion.headings)) < 0.02) & np.isfinite(motion.times_to_contact)
    expected = near[straight] / -motion.states[straight, 2]
    assert motion.times_to_contact[straight] == pytest.approx(expected, rel=0.1)


def test_the_scene_tells_how_deep_its_pixels_are():
    scene = Scene(camera='driving', seed=1, rate=15, width=320, height=180)
    depth, truth, camera = scene.depth(10), scene.truth(10), scene.camera(10)
    assert depth.shape == (180, 320) and np.isnan(depth[0]).all()
    seen = truth.visibility > 0.9
    assert seen.any()
    view = camera.to_view(np.column_stack([truth.positions, np.full(len(truth), 0.8)]))
    for box, (_, _, middle), size in zip(truth.boxes[seen], view[seen], truth.sizes[seen],
                                         strict=True):
        found = core_depth(depth, box)
        assert found is not None and middle - size[0] <= found[0] <= middle + 0.3
