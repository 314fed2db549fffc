"""`acme_tracking train classifier`: train a network on crops of objects, from nothing."""
from __future__ import annotations

from acme_tracking.cli.arguments import class_name, count, positive, share
from acme_tracking.labels import VEHICLE, VEHICLES
from acme_tracking.networks import NAMES
from acme_tracking.training.accuracy import as_text, summary
from acme_tracking.training.classifier import Knobs, Phase, train
from acme_tracking.training.crops import read_crops, split
from acme_tracking.training.data import read, read_mapping
from acme_tracking.training.transfer import start
import numpy as np

MARGIN = 0.1
HOLD_OUT = 0.2


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    add_bank_arguments(parser)
    parser.add_argument('--network', default='smaller_vgg', metavar='NAME',
                        help=f'one of {", ".join(NAMES)} (default: %(default)s)')
    parser.add_argument('--rate', type=positive, default=0.02, help='learning rate (default: '
                        '%(default)s)')
    add_training_arguments(parser, epochs=40)


def add_bank_arguments(parser) -> None:
    """Describe where crops and their classes come from, and where the result goes."""
    parser.add_argument('--data', action='append', required=True, metavar='BANK',
                        help='labelled images: one folder per class, or boxes to cut out (COCO, '
                        'KITTI, Pascal VOC or YOLO), of which the split train is taken; may be '
                        'repeated')
    parser.add_argument('--val', action='append', default=[], metavar='BANK',
                        help='labelled images to validate on; of a folder with splits val is '
                        'taken, or test of FOLDER:test; may be repeated')
    parser.add_argument('--hold-out', type=share, default=HOLD_OUT, metavar='SHARE',
                        help='without --val, validate on this share of every class (default: '
                        '%(default)s)')
    parser.add_argument('--classes', nargs='+', type=class_name, metavar='NAME',
                        help='classes to learn (default: all that --data has)')
    parser.add_argument('--map', metavar='YAML', help='renames classes of the banks by lines such '
                        'as `van: car`; `tram: null` leaves one out')
    parser.add_argument('--margin', type=share, default=MARGIN, metavar='SHARE',
                        help='widen boxes by this share on each side (default: %(default)s)')
    parser.add_argument('--size', type=count, metavar='SIDE', help='side in pixels that crops are '
                        'stretched to (default: what the network was designed for)')
    parser.add_argument('--out', required=True, metavar='RUN',
                        help='folder for classifier.safetensors, metrics.json and report.html')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=count, help='CPU threads; all cores if not given')


def add_training_arguments(parser, epochs: int) -> None:
    """Describe the knobs of the training loop."""
    defaults = Knobs()
    parser.add_argument('--epochs', type=count, default=epochs,
                        help='passes over the crops, at most (default: %(default)s)')
    parser.add_argument('--batch', type=count, default=defaults.batch,
                        help='crops per step (default: %(default)s)')
    parser.add_argument('--loss', choices=('cross_entropy', 'mse'), default=defaults.loss,
                        help='mse is the squared error, to compare (default: %(default)s)')
    parser.add_argument('--no-augmentation', dest='augment', action='store_false',
                        help='show every crop always the same')
    parser.add_argument('--patience', type=count, default=defaults.patience, metavar='EPOCHS',
                        help='stop after so many without a lower validation loss (default: '
                        '%(default)s)')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the training in RUN that was stopped')


def run(arguments) -> int:
    """Train and return the exit status."""
    banks, validation, classes = read_banks(arguments)
    network, specification = start(arguments.network, classes, side=arguments.size,
                                   margin=arguments.margin)
    layers = [layer for block in network.blocks for layer in block] + list(network.head)
    phases = [Phase('training', arguments.epochs, arguments.rate, tuple(layers))]
    return train_on_crops(arguments, banks, validation, network, specification, phases)


def read_banks(arguments):
    """Return the banks to train on, those to validate on, and the names of the classes."""
    mapping = read_mapping(arguments.map) if arguments.map else {}
    sets = [[read(path, split).mapped(mapping) for path in paths]
            for paths, split in ((arguments.data, 'train'), (arguments.val, 'val'))]
    known = sorted({label for bank in sets[0] for label in bank.counts()})
    classes = arguments.classes or known
    if not arguments.classes and set(known) & set(VEHICLES):
        # an object of which only this much is known teaches no class
        classes = [name for name in known if name != VEHICLE]
    missing = [name for name in classes if name not in known]
    if missing:
        raise ValueError(f'no object of {", ".join(missing)} in {", ".join(arguments.data)}, only '
                         f'of {", ".join(known)}')
    if len(classes) < 2:
        raise ValueError(f'there is nothing to tell apart: only {", ".join(classes) or "nothing"} '
                         f'in {", ".join(arguments.data)}')
    others = {name: None for bank in (*sets[0], *sets[1]) for name in bank.counts()
              if name not in classes}
    training, validation = ([bank.mapped(others) for bank in banks] for banks in sets)
    return training, validation, tuple(classes)


def train_on_crops(arguments, banks, validation, network, specification, phases) -> int:
    """Train in phases, print the result and return the exit status."""
    knobs = Knobs(batch=arguments.batch, loss=arguments.loss, augment=arguments.augment,
                  patience=arguments.patience, seed=arguments.seed)
    crops = read_crops(banks, specification.margin, specification.input_size)
    if validation:
        held = read_crops(validation, specification.margin, specification.input_size)
    else:
        chosen, rest = split(crops.labels, crops.groups, arguments.hold_out, arguments.seed)
        crops, held = crops.select(np.array(chosen)), crops.select(np.array(rest))
    print_result(arguments, specification, train(
        crops, held, arguments.out, network, specification, phases, knobs, arguments.resume,
        arguments.threads))
    return 0


def print_result(arguments, specification, metrics) -> None:
    """Print what a training has come to."""
    print(as_text(metrics, specification.classes))
    if 'verdict' in metrics:
        print(metrics['verdict'])
    print(f'{arguments.out}: {summary(metrics)} of {metrics["count"]} crops; see report.html '
          'there')
