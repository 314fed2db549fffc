"""The whole graph, live: camera, detector and tracker as processes."""
from collections import defaultdict
import csv

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from acme_tracking import geometry  # noqa: E402
from acme_tracking.messages import detections_from_msg, stamp_to_ns  # noqa: E402
from acme_tracking.processes import Processes  # noqa: E402
from acme_tracking.scene import Scene, TARGET_ID  # noqa: E402
from acme_tracking.share import share  # noqa: E402
from acme_tracking.tracking.visual import availability  # noqa: E402
import cv2  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

NAMESPACE = '/live'
RATE = 15.0
HIDDEN_FROM, HIDDEN_FOR = 6.0, 1.0


class LiveGraph:
    """Starts the nodes, and sorts what they publish by stamp."""

    def __init__(self, graph):
        self.graph = graph
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
        for status in array.status:
            self.health[status.name.removeprefix(f'{NAMESPACE}/')] = {
                pair.key: pair.value for pair in status.values}

    def start(self, tracker='correlation', **camera):
        self.processes.start('detector')
        self.processes.start('tracker', tracker=tracker)
        # Once they have been heard, they have found this node, and nothing they say is lost.
        self.graph.wait_until(lambda: {'detector', 'tracker'} <= set(self.health), timeout=60)
        self.processes.start('camera', wait_for_subscribers=3, **camera)
        self.graph.wait_until(lambda: self.tracks, timeout=60)

    def start_scene(self, scene, **camera):
        self.scene = scene
        self.start(source='synthetic', rate=RATE, scene_seed=scene.seed, scene_density=0.0,
                   scene_target='car', **camera)

    def overlap(self, index):
        """Return the best track on the target at an image: IoU, id and score."""
        tracks = self.tracks[self.stamps[index]]
        truth = self.scene.truth(index)
        if not len(tracks):
            return 0.0, None, 0.0
        values = geometry.iou(truth.boxes[truth.ids == TARGET_ID], tracks.boxes)[0]
        best = values.argmax()
        return float(values[best]), int(tracks.ids[best]), float(tracks.scores[best])

    def wait_for_image(self, index):
        """Wait for the tracks of an image, or of a later one where it was skipped."""
        self.graph.wait_until(lambda: len(self.stamps) > index and max(
            self.tracks, default=0) >= self.stamps[index], timeout=60)


@pytest.fixture
def live(graph):
    running = LiveGraph(graph)
    yield running
    running.processes.stop()


def scene(**options):
    return Scene(seed=0, rate=RATE, density=0, target='car', **options)


def test_an_occluded_target_asks_for_the_detector_and_keeps_its_id(live):
    live.start_scene(scene(occlusion=(HIDDEN_FROM, HIDDEN_FOR)),
                     scene_occlusion=[HIDDEN_FROM, HIDDEN_FOR])
    hidden, seen_again = int(HIDDEN_FROM * RATE), int((HIDDEN_FROM + HIDDEN_FOR) * RATE)
    live.wait_for_image(hidden - 1)
    before = int(live.health['tracker']['requests.low_confidence'])
    live.wait_for_image(seen_again + int(2 * RATE))
    value, track_id, score = live.overlap(hidden - 2)
    assert value > 0.5 and score > 0.5
    scores = [live.overlap(index)[2] for index in range(hidden + 2, seen_again - 1)]
    assert max(scores) < 0.5 and scores == sorted(scores, reverse=True), 'it falls'
    assert [stamp for stamp in live.detections
            if live.stamps[hidden] <= stamp < live.stamps[seen_again]], 'it asked'
    live.graph.wait_until(
        lambda: int(live.health['tracker']['requests.low_confidence']) > before)
    value, same_id, score = live.overlap(seen_again + int(1.5 * RATE))
    assert value > 0.5 and score > 0.5
    assert same_id == track_id


@pytest.mark.parametrize('tracker', [name for name, reason in availability().items()
                                     if not reason and name != 'correlation'])
def test_every_tracker_notices_an_occlusion_and_comes_back(live, tracker):
    live.start_scene(scene(occlusion=(3.0, HIDDEN_FOR)), tracker=tracker,
                     scene_occlusion=[3.0, HIDDEN_FOR])
    hidden, seen_again, end = (int(seconds * RATE) for seconds in (3, 3 + HIDDEN_FOR, 6))
    live.wait_for_image(end)
    # A slow tracker on a busy machine skips images.
    found = {index: live.overlap(index) for index in range(end)
             if live.stamps[index] in live.tracks}
    noticed = next(i for i, (_, _, score) in found.items() if i >= hidden and score < 0.5)
    again = next(i for i, (value, _, _) in found.items() if i >= seen_again and value > 0.5)
    before = found[max(i for i in found if i < hidden)][1]
    print(f'{tracker}: noticed after {(noticed - hidden) / RATE:.2f} s, back after '
          f'{(again - seen_again) / RATE:.2f} s, id kept: {found[again][1] == before}')
    assert noticed - hidden <= 0.5 * RATE
    assert max(score for i, (_, _, score) in found.items()
               if noticed <= i < seen_again - 1) < 0.5, 'no false recovery'


def test_an_object_that_leaves_is_let_go_and_found_when_it_returns(live, tmp_path):
    """The right third of the picture is cut away, so that the car leaves it and comes back."""
    road = Scene(seed=0, rate=RATE, density=0, target='car', target_speed=9.0)
    edge, boxes = 2 * road.width // 3, []
    for index in range(int(14 * RATE)):
        boxes.append(road.truth(index).boxes[0])
        cv2.imwrite(str(tmp_path / f'{index:04d}.png'), road.render(index)[:, :edge])
    centers = [(box[0] + box[2]) / 2 for box in boxes]
    gone = next(i for i, x in enumerate(centers) if x > edge + 40)
    whole = max(i for i in range(gone) if boxes[i][2] <= edge)  # the last image that shows all
    back = next(i for i, x in enumerate(centers) if i > gone and x < edge - 40)
    live.start(source=str(tmp_path), rate=RATE, on_end='hold')
    live.wait_for_image(back + int(2 * RATE))
    before = live.tracks[live.stamps[whole]]
    on_it = geometry.iou(before.boxes, boxes[whole])[:, 0] > 0.5
    assert on_it.sum() == 1 and before.scores[on_it][0] > 0.5
    left = live.tracks[live.stamps[gone + int(RATE)]]
    assert not len(left), 'an object that left the picture is dropped, not coasted for long'
    returned = [live.tracks[live.stamps[i]] for i in range(back, back + int(2 * RATE))]
    late = next(i for i, tracks in enumerate(returned) if len(tracks) and tracks.scores[0] > 0.5)
    print(f'found again after {late / RATE:.2f} s')


def test_it_survives_the_death_of_the_detector_and_uses_the_next_one(live, capfd):
    live.start_scene(scene())
    live.graph.wait_until(lambda: len(live.detections) >= 3, timeout=30)
    live.processes.kill('detector')
    killed = len(live.stamps)
    live.wait_for_image(killed + int(5 * RATE))
    ran = len(live.detections)
    assert live.overlap(killed + 2)[0] > 0.5, 'tracks go on'
    live.processes.start('detector')
    live.graph.wait_until(lambda: len(live.detections) >= ran + 3, timeout=60)
    restarted = len(live.stamps)
    live.wait_for_image(restarted + int(RATE))
    assert live.overlap(restarted + int(RATE))[0] > 0.5
    assert capfd.readouterr().err.count('tracking goes on without it') == 1


def test_the_processes_end_soon_when_they_are_asked_to(live):
    live.start_scene(scene())
    processes = list(live.processes.running.values())
    live.processes.stop()  # kills those that hang
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_a_highway_is_tracked_with_few_detector_runs(live, data):
    """Real vehicles at the 9 images per second of the clip; boxes far away are not labelled."""
    clip = data / 'clips/highway-day'
    truth = defaultdict(list)
    for row in csv.reader((clip / 'gt/gt.txt').open()):
        frame, _, x, y, width, height, confidence = map(float, row[:7])
        if confidence == 1:
            truth[int(frame)].append([x, y, x + width, y + height])
    live.start(source=str(clip / 'img1'), on_end='hold')
    live.graph.wait_until(lambda: len(live.stamps) == 450, timeout=90)
    live.graph.wait_until(lambda: live.stamps[-1] in live.tracks)
    covered = total = 0
    for frame in range(10, 451):
        tracks = live.tracks.get(live.stamps[frame - 1])
        overlaps = geometry.iou(truth[frame], tracks.boxes if tracks else [])
        covered += int((overlaps.max(axis=1, initial=0) >= 0.5).sum())
        total += len(overlaps)
    print(f'delivery {len(live.tracks) / 450:.3f}, covered {covered / total:.3f}, '
          f'detector runs {len(live.detections)} of 450 images')
    assert len(live.tracks) == 450
    assert covered / total >= 0.7
    assert len(live.detections) <= 450 / 4
