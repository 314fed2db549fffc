"""`acme_tracking harvest BAG --out FOLDER`: what to label next, with boxes to begin with."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.remote import local_bag
from acme_tracking.cli.arguments import count, not_negative
from acme_tracking.cli.evaluate import add_node_arguments, node_parameters
from acme_tracking.evaluation.harvest import BANK, harvest
from acme_tracking.evaluation.settings import Settings
from tqdm import tqdm


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('bag', metavar='BAG', help='rosbag2 with images, or the URL of one')
    parser.add_argument('--out', required=True, type=Path, metavar='FOLDER',
                        help=f'folder for {BANK} and images/')
    parser.add_argument('--count', type=count, default=50, metavar='N',
                        help='images at the most (default: %(default)s)')
    parser.add_argument('--apart', type=not_negative, default=1.0, metavar='SECONDS',
                        help='between two of them at the least (default: %(default)s)')
    add_node_arguments(parser)


def run(arguments) -> int:
    """Harvest, and say what to do next; return the exit status."""
    settings = Settings(images=arguments.images, **node_parameters(arguments)._asdict())
    path = local_bag(arguments.bag)
    with BagReader(path) as bag:
        topic = bag.image_topic(settings.images)
        total = next(item.count for item in bag.topics if item.name == topic)
        name = bag.name
    with tqdm(total=total, unit='image', desc=name) as bar:
        found = harvest(path, settings, arguments.out, arguments.count, arguments.apart,
                        bar.update)
    reasons = ', '.join(f'{reason.replace("_", " ")} {number}'
                        for reason, number in found.reasons.most_common())
    print(f'{found.doubtful} of {found.images} images are in doubt, {found.chosen} of them are in '
          f'{arguments.out / BANK}' + (f': {reasons}' if reasons else ''))
    return 0
