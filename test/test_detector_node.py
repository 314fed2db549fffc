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

from acme_tracking.detection import runtimes
from acme_tracking.detection.checkpoint import save, Specification
from acme_tracking.detection.detector import Detector
from acme_tracking.detections import Detections
from acme_tracking.evaluation.cache import DetectionCache
from acme_tracking.labels import CLASSES
from acme_tracking.messages import (
    detections_from_msg,
    image_to_compressed,
    image_to_msg,
    ns_to_stamp,
    stamp_to_ns,
)
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.nodes.stand_in import StandInNode
from acme_tracking.scene import Scene
from acme_tracking.share import shipped_weights
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.parameter import Parameter
from safetensors import safe_open
from safetensors.torch import load_file, save_file
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

    def __init__(self, graph, node_type=DetectorNode, **parameters):
        self.graph = graph
        # what may be named is the matter of test_confinement.py
        self.node = graph.add(node_type(parameter_overrides=[
            Parameter(name, value=value)
            for name, value in {'allowed_paths': ['/'], **parameters}.items()]))
        self.images = graph.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        self.compressed = graph.node.create_publisher(
            CompressedImage, 'image_raw/compressed', IMAGE_QOS)
        self.detections, self.health = [], []
        graph.node.create_subscription(
            Detection2DArray, 'detections', self.detections.append, RELIABLE_QOS)
        graph.node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda array: self.health.append(array.status[0]),
            RELIABLE_QOS)
        self.client = graph.node.create_client(Trigger, 'redetect')

    def set(self, **parameters):  # noqa: A003
        """Set parameters of the node and return the results."""
        return self.node.set_parameters(
            [Parameter(name, value=value) for name, value in parameters.items()])

    def start(self):
        """Configure and activate, and wait until the images find the node."""
        assert self.node.start()
        publisher = self.compressed if self.node.parameters.compressed else self.images
        self.wait(publisher.get_subscription_count)
        return self

    def wait(self, predicate):
        """Spin until something is true, with the patience of a busy machine."""
        return self.graph.wait_until(predicate, 60)

    def images_seen(self):
        """Return how many images the node has got."""
        return self.node._session._counts['images']

    def show(self, image, stamp=1, **fields):
        """Publish an image and wait until the node has it."""
        message = image_to_msg(image, Header(stamp=ns_to_stamp(stamp), frame_id='front'))
        for name, value in fields.items():
            setattr(message, name, value)
        before = self.images_seen()
        self.images.publish(message)
        self.wait(lambda: self.images_seen() > before)

    def redetect(self):
        """Ask, and return the answer."""
        return self.graph.call(self.client, Trigger.Request(), 60)

    def ask(self, count):
        """Ask several times without waiting for the answers, only for the requests to be there."""
        self.wait(self.client.service_is_ready)
        futures = [self.client.call_async(Trigger.Request()) for _ in range(count)]
        self.wait(lambda: sum(len(run.callers) for run in self.node._session._runs.values())
                  == count)
        return futures

    def report(self, condition):
        """Wait for a report on /diagnostics that is as wanted; return message and values."""
        def found():
            while self.health:
                status = self.health.pop()
                values = {pair.key: pair.value for pair in status.values}
                if condition(status, values):
                    return status, values
        return self.wait(found)

    def detect(self, image):
        """Run the present network."""
        return self.node._inference.network(
            [image_to_msg(image, Header())], self.node.parameters)[0]


class Held:
    """The node's network, but each run waits until it is let go."""

    def __init__(self, node):
        self.network, self.gate, self.runs = node._inference.network, threading.Event(), 0
        self.device, self.together = self.network.device, 1
        node._inference.network = self

    def __call__(self, messages, parameters):
        """Detect when the gate opens."""
        self.runs += 1
        assert self.gate.wait(100)
        return self.network(messages, parameters)


@pytest.fixture
def make(graph):
    """Give `make(**parameters)`, which returns a Bench whose node is not started yet."""
    return functools.partial(Bench, graph)


@pytest.fixture
def bench(make):
    """Give a started node with its surroundings; images are never too old for a busy machine."""
    return make(score_threshold=0.1, maximum_image_age=0.0).start()


def test_answers_for_the_newest_image_after_publishing(bench, picture):
    for stamp in (1_000_000_001, 2_000_000_002, 3_000_000_003):
        bench.show(picture, stamp)
    answer = bench.redetect()
    assert answer.success
    seconds, nanoseconds, count, latency = ANSWER.fullmatch(answer.message).groups()
    assert (seconds, nanoseconds) == ('3', '000000003')
    assert float(latency) > 0
    bench.wait(lambda: bench.detections)
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
    assert (answer.success, answer.message) == (False, 'no image yet')


def test_an_image_that_is_old_by_its_stamp_is_not_detected(make, picture):
    bench = make(score_threshold=0.1).start()
    bench.show(picture, time.time_ns() - 26_000_000_000)
    answer = bench.redetect()
    assert not answer.success
    assert float(re.fullmatch(r'newest image is (\S+) s old', answer.message).group(1)) >= 26
    status, _ = bench.report(lambda status, values: values.get('old_images') == '1')
    assert status.level == DiagnosticStatus.WARN


def test_the_node_stays_responsive_during_a_run_whose_answer_is_shared(bench, picture):
    held = Held(bench.node)
    bench.show(picture, 5)
    futures = bench.ask(5)
    bench.show(picture, 6)  # newer, but the run has begun
    assert bench.set(score_threshold=0.5)[0].successful
    bench.report(lambda status, values: values.get('images') == '2')
    assert not any(future.done() for future in futures)
    held.gate.set()
    bench.wait(lambda: all(future.done() for future in futures))
    messages = {future.result().message for future in futures}
    assert len(messages) == 1
    assert messages.pop().startswith('stamp=0.000000005')
    assert held.runs == 1
    assert bench.redetect().message.startswith('stamp=0.000000006')


def test_continuous_mode_detects_by_itself(make, picture):
    bench = make(mode='continuous').start()
    bench.show(picture, 1)
    bench.wait(lambda: bench.detections)
    assert stamp_to_ns(bench.detections[0].header.stamp) == 1
    assert bench.set(mode='on_request')[0].successful
    bench.show(picture, 2)
    assert bench.set(mode='continuous')[0].successful
    bench.wait(lambda: len(bench.detections) == 2)
    assert stamp_to_ns(bench.detections[1].header.stamp) == 2


def test_deactivation_answers_those_who_wait_and_drops_the_run(bench, picture):
    held = Held(bench.node)
    bench.show(picture)
    futures = bench.ask(2)
    bench.node.trigger_deactivate()
    bench.wait(lambda: all(future.done() for future in futures))
    assert {f.result().message for f in futures} == {'the detector was deactivated'}
    assert not any(f.result().success for f in futures)
    held.gate.set()
    answer = bench.redetect()
    assert (answer.success, answer.message) == (False, 'the detector is inactive')
    bench.node.trigger_activate()
    assert bench.redetect().message == 'no image yet'
    bench.wait(bench.images.get_subscription_count)
    bench.show(picture, 9)
    assert bench.redetect().message.startswith('stamp=0.000000009')
    bench.wait(lambda: bench.detections)
    assert [stamp_to_ns(message.header.stamp) for message in bench.detections] == [9]


def test_one_detector_serves_several_cameras(make, graph, picture):
    bench = make(cameras=['front', 'rear'], score_threshold=0.1, maximum_image_age=0.0)
    found = {}
    clients = {}
    for name in 'front', 'rear':
        graph.node.create_subscription(
            Detection2DArray, f'{name}/detections',
            lambda message, name=name: found.update({name: message}), RELIABLE_QOS)
        for service in 'redetect', 'redetect/routine':
            clients[name, service] = graph.node.create_client(Trigger, f'{name}/{service}')
    assert bench.node.start()
    assert graph.call(clients['front', 'redetect'], Trigger.Request()).message == 'no image yet'
    for stamp, name in enumerate(('front', 'rear'), 1):
        bench.images = graph.node.create_publisher(Image, f'{name}/image_raw', IMAGE_QOS)
        bench.wait(bench.images.get_subscription_count)
        bench.show(picture, stamp)
    for name, service, stamp in (('rear', 'redetect/routine', 2), ('front', 'redetect', 1)):
        answer = graph.call(clients[name, service], Trigger.Request())
        assert answer.message.startswith(f'stamp=0.00000000{stamp}'), answer
    bench.wait(lambda: len(found) == 2)
    assert {name: stamp_to_ns(each.header.stamp) for name, each in found.items()} == {
        'front': 1, 'rear': 2}


def test_a_broken_image_is_no_matter_of_those_that_are_looked_at_with_it(bench, picture):
    whole, broken = (image_to_msg(picture, Header()) for _ in range(2))
    broken.encoding = 'nonsense'
    inference = bench.node._inference
    alone = bench.detect(picture)
    results = inference._run([(1, whole), (2, broken), (3, whole)], bench.node.parameters)
    first, second, third = (result(0) for result in results)
    assert (first.run, second.run, third.run) == (1, 2, 3)
    assert second.detections is None and 'nonsense' in second.error
    for each in first, third:
        np.testing.assert_allclose(each.detections.boxes, alone.boxes)


def inference_threads():
    return [thread for thread in threading.enumerate() if thread.name == 'inference']


def test_it_can_be_cleaned_up_and_configured_again(bench, picture):
    bench.node.trigger_deactivate()
    bench.node.trigger_cleanup()
    assert not inference_threads()
    bench.start()
    bench.show(picture)
    assert bench.redetect().success


def test_a_run_that_hangs_is_left_behind_and_not_heard(bench, picture, monkeypatch):
    monkeypatch.setattr('acme_tracking.nodes.detector.PATIENCE', 0.1)
    held = Held(bench.node)
    bench.show(picture, 1)
    future, = bench.ask(1)
    bench.wait(lambda: held.runs)
    bench.node.trigger_deactivate()
    bench.wait(future.done)
    bench.node.trigger_cleanup()
    assert bench.node.state == 'unconfigured' and inference_threads(), 'it still hangs'
    bench.start()
    held.gate.set()
    bench.show(picture, 2)
    assert bench.redetect().message.startswith('stamp=0.000000002')
    assert [stamp_to_ns(message.header.stamp) for message in bench.detections] == [2]
    assert not future.result().success


@pytest.mark.parametrize('fields', [
    {'encoding': 'nonsense'}, {'step': 3}, {'height': 10_000}])
def test_a_broken_image_is_a_counted_warning(bench, picture, fields):
    bench.show(picture, 1, **fields)
    answer = bench.redetect()
    assert not answer.success and answer.message
    status, _ = bench.report(lambda status, values: values.get('failures') == '1')
    assert status.level == DiagnosticStatus.WARN
    bench.show(picture, 2)
    assert bench.redetect().success


def test_compressed_images(make, picture):
    bench = make(compressed=True, maximum_image_age=0.0).start()
    bench.compressed.publish(image_to_compressed(
        picture, Header(stamp=ns_to_stamp(4), frame_id='front'), quality=95))
    bench.wait(bench.images_seen)
    assert bench.redetect().message.startswith('stamp=0.000000004')


def test_options_count_from_the_next_run_on(bench, picture):
    bench.show(picture)
    for change in ({'score_threshold': 0.02}, {'classes': ['person', 'bus']},
                   {'score_threshold': 1.0}, {'score_threshold': 0.02, 'input_size': 96,
                                              'tiles': 2, 'classes': []}):
        assert all(result.successful for result in bench.set(**change))
        assert bench.redetect().success
    bench.wait(lambda: len(bench.detections) == 4)
    every, some, none, small = map(detections_from_msg, bench.detections)
    assert 'car' in every.labels
    assert set(some.labels.tolist()) <= {'person', 'bus'}
    assert len(none) == 0
    expected = Detector.from_checkpoint(score_threshold=0.02, input_size=96, tiles=2)(picture)
    np.testing.assert_allclose(small.boxes, expected.boxes, atol=0.1)


def test_options_set_while_it_is_inactive_count_when_it_is_activated(make, picture):
    bench = make(score_threshold=0.02, maximum_image_age=0.0)
    bench.node.trigger_configure()
    assert bench.set(classes=['bus'], mode='continuous')[0].successful
    bench.node.trigger_activate()
    bench.wait(bench.images.get_subscription_count)
    bench.show(picture)
    bench.wait(lambda: bench.detections)
    assert set(detections_from_msg(bench.detections[0]).labels.tolist()) <= {'bus'}


@pytest.mark.parametrize(('name', 'value', 'reason'), [
    ('score_threshold', 1.5, r'\[0.0, 1.0\]'), ('nms_threshold', -0.1, r'\[0.0, 1.0\]'),
    ('classes', ['zebra'], r'zebra.*car'), ('refined_classes', ['zebra'], r'zebra.*car'),
    ('mode', 'sometimes', 'on_request'), ('tiles', 9, r'\[1, 8\]'),
    ('input_size', 20, 'must be 0 or from 32 to 4096, got 20')])
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
    assert bench.node.state == 'unconfigured' and not inference_threads()
    bench.report(lambda status, _: 'bad.safetensors: not a safetensors file' in status.message)
    bench.set(weights='')
    assert bench.node.start()


def test_unknown_classes_fail_the_configuration(make):
    assert not make(classes=['zebra']).node.start()


def save_untrained(path, name):
    specification = Specification(classes=(name,), input_size=96)
    save(path, specification.build(), specification)


@pytest.fixture
def own_weights(tmp_path):
    """Give a checkpoint of an untrained network for one class of its own."""
    save_untrained(tmp_path / 'own.safetensors', 'forklift')
    return tmp_path / 'own.safetensors'


def wait_for_names(bench, *names):
    bench.wait(lambda: str(bench.node._inference.network).startswith(
        f'detects {", ".join(names)}; '))


def test_weights_are_exchanged_at_run_time(bench, picture, own_weights):
    bench.show(picture)
    bench.set(score_threshold=0.0)
    bench.redetect()
    for weights in str(own_weights), '':
        assert bench.set(weights=weights)[0].successful
        bench.redetect()  # waits for its turn behind the weights
    bench.wait(lambda: len(bench.detections) == 3)
    first, second, third = map(detections_from_msg, bench.detections)
    assert set(second.labels.tolist()) == {'forklift'}
    np.testing.assert_array_equal(first.boxes, third.boxes)


def test_weights_set_again_are_read_again(make, own_weights):
    bench = make(weights=str(own_weights)).start()
    wait_for_names(bench, 'forklift')
    save_untrained(own_weights, 'crane')
    assert bench.set(weights=str(own_weights))[0].successful
    wait_for_names(bench, 'crane')


@pytest.mark.parametrize('content, reason', [
    (None, 'no such file'), (b'', 'not a safetensors file'),
    (b'rubbish', 'not a safetensors file'), ('cut', 'not a safetensors file')])
def test_bad_weights_are_refused_and_the_present_ones_go_on(bench, picture, own_weights, content,
                                                            reason):
    before = bench.node._inference.network
    if content is None:
        own_weights.unlink()
    else:
        own_weights.write_bytes(own_weights.read_bytes()[:5000] if content == 'cut' else content)
    result, = bench.set(weights=str(own_weights))
    assert not result.successful
    assert f'own.safetensors: {reason}' in result.reason
    assert bench.node.parameters.weights == ''
    assert bench.node._inference.network is before
    bench.show(picture)
    assert bench.redetect().success


@pytest.mark.parametrize('content', [b'', b'rubbish', b'cut'])
def test_a_bad_onnx_file_is_refused_and_the_present_weights_go_on(
        bench, picture, tmp_path, content):
    bad = tmp_path / 'bad.onnx'
    bad.write_bytes(shipped_weights('.onnx').read_bytes()[:-90_000] if content == b'cut'
                    else content)
    before = bench.node._inference.network
    result, = bench.set(weights=str(bad))
    assert not result.successful and 'bad.onnx: ' in result.reason
    assert bench.node._inference.network is before
    bench.show(picture)
    assert bench.redetect().success


def test_an_onnx_file_that_crashes_what_loads_it_is_set_back(bench, picture, tmp_path,
                                                             monkeypatch):
    monkeypatch.setattr(runtimes, 'TRIAL', 'import os; os.kill(os.getpid(), 11)')
    copy = tmp_path / 'copy.onnx'
    copy.write_bytes(shipped_weights('.onnx').read_bytes())
    assert bench.set(weights=str(copy))[0].successful
    bench.report(lambda status, _: 'copy.onnx: ends the process' in status.message)
    assert bench.node.parameters.weights == ''
    bench.show(picture)
    assert bench.redetect().success


@pytest.mark.parametrize('name', ['a' * 300, '/tmp/' + 'a' * 5000, '/tmp', '/dev/zero'])
def test_names_that_no_file_has_are_refused(bench, name):
    for parameter in 'weights', 'classifier':
        result, = bench.set(**{parameter: name})
        assert not result.successful and name[:50] in result.reason and len(result.reason) < 500


def test_weights_that_do_not_know_the_chosen_classes_are_refused(bench, own_weights):
    bench.set(classes=['car'])
    result, = bench.set(weights=str(own_weights))
    assert not result.successful
    assert "['car'] are unknown" in result.reason
    both = [Parameter('weights', value=str(own_weights)), Parameter('classes', value=['forklift'])]
    assert bench.node.set_parameters_atomically(both).successful
    wait_for_names(bench, 'forklift')
    assert bench.node.parameters.classes == ('forklift',)


def test_weights_that_cannot_be_used_after_all_are_set_back(
        make, picture, own_weights, tmp_path, capfd):
    bench = make(weights=str(own_weights), maximum_image_age=0.0).start()
    tensors = load_file(own_weights)
    with safe_open(own_weights, 'pt') as file:
        metadata = file.metadata()
    tensors['lateral.0.weight'] = tensors['lateral.0.weight'] * float('nan')
    save_file(tensors, tmp_path / 'nan.safetensors', metadata)
    own_weights.unlink()  # the network in use does not need it any more
    both = [Parameter('weights', value=str(tmp_path / 'nan.safetensors')),
            Parameter('classes', value=['forklift'])]
    assert bench.node.set_parameters_atomically(both).successful, 'the header is fine'
    bench.wait(lambda: bench.node.parameters.weights == str(own_weights))
    assert bench.node.get_parameter('weights').value == str(own_weights)
    assert bench.node.parameters.classes == ()
    assert 'nan.safetensors: tensor lateral.0.weight holds values' in capfd.readouterr().err
    bench.show(picture)
    assert bench.redetect().success
    bench.report(lambda status, _: status.level == DiagnosticStatus.WARN
                 and 'lateral.0.weight' in status.message)


def test_a_device_without_memory_for_new_weights_keeps_the_present_ones(
        bench, picture, own_weights, monkeypatch):
    def warm_up(_):
        raise torch.OutOfMemoryError('CUDA out of memory')
    monkeypatch.setattr(Detector, 'warm_up', warm_up)
    assert bench.set(weights=str(own_weights))[0].successful
    bench.report(lambda status, _: 'CUDA out of memory' in status.message)
    assert bench.node.parameters.weights == ''
    bench.show(picture)
    assert bench.redetect().success
    bench.node.trigger_deactivate()
    bench.node.trigger_cleanup()
    assert not bench.node.start(), 'no memory either'
    bench.report(lambda status, _: 'cannot configure: CUDA out of memory' in status.message)


def test_a_swap_of_weights_does_not_wait_for_the_run_in_progress(bench, picture, own_weights):
    held = Held(bench.node)
    bench.show(picture)
    future, = bench.ask(1)
    assert bench.set(weights=str(own_weights))[0].successful, 'while the run is held'
    assert not future.done()
    held.gate.set()
    bench.wait(future.done)
    assert future.result().success and held.runs == 1
    bench.wait(lambda: bench.detections)
    assert 'forklift' not in detections_from_msg(bench.detections[0]).labels
    wait_for_names(bench, 'forklift')


def test_a_stand_in_answers_from_a_file_in_its_place(graph, picture, tmp_path):
    with DetectionCache(tmp_path / 'known.npz', {}, None) as cache:
        cache.fill({7: Detections([[1, 2, 3, 4]], [0.75], ['bus'])})
    bench = Bench(graph, StandInNode, detections=str(tmp_path / 'known.npz'), latency=0.0,
                  maximum_image_age=0.0).start()
    bench.show(picture, 7)
    assert bench.redetect().message.startswith('stamp=0.000000007 detections=1')
    bench.wait(lambda: bench.detections)
    found = detections_from_msg(bench.detections[0])
    assert (found.labels.tolist(), found.scores.tolist()) == (['bus'], [0.75])
    bench.show(picture, 8)
    assert bench.redetect().message == 'no detections of the image at 8'


def test_memory_stays_flat_over_many_requests(bench, picture):
    """A leak of one image (230 kB) for each request would be 34 MB."""
    bench.node._inference.network._detector.runtime = Nothing()
    bench.show(picture)
    rest = []
    for _ in range(5):
        for _ in range(50):
            assert bench.redetect().success
        gc.collect()
        rest.append(resident_bytes())
    assert rest[-1] - rest[1] < 6e6, rest  # the first fifty fill what is kept for the next


class Nothing:
    """A runtime that sees nothing, at once."""

    classes, input_size, device = CLASSES, 384, 'cpu'

    def size(self, width, height, side):
        """Return the size of the image."""
        return width, height

    def __call__(self, images):
        """Find nothing on each image."""
        return [(np.empty((0, 4), np.float32), np.empty(0), np.empty(0, int))] * len(images)


def resident_bytes():
    """Return the memory that this process holds."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_diagnostics_report_runs_and_latency(bench, picture):
    bench.show(picture)
    bench.redetect()
    _, values = bench.report(lambda _, values: values.get('runs') == '1')
    assert (values['images'], values['failures'], values['mode']) == ('1', '0', 'on_request')
    assert float(values['latency_ms']) > 0
    assert values['device'] in ('cpu', 'cuda')


@pytest.mark.parametrize('shut_down', [False, True])
def test_the_process_sleeps_while_a_request_waits_and_ends_during_a_run(
        graph, picture, shut_down):
    """Its own process, whose runs never end."""
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW_DETECTOR], stderr=subprocess.PIPE, text=True)
    try:
        client = graph.node.create_client(Trigger, 'redetect')
        publisher = graph.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        message = image_to_msg(picture, Header(stamp=ns_to_stamp(1)))
        graph.node.create_timer(0.1, lambda: publisher.publish(message))
        images = set()
        graph.node.create_subscription(DiagnosticArray, '/diagnostics', lambda array: [
            images.add(pair.value) for pair in array.status[0].values if pair.key == 'images'], 10)
        graph.wait_until(lambda: images - {'0'}, 60)
        graph.wait_until(client.service_is_ready, 60)
        future = client.call_async(Trigger.Request())
        images.clear()
        graph.wait_until(lambda: len(images) == 2, 60)  # the request was there by then
        begin = cpu_seconds(process.pid)
        images.clear()
        graph.wait_until(lambda: len(images) == 3, 60)  # two seconds by the clock of the node
        assert cpu_seconds(process.pid) - begin < 0.5, 'it does not spin'
        assert not future.done()
        if shut_down:
            change = graph.node.create_client(ChangeState, 'detector/change_state')
            request = ChangeState.Request()
            request.transition.id = Transition.TRANSITION_ACTIVE_SHUTDOWN
            assert graph.call(change, request, 60).success
            state = graph.node.create_client(GetState, 'detector/get_state')
            assert graph.call(state, GetState.Request(), 60).current_state.label == 'finalized'
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert 'Traceback' not in log


# It sleeps until the process is asked to end, and from then on is in the middle of a layer.
SLOW_DETECTOR = """
import time
import rclpy
import torch
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.running import exit_with, run

class Slow:
    device, together = 'none', 1
    def __init__(self, parameters):
        pass
    def __call__(self, messages, parameters):
        while rclpy.ok():
            time.sleep(0.05)
        layer, image = torch.nn.Conv2d(64, 64, 3), torch.zeros(1, 64, 96, 96)
        while True:
            layer(image)

class SlowNode(DetectorNode):
    def __init__(self):
        super().__init__(network_type=Slow)

exit_with(run(SlowNode))
"""


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
