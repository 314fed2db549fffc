"""The locator node over DDS, and its messages."""
import math
import sys
import types

from acme_tracking.detections import Detections
from acme_tracking.messages import (
    calibration_from_msg,
    depth_from_msg,
    detections_to_msg,
    motions_to_msg,
    ns_to_stamp,
    positions_to_msg,
    range_to_msg,
    stamp_to_ns,
)
from acme_tracking.nodes.locator import LocatorNode
from acme_tracking.positions.locator import Positions
from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, Range, RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

INFO = CameraInfo(width=640, height=360, distortion_model='plumb_bob', d=[0.0] * 5,
                  k=[500.0, 0, 320, 0, 500, 180, 0, 0, 1])
# a car 15 m ahead
TRACKS = Detections([(290, 178, 350, 235)], [0.9], ['car'], [7])
NAN = np.nan
# a car in the path and something of which only the growth is known
POSITIONS = Positions(
    np.array([7, 2**32 + 9]), np.array(['car', 'person']), np.array([0.75, 0.5]),
    np.array([[15, 1, -8, 0.5], [NAN] * 4]), np.array([np.diag([4.0, 1, 9, 1]),
                                                       np.full((4, 4), NAN)]),
    np.array([[4.0, 2, 1.5], [NAN] * 3]), np.array([[0.4, 0.2, 0.3], [NAN] * 3]),
    np.array([math.pi / 2, NAN]), np.array([1.5, math.inf]))


def depth_image(encoding, pixels):
    """Return a depth image of two pixels, as a message."""
    data = np.asarray(pixels, {'16UC1': '<u2', '32FC1': '<f4'}[encoding])
    return Image(encoding=encoding, width=2, height=1, step=data.nbytes,
                 data=data.tobytes())


# Messages


def test_positions_that_are_known_become_boxes_on_the_ground():
    header = Header(frame_id='base_link')
    detection, = positions_to_msg(POSITIONS, header).detections
    assert (detection.id, detection.header.frame_id) == ('7', 'base_link')
    center, size = detection.bbox.center, detection.bbox.size
    assert (center.position.x, center.position.y, center.position.z) == (15, 1, 0.75)
    assert (size.x, size.y, size.z) == (4, 2, 1.5)
    assert center.orientation.z == pytest.approx(math.sqrt(0.5))
    result, = detection.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ('car', 0.75)
    assert result.pose.pose == center
    covariance = np.reshape(result.pose.covariance, (6, 6))
    assert np.diag(covariance)[:3] == pytest.approx([4, 1, 0.15 ** 2])


def test_all_tracks_become_points_with_their_motion():
    cloud = motions_to_msg(POSITIONS, 2.5, Header())
    assert [field.name for field in cloud.fields] == [
        'x', 'y', 'z', 'vx', 'vy', 'time_to_contact', 'id', 'in_path']
    assert (cloud.width, cloud.height, cloud.is_dense) == (2, 1, False)
    kinds = {7: '<f4', 6: '<u4', 2: 'u1'}
    points = np.frombuffer(bytes(cloud.data), np.dtype({
        'names': [field.name for field in cloud.fields],
        'formats': [kinds[field.datatype] for field in cloud.fields],
        'offsets': [field.offset for field in cloud.fields], 'itemsize': cloud.point_step}))
    assert points[0].tolist() == (15, 1, 0.75, -8, 0.5, 1.5, 7, 1)
    assert points['id'][1] == 9 and np.isnan(points['x'][1]) and points['in_path'][1] == 0
    assert points['time_to_contact'][1] == math.inf


def test_nearest_in_path_is_a_range_and_infinite_for_nothing():
    assert range_to_msg(POSITIONS.nearest_in_path(2.5), Header()).range == pytest.approx(14)
    assert range_to_msg(POSITIONS.nearest_in_path(0.01) + math.inf, Header()).range == math.inf


def test_depth_is_read_in_metres():
    assert depth_from_msg(depth_image('16UC1', [1500, 0]))[0] == pytest.approx([1.5, 0])
    assert depth_from_msg(depth_image('32FC1', [2.5, NAN]))[0, 0] == 2.5
    turned = Image(encoding='16UC1', width=1, height=1, step=2, is_bigendian=1, data=[1, 0])
    assert depth_from_msg(turned) == pytest.approx(np.array([[0.256]]))


@pytest.mark.parametrize('changes, words', [
    ({'encoding': 'bgr8'}, "16UC1 or 32FC1, got 'bgr8'"), ({'step': 2}, 'step'),
    ({'height': 5}, 'bytes of')])
def test_what_is_no_depth_image_is_refused(changes, words):
    message = depth_image('16UC1', [1, 2])
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=words):
        depth_from_msg(message)


@pytest.mark.parametrize('changes', [{'binning_x': 2}, {'roi': RegionOfInterest(width=9)}])
def test_a_calibration_of_a_part_of_the_image_is_refused(changes):
    with pytest.raises(ValueError, match='binning or roi'):
        calibration_from_msg(CameraInfo(**changes))


# The node


class Harness:
    """Publishes what the locator needs, and keeps what it says."""

    def __init__(self, graph, topics=('tracks_3d', 'track_motions', 'nearest_in_path'),
                 **parameters):
        self.graph, self.stamp, self.received = graph, 0, {topic: [] for topic in topics}
        self.locator = graph.add(LocatorNode(parameter_overrides=[
            Parameter(name, value=value) for name, value in parameters.items()]))
        kinds = {'tracks_3d': Detection3DArray, 'track_motions': PointCloud2,
                 'nearest_in_path': Range}
        for topic in topics:
            graph.node.create_subscription(kinds[topic], topic, self.received[topic].append, 10)
        self.tracks = graph.node.create_publisher(Detection2DArray, 'tracks', 10)
        self.info = graph.node.create_publisher(CameraInfo, 'camera_info', 10)
        self.depth = graph.node.create_publisher(Image, 'depth_image', 10)
        assert self.locator.start()

    def publish(self, depth=None):
        """Publish tracks with a new stamp, and what belongs to them."""
        self.stamp += 10**8
        header = Header(stamp=ns_to_stamp(self.stamp), frame_id='camera')
        INFO.header = header
        self.info.publish(INFO)
        if depth is not None:
            depth.header = header
            self.depth.publish(depth)
        self.tracks.publish(detections_to_msg(TRACKS, header))

    def wait(self, topic, depth=None):
        """Publish until a topic says something; return it."""
        def told():
            self.publish(depth)
            return self.received[topic]
        return self.graph.wait_until(told)[-1]


def test_positions_have_the_stamps_of_tracks_and_the_frame_of_the_vehicle(graph):
    harness = Harness(graph)
    message = harness.wait('tracks_3d')
    assert message.header.frame_id == 'base_link'
    assert 0 < stamp_to_ns(message.header.stamp) <= harness.stamp
    assert message.detections[0].id == '7'
    assert message.detections[0].bbox.center.position.x == pytest.approx(15, abs=0.5)
    assert harness.wait('track_motions').width == 1
    assert harness.wait('nearest_in_path').range == pytest.approx(15 - 2.2, abs=0.6)


def test_what_nobody_listens_to_is_not_published(graph, monkeypatch):
    made = []
    monkeypatch.setattr('acme_tracking.nodes.locator.positions_to_msg',
                        lambda *arguments: made.append(arguments))
    harness = Harness(graph, topics=('track_motions',))
    harness.wait('track_motions')
    assert made == []


def test_positions_by_depth(graph):
    harness = Harness(graph, source='depth')
    pixels = np.full((360, 640), 21000, '<u2')
    message = harness.wait('tracks_3d', Image(
        encoding='16UC1', width=640, height=360, step=1280, data=pixels.tobytes()))
    assert message.detections[0].bbox.center.position.x == pytest.approx(23.2, abs=1)


def test_tf_that_is_not_installed_is_named(graph, capfd):
    if 'tf2_ros' in sys.modules:
        pytest.skip('tf2_ros is installed')
    node = graph.add(LocatorNode(parameter_overrides=[Parameter('mount_from', value='tf')]))
    assert not node.start()
    assert 'mount_from: tf needs tf2_ros, which is not installed' in capfd.readouterr().err


def test_the_mount_comes_from_tf(graph, monkeypatch):
    """A stand-in for tf2_ros, which is no wheel: it knows of a camera 3 m above the ground."""
    module, closed = types.ModuleType('tf2_ros'), []

    class Buffer:
        def lookup_transform(self, target, source, time):
            if (target, source) != ('base_link', 'camera'):
                raise module.TransformException(f'no frame {source}')
            found = TransformStamped()
            found.transform.translation.z = 3.0
            turn = found.transform.rotation
            turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
            return found

    class TransformListener:
        def __init__(self, buffer, node, *, spin_thread):
            assert not spin_thread

        def unregister(self):
            closed.append(True)

    module.Buffer, module.TransformListener = Buffer, TransformListener
    module.TransformException = type('TransformException', (Exception,), {})
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    harness = Harness(graph, mount_from='tf', pitch_deviation=0.0)
    assert harness.wait('tracks_3d').detections[0].bbox.center.position.x > 20
    harness.locator.on_shutdown(None)
    assert closed == [True]
