"""
The training of the detector: one loop.

Every random choice of a step comes from (seed, step), and the state on disk holds weights, their
average, the optimiser and the time spent; so a training that was killed goes on as if nothing had
happened.
"""
from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path
import pickle
import time

from acme_tracking.detection import checkpoint
from acme_tracking.detection.detector import Detector, input_size, NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.detection.network import fuse, points
from acme_tracking.training.augmentation import mosaic, view
from acme_tracking.training.average_precision import Score
from acme_tracking.training.data import CLASSES, VEHICLE
from acme_tracking.training.objective import loss
import numpy as np
import torch
from tqdm import tqdm

ASPECTS = ((1, 1), (4, 3), (16, 9))  # of the canvas, one for each batch
EVALUATION_SCORE = 0.02  # the tail of the precision-recall curve below it changes AP50 little


@dataclass
class Knobs:
    """What may be turned, and why it stands where it stands."""

    batch: int = 16  # enough for batch normalisation, small enough for many steps per minute
    rate: float = 2e-3  # AdamW; 4e-3 was not stable from scratch, 1e-3 slower
    decay: float = 0.02  # of the weights of convolutions only
    warmup: int = 200  # steps: the assignment is random at first
    average: float = 0.998  # EMA of weights: half of it is the last 350 steps
    clip: float = 10.0  # gradient norm; a rare odd batch must not throw the weights away
    side: int = 384  # input size of the finished network
    first_side: float = 0.65  # share of `side` for a start: small images teach most of it fast
    grow: tuple = (0.7, 0.9)  # from and to which share of the training images grow to full size
    bank_power: float = 0.7  # a bank is drawn from as often as its size to this power says
    mosaic: float = 0.25  # share of mosaics; more only pays in trainings of many hours
    calm: float = 0.35  # last share of the training, without mosaics and half without warps
    seed: int = 0

    def __post_init__(self):
        if self.batch < 1 or not self.rate > 0 or not 32 <= self.side <= 4096:
            raise ValueError(f'batch must be at least 1, rate above 0 and side from 32 to 4096, '
                             f'got {self.batch}, {self.rate} and {self.side}')


class DivergenceError(ValueError):
    """The loss is not finite: going on would only spoil the weights."""


def train(banks, validation, out, epochs=None, minutes=None, resume=False, knobs=None,
          network=None, threads=None, progress=True, validate_every=600.0, save_every=60.0):
    """
    Train a detector; return the summary that it also writes to `out`/metrics.json.

    banks: lists of Sample; Knobs.bank_power keeps a large one from drowning a small one.
    validation: name -> iterable of Sample.
    epochs or minutes: how long; with minutes the rate's cosine follows the clock.  resume: go on
    from `out`/state.pt.  The best weights, by the mean AP50 over the validation sets, are
    `out`/detector.safetensors.  Raises DivergenceError when the loss is not finite.
    """
    if not banks or not all(map(len, banks)):
        raise ValueError('nothing to train on: every bank must hold an image')
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # denormal numbers, as vanishing moments are, cost 100 times
    run = _Run(network, knobs or Knobs(), Path(out))
    if resume:
        run.restore()
    steps = math.ceil(epochs * sum(map(len, banks)) / run.knobs.batch) if epochs else None
    saved = validated = time.monotonic()
    bar = tqdm(total=steps, initial=run.step, unit='step', disable=not progress,
               dynamic_ncols=True)
    while (done := run.share(steps, minutes)) < 1:
        bar.set_postfix(run.train_step(banks, done), done=f'{done:.1%}', refresh=False)
        bar.update()
        now = time.monotonic()
        if now - saved > save_every:
            run.save()
            saved = time.monotonic()
        if now - validated > validate_every:
            run.validate(validation, bar)
            validated = time.monotonic()
    run.validate(validation, bar)
    run.save()
    bar.close()
    return run.history[-1]


class _Run:
    """The state of a training: what is saved, and one step of it."""

    def __init__(self, arguments, knobs, out):
        torch.manual_seed(knobs.seed)
        self.knobs, self.out = knobs, out
        out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.specification = checkpoint.Specification(
            classes=CLASSES, input_size=knobs.side, arguments=arguments or {})
        self.network = self.specification.build().to(
            self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network)
        self.optimizer = _optimizer(self.network, knobs)
        self.mean, self.std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1)
                               for v in (self.specification.mean, self.specification.std))
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        self.history, self.losses = [], []
        self.fast = _has_fast_bfloat16(self.device)

    def share(self, steps, minutes):
        """Return how much of the training is done, 0 to 1."""
        return max(self.step / steps if steps else 0.0,
                   self.seconds / (60 * minutes) if minutes else 0.0)

    def train_step(self, banks, done):
        """Take one step; return what the progress bar shows."""
        knobs, started = self.knobs, time.monotonic()
        rate = knobs.rate * min(1.0, (self.step + 1) / knobs.warmup) \
            * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        images, *objects = make_batch(banks, knobs, done, self.step)
        images = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        images = (images.float() - self.mean) / self.std
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast):
            predictions = self.network(images)
        centers, _ = points(images.shape[-2:], self.network.strides, self.device)
        value, parts = loss(predictions, centers, *(torch.from_numpy(each).to(self.device)
                                                    for each in objects))
        if not torch.isfinite(value):
            raise DivergenceError(f'the loss is {value.item()} at step {self.step} ({parts}); '
                                  'try a lower rate')
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), knobs.clip)
        self.optimizer.step()
        self.step += 1
        self._average()
        self.losses.append(value.item())
        self.seconds += time.monotonic() - started
        return {'loss': f'{np.mean(self.losses[-100:]):.3f}', 'side': f'{images.shape[-1]}'}

    @torch.no_grad()
    def _average(self):
        """Move the averaged weights towards the current ones; faster at the start."""
        keep = min(self.knobs.average, (1 + self.step) / (10 + self.step))
        now = self.network.state_dict()
        for name, tensor in self.averaged.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(now[name], 1 - keep)
            else:
                tensor.copy_(now[name])

    def validate(self, sets, bar):
        """Score the averaged weights; write metrics.json, and the best checkpoint."""
        detector = Detector(fuse(copy.deepcopy(self.averaged)), self.specification,
                            device=self.device.type, score_threshold=EVALUATION_SCORE,
                            nms_threshold=NMS_THRESHOLD)
        results = {name: evaluate(detector, samples) for name, samples in sets.items()}
        mean = float(np.mean([result['ap50'] for result in results.values()] or [0.0]))
        self.history.append({'step': self.step, 'minutes': self.seconds / 60, 'ap50': mean,
                             'loss': float(np.mean(self.losses[-200:] or [0.0])),
                             'sets': results})
        self.losses.clear()
        bar.write(f'step {self.step}: ' + ', '.join(
            f'{name} AP50 {result["ap50"]:.3f}' for name, result in results.items()))
        if mean >= self.best:  # without validation, the newest
            self.best = mean
            checkpoint.save(self.out / 'detector.safetensors', self.averaged, self.specification)
        metrics = {'best_ap50': self.best, 'knobs': asdict(self.knobs), 'history': self.history}
        _replace(self.out / 'metrics.json', lambda path: path.write_text(
            json.dumps(metrics, indent=1)))

    def save(self):
        """Write everything that a resumed training needs, whole or not at all."""
        state = {'network': self.network.state_dict(), 'averaged': self.averaged.state_dict(),
                 'optimizer': self.optimizer.state_dict(), 'step': self.step,
                 'seconds': self.seconds, 'best': self.best, 'history': self.history,
                 'losses': self.losses, 'knobs': asdict(self.knobs)}
        _replace(self.out / 'state.pt', lambda path: torch.save(state, path))

    def restore(self):
        """Go on from the saved state; ValueError when there is none."""
        path = self.out / 'state.pt'
        if not path.is_file():
            raise ValueError(f'{path}: nothing to resume from')
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state['network'])
            self.averaged.load_state_dict(state['averaged'])
            self.optimizer.load_state_dict(state['optimizer'])
            for name in ('step', 'seconds', 'best', 'history', 'losses'):
                setattr(self, name, state[name])
        except (RuntimeError, KeyError, pickle.UnpicklingError) as error:
            raise ValueError(f'{path}: cut short, or of another network ({error})') from error


def evaluate(detector, samples) -> dict:
    """Return the summary of `Score` for a detector on labelled images."""
    score = Score()
    for sample in samples:
        score.add(detector(sample.image), sample.boxes, sample.labels)
    return score.summary(SCORE_THRESHOLD)


def make_batch(banks, knobs, done, step):
    """
    Return images uint8 (B, H, W, 3) and the N objects in all of them.

    The objects are boxes float32 (N, 4), labels int64 (N,) and the index int64 (N,) of the image
    that each is in.  `done` in [0, 1] is the progress of the training, which sets the size of the
    images.
    """
    rng = np.random.default_rng((knobs.seed, step))
    side = knobs.side * float(np.interp(done, knobs.grow, (knobs.first_side, 1.0)))
    size = input_size(*ASPECTS[rng.integers(len(ASPECTS))], side * rng.uniform(0.85, 1.15))
    shares = np.array([len(bank) for bank in banks]) ** knobs.bank_power
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
    return _collate(samples)


def _collate(samples):
    """Stack the images of samples and list their objects, as `loss` wants them."""
    index = {label: number for number, label in enumerate((*CLASSES, VEHICLE))}
    labels = [index[label] for sample in samples for label in sample.labels]
    counts = [len(sample.boxes) for sample in samples]
    return (np.stack([sample.image for sample in samples]),
            np.concatenate([sample.boxes for sample in samples]),
            np.array(labels, dtype=np.int64), np.repeat(np.arange(len(samples)), counts))


def _optimizer(network, knobs):
    """Return AdamW that decays the weights of convolutions, not biases and normalisations."""
    convolutions = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW([{'params': convolutions, 'weight_decay': knobs.decay},
                              {'params': others, 'weight_decay': 0.0}], lr=knobs.rate, fused=True)


def _has_fast_bfloat16(device) -> bool:
    """Tell whether bfloat16 is quicker: on GPUs, and on CPUs with instructions for it (2.4x)."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ('avx512_bf16', 'amx_bf16'))


def _replace(path, write) -> None:
    """Write a file beside `path` and move it there, so that a kill never leaves half of it."""
    new = path.with_name(path.name + '.new')
    write(new)
    new.replace(path)
