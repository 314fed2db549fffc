"""Height and pitch of a camera from tracks: `acme_tracking calibrate`."""
import math

from acme_tracking.bags.topics import CAMERA_INFO, DETECTIONS, RELIABLE_QOS
from acme_tracking.bags.writing import BagWriter
from acme_tracking.cli import main
from acme_tracking.detections import Detections
from acme_tracking.messages import camera_info_of_size, detections_to_msg, ns_to_stamp
from acme_tracking.positions.camera import Calibration, Camera, Mount
from acme_tracking.positions.self_calibration import estimate
from acme_tracking.positions.solids import extents, KINDS
import numpy as np
import pytest
from std_msgs.msg import Header

SIZE = 1280, 720
MATRIX = (1000.0, 0, 639.5, 0, 1000, 359.5, 0, 0, 1)
CAMERA = Camera(Calibration(*SIZE, 'plumb_bob', MATRIX, (0.0,) * 5))


def drive(height=1.4, pitch=2.5, objects=14, pixels=1.0, nods=0.2, label='car'):
    """Return the tracks, {stamp: tracks}, of objects of chance sizes that come nearer."""
    rng, kind = np.random.default_rng(4), KINDS[label]
    sizes = kind.size * np.exp(rng.normal(0, kind.deviation, (objects, 3)))
    far, aside = rng.uniform(20, 45, objects), rng.uniform(-6, 6, objects)
    found = {}
    for index in range(25):
        mount = Mount.from_angles(height=height, pitch=math.radians(pitch + rng.normal(0, nods)))
        states = np.column_stack([far - 0.6 * index, aside, sizes, np.zeros((objects, 2))])
        edges = np.array([extents(mount, kind.corners(), state[None])[0, :4] for state in states])
        boxes = edges * 1000 + [640, 360, 640, 360] + rng.normal(0, pixels, (objects, 4))
        seen = np.isfinite(boxes).all(axis=1)
        found[index * 10**8] = Detections(boxes[seen], np.ones(seen.sum()), [label] * seen.sum(),
                                          np.arange(objects)[seen])
    return found


@pytest.mark.parametrize('height, pitch', [(1.2, 0.0), (1.4, 2.5), (1.8, 5.0)])
def test_a_drive_tells_height_and_pitch_within_their_deviations(height, pitch):
    pose = estimate(drive(height, pitch), CAMERA)
    assert pose.objects == 14
    assert abs(pose.height - height) < min(0.16, 2.5 * pose.height_deviation)
    off = abs(pose.pitch - math.radians(pitch))
    assert off < min(math.radians(0.4), 2.5 * pose.pitch_deviation)


def test_few_objects_and_a_camera_from_above_are_refused():
    with pytest.raises(ValueError, match='3 objects of known classes'):
        estimate(drive(objects=3), CAMERA)
    with pytest.raises(ValueError, match='cannot be calibrated by what it tracks'):
        estimate(drive(height=9.0, pitch=14.0), CAMERA)


def write(path, tracks, info):
    """Write a bag of tracks and camera_info."""
    with BagWriter(path) as bag:
        topics = (bag.topic('/front/tracks', DETECTIONS, RELIABLE_QOS),
                  bag.topic('/front/camera_info', CAMERA_INFO, RELIABLE_QOS))
        for stamp, found in tracks.items():
            header = Header(stamp=ns_to_stamp(stamp))
            bag.write(topics[0], stamp, detections_to_msg(found, header))
            bag.write(topics[1], stamp, info)
    return str(path)


def test_the_verb_prints_the_parameters_of_the_locator(tmp_path, capsys):
    info = camera_info_of_size(*SIZE)
    info.distortion_model, info.k, info.d = 'plumb_bob', MATRIX, [0.0] * 5
    assert main(['calibrate', write(tmp_path / 'bag', drive(), info)]) == 0
    lines = capsys.readouterr().out.splitlines()
    values = {line.split(':')[0]: float(line.split()[1]) for line in lines[1:]}
    assert lines[0] == 'of 14 objects on 25 images'
    assert values == pytest.approx({'camera_height': 1.4, 'camera_pitch': 2.5}, abs=0.35)


def test_what_is_missing_is_said_in_one_line(tmp_path, capsys):
    path = write(tmp_path / 'bag', drive(objects=5), camera_info_of_size(*SIZE))
    assert main(['calibrate', path]) == 1
    assert 'not calibrated' in capsys.readouterr().err
    assert main(['calibrate', path, '--tracks', 'others']) == 1
    assert 'must have one topic others' in capsys.readouterr().err
