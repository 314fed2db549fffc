"""
Measures how well objects are followed by a camera that moves, beside other people's trackers.

The drives are rendered: along a road, round bends, braking before people who cross, by hand on the
pavement, and by a drone.  Detection on demand and continuous detection meet the trackers of the
library in requirements/peers.txt, with detections of every image and of as many as on demand took,
all as late as the detector is.  All get the same detections, of two kinds: those of the shipped
detector, which was made for real streets, and `noisy`, the truth with noise and misses.  Bags and
detections are kept, so that it can be run again soon.  The last line is JSON.

    .venv/bin/python benchmark/drives.py
"""
import argparse
import json
from pathlib import Path
import sys
import time

from acme_tracking.bags.reading import BagReader
from acme_tracking.cli import main as acme_tracking
from acme_tracking.detections import Detections
from acme_tracking.evaluation.cache import DetectionCache
from acme_tracking.evaluation.modes import CONTINUOUS, MODES, ON_DEMAND, PEER_MODES
from acme_tracking.evaluation.report import best_peers, table, write_report
from acme_tracking.evaluation.run import evaluate
from acme_tracking.evaluation.sequence_run import detector_settings
from acme_tracking.evaluation.settings import read_parameters, Settings
from acme_tracking.evaluation.simulation import Surroundings
import numpy as np

RATE = 15
DRIVES = {'driving': 1, 'turning': 2, 'braking': 3, 'handheld': 4, 'drone': 5}  # camera: seed
SHIPPED, NOISY = 'shipped', 'noisy'
# Of the noisy detector: objects missed, noise of the edges in sizes of the box, scores.
MISSED, NOISE, SCORE, SCORE_NOISE, LEAST_SCORE = 0.1, 0.03, 0.7, 0.12, 0.36
OURS = ON_DEMAND, CONTINUOUS
LATE = [mode for mode, (_, _, late) in PEER_MODES.items() if late]
COLUMNS = 'HOTA', 'CNN', 'DetA', 'AssA', 'switches', 'birth', 'unseen'
FIGURES = ('hota', 'detector_share', 'deta', 'assa', 'id_switches', 'birth_s', 'never_followed')


def main():
    """Make what is missing, evaluate, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--seconds', type=float, default=10.0, help='of each drive')
    parser.add_argument('--drives', nargs='+', choices=DRIVES, default=list(DRIVES))
    parser.add_argument('--detections', nargs='+', choices=(SHIPPED, NOISY),
                        default=(SHIPPED, NOISY), help='kinds of detections')
    parser.add_argument('--modes', nargs='+', choices=MODES,
                        default=[*OURS, *LATE])
    parser.add_argument('--latency', type=float, default=0.1, help='of the detector, seconds')
    parser.add_argument('--set', nargs='+', default=(), metavar='NAME=VALUE', dest='changes',
                        help='parameters of the tracker, or detector.NAME')
    parser.add_argument('--out', type=Path, default=Path('out/benchmark/drives'))
    arguments = parser.parse_args()
    sys.path.remove(str(Path(__file__).resolve().parent))  # its trackers.py is not the library
    count = round(arguments.seconds * RATE)
    folder = arguments.out / str(count)
    bags = [make(folder / 'bags', kind, count) for kind in arguments.drives]
    nodes = read_parameters(changes=arguments.changes)
    settings = Settings(modes=tuple(arguments.modes), **nodes._asdict(),
                        surroundings=Surroundings(latency=arguments.latency))
    run, figures = folder / f'run-{time.time_ns()}', {}
    for detections in arguments.detections:
        cache = folder / 'detections' / detections
        if detections == NOISY:
            fill(cache, bags, settings)
        metrics = evaluate(bags, settings, run / detections, cache=cache)
        report = write_report(run / detections)
        figures[detections] = show(metrics, detections, report)
    print(json.dumps(figures))


def make(folder, kind, count):
    """Render a drive as a bag, if it is not there; return its path."""
    path = folder / kind
    if not (path / 'metadata.yaml').is_file():
        acme_tracking(['bag', 'make', f'scene:{kind}:{DRIVES[kind]}:{count}', str(path),
                       '--rate', str(RATE), '--images', 'compressed'])
    return path


def fill(folder, bags, settings):
    """Let the noisy detector find what counts on all images of the bags."""
    for path in bags:
        rng = np.random.default_rng(DRIVES[path.name])
        with BagReader(path) as bag, DetectionCache(
                folder / f'{bag.name}.npz', detector_settings(settings), None) as cache:
            truth = bag.detections(bag.truth_topic(bag.image_topic()))
            cache.fill({stamp: noisy(truth[stamp], rng) for stamp in sorted(truth)})


def noisy(truth, rng):
    """Return the objects that count, but for some that are missed, with noise."""
    found = truth.select((truth.scores > 0) & (rng.random(len(truth)) >= MISSED))
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    boxes = found.boxes + NOISE * rng.normal(size=(len(found), 4)) * np.tile(size, 2)
    scores = np.clip(rng.normal(SCORE, SCORE_NOISE, len(found)), LEAST_SCORE, 1)
    return Detections(boxes, scores, found.labels)


def show(metrics, detections, report):
    """Print the table of one kind of detections; return its figures."""
    print(f'\nDetections: {detections} ({report})')
    print(table(metrics['modes'], COLUMNS))
    print('HOTA of ours, and of the best peer in each way:')
    for drive, bag in metrics['bags'].items():
        best = best_peers(bag['modes'])
        print(f'{drive:<10}', '  '.join(f'{mode} {found["hota"]:.3f}' for mode, found in
                                        bag['modes'].items() if mode in OURS or mode in best))
    sys.stdout.flush()
    return {'modes': {mode: {key: found[key] for key in FIGURES}
                      for mode, found in metrics['modes'].items()},
            'hota': {drive: {mode: found['hota'] for mode, found in bag['modes'].items()}
                     for drive, bag in metrics['bags'].items()}}


if __name__ == '__main__':
    main()
