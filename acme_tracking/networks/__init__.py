"""
Architectures that turn images into features and classes; they know nothing of boxes, data or ROS.

:func:`build` makes each of NAMES for a number of classes.  A network tells four things about
itself, which transfer needs:

- `side`: the images (B, 3, side, side) that it was designed for, in the order red, green, blue;
- `head`: the names of the layers that know the classes, which another set of classes replaces;
- `blocks`: the names of all other layers with weights, in groups from the input to the head;
- `last_pool`: the name of its last pooling, whose output serves as features.
"""
from __future__ import annotations

import functools

from acme_tracking.networks.alexnet import AlexNet
from acme_tracking.networks.googlenet import GoogLeNet
from acme_tracking.networks.lenet import LeNet5
from acme_tracking.networks.resnet import Basic, Bottleneck, ResNet
from acme_tracking.networks.smaller_vgg import SmallerVGGClassifier
from acme_tracking.networks.vgg import VGG
from acme_tracking.networks.zfnet import ZFNet

_NETWORKS = {
    'lenet5': LeNet5,
    'alexnet': AlexNet,
    'zfnet': ZFNet,
    'vgg_a': functools.partial(VGG, depths=(1, 1, 2, 2, 2)),
    'vgg_a_lrn': functools.partial(VGG, depths=(1, 1, 2, 2, 2), normalise=True),
    'vgg_b': functools.partial(VGG, depths=(2, 2, 2, 2, 2)),
    'vgg_c': functools.partial(VGG, depths=(2, 2, 3, 3, 3), pointwise=True),
    'vgg16': functools.partial(VGG, depths=(2, 2, 3, 3, 3)),
    'vgg19': functools.partial(VGG, depths=(2, 2, 4, 4, 4)),
    'googlenet': GoogLeNet,
    'resnet18': functools.partial(ResNet, Basic, (2, 2, 2, 2)),
    'resnet34': functools.partial(ResNet, Basic, (3, 4, 6, 3)),
    'resnet50': functools.partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    'resnet101': functools.partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    'resnet152': functools.partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    'smaller_vgg': SmallerVGGClassifier,
}
# the other names of the same columns of the VGG paper's table
_SYNONYMS = {'vgg11': 'vgg_a', 'vgg13': 'vgg_b', 'vgg_d': 'vgg16', 'vgg_e': 'vgg19'}
NAMES = tuple(_NETWORKS)


def canonical(name: str) -> str:
    """Return the one of NAMES that a name means; ValueError when there is none."""
    name = _SYNONYMS.get(name, name)
    if name not in _NETWORKS:
        raise ValueError(f'network {name!r} is unknown, expected one of {", ".join(NAMES)}')
    return name


def build(name: str, classes: int, **arguments):
    """
    Return an untrained network; its forward turns images (B, 3, H, W) into logits (B, classes).

    `arguments` are those of the network's class, such as `hidden` for the fully connected layers
    of AlexNet, ZFNet and VGG.  Raises ValueError for an unknown name or argument.
    """
    make = _NETWORKS[canonical(name)]
    if classes < 1:
        raise ValueError(f'classes must be at least 1, got {classes}')
    try:
        return make(classes=classes, **arguments)
    except TypeError as error:
        raise ValueError(f'network {name!r} does not take {sorted(arguments)}: {error}') from error
