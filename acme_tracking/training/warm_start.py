"""
The first weights of a training: those of a checkpoint, for other classes or in a wider network.

A wider network computes the same as the narrow one did (Net2WiderNet, Chen et al., 2016): each new
channel repeats an old one, and what reads them shares the old weight out among the copies, by
chance and not evenly, so that the copies learn different things.
"""
from __future__ import annotations

from dataclasses import replace

from acme_tracking.detection import checkpoint
import torch

SHARES = (0.5, 1.5)  # of the copies of a channel, before they are brought to a sum of 1
POOLINGS = 4  # the mix of detection.network.Context reads so many maps, one behind the other


@torch.no_grad()
def warm_start(path, specification):
    """
    Return (network, its Specification): the weights of a checkpoint in the network asked for.

    Classes, input size and the arguments of the architecture are those of `specification`, what
    it does not say is as in the checkpoint.  The outputs of a class that the checkpoint knows are
    kept, those of others start anew.  Raises CheckpointError for a bad file and ValueError when
    its network does not fit into the one asked for.
    """
    given, known = checkpoint.load(path)
    arguments = {**known.arguments, **specification.arguments}
    if arguments != known.arguments:
        given = widen(given, replace(known, arguments=arguments).build())
    new = replace(known, classes=specification.classes, input_size=specification.input_size,
                  arguments=arguments)
    network = new.build()
    with torch.device('meta'):
        other = replace(new, classes=(*new.classes, '')).build().state_dict()
    shared = [name for name in new.classes if name in known.classes]
    rows, sources = ([classes.index(name) for name in shared] for classes in (
        new.classes, known.classes))
    source = given.state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.shape == other[name].shape:
            tensor.copy_(source[name])
        else:  # its size follows the number of classes
            tensor[rows] = source[name][sources]
    return network, new


@torch.no_grad()
def widen(narrow, wide):
    """Return the network `wide` with weights that make it compute what `narrow` does."""
    source, target = narrow.state_dict(), wide.state_dict()
    if source.keys() != target.keys() or any(
            new < old for name in source for old, new in zip(source[name].shape,
                                                             target[name].shape)):
        raise ValueError('the first weights are of a network of other depths, or wider than the '
                         'one to train: expected the same depths, and widths and neck as large '
                         'or larger')
    for name, tensor in target.items():
        tensor.copy_(_spread(source[name], tensor.shape,
                             POOLINGS if name == 'context.mix.0.weight' else 1))
    return wide


def _spread(values, shape, maps):
    """Repeat outputs to `shape`, and share what reads repeated inputs, in so many `maps`, out."""
    if values.ndim == 0:
        return values
    values = values[torch.arange(shape[0]) % len(values)]
    if values.shape == shape:
        return values
    values = values.unflatten(1, (maps, -1))
    old = torch.arange(shape[1] // maps) % values.shape[2]
    shares = torch.empty(shape[0], maps, len(old)).uniform_(*SHARES)
    sums = torch.zeros(values.shape[:3]).index_add_(2, old, shares)
    return (values[:, :, old] * (shares / sums[:, :, old])[..., None, None]).flatten(1, 2)
