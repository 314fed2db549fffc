"""
`acme_tracking evaluate BAG... --out RUN`: how well objects are followed, and what it costs.

Offline the sessions of the nodes are driven with a virtual clock, so that figures are the same
every time; with --live the bags are played into real nodes.
"""
from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import sys

from acme_tracking.bags.remote import local_bag
from acme_tracking.cli.arguments import class_name
from acme_tracking.evaluation.baselines import missing_library
from acme_tracking.evaluation.modes import MODES, PEER_MODES, TWO_PHASE
from acme_tracking.evaluation.report import in_words, table, worst_first, write_report
from acme_tracking.evaluation.run import evaluate, METRICS, recording_of, SETTINGS
from acme_tracking.evaluation.sequence_run import LIVE, measure_latency
from acme_tracking.evaluation.settings import read_parameters, Settings
from acme_tracking.evaluation.simulation import Surroundings
from acme_tracking.tracking.visual import availability
from acme_tracking.viewer import require, SUFFIX

MEASURED = 'measured'
WORST_BAGS = 5  # that are printed; the report has all


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    defaults = Settings()
    parser.add_argument('bags', nargs='+', metavar='BAG', help='rosbag2, with a topic '
                        'ground_truth to be scored (see acme_tracking bag make); or the URL of '
                        'one, as s3://..., which is fetched')
    parser.add_argument('--out', required=True, type=Path, metavar='RUN',
                        help='folder for metrics.json, report.html and tracks; a run that was '
                        'stopped goes on')
    parser.add_argument('--modes', nargs='+', choices=[*MODES, LIVE], metavar='MODE',
                        help='; '.join(f'{name}: {text}' for name, text in MODES.items())
                        + f'; {LIVE}: as --live (default: all but {LIVE})')
    parser.add_argument('--live', action='store_true', help='play the bags into nodes that this '
                        'starts, in real time, and score what they publish')
    parser.add_argument('--stand-in', action='store_true', help='in live mode: no CNN, but its '
                        'detections of before, after --latency')
    parser.add_argument('--rate', type=float, default=defaults.rate,
                        help='speed of playing in live mode (default: %(default)s, real time)')
    parser.add_argument('--recorded', type=Path, metavar='BAG', help='score the tracks in this '
                        'bag, recorded of a graph that the other bag was played into')
    parser.add_argument('--view', type=Path, metavar='FILE.rrd|FOLDER', help='write the first '
                        'mode on the one bag, or on each, as a recording for `acme_tracking view`')
    _add_surroundings(parser, defaults.surroundings)
    parser.add_argument('--every', type=float, default=defaults.every, metavar='SECONDS',
                        help='between the detections of two_phase (default: %(default)s)')
    parser.add_argument('--minimum-score', type=float, default=defaults.minimum_score,
                        help='tracks of this package with a lower score do not count '
                        '(default: %(default)s)')
    parser.add_argument('--classes', nargs='+', default=(), type=class_name, metavar='NAME',
                        help='classes that count (default: all of the truth)')
    parser.add_argument('--truth', default='', metavar='TOPIC|FILE', help='ground truth '
                        '(default: ground_truth beside the images), or a file of it in the folder '
                        'of the bag or elsewhere: MOTChallenge, KITTI tracking, or COCO with '
                        'track ids')
    add_node_arguments(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--jobs', type=int, default=0, metavar='N',
                       help='bags at a time (default: one per core)')
    where.add_argument('--dask', default='', metavar='ADDRESS', help='of the scheduler of a Dask '
                       'cluster, as tcp://HOST:8786, whose workers evaluate the bags')
    parser.add_argument('--detections', type=Path, metavar='FOLDER',
                        help='where detections are kept, to be shared among runs '
                        '(default: RUN/detections)')


def add_node_arguments(parser) -> None:
    """Describe the arguments that say what the nodes see, and their parameters."""
    parser.add_argument('--images', default='', metavar='TOPIC',
                        help='images, where a bag has those of several cameras')
    parser.add_argument('--params-file', type=Path, metavar='YAML',
                        help='parameters of the nodes (default: config/tracking.yaml)')
    parser.add_argument('--weights', type=Path, metavar='CHECKPOINT', help='weights of the '
                        "detector, which win over the file's (default: the package's own)")
    parser.add_argument('--set', nargs='+', default=(), metavar='NAME=VALUE', dest='changes',
                        help='parameters of the tracker, or detector.NAME or locator.NAME, which '
                        'win over the file')


def node_parameters(arguments):
    """Return the parameters of the nodes that the arguments ask for."""
    changes = list(arguments.changes)
    if arguments.weights:
        changes.append(f'detector.weights={json.dumps(str(arguments.weights))}')
    return read_parameters(arguments.params_file, changes)


def _add_surroundings(parser, defaults):
    group = parser.add_argument_group('what is simulated of the robot')
    group.add_argument('--latency', default=defaults.latency, metavar='SECONDS',
                       help='that the detector takes, or `measured`: as long as the CNN takes '
                       'here, which makes figures depend on the machine (default: %(default)s)')
    group.add_argument('--jitter', type=float, default=defaults.jitter, metavar='SECONDS',
                       help='by which it takes longer at the most (default: %(default)s)')
    group.add_argument('--lost-answers', type=float, default=defaults.lost_answers,
                       metavar='SHARE', help='of its answers that get lost (default: %(default)s)')
    group.add_argument('--away', nargs=2, type=float, default=(), metavar=('START', 'END'),
                       help='seconds since the first image, between which there is no detector')
    group.add_argument('--image-ms', type=float, default=1e3 * defaults.image_cost,
                       metavar='MILLISECONDS', help='that the tracker takes for an image, and for '
                       'each that it replays (default: %(default)g)')


def run(arguments) -> int:
    """Evaluate, write the report, print the headline; return the exit status."""
    if arguments.view:
        _check_view(arguments.view)
    settings = Settings(
        modes=tuple(modes(arguments)), every=arguments.every,
        minimum_score=arguments.minimum_score, classes=tuple(arguments.classes),
        images=arguments.images, truth=arguments.truth, stand_in=arguments.stand_in,
        rate=arguments.rate, **node_parameters(arguments)._asdict())
    settings = replace(settings, surroundings=Surroundings(
        latency(arguments, settings), arguments.jitter, arguments.lost_answers,
        tuple(arguments.away), 1e-3 * arguments.image_ms))
    metrics = evaluate(arguments.bags, settings, arguments.out, arguments.jobs,
                       arguments.detections, arguments.recorded, arguments.view, arguments.dask)
    recordings = {name: recording_of(arguments.view, name) for name in metrics['bags']
                  } if arguments.view else {}
    report = write_report(arguments.out, recordings)
    print(table(metrics['modes']))
    worst = worst_first(metrics)
    if len(worst) > 1:
        print(f'\nThe worst bags, {metrics["mode"]}:\n'
              + table(dict(list(worst.items())[:WORST_BAGS])))
    located = {mode: found['positions']['all'] for mode, found in metrics['modes'].items()
               if found.get('positions')}
    if located:
        print('\nPositions:\n' + '\n'.join(f'{mode}: {in_words(found)}'
                                            for mode, found in located.items()))
    print(f'\nSee {report} and {arguments.out / METRICS}.')
    return 0


def _check_view(path):
    """Raise ValueError or OSError, before the work, for what could not be written or shown."""
    require()
    if path.suffix == SUFFIX:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elif path.suffix:
        raise ValueError(f'--view must be a file that ends in {SUFFIX}, or a folder, got {path}')
    else:
        path.mkdir(parents=True, exist_ok=True)


def modes(arguments) -> list[str]:
    """Return the modes to run; those that need what is not installed are left out."""
    live = arguments.live or arguments.recorded
    chosen = list(arguments.modes or ([] if live else MODES))
    if live and LIVE not in chosen:
        chosen.insert(0, LIVE)
    for needing, why in (({TWO_PHASE}, lambda: availability()['dlib']),
                         (PEER_MODES, missing_library)):
        without = [mode for mode in chosen if mode in needing]
        missing = without and why()
        if missing:
            print(f'{", ".join(without)} left out: {missing}', file=sys.stderr)
            chosen = [mode for mode in chosen if mode not in without]
    if not chosen:
        raise ValueError('no mode is left to run')
    return chosen


def latency(arguments, settings: Settings) -> float:
    """Return the latency in seconds; a measured one is that of the run, where there is one."""
    if arguments.latency != MEASURED:
        try:
            return float(arguments.latency)
        except ValueError as error:
            raise ValueError(f'--latency must be a number of seconds or {MEASURED}, got '
                             f'{arguments.latency!r}') from error
    if (arguments.out / SETTINGS).is_file():
        return json.loads((arguments.out / SETTINGS).read_text())['surroundings']['latency']
    measured = measure_latency(local_bag(arguments.bags[0]), settings)
    print(f'The detector takes {measured:.3f} s here.')
    return measured
