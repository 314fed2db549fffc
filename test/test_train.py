"""The training of the detector: it learns, stops, is killed, and goes on."""
from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

from acme_tracking.cli import main
from acme_tracking.detection import checkpoint
from acme_tracking.detection.checkpoint import Specification
from acme_tracking.detection.detector import Detector
from acme_tracking.labels import CLASSES, VEHICLE
from acme_tracking.training.batches import Batches, Length
from acme_tracking.training.data import Sample
from acme_tracking.training.detector import (
    DivergenceError,
    evaluate,
    Knobs,
    make_batch,
    train,
)
from acme_tracking.training.objective import IGNORED
from acme_tracking.training.warm_start import warm_start
import cv2
import numpy as np
import pytest
from safetensors.torch import load_file
import torch

SMALL = {'widths': [8, 16, 24, 32, 32], 'depths': [1, 1, 1, 1, 1], 'neck': 24}
NARROW = '--widths', 8, 16, 24, 32, 40, '--neck', 24
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


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the report of a training, which takes longer than some of them."""
    monkeypatch.setattr('acme_tracking.training.detector.write_training_report', lambda *_: None)


def learn(out, held_out=1, **options):
    arguments = {'epochs': 1, 'knobs': QUICK, 'network': SMALL, 'progress': False, 'threads': 1}
    return train([blocks(4)], {'blocks': blocks(held_out)}, out, **{**arguments, **options})


@pytest.fixture(scope='module')
def learned(tmp_path_factory):
    """Give the folder of a training that has come to its end, and its summary."""
    out = tmp_path_factory.mktemp('learned')
    return out, learn(out, held_out=4, epochs=140, knobs=replace(QUICK, rate=1e-2))


def test_overfits_a_few_images_in_seconds(learned):
    out, summary = learned
    assert summary['sets']['blocks']['ap50'] > 0.8
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['history'][-1] == summary
    detector = Detector.from_checkpoint(out / 'detector.safetensors', score_threshold=0.3)
    assert evaluate(detector, blocks(4)).summary(0.3)['ap50'] > 0.8
    assert set(detector(blocks(1)[0].image).labels) == {'car', 'person'}


def test_the_report_shows_curves_figures_and_pictures(learned):
    out, _ = learned
    page = (out / 'report.html').read_text()
    for words in ('Learning', 'blocks: 4 images', '<td>car</td><td>4</td>', 'AP50', 'mosaic'):
        assert words in page
    assert page.count('data:image/png') == 2 and page.count('data:image/jpeg') == 4
    metrics = json.loads((out / 'metrics.json').read_text())
    first, last = metrics['loss'][0][1], metrics['loss'][-1][1]
    assert last < first
    losses = [entry['sets']['blocks']['loss'] for entry in metrics['history']]
    assert len(losses) == 10 and losses[-1] < losses[0]


@pytest.mark.parametrize(('keep', 'workers'), [(0.0, 0), (0.25, 2)])
def test_a_stopped_training_goes_on_exactly(tmp_path, monkeypatch, no_report, keep, workers):
    """The same steps with and without a stop, and helpers, between give the same weights."""
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    options = {'epochs': 12}
    if keep:
        learn(tmp_path, epochs=4)
        options |= {'start': tmp_path / 'last.safetensors', 'knobs': replace(QUICK, keep=keep)}
    learn(whole, **options)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr('acme_tracking.training.detector._Run.validate', stop)
        learn(parts, save_every=0.0, workers=workers, **options)
    stopped = torch.load(parts / 'state.pt', weights_only=True)
    assert 0 < stopped['step'] < 12
    learn(parts, resume=True, workers=workers, **options)
    first, second = (torch.load(out / 'state.pt', weights_only=True) for out in (whole, parts))
    assert first['step'] == second['step'] == 12
    for name, tensor in first['network'].items():
        torch.testing.assert_close(second['network'][name], tensor, rtol=1e-3, atol=1e-4)
    first, second = (load_file(out / 'last.safetensors') for out in (whole, parts))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=2e-3, atol=2e-4)


def test_workers_make_the_batches_of_a_training_in_their_order():
    """Also those of a process among three, and those of later steps, which are larger."""
    make = partial(make_batch, [blocks(3)], Knobs(batch=2, side=96), CLASSES)
    batches, length = {}, Length(steps=8)
    for workers in (0, 2):
        stream = Batches(make, length, count=3).stream(4, workers, pinned=False)
        batches[workers] = [next(stream) for _ in range(6)]
    for number, (alone, helped) in enumerate(zip(batches[0], batches[2])):
        expected = make((1 + number) / 8, 4 + 3 * number)
        for arrays in (alone, helped):
            assert all(map(np.array_equal, expected, arrays))
    assert batches[0][0][0].shape != batches[0][-1][0].shape


def test_nothing_to_resume_is_an_error(no_report, tmp_path):
    with pytest.raises(ValueError, match='nothing to resume'):
        learn(tmp_path, resume=True)


def test_a_state_of_another_network_is_refused(no_report, tmp_path):
    learn(tmp_path, epochs=1)
    with pytest.raises(ValueError, match='another network'):
        learn(tmp_path, epochs=2, resume=True, network={**SMALL, 'neck': 8})


def test_a_training_goes_on_with_the_knobs_it_began_with(no_report, tmp_path):
    learn(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r'began with batch 4 \(now 2\), seed 0 \(now 5\); go on'):
        learn(tmp_path, epochs=2, resume=True, knobs=replace(QUICK, batch=2, seed=5))


def test_a_loss_that_is_not_finite_stops_the_training(no_report, tmp_path):
    with pytest.raises(DivergenceError, match=r'the loss is .* at step \d'):
        learn(tmp_path, epochs=20, knobs=replace(QUICK, rate=1e25, warmup=1))


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


def test_a_validation_set_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match='nothing to validate on'):
        train([blocks(1)], {'none': []}, tmp_path, epochs=1, progress=False)


@pytest.mark.parametrize('wrong', [{'batch': 0}, {'rate': 0}, {'side': 8}, {'keep': 1.0},
                                   {'first_side': 0.0}, {'often': (1.0, 0.0)}])
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
            images, truth, labels, image = make_batch(banks, knobs, CLASSES, done, step)
            assert images.dtype == np.uint8 and images.shape[0] == 8
            assert images.shape[1] % 32 == images.shape[2] % 32 == 0
            assert truth.shape == (len(labels), 4) and len(image) == len(labels)
            assert 0 <= image.min() and image.max() < 8
            assert set(np.unique(labels)) <= {CLASSES.index('car'), CLASSES.index('person'),
                                              len(CLASSES), IGNORED}
            areas.append(images.shape[1] * images.shape[2])
        sizes.append(np.mean(areas))
    assert sizes[1] > 1.8 * sizes[0]


def test_a_batch_repeats_with_seed_and_step():
    a, b = (make_batch([blocks(3)], Knobs(batch=2, side=96), CLASSES, 0.5, 7) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b))


def test_a_bank_can_be_drawn_from_more_often(tmp_path):
    knobs = Knobs(batch=50, side=64, often=(1.0, 3.0))
    dark = [replace(sample, image=np.zeros_like(sample.image)) for sample in blocks(2)]
    images = make_batch([dark, blocks(2)], knobs, CLASSES, 1.0, 0)[0]
    assert 28 <= np.count_nonzero(images.max(axis=(1, 2, 3)) > 60) <= 46
    with pytest.raises(ValueError, match='often has 2 numbers, but there are 1 banks'):
        learn(tmp_path, knobs=knobs)


def write_bank(folder, count=4, name='bank'):
    """Write the blocks as a COCO file with pictures."""
    (folder / name).mkdir()
    images, annotations = [], []
    for number, sample in enumerate(blocks(count)):
        cv2.imwrite(str(folder / name / f'{number}.png'), sample.image)
        images.append({'id': number, 'file_name': f'{number}.png', 'width': 96, 'height': 96})
        for (x1, y1, x2, y2), label in zip(sample.boxes.tolist(), sample.labels):
            annotations.append({'id': len(annotations), 'image_id': number,
                                'bbox': [x1, y1, x2 - x1, y2 - y1],
                                'category_id': list(COLOURS).index(label)})
    categories = [{'id': i, 'name': label} for i, label in enumerate(COLOURS)]
    path = folder / f'{name}.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations,
                                'categories': categories}))
    return path


def command(bank, out, *options):
    return [sys.executable, '-m', 'acme_tracking', 'train', 'detector', '--data', str(bank),
            '--val', str(bank), '--out', str(out), '--size', '64', '--batch', '2',
            '--threads', '1', *map(str, options)]


KILLED = """
import os, signal, sys
from acme_tracking.cli import main
from acme_tracking.training.detector import _Run
average = _Run._average

def killed(run):
    if run.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    average(run)

_Run._average = killed
main(sys.argv[1:])
"""


def test_a_killed_training_goes_on_where_it_was_saved(tmp_path):
    """Killed within a step, with no chance to say good-bye: the end is that of a whole one."""
    bank, killed, whole = write_bank(tmp_path), tmp_path / 'killed', tmp_path / 'whole'
    length = '--epochs', 10, '--save-every', 1e-6, *NARROW
    process = subprocess.run([sys.executable, '-c', KILLED, *command(bank, killed, *length)[3:]],
                             capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL
    assert 'step/s' in process.stderr or 's/step' in process.stderr
    assert torch.load(killed / 'state.pt', weights_only=True)['step'] == 6
    for out, more in ((killed, ['--resume']), (whole, [])):
        process = subprocess.run(command(bank, out, *length, *more), capture_output=True,
                                 text=True)
        assert process.returncode == 0, process.stderr
    first, second = (json.loads((out / 'metrics.json').read_text()) for out in (killed, whole))
    assert [step for step, _ in first['loss']] == [20]
    assert [entry['step'] for entry in first['history']] == list(range(2, 21, 2))
    np.testing.assert_allclose(first['loss'], second['loss'], rtol=0.05)
    assert first['history'][-1]['ap50'] == pytest.approx(second['history'][-1]['ap50'], abs=0.05)
    assert Path(killed / 'detector.safetensors').stat().st_size < 12e6


def test_two_processes_train_one_network(tmp_path):
    """As `torchrun` starts them, on CPUs: one set of files, and half of the steps."""
    bank, out = write_bank(tmp_path, 8), tmp_path / 'run'
    started = command(bank, out, '--epochs', 1, *NARROW)
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
         '-m', '--', *started[2:]], capture_output=True, text=True, timeout=250,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert process.returncode == 0, process.stderr
    assert process.stdout.count('steps in') == 1
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['history'][-1]['step'] == 2
    for name in ('detector', 'last'):
        Detector.from_checkpoint(out / f'{name}.safetensors')


def test_own_classes_and_layouts_can_be_learnt(tmp_path, capsys):
    bank, out = write_bank(tmp_path), tmp_path / 'run'
    (tmp_path / 'map.yaml').write_text('car: forklift\n')
    options = ['--epochs', '1', '--map', str(tmp_path / 'map.yaml'), '--classes', 'forklift']
    assert main(command(bank, out, *options)[3:]) == 0
    assert 'left out are boxes of other classes: person (4)' in capsys.readouterr().out
    assert Detector.from_checkpoint(out / 'detector.safetensors').names.tolist() == ['forklift']
    metrics = json.loads((out / 'metrics.json').read_text())
    assert list(metrics['history'][-1]['sets']['bank']['per_class']) == ['forklift']


def test_the_width_can_be_chosen_and_the_size_is_that_of_the_first_weights(tmp_path, capsys):
    bank, out = write_bank(tmp_path), tmp_path / 'run'
    options = '--epochs', 1, '--mosaic', 0.5, '--workers', 1, *NARROW
    assert main(command(bank, out, *options)[3:]) == 0
    again = ['train', 'detector', '--data', str(bank), '--epochs', '0.5', '--batch', '2',
             '--threads', '1', '--start', str(out / 'detector.safetensors')]
    assert main([*again, '--out', str(tmp_path / 'again')]) == 0
    assert checkpoint.inspect(tmp_path / 'again' / 'last.safetensors').input_size == 64
    network, specification = checkpoint.load(out / 'detector.safetensors')
    assert specification.arguments == {'widths': [8, 16, 24, 32, 40], 'neck': 24}
    assert network.backbone.widths == (24, 32, 40)
    assert json.loads((out / 'metrics.json').read_text())['knobs']['mosaic'] == 0.5
    assert main(command(bank, out, '--epochs', '1', '--widths', '8', '16')[3:]) != 0
    assert 'expected equal lengths' in capsys.readouterr().err


def test_part_of_a_bank_can_be_held_out(tmp_path):
    bank, out = write_bank(tmp_path, 8), tmp_path / 'run'
    arguments = command(bank, out, '--epochs', '1', '--hold-out', '0.25')[3:]
    (tmp_path / 'bank' / '0.png').write_bytes(b'no picture')
    assert main(arguments) == 0
    sets = json.loads((out / 'metrics.json').read_text())['history'][-1]['sets']
    assert {name: each['images'] for name, each in sets.items()} == {
        'bank': 7, f'{tmp_path.name}/bank': 2}


def test_a_start_keeps_what_it_knows(no_report, tmp_path):
    """Weights of shared classes are copied, in the new order; the others are new."""
    learn(tmp_path / 'first', epochs=1, classes=('car', 'person'))
    path = tmp_path / 'first' / 'detector.safetensors'
    old = load_file(path)
    network, specification = warm_start(
        path, Specification(classes=('person', 'dog', 'car'), input_size=64))
    assert (specification.classes, specification.input_size) == (('person', 'dog', 'car'), 64)
    assert specification.arguments == SMALL
    new, name = network.state_dict(), 'what.0.1.weight'
    torch.testing.assert_close(new[name][[2, 0]], old[name].float())
    assert not torch.equal(new[name][1], new[name][0])
    name = 'backbone.stages.0.0.0.weight'
    torch.testing.assert_close(new[name], old[name].float())


def test_a_wider_network_starts_where_the_narrow_one_ended(no_report, tmp_path):
    """It computes the same, and its copies of a channel are read unequally."""
    learn(tmp_path / 'first', epochs=1, classes=('car', 'person'))
    path = tmp_path / 'first' / 'detector.safetensors'
    narrow, known = checkpoint.load(path)
    wider = {'widths': [8, 24, 40, 32, 50], 'neck': 30}
    wide, specification = warm_start(path, replace(known, arguments=wider))
    assert specification.arguments == {**SMALL, **wider}
    images = torch.randn(2, 3, 96, 64)
    for old, new in zip(narrow(images), wide.eval()(images)):
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-3)
    repeated = wide.lateral[2].weight
    assert repeated.shape[:2] == (30, 50)
    assert not torch.equal(repeated[:, 0], repeated[:, 32])


def test_a_share_of_the_first_weights_can_be_kept(no_report, tmp_path):
    """The results with and without it, and the first weights, lie on a line."""
    learn(tmp_path / 'first', epochs=4)
    first = tmp_path / 'first' / 'last.safetensors'
    for name, keep in (('without', 0.0), ('with', 0.25)):
        learn(tmp_path / name, epochs=8, start=first, knobs=replace(QUICK, keep=keep))
    old, new, mean = (load_file(tmp_path / name / 'last.safetensors')
                      for name in ('first', 'without', 'with'))
    for name in ('backbone.stages.0.0.0.weight', 'what.0.1.weight'):
        assert not torch.equal(old[name], new[name])
        torch.testing.assert_close(mean[name].float(),
                                   0.75 * new[name].float() + 0.25 * old[name].float(),
                                   rtol=2e-3, atol=2e-4)
    with pytest.raises(ValueError, match='keep is 0.25, .*give start'):
        learn(tmp_path / 'alone', epochs=1, knobs=replace(QUICK, keep=0.25))


@pytest.mark.parametrize('arguments', [{'neck': 16}, {'depths': [1, 1, 1, 1, 2]}])
def test_a_network_that_cannot_hold_the_first_weights_is_refused(no_report, tmp_path, arguments):
    learn(tmp_path, epochs=1)
    with pytest.raises(ValueError, match='as large or larger'):
        learn(tmp_path / 'next', epochs=1, start=tmp_path / 'detector.safetensors',
              network={**SMALL, **arguments})


def test_a_state_of_other_classes_is_refused(no_report, tmp_path):
    learn(tmp_path, epochs=1, classes=('car', 'person'))
    with pytest.raises(ValueError, match=r"trains the classes \['car', 'person'\]"):
        learn(tmp_path, epochs=1, resume=True, classes=('person', 'car'))


@pytest.mark.parametrize('content', [b'', b'rubbish', 'cut', 'pickle'])
def test_a_state_that_is_cut_short_or_hostile_is_refused(no_report, tmp_path, content):
    learn(tmp_path, epochs=1)
    state = tmp_path / 'state.pt'
    if content == 'cut':
        content = state.read_bytes()[:20000]
    if content == 'pickle':
        torch.save({'network': Hostile()}, state)
    else:
        state.write_bytes(content)
    with pytest.raises(ValueError, match='state.pt: cut short'):
        learn(tmp_path, epochs=1, resume=True)
    assert not Path('/tmp/acme_tracking_was_hacked').exists()


class Hostile:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        """Say how."""
        return Path.touch, (Path('/tmp/acme_tracking_was_hacked'),)


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['--out', 'x', '--epochs', '1'], 'nothing to train on'),
    (['--data', 'nowhere.json', '--out', 'x', '--epochs', '1'], 'nowhere.json'),
    (['--data', 'nowhere.json', '--out', 'x', '--epochs', '1', '--map', 'no.yaml'], 'no.yaml'),
])
def test_the_command_says_what_is_wrong(arguments, reason, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['train', 'detector', *arguments]) != 0
    assert reason in capsys.readouterr().err


def test_an_unknown_class_is_refused_with_what_to_do(tmp_path, capsys):
    bank = write_bank(tmp_path)
    (tmp_path / 'map.yaml').write_text('car: forklift\n')
    options = ['--epochs', '1', '--map', str(tmp_path / 'map.yaml')]
    assert main(command(bank, tmp_path / 'run', *options)[3:]) != 0
    assert "unknown classes ['forklift']" in capsys.readouterr().err


def test_the_command_wants_a_length(capsys):
    with pytest.raises(SystemExit):
        main(['train', 'detector', '--scenes', '1', '--out', 'x'])
    assert '--epochs' in capsys.readouterr().err
