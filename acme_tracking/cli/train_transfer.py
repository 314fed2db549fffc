"""`acme_tracking train transfer`: teach new classes to a network that was trained on others."""
from __future__ import annotations

from acme_tracking.cli.arguments import positive
from acme_tracking.cli.train_classifier import (
    add_bank_arguments,
    add_training_arguments,
    print_result,
    read_banks,
    train_on_crops,
)
from acme_tracking.networks import NAMES
from acme_tracking.share import shipped_weights
from acme_tracking.training import linear, transfer
import torch


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('--method', choices=('features', 'finetune'), required=True,
                        help='features: a linear classifier on what comes out of the network; '
                        'finetune: a new head, then the rest bends too')
    add_bank_arguments(parser)
    parser.add_argument('--network', required=True, metavar='NAME',
                        help=f'one of {", ".join(NAMES)}')
    parser.add_argument('--weights', required=True, metavar='FILE', help='what the network knows: '
                        "imagenet (downloaded once), a file with the public checkpoints' names, a "
                        'classifier.safetensors, or for smaller_vgg a detector.safetensors or '
                        "`shipped`, the package's own detector")
    features = parser.add_argument_group('features')
    features.add_argument('--layer', help='where the network is cut (default: its last pooling, '
                          'such as features.30 of vgg16)')
    features.add_argument('--model', choices=linear.MODELS, default='logistic_regression',
                          help='(default: %(default)s)')
    features.add_argument('--C', nargs='+', type=positive, default=linear.GRID, metavar='C',
                          help='inverse strengths of regularisation, the best of which is chosen '
                          'by cross-validation (default: %(default)s)')
    features.add_argument('--memory', type=positive, default=4.0, metavar='GIB', help='features '
                          'that need more are learned from in pieces (default: %(default)s)')
    tuning = parser.add_argument_group('finetune')
    tuning.add_argument('--warmup', type=int, default=5, metavar='EPOCHS',
                        help='epochs in which the head learns alone (default: %(default)s)')
    tuning.add_argument('--unfreeze', type=_blocks, default=None, metavar='K',
                        help='then the last K blocks learn too, or `all` (the default)')
    tuning.add_argument('--rate', type=positive, default=0.02, help='of the warm-up; a tenth of '
                        'it afterwards (default: %(default)s)')
    add_training_arguments(tuning, epochs=20)


def run(arguments) -> int:
    """Train and return the exit status."""
    banks, validation, classes = read_banks(arguments)
    weights = shipped_weights() if arguments.weights == 'shipped' else arguments.weights
    network, specification = transfer.start(arguments.network, classes, weights, arguments.size,
                                            arguments.margin)
    if arguments.method == 'finetune':
        phases = transfer.phases(network, arguments.warmup, arguments.epochs, arguments.rate,
                                 arguments.unfreeze)
        return train_on_crops(arguments, banks, validation, network, specification, phases)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    print_result(arguments, specification, transfer.by_features(
        banks, validation, arguments.out, network, specification, arguments.layer,
        arguments.model, tuple(arguments.C), arguments.hold_out, arguments.memory * 2 ** 30,
        arguments.batch, arguments.seed))
    return 0


def _blocks(text: str):
    """Return a number of blocks, or None for all."""
    if text == 'all':
        return None
    if int(text) < 0:
        raise ValueError(text)
    return int(text)
