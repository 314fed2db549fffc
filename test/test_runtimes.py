"""Runtimes: export, agreement with torch, the choice, hosts without torch, and files that lie."""
import contextlib
import hashlib
import io
import json
import re
import subprocess
import sys

from acme_tracking.cli import main
from acme_tracking.detection import checkpoint, runtimes
from acme_tracking.detection.detector import check_checkpoints, Detector
from acme_tracking.detection.export import export
from acme_tracking.detection.options import NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.detection.runtimes import choose, processor
from acme_tracking.detection.runtimes.openvino import OpenVino
from acme_tracking.detection.runtimes.torch import Torch
from acme_tracking.detection.specification import Specification
from acme_tracking.detection.suppression import suppress
from acme_tracking.geometry import iou
from acme_tracking.labels import CLASSES
from acme_tracking.scene import Scene
from acme_tracking.share import shipped_weights
from acme_tracking.weights_files import CheckpointError, header
import cv2
import numpy as np
import onnx
from onnx import helper, TensorProto
import openvino
import pytest
import torch

SPECIFICATION = Specification(
    classes=('car', 'person', 'cat'), input_size=128, mean=(10.0, 20.0, 30.0),
    std=(50.0, 60.0, 70.0),
    arguments={'widths': [8, 8, 16, 16, 16], 'depths': [1, 1, 1, 1, 1], 'neck': 16})


VNNI = pytest.mark.skipif(not processor.has_vnni(),
                          reason='without VNNI sums of 8-bit integers can overflow')


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Give a checkpoint whose network says much of anything, and what was exported from it."""
    folder = tmp_path_factory.mktemp('exported')
    torch.manual_seed(0)
    network = SPECIFICATION.build()
    with torch.no_grad():
        for weight, spread in [*((head[-1].weight[:4], 5) for head in network.where),
                               *((head[-1].weight[4:], 100) for head in network.where),
                               *((head[-1].weight, 50) for head in network.what)]:
            weight.normal_(std=spread)
    checkpoint.save(folder / 'small.safetensors', network, SPECIFICATION)
    export(folder / 'small.safetensors', folder / 'small.onnx')
    return folder / 'small.safetensors', folder / 'small.onnx'


def changed(path, change, name='changed.onnx'):
    """Return the path of a copy of an ONNX file that was changed."""
    model = onnx.load(path)
    change(model)
    path.with_name(name).write_bytes(model.SerializeToString())
    return path.with_name(name)


@pytest.mark.parametrize('shape', [(1, 64, 96), (2, 64, 96), (3, 128, 32), (1, 288, 512)])
def test_what_is_exported_says_what_the_network_says(exported, shape):
    theirs, ours = Torch.load(exported[0], half=False), OpenVino.load(exported[1], half=False)
    images = random_images(*shape)
    for expected, found in zip(theirs(images), ours(images), strict=True):
        np.testing.assert_allclose(found[0], expected[0], rtol=0.01, atol=0.3)  # boxes, pixels
        np.testing.assert_allclose(found[1], expected[1], atol=2e-3)
        assert (found[2] == expected[2]).mean() > 0.99, 'but where it is nearly a draw'


def test_the_metadata_are_those_of_the_checkpoint(exported):
    model = onnx.load(exported[1])
    metadata = {item.key: item.value for item in model.metadata_props}
    entries = header(metadata)
    assert (tuple(entries['classes']), entries['input_size']) == (SPECIFICATION.classes, 128)
    assert (entries['mean'], entries['std']) == ([10.0, 20.0, 30.0], [50.0, 60.0, 70.0])
    assert metadata['weights_sha256'] == hashlib.sha256(exported[0].read_bytes()).hexdigest()
    assert metadata['score_threshold'] == str(SCORE_THRESHOLD)
    assert metadata['nms_threshold'] == str(NMS_THRESHOLD)
    assert (model.producer_name, model.producer_version) == ('acme_tracking', '0.1.0')
    assert b'.py' not in exported[1].read_bytes(), 'nothing of where it was made'


def test_an_exported_file_is_as_small_as_the_checkpoint():
    sizes = [shipped_weights(suffix).stat().st_size
             for suffix in ('.onnx', '.safetensors', '.int8.onnx')]
    assert sizes[0] < 1.05 * sizes[1]
    assert sizes[2] < 0.65 * sizes[1]


@pytest.mark.parametrize('suffix', ['.onnx', '.int8.onnx'])
def test_the_shipped_files_were_exported_from_the_shipped_checkpoint(suffix):
    metadata = {item.key: item.value
                for item in onnx.load(shipped_weights(suffix)).metadata_props}
    digest = hashlib.sha256(shipped_weights().read_bytes()).hexdigest()
    assert metadata['weights_sha256'] == digest, 'export it again, see detection/weights/README.md'


@pytest.mark.parametrize(('half', 'vnni', 'least'), [
    (False, True, 0.99), (True, False, 0.95), pytest.param(True, True, 0.95, marks=VNNI)])
def test_the_shipped_files_find_the_same(monkeypatch, half, vnni, least):
    monkeypatch.setattr(runtimes, 'has_vnni', lambda: vnni)
    image = Scene(1280, 720, seed=4, density=0.6).render(0)
    there = Detector.from_checkpoint(shipped_weights(), half=False)(image)
    found = Detector.from_checkpoint(half=half, score_threshold=SCORE_THRESHOLD - 0.05)(image)
    assert len(there) >= 5
    overlap = iou(there.boxes, found.boxes)
    # which boxes have a vote in a mean can change by a hair
    assert np.median(overlap.max(axis=1)) > least and (overlap.max(axis=1) > 0.8).all()
    assert (there.labels == found.labels[overlap.argmax(axis=1)]).mean() > 0.9


def test_suppression_in_the_file_is_that_of_each_class(exported, tmp_path, capsys):
    out = tmp_path / 'suppressed.onnx'
    assert main(['export', str(exported[0]), str(out), '--suppression', '--score-threshold', '0.1',
                 '--nms-threshold', '0.4']) == 0
    assert 'suppressed.onnx' in capsys.readouterr().out
    images = random_images(2, 64, 96)
    model = openvino.Core().compile_model(str(out), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    found = model([images])
    boxes, scores, labels, image = (found[name] for name in ('boxes', 'scores', 'labels', 'image'))
    total = 0
    for index, (b, s, c) in enumerate(OpenVino.load(exported[1], half=False)(images)):
        for label in range(3):
            chosen = (s >= 0.1) & (c == label)
            kept = suppress(b[chosen], s[chosen], c[chosen], 0.4)
            mine = (image == index) & (labels == label)
            np.testing.assert_allclose(np.sort(scores[mine]), np.sort(s[chosen][kept]), atol=1e-5)
            np.testing.assert_allclose(boxes[mine][np.argsort(-scores[mine], kind='stable')],
                                       b[chosen][kept], atol=1e-3)
            total += len(kept)
    assert total == len(boxes) > 10
    with pytest.raises(CheckpointError, match='suppression is left to the detector'):
        choose(out)


def test_export_says_what_is_wrong(exported, tmp_path, capsys):
    assert main(['export', str(exported[0]), str(tmp_path / 'out.safetensors')]) == 1
    assert 'must end in .onnx' in capsys.readouterr().err
    assert main(['export', str(tmp_path), str(tmp_path / 'out.onnx')]) == 1
    assert 'not a file' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# The choice


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(runtimes.importlib.util, 'find_spec', lambda name: None)


def test_a_cpu_runs_what_was_exported(monkeypatch):
    monkeypatch.setattr(runtimes, '_has_driver', lambda: False)
    runtime, reason = choose(device='auto', threads=1)
    assert (runtime.classes, runtime.device) == (CLASSES, 'cpu')
    assert runtime.input_size == checkpoint.inspect(shipped_weights()).input_size
    assert str(runtime).startswith('OpenVINO') and str(runtime).endswith(' on 1 CPU threads')
    assert reason == 'no CUDA device'
    assert choose(device='cpu')[1] == 'as asked for'


def test_torch_runs_a_checkpoint_that_was_not_exported(exported):
    detector = Detector.from_checkpoint(exported[0], device='cpu', threads=1)
    assert str(detector).startswith('detects car, person, cat; runs with torch')
    assert str(detector).endswith('(as asked for; exported to ONNX it would run faster)')


def test_cuda_runs_the_shipped_checkpoint(monkeypatch):
    made = []
    monkeypatch.setattr(runtimes, '_has_driver', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(Torch, 'load', lambda *arguments: made.append(arguments) or 'runtime')
    assert choose(device='auto', half=True, threads=2) == ('runtime', 'a CUDA device')
    assert made == [(shipped_weights(), 'cuda', True, 2)]
    with pytest.raises(ValueError, match="'cuda' runs checkpoints .*detector.onnx"):
        choose(shipped_weights('.onnx'), device='cuda')
    assert isinstance(choose(shipped_weights('.onnx'), device='auto')[0], OpenVino)


def test_a_device_that_cannot_be_had_is_named(monkeypatch):
    with pytest.raises(ValueError, match="one of auto, cpu, cuda, got 'tpu'"):
        choose(device='tpu')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for driver, reason in ((False, 'no CUDA device'), (True, 'torch sees no CUDA device')):
        monkeypatch.setattr(runtimes, '_has_driver', lambda driver=driver: driver)
        with pytest.raises(ValueError, match=f"'cuda' was asked for, but: {reason}"):
            choose(device='cuda')


def test_without_torch_a_checkpoint_is_to_be_exported(without_torch, exported):
    with pytest.raises(CheckpointError, match='small.safetensors: .*acme_tracking export'):
        choose(exported[0])
    with pytest.raises(CheckpointError, match='acme_tracking export'):
        runtimes.classes_of(exported[0])
    assert choose(exported[1])[0].classes == SPECIFICATION.classes
    for use in check_checkpoints, Detector.from_checkpoint:
        with pytest.raises(CheckpointError, match='some.safetensors: needs torch'):
            use(classifier='some.safetensors')
    with pytest.raises(ValueError, match='torch is not installed'):
        choose(device='cuda')


def printed_by(script):
    """Return what a process of its own prints, which must end well."""
    process = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                             timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_host_without_torch_detects():
    """In a process of its own, where importing torch fails: what the demo and evaluate import."""
    script = ('import sys; sys.modules["torch"] = sys.modules["safetensors"] = None\n'
              'import acme_tracking.evaluation.sequence_run, acme_tracking.cli.demo\n'
              'import importlib.util\n'
              'if importlib.util.find_spec("rclpy"): import acme_tracking.nodes.detector\n'
              'from acme_tracking.detection.detector import check_checkpoints, Detector\n'
              'from acme_tracking.scene import Scene\n'
              'check_checkpoints(classes=["car"])\n'
              'found = Detector.from_checkpoint(device="auto")(Scene(seed=0).render(0))\n'
              'print(len(found), "onnx" in sys.modules)')
    count, onnx_too = printed_by(script).split()
    assert int(count) > 0 and onnx_too == 'False'


def test_signals_are_heard_after_networks_were_exchanged():
    """In a process of its own, which else ends by the first one."""
    script = ('import signal\n'
              'from acme_tracking.detection.runtimes.openvino import OpenVino\n'
              'from acme_tracking.share import shipped_weights\n'
              'first, second = (OpenVino.load(shipped_weights(".onnx")) for _ in range(2))\n'
              'del first\n'
              'del second\n'
              'signal.signal(signal.SIGUSR1, lambda *_: print("heard"))\n'
              'signal.raise_signal(signal.SIGUSR1)\n')
    assert printed_by(script) == 'heard\n'


@pytest.mark.parametrize(('flags', 'expected'), [
    ('fpu avx512f avx512_bf16', True), ('fpu amx_bf16 amx_tile', True), ('fpu avx512f', False),
    (None, False)])
def test_bfloat16_is_used_where_the_processor_has_it(tmp_path, monkeypatch, flags, expected):
    monkeypatch.setattr(processor, 'CPUINFO', tmp_path / 'cpuinfo')
    if flags is not None:
        (tmp_path / 'cpuinfo').write_text(2 * f'processor : 0\nflags\t\t: {flags}\n\n')
    assert processor.has_bfloat16() is expected
    assert ('bfloat16' in str(choose(device='cpu')[0])) is expected
    assert 'float32' in str(choose(device='cpu', half=False)[0])
    small = SPECIFICATION.build()
    assert ('bfloat16' in str(Torch(small, SPECIFICATION, half=True))) is expected


@pytest.mark.parametrize(('flags', 'expected'), [
    ('fpu avx512f avx512_vnni', True), ('fpu avx2 avx_vnni', True), ('fpu avx2', False)])
def test_8_bit_integers_are_used_where_the_processor_is_quick_with_them(
        tmp_path, monkeypatch, flags, expected):
    monkeypatch.setattr(processor, 'CPUINFO', tmp_path / 'cpuinfo')
    (tmp_path / 'cpuinfo').write_text(f'processor : 0\nflags\t\t: {flags}\n\n')
    assert ('8-bit integers' in str(choose(device='cpu')[0])) is expected
    assert runtimes.files_of() == [shipped_weights('.int8.onnx' if expected else '.onnx')]
    assert '8-bit' not in str(choose(device='cpu', half=False)[0])


@pytest.fixture(scope='module')
def quantized(exported, tmp_path_factory):
    """Give what was exported in 8-bit integers, and what was said of an image that is none."""
    pictures = tmp_path_factory.mktemp('pictures')
    for index, picture in enumerate(random_images(20, 48, 96)):
        cv2.imwrite(str(pictures / f'{index}.png'), picture)
    (pictures / '20.png').write_bytes(b'no image')
    out = exported[1].with_name('small.int8.onnx')
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(['export', str(exported[0]), str(out), '--int8', str(pictures)]) == 0
    return out, said.getvalue()


@VNNI
def test_what_is_exported_in_8_bit_integers_says_nearly_the_same(exported, quantized):
    exact, ours = (OpenVino.load(path, half=False) for path in (exported[1], quantized[0]))
    assert '8-bit integers and float32' in str(ours)
    images = random_images(2, 128, 160)
    for expected, found in zip(exact(images), ours(images), strict=True):
        assert np.median(np.abs(found[0] - expected[0])) < 2.0  # pixels
        assert np.corrcoef(found[1], expected[1])[0, 1] > 0.95


def test_all_but_the_backbone_stays_exact_and_so_does_its_first_convolution(exported, quantized):
    model = onnx.load(quantized[0])
    restored = {name for node in model.graph.node if node.op_type == 'DequantizeLinear'
                for name in node.output}
    exact = [node.input[1] for node in model.graph.node
             if node.op_type == 'Conv' and node.input[1] not in restored]
    assert {name.removeprefix('network.').partition('.')[0] for name in exact} == {
        'backbone', 'context', 'lateral', 'merge', 'where', 'what'}
    assert [name for name in exact if 'backbone' in name] == [
        'network.backbone.stages.0.0.0.weight']
    assert model.metadata_props == onnx.load(exported[1]).metadata_props
    assert quantized[0].stat().st_size < exported[1].stat().st_size
    assert 'skipped' in quantized[1] and '20.png' in quantized[1]


def test_8_bit_integers_need_images(exported, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    out = tmp_path / 'none.onnx'
    assert main(['export', str(exported[0]), str(out), '--int8', str(tmp_path / 'empty')]) == 1
    assert re.search('empty: no image that can be read', capsys.readouterr().err)
    assert not out.exists()


def test_torch_in_half_precision_is_near(exported):
    exact, half = (Torch.load(exported[0], half=half) for half in (False, True))
    images = random_images(1, 64, 96)
    assert np.abs(next(half(images))[1] - next(exact(images))[1]).mean() < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_cuda_replays_sizes_it_has_seen(exported):
    there = Torch.load(exported[0], half=False)
    here = Torch.load(exported[0], 'cuda', half=False)
    for shape in [(1, 64, 96), (5, 64, 96), (1, 96, 96), (1, 64, 96), (1, 32, 32), (1, 32, 64)]:
        for seed in range(2):
            images = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
            for expected, found in zip(there(images), here(images), strict=True):
                np.testing.assert_allclose(found[0], expected[0], rtol=0.01, atol=0.5)
                np.testing.assert_allclose(found[1], expected[1], atol=0.01)


# Files that are not what they should be


@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(exported, tmp_path, share):
    content = exported[1].read_bytes()
    (tmp_path / 'cut.onnx').write_bytes(content[:int(share * len(content))])
    for use in (choose, runtimes.classes_of):
        with pytest.raises(CheckpointError, match='cut.onnx: ') as refused:
            use(tmp_path / 'cut.onnx')
        assert len(str(refused.value)) < 500 and '\n' not in str(refused.value)


def test_a_file_that_crashes_what_loads_it_is_refused(exported, monkeypatch):
    runtimes.survive(exported[1])
    monkeypatch.setattr(runtimes, 'TRIAL', 'import os; os.kill(os.getpid(), 11)')
    with pytest.raises(CheckpointError, match='small.onnx: ends the process .*SIGSEGV'):
        runtimes.survive(exported[1])
    monkeypatch.setattr(runtimes, 'TRIAL', 'import time; time.sleep(100)')
    monkeypatch.setattr(runtimes, 'PATIENCE', 0.1)
    with pytest.raises(CheckpointError, match='small.onnx: takes longer than 0.1 s to load'):
        runtimes.survive(exported[1])
    for weights in None, exported[0]:
        runtimes.survive(weights)  # not tried


def test_what_is_refused_otherwise_is_not_said_to_crash(tmp_path):
    for name in 'nowhere.onnx', 'a' * 5000 + '.onnx', 'a\0b.onnx':
        runtimes.survive(tmp_path / name)
        with pytest.raises(CheckpointError):
            choose(tmp_path / name)


def test_garbage_is_refused(tmp_path):
    for content in (np.random.default_rng(0).bytes(5000), b'{}', b'<?xml version="1.0"?><net/>'):
        (tmp_path / 'garbage.onnx').write_bytes(content)
        with pytest.raises(CheckpointError, match='garbage.onnx: not an ONNX file, or cut short'):
            choose(tmp_path / 'garbage.onnx')
    with pytest.raises(CheckpointError, match='nowhere.onnx: no such file'):
        choose(tmp_path / 'nowhere.onnx')


def test_a_file_that_names_other_files_is_refused(exported, tmp_path, monkeypatch):
    onnx.save(onnx.load(exported[1]), tmp_path / 'outside.onnx', save_as_external_data=True,
              location='weights.bin', size_threshold=0)
    monkeypatch.chdir(tmp_path)  # where that other file would be found
    with pytest.raises(CheckpointError, match='outside.onnx: holds the names of other files'):
        choose(tmp_path / 'outside.onnx')
    # the same, with a length written in two bytes instead of one
    hidden = (tmp_path / 'outside.onnx').read_bytes().replace(b'\x08location', b'\x88\x00location')
    (tmp_path / 'hidden.onnx').write_bytes(hidden)
    with pytest.raises(CheckpointError, match='hidden.onnx: holds the names of other files'):
        choose(tmp_path / 'hidden.onnx')


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda entries: entries.update(classes=['car', 'car']), 'different names'),
    (lambda entries: entries.update(input_size=10), 'input_size 10, expected 32 to 4096'),
    (lambda entries: entries.update(architecture='x'), "architecture 'x'"),
    (lambda entries: entries.pop('mean'), "expected .*'mean'"),
    (lambda entries: entries.update(format=7), 'not of format 1')])
def test_metadata_that_say_what_cannot_be_are_refused(exported, change, reason):
    def rewrite(model):
        item = next(item for item in model.metadata_props if item.key == 'acme_tracking')
        entries = json.loads(item.value)
        change(entries)
        item.value = json.dumps(entries)
    with pytest.raises(CheckpointError, match=reason):
        choose(changed(exported[1], rewrite))


@pytest.mark.parametrize(('shape', 'kind', 'reason'), [
    ((1, 3, 64, 64), TensorProto.UINT8, 'OpenVINO cannot use it: .'),
    ((2, 64, 64, 3), TensorProto.UINT8, 'OpenVINO cannot use it: .'),
    ((64, 64, 3), TensorProto.UINT8, 'OpenVINO cannot use it: .'),
    ((1, 64, 64, 3), TensorProto.UINT8, r'have the shapes \[.*\], expected \(1, P, 4\)')])
def test_another_input_or_output_is_refused(exported, tmp_path, shape, kind, reason):
    names = ['boxes', 'scores', 'labels']
    graph = helper.make_graph(
        [helper.make_node('Cast', ['images'], [name], to=TensorProto.FLOAT) for name in names],
        'other', [helper.make_tensor_value_info('images', kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names])
    model = helper.make_model(graph, ir_version=10,
                              opset_imports=[helper.make_opsetid('', 18)])
    model.metadata_props.extend(onnx.load(exported[1]).metadata_props)
    onnx.save(model, tmp_path / 'other.onnx')
    with pytest.raises(CheckpointError, match=f'other.onnx: .*{reason}'):
        choose(tmp_path / 'other.onnx')
