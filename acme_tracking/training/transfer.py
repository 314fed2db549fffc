"""
Transfer: a network that was trained on other classes learns new ones.

By features: the network is cut at a layer, and a linear classifier learns from what comes out.
By fine-tuning: its head is replaced, warmed up while the body is frozen, and then the body, or the
last blocks of it, bend to the new classes at a smaller rate (Yosinski et al., 2014).
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acme_tracking.networks import build, canonical, checkpoint
from acme_tracking.networks.activations import Cut
from acme_tracking.networks.classifier import LinearOnFeatures, Specification
from acme_tracking.networks.weights import pretrained
from acme_tracking.training import accuracy, linear
from acme_tracking.training.classifier import Phase, write_results
from acme_tracking.training.crops import places, split
from acme_tracking.training.features import extract
import numpy as np
import torch

SMALLER = 0.1  # the rate of what is unfrozen, against that of the warm-up


def start(name, classes, weights=None, side=None, margin=0.0, **arguments):
    """
    Return a network for some classes and its Specification.

    weights: see networks.weights.pretrained; None for an untrained network.  side: of the input,
    by default what the network was designed for.
    """
    name = canonical(name)
    if weights is None:
        network, more = build(name, len(classes), **arguments), {}
    else:
        network, arguments, mean, std = pretrained(name, len(classes), weights, **arguments)
        more = {'mean': mean, 'std': std}
    side = network.side if side is None else side
    if not 32 <= side <= 1024:
        raise ValueError(f'size must be from 32 to 1024 pixels, got {side}')
    return network, Specification(tuple(classes), name, side, arguments=arguments, margin=margin,
                                  **more)


def phases(network, warmup: int, epochs: int, rate: float, unfreeze) -> list[Phase]:
    """
    Return the phases of fine-tuning.

    warmup: epochs in which the head learns alone.  unfreeze: how many of the last blocks learn
    then, for `epochs` at a tenth of the rate; 0 for none, None for all.
    """
    if unfreeze is not None and not 0 <= unfreeze <= len(network.blocks):
        raise ValueError(f'unfreeze must be all or from 0 to {len(network.blocks)}, the blocks of '
                         f'this network, got {unfreeze}')
    result = [Phase('head', warmup, rate, tuple(network.head))] if warmup else []
    if unfreeze != 0:
        blocks = network.blocks if unfreeze is None else network.blocks[-unfreeze:]
        layers = [layer for block in blocks for layer in block]
        name = 'all' if unfreeze is None else f'last {unfreeze} blocks'
        result.append(Phase(name, epochs, SMALLER * rate, (*layers, *network.head)))
    if not result:
        raise ValueError('nothing learns: give a warm-up, or unfreeze some blocks')
    return result


def by_features(banks, validation, out, network, specification, layer=None,
                model='logistic_regression', grid=linear.GRID, hold_out=0.2, memory=None,
                batch=32, seed=0, progress=True) -> dict:
    """
    Train a linear classifier on the features of a network; return the content of metrics.json.

    banks, validation: lists of Bank; without any of the latter the share `hold_out` of every
    class is for validation.  network and specification as from `start`; the network is cut.
    layer: where, by default at its last pooling.  `out`/classifier.safetensors is the cut network
    with the linear classifier on top; the features stay in `out` and are used again by a training
    with another model or grid.  Raises ValueError for an unknown layer, model or class.
    """
    out = Path(out)
    specification = replace(specification, layer=layer or network.last_pool)
    cut = Cut(network, specification.layer, specification.input_size)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    sets = [extract(cut, specification, each, out / f'{name}.f32', batch, device, progress)
            for name, each in (('training', banks), ('validation', validation)) if each]
    training, held = sets[0], sets[-1]
    chosen, rest = (np.arange(len(training.labels)), np.arange(len(held.labels))) if validation \
        else split(training.labels, training.groups, hold_out, seed)
    truth, held_truth = (places(each.labels, specification.classes) for each in (training, held))
    missing = [name for place, name in enumerate(specification.classes)
               if place not in truth[chosen]]
    if missing:
        raise ValueError(f'no crop of at least 8 x 8 pixels to learn {", ".join(missing)} from')
    rows = training.values if validation else _Rows(training.values, chosen)
    fitted = linear.fit(rows, truth[chosen], model, grid, training.groups[chosen], memory, seed)
    seen = held.values if validation else _Rows(held.values, rest)
    fitted = fitted.calibrated(seen, held_truth[rest])
    checkpoint.save(out / 'classifier.safetensors', _network(cut, fitted), specification)
    figures = accuracy.assess(fitted.logits(seen), held_truth[rest], specification.classes)
    return write_results(out, specification, figures, {'knobs': {
        'model': model, 'C': fitted.penalty, 'accuracy by C': fitted.scores,
        'features': cut.size, 'training crops': len(chosen)}})


@torch.no_grad()
def _network(cut, fitted) -> LinearOnFeatures:
    """Return a cut network with a trained linear classifier on top."""
    network = LinearOnFeatures(cut, len(fitted.biases))
    network.fc.weight.copy_(torch.from_numpy(fitted.weights))
    network.fc.bias.copy_(torch.from_numpy(fitted.biases))
    return network


class _Rows:
    """Some rows of features on disk, read when they are asked for."""

    def __init__(self, values, rows):
        self._values, self._rows = values, rows
        self.shape = (len(rows), values.shape[1])
        self.nbytes = values.itemsize * self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, rows):
        """Return an array of the rows of a slice or of indices."""
        return self._values[self._rows[rows]]

    def __mul__(self, factor):
        """Return all rows in memory, times a factor."""
        rows = np.asarray(self[:])  # a copy already
        rows *= factor
        return rows
