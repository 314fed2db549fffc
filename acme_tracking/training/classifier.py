"""
The training of classifiers: one loop, in phases.

A training from nothing is one phase in which everything learns; fine-tuning warms up the head
first and then frees more of the body.  Every random choice comes from (seed, phase, epoch), and
the state on disk is written after every epoch, so a training that was killed goes on with its
next one.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path

from acme_tracking import page
from acme_tracking.files import write_whole
from acme_tracking.networks import checkpoint
from acme_tracking.networks.classifier import load, Normalise, stretched
from acme_tracking.networks.weights import load_torch
from acme_tracking.training import accuracy, curves
from acme_tracking.training.crops import augmented, places
from acme_tracking.training.detector import check_knobs, DivergenceError, fast_precision
import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

AUXILIARY = 0.3  # weight of the loss of GoogLeNet's auxiliary heads (Szegedy et al., 2014)
CURVE_CROPS = 1000  # training crops on which the curves are measured: as many tell enough


@dataclass
class Knobs:
    """What may be turned, and why it stands where it stands."""

    batch: int = 32
    momentum: float = 0.9
    decay: float = 5e-4  # of all weights with more than one dimension, as in AlexNet and VGG
    clip: float = 5.0  # gradient norm: deep plain networks start with steps that are too large
    loss: str = 'cross_entropy'  # or 'mse', the squared error of the probabilities
    augment: bool = True  # random parts, mirrored, in other light
    patience: int = 8  # epochs without a lower validation loss that end a phase early
    seed: int = 0

    def __post_init__(self):
        if self.batch < 1 or self.patience < 1 or self.loss not in ('cross_entropy', 'mse'):
            raise ValueError('batch and patience must be at least 1 and loss cross_entropy or '
                             f'mse, got {self.batch}, {self.patience} and {self.loss!r}')


@dataclass(frozen=True)
class Phase:
    """
    A part of a training.

    layers: names of those that learn; the others are frozen, also their batch normalisation.
    rate: of stochastic gradient descent at the start; it falls to 0 as a cosine.
    """

    name: str
    epochs: int
    rate: float
    layers: tuple

    def __post_init__(self):
        if self.epochs < 1 or not self.rate > 0:
            raise ValueError(f'epochs must be at least 1 and rate above 0, got {self.epochs} and '
                             f'{self.rate}')


def freeze_all_but(network, layers) -> None:
    """
    Let only the layers of some names learn, and put the network in training mode.

    Frozen layers are in eval mode: batch normalisation would follow the images without a gradient.
    """
    prefixes = tuple(f'{layer}.' for layer in layers)
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) \
                and not name.startswith(prefixes) and name not in layers:
            module.eval()


def train(training, validation, out, network, specification, phases, knobs=None, resume=False,
          threads=None, progress=True) -> dict:
    """
    Train a network on Crops; return the summary that it also writes to `out`/metrics.json.

    specification: a networks.classifier.Specification, which tells classes and input.  The
    weights with the lowest validation loss are `out`/classifier.safetensors, `out`/report.html
    shows curves, verdict and confusion matrix.  resume: go on from `out`/state.pt.  Raises
    DivergenceError when the loss is not finite.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # denormal numbers, as vanishing moments are, cost 100 times
    run = _Run(training, validation, Path(out), network, specification, knobs or Knobs())
    if resume:
        run.restore()
    for number, phase in enumerate(phases):
        if number >= run.phase:
            run.train_phase(number, phase, progress)
    return run.finish(phases)


class _Run:
    """The state of a training: what is saved, and one epoch of it."""

    def __init__(self, training, validation, out, network, specification, knobs):
        torch.manual_seed(knobs.seed)
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.knobs, self.specification = out, knobs, specification
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.normalise = Normalise(specification).to(self.device)
        self.precision = fast_precision(self.device)
        self.crops = training
        self.truth = places(training.labels, specification.classes)
        step = max(1, len(training) // CURVE_CROPS)
        self.sets = {'': _Set(training.select(np.arange(len(training))[::step]), specification),
                     'validation_': _Set(validation, specification)}
        self.phase, self.epoch, self.best, self.stale = 0, 0, math.inf, 0
        self.history, self.optimizer_state = [], None

    def train_phase(self, number, phase, progress) -> None:
        """Run the epochs of a phase that are left."""
        freeze_all_but(self.network, phase.layers)
        optimizer = self._optimizer(phase)
        if self.optimizer_state is not None:  # resumed within this phase
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        while self.epoch < phase.epochs and self.stale < self.knobs.patience:
            self._train_epoch(number, phase, optimizer, progress)
            self._validate(phase, progress)
            self.epoch += 1
            self.save(optimizer)
        self.phase, self.epoch, self.stale = number + 1, 0, 0

    def _optimizer(self, phase):
        learning = [p for p in self.network.parameters() if p.requires_grad]
        if not learning:
            raise ValueError(f'nothing learns in phase {phase.name!r}: no weights in '
                             + ', '.join(phase.layers))
        return torch.optim.SGD(
            [{'params': [p for p in learning if p.ndim > 1], 'weight_decay': self.knobs.decay},
             {'params': [p for p in learning if p.ndim <= 1], 'weight_decay': 0.0}],
            lr=phase.rate, momentum=self.knobs.momentum, nesterov=True)

    def _train_epoch(self, number, phase, optimizer, progress) -> None:
        """Show every crop once, in random order."""
        rng = np.random.default_rng((self.knobs.seed, number, self.epoch))
        torch.manual_seed(int(rng.integers(2 ** 31)))  # of dropout
        freeze_all_but(self.network, phase.layers)  # the validation left eval mode
        order = rng.permutation(len(self.crops))
        starts = range(0, len(order), self.knobs.batch)
        with tqdm(starts, unit='step', desc=f'{phase.name} {self.epoch + 1}/{phase.epochs}',
                  dynamic_ncols=True, leave=False, disable=not progress) as bar:
            for step, start in enumerate(bar):
                done = (self.epoch + step / len(starts)) / phase.epochs
                for group in optimizer.param_groups:
                    group['lr'] = phase.rate * (1 + math.cos(math.pi * done)) / 2
                value = self._step(order[start:start + self.knobs.batch], optimizer, rng)
                bar.set_postfix(loss=f'{value:.3f}', refresh=False)

    def _step(self, chosen, optimizer, rng) -> float:
        """Take one step on some crops; return the loss."""
        side, repeat = self.specification.input_size, 1
        if len(chosen) == 1:
            repeat = 2  # batch normalisation refuses a single one
        images = np.stack([augmented(self.crops.images[i], side, rng) if self.knobs.augment
                           else stretched(self.crops.images[i], side) for i in chosen] * repeat)
        truth = torch.from_numpy(np.tile(self.truth[chosen], repeat)).to(self.device)
        inputs = self.normalise(torch.from_numpy(images).to(self.device))
        with torch.autocast(self.device.type, self.precision,
                            enabled=self.precision is torch.bfloat16):
            outputs = self.network(inputs)
        value = self._loss(outputs, truth)
        if not torch.isfinite(value):
            raise DivergenceError(f'the loss is {value.item()} in epoch {len(self.history) + 1}; '
                                  'try a lower rate')
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.knobs.clip)
        optimizer.step()
        return value.item()

    def _loss(self, outputs, truth):
        """Return the loss of logits, or of a tuple of them and those of auxiliary heads."""
        if isinstance(outputs, tuple):
            first, *others = (self._loss(each, truth) for each in outputs)
            return first + AUXILIARY * sum(others)
        if self.knobs.loss == 'cross_entropy':
            return functional.cross_entropy(outputs.float(), truth)
        targets = functional.one_hot(truth, outputs.shape[1]).float()
        return functional.mse_loss(outputs.float().softmax(dim=1), targets)

    def _logits(self, part):
        """Return the logits for a _Set, float32 (N, C), in full precision."""
        self.network.eval()
        with torch.inference_mode():
            return torch.cat([self.network(self.normalise(images.to(self.device))).float().cpu()
                              for images in torch.from_numpy(part.images).split(64)])

    def _validate(self, phase, progress) -> None:
        """Measure the curves, and keep the best weights."""
        entry = {'phase': phase.name, 'epoch': len(self.history) + 1}
        for prefix, part in self.sets.items():
            logits = self._logits(part)
            entry[f'{prefix}loss'] = self._loss(logits, part.truth).item()
            entry[f'{prefix}top1'] = (logits.argmax(dim=1) == part.truth).float().mean().item()
        self.history.append(entry)
        self.stale += 1
        if entry['validation_loss'] < self.best or len(self.history) == 1:
            self.best, self.stale = entry['validation_loss'], 0
            checkpoint.save(self.out / 'classifier.safetensors', self.network,
                            self.specification)
        if progress:
            tqdm.write(f'{phase.name}, epoch {self.epoch + 1} of {phase.epochs}: ' + ', '.join(
                f'{name} loss {entry[prefix + "loss"]:.3f} top-1 {entry[prefix + "top1"]:.1%}'
                for name, prefix in (('training', ''), ('validation', 'validation_'))))

    def save(self, optimizer) -> None:
        """Write everything that a resumed training needs, whole or not at all."""
        state = {'network': self.network.state_dict(), 'optimizer': optimizer.state_dict(),
                 'phase': self.phase, 'epoch': self.epoch, 'best': self.best,
                 'stale': self.stale, 'history': self.history, 'knobs': asdict(self.knobs)}
        write_whole(self.out / 'state.pt', lambda path: torch.save(state, path))

    def restore(self) -> None:
        """Go on from the saved state; ValueError when there is none."""
        path = self.out / 'state.pt'
        if not path.is_file():
            raise ValueError(f'{path}: nothing to resume from')
        state = load_torch(path, self.device)
        try:
            check_knobs(path, state['knobs'], self.knobs)
            self.network.load_state_dict(state['network'])
            self.optimizer_state = state['optimizer']
            for name in ('phase', 'epoch', 'best', 'stale', 'history'):
                setattr(self, name, state[name])
        except (RuntimeError, KeyError, TypeError) as error:
            raise ValueError(f'{path}: of another network ({error})') from error

    def finish(self, phases) -> dict:
        """Judge the best weights; write metrics.json and report.html."""
        best, _ = load(self.out / 'classifier.safetensors')
        self.network.load_state_dict(best.state_dict())
        part = self.sets['validation_']
        scores = self._logits(part).softmax(dim=1).numpy()
        return write_results(
            self.out, self.specification, accuracy.assess(scores, part.truth.numpy(),
                                                          self.specification.classes),
            {'verdict': curves.verdict(self.history), 'history': self.history,
             'knobs': asdict(self.knobs), 'phases': [asdict(phase) for phase in phases]})


class _Set:
    """Crops as the network sees them without augmentation: images (N, S, S, 3), truth (N,)."""

    def __init__(self, crops, specification):
        self.images = np.stack([stretched(image, specification.input_size)
                                for image in crops.images])
        self.truth = torch.from_numpy(places(crops.labels, specification.classes))


def write_results(out, specification, figures, more) -> dict:
    """Write metrics.json and report.html of a classifier; return the content of the former."""
    summary = {**figures, 'specification': asdict(specification), **more}
    write_whole(out / 'metrics.json', lambda path: path.write_text(json.dumps(summary, indent=1)))
    parts = []
    if 'history' in more:
        parts = [page.heading('Learning'), page.text(more['verdict']),
                 page.plot(curves.draw(more['history']))]
    parts += accuracy.sections(figures, specification.classes)
    settings = [*asdict(specification).items(), *more.get('knobs', {}).items()]
    parts += [page.heading('Settings'), page.table(['', ''], settings)]
    page.write(out / 'report.html', f'Classifier of {", ".join(specification.classes)}', parts)
    return summary
