"""The camera node over DDS: messages, parameters and the process; the rules are in the session."""
import json
from pathlib import Path
import signal
import socket
import subprocess
import sys

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
from test_sources import write_video

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 60.0  # generous: other processes may have the machine
DEEP = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
IMAGES = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
RVIZ = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)  # as it asks by default
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
        self.node = graph.node
        self.node.create_subscription(CameraInfo, 'camera_info', self.infos.append, DEEP)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_health, DEEP)

    def subscribe(self):
        """Subscribe to the images."""
        self.node.create_subscription(Image, 'image_raw', self.images.append, IMAGES)

    def _on_health(self, array):
        status, = array.status
        if status.name == 'camera: state':
            self.health.append(status)

    def value(self, key):
        """Return a value of the latest diagnostics."""
        values = {pair.key: pair.value for pair in self.health[-1].values} if self.health else {}
        return values.get(key)

    def wait(self, predicate):
        """Spin until it is true."""
        return self.graph.wait_until(predicate, DEADLINE)

    def wait_for_images(self, count):
        """Spin until so many images have arrived."""
        self.wait(lambda: len(self.images) >= count)

    def wait_for_state(self, state):
        """Spin until the diagnostics say so."""
        self.wait(lambda: self.value('state') == state)

    def levels(self):
        """Return how bright each image is."""
        return [round(float(image_from_msg(message).mean()) / 10) for message in self.images]


@pytest.fixture
def listener(graph):
    """Give a listener that has not subscribed to images yet."""
    return Listener(graph)


def change(node, **parameters):
    """Set parameters; return the reasons."""
    results = node.set_parameters([
        Parameter(name, value=value) for name, value in parameters.items()])
    assert all(result.successful for result in results), results
    return [result.reason for result in results]


def make_camera(graph, **parameters):
    """Return a camera node as it is with these parameters given at its start."""
    return graph.add(CameraNode(parameter_overrides=[
        Parameter(name, value=value) for name, value in parameters.items()]))


@pytest.fixture
def start(graph):
    """Give `start(**parameters)`, which starts a camera node in this process."""
    def start_camera(**parameters):
        node = make_camera(graph, **{'wait_for_subscribers': 1, 'on_end': 'hold', **parameters})
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
    start(source=folder, rate=200.0)
    listener.wait_for_images(12)
    listener.wait_for_state('ended')
    listener.wait(lambda: len(listener.infos) == 12)
    assert len(listener.images) == 12
    for number, (message, info) in enumerate(zip(listener.images, listener.infos)):
        np.testing.assert_array_equal(image_from_msg(message), picture(number))
        assert message.encoding == 'bgr8'
        assert message.header.frame_id == 'camera_optical_frame'
        assert info.header == message.header
        assert (info.width, info.height, list(info.k)) == (64, 48, [0.0] * 9)
    stamps = [stamp_to_ns(message.header.stamp) for message in listener.images]
    assert (np.diff(stamps) > 0).all()
    assert listener.value('images') == '12' and listener.value('subscriptions') == '1'
    assert listener.health[-1].level == DiagnosticStatus.OK
    assert listener.node.count_publishers('image_raw/compressed') == 0, 'nobody asked for it'


def test_a_viewer_that_asks_for_reliable_images_gets_each(start, listener, folder):
    for number in range(5, 12):  # of more than are kept, a busy machine may miss some
        Path(folder, f'{number}.png').unlink()
    for topic, kind, kept in (('image_raw', Image, listener.images),
                              ('image_raw/compressed', CompressedImage, listener.compressed)):
        listener.node.create_subscription(kind, topic, kept.append, RVIZ)
    start(source=folder, rate=200.0, compressed=True, wait_for_subscribers=2)
    listener.wait(lambda: len(listener.images) == len(listener.compressed) == 5)
    assert listener.levels() == list(range(5))


def test_camera_info_is_that_of_the_calibration(start, listener, folder, tmp_path):
    (tmp_path / 'front.yaml').write_text(CALIBRATION)
    listener.subscribe()
    start(source=f'file://{folder}', rate=200.0, camera_info_url=f'file://{tmp_path}/front.yaml',
          frame_id='front_optical', width=32)
    listener.wait(lambda: len(listener.images) == len(listener.infos) == 12)
    assert {(message.width, message.height) for message in listener.images} == {(32, 24)}
    info = listener.infos[3]
    assert (info.width, info.height) == (32, 24)
    assert info.distortion_model == 'plumb_bob' and list(info.d)[:2] == [0.1, -0.2]
    np.testing.assert_allclose(info.k, [30, 0, 15.5, 0, 30.5, 11.5, 0, 0, 1])
    assert info.header == listener.images[3].header
    assert info.header.frame_id == 'front_optical'


def test_camera_info_of_the_rendered_road_is_that_of_its_camera(start, listener):
    listener.subscribe()
    start(source='synthetic', scene_camera='driving', width=320)
    listener.wait(lambda: listener.infos)
    info, known = listener.infos[0], Scene(camera='driving').calibration
    assert (info.width, info.height) == (320, 180)
    assert info.k[0] == pytest.approx(known.matrix[0] / 2)
    assert info.p[2] == pytest.approx(159.5), 'the principal point is in the middle'


def test_compressed_images_are_published_on_demand(start, listener, folder):
    listener.node.create_subscription(CompressedImage, 'image_raw/compressed',
                                      listener.compressed.append, IMAGES)
    start(source=folder, rate=200.0, compressed=True, jpeg_quality=95)
    listener.wait(lambda: len(listener.compressed) == len(listener.infos) == 12)
    for number, message in enumerate(listener.compressed):
        assert message.format == 'bgr8; jpeg compressed bgr8'
        assert np.abs(image_from_compressed(message).astype(int) - picture(number)).mean() < 4
        assert message.header == listener.infos[number].header


def test_a_recording_waits_for_its_subscribers(start, listener, folder):
    listener.subscribe()
    start(source=folder, rate=200.0, wait_for_subscribers=2)
    listener.wait_for_state('waiting')
    assert not listener.images and listener.health[-1].level == DiagnosticStatus.WARN
    listener.subscribe()
    listener.wait_for_images(24)


def test_scene_parameters_reach_the_scene(start, listener):
    listener.subscribe()
    start(source='synthetic', rate=10.0, duration=0.1, scene_density=0.0, scene_target='bus',
          scene_target_speed=2.0, scene_occlusion=[0.0, 1.0], scene_seed=3)
    listener.wait_for_images(1)
    scene = Scene(rate=10.0, density=0.0, target='bus', target_speed=2.0, occlusion=(0.0, 1.0),
                  seed=3)
    np.testing.assert_array_equal(image_from_msg(listener.images[0]), scene.render(0))
    listener.wait_for_state('ended')
    assert len(listener.images) == 1


def test_parameters_take_effect_when_they_say(start, listener, folder):
    listener.subscribe()
    node = start(source=folder, rate=0.001)
    listener.wait_for_images(1)
    assert 'configured' in change(node, width=32)[0]
    change(node, rate=200.0)  # or the second image comes in a quarter of an hour
    listener.wait_for_images(12)
    assert {message.width for message in listener.images} == {64}
    for transition in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure,
                       node.trigger_activate):
        transition()
    listener.wait_for_images(24)
    assert {message.width for message in listener.images[12:]} == {32}


def test_a_paused_source_goes_on_where_it_stopped(start, listener, folder):
    listener.subscribe()
    node = start(source=folder, rate=0.001)
    listener.wait_for_images(1)
    node.trigger_deactivate()
    change(node, rate=200.0)
    node.trigger_activate()
    listener.wait_for_state('ended')
    listener.wait_for_images(12)
    assert listener.levels() == list(range(12))
    node.trigger_deactivate()
    node.trigger_activate()
    listener.wait_for_images(24)


@pytest.mark.parametrize('parameters, words', [
    ({'source': '/nowhere/clip.mp4'}, 'no file or folder'),
    ({'source': 'gstreamer:videotestsrc ! fakesink'}, 'built with GStreamer'),
    ({'camera_info_url': '/nowhere/front.yaml'}, '/nowhere/front.yaml')])
def test_a_wrong_source_fails_to_configure(graph, capfd, parameters, words):
    if 'GStreamer' in words and 'GStreamer:                   YES' in cv2.getBuildInformation():
        pytest.skip('this OpenCV has GStreamer')
    node = make_camera(graph, **parameters)
    assert not node.start()
    assert node.state == 'unconfigured'
    assert words in capfd.readouterr().err
    change(node, source='synthetic', camera_info_url='')
    assert node.start()


def test_a_missing_device_is_tried_again_and_reported(start, listener):
    start(source='97', reconnect_initial=0.1, reconnect_maximum=0.1)
    listener.wait_for_state('lost')
    assert listener.health[-1].level == DiagnosticStatus.ERROR
    assert 'cannot open 97' in listener.health[-1].message


def test_a_dropped_stream_is_opened_again(start, listener):
    camera = MjpegServer()
    listener.subscribe()
    node = start(source=camera.url, reconnect_initial=0.1, reconnect_maximum=0.3,
                 stream_timeout=600.0, allowed_paths=['/somewhere'])
    listener.wait_for_images(5)
    listener.wait_for_state('running')
    change(node, source='/somewhere/else.mp4')
    camera.stop()
    listener.wait_for_state('lost')
    camera = MjpegServer(camera.port)
    camera.level = 200
    listener.wait(lambda: listener.levels()[-1] == 20)
    listener.wait(lambda: listener.value('reconnects') == '1')
    camera.hung = True
    node.trigger_deactivate()  # does not wait for the stream, which is silent for ten minutes
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
        messages = child.communicate(timeout=DEADLINE)[1]
    except subprocess.TimeoutExpired:
        child.kill()
        pytest.fail(f'the camera did not end:\n{child.communicate()[1]}')
    return child.returncode, messages


def test_the_process_ends_well_after_everything_was_received(listener, folder):
    listener.node.create_subscription(Image, 'image_raw', listener.images.append, DEEP)
    override = 'qos_overrides./image_raw.publisher.'
    child = process(source=folder, rate=200.0, on_end='exit', wait_for_subscribers=1,
                    **{f'{override}reliability': 'reliable', f'{override}depth': 100})
    listener.wait(lambda: child.poll() is not None)
    status, messages = end(child)
    assert status == 0 and 'Traceback' not in messages, messages
    listener.wait_for_state('ended')
    listener.wait_for_images(12)
    assert listener.value('images') == '12'


def test_the_process_fails_when_a_video_is_cut_short(tmp_path):
    whole = write_video(tmp_path / 'whole.avi', count=50)
    cut = tmp_path / 'cut.avi'
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    status, messages = end(process(source=str(cut), rate=1000.0, on_end='exit'))
    said, = messages.splitlines()
    assert status == 1 and 'ended early: ' in said and 'of 50 images' in said


def test_the_process_says_in_one_line_that_a_video_is_broken(tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'\0' * 999)
    status, messages = end(process(source=str(tmp_path / 'broken.mp4')))
    said, = messages.splitlines()
    assert status == 1 and 'broken.mp4 is not a video that OpenCV reads' in said


@pytest.mark.parametrize('kind', ['hung', 'silent'])
def test_ctrl_c_ends_the_process(listener, kind):
    camera, silent = MjpegServer(), socket.create_server(('127.0.0.1', 0))
    source = {'hung': camera.url,
              'silent': f'http://127.0.0.1:{silent.getsockname()[1]}/x'}[kind]
    listener.subscribe()
    # ten minutes: whoever waits for the source does not end in time
    child = process(source=source, stream_timeout=600.0)
    if kind == 'silent':
        listener.wait_for_state('opening')
    else:
        listener.wait_for_images(2)
        camera.hung = True
    child.send_signal(signal.SIGINT)
    status, messages = end(child)
    assert status == 0 and 'Traceback' not in messages, messages
    camera.stop()
    silent.close()
