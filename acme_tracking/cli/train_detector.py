"""`acme_tracking train detector`: train the detector on image banks of any layout."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.training.data import CLASSES, labels_for, read, read_mapping, RenderedScenes
from acme_tracking.training.detector import Knobs, train
from tqdm import tqdm


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    defaults = Knobs()
    parser.add_argument('--data', action='append', default=[], metavar='BANK',
                        help='labelled images: a COCO file, or a folder laid out as KITTI, Pascal '
                        'VOC or YOLO; may be repeated')
    parser.add_argument('--val', action='append', default=[], metavar='BANK',
                        help='labelled images to validate on; may be repeated')
    parser.add_argument('--scenes', type=count, default=0, metavar='N',
                        help='also train on N rendered images of the synthetic road')
    add_class_arguments(parser)
    parser.add_argument('--out', required=True, metavar='RUN',
                        help='folder for detector.safetensors, metrics.json, the report and the '
                        'state')
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument('--epochs', type=positive, help='passes over as many images as there are')
    length.add_argument('--minutes', type=positive, help='training time')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the training in RUN that was stopped')
    parser.add_argument('--batch', type=int, default=defaults.batch, help='images per step')
    parser.add_argument('--rate', type=positive, default=defaults.rate, help='learning rate')
    parser.add_argument('--size', type=int, default=defaults.side, metavar='SIDE',
                        help='images are resized to the area of SIDE x SIDE pixels')
    parser.add_argument('--save-every', type=positive, default=60.0, metavar='SECONDS',
                        help='how often the state to resume from is written')
    parser.add_argument('--seed', type=int, default=defaults.seed)
    parser.add_argument('--threads', type=count, help='CPU threads; all cores if not given')


def add_class_arguments(parser) -> None:
    """Describe how the classes of a bank become those of a detector."""
    parser.add_argument('--classes', nargs='+', metavar='NAME',
                        help='classes to learn, boxes of others are left out '
                        f'(default: {", ".join(CLASSES)}, and no others may be there)')
    parser.add_argument('--map', metavar='YAML',
                        help='renames classes of the banks by lines such as `van: car`; '
                        '`tram: null` leaves one out')


def run(arguments) -> int:
    """Train and return the exit status."""
    if not arguments.data and not arguments.scenes:
        raise ValueError('nothing to train on: give --data BANK or --scenes N')
    knobs = Knobs(batch=arguments.batch, rate=arguments.rate, side=arguments.size,
                  seed=arguments.seed)
    mapping = read_mapping(arguments.map) if arguments.map else {}
    sources = [chosen(read(path), mapping, arguments.classes) for path in arguments.data]
    validation = {Path(path).stem: chosen(read(path), mapping, arguments.classes)
                  for path in arguments.val}
    if arguments.scenes:
        sources.append(RenderedScenes(arguments.scenes))
    # Views enlarge parts of an image, so the bank keeps more pixels than the network sees.
    banks = [[sample.without_ignored().shrunk(round(1.3 * knobs.side)) for sample in
              tqdm(source, unit='image', desc='reading', leave=False)] for source in sources]
    validation = {name: list(bank) for name, bank in validation.items()}
    summary = train(banks, validation, arguments.out, epochs=arguments.epochs,
                    minutes=arguments.minutes, resume=arguments.resume, knobs=knobs,
                    threads=arguments.threads, save_every=arguments.save_every)
    print(f'{arguments.out}: {summary["step"]} steps in {summary["minutes"]:.1f} minutes, '
          f'mean AP50 {summary["ap50"]:.3f} at the end')
    return 0


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


def positive(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def count(text: str) -> int:
    """Return a whole number above 0."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)
