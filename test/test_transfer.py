"""Transfer: cut networks, features on disk, linear classifiers, frozen and unfrozen bodies."""
import json
from pathlib import Path
import pickle
import subprocess
import sys

from acme_tracking.cli import main
from acme_tracking.detection.checkpoint import load as load_detector
from acme_tracking.networks import build, checkpoint
from acme_tracking.networks.activations import activations, Cut
from acme_tracking.networks.classifier import (
    Classifier,
    IMAGENET_MEAN,
    load,
    Normalise,
    Specification,
    stretched,
)
from acme_tracking.networks.weights import pretrained, PUBLIC
from acme_tracking.share import shipped_weights
from acme_tracking.training import features, linear
from acme_tracking.training.classifier import Knobs, train
from acme_tracking.training.crops import read_crops, split
from acme_tracking.training.data import read
from acme_tracking.training.transfer import by_features, phases, start
from acme_tracking.weights_files import CheckpointError
import cv2
import numpy as np
import pytest
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
import torch

SHAPES = ('cross', 'disc', 'stripes')
TINY = {'widths': (8, 12, 16), 'depths': (1, 1, 1)}


def picture(name, rng, side=40):
    """Return a shape of random colour and place on noise: nothing that the body was taught."""
    image = rng.integers(0, 90, (side, side, 3), dtype=np.uint8)
    x, y = (int(value) for value in rng.integers(15, side - 15, 2))
    colour = tuple(int(value) for value in rng.integers(150, 256, 3))
    if name == 'disc':
        cv2.circle(image, (x, y), 12, colour, -1)
    elif name == 'cross':
        cv2.line(image, (x - 12, y - 12), (x + 12, y + 12), colour, 3)
        cv2.line(image, (x - 12, y + 12), (x + 12, y - 12), colour, 3)
    else:
        image[:, x % 5::5] = colour
    return image


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Give class folders with 15 pictures each."""
    folder, rng = tmp_path_factory.mktemp('shapes'), np.random.default_rng(0)
    for name in SHAPES:
        (folder / name).mkdir()
        for number in range(15):
            cv2.imwrite(str(folder / name / f'{number}.png'), picture(name, rng))
    return folder


# Cutting


@pytest.mark.parametrize(('name', 'layer', 'size'), [
    ('vgg16', 'features.30', 25_088), ('alexnet', 'features.12', 9_216),
    ('resnet50', 'avgpool', 2048), ('resnet18', 'layer4', 512 * 49),
    ('googlenet', 'inception4a', 512 * 196)])
def test_a_network_is_cut_at_a_named_layer(name, layer, size):
    with torch.device('meta'):
        network = build(name, 1000)
        whole = sum(p.numel() for p in network.parameters())
        cut = Cut(network, layer, 224)
    assert cut.size == size
    assert sum(p.numel() for p in cut.parameters()) < whole
    assert not any('classifier' in key or 'aux' in key or '.fc.' in key
                   for key in cut.state_dict())


def test_features_are_the_outputs_of_the_layer():
    network = build('smaller_vgg', 3, **TINY).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = activations(network, images, ['backbone.stages.1', 'fc'])
    assert list(expected) == ['backbone.stages.1', 'fc']
    assert torch.equal(expected['fc'], network(images))
    cut = Cut(network, 'backbone.stages.1', 32)
    assert torch.equal(cut(images), expected['backbone.stages.1'].flatten(1))


@pytest.mark.parametrize(('name', 'layer', 'side', 'reason'), [
    ('vgg_a', 'features.99', 32, 'no layer'), ('vgg_a', '', 32, 'no layer'),
    ('googlenet', 'aux1.fc2', 64, 'takes no part'), ('lenet5', 's4', 40, '32 x 32 pixels')])
def test_a_cut_that_cannot_be_is_refused(name, layer, side, reason):
    with torch.device('meta'), pytest.raises(ValueError, match=reason):
        Cut(build(name, 3), layer, side)


# Weights


def public(folder, name='resnet18', change=None, suffix='.pth'):
    """Write random weights as a public checkpoint; return its path and the tensors."""
    torch.manual_seed(3)
    tensors = build(name, 1000).state_dict()
    if change:
        change(tensors)
    path = folder / f'{name}{suffix}'
    save_file(tensors, path) if suffix == '.safetensors' else torch.save(tensors, path)
    return path, tensors


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_public_file_becomes_the_body(tmp_path, suffix):
    path, tensors = public(tmp_path, suffix=suffix)
    network, arguments, mean, _ = pretrained('resnet18', 4, path)
    assert arguments == {} and mean == IMAGENET_MEAN
    for name, tensor in network.state_dict().items():
        if name.startswith('fc.'):
            assert tensor.shape[0] == 4
        else:
            assert torch.equal(tensor, tensors[name])
    whole = pretrained('resnet18', 1000, path, keep_head=True)[0]
    assert torch.equal(whole.fc.weight, tensors['fc.weight'])


def test_files_of_before_batch_counts_are_read(tmp_path):
    path, _ = public(tmp_path, change=lambda t: [t.pop(key) for key in list(t)
                                                 if key.endswith('num_batches_tracked')])
    pretrained('resnet18', 4, path)


def test_the_body_of_the_detector_sees_red_first():
    """It gives the same features, though the detector is shown blue first."""
    detector, specification = load_detector(shipped_weights())
    network, _, mean, std = pretrained('smaller_vgg', 2, shipped_weights())
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    ours = Normalise(Specification(('a',), 'smaller_vgg', 64, mean, std))(torch.from_numpy(image))
    theirs = torch.from_numpy(image).permute(0, 3, 1, 2).float()
    theirs = (theirs - torch.tensor(specification.mean).view(1, 3, 1, 1)) / torch.tensor(
        specification.std).view(1, 3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval().backbone(ours)[-1],
                                   detector.backbone(theirs)[-1], rtol=1e-3, atol=1e-4)


class Bomb:
    """A pickle that would run code when it is loaded."""

    def __reduce__(self):
        """Tell pickle to call something."""
        return (pytest.fail, ('the pickle was executed',))


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_files_that_do_not_fit_are_refused(tmp_path):
    good, _ = public(tmp_path)
    with pytest.raises(CheckpointError, match=r'tensors are missing'):
        pretrained('vgg_a', 3, good)
    short, _ = public(tmp_path, change=lambda t: t.update(
        {'conv1.weight': torch.zeros(64, 3, 3, 3)}))
    with pytest.raises(CheckpointError, match=r'conv1.weight has the shape \(64, 3, 3, 3\)'):
        pretrained('resnet18', 3, short)
    nan, _ = public(tmp_path, change=lambda t: t['bn1.bias'].fill_(float('nan')))
    with pytest.raises(CheckpointError, match='bn1.bias holds values that are not finite'):
        pretrained('resnet18', 3, nan)
    with pytest.raises(CheckpointError, match='holds weights of smaller_vgg, not of vgg16'):
        pretrained('vgg16', 3, shipped_weights())
    bad = tmp_path / 'bad.pth'
    for content in (pickle.dumps(Bomb()), b'', b'rubbish', good.read_bytes()[:10_000]):
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match='not a file of weights alone'):
            pretrained('resnet18', 3, bad)
    torch.save([1, 2], bad)
    with pytest.raises(CheckpointError, match='expected tensors by name'):
        pretrained('resnet18', 3, bad)
    with pytest.raises(CheckpointError, match='no such file'):
        pretrained('resnet18', 3, tmp_path / 'nowhere.pth')


def test_public_weights_without_a_network_say_what_to_do(monkeypatch):
    def unreachable(url, **options):
        assert options['check_hash'] and options['weights_only']
        raise OSError('no route to host')
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', unreachable)
    with pytest.raises(ValueError, match=r'no route.*/vgg16-397923af.pth.*--weights FILE'):
        pretrained('vgg16', 3, 'imagenet')
    with pytest.raises(ValueError, match='no public ImageNet weights of zfnet'):
        pretrained('zfnet', 3, 'imagenet')


def test_public_weights_are_fetched_by_the_name_of_the_network(monkeypatch):
    asked, weights = [], build('googlenet', 1000).state_dict()
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url',
                        lambda url, **_: asked.append(url) or weights)
    _, _, mean, std = pretrained('googlenet', 3, 'imagenet')
    assert asked == ['https://download.pytorch.org/models/' + PUBLIC['googlenet']]
    assert mean == std == (127.5, 127.5, 127.5)


# Features


@pytest.fixture
def body():
    """Give `body()`, which returns always the same cut network, and the specification."""
    def make(margin=0.0):
        torch.manual_seed(0)
        network, specification = start('smaller_vgg', SHAPES, side=32, margin=margin, **TINY)
        return Cut(network, 'backbone.stages.2', 32), specification
    return make


def test_features_on_disk_are_those_of_the_network(folders, body, tmp_path):
    cut, specification = body()
    found = features.extract(cut, specification, [read(folders)], tmp_path / 'a.f32', batch=4,
                             progress=False)
    crops = read_crops([read(folders)], 0.0, 32, progress=False)
    assert isinstance(found.values, np.memmap) and found.values.shape == (45, 16 * 4 * 4)
    assert found.labels.tolist() == crops.labels.tolist()
    assert found.groups.tolist() == crops.groups.tolist()
    images = torch.from_numpy(np.stack([stretched(image, 32) for image in crops.images]))
    with torch.inference_mode():
        expected = cut(Normalise(specification)(images)).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)


def test_a_stopped_extraction_goes_on(folders, body, tmp_path, monkeypatch):
    whole = features.extract(*body(), [read(folders)], tmp_path / 'whole.f32', progress=False)
    cut, specification = body()
    shown, forward = [], Cut.forward

    def failing(self, images):
        shown.append(len(images))
        if sum(shown) > 24:
            raise KeyboardInterrupt
        return forward(self, images)
    monkeypatch.setattr(Cut, 'forward', failing)
    path = tmp_path / 'part.f32'
    with pytest.raises(KeyboardInterrupt):
        features.extract(cut, specification, [read(folders)], path, batch=8, progress=False)
    with path.open('ab') as file:
        file.write(b'half a row')
    shown.clear()
    monkeypatch.setattr(Cut, 'forward', lambda self, images: shown.append(len(images)) or forward(
        self, images))
    found = features.extract(cut, specification, [read(folders)], path, batch=8, progress=False)
    assert sum(shown) == 45 - 24
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-4, atol=1e-5)
    shown.clear()
    again = features.extract(cut, specification, [read(folders)], path, progress=False)
    assert shown == [] and np.array_equal(again.values, found.values)
    other, changed = body(margin=0.5)
    shown.clear()
    features.extract(other, changed, [read(folders)], path, progress=False)
    assert sum(shown) == 45, 'features of other crops are not taken for these'


# Linear classifiers


def made_up(rows, columns, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(9).standard_normal((classes, columns)) * 2.5 / columns ** 0.5
    truth = rng.integers(0, classes, rows)
    noise = rng.standard_normal((rows, columns))
    return np.float32(5 * np.maximum(noise + centers[truth], 0)), truth


@pytest.mark.parametrize('shape', [(120, 400), (200, 30)])
@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('model', linear.MODELS)
def test_linear_classifiers_against_scikit_learn(model, classes, shape):
    """With one C and with a grid, through the rows or their products, the answers agree."""
    rows, truth = made_up(*shape, classes)
    others, other_truth = made_up(100, shape[1], classes, seed=1)
    scale = 1 / np.sqrt((rows ** 2).sum(axis=1).mean())
    oracle = (LogisticRegression(C=2.0, max_iter=1000) if model == 'logistic_regression'
              else LinearSVC(C=2.0, max_iter=10_000)).fit(rows * scale, truth)
    assert (oracle.predict(others * scale) == other_truth).mean() > 0.6
    for grid in ((2.0,), (2.0, 2.0)):
        fitted = linear.fit(rows, truth, model, grid)
        assert fitted.weights.shape == (classes, shape[1]) and fitted.penalty == 2.0
        answers = fitted.logits(others).argmax(axis=1)
        assert (answers == oracle.predict(others * scale)).mean() >= 0.97
        if classes == 3 and model == 'logistic_regression':
            np.testing.assert_allclose(fitted.logits(others), oracle.decision_function(
                others * scale), rtol=0.05, atol=0.02)


@pytest.mark.parametrize('model', linear.MODELS)
def test_the_best_of_a_grid_is_taken(model):
    fitted = linear.fit(*made_up(150, 300), model, (1e-5, 1.0, 10.0))
    assert set(fitted.scores) == {1e-5, 1.0, 10.0}
    assert fitted.penalty != 1e-5
    assert fitted.scores[fitted.penalty] == max(fitted.scores.values())


@pytest.mark.parametrize('model', linear.MODELS)
@pytest.mark.parametrize('grid', [(10.0,), (0.1, 10.0)])
def test_features_larger_than_the_memory_are_learned_from_in_pieces(model, grid, tmp_path):
    rows, truth = made_up(3000, 60)
    order = np.argsort(truth, kind='stable')  # as banks come, one class after the other
    rows[order].tofile(tmp_path / 'rows')
    mapped = np.memmap(tmp_path / 'rows', np.float32, 'r', shape=rows.shape)
    others, other_truth = made_up(500, 60, seed=1)
    whole, pieces = (linear.fit(mapped, truth[order], model, grid, memory=memory)
                     for memory in (None, 1000))
    right = [(each.logits(others).argmax(axis=1) == other_truth).mean()
             for each in (whole, pieces)]
    assert right[1] > right[0] - 0.03 and right[0] > 0.7
    assert len(pieces.scores) == (0 if len(grid) == 1 else 2)


def test_calibration_makes_the_truth_likely():
    rows, truth = made_up(300, 40)
    fitted = linear.fit(rows[:150], truth[:150], 'linear_svm', (10.0,))
    calibrated = fitted.calibrated(rows[150:], truth[150:])

    def surprise(each):
        logits = torch.from_numpy(each.logits(rows[150:]))
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(truth[150:])).item()
    assert surprise(calibrated) < surprise(fitted)
    assert np.array_equal(fitted.logits(rows).argmax(axis=1),
                          calibrated.logits(rows).argmax(axis=1))


@pytest.mark.parametrize(('arguments', 'reason'), [
    ({'model': 'forest'}, "got 'forest'"), ({'grid': (0.0,)}, 'C must be above 0'),
    ({'grid': ()}, 'C must be above 0'), ({'truth': np.zeros(20, int)}, 'only one class'),
    ({'truth': np.arange(20) // 18, 'grid': (1.0, 2.0)}, 'a class is in 2 images, too few')])
def test_senseless_fits_are_refused(arguments, reason):
    rows, truth = made_up(20, 5)
    with pytest.raises(ValueError, match=reason):
        linear.fit(rows, **{'truth': truth, 'model': 'linear_svm', **arguments})


@pytest.mark.parametrize('model', linear.MODELS)
def test_the_body_of_the_detector_tells_shapes_apart(folders, tmp_path, model):
    network, specification = start('smaller_vgg', SHAPES, shipped_weights(), side=64)
    metrics = by_features([read(folders)], [], tmp_path, network, specification, hold_out=0.33,
                          layer='backbone.stages.3', model=model, progress=False)
    assert metrics['top1'] > 0.85 and metrics['count'] == 15
    assert metrics['knobs']['features'] == network.backbone.stages[3][0][0].out_channels * 4 * 4
    classifier = Classifier.from_checkpoint(tmp_path / 'classifier.safetensors')
    crops = read_crops([read(folders)], 0.0, 64, progress=False)
    _, held = split(crops.labels, crops.groups, 0.33)
    found = classifier.names[classifier([crops.images[i] for i in held]).argmax(axis=1)]
    assert (found == crops.labels[held]).mean() == pytest.approx(metrics['top1'], abs=0.07)
    # the last stage, which is half of the weights, is not in it
    assert (tmp_path / 'classifier.safetensors').stat().st_size < 2.3e6


def test_a_class_without_crops_is_named(folders, tmp_path):
    network, specification = start('smaller_vgg', (*SHAPES, 'zebra'), side=32, **TINY)
    with pytest.raises(ValueError, match='no crop .* to learn zebra from'):
        by_features([read(folders)], [], tmp_path, network, specification, progress=False)


# Fine-tuning


def test_phases_of_fine_tuning():
    network = build('smaller_vgg', 3, **TINY)
    head, every = phases(network, 3, 5, 0.1, None)
    assert (head.layers, head.epochs, head.rate) == (('fc',), 3, 0.1)
    assert (every.name, every.epochs, every.rate) == ('all', 5, pytest.approx(0.01))
    assert every.layers == (*(f'backbone.stages.{i}' for i in range(3)), 'fc')
    assert phases(network, 3, 5, 0.1, 1)[1].layers == ('backbone.stages.2', 'fc')
    assert len(phases(network, 3, 5, 0.1, 0)) == len(phases(network, 0, 5, 0.1, 2)) == 1
    for unfreeze in (4, -1):
        with pytest.raises(ValueError, match='from 0 to 3, the blocks of this network'):
            phases(network, 3, 5, 0.1, unfreeze)
    with pytest.raises(ValueError, match='nothing learns'):
        phases(network, 0, 5, 0.1, 0)


@pytest.mark.parametrize('name', ['smaller_vgg', 'resnet18', 'googlenet'])
def test_freezing_freezes_and_unfreezing_moves(folders, tmp_path, name):
    """After the warm-up the body is the same in every bit, batch normalisation included."""
    arguments = TINY if name == 'smaller_vgg' else {}
    crops = read_crops([read(folders)], 0.0, 32, progress=False).select(np.arange(0, 45, 3))
    network, specification = start(name, SHAPES, side=32, **arguments)
    before = {key: value.clone() for key, value in network.state_dict().items()}

    def changed():
        return {key for key, value in network.state_dict().items()
                if not torch.equal(value, before[key])}
    heads = tuple(f'{layer}.' for layer in network.head)
    warmup, last = phases(network, 1, 1, 0.05, 1)
    options = {'knobs': Knobs(batch=8), 'threads': 1, 'progress': False}
    from acme_tracking.training import classifier as module
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Run, 'finish', lambda *_: {})  # it takes the rounded weights on disk
        train(crops, crops, tmp_path, network, specification, [warmup], **options)
        moved = changed()
        assert moved and all(key.startswith(heads) for key in moved)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        train(crops, crops, tmp_path, network, specification, [last], **options)
    free = tuple(f'{layer}.' for layer in (*network.blocks[-1], *network.head))
    moved = changed()
    assert all(key.startswith(free) for key in moved)
    assert {key for key in before if key.startswith(free)} == moved


def test_fine_tuning_draws_its_phases_as_one_curve(folders, tmp_path):
    crops = read_crops([read(folders)], 0.0, 64, progress=False)
    training, validation = split(crops.labels, crops.groups, 0.33)
    network, specification = start('smaller_vgg', SHAPES, shipped_weights(), side=64)
    summary = train(crops.select(training), crops.select(validation), tmp_path, network,
                    specification, phases(network, 3, 3, 0.05, 2), Knobs(batch=10), threads=1,
                    progress=False)
    assert [epoch['phase'] for epoch in summary['history']] == ['head'] * 3 + ['last 2 blocks'] * 3
    assert [epoch['epoch'] for epoch in summary['history']] == list(range(1, 7))
    assert summary['history'][-1]['loss'] < summary['history'][0]['loss']
    from acme_tracking.training import curves
    axes = curves.draw(summary['history']).axes[0]
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == '--']
    assert marks == [3.5]
    assert axes.texts[0].get_text().strip() == 'last 2 blocks'


# The command


def test_the_command_transfers_by_both_methods(folders, tmp_path, capsys):
    common = ['train', 'transfer', '--data', str(folders), '--network', 'smaller_vgg',
              '--weights', 'shipped', '--size', '32', '--threads', '1', '--hold-out', '0.33']
    out = tmp_path / 'features'
    assert main([*common, '--method', 'features', '--out', str(out), '--C', '1', '10']) == 0
    assert 'of 15 crops' in capsys.readouterr().out
    _, specification = load(out / 'classifier.safetensors')
    assert specification.layer == 'avgpool' and specification.mean == (114, 114, 114)
    assert set(json.loads((out / 'metrics.json').read_text())['knobs']['accuracy by C']) == {
        '1.0', '10.0'}
    tuned = tmp_path / 'tuned'
    assert main([*common, '--method', 'finetune', '--out', str(tuned), '--warmup', '1',
                 '--unfreeze', '1', '--epochs', '1']) == 0
    assert len(json.loads((tuned / 'metrics.json').read_text())['history']) == 2
    # what was trained here is a body for the next one
    for weights in (out, tuned):
        network, *_ = pretrained('smaller_vgg', 7, weights / 'classifier.safetensors')
        assert network.fc.out_features == 7


@pytest.mark.parametrize(('more', 'reason'), [
    (['--weights', 'nowhere.pth'], 'nowhere.pth: no such file'),
    (['--layer', 'features.30'], "no layer 'features.30'"),
    (['--method', 'finetune', '--unfreeze', '9'], 'from 0 to 5')])
def test_the_command_says_what_is_wrong(folders, tmp_path, capsys, more, reason):
    assert main(['train', 'transfer', '--data', str(folders), '--network', 'smaller_vgg',
                 '--weights', 'shipped', '--method', 'features', '--size', '32',
                 '--out', str(tmp_path), *more]) != 0
    assert reason in capsys.readouterr().err


def test_a_checkpoint_of_a_cut_network_round_trips(tmp_path):
    torch.manual_seed(0)
    specification = Specification(SHAPES, 'vgg_a', 32, arguments={'hidden': 8}, layer='features.5')
    network = specification.build().eval()
    checkpoint.save(tmp_path / 'cut.safetensors', network, specification, half=False)
    loaded, same = load(tmp_path / 'cut.safetensors')
    assert same == specification
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network(images))


def test_the_benchmark_ends_with_its_figures():
    root = Path(__file__).resolve().parent.parent
    result = subprocess.run(
        [sys.executable, 'benchmark/transfer.py', '--rows', '300', '--columns', '400'], cwd=root,
        text=True, capture_output=True, timeout=200)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    for model in linear.MODELS:
        assert report[f'{model}_s'] > 0 and report[f'{model}_peak_mb'] > 50
        assert report[f'{model}_accuracy'] > 0.6
