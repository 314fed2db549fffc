"""The camera node over DDS: every image, in order, unchanged; and sources that misbehave."""
import json
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time

from acme_tracking.messages import image_from_compressed, image_from_msg, stamp_to_ns
from acme_tracking.nodes.camera import CameraNode
from acme_tracking.scene import Scene
import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mjpeg_server import MjpegServer
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

ROOT = Path(__file__).resolve().parent.parent
DEEP = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
CALIBRATION = """\
image_width: 64
image_height: 48
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [58, 0, 31, 0, 0, 59, 23, 0, 0, 0, 1, 0]}
"""


class Listener:
    """Collects what a camera node publishes."""

    def __init__(self, graph):
        self.graph = graph
        self.images, self.compressed, self.infos, self.health = [], [], [], []
        self.arrived = []
        self.node = graph.node
        self.node.create_subscription(CameraInfo, 'camera_info', self.infos.append, 50)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_health, 50)

    def subscribe(self, compressed=False):
        """Subscribe to the images."""
        if compressed:
            return self.node.create_subscription(CompressedImage, 'image_raw/compressed',
                                                 self.compressed.append, DEEP)
        return self.node.create_subscription(Image, 'image_raw', self._on_image, DEEP)

    def _on_image(self, message):
        self.images.append(message)
        self.arrived.append(time.monotonic())

    def _on_health(self, array):
        status, = array.status
        if status.name == '/camera':
            self.health.append(status)

    def value(self, key):
        """Return a value of the latest diagnostics."""
        values = {pair.key: pair.value for pair in self.health[-1].values} if self.health else {}
        return values.get(key)

    def wait_for_images(self, count, timeout=20.0):
        """Spin until so many images have arrived."""
        self.graph.wait_until(lambda: len(self.images) >= count, timeout)

    def wait_for_state(self, state, timeout=20.0):
        """Spin until the diagnostics say so."""
        self.graph.wait_until(lambda: self.value('state') == state, timeout)

    def levels(self):
        """Return how bright each image is."""
        return [round(float(image_from_msg(message).mean())) for message in self.images]


@pytest.fixture
def listener(graph):
    """Give a listener that has not subscribed to images yet."""
    return Listener(graph)


@pytest.fixture
def start(graph):
    """Give `start(**parameters)`, which starts a camera node in this process."""
    def start_camera(**parameters):
        node = graph.add(CameraNode())
        parameters = {'wait_for_subscribers': 1, 'on_end': 'hold', **parameters}
        results = node.set_parameters([
            Parameter(name, value=value) for name, value in parameters.items()])
        assert all(result.successful for result in results), results
        assert node.start()
        return node

    return start_camera


@pytest.fixture
def folder(tmp_path):
    """Give a folder of 12 images: number n is 10 n bright, with a gradient in one corner."""
    made = tmp_path / 'images'
    made.mkdir()
    for number in range(12):
        cv2.imwrite(str(made / f'{number}.png'), picture(number))
    return str(made)


def picture(number):
    """Return image `number` of the folder."""
    image = np.full((48, 64, 3), 10 * number, np.uint8)
    image[:4, :, 0] = np.arange(64)
    return image


def test_all_images_of_a_folder_arrive_unchanged_and_in_order(start, listener, folder):
    listener.subscribe()
    start(source=folder, rate=50.0)
    listener.wait_for_images(12)
    listener.wait_for_state('ended')
    listener.graph.wait_until(lambda: len(listener.infos) == 12)
    assert len(listener.images) == 12
    for number, (message, info) in enumerate(zip(listener.images, listener.infos)):
        np.testing.assert_array_equal(image_from_msg(message), picture(number))
        assert message.encoding == 'bgr8'
        assert message.header.frame_id == 'camera_optical_frame'
        assert info.header == message.header
        assert (info.width, info.height, list(info.k)) == (64, 48, [0.0] * 9)
    stamps = [stamp_to_ns(message.header.stamp) for message in listener.images]
    assert (np.diff(stamps) > 0).all()
    assert abs(stamps[-1] - time.time_ns()) < 20e9
    assert listener.value('images') == '12' and listener.value('subscriptions') == '1'
    assert listener.health[-1].level == DiagnosticStatus.OK


@pytest.mark.parametrize('rate, expected', [(0.0, 10.0), (40.0, 40.0)])
def test_pace_is_that_of_the_source_or_the_parameter(start, listener, folder, rate, expected):
    listener.subscribe()
    start(source=folder, rate=rate)
    listener.wait_for_images(12)
    stamps = [stamp_to_ns(message.header.stamp) * 1e-9 for message in listener.images]
    assert (stamps[-1] - stamps[0]) == pytest.approx(11 / expected, rel=0.15)


def test_loop_begins_again(start, listener, folder):
    listener.subscribe()
    start(source=folder, rate=100.0, loop=True)
    listener.wait_for_images(30)
    levels = listener.levels()
    assert levels[:30] == (levels[:12] * 3)[:30] and len(set(levels)) == 12


def test_rate_can_be_changed_while_it_runs(start, listener, folder):
    listener.subscribe()
    node = start(source=folder, rate=2.0, loop=True)
    listener.wait_for_images(2)
    node.set_parameters([Parameter('rate', value=100.0)])
    listener.wait_for_images(60, timeout=5.0)


@pytest.mark.parametrize('asked, size', [((32, 24), (32, 24)), ((128, 0), (128, 96)),
                                         ((0, 12), (16, 12)), ((100, 50), (100, 50))])
def test_images_are_resized(start, listener, folder, asked, size):
    listener.subscribe()
    start(source=folder, rate=100.0, width=asked[0], height=asked[1])
    listener.wait_for_images(12)
    assert {(message.width, message.height) for message in listener.images} == {size}
    assert {(info.width, info.height) for info in listener.infos} == {size}


def test_camera_info_is_that_of_the_calibration(start, listener, folder, tmp_path):
    (tmp_path / 'front.yaml').write_text(CALIBRATION)
    listener.subscribe()
    start(source=folder, rate=100.0, camera_info_url=f'file://{tmp_path}/front.yaml',
          frame_id='front_optical', width=32)
    listener.wait_for_images(12)
    info = listener.infos[3]
    assert info.distortion_model == 'plumb_bob' and list(info.d)[:2] == [0.1, -0.2]
    np.testing.assert_allclose(info.k, [30, 0, 15.5, 0, 30.5, 11.5, 0, 0, 1])
    assert info.header == listener.images[3].header
    assert info.header.frame_id == 'front_optical'


def test_compressed_images_are_published_on_demand(start, listener, folder):
    listener.subscribe(compressed=True)
    start(source=folder, rate=50.0, compressed=True, jpeg_quality=95)
    listener.graph.wait_until(
        lambda: len(listener.compressed) == len(listener.infos) == 12)
    for number, message in enumerate(listener.compressed):
        assert message.format == 'bgr8; jpeg compressed bgr8'
        assert np.abs(image_from_compressed(message).astype(int) - picture(number)).mean() < 4
        assert message.header == listener.infos[number].header
    assert listener.graph.node.count_publishers('image_raw') == 1


def test_compressed_topic_is_absent_unless_asked_for(start, listener, folder):
    listener.subscribe()
    start(source=folder, rate=100.0)
    listener.wait_for_images(12)
    assert listener.graph.node.count_publishers('image_raw/compressed') == 0


def test_recorded_source_waits_for_its_subscribers(start, listener, folder):
    listener.subscribe()
    start(source=folder, rate=50.0, wait_for_subscribers=2)
    listener.wait_for_state('waiting')
    assert not listener.images and listener.health[-1].level == DiagnosticStatus.WARN
    listener.subscribe()
    listener.wait_for_images(24)
    assert sorted(listener.levels()) == listener.levels()


def test_duration_limits_the_source(start, listener):
    listener.subscribe()
    start(source='synthetic', scene_width=128, scene_height=72, scene_seed=3, rate=20.0,
          scene_density=0.5, duration=0.5)
    listener.wait_for_state('ended')
    listener.wait_for_images(10)
    assert len(listener.images) == 10 and listener.value('images') == '10'
    scene = Scene(width=128, height=72, seed=3, rate=20.0, density=0.5)
    for index, message in enumerate(listener.images):
        np.testing.assert_array_equal(image_from_msg(message), scene.render(index))


def test_scene_parameters_reach_the_scene(start, listener):
    listener.subscribe()
    start(source='synthetic', rate=10.0, duration=0.1, scene_density=0.0, scene_target='bus',
          scene_target_speed=2.0, scene_occlusion=[0.0, 1.0])
    listener.wait_for_images(1)
    scene = Scene(rate=10.0, density=0.0, target='bus', target_speed=2.0, occlusion=(0.0, 1.0))
    np.testing.assert_array_equal(image_from_msg(listener.images[0]), scene.render(0))


def test_deactivated_source_goes_on_where_it_stopped(start, listener, folder):
    listener.subscribe()
    node = start(source=folder, rate=10.0)
    listener.wait_for_images(3)
    begin = time.monotonic()
    node.trigger_deactivate()
    assert time.monotonic() - begin < 1.0
    node.set_parameters([Parameter('rate', value=50.0)])
    node.trigger_activate()
    listener.wait_for_state('ended')
    listener.wait_for_images(12)
    assert [round(level / 10) for level in listener.levels()] == list(range(12))
    node.trigger_deactivate()
    node.trigger_activate()
    listener.wait_for_images(24)


@pytest.mark.parametrize('source, words', [
    ('/nowhere/clip.mp4', 'no file or folder'), ('gstreamer:videotestsrc ! fakesink', None)])
def test_wrong_source_fails_to_configure(graph, capfd, source, words):
    if words is None and 'GStreamer:                   YES' in cv2.getBuildInformation():
        pytest.skip('this OpenCV has GStreamer')
    node = graph.add(CameraNode())
    node.set_parameters([Parameter('source', value=source)])
    assert not node.start()
    assert node.state == 'unconfigured'
    assert (words or 'built with GStreamer') in capfd.readouterr().err
    node.set_parameters([Parameter('source', value='synthetic')])
    assert node.start()


@pytest.mark.parametrize('name, value', [
    ('rate', -1.0), ('on_end', 'explode'), ('jpeg_quality', 0), ('width', 10_000),
    ('scene_target', 'boat')])
def test_wrong_parameters_are_refused(graph, name, value):
    node = graph.add(CameraNode())
    result, = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful and name in result.reason and str(value) in result.reason


def test_index_of_a_device_may_be_a_number(graph):
    node = graph.add(CameraNode())
    result, = node.set_parameters([Parameter('source', value=0)])
    assert result.successful
    node.start()
    assert node.parameters.source == '0'


def test_missing_device_is_tried_again_and_reported(start, listener):
    start(source='97', reconnect_initial=0.1, wait_for_subscribers=0)
    listener.wait_for_state('lost')
    assert listener.health[-1].level == DiagnosticStatus.ERROR
    assert 'cannot open 97' in listener.health[-1].message


def test_dropped_stream_is_opened_again(start, listener):
    camera = MjpegServer()
    listener.subscribe()
    node = start(source=camera.url, reconnect_initial=0.1, reconnect_maximum=0.3,
                 stream_timeout=2.0)
    listener.wait_for_images(5)
    listener.wait_for_state('running')
    camera.stop()
    listener.wait_for_state('lost')
    before = len(listener.images)
    camera = MjpegServer(camera.port)
    camera.level = 200
    listener.graph.wait_until(lambda: listener.levels()[-1] > 195)
    assert len(listener.images) > before
    listener.graph.wait_until(lambda: listener.value('reconnects') == '1')
    camera.hung = True
    begin = time.monotonic()
    node.trigger_deactivate()
    assert time.monotonic() - begin < 1.0
    camera.stop()


def test_live_source_is_thinned_to_the_rate(start, listener):
    camera = MjpegServer()
    listener.subscribe()
    start(source=camera.url, rate=5.0)
    listener.wait_for_images(11)
    seconds = listener.arrived[10] - listener.arrived[0]
    assert 1.5 < seconds < 3.0
    camera.stop()


def process(**parameters):
    """Start a camera node as a process."""
    options = [item for name, value in parameters.items()
               for item in ('-p', f'{name}:={json.dumps(value)}')]
    return subprocess.Popen(
        [sys.executable, '-m', 'acme_tracking.nodes.camera', '--ros-args', *options], cwd=ROOT,
        stderr=subprocess.PIPE, text=True)


def end(child):
    """Wait for a process; kill it when it hangs; return its exit status and its messages."""
    try:
        messages = child.communicate(timeout=15)[1]
    except subprocess.TimeoutExpired:
        child.kill()
        pytest.fail(f'the camera did not end:\n{child.communicate()[1]}')
    return child.returncode, messages


def test_process_ends_well_after_everything_was_received(listener, folder):
    listener.subscribe()
    child = process(source=folder, rate=50.0, on_end='exit', wait_for_subscribers=1)
    listener.graph.wait_until(lambda: child.poll() is not None, 20.0)
    listener.wait_for_state('ended')
    status, messages = end(child)
    assert status == 0, messages
    listener.graph.wait_until(lambda: len(listener.images) == 12)
    assert listener.value('images') == '12'
    assert 'Traceback' not in messages


def test_process_fails_with_one_message_when_the_source_is_wrong():
    status, messages = end(process(source='/nowhere/clip.mp4'))
    assert status == 1 and "'/nowhere/clip.mp4'" in messages and 'Traceback' not in messages


@pytest.mark.parametrize('kind', ['scene', 'stream', 'hung', 'silent'])
def test_ctrl_c_ends_the_process_within_a_second(listener, kind):
    camera, silent = MjpegServer(), socket.create_server(('127.0.0.1', 0))
    source = {'scene': 'synthetic',
              'silent': f'http://127.0.0.1:{silent.getsockname()[1]}/x'}.get(kind, camera.url)
    listener.subscribe()
    child = process(source=source, stream_timeout=60.0)
    if kind == 'silent':
        listener.wait_for_state('opening')
    else:
        listener.wait_for_images(2)
        camera.hung = kind == 'hung'
        count = len(listener.images)
        listener.graph.wait_until(lambda: kind == 'hung' or len(listener.images) > count)
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    status, messages = end(child)
    assert time.monotonic() - begin < 2.0, 'with the time that Python takes to end'
    assert status == 0 and 'Traceback' not in messages, messages
    camera.stop()
    silent.close()


def test_reliable_subscriptions_get_everything_at_full_speed(listener, folder):
    reliable = QoSProfile(depth=500)
    found = []
    listener.node.create_subscription(Image, 'image_raw', found.append, reliable)
    override = 'qos_overrides./image_raw.publisher.reliability'
    child = process(source=folder, rate=300.0, on_end='exit', wait_for_subscribers=1,
                    loop=False, **{override: 'reliable'})
    listener.graph.wait_until(lambda: child.poll() is not None, 20.0)
    assert end(child)[0] == 0
    listener.graph.wait_until(lambda: len(found) == 12)
