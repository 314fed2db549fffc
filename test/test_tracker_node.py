"""The tracker node over DDS, with images and detections of a rendered scene."""
import itertools
import signal
import subprocess
import sys

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.messages import (
    detections_from_msg,
    detections_to_msg,
    image_from_compressed,
    image_to_msg,
    ns_to_stamp,
    stamp_to_ns,
)
from acme_tracking.nodes import tracker as tracker_module
from acme_tracking.nodes.quality import IMAGE_QOS
from acme_tracking.nodes.tracker import TrackerNode
from acme_tracking.scene import Scene
from acme_tracking.tracking.track import State
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

RATE = 30
EMPTY = np.zeros((48, 64, 3), np.uint8)
ROAD = Scene(seed=0, rate=RATE, density=0, target='car', target_speed=8.0)


def stamp_of(index):
    return 1_000_000_000 + int(index * 1e9 / RATE)


def header_of(index):
    return Header(stamp=ns_to_stamp(stamp_of(index)), frame_id='front_camera')


def truth_of(index):
    truth = ROAD.truth(index)
    return Detections(truth.boxes, np.full(len(truth), 0.9), truth.labels)


class Harness:
    """Publishes images and detections, answers `redetect`, and collects what the tracker says."""

    def __init__(self, graph, *parameters):
        self.graph = graph
        self.tracker = graph.add(TrackerNode(parameter_overrides=list(parameters)))
        self.received, self.health, self.calls = {}, [], 0
        self.answer = Trigger.Response(success=True)
        self.indices = itertools.count()
        node = graph.node
        node.create_subscription(
            Detection2DArray, 'tracks',
            lambda tracks: self.received.update({stamp_to_ns(tracks.header.stamp): tracks}), 10)
        node.create_subscription(
            DiagnosticArray, '/diagnostics',
            lambda array: self.health.append(array.status[0]), 10)
        self.images = node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        self.detections = node.create_publisher(Detection2DArray, 'detections', 10)
        assert self.tracker.start()
        self.wait_for_matching()

    def wait_for_matching(self):
        self.graph.wait_until(lambda: self.images.get_subscription_count()
                              and self.detections.get_subscription_count()
                              and self.tracker.count_subscribers('tracks'))

    def offer_redetect(self):
        def answer(_, response):
            self.calls += 1
            response.success, response.message = self.answer.success, self.answer.message
            return response
        return self.graph.node.create_service(Trigger, 'redetect', answer)

    def publish(self, index=None, image=None):
        """Publish the next image (or image `index`); return its index and its tracks."""
        index = next(self.indices) if index is None else index
        image = ROAD.render(index) if image is None else image
        self.images.publish(image_to_msg(image, header_of(index)))
        return index, self.graph.wait_until(lambda: self.received.pop(stamp_of(index), None))

    def publish_until(self, condition, limit=150):
        """Publish images until `condition(tracks)`; return the index and the tracks."""
        for _ in range(limit):
            index, tracks = self.publish()
            if condition(tracks):
                return index, tracks
        pytest.fail(f'not within {limit} images')

    def publish_detections(self, index):
        self.detections.publish(detections_to_msg(truth_of(index), header_of(index)))

    def diagnosis(self):
        """Return the next diagnosis: status and values."""
        count = len(self.health)
        self.graph.wait_until(lambda: len(self.health) > count)
        return self.health[-1], {pair.key: pair.value for pair in self.health[-1].values}

    def wait_for_report(self, condition):
        """Wait for a status on /diagnostics that is as wanted, with its values, and return it."""
        def found():
            return next((status for status in self.health if condition(
                status, {pair.key: pair.value for pair in status.values})), None)
        return self.graph.wait_until(found)

    def start_track(self):
        index, _ = self.publish()
        self.publish_detections(index)
        return self.publish_until(lambda tracks: tracks.detections)


@pytest.fixture
def harness(graph):
    return Harness(graph)


def test_tracks_carry_the_header_of_their_image_and_come_also_when_empty(harness):
    index, tracks = harness.publish()
    assert tracks.header == header_of(index)
    assert len(tracks.detections) == 0


def test_a_request_that_is_given_up_leaves_nothing_behind(graph):
    """Whoever is asked and never answers must not cost memory for ever."""
    harness = Harness(graph, Parameter('request_timeout', value=0.1))
    silent = rclpy.create_node('silent')  # nobody spins it
    silent.create_service(Trigger, 'redetect', lambda _, response: response)
    graph.wait_until(lambda: silent.count_clients('redetect'))
    harness.publish_until(lambda _: harness.tracker._session._ticket >= 3)
    assert len(harness.tracker._futures) <= 1
    assert len(harness.tracker._redetect._pending_requests) <= 1
    silent.destroy_node()


def test_a_late_detection_becomes_a_track_on_the_present_image(harness):
    for _ in range(10):
        harness.publish()
    harness.publish_detections(0)
    index, tracks = harness.publish_until(lambda tracks: tracks.detections)
    assert geometry.iou(truth_of(index).boxes, detections_from_msg(tracks).boxes).max() > 0.7
    track = tracks.detections[0]
    assert track.id.isdecimal() and track.header == tracks.header
    assert track.results[0].hypothesis.class_id == 'car'
    assert 0 < track.results[0].hypothesis.score <= 1
    assert track.bbox.center.theta == 0


def test_it_asks_for_a_detection_and_takes_a_refusal(harness, capfd):
    harness.answer = Trigger.Response(success=False, message='no image yet')
    harness.offer_redetect()
    harness.publish_until(lambda _: harness.calls >= 2)
    _, values = harness.diagnosis()
    assert int(values['requests.nothing_to_track']) >= 2
    assert 'could not serve a request: no image yet' in capfd.readouterr().err


def test_what_can_wait_is_asked_of_another_service(harness):
    asked = []
    for name in 'redetect', 'redetect/routine':
        harness.graph.node.create_service(
            Trigger, name, lambda _, response, name=name: asked.append(name) or response)
    harness.publish_until(lambda _: asked)
    harness.start_track()
    assert set(asked) == {'redetect'}, 'there was nothing to track'
    harness.publish_until(lambda _: 'redetect/routine' in asked)


def test_reset_drops_the_tracks(harness):
    harness.start_track()
    client = harness.graph.node.create_client(Trigger, 'tracker/reset')
    response = harness.graph.call(client, Trigger.Request())
    assert response.success and response.message == '1 tracks dropped'
    assert len(harness.publish()[1].detections) == 0


def test_messages_that_are_no_images_or_detections_are_counted(harness):
    broken = image_to_msg(ROAD.render(0), header_of(0))
    broken.encoding = 'no_such_encoding'
    harness.images.publish(broken)
    short = image_to_msg(ROAD.render(0), header_of(0))
    short.height = 10_000
    harness.images.publish(short)
    absurd = detections_to_msg(truth_of(0), header_of(0))
    absurd.detections[0].bbox.size_x = float('nan')
    harness.detections.publish(absurd)
    harness.graph.wait_until(lambda: int(harness.diagnosis()[1]['refused_images']) == 2)
    assert len(harness.start_track()[1].detections) == 1


def test_trackers_of_two_cameras_share_a_process(graph):
    received, images, indices = {}, [], itertools.count()
    for name in 'left', 'right':
        graph.node.create_subscription(
            Detection2DArray, f'/{name}/tracks',
            lambda message, name=name: received.update({name: message}), 10)
        images.append(graph.node.create_publisher(Image, f'/{name}/image_raw', IMAGE_QOS))
    with subprocess.Popen(
            [sys.executable, '-m', 'acme_tracking.nodes.tracker', '/left', '/right',
             '--ros-args', '-p', 'max_tracks:=7'], text=True, stderr=subprocess.PIPE) as process:
        try:
            def heard():  # images until both are heard, whose tracks nobody may hear at first
                index = next(indices)
                for offset, publisher in enumerate(images):
                    publisher.publish(image_to_msg(EMPTY, header_of(2 * index + offset)))
                return len(received) == 2
            graph.wait_until(heard)
        finally:
            process.send_signal(signal.SIGTERM)
            errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and 'Traceback' not in errors, errors
    even = {stamp_of(2 * index) for index in range(next(indices))}
    assert stamp_to_ns(received['left'].header.stamp) in even
    assert stamp_to_ns(received['right'].header.stamp) not in even


def test_the_debug_image_is_drawn_only_while_someone_listens(harness):
    seen = []
    harness.start_track()
    subscription = harness.graph.node.create_subscription(
        Image, 'tracker/debug_image', seen.append, 5)  # reliable, as viewers ask
    harness.publish_until(lambda _: seen)
    assert (seen[0].width, seen[0].height, seen[0].encoding) == (640, 360, 'bgr8')
    plain = ROAD.render(round((stamp_to_ns(seen[0].header.stamp) - stamp_of(0)) * RATE / 1e9))
    drawn = np.frombuffer(seen[0].data, np.uint8).reshape(plain.shape)
    assert 100 < (drawn != plain).any(axis=2).sum() < plain.shape[0] * plain.shape[1] / 10
    harness.graph.node.destroy_subscription(subscription)


def test_the_debug_image_is_compressed_for_who_is_far_away(harness, monkeypatch):
    drawn, seen = [], []
    monkeypatch.setattr(tracker_module, 'draw_tracks',
                        lambda image, tracks: drawn.append(image) or image)
    harness.publish()
    assert not drawn, 'nobody listens'
    harness.graph.node.create_subscription(
        CompressedImage, 'tracker/debug_image/compressed', seen.append, 5)
    harness.publish_until(lambda _: seen)
    assert seen[0].format == 'bgr8; jpeg compressed bgr8'
    index = round((stamp_to_ns(seen[0].header.stamp) - stamp_of(0)) * RATE / 1e9)
    sharp = ROAD.render(index).astype(int)
    assert np.abs(image_from_compressed(seen[0]) - sharp).mean() < 8


def test_parameters_are_checked_and_used(harness):
    refused, = harness.tracker.set_parameters([Parameter('max_coast', value=-1.0)])
    assert not refused.successful
    assert refused.reason == "parameter 'max_coast' must be in [0.01, 3600.0], got -1.0"
    taken, = harness.tracker.set_parameters([Parameter('confidence_threshold', value=1)])
    assert taken.successful
    index, _ = harness.publish()
    harness.publish_detections(index)
    harness.publish_until(lambda tracks: tracks.detections)
    _, tracks = harness.publish()
    assert all(track.results[0].hypothesis.score < 1 for track in tracks.detections), 'coasting'


def test_what_is_set_while_it_is_inactive_counts_when_it_is_active(harness):
    harness.tracker.trigger_deactivate()
    harness.tracker.set_parameters([Parameter('minimum_score', value=1.0)])
    harness.tracker.trigger_activate()
    harness.wait_for_matching()
    index, _ = harness.publish()
    harness.publish_detections(index)
    harness.publish_until(lambda _: harness.tracker._session.tracker.count(State.CONFIRMED))
    _, tracks = harness.publish()
    assert tracks.detections == [], 'a track, but none whose score is worth telling'


def test_the_lifecycle_forgets_the_tracks_and_never_gives_an_id_twice(harness):
    client = harness.graph.node.create_client(ChangeState, 'tracker/change_state')

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return harness.graph.call(client, request).success

    ids = [harness.start_track()[1].detections[0].id]
    assert not change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_DEACTIVATE)
    harness.graph.wait_until(lambda: not harness.images.get_subscription_count())
    assert harness.diagnosis()[0].message == 'inactive'
    assert change(Transition.TRANSITION_ACTIVATE)
    harness.wait_for_matching()
    assert harness.publish()[1].detections == [], 'the objects are elsewhere by now'
    ids.append(harness.start_track()[1].detections[0].id)
    assert change(Transition.TRANSITION_DEACTIVATE) and change(Transition.TRANSITION_CLEANUP)
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    harness.wait_for_matching()
    ids.append(harness.start_track()[1].detections[0].id)
    assert ids == sorted(set(ids), key=int)


def test_a_log_that_cannot_be_written_fails_the_configuration(graph, tmp_path):
    tracker = graph.add(TrackerNode(parameter_overrides=[
        Parameter('event_log', value=str(tmp_path / 'no' / 'folder'))]))
    assert not tracker.start() and tracker.state == 'unconfigured'
    assert tracker.count_publishers('tracks') == 0


def test_incompatible_quality_of_service_is_a_warning_that_names_both_sides(harness, capfd):
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    harness.graph.node.create_publisher(Detection2DArray, 'detections', qos)
    seen = []

    def warned():
        seen.append(capfd.readouterr().err)
        return '/tracker has RELIABILITY RELIABLE, but /probe publishes with ' \
               'RELIABILITY BEST_EFFORT' in ''.join(seen)
    harness.graph.wait_until(warned)


def test_diagnostics_tell_what_happens(harness):
    status, _ = harness.diagnosis()
    assert status.name == 'tracker: state'
    harness.start_track()
    _, values = harness.diagnosis()
    assert int(values['images']) >= 2 and values['tracks.confirmed'] == '1'
    assert float(values['buffer_megabytes']) > 0 and float(values['image_ms_median']) > 0
    assert int(values['Events since startup']) >= 2
    assert status.level == DiagnosticStatus.OK or status.message.startswith('no images')


def test_two_cameras_on_one_topic_are_said_with_their_names(harness, capfd):
    harness.wait_for_report(lambda status, _: status.message == 'no images from /probe')
    second = harness.graph.add(rclpy.create_node('second', namespace='rear'))
    second.create_publisher(Image, '/image_raw', IMAGE_QOS)
    harness.wait_for_report(
        lambda _, values: values.get('publishers./image_raw') == '/probe, /rear/second'
        and 'publishers./tracks' not in values)
    assert "'/image_raw' has 2 publishers, /probe and /rear/second" in capfd.readouterr().err
