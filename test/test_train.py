"""The training of the detector: it learns, stops, is killed, and goes on."""
from dataclasses import replace
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

from acme_tracking.cli import main
from acme_tracking.detection import Detector
from acme_tracking.training.data import CLASSES, Sample, VEHICLE
from acme_tracking.training.detector import DivergenceError, evaluate, Knobs, make_batch, train
import cv2
import numpy as np
import pytest
from safetensors.torch import load_file
import torch

SMALL = {'widths': [8, 16, 24, 32, 32], 'depths': [1, 1, 1, 1, 1], 'neck': 24}
QUICK = Knobs(batch=4, side=96, warmup=10, average=0.95, mosaic=0.0, rate=5e-3, calm=1.0)
COLOURS = {'car': (200, 40, 40), 'person': (40, 200, 40)}


def blocks(count, seed=0):
    """Return samples with coloured blocks: wide ones are cars, tall ones people."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        image = np.full((96, 96, 3), 120, dtype=np.uint8)
        boxes = []
        for label, (width, height) in {'car': (40, 24), 'person': (14, 40)}.items():
            x = int(rng.integers(0, 48 - width // 2)) + (0 if label == 'car' else 48)
            y = int(rng.integers(0, 96 - height))
            x = min(x, 96 - width)
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), COLOURS[label], -1)
            boxes.append([x, y, x + width, y + height])
        samples.append(Sample(image, np.array(boxes, np.float32), np.array(list(COLOURS))))
    return samples


def learn(out, **options):
    arguments = {'epochs': 320, 'knobs': QUICK, 'network': SMALL, 'progress': False, 'threads': 1}
    return train([blocks(4)], {'blocks': blocks(4)}, out, **{**arguments, **options})


def test_overfits_a_few_images_in_seconds(tmp_path):
    summary = learn(tmp_path)
    assert summary['sets']['blocks']['ap50'] > 0.8
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['history'][-1] == summary
    detector = Detector.from_checkpoint(tmp_path / 'detector.safetensors', score_threshold=0.3)
    assert evaluate(detector, blocks(4))['ap50'] > 0.8
    assert set(detector(blocks(1)[0].image).labels) == {'car', 'person'}


def test_a_stopped_training_goes_on_exactly(tmp_path):
    """The same steps with and without a stop between give the same weights."""
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    learn(whole, epochs=12)

    class Stop(Exception):
        pass

    def stopping(samples):
        yield from samples
        raise Stop

    with pytest.raises(Stop):  # at the first validation, which is due after the first step
        train([blocks(4)], {'blocks': stopping(blocks(1))}, parts, epochs=12, knobs=QUICK,
              network=SMALL, progress=False, threads=1, validate_every=0.0, save_every=0.0)
    stopped = torch.load(parts / 'state.pt', weights_only=True)
    assert 0 < stopped['step'] < 12
    learn(parts, epochs=12, resume=True)
    first, second = (torch.load(out / 'state.pt', weights_only=True) for out in (whole, parts))
    assert first['step'] == second['step'] == 12
    for name, tensor in first['network'].items():
        torch.testing.assert_close(second['network'][name], tensor, rtol=1e-3, atol=1e-4)


def test_nothing_to_resume_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='nothing to resume'):
        learn(tmp_path, resume=True)


def test_a_state_of_another_network_is_refused(tmp_path):
    learn(tmp_path, epochs=1)
    with pytest.raises(ValueError, match='another network'):
        learn(tmp_path, epochs=2, resume=True, network={**SMALL, 'neck': 8})


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(DivergenceError, match=r'the loss is .* at step \d'):
        learn(tmp_path, knobs=replace(QUICK, rate=1e25, warmup=1))


def test_without_validation_the_newest_weights_are_kept(tmp_path):
    for epochs in (1, 2):
        train([blocks(4)], {}, tmp_path, epochs=epochs, knobs=QUICK, network=SMALL, threads=1,
              progress=False, resume=epochs == 2)
    weights = load_file(tmp_path / 'detector.safetensors')
    state = torch.load(tmp_path / 'state.pt', weights_only=True)
    name = 'lateral.0.weight'
    torch.testing.assert_close(weights[name].float(), state['averaged'][name], rtol=1e-2,
                               atol=1e-4)


@pytest.mark.parametrize('banks', [[], [[]], [blocks(1), []]])
def test_a_bank_without_images_is_refused(tmp_path, banks):
    with pytest.raises(ValueError, match='nothing to train on'):
        train(banks, {}, tmp_path, epochs=1, progress=False)


@pytest.mark.parametrize('wrong', [{'batch': 0}, {'rate': 0}, {'side': 8}])
def test_senseless_knobs_are_refused(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))} '):
        Knobs(**wrong)


def test_batches_list_objects_and_grow_with_the_training():
    banks = [blocks(3), [Sample(s.image, s.boxes, np.array([VEHICLE] * 2)) for s in blocks(3)]]
    knobs = Knobs(batch=8, side=192)
    sizes = []
    for done in (0.0, 0.95):
        areas = []
        for step in range(10):
            images, truth, labels, image = make_batch(banks, knobs, done, step)
            assert images.dtype == np.uint8 and images.shape[0] == 8
            assert images.shape[1] % 32 == images.shape[2] % 32 == 0
            assert truth.shape == (len(labels), 4) and len(image) == len(labels)
            assert 0 <= image.min() and image.max() < 8
            assert set(np.unique(labels)) <= {CLASSES.index('car'), CLASSES.index('person'),
                                              len(CLASSES)}
            areas.append(images.shape[1] * images.shape[2])
        sizes.append(np.mean(areas))
    assert sizes[1] > 1.8 * sizes[0]


def test_a_batch_repeats_with_seed_and_step():
    a, b = (make_batch([blocks(3)], Knobs(batch=2, side=96), 0.5, 7) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b))


def write_bank(folder, count=4):
    """Write the blocks as a COCO file with pictures."""
    (folder / 'bank').mkdir()
    images, annotations = [], []
    for number, sample in enumerate(blocks(count)):
        cv2.imwrite(str(folder / 'bank' / f'{number}.png'), sample.image)
        images.append({'id': number, 'file_name': f'{number}.png', 'width': 96, 'height': 96})
        for (x1, y1, x2, y2), label in zip(sample.boxes.tolist(), sample.labels):
            annotations.append({'id': len(annotations), 'image_id': number,
                                'bbox': [x1, y1, x2 - x1, y2 - y1],
                                'category_id': CLASSES.index(label)})
    categories = [{'id': i, 'name': name} for i, name in enumerate(CLASSES)]
    path = folder / 'bank.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations,
                                'categories': categories}))
    return path


def test_the_command_survives_a_kill(tmp_path):
    bank, out = write_bank(tmp_path), tmp_path / 'run'
    command = [sys.executable, '-m', 'acme_tracking', 'train', 'detector', '--data', str(bank),
               '--val', str(bank), '--out', str(out), '--minutes', '30', '--size', '64',
               '--batch', '2', '--threads', '1', '--save-every', '0.5']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (out / 'state.pt').exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        progress = process.communicate()[1]
    assert 'step/s' in progress or 's/step' in progress
    step = torch.load(out / 'state.pt', weights_only=True)['step']
    assert step > 0
    assert main(['train', 'detector', '--data', str(bank), '--val', str(bank), '--out', str(out),
                 '--epochs', str(step), '--size', '64', '--batch', '2', '--resume']) == 0
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['history'][-1]['step'] == 2 * step
    assert Path(out / 'detector.safetensors').stat().st_size < 12e6


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['--out', 'x', '--epochs', '1'], 'nothing to train on'),
    (['--data', 'nowhere.json', '--out', 'x', '--epochs', '1'], 'nowhere.json'),
])
def test_the_command_says_what_is_wrong(arguments, reason, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['train', 'detector', *arguments]) == 1
    assert reason in capsys.readouterr().err


def test_the_command_wants_a_length(capsys):
    with pytest.raises(SystemExit):
        main(['train', 'detector', '--scenes', '1', '--out', 'x'])
    assert '--epochs' in capsys.readouterr().err
