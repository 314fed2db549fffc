"""
Compares detectors: how well they find what is labelled, and how long they take.

Every detector is a file or a name that the parameter `weights` takes; the package's own is always
among them.  The median time is that of whole calls, in which the detectors take turns.  The last
line is JSON.

    .venv/bin/python benchmark/detectors.py --val street_val.json nano.onnx hf:hustvl/yolos-tiny
"""
import argparse
import json
import os
import time

from acme_tracking.detection.detector import Detector
from acme_tracking.metrics.average_precision import evaluate, LOWEST_SCORE
from acme_tracking.training.data import read
import numpy as np

OURS = 'acme_tracking'
WARM_UP, TIMED = 3, 40  # images


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('weights', nargs='*', metavar='WEIGHTS')
    parser.add_argument('--val', required=True, metavar='BANK', help='labelled images')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    samples = list(read(arguments.val, 'val'))
    detectors = {weights: Detector.from_checkpoint(
        None if weights == OURS else weights, device=arguments.device,
        threads=arguments.threads, score_threshold=LOWEST_SCORE)
        for weights in (OURS, *arguments.weights)}
    taken = times(detectors, [sample.image for sample in samples])
    figures = {}
    for weights, detector in detectors.items():
        summary = evaluate(detector, samples).summary(LOWEST_SCORE)
        figures[weights] = {
            'ap50': round(summary['ap50'], 3), 'ap': round(summary['ap'], 3), 'ms': taken[weights],
            'ap50_of': {name: round(each['ap50'], 3)
                        for name, each in summary['per_class'].items()},
            'runtime': str(detector.runtime)}
        print(f'{weights:<32}{figures[weights]["ap50"]:>8.3f}{taken[weights]:>8.1f} ms  '
              + ', '.join(f'{name} {ap:.3f}' for name, ap in figures[weights]['ap50_of'].items())
              + f'  ({detector.runtime})', flush=True)
    print(json.dumps({'set': arguments.val, 'images': len(samples), 'detectors': figures}))


def times(detectors, images):
    """Return {name: median milliseconds} of detectors on some images."""
    chosen = images[::max(1, len(images) // TIMED)][:TIMED]
    seconds = {name: [] for name in detectors}
    for image in [*chosen[:1] * WARM_UP, *chosen]:
        for name, detector in detectors.items():
            started = time.perf_counter()
            detector(image)
            seconds[name].append(time.perf_counter() - started)
    return {name: round(1e3 * float(np.median(each[WARM_UP:])), 2)
            for name, each in seconds.items()}


if __name__ == '__main__':
    main()
