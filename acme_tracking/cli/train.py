"""`acme_tracking train WHAT`: every WHAT is a module `train_WHAT` of this room, like a verb."""
from __future__ import annotations

import importlib

KINDS = {
    'detector': 'train the CNN that finds objects on image banks',
    'classifier': 'train a CNN that tells crops of objects apart, from nothing',
    'transfer': 'teach new classes to a CNN that was trained on others',
}


def add_arguments(parser) -> None:
    """Describe the arguments of every kind."""
    kinds = parser.add_subparsers(dest='kind', metavar='WHAT', required=True)
    for kind, summary in KINDS.items():
        _module(kind).add_arguments(kinds.add_parser(
            kind, help=summary, description=summary[0].upper() + summary[1:] + '.'))


def run(arguments) -> int:
    """Train and return the exit status."""
    return _module(arguments.kind).run(arguments)


def _module(kind):
    return importlib.import_module(f'acme_tracking.cli.train_{kind}')
