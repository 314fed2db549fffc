"""
`acme_tracking repeat LOG BAG`: do a live run of the tracker again, and compare.

LOG is what the parameter `event_log` of the tracker named, BAG what `acme_tracking bag record`
recorded beside it.
"""
from __future__ import annotations

from pathlib import Path

from acme_tracking.evaluation.repetition import compare


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('log', type=Path, metavar='LOG',
                        help='the file that the parameter event_log of the tracker named')
    parser.add_argument('bag', type=Path, metavar='BAG',
                        help='the images of that run, and its tracks if they were recorded')
    parser.add_argument('--images', default='', metavar='TOPIC',
                        help='images, where the bag has those of several cameras')


def run(arguments) -> int:
    """Repeat, print what came out; return 0 when all is as it was."""
    found = compare(arguments.log, arguments.bag, arguments.images)
    print(f'{found.log.published} times tracks were published, {found.log.different} came out '
          'differently')
    if found.messages:
        print(f'{found.messages} recorded messages were compared byte for byte, '
              f'{found.different} differ')
    if found.log.first_difference is not None:
        print(f'the first difference is on the image of {found.log.first_difference}')
    if not found.log.published:
        print('nothing was published in that run: there is nothing to compare')
    return 0 if found.agrees else 1
