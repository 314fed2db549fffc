"""The whole graph, live: camera, detector and tracker as processes."""
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from acme_tracking import geometry  # noqa: E402
from acme_tracking.messages import (  # noqa: E402
    detections_from_msg,
    diagnostics_from_msg,
    stamp_to_ns,
)
from acme_tracking.processes import Processes  # noqa: E402
from acme_tracking.scene import Scene, TARGET_ID  # noqa: E402
from acme_tracking.share import share  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

NAMESPACE = '/live'
RATE = 15.0


class LiveGraph:
    """Starts the nodes, and sorts what they publish by stamp."""

    def __init__(self, graph, log):
        self.graph, self.log = graph, log
        self.stamps, self.tracks, self.detections, self.health = [], {}, {}, {}
        node = graph.node
        # camera_info has the stamps of the images, and is reliable: it tells their index.
        # The images themselves are only subscribed to so that the camera waits for this node.
        node.create_subscription(Image, f'{NAMESPACE}/image_raw', lambda image: None,
                                 qos_profile_sensor_data, raw=True)
        node.create_subscription(
            CameraInfo, f'{NAMESPACE}/camera_info',
            lambda info: self.stamps.append(stamp_to_ns(info.header.stamp)), 100)
        for topic, kept in (('tracks', self.tracks), ('detections', self.detections)):
            node.create_subscription(
                Detection2DArray, f'{NAMESPACE}/{topic}',
                lambda array, kept=kept: kept.update(
                    {stamp_to_ns(array.header.stamp): detections_from_msg(array)}), 100)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.processes = Processes(share('config/tracking.yaml'), 'shared_memory', NAMESPACE)

    def _on_diagnostics(self, array):
        self.health.update({name: values for name, _, _, values
                            in diagnostics_from_msg(array, NAMESPACE)})

    def start(self, **camera):
        self.processes.start('detector')
        self.processes.start('tracker', event_log=str(self.log))
        # Once they have been heard, they have found this node, and nothing they say is lost.
        self.graph.wait_until(lambda: {'detector', 'tracker'} <= set(self.health), timeout=120)
        self.processes.start('camera', wait_for_subscribers=3, **camera)
        self.graph.wait_until(lambda: self.tracks, timeout=120)

    def start_scene(self, scene, **camera):
        self.scene = scene
        self.start(source='synthetic', rate=RATE, scene_seed=scene.seed, scene_density=0.0,
                   scene_target='car', **camera)

    def latest_overlap(self):
        """Return the IoU of the best track with the car, on the last image that has tracks."""
        newest = max(self.tracks.keys() & set(self.stamps), default=None)
        if newest is None:
            return 0.0
        truth = self.scene.truth(self.stamps.index(newest))
        return geometry.iou(truth.boxes[truth.ids == TARGET_ID],
                            self.tracks[newest].boxes).max(initial=0)


@pytest.fixture
def live(graph, tmp_path):
    running = LiveGraph(graph, tmp_path / 'events.jsonl')
    yield running
    running.processes.stop()
    if running.log.exists():
        print('\n'.join(running.log.read_text().splitlines()[-20:]))  # shown when the test fails


def test_a_car_is_detected_and_followed_and_all_ends_when_it_is_asked_to(live):
    live.start_scene(Scene(seed=0, rate=RATE, density=0, target='car'))
    live.graph.wait_until(lambda: live.latest_overlap() > 0.5, timeout=120)
    live.graph.wait_until(lambda: live.detections)
    processes = list(live.processes.running.values())
    live.processes.stop()  # kills those that hang
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_it_survives_the_death_of_the_detector_and_uses_the_next_one(live, capfd):
    live.start_scene(Scene(seed=0, rate=RATE, density=0, target='car'))
    live.graph.wait_until(lambda: live.latest_overlap() > 0.5, timeout=120)
    live.processes.kill('detector')
    heard, said = [], len(live.tracks)

    def missed():
        heard.append(capfd.readouterr().err)
        return 'tracking goes on without it' in ''.join(heard)
    live.graph.wait_until(missed, timeout=120)
    live.graph.wait_until(lambda: len(live.tracks) > said + RATE, timeout=120)
    ran = len(live.detections)
    live.processes.start('detector')
    live.graph.wait_until(lambda: len(live.detections) > ran, timeout=120)
    live.graph.wait_until(lambda: live.latest_overlap() > 0.5, timeout=120)
    assert ''.join([*heard, capfd.readouterr().err]).count('tracking goes on without it') == 1
