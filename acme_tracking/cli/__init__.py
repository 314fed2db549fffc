"""
The command line ``acme_tracking VERB``.

Every verb is a module of this room with `add_arguments(parser)` and `run(arguments) -> int`, its
exit status.  A module is imported only when its verb is used, so that `demo` needs no torch and
`train` no ROS.
"""
from __future__ import annotations

import argparse
import importlib
import sys

VERBS = {
    'bag': 'make, look into and record bags (rosbag2)',
    'calibrate': 'height and pitch of a camera from the tracks of a drive',
    'compare': 'put runs of evaluate side by side',
    'data': 'look into image banks, and convert them',
    'demo': 'track a video or a rendered scene with all three nodes and record the result',
    'evaluate': 'score tracking on bags, or with the word detector the CNN on image banks',
    'export': 'write a checkpoint of the detector as ONNX, which runs without torch',
    'explain': 'show what a CNN sees: its filters and feature maps as pictures',
    'harvest': 'choose images of a bag that are worth labelling, with boxes to begin with',
    'repeat': 'do a live run of the tracker again, from its event log and a bag, and compare',
    'train': 'train the detector, or a classifier, on image banks',
    'view': 'show a running graph, a bag or an evaluation in a browser',
}
# Two words that are one verb; the second would else be the first argument of the first.
MODULES = {('evaluate', 'detector'): 'evaluate_detector'}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit status of the process; errors of use exit with 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog='acme_tracking', description='Detection on demand and tracking of road users.')
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    words = tuple(word for word in arguments if not word.startswith('-'))[:2]
    named = words[0] if words else None
    if words in MODULES:
        arguments = [*arguments]
        arguments.remove(words[1])
    try:
        for verb, summary in VERBS.items():
            verb_parser = verbs.add_parser(verb, help=summary, description=summary[0].upper()
                                           + summary[1:] + '.')
            if verb == named:
                module = importlib.import_module(
                    f'acme_tracking.cli.{MODULES.get(words, verb)}')
                module.add_arguments(verb_parser)
        parsed = parser.parse_args(arguments)
        return module.run(parsed)
    except (ImportError, OSError, ValueError) as error:
        print(f'acme_tracking {named}: {error}{_remedy(error)}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _remedy(error) -> str:
    """Return what to do about a library that is not installed, as it goes on after its error."""
    if isinstance(error, ModuleNotFoundError):
        return '; pip install "acme_tracking[all]" brings what all verbs need'
    return ''
