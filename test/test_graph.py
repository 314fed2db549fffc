"""The whole graph, live: camera, detector and tracker as processes, on a rendered road."""
import signal
import time

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

from acme_tracking import geometry  # noqa: E402
from acme_tracking.cli.demo import NAMESPACE, Processes  # noqa: E402
from acme_tracking.messages import detections_from_msg, stamp_to_ns  # noqa: E402
from acme_tracking.scene import Scene, TARGET_ID  # noqa: E402
from acme_tracking.share import share  # noqa: E402

RATE = 15.0
HIDDEN_FROM, HIDDEN_FOR = 6.0, 1.0


class LiveGraph:
    """Starts the nodes, and sorts what they publish by the index of the image."""

    def __init__(self, graph, **scene):
        self.graph, self.scene = graph, Scene(rate=RATE, density=0, target='car', **scene)
        self.stamps, self.tracks, self.detections, self.health = [], {}, {}, {}
        node = graph.node
        # camera_info has the stamps of the images, and is reliable: it tells their index.
        node.create_subscription(
            CameraInfo, f'{NAMESPACE}/camera_info',
            lambda info: self.stamps.append(stamp_to_ns(info.header.stamp)), 10)
        for topic, kept in (('tracks', self.tracks), ('detections', self.detections)):
            node.create_subscription(
                Detection2DArray, f'{NAMESPACE}/{topic}',
                lambda array, kept=kept: kept.update({stamp_to_ns(array.header.stamp): array}),
                10)
        node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda array: self.health.update(
                {array.status[0].name: {pair.key: pair.value for pair in array.status[0].values}}),
            10)
        self.processes = Processes(share('config/tracking.yaml'), 'shared_memory')

    def start(self, **camera):
        self.processes.start('detector')
        self.processes.start('tracker')
        self.processes.start(
            'camera', source='synthetic', rate=RATE, scene_seed=self.scene.seed,
            scene_density=0.0, scene_target='car', wait_for_subscribers=2, **camera)
        self.graph.wait_until(lambda: self.tracks, timeout=60)

    def overlap(self, index):
        """Return the best track on the target at an image: IoU, id and score."""
        tracks = detections_from_msg(self.tracks[self.stamps[index]])
        truth = self.scene.truth(index)
        if not len(tracks):
            return 0.0, None, 0.0
        values = geometry.iou(truth.boxes[truth.ids == TARGET_ID], tracks.boxes)[0]
        best = values.argmax()
        return float(values[best]), int(tracks.ids[best]), float(tracks.scores[best])

    def wait_for_image(self, index):
        self.graph.wait_until(lambda: len(self.stamps) > index
                              and self.stamps[index] in self.tracks, timeout=60)


@pytest.fixture
def live(graph):
    running = []

    def make(**scene):
        running.append(LiveGraph(graph, **scene))
        return running[-1]
    yield make
    for one in running:
        one.processes.stop()


def test_an_occluded_target_asks_for_the_detector_and_keeps_its_id(live):
    graph = live(seed=0, occlusion=(HIDDEN_FROM, HIDDEN_FOR))
    graph.start(scene_occlusion=[HIDDEN_FROM, HIDDEN_FOR])
    hidden, seen_again = int(HIDDEN_FROM * RATE), int((HIDDEN_FROM + HIDDEN_FOR) * RATE)
    graph.wait_for_image(hidden - 1)
    before = int(graph.health[f'{NAMESPACE}/tracker']['requests.low_confidence'])
    graph.wait_for_image(seen_again + int(2 * RATE))
    value, track_id, score = graph.overlap(hidden - 2)
    assert value > 0.5 and score > 0.5
    scores = [graph.overlap(index)[2] for index in range(hidden + 2, seen_again - 1)]
    assert max(scores) < 0.5 and scores == sorted(scores, reverse=True), 'it falls'
    asked = [stamp for stamp in graph.detections
             if graph.stamps[hidden] <= stamp < graph.stamps[seen_again]]
    assert asked, 'the detector ran while the target was hidden'
    graph.graph.wait_until(lambda: int(
        graph.health[f'{NAMESPACE}/tracker']['requests.low_confidence']) > before)
    value, same_id, score = graph.overlap(seen_again + int(1.5 * RATE))
    assert value > 0.5 and score > 0.5
    assert same_id == track_id


def test_it_survives_the_death_of_the_detector_and_uses_the_next_one(live, capfd):
    graph = live(seed=0)
    graph.start()
    graph.graph.wait_until(lambda: len(graph.detections) >= 3, timeout=30)
    graph.processes.kill('detector')
    killed = len(graph.stamps)
    graph.wait_for_image(killed + int(5 * RATE))
    ran, images = len(graph.detections), len(graph.tracks)
    assert images >= killed + int(5 * RATE) - 2, 'tracks go on'
    graph.processes.start('detector')
    graph.graph.wait_until(lambda: len(graph.detections) >= ran + 3, timeout=60)
    restarted = len(graph.stamps)
    graph.wait_for_image(restarted + int(RATE))
    assert graph.overlap(restarted + int(RATE))[0] > 0.5
    errors = capfd.readouterr().err
    assert errors.count('tracking goes on without it') == 1


def test_the_processes_end_soon_when_they_are_asked_to(live):
    graph = live(seed=0)
    graph.start()
    processes = dict(graph.processes.running)
    begin = time.monotonic()
    graph.processes.stop()
    assert time.monotonic() - begin < 8
    assert {process.returncode for process in processes.values()} == {0}
    assert signal.SIGKILL not in {-process.returncode for process in processes.values()}
