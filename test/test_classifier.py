"""Classifiers: crops, training, curves and their verdict, checkpoints, refined detections."""
from dataclasses import replace
import json
import re

from acme_tracking.cli import main
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.refinement import Refiner
from acme_tracking.detections import Detections
from acme_tracking.networks.checkpoint import save
from acme_tracking.networks.classifier import Classifier, cut_out, load, Normalise, Specification
from acme_tracking.training import accuracy, curves
from acme_tracking.training.classifier import freeze_all_but, Knobs, Phase, train
from acme_tracking.training.crops import augmented, places, read_crops, split
from acme_tracking.training.data import read
from acme_tracking.training.data.bank import crops as bank_crops
from acme_tracking.training.detector import DivergenceError
from acme_tracking.training.transfer import start
from acme_tracking.weights_files import CheckpointError, KEY
import cv2
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch

COLOURS = {'blue': (220, 60, 60), 'green': (60, 200, 60), 'red': (60, 60, 220)}
TINY = {'widths': (8, 12, 16), 'depths': (1, 1, 1)}
ALL = ('backbone', 'fc')


def picture(name, rng, side=40):
    """Return noise with a disc in the colour of a class."""
    image = rng.integers(60, 160, (side, side, 3), dtype=np.uint8)
    center = tuple(int(x) for x in rng.integers(12, side - 12, 2))
    cv2.circle(image, center, int(rng.integers(8, 12)), COLOURS[name], -1)
    return image


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Give class folders with 12 pictures each."""
    folder, rng = tmp_path_factory.mktemp('discs'), np.random.default_rng(0)
    for name in COLOURS:
        (folder / name).mkdir()
        for number in range(12):
            cv2.imwrite(str(folder / name / f'{number}.png'), picture(name, rng))
    return folder


@pytest.fixture(scope='module')
def discs(folders):
    """Give the pictures as Crops, to train on and to validate on."""
    crops = read_crops([read(folders)], 0.0, 32, progress=False)
    training, validation = split(crops.labels, crops.groups, 0.25)
    return crops.select(training), crops.select(validation)


def learn(discs, out, epochs=25, rate=0.05, knobs=None, **options):
    torch.manual_seed(1)
    network, specification = start('smaller_vgg', tuple(COLOURS), side=32, **TINY)
    return train(*discs, out, network, specification, [Phase('training', epochs, rate, ALL)],
                 knobs or Knobs(batch=9), threads=1, progress=False, **options)


@pytest.fixture(scope='module')
def trained(discs, tmp_path_factory):
    """Give the folder of a training, and its summary."""
    out = tmp_path_factory.mktemp('run')
    return out, learn(discs, out)


def test_learns_what_can_be_told_apart(trained, discs):
    out, summary = trained
    assert summary['top1'] == 1
    assert json.loads((out / 'metrics.json').read_text()) == json.loads(json.dumps(summary))
    assert summary['history'][0]['validation_loss'] > summary['history'][-1]['validation_loss']
    assert summary['confusion'] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    page = (out / 'report.html').read_text()
    assert summary['verdict'] in page and 'data:image/png' in page and 'Confusion' in page
    classifier = Classifier.from_checkpoint(out / 'classifier.safetensors', batch=4)
    probabilities = classifier(discs[1].images)
    assert probabilities.shape == (9, 3) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-4)
    assert classifier.names[probabilities.argmax(axis=1)].tolist() == discs[1].labels.tolist()
    assert classifier([]).shape == (0, 3)


def test_a_stopped_training_goes_on_exactly(discs, tmp_path):
    learn(discs, tmp_path / 'whole', epochs=4)

    class Stop(Exception):
        pass

    def stop(run, *_):
        if run.epoch == 2:
            raise Stop
        original(run, *_)
    with pytest.MonkeyPatch.context() as patch:
        from acme_tracking.training import classifier
        original = classifier._Run._train_epoch
        patch.setattr(classifier._Run, '_train_epoch', stop)
        with pytest.raises(Stop):
            learn(discs, tmp_path / 'parts', epochs=4)
    learn(discs, tmp_path / 'parts', epochs=4, resume=True)
    first, second = (torch.load(tmp_path / name / 'state.pt', weights_only=True)
                     for name in ('whole', 'parts'))
    assert [e['epoch'] for e in second['history']] == [1, 2, 3, 4]
    for name, tensor in first['network'].items():
        torch.testing.assert_close(second['network'][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_training_goes_on_with_the_knobs_it_began_with(discs, tmp_path):
    learn(discs, tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"began with loss 'cross_entropy' \(now 'mse'\); go on"):
        learn(discs, tmp_path, epochs=2, resume=True, knobs=Knobs(batch=9, loss='mse'))


def test_nothing_to_resume_is_an_error(discs, tmp_path):
    with pytest.raises(ValueError, match='nothing to resume'):
        learn(discs, tmp_path, resume=True)
    (tmp_path / 'state.pt').write_bytes(b'rubbish')
    with pytest.raises(ValueError, match='cut short'):
        learn(discs, tmp_path, resume=True)


def test_the_squared_error_learns_too(discs, tmp_path):
    summary = learn(discs, tmp_path, knobs=Knobs(batch=9, loss='mse', augment=False), rate=0.2)
    losses = [epoch['loss'] for epoch in summary['history']]
    assert losses[-1] < 0.5 * losses[0] and losses[0] < 0.5  # a mean of squares of probabilities


def test_a_phase_ends_early_when_the_validation_loss_does_not_fall(discs, tmp_path):
    wrong = replace(discs[1], labels=np.roll(discs[1].labels, 3))  # what is learned is useless
    summary = learn((discs[0], wrong), tmp_path, epochs=60, knobs=Knobs(batch=9, patience=3))
    assert 4 <= len(summary['history']) < 60
    losses = [epoch['validation_loss'] for epoch in summary['history']]
    assert np.argmin(losses) == len(losses) - 4
    assert summary['verdict'].startswith(('overfitting', 'underfitting'))


def test_a_loss_that_is_not_finite_stops_the_training(discs, tmp_path):
    with pytest.raises(DivergenceError, match=r'the loss is .* in epoch \d'):
        learn(discs, tmp_path, rate=1e30)


@pytest.mark.parametrize('wrong', [{'batch': 0}, {'patience': 0}, {'loss': 'hinge'}])
def test_senseless_knobs_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Knobs(**wrong)
    with pytest.raises(ValueError, match='epochs must be at least 1'):
        Phase('x', 0, 0.1, ALL)


def test_frozen_layers_neither_learn_nor_follow_the_images():
    network, _ = start('smaller_vgg', ('a', 'b'), side=32, **TINY)
    freeze_all_but(network, ('fc', 'backbone.stages.2'))
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {name for name, _ in network.named_parameters()
                        if name.startswith(('fc.', 'backbone.stages.2.'))}
    assert not network.backbone.stages[0][0][1].training
    assert network.backbone.stages[2][0][1].training and network.dropout.training


def history(loss, validation, top1, validation_top1):
    return [{'loss': a, 'validation_loss': b, 'top1': c, 'validation_top1': d, 'phase': 'x'}
            for a, b, c, d in zip(loss, validation, top1, validation_top1)]


@pytest.mark.parametrize(('word', 'curve'), [
    ('fine', history([1, .3, .1, .09], [1, .3, .15, .15], [.5, .9, .97, .97], [.5, .9, .95, .95])),
    ('overfitting: after epoch 2', history(
        [1, .5, .1, .01], [1, .6, .8, 1.2], [.5, .8, .97, 1], [.5, .8, .7, .7])),
    ('overfitting: 99%', history([1, .1], [1, .8], [.5, .99], [.5, .7])),
    ('underfitting: only 40%', history([1.2, 1.1], [1.2, 1.1], [.3, .4], [.3, .39])),
    ('underfitting: the validation', history(
        np.linspace(1, .2, 6), np.linspace(1, .2, 6), [.9] * 6, [.9] * 6)),
])
def test_the_verdict(word, curve):
    assert curves.verdict(curve).startswith(word)


def test_accuracy_against_counting():
    rng = np.random.default_rng(0)
    classes = [f'c{i}' for i in range(7)]
    scores, truth = rng.random((50, 7)), rng.integers(0, 6, 50)  # nothing is of the last class
    figures = accuracy.assess(scores, truth, classes)
    best = [max(range(7), key=lambda i: row[i]) for row in scores]
    assert figures['top1'] == sum(a == b for a, b in zip(best, truth)) / 50
    assert figures['top5'] == sum(sorted(row)[-5] <= row[t] for row, t in zip(scores, truth)) / 50
    for i in range(7):
        for j in range(7):
            assert figures['confusion'][i][j] == sum(
                (t, b) == (i, j) for t, b in zip(truth.tolist(), best))
    hits = figures['confusion'][2][2]
    assert figures['per_class']['c2']['recall'] == hits / sum(figures['confusion'][2])
    assert figures['per_class']['c6'] == {'precision': 0, 'recall': 0, 'f1': 0, 'count': 0}
    assert 'c6' in accuracy.as_text(figures, classes)


def test_a_split_is_stratified_and_keeps_images_together():
    labels = np.repeat(['a', 'b', 'c'], [60, 30, 10])
    groups = np.arange(100) // 2
    training, validation = split(labels, groups, 0.2)
    assert sorted([*training, *validation]) == list(range(100))
    assert not set(groups[training]) & set(groups[validation])
    counts = {name: int((labels[validation] == name).sum()) for name in 'abc'}
    assert counts == {'a': 12, 'b': 6, 'c': 2}
    with pytest.raises(ValueError, match="class 'c' is in 5 images, too few"):
        split(labels, groups, 0.1)


def test_crops_for_training_and_in_the_graph_are_the_same(folders):
    sample = next(iter(read(folders)))
    boxes = np.array([[3.2, 4.9, 20.1, 30.4], [-5, 10, 60, 39]], np.float32)
    cut = cut_out(sample.image, boxes, 0.1)
    crops = bank_crops([replace(sample, boxes=boxes, labels=np.array(['a', 'b']), ignored=None)],
                       0.1)
    for ours, theirs in zip(cut, crops, strict=True):
        assert np.array_equal(ours, theirs.image)
    assert [part.shape for part in cut_out(sample.image, [[39.9, 39.9, 40, 40], [50, 50, 60, 60]],
                                           0)] == [(1, 1, 3)] * 2


def test_augmented_views_differ_and_repeat():
    image = picture('red', np.random.default_rng(1))
    first, second, again = (augmented(image, 24, np.random.default_rng(seed))
                            for seed in (0, 1, 0))
    assert first.shape == (24, 24, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, second)


def test_places_name_what_is_unknown():
    assert places(np.array(['b', 'a']), ('a', 'b')).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"\['c'\] are not among"):
        places(np.array(['c']), ('a', 'b'))


def test_the_input_is_normalised_in_the_order_of_the_public_weights():
    specification = Specification(('a',), 'smaller_vgg', 32, mean=(1., 2., 3.), std=(1., 2., 4.))
    image = torch.tensor([[[[30, 20, 10]]]], dtype=torch.uint8)  # blue green red
    assert Normalise(specification)(image).flatten().tolist() == [9, 9, 6.75]


@pytest.mark.parametrize(('entry', 'value', 'reason'), [
    ('network', 'os.system', 'one of lenet5'), ('layer', 3, 'a name'), ('margin', -1, '0 to 10'),
    ('input_size', 5000, 'input_size'), ('arguments', {'widths': [10 ** 6]}, 'arguments'),
    ('layer', 'nowhere', 'no layer'), ('arguments', {'hidden': 5}, 'describes no network'),
    ('classes', ['a', 'a'], 'classes')])
def test_a_header_with_a_wrong_entry_is_refused(trained, tmp_path, entry, value, reason):
    path = trained[0] / 'classifier.safetensors'
    from safetensors import safe_open
    with safe_open(path, 'pt') as file:
        entries = json.loads(file.metadata()[KEY])
    save_file(load_file(path), tmp_path / 'bad.safetensors',
              metadata={KEY: json.dumps({**entries, entry: value})})
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / 'bad.safetensors')


def test_refinement_renames_and_keeps_what_it_shall(trained):
    rng = np.random.default_rng(5)
    image = np.full((60, 140, 3), 110, np.uint8)
    for left, name in ((0, 'red'), (50, 'green'), (100, 'blue')):
        image[10:50, left:left + 40] = picture(name, rng)
    boxes = [[0, 10, 40, 50], [50, 10, 90, 50], [100, 10, 140, 50]]
    found = Detections(boxes, [0.9, 0.8, 0.7], ['car', 'bus', 'person'])
    refiner = Refiner.from_checkpoint(trained[0] / 'classifier.safetensors', ['car', 'bus'])
    refined = refiner(image, found)
    by_box = {tuple(box): (label, score) for box, label, score in zip(
        refined.boxes.tolist(), refined.labels.tolist(), refined.scores.tolist())}
    assert [by_box[tuple(map(float, box))][0] for box in boxes] == ['red', 'green', 'person']
    assert (np.diff(refined.scores) <= 0).all()
    probability = refiner.classifier([image[10:50, :40]]).max()
    assert by_box[0., 10., 40., 50.][1] == pytest.approx((0.9 * probability) ** 0.5, rel=1e-3)
    assert by_box[100., 10., 140., 50.][1] == pytest.approx(0.7)
    assert len(refiner(image, Detections.empty())) == 0


def test_a_detector_takes_a_classifier(trained, tmp_path):
    path = trained[0] / 'classifier.safetensors'
    detector = Detector.from_checkpoint(classifier=path, refined_classes=['car'])
    assert detector.refiner.classes == ('car',)
    with pytest.raises(ValueError, match='zebra'):
        Detector.from_checkpoint(classifier=path, refined_classes=['zebra'])
    with pytest.raises(CheckpointError, match='no such file'):
        Detector.from_checkpoint(classifier=tmp_path / 'nowhere')


def test_the_command_trains_and_says_how_it_went(folders, tmp_path, capsys):
    arguments = ['train', 'classifier', '--data', str(folders), '--out', str(tmp_path / 'run'),
                 '--size', '32', '--epochs', '1', '--hold-out', '0.25', '--threads', '1']
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert re.search(r'blue +\d+ +\d+ +\d+ +\d\.\d{3}', printed)
    assert re.search(r'(under|over)fitting: |fine: ', printed)
    assert 'of 9 crops' in printed
    _, specification = load(tmp_path / 'run' / 'classifier.safetensors')
    assert specification.classes == ('blue', 'green', 'red')
    assert specification.margin == 0.1


@pytest.mark.parametrize(('more', 'reason'), [
    (['--network', 'vgg99'], "'vgg99' is unknown"), (['--classes', 'zebra'], 'no object of zebra'),
    (['--classes', 'red'], 'nothing to tell apart'), (['--size', '8'], 'from 32 to 1024'),
    (['--hold-out', '0.05'], 'too few to validate'), (['--map', 'nowhere.yaml'], 'nowhere.yaml')])
def test_the_command_says_what_is_wrong(folders, tmp_path, capsys, more, reason):
    assert main(['train', 'classifier', '--data', str(folders), '--epochs', '1',
                 '--out', str(tmp_path / 'run'), *more]) != 0
    assert reason in capsys.readouterr().err


def test_saving_in_full_precision_is_exact(tmp_path):
    network, specification = start('smaller_vgg', ('a', 'b'), side=32, **TINY)
    save(tmp_path / 'full.safetensors', network, specification, half=False)
    loaded, same = load(tmp_path / 'full.safetensors')
    assert same.build().state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
