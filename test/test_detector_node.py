"""The detector node over real DDS: requests, sharing, modes, lifecycle and bad input."""
import functools
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from acme_tracking.detection.checkpoint import save, Specification
from acme_tracking.detection.detector import Detector
from acme_tracking.messages import (
    detections_from_msg,
    image_to_compressed,
    image_to_msg,
    ns_to_stamp,
    stamp_to_ns,
)
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.scene import Scene
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
import torch
from vision_msgs.msg import Detection2DArray

ANSWER = re.compile(r'stamp=(\d+)\.(\d{9}) detections=(\d+) latency_ms=(\d+\.\d+)')


@pytest.fixture(scope='module')
def picture():
    """Give one image of the synthetic road."""
    return Scene(width=320, height=240, seed=1).render(30)


class Bench:
    """A detector node, and publishers and clients around it."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.node = graph.add(DetectorNode())
        self.set(**parameters)
        self.images = graph.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        self.compressed = graph.node.create_publisher(
            CompressedImage, 'image_raw/compressed', IMAGE_QOS)
        self.detections = []
        graph.node.create_subscription(
            Detection2DArray, 'detections', self.detections.append, RELIABLE_QOS)
        self.client = graph.node.create_client(Trigger, 'redetect')

    def set(self, **parameters):  # noqa: A003
        """Set parameters of the node and return the results."""
        return self.node.set_parameters(
            [Parameter(name, value=value) for name, value in parameters.items()])

    def start(self):
        """Configure and activate, and wait until the images find the node."""
        assert self.node.start()
        publisher = self.compressed if self.node.parameters.compressed else self.images
        self.graph.wait_until(lambda: publisher.get_subscription_count())
        return self

    def show(self, image, stamp=1, **fields):
        """Publish an image and wait until the node has it."""
        message = image_to_msg(image, Header(stamp=ns_to_stamp(stamp), frame_id='front'))
        for name, value in fields.items():
            setattr(message, name, value)
        before = self.node._counts['images']
        self.images.publish(message)
        self.graph.wait_until(lambda: self.node._counts['images'] > before)

    def health(self, node):
        """Return the report of the node."""
        reports = []
        node.perform, perform = reports.extend, node.perform
        node.diagnose()
        node.perform = perform
        return reports[0]

    def redetect(self):
        """Ask, and return the answer."""
        return self.graph.call(self.client, Trigger.Request())

    def ask(self, count):
        """Ask several times without waiting for the answers, only for the requests to be there."""
        self.graph.wait_until(self.client.service_is_ready)
        futures = [self.client.call_async(Trigger.Request()) for _ in range(count)]
        self.graph.wait_until(lambda: len(self.node._waiting) == count)
        return futures


class Held:
    """The node's detector, but each run waits until it is let go."""

    def __init__(self, node):
        self.detector, self.gate, self.runs = node._detector, threading.Event(), 0
        node._detector = self

    def __call__(self, image):
        """Detect when the gate opens."""
        self.runs += 1
        assert self.gate.wait(10)
        return self.detector(image)

    def __getattr__(self, name):
        """Be the detector in all else."""
        return getattr(self.detector, name)


@pytest.fixture
def make(graph):
    """Give `make(**parameters)`, which returns a Bench whose node is not started yet."""
    return functools.partial(Bench, graph)


@pytest.fixture
def bench(make):
    """Give a started node with its surroundings."""
    return make(score_threshold=0.1).start()


def test_answers_for_the_newest_image_after_publishing(bench, picture):
    for stamp in (1_000_000_001, 2_000_000_002, 3_000_000_003):
        bench.show(picture, stamp)
    answer = bench.redetect()
    assert answer.success
    seconds, nanoseconds, count, latency = ANSWER.fullmatch(answer.message).groups()
    assert (seconds, nanoseconds) == ('3', '000000003')
    assert float(latency) > 0
    bench.graph.wait_until(lambda: bench.detections)
    message, = bench.detections
    assert stamp_to_ns(message.header.stamp) == 3_000_000_003
    assert message.header.frame_id == 'front'
    assert len(message.detections) == int(count)
    expected = Detector.from_checkpoint(score_threshold=0.1)(picture)
    assert len(expected) > 0
    found = detections_from_msg(message)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert found.labels.tolist() == expected.labels.tolist()


def test_without_an_image_it_says_so(bench):
    answer = bench.redetect()
    assert not answer.success
    assert answer.message == 'no image yet'
    assert bench.node._counts['runs'] == 0


def test_requests_during_a_run_share_its_answer(bench, picture):
    held = Held(bench.node)
    bench.show(picture, 5)
    futures = bench.ask(5)
    bench.show(picture, 6)  # newer, but the run has begun
    held.gate.set()
    bench.graph.wait_until(lambda: all(future.done() for future in futures))
    messages = {future.result().message for future in futures}
    assert len(messages) == 1
    assert messages.pop().startswith('stamp=0.000000005')
    assert held.runs == 1
    bench.graph.wait_until(lambda: bench.detections)
    assert len(bench.detections) == 1
    assert bench.redetect().message.startswith('stamp=0.000000006')


def test_the_node_stays_responsive_during_a_run(bench, picture):
    held = Held(bench.node)
    bench.show(picture)
    future, = bench.ask(1)
    assert bench.set(score_threshold=0.5)[0].successful
    health = []
    bench.graph.node.create_subscription(DiagnosticArray, '/diagnostics', health.append,
                                         RELIABLE_QOS)
    bench.graph.wait_until(lambda: health)
    assert not future.done()
    held.gate.set()
    bench.graph.wait_until(future.done)


def test_continuous_mode_detects_by_itself_and_skips_what_it_cannot_keep_up_with(make, picture):
    bench = make(mode='continuous').start()
    held = Held(bench.node)
    for stamp in range(1, 6):
        bench.show(picture, stamp)
    held.gate.set()
    bench.graph.wait_until(lambda: len(bench.detections) == 2)
    stamps = [stamp_to_ns(message.header.stamp) for message in bench.detections]
    assert stamps == [1, 5]
    assert bench.set(mode='on_request')[0].successful
    bench.show(picture, 6)
    assert bench.redetect().message.startswith('stamp=0.000000006')
    assert bench.node._counts['runs'] == 3


def test_deactivation_answers_those_who_wait_and_drops_the_run(bench, picture):
    held = Held(bench.node)
    bench.show(picture)
    futures = bench.ask(2)
    bench.node.trigger_deactivate()
    bench.graph.wait_until(lambda: all(future.done() for future in futures))
    assert {f.result().message for f in futures} == {'the detector was deactivated'}
    assert not any(f.result().success for f in futures)
    held.gate.set()
    answer = bench.redetect()
    assert (answer.success, answer.message) == (False, 'the detector is inactive')
    bench.node.trigger_activate()
    assert bench.redetect().message == 'no image yet'
    bench.graph.wait_until(lambda: bench.images.get_subscription_count())
    bench.show(picture, 9)
    assert bench.redetect().message.startswith('stamp=0.000000009')
    assert [stamp_to_ns(message.header.stamp) for message in bench.detections] == [9]


def test_it_can_be_cleaned_up_and_configured_again(bench, picture):
    bench.node.trigger_deactivate()
    bench.node.trigger_cleanup()
    assert not [thread for thread in threading.enumerate() if thread.name == 'inference']
    bench.start()
    bench.show(picture)
    assert bench.redetect().success


@pytest.mark.parametrize('fields', [
    {'encoding': 'nonsense'}, {'step': 3}, {'height': 10_000}])
def test_a_broken_image_is_a_counted_warning(bench, picture, fields):
    bench.show(picture, 1, **fields)
    answer = bench.redetect()
    assert not answer.success
    assert answer.message
    assert bench.node._counts['failures'] == 1
    bench.health(bench.node)
    bench.node._counts['images'] += 1
    report = bench.health(bench.node)
    assert report.level == 'warning' and answer.message in report.message
    bench.show(picture, 2)
    assert bench.redetect().success


def test_compressed_images(make, picture):
    bench = make(compressed=True, score_threshold=0.1).start()
    bench.compressed.publish(image_to_compressed(
        picture, Header(stamp=ns_to_stamp(4), frame_id='front'), quality=95))
    bench.graph.wait_until(lambda: bench.node._counts['images'])
    assert bench.redetect().message.startswith('stamp=0.000000004')


def test_thresholds_and_classes_change_at_run_time(bench, picture):
    bench.show(picture)
    bench.set(score_threshold=0.02)
    bench.redetect()
    bench.set(classes=['person', 'bus'])
    bench.redetect()
    bench.set(score_threshold=1.0)
    bench.redetect()
    bench.graph.wait_until(lambda: len(bench.detections) == 3)
    every, some, none = map(detections_from_msg, bench.detections)
    assert 'car' in every.labels
    assert set(some.labels.tolist()) <= {'person', 'bus'}
    assert len(none) == 0


def test_input_size_and_tiles_change_while_it_runs(bench, picture):
    bench.show(picture)
    assert bench.set(input_size=96, tiles=2)[0].successful
    bench.redetect()
    bench.graph.wait_until(lambda: len(bench.detections) == 1)
    assert (bench.node._detector.input_size, bench.node._detector.tiles) == (96, 2)


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('score_threshold', 1.5, r'\[0.0, 1.0\]'), ('nms_threshold', -0.1, r'\[0.0, 1.0\]'),
    ('classes', ['zebra'], r'zebra.*car'), ('mode', 'sometimes', 'on_request'),
    ('tiles', 9, r'\[1, 8\]'), ('input_size', 20, 'must be 0 or from 32 to 4096, got 20')])
def test_bad_values_are_refused_with_a_reason(bench, name, value, reason):
    result, = bench.set(**{name: value})
    assert not result.successful
    assert re.search(reason, result.reason)
    assert getattr(bench.node.parameters, name) != value


def test_a_broken_checkpoint_fails_the_configuration(make, tmp_path):
    bad = tmp_path / 'bad.safetensors'
    bad.write_bytes(b'rubbish')
    bench = make(weights=str(bad))
    assert not bench.node.start()
    assert bench.node.state == 'unconfigured'
    bench.set(weights='')
    assert bench.node.start()


@pytest.fixture
def own_weights(tmp_path):
    """Give a checkpoint of an untrained network for one class of its own."""
    specification = Specification(classes=('forklift',), input_size=96)
    save(tmp_path / 'own.safetensors', specification.build(), specification)
    return tmp_path / 'own.safetensors'


def test_weights_are_exchanged_at_run_time(bench, picture, own_weights):
    bench.show(picture)
    bench.set(score_threshold=0.0)
    bench.redetect()
    result, = bench.set(weights=str(own_weights))
    assert result.successful
    bench.redetect()
    assert bench.set(weights='')[0].successful
    bench.redetect()
    bench.graph.wait_until(lambda: len(bench.detections) == 3)
    first, second, third = map(detections_from_msg, bench.detections)
    assert set(second.labels.tolist()) == {'forklift'}
    np.testing.assert_array_equal(first.boxes, third.boxes)


def test_weights_set_again_are_read_again(make, own_weights):
    bench = make(weights=str(own_weights)).start()
    specification = Specification(classes=('crane',), input_size=96)
    save(own_weights, specification.build(), specification)
    assert bench.set(weights=str(own_weights))[0].successful
    assert bench.node._detector.names.tolist() == ['crane']


@pytest.mark.parametrize('content', [None, b'', b'rubbish', 'cut'])
def test_bad_weights_are_refused_and_the_present_ones_go_on(bench, picture, own_weights, content):
    before = bench.node._detector
    if content is None:
        own_weights.unlink()
    else:
        own_weights.write_bytes(own_weights.read_bytes()[:5000] if content == 'cut' else content)
    result, = bench.set(weights=str(own_weights))
    assert not result.successful
    assert re.search(r'own.safetensors: (no such file|not a safetensors file)', result.reason)
    assert bench.node.parameters.weights == ''
    assert bench.node._detector is before
    bench.show(picture)
    assert bench.redetect().success


def test_weights_that_do_not_know_the_chosen_classes_are_refused(bench, own_weights):
    bench.set(classes=['car'])
    result, = bench.set(weights=str(own_weights))
    assert not result.successful
    assert "['car'] are unknown" in result.reason
    both = [Parameter('weights', value=str(own_weights)), Parameter('classes', value=['forklift'])]
    assert bench.node.set_parameters_atomically(both).successful
    assert bench.node._detector.classes == ('forklift',)


def test_a_run_in_progress_ends_with_the_weights_it_began_with(bench, picture, own_weights):
    held = Held(bench.node)
    bench.show(picture)
    future, = bench.ask(1)
    opener = threading.Timer(0.3, held.gate.set)  # while the parameter waits for the worker
    opener.start()
    assert bench.set(weights=str(own_weights))[0].successful
    bench.graph.wait_until(future.done)
    opener.join()
    assert future.result().success and held.runs == 1
    bench.graph.wait_until(lambda: bench.detections)
    assert 'forklift' not in detections_from_msg(bench.detections[0]).labels


def test_memory_stays_flat_over_many_requests(bench, picture):
    """A leak of one image (230 kB) for each request would be 34 MB."""
    bench.node._detector.network = Nothing()
    bench.show(picture)
    rest = []
    for _ in range(4):
        for _ in range(50):
            assert bench.redetect().success
        gc.collect()
        rest.append(resident_bytes())
    assert rest[-1] - rest[0] < 6e6, rest


class Nothing(torch.nn.Module):
    """A network that sees nothing, at once."""

    def forward(self, images):
        """Predict one point without an object."""
        return torch.zeros(1, 1, 4), torch.full((1, 1), -9.0), torch.zeros(1, 1, 5)


def resident_bytes():
    """Return the memory that this process holds."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_unknown_classes_fail_the_configuration(make):
    bench = make(classes=['zebra'])
    assert not bench.node.start()


def test_diagnostics_report_runs_and_latency(bench, picture):
    bench.show(picture)
    bench.redetect()
    report = bench.health(bench.node)
    values = report.values
    assert (report.level, report.message) == ('ok', 'ready')
    assert values['images'] == values['runs'] == 1
    assert values['failures'] == 0
    assert values['latency_ms'] > 0
    assert str(values['device']) in ('cpu', 'cuda')
    assert bench.health(bench.node).message == 'no images'


def test_the_process_sleeps_between_runs_and_ends_on_sigint(graph, picture):
    """Its own process: the load with images at 10 Hz and no requests, and a clean end."""
    process = subprocess.Popen([sys.executable, '-m', 'acme_tracking.nodes.detector'],
                               stderr=subprocess.PIPE, text=True)
    try:
        client = graph.node.create_client(Trigger, 'redetect')
        publisher = graph.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        message = image_to_msg(picture, Header(stamp=ns_to_stamp(1)))
        graph.node.create_timer(0.1, lambda: publisher.publish(message))
        graph.wait_until(client.service_is_ready, 60)
        graph.wait_until(lambda: graph.call(client, Trigger.Request()).success, 20)
        begin, end = cpu_seconds(process.pid), time.monotonic() + 2.0
        graph.wait_until(lambda: time.monotonic() > end)
        assert cpu_seconds(process.pid) - begin < 0.3
        client.call_async(Trigger.Request())  # a run is in progress when the signal comes
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert 'Traceback' not in log


def cpu_seconds(pid):
    """Return the CPU time that a process has used."""
    with open(f'/proc/{pid}/stat') as file:
        ticks = file.read().rsplit(')', 1)[1].split()[11:13]
    return sum(map(int, ticks)) / 100


def test_lifecycle_services_work(make, picture):
    bench = make(score_threshold=0.1).start()
    client = bench.graph.node.create_client(ChangeState, 'detector/change_state')
    request = ChangeState.Request()
    request.transition.label = 'deactivate'
    assert bench.graph.call(client, request).success
    assert bench.node.state == 'inactive'
