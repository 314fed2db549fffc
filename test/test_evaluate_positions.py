"""Positions judged by their truth: what bags carry of it, and what `evaluate` makes of that."""
from dataclasses import replace
import json
import math

import cv2
import numpy as np
import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking.bags.reading import BagReader  # noqa: E402
from acme_tracking.bags.topics import POSITIONS, RELIABLE_QOS, TRANSFORMS  # noqa: E402
from acme_tracking.bags.transforms import (  # noqa: E402
    MOVING,
    STATIC,
    transform_to_msg,
    Transforms,
)
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation import run, sequence_run  # noqa: E402
from acme_tracking.evaluation.outcome import Outcome  # noqa: E402
from acme_tracking.evaluation.positions import by_distance, Judge, Place, Samples  # noqa: E402
from acme_tracking.evaluation.report import in_words  # noqa: E402
from acme_tracking.messages import (  # noqa: E402
    camera_info_of_size,
    ns_to_stamp,
    positions_to_msg,
)
from acme_tracking.metrics.positions import figures  # noqa: E402
from acme_tracking.positions.locator import Positions  # noqa: E402
from acme_tracking.sessions.location import LocatorParameters  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

SECOND = 10 ** 9
TOPIC = '/image_raw'
COUNT = 30


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Make a bag of a rendered drive, with depth, and return it with its true boxes by stamp."""
    path = tmp_path_factory.mktemp('positions') / 'drive'
    assert main(['bag', 'make', f'scene:driving:11:{COUNT}', str(path), '--rate', '10',
                 '--depth']) == 0
    with BagReader(path) as bag:
        return path, bag.detections(bag.truth_topic(TOPIC))


def judged(drive, least=0.0, **parameters):
    """Return the figures of tracks that are the true boxes, and what the locator warned of."""
    path, truth = drive
    outcome = Outcome()
    for stamp, true in truth.items():
        seen = true.select(true.scores > 0)
        outcome.add(stamp, replace(seen, scores=np.full(len(seen), 0.9)))
    with BagReader(path) as bag:
        judge = Judge(bag, TOPIC, LocatorParameters(**parameters))
        return figures(judge.samples(outcome, truth, least)), judge.warnings


def test_a_rendered_drive_carries_its_truth_in_metres(drive):
    path, truth = drive
    with BagReader(path) as bag:
        kinds = {topic.name: topic.count for topic in bag.topics}
        info, _ = next(bag.messages('/camera_info'))
        places = [message for message, _ in bag.messages('/ground_truth_3d')]
        assert bag.image_topic() == TOPIC, 'depth images are not those of another camera'
    assert kinds == dict.fromkeys(('/image_raw', '/camera_info', '/ground_truth', '/tf',
                                   '/ground_truth_3d', '/depth_image'), COUNT)
    assert info.k[0] > 0 and info.k[0] == info.p[0]
    for message in places:
        true = truth[message.header.stamp.sec * SECOND + message.header.stamp.nanosec]
        assert {int(one.id) for one in message.detections} <= set(true.ids.tolist())
    assert message.header.frame_id == 'base_link'


def test_true_boxes_of_a_known_camera_are_where_they_are(drive):
    found, warnings = judged(drive, mount_from='tf')
    assert found['samples'] > 20 and found['known'] == 1 and not warnings
    assert found['along_relative_median'] < 0.05 and found['lateral_m_median'] < 0.3
    assert found['nees'] < found['nees_band'][1]


def test_a_camera_that_is_mounted_otherwise_is_told_by_the_figures(drive):
    found, _ = judged(drive, camera_height=1.5, camera_pitch=8.0)
    assert found['along_relative_median'] > 0.2
    assert found['nees'] > found['nees_band'][1]


def test_depth_is_that_of_the_bag(drive):
    by_boxes, _ = judged(drive, mount_from='tf')
    by_depth, _ = judged(drive, mount_from='tf', source='depth')
    assert by_depth['samples'] == by_boxes['samples']
    assert by_depth['along_relative_median'] < 0.7 * by_boxes['along_relative_median']


def test_tracks_that_do_not_count_have_no_samples(drive):
    assert judged(drive, least=0.95, mount_from='tf')[0] is None


def test_without_a_transform_it_is_said_and_nothing_is_known(drive):
    found, warnings = judged(drive, mount_from='tf', base_frame='trailer')
    assert found is None
    assert warnings == ["no positions: no transform to base_frame: there is no transform from "
                        "'camera_optical_frame' to 'trailer': that of 'base_link' is missing on "
                        "/tf and /tf_static"]
    assert in_words(found) == 'not one is known'


def test_evaluate_tells_positions(drive, tmp_path, monkeypatch, capsys):
    path, truth = drive
    waiting = iter(truth.values())

    def make_detector(settings, threads):
        def detect(image):
            true = next(waiting)
            seen = true.select(true.scores > 0)
            return Detections(seen.boxes, np.full(len(seen), 0.9), seen.labels)
        return detect
    monkeypatch.setattr(sequence_run, 'make_detector', make_detector)
    assert main(['evaluate', str(path), '--out', str(tmp_path / 'run'), '--jobs', '1', '--modes',
                 'continuous', '--latency', '0', '--set', 'locator.mount_from=tf']) == 0
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    found = metrics['modes']['continuous']['positions']
    assert found['all']['samples'] == sum(
        one['samples'] for name, one in found.items() if name != 'all') > 0
    assert found['all']['along_relative_median'] < 0.1
    assert found['all'] == metrics['bags']['drive']['modes']['continuous']['positions']['all']
    assert 'Positions:\ncontinuous: along' in capsys.readouterr().out
    assert 'Where they are' in (tmp_path / 'run' / 'report.html').read_text()


def positions_of(ids, x):
    count = len(ids)
    return Positions(
        np.array(ids), np.array(['car'] * count), np.ones(count),
        np.array([[x, 0.0, 0.0, 0.0]] * count), np.array([np.eye(4)] * count),
        np.ones((count, 3)), np.zeros((count, 3)), np.zeros(count), np.full(count, 2.2))


def test_figures_by_hand():
    samples = Samples(farthest=40)
    for second, error in ((0.0, 9.0), (1.0, 1.0), (2.0, -2.0)):  # in the first it settles
        samples.add('drive', second, positions_of([7], 10 + error), [3],
                    {3: Place(10.0, 0.0, 8.0, 2.0)})
    samples.add('drive', 3.0, positions_of([7], 10.0), [-1], {3: Place(10.0, 0.0, 8.0)})
    samples.add('drive', 3.0, positions_of([7], 10.0), [3], {3: Place(4.0, 0.0, 2.0)})  # too near
    samples.add('drive', 3.0, positions_of([7], 50.0), [3], {3: Place(50.0, 0.0, 48.0)})
    found = figures(samples.rows)
    assert (found['samples'], found['objects'], found['known']) == (2, 1, 1.0)
    assert found['along_relative_median'] == 0.15 and found['lateral_m_median'] == 0
    assert found['nees'] == 2.5  # (1 + 4) / 2
    assert (found['ttc_relative_median'], found['ttc_samples']) == (0.1, 2)
    assert figures(samples.rows, 20, 40) is None
    assert list(by_distance(samples.rows)) == ['all', '10-20 m']
    two_bags = run._positions([samples.rows, samples.rows])['positions']['all']
    assert (two_bags['samples'], two_bags['objects']) == (4, 2)


def test_what_is_not_known_counts_as_that():
    samples = Samples()
    lost = positions_of([7], math.nan)
    for second in (0.0, 1.0, 2.0):
        samples.add('drive', second, positions_of([7], 10.0) if second < 2 else lost, [3],
                    {3: Place(10.0, 0.0, 8.0)})
    found = figures(samples.rows)
    assert (found['samples'], found['known']) == (1, 0.5)


@pytest.mark.parametrize('y, aside, comes', [(1.0, 0.0, True), (1.0, -1.0, True),
                                             (5.0, 0.0, False), (5.0, -1.0, True)])
def test_times_to_contact_count_of_what_will_pass_near(y, aside, comes):
    assert math.isfinite(Place.moving(20.0, y, 18.0, 2.0, aside).contact) == comes


def test_times_to_contact_are_those_of_the_true_places(tmp_path):
    """A car of 4 m, 22 m ahead, comes nearer by 10 m/s: its front is beside us in 2 s."""
    header = Header(stamp=ns_to_stamp(SECOND), frame_id='base_link')
    with BagWriter(tmp_path / 'bag') as writer:
        topic = writer.topic('/ground_truth_3d', POSITIONS, RELIABLE_QOS)
        for index in range(5):
            stamp = SECOND + index * SECOND // 10
            header.stamp = ns_to_stamp(stamp)
            writer.write(topic, stamp, positions_to_msg(replace(
                positions_of([3], 22.0 - index), sizes=np.array([[4.0, 2.0, 1.5]])), header))
        info = writer.topic('/camera_info', 'sensor_msgs/msg/CameraInfo', RELIABLE_QOS)
        writer.write(info, SECOND, camera_info_of_size(640, 360))
    with BagReader(tmp_path / 'bag') as bag:
        places = Judge(bag, TOPIC, LocatorParameters())._places
        high = Judge(bag, TOPIC, LocatorParameters(camera_height=8.0))._places
    place = places[SECOND + 2 * SECOND // 10][3]
    assert (place.x, place.near) == (20.0, 18.0)
    assert place.contact == pytest.approx(1.8)
    assert high[SECOND][3].contact == math.inf, 'nothing touches a camera high above the street'


@pytest.mark.parametrize('without', ['camera_info', 'ids'])
def test_a_truth_that_cannot_be_used_is_said(tmp_path, without):
    positions = positions_of([3], 10.0)
    with BagWriter(tmp_path / 'bag') as writer:
        topic = writer.topic('/ground_truth_3d', POSITIONS, RELIABLE_QOS)
        message = positions_to_msg(positions, Header(frame_id='base_link'))
        if without == 'ids':
            message.detections[0].id = 'car-3'
            info = writer.topic('/camera_info', 'sensor_msgs/msg/CameraInfo', RELIABLE_QOS)
            writer.write(info, 0, camera_info_of_size(640, 360))
        writer.write(topic, 0, message)
    with BagReader(tmp_path / 'bag') as bag, pytest.raises(
            ValueError, match='no camera_info' if without == 'camera_info' else "got 'car-3'"):
        Judge(bag, TOPIC, LocatorParameters())


def test_depth_of_what_nobody_knows_is_refused(tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / '1.png'), np.zeros((8, 8, 3), np.uint8))
    assert main(['bag', 'make', str(tmp_path / 'images'), str(tmp_path / 'bag'), '--depth']) == 1
    assert '--depth' in capsys.readouterr().err


@pytest.fixture
def frames(tmp_path):
    """Make a bag of a mast that turns by 90 degrees after a second, and a camera upon it."""
    with BagWriter(tmp_path / 'frames') as writer:
        moving = writer.topic(MOVING, TRANSFORMS, RELIABLE_QOS)
        static = writer.topic(STATIC, TRANSFORMS, RELIABLE_QOS)
        for time, degrees in ((1, 0), (2, 90)):
            header = Header(stamp=ns_to_stamp(time * SECOND), frame_id='mast')
            writer.write(moving, time * SECOND, transform_to_msg(
                'base_link', header, (1.0, 0.0, 0.0), Rotation.from_euler('z', degrees, True)))
        writer.write(static, SECOND, transform_to_msg(
            '/mast', Header(stamp=ns_to_stamp(5 * SECOND), frame_id='camera'), (2.0, 0.0, 3.0),
            Rotation.identity()))
    with BagReader(tmp_path / 'frames') as bag:
        return Transforms(bag)


@pytest.mark.parametrize('seconds, expected', [
    (0.5, (3, 0, 3)), (1.9, (3, 0, 3)), (2.0, (1, 2, 3)), (9.0, (1, 2, 3))])
def test_transforms_follow_each_other(frames, seconds, expected):
    origin, _ = frames.pose('base_link', 'camera', round(seconds * SECOND))
    assert origin == pytest.approx(expected)


def test_a_frame_without_a_transform_is_named(frames):
    with pytest.raises(ValueError, match="from 'camera' to 'map'.*'base_link' is missing"):
        frames.pose('map', 'camera', SECOND)
