"""`acme_tracking train detector`: train the detector on image banks in COCO format."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.training.data import CocoFile, RenderedScenes
from acme_tracking.training.detector import Knobs, train


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    kinds = parser.add_subparsers(dest='kind', metavar='WHAT', required=True)
    detector = kinds.add_parser('detector', help='the CNN that finds objects')
    defaults = Knobs()
    detector.add_argument('--data', action='append', default=[], metavar='A.json',
                          help='COCO file beside the folder of its images; may be repeated')
    detector.add_argument('--val', action='append', default=[], metavar='C.json',
                          help='COCO file to validate on; may be repeated')
    detector.add_argument('--scenes', type=_count, default=0, metavar='N',
                          help='also train on N rendered images of the synthetic road')
    detector.add_argument('--out', required=True, metavar='RUN',
                          help='folder for detector.safetensors, metrics.json and the state')
    length = detector.add_mutually_exclusive_group(required=True)
    length.add_argument('--epochs', type=_positive, help='passes over as many images as there are')
    length.add_argument('--minutes', type=_positive, help='training time')
    detector.add_argument('--resume', action='store_true',
                          help='go on with the training in RUN that was stopped')
    detector.add_argument('--batch', type=int, default=defaults.batch, help='images per step')
    detector.add_argument('--rate', type=_positive, default=defaults.rate, help='learning rate')
    detector.add_argument('--size', type=int, default=defaults.side, metavar='SIDE',
                          help='images are resized to the area of SIDE x SIDE pixels')
    detector.add_argument('--save-every', type=_positive, default=60.0, metavar='SECONDS',
                          help='how often the state to resume from is written')
    detector.add_argument('--seed', type=int, default=defaults.seed)
    detector.add_argument('--threads', type=_count, help='CPU threads; all cores if not given')


def run(arguments) -> int:
    """Train and return the exit status."""
    if not arguments.data and not arguments.scenes:
        raise ValueError('nothing to train on: give --data FILE.json or --scenes N')
    knobs = Knobs(batch=arguments.batch, rate=arguments.rate, side=arguments.size,
                  seed=arguments.seed)
    sources = [CocoFile(path) for path in arguments.data]
    if arguments.scenes:
        sources.append(RenderedScenes(arguments.scenes))
    # Views enlarge parts of an image, so the bank keeps more pixels than the network sees.
    banks = [[sample.shrunk(round(1.3 * knobs.side)) for sample in source] for source in sources]
    validation = {Path(path).stem: list(CocoFile(path)) for path in arguments.val}
    summary = train(banks, validation, arguments.out, epochs=arguments.epochs,
                    minutes=arguments.minutes, resume=arguments.resume, knobs=knobs,
                    threads=arguments.threads, save_every=arguments.save_every)
    print(f'{arguments.out}: {summary["step"]} steps in {summary["minutes"]:.1f} minutes, '
          f'mean AP50 {summary["ap50"]:.3f} at the end')
    return 0


def _positive(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    """Return a whole number above 0."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)
