"""
The training of the detector: one loop.

Every random choice of a step comes from (seed, step), and the state on disk holds weights, their
average, the optimiser and the time spent; so a training that was killed goes on as if nothing had
happened.
"""
from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from functools import partial
import json
import math
from pathlib import Path
import time

from acme_tracking.detection import checkpoint
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.network import fuse, points
from acme_tracking.detection.options import NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.detection.runtimes.torch import Torch
from acme_tracking.detection.views import input_size
from acme_tracking.files import write_whole
from acme_tracking.labels import CLASSES
from acme_tracking.metrics.average_precision import evaluate, LOWEST_SCORE
from acme_tracking.networks.weights import load_torch
from acme_tracking.training.augmentation import mosaic, view
from acme_tracking.training.batches import Batches, Length
from acme_tracking.training.data import labels_for
from acme_tracking.training.objective import class_weights, IGNORED, loss
from acme_tracking.training.optimizer import MuonAdamW
from acme_tracking.training.processes import Processes
from acme_tracking.training.report import write_training_report
from acme_tracking.training.warm_start import warm_start
import cv2
import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

ASPECTS = ((1, 1), (4, 3), (16, 9))  # of the canvas, one for each batch
VALIDATIONS = 10  # times that a training is validated, the end included
LOSS_IMAGES = 100  # of each validation set; the loss of so many tells enough
CURVE_STEPS = 20  # steps of which the mean is one point of the curve of the training loss
WARMUP_SHARE = 0.1  # of a training that is short against Knobs.warmup


@dataclass
class Knobs:
    """What may be turned, and why it stands where it stands."""

    batch: int = 16  # enough for batch normalisation, small enough for many steps per minute
    rate: float = 2e-3  # 4e-3 was not stable from scratch, 1e-3 slower (with AdamW alone)
    decay: float = 0.02  # of weights, not of biases and normalisations
    warmup: int = 200  # steps: the assignment is random at first
    average: float = 0.998  # EMA of weights: half of it is the last 350 steps
    clip: float = 10.0  # gradient norm; a rare odd batch must not throw the weights away
    side: int = 384  # input size of the finished network
    first_side: float = 0.65  # share of `side` for a start: small images teach most of it fast
    grow: tuple = (0.7, 0.9)  # from and to which share of the training images grow to full size
    bank_power: float = 0.9  # a bank is drawn from as often as its size to this power says, ...
    often: tuple = ()  # ... times its entry here, in the order of the banks, 1 where none is
    mosaic: float = 0.25  # share of mosaics; more only pays in trainings of many hours
    calm: float = 0.35  # last share of the training, without mosaics and half without warps
    keep: float = 0.0  # share of the first weights in the mean that is the result; see `result`
    seed: int = 0

    def __post_init__(self):
        if self.batch < 1 or not self.rate > 0 or not 32 <= self.side <= 4096:
            raise ValueError(f'batch must be at least 1, rate above 0 and side from 32 to 4096, '
                             f'got {self.batch}, {self.rate} and {self.side}')
        if not 0 <= self.keep < 1:
            raise ValueError(f'keep must be from 0 to below 1, got {self.keep}')
        if not 0 < self.first_side <= 1:
            raise ValueError(f'first_side must be above 0 and at most 1, got {self.first_side}')
        if not all(factor > 0 for factor in self.often):
            raise ValueError(f'often must be numbers above 0, got {self.often}')


class DivergenceError(ValueError):
    """The loss is not finite: going on would only spoil the weights."""


def train(banks, validation, out, epochs=None, minutes=None, resume=False, knobs=None,
          network=None, classes=CLASSES, start=None, threads=None, progress=True,
          save_every=60.0, workers=0):
    """
    Train a detector; return the summary that it also writes to `out`/metrics.json.

    banks: lists of Sample; Knobs.bank_power keeps a large one from drowning a small one.
    validation: name -> list of Sample.
    epochs or minutes: how long; with minutes the rate's cosine follows the clock.  resume: go on
    from `out`/state.pt, written every `save_every` seconds.  network: arguments of the
    architecture.  start: a checkpoint whose weights are the first ones, as `warm_start` says.
    workers: how many processes make batches beside this one, which does it itself with 0.  The
    best weights, by the mean AP50 over the validation sets, are `out`/detector.safetensors, the
    last ones `out`/last.safetensors; `out`/report.html shows how it went.  Raises DivergenceError
    when the loss is not finite.

    Under torchrun every process calls this with the same arguments; the first one has the summary.
    """
    if knobs and len(knobs.often) > len(banks):
        raise ValueError(f'often has {len(knobs.often)} numbers, but there are {len(banks)} banks')
    if not banks or not all(map(len, banks)):
        raise ValueError('nothing to train on: every bank must hold an image')
    if not all(map(len, validation.values())):
        raise ValueError('nothing to validate on: every set must hold an image')
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # denormal numbers, as vanishing moments are, cost 100 times
    processes = Processes()
    run = _Run(network, classes, knobs or Knobs(), Path(out), start, processes)
    run.count(banks)
    if resume:
        run.restore()
    images = run.knobs.batch * processes.count
    steps = math.ceil(epochs * sum(map(len, banks)) / images) if epochs else None
    length = Length(steps, minutes, run.seconds)
    batches = run.batches(banks, length, workers)
    with tqdm(total=steps, initial=run.step, unit='step', dynamic_ncols=True,
              disable=not (progress and processes.first)) as bar:
        while (done := length.share(run.step)) < 1:
            bar.set_postfix(run.train_step(batches, done), done=f'{done:.1%}', refresh=False)
            length.seconds = run.seconds
            bar.update()
            due = int(VALIDATIONS * length.share(run.step)) > int(VALIDATIONS * done)
            if processes.first and due:
                run.validate(validation, bar)
            if processes.first and time.monotonic() - run.saved > save_every:
                run.save()
        if processes.first:
            run.finish(validation, bar)
    processes.close()
    return run.history[-1] if processes.first else None


class _Run:
    """The state of a training: what is saved, and one step of it."""

    def __init__(self, arguments, classes, knobs, out, start, processes):
        if knobs.keep and start is None:
            raise ValueError(f'keep is {knobs.keep}, but there are no first weights to keep a '
                             'share of: give start')
        torch.manual_seed(knobs.seed)
        self.knobs, self.out, self.processes = knobs, out, processes
        out.mkdir(parents=True, exist_ok=True)
        self.device = processes.device
        self.specification = checkpoint.Specification(
            classes=tuple(classes), input_size=knobs.side, arguments=arguments or {})
        if start is None:
            self.network = self.specification.build()
        else:
            self.network, self.specification = warm_start(start, self.specification)
        self.network.to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network)
        self.first = copy.deepcopy(self.network.state_dict())
        self.moving = _floats(self.averaged.state_dict()), _floats(self.network.state_dict())
        self.parallel = processes.parallel(self.network)
        self.optimizer = MuonAdamW(self.network, knobs.rate, knobs.decay)
        self.precision = fast_precision(self.device)
        # float16 alone has so small a range that gradients vanish unless they are scaled up
        self.scaler = torch.amp.GradScaler(self.device.type,
                                           enabled=self.precision is torch.float16)
        self.mean, self.std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1)
                               for v in (self.specification.mean, self.specification.std))
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        self.history, self.losses, self.curve = [], [], []
        self.saved = time.monotonic()

    def count(self, banks):
        """Let rare classes of the banks count more."""
        labels = np.concatenate([sample.labels[~sample.ignored]
                                 for bank in banks for sample in bank])
        self.class_weights = torch.from_numpy(
            class_weights(labels, self.specification.classes)).to(self.device)

    def batches(self, banks, length, workers):
        """Return an iterator over the batches of the steps to come, as tensors."""
        make = partial(make_batch, banks, self.knobs, self.specification.classes)
        count, rank = self.processes.count, self.processes.rank
        return Batches(make, length, count).stream(
            self.step * count + rank, workers, pinned=self.device.type == 'cuda')

    def train_step(self, batches, done):
        """Take one step; return what the progress bar shows."""
        knobs, started = self.knobs, time.monotonic()
        rate = knobs.rate * min(1.0, max((self.step + 1) / knobs.warmup, done / WARMUP_SHARE)) \
            * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        images, *objects = next(batches)
        self.network.train()
        value, parts = self._loss(self.parallel, images, objects)
        mean = self.processes.mean(value.item())
        if not math.isfinite(mean):
            raise DivergenceError(f'the loss is {mean} at step {self.step} ({parts}); '
                                  'try a lower rate')
        self.optimizer.zero_grad()
        self.scaler.scale(value).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), knobs.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self._average()
        self._note(mean)
        self.seconds += self.processes.mean(time.monotonic() - started)
        return {'loss': f'{np.mean(self.losses or self.curve[-1][1]):.3f}',
                'side': f'{images.shape[2]}'}

    def _loss(self, network, images, objects):
        """Return the loss, and its parts, of images uint8 (B, H, W, 3) and their objects."""
        images, *objects = (each.to(self.device, non_blocking=True)
                            for each in (images, *objects))
        images = images.permute(0, 3, 1, 2)
        images = (images.float() - self.mean) / self.std
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            predictions = network(images)
        centers, _ = points(images.shape[-2:], self.network.strides, self.device)
        return loss(predictions, centers, *objects, self.class_weights)

    def _note(self, value):
        """Add the loss of a step to the curve of [step, mean loss]."""
        self.losses.append(value)
        if len(self.losses) == CURVE_STEPS:
            self.curve.append([self.step, float(np.mean(self.losses))])
            self.losses.clear()

    def _average(self):
        """Move the averaged weights towards the current ones; faster at the start."""
        stay = min(self.knobs.average, (1 + self.step) / (10 + self.step))
        # all at once: a GPU takes longer to be told of 300 small steps than to do them
        get_ema_multi_avg_fn(stay)(*self.moving, 0)

    def result(self):
        """
        Return a network with the averaged weights, moved by `keep` towards the first ones.

        Between the ends of two trainings in a row lie weights that may serve new images better
        than both (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
        """
        network = copy.deepcopy(self.averaged)
        get_ema_multi_avg_fn(1 - self.knobs.keep)(_floats(network.state_dict()),
                                                  _floats(self.first), 0)
        return network

    def validate(self, sets, bar):
        """Score the present result; write metrics.json, and the best checkpoint."""
        network = self.result()
        runtime = Torch(fuse(copy.deepcopy(network)), self.specification, self.device.type)
        detector = Detector(runtime, score_threshold=LOWEST_SCORE, nms_threshold=NMS_THRESHOLD)
        results = {name: {'loss': self._validation_loss(network, samples),
                          **evaluate(detector, tqdm(
                              samples, unit='image', desc=f'validating on {name}', leave=False,
                              disable=bar.disable)).summary(SCORE_THRESHOLD)}
                   for name, samples in sets.items()}
        mean = float(np.mean([result['ap50'] for result in results.values()] or [0.0]))
        better, self.best = mean >= self.best, max(mean, self.best)
        self.history.append({'step': self.step, 'minutes': self.seconds / 60, 'ap50': mean,
                             'best_ap50': self.best, 'sets': results})
        bar.write(f'step {self.step}: ' + (', '.join(
            f'{name} loss {result["loss"]:.3f} AP50 {result["ap50"]:.3f}'
            for name, result in results.items()) or 'saved; nothing to validate on'))
        if better:  # without validation, the newest
            checkpoint.save(self.out / 'detector.safetensors', network, self.specification)
        write_whole(self.out / 'metrics.json', lambda path: path.write_text(
            json.dumps(self.metrics(), indent=1)))

    @torch.no_grad()
    def _validation_loss(self, network, samples) -> float:
        """Return the mean loss of a network on images as the detector sees them."""
        samples, losses = samples[::max(1, len(samples) // LOSS_IMAGES)], []
        network.eval()
        for sample in samples:
            height, width = sample.image.shape[:2]
            size = input_size(width, height, self.specification.input_size)
            factors = np.array([size[0] / width, size[1] / height] * 2, dtype=np.float32)
            sample = replace(sample, boxes=sample.boxes * factors, image=cv2.resize(
                sample.image, size, interpolation=cv2.INTER_AREA))
            images, *objects = map(torch.from_numpy,
                                   _collate([sample], self.specification.classes))
            losses.append(self._loss(network, images, objects)[0].item())
        return float(np.mean(losses))

    def metrics(self) -> dict:
        """Return what metrics.json holds: the curve of [step, training loss], and validations."""
        return {'best_ap50': self.best, 'classes': self.specification.classes,
                'knobs': asdict(self.knobs), 'loss': self.curve, 'history': self.history}

    def save(self):
        """Write everything that a resumed training needs, whole or not at all."""
        state = {'network': self.network.state_dict(), 'averaged': self.averaged.state_dict(),
                 'optimizer': self.optimizer.state_dict(), 'step': self.step,
                 'scaler': self.scaler.state_dict(), 'seconds': self.seconds,
                 'best': self.best, 'history': self.history, 'losses': self.losses,
                 'curve': self.curve, 'classes': list(self.specification.classes),
                 'knobs': asdict(self.knobs)}
        write_whole(self.out / 'state.pt', lambda path: torch.save(state, path))
        self.saved = time.monotonic()

    def finish(self, sets, bar):
        """Save the last state and weights, and write the report."""
        if not self.history:  # resumed, and nothing left to do
            self.validate(sets, bar)
        self.save()
        checkpoint.save(self.out / 'last.safetensors', self.result(), self.specification)
        write_training_report(self.out, sets, self.metrics())

    def restore(self):
        """Go on from the saved state; ValueError when there is none."""
        path = self.out / 'state.pt'
        if not path.is_file():
            raise ValueError(f'{path}: nothing to resume from')
        state = load_torch(path, self.device)
        try:
            if state['classes'] != list(self.specification.classes):
                raise ValueError(f'{path}: trains the classes {state["classes"]}, asked for are '
                                 f'{list(self.specification.classes)}')
            check_knobs(path, state['knobs'], self.knobs)
            self.network.load_state_dict(state['network'])
            self.averaged.load_state_dict(state['averaged'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.scaler.load_state_dict(state['scaler'])
            for name in ('step', 'seconds', 'best', 'history', 'losses', 'curve'):
                setattr(self, name, state[name])
        except (RuntimeError, KeyError, TypeError) as error:
            raise ValueError(f'{path}: the state of another network ({error})') from error


def check_knobs(path, begun: dict, knobs) -> None:
    """Raise ValueError when a training that is resumed began with other knobs than these."""
    turned = [f'{name} {begun.get(name)!r} (now {value!r})'
              for name, value in asdict(knobs).items() if value != begun.get(name)]
    if turned:
        raise ValueError(f'{path}: the training began with {", ".join(turned)}; go on with the '
                         'same, or begin anew elsewhere')


def _floats(state):
    """Return the weights of a state, without the counts of steps in it."""
    return [tensor for tensor in state.values() if tensor.is_floating_point()]


def make_batch(banks, knobs, classes, done, number):
    """
    Return images uint8 (B, H, W, 3) and the N objects in all of them.

    The objects are boxes float32 (N, 4), labels int64 (N,), or IGNORED, and the index int64 (N,)
    of the image that each is in.  `done` in [0, 1] is the progress of the training, which sets the
    size of the images; `number` is that of the batch.
    """
    rng = np.random.default_rng((knobs.seed, number))
    side = knobs.side * float(np.interp(done, knobs.grow, (knobs.first_side, 1.0)))
    size = input_size(*ASPECTS[rng.integers(len(ASPECTS))], side * rng.uniform(0.85, 1.15))
    shares = np.array([len(bank) for bank in banks]) ** knobs.bank_power
    shares[:len(knobs.often)] *= knobs.often
    calm = done > 1 - knobs.calm
    samples = []
    for _ in range(knobs.batch):
        def draw():
            bank = banks[rng.choice(len(banks), p=shares / shares.sum())]
            return bank[rng.integers(len(bank))]
        if not calm and rng.random() < knobs.mosaic:
            samples.append(mosaic([draw() for _ in range(4)], size, rng))
        else:
            samples.append(view(draw(), size, rng, calm=calm and rng.random() < 0.5))
    return _collate(samples, classes)


def _collate(samples, classes):
    """Stack the images of samples and list their objects, as `loss` wants them."""
    index = {label: number for number, label in enumerate(labels_for(classes))}
    labels = [IGNORED if ignored else index[label] for sample in samples
              for label, ignored in zip(sample.labels, sample.ignored)]
    counts = [len(sample.boxes) for sample in samples]
    return (np.stack([sample.image for sample in samples]),
            np.concatenate([sample.boxes for sample in samples]),
            np.array(labels, dtype=np.int64), np.repeat(np.arange(len(samples)), counts))


def fast_precision(device) -> torch.dtype | None:
    """
    Return the type that is quicker than float32: on GPUs, and on CPUs that can (2.4 times).

    GPUs without bfloat16 take float16.
    """
    if device.type == 'cuda':
        real = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if real else torch.float16
    capabilities = torch.cpu.get_capabilities()
    fast = any(capabilities.get(name, False) for name in ('avx512_bf16', 'amx_bf16'))
    return torch.bfloat16 if fast else None
