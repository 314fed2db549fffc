"""
Trained weights for a network: public ImageNet checkpoints, files of a user, and our own.

A file is safetensors, or a `.pth` of which only tensors are read (`weights_only`): nothing in it
is executed.
"""
from __future__ import annotations

from pathlib import Path

from acme_tracking.networks import build, canonical
from acme_tracking.networks.checkpoint import check_tensor, read_tensors
from acme_tracking.networks.classifier import IMAGENET_MEAN, IMAGENET_STD, LIMITS, MAXIMUM_BYTES
from acme_tracking.weights_files import (
    check_arguments,
    check_images_and_classes,
    CheckpointError,
    header,
    KEY,
)
import torch

# torchvision's (BSD-3-Clause); the end of each name is the start of the file's SHA-256
PUBLIC_URL = 'https://download.pytorch.org/models/'
PUBLIC = {
    'alexnet': 'alexnet-owt-7be5be79.pth', 'vgg_a': 'vgg11-8a719046.pth',
    'vgg_b': 'vgg13-19584684.pth', 'vgg16': 'vgg16-397923af.pth', 'vgg19': 'vgg19-dcbb9e9d.pth',
    'googlenet': 'googlenet-1378be20.pth', 'resnet18': 'resnet18-f37072fd.pth',
    'resnet34': 'resnet34-b627a593.pth', 'resnet50': 'resnet50-0676ba61.pth',
    'resnet101': 'resnet101-63fe2227.pth', 'resnet152': 'resnet152-394f9c45.pth',
}
DETECTOR = 'smaller_vgg_anchor_free'  # the architecture whose backbone is that of smaller_vgg


def pretrained(name: str, classes: int, weights, keep_head: bool = False, **arguments):
    """
    Return a network with trained weights, its arguments, and mean and std of its input.

    `weights` is 'imagenet' (the public checkpoint, downloaded once) or a file: one with the
    public names, a classifier of this package, or a detector of this package, whose backbone is
    that of smaller_vgg.  The head is new, unless `keep_head` asks for that of the file.  Raises
    ValueError when the file does not fit, or cannot be had.
    """
    name = canonical(name)
    if weights == 'imagenet':
        tensors, entries = _download(name), {}
        weights = PUBLIC[name]
    else:
        tensors, entries = _read(weights)
    source = 'smaller_vgg' if entries.get('architecture') == DETECTOR else entries.get('network')
    if source not in (None, name):
        raise CheckpointError(f'{weights}: holds weights of {source}, not of {name}')
    shape = {key: value for key, value in entries.get('arguments', {}).items() if key != 'neck'}
    arguments = {**shape, **arguments}
    network = build(name, classes, **arguments)
    mean, std = (entries.get(key, default) for key, default in (
        ('mean', IMAGENET_MEAN), ('std', IMAGENET_STD)))
    if weights == PUBLIC['googlenet']:
        mean = std = (127.5, 127.5, 127.5)  # it came from another framework, with its scale
    if 'architecture' in entries:
        # the detector sees blue first
        mean, std = mean[::-1], std[::-1]
        first = next(key for key, tensor in tensors.items() if tensor.ndim == 4
                     and tensor.shape[1] == 3)
        tensors[first] = tensors[first].flip(1)
    try:
        _fill(network, tensors, () if keep_head else network.head)
    except ValueError as error:
        raise CheckpointError(f'{weights}: {error}') from error
    return network, arguments, tuple(mean), tuple(std)


def _fill(network, tensors, head) -> None:
    """Copy all tensors of a network but those of its head; what else is in the file is left."""
    state = network.state_dict()
    wanted = [key for key in state if not key.startswith(tuple(f'{layer}.' for layer in head))]
    missing = [key for key in wanted
               if key not in tensors and not key.endswith('num_batches_tracked')]
    if missing:
        raise ValueError(f'{len(missing)} tensors are missing {missing[:3]}')
    for key in wanted:
        if key in tensors:
            check_tensor(key, tensors[key], state[key])
            state[key].copy_(tensors[key])


def _read(path):
    """Return the tensors and the header of a file; {} for one that is not of this package."""
    path = Path(path)
    if path.suffix == '.safetensors':
        metadata, tensors = read_tensors(path, MAXIMUM_BYTES)
        try:
            entries = _checked(header(metadata)) if KEY in metadata else {}
        except (ValueError, KeyError) as error:
            raise CheckpointError(f'{path}: {error}') from error
        if entries.get('layer'):
            tensors = {key.removeprefix('cut.network.'): value for key, value in tensors.items()}
        return tensors, entries
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file')
    tensors = load_torch(path)
    if not isinstance(tensors, dict) or not all(map(torch.is_tensor, tensors.values())):
        raise CheckpointError(f'{path}: expected tensors by name')
    return tensors, {}


def load_torch(path, device='cpu'):
    """Return what `torch.save` wrote: tensors, numbers and text; CheckpointError for all else."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # broken files make torch raise whatever comes first
        raise CheckpointError(f'{path}: cut short, or not a file of weights alone '
                              f'({type(error).__name__})') from error


def _checked(entries):
    """Return the entries of a header, of which what is used here must make sense."""
    check_images_and_classes(entries)
    check_arguments(entries, {**LIMITS, 'neck': LIMITS['widths']})
    return entries


def _download(name) -> dict:
    """Return the public ImageNet weights of a network."""
    if name not in PUBLIC:
        raise ValueError(f'there are no public ImageNet weights of {name}, only of '
                         + ', '.join(PUBLIC))
    url = PUBLIC_URL + PUBLIC[name]
    try:
        return torch.hub.load_state_dict_from_url(url, map_location='cpu', check_hash=True,
                                                  weights_only=True)
    except (OSError, RuntimeError) as error:  # no network; a file that is not what it should be
        raise ValueError(f'the ImageNet weights of {name} cannot be had ({error}); download {url} '
                         'where there is a network, and give --weights FILE') from error
