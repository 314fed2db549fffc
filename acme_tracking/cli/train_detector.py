"""`acme_tracking train detector`: train the detector on image banks of any layout."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain

from acme_tracking.cli.arguments import class_name, count, positive, share, whole
from acme_tracking.detection.checkpoint import inspect
from acme_tracking.labels import CLASSES
from acme_tracking.share import shipped_weights
from acme_tracking.training.data import (
    Bank,
    labels_for,
    read,
    read_mapping,
    RenderedScenes,
)
from acme_tracking.training.detector import Knobs, train
from tqdm import tqdm

START_RATE = 5e-4  # trained weights are to be bent, not broken


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    defaults = Knobs()
    parser.add_argument('--data', action='append', default=[], metavar='BANK',
                        help='labelled images: a COCO file, a data.yaml, or a folder laid out as '
                        'COCO, KITTI, Pascal VOC or YOLO, of which the split train is taken; may '
                        'be repeated')
    parser.add_argument('--val', action='append', default=[], metavar='BANK',
                        help='labelled images to validate on; of a folder with splits val is '
                        'taken, or test of FOLDER:test; may be repeated')
    parser.add_argument('--hold-out', type=share, default=0.0, metavar='SHARE',
                        help='validate on this share of every --data bank, and do not train on '
                        'it (default: %(default)s)')
    parser.add_argument('--scenes', type=count, default=0, metavar='N',
                        help='also train on N rendered images of the synthetic road')
    add_class_arguments(parser)
    parser.add_argument('--out', required=True, metavar='RUN',
                        help='folder for detector.safetensors, metrics.json, the report and the '
                        'state')
    parser.add_argument('--start', metavar='CHECKPOINT',
                        help="begin with these weights, or with the package's own for `shipped`: "
                        'a few images are then enough')
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument('--epochs', type=positive, help='passes over as many images as there are')
    length.add_argument('--minutes', type=positive, help='training time')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the training in RUN that was stopped')
    parser.add_argument('--batch', type=int, default=defaults.batch, help='images per step')
    parser.add_argument('--rate', type=positive, help='learning rate (default: '
                        f'{defaults.rate}, {START_RATE} with --start)')
    parser.add_argument('--size', type=int, metavar='SIDE',
                        help='images are resized to the area of SIDE x SIDE pixels (default: '
                        f'{defaults.side}, or as --start)')
    parser.add_argument('--widths', type=count, nargs='+', metavar='N',
                        help='channels of the backbone at strides 2, 4, 8, 16 and 32 (default: 16 '
                        '32 64 128 224, or those of --start, which may be widened)')
    parser.add_argument('--neck', type=count, metavar='N',
                        help='channels of merged maps and head (default: 64, or as --start)')
    parser.add_argument('--first-size', type=positive, default=defaults.first_side,
                        metavar='SHARE', help='size of the images until the last third of the '
                        'training; below 1 saves time on a CPU (default: %(default)s)')
    parser.add_argument('--often', type=positive, nargs='+', default=(), metavar='N',
                        help='draw N times as often as its size says from the first --data bank, '
                        'from the second, ...')
    parser.add_argument('--mosaic', type=share, default=defaults.mosaic, metavar='SHARE',
                        help='images that are made of four, until the last part of the training '
                        '(default: %(default)s)')
    parser.add_argument('--keep', type=share, default=defaults.keep, metavar='SHARE',
                        help='the result is a mean with this share of the weights of --start, '
                        'which forgets less of what they knew (default: %(default)s)')
    parser.add_argument('--save-every', type=positive, default=60.0, metavar='SECONDS',
                        help='how often the state to resume from is written')
    parser.add_argument('--seed', type=int, default=defaults.seed)
    parser.add_argument('--workers', type=whole, default=0, metavar='N',
                        help='processes that read images and make batches, for a GPU: one for '
                        'each CPU core but one; the result is the same with any number (default: '
                        '%(default)s, batches are made by the process that trains)')
    parser.add_argument('--threads', type=count, help='CPU threads; all cores if not given')


def add_class_arguments(parser) -> None:
    """Describe how the classes of a bank become those of a detector."""
    parser.add_argument('--classes', nargs='+', type=class_name, metavar='NAME',
                        help='classes to learn, boxes of others are left out '
                        f'(default: {", ".join(CLASSES)}, and no others may be there)')
    parser.add_argument('--map', metavar='YAML',
                        help='renames classes of the banks by lines such as `van: car`; '
                        '`tram: null` leaves one out')


def run(arguments) -> int:
    """Train and return the exit status."""
    if not arguments.data and not arguments.scenes:
        raise ValueError('nothing to train on: give --data BANK or --scenes N')
    rate = arguments.rate or (START_RATE if arguments.start else Knobs.rate)
    start = shipped_weights() if arguments.start == 'shipped' else arguments.start
    side = arguments.size or (inspect(start).input_size if start else Knobs.side)
    knobs = Knobs(batch=arguments.batch, rate=rate, side=side, seed=arguments.seed,
                  mosaic=arguments.mosaic, keep=arguments.keep, often=tuple(arguments.often),
                  first_side=arguments.first_size)
    network = {name: value for name in ('widths', 'neck')
               if (value := getattr(arguments, name)) is not None}
    banks, validation = _banks(arguments)
    # Views enlarge parts of an image, so the bank keeps more pixels than the network sees.
    banks = [loaded(bank, round(1.3 * knobs.side), arguments.workers) for bank in banks]
    validation = {name: list(reading(bank)) for name, bank in validation.items()}
    summary = train(banks, validation, arguments.out, epochs=arguments.epochs,
                    minutes=arguments.minutes, resume=arguments.resume, knobs=knobs,
                    network=network, classes=arguments.classes or CLASSES, start=start,
                    threads=arguments.threads, save_every=arguments.save_every,
                    workers=arguments.workers)
    if summary is not None:
        quality = (f'mean AP50 {summary["ap50"]:.3f} at the end; detector.safetensors has '
                   f'{summary["best_ap50"]:.3f}' if validation else
                   'nothing to validate on; detector.safetensors is what came out last')
        print(f'{arguments.out}: {summary["step"]} steps in {summary["minutes"]:.1f} minutes, '
              f'{quality}, see report.html')
    return 0


def _banks(arguments):
    """Return the banks to train on, and name -> bank to validate on."""
    mapping = read_mapping(arguments.map) if arguments.map else {}
    banks = [chosen(read(path, 'train'), mapping, arguments.classes) for path in arguments.data]
    validation = [chosen(read(path, 'val'), mapping, arguments.classes) for path in arguments.val]
    if arguments.hold_out:
        banks, held_out = map(list, zip(*(bank.split(arguments.hold_out) for bank in banks)))
        validation += held_out
    named = {}
    for bank in validation:
        # exports of some tools give all their files one name
        named[f'{bank.path.resolve().parent.name}/{bank.name}' if bank.name in named
              else bank.name] = bank
    if arguments.scenes:
        banks.append(RenderedScenes(arguments.scenes))
    return banks, named


def reading(bank, total=None):
    """Return the samples of a bank, with a bar while they are read."""
    return tqdm(bank, unit='image', desc='reading', leave=False, total=total)


def loaded(bank, side, workers):
    """Return the samples of a bank, none larger than `side` * `side`, read by so many threads."""
    if not workers or not isinstance(bank, Bank):
        return [sample.shrunk(side) for sample in reading(bank)]
    parts = [replace(bank, images=[image]) for image in bank.images]
    with ThreadPoolExecutor(workers) as pool:
        samples = pool.map(lambda part: [sample.shrunk(side) for sample in part], parts)
        return list(chain.from_iterable(reading(samples, len(parts))))


def chosen(bank, mapping, classes):
    """Return the bank with renamed classes, and only `classes` of them where any are asked for."""
    bank = bank.mapped(mapping)
    if classes is None:
        bank.require(CLASSES)
        return bank
    others = {label: number for label, number in bank.counts().items()
              if label not in labels_for(classes)}
    if others:
        print(f'{bank.path}: left out are boxes of other classes: '
              + ', '.join(f'{label} ({number})' for label, number in sorted(others.items())))
    return bank.only(classes)
