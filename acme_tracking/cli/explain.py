"""`acme_tracking explain`: what a network sees, as pictures of its filters and feature maps."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.networks import NAMES
from acme_tracking.networks.classifier import Classifier, load, stretched
from acme_tracking.networks.pictures import filters_picture, layers_to_show, maps_pictures
from acme_tracking.share import shipped_weights
from acme_tracking.training.data.images import decode
from acme_tracking.training.transfer import start
import cv2
import numpy as np
import torch


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument('--classifier', metavar='FILE', help='a classifier.safetensors; it also '
                       'tells what it takes the image for')
    which.add_argument('--network', metavar='NAME',
                       help=f'one of {", ".join(NAMES)}, with --weights or untrained')
    parser.add_argument('--weights', metavar='FILE', help='for --network: imagenet, a file with '
                        "the public checkpoints' names, or for smaller_vgg `shipped`")
    parser.add_argument('--image', metavar='IMAGE', required=True, help='the image to look at')
    parser.add_argument('--size', type=int, metavar='SIDE',
                        help='side in pixels that it is stretched to, for --network')
    parser.add_argument('--layers', nargs='+', metavar='LAYER',
                        help='layers to show (default: all convolutions, activations, poolings)')
    parser.add_argument('--out', type=Path, default=Path('out/explain'), metavar='FOLDER',
                        help='where the pictures go (default: %(default)s)')


def run(arguments) -> int:
    """Write the pictures and return the exit status."""
    image = decode(arguments.image)
    network, specification = _network(arguments)
    classifier = Classifier(network, specification)
    arguments.out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.out / 'filters.png'), filters_picture(network))
    seen = stretched(image, specification.input_size)[np.newaxis]
    pictures = maps_pictures(network, classifier.normalise(torch.from_numpy(seen)),
                             arguments.layers or layers_to_show(network))
    for number, (name, picture) in enumerate(pictures.items(), 1):
        cv2.imwrite(str(arguments.out / f'{number:03d}_{name}.png'), picture)
    if arguments.classifier:
        probabilities = classifier([image])[0]
        for place in np.argsort(-probabilities)[:5]:
            print(f'{probabilities[place]:7.1%}  {classifier.names[place]}')
    print(f'{arguments.out}: filters.png and {len(pictures)} layers')
    return 0


def _network(arguments):
    """Return the network and its Specification."""
    if arguments.classifier:
        return load(arguments.classifier)
    weights = shipped_weights() if arguments.weights == 'shipped' else arguments.weights
    return start(arguments.network, ('',), weights, arguments.size)
