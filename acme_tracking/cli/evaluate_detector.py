"""`acme_tracking evaluate detector`: how well and how fast the CNN finds what is labelled."""
from __future__ import annotations

from dataclasses import replace
import json
import os
from pathlib import Path
import platform
import time

from acme_tracking import page
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.options import SCORE_THRESHOLD
from acme_tracking.detection.runtimes import files_of
from acme_tracking.metrics.average_precision import evaluate, LOWEST_SCORE
from acme_tracking.training import report
from acme_tracking.training.data import read, read_mapping
import cv2
import numpy as np
from tqdm import tqdm

TIMED_SIZE = (640, 360)  # width and height that images are brought to for the latency
TIMED_IMAGES = 50
WARM_UP = 5


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('--val', required=True, metavar='BANK', help='labelled images: a COCO '
                        'file, a data.yaml, or a folder laid out as COCO, KITTI, Pascal VOC or '
                        'YOLO, of which the split val is taken, or test of FOLDER:test')
    parser.add_argument('--out', required=True, type=Path, metavar='RUN',
                        help='folder for metrics.json and report.html')
    parser.add_argument('--weights', type=Path, metavar='FILE',
                        help="a checkpoint, an ONNX file, or hf:ID (default: the package's own)")
    parser.add_argument('--input-size', type=int, default=0, metavar='SIDE', help='images are '
                        'resized to the area of SIDE x SIDE pixels (default: as trained)')
    parser.add_argument('--tiles', type=int, default=1, metavar='N', help='also look at N x N '
                        'overlapping parts of every image')
    parser.add_argument('--any', action='store_true', help='count car, truck and bus as one '
                        'class, vehicle')
    parser.add_argument('--map', metavar='YAML', help='renames classes of the bank by lines such '
                        'as `van: car`; `tram: null` leaves one out')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto',
                        help='where the CNN runs (default: %(default)s)')
    parser.add_argument('--threads', type=int, metavar='N',
                        help='CPU threads (default: one for each core)')


def run(arguments) -> int:
    """Evaluate, write the report, print the headline; return the exit status."""
    bank = read(arguments.val, 'val')
    if arguments.map:
        bank = bank.mapped(read_mapping(arguments.map))
    detector = Detector.from_checkpoint(
        arguments.weights, device=arguments.device, score_threshold=LOWEST_SCORE,
        input_size=arguments.input_size, tiles=arguments.tiles,
        threads=arguments.threads or len(os.sched_getaffinity(0)))
    bank.require(detector.names.tolist())
    score = evaluate(detector, tqdm(bank, unit='image', desc='evaluating', leave=False),
                     arguments.any)
    summary = score.summary(SCORE_THRESHOLD)
    if not summary['images']:
        raise ValueError(f'{bank.path}: no image could be read')
    detector.configure(input_size=arguments.input_size, tiles=arguments.tiles)
    files = files_of(arguments.weights, arguments.device)
    names, matrix = score.confusion(SCORE_THRESHOLD)
    metrics = {
        **summary, 'set': str(bank.path), 'split': bank.part, 'input_size': detector.input_size,
        'tiles': detector.tiles, 'weights': (arguments.weights or files[0]).name,
        'bytes': sum(path.stat().st_size for path in files),
        'latency_ms': latency(detector, some(bank, TIMED_IMAGES)),
        'machine': f'{detector.runtime}, {platform.machine()}',
        'confusion': {'classes': names, 'rows_are_truth': matrix.tolist()},
        'curves': {name: np.round(curve, 4).tolist() for name, curve in score.curves().items()},
        'reliability': {name: [_bin(*each) for each in zip(*bins)]
                        for name, bins in score.reliability().items()}}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / 'metrics.json').write_text(json.dumps(metrics, indent=1))
    write_report(arguments.out / 'report.html', metrics, score, detector,
                 list(some(bank, report.PICTURES)))
    print_headline(metrics)
    print(f'\nSee {arguments.out / "report.html"} and {arguments.out / "metrics.json"}.')
    return 0


def _bin(score, precision, count) -> dict:
    """Return a bin of the reliability as JSON has it, None for what an empty one lacks."""
    return {'score': round(float(score), 4) if count else None,
            'precision': round(float(precision), 4) if count else None, 'count': int(count)}


def some(bank, count):
    """Return a bank of at most `count` of the images, evenly spread."""
    return replace(bank, images=bank.images[::max(1, len(bank) // count)][:count])


def latency(detector, samples) -> dict:
    """
    Return {stage: {p50, p95}} in milliseconds for JPEG images of TIMED_SIZE.

    The stages are decode, resize, network, nms, and all of them.
    """
    files = [cv2.imencode('.jpg', cv2.resize(sample.image, TIMED_SIZE))[1] for sample in samples]
    stages = []
    for file in [files[0]] * WARM_UP + files:
        started = time.perf_counter()
        image = cv2.imdecode(file, cv2.IMREAD_COLOR)
        decoded = time.perf_counter()
        detector(image)
        stages.append({'decode': decoded - started, **detector.seconds,
                       'all': time.perf_counter() - started})
    percentiles = {stage: np.percentile([each[stage] for each in stages[WARM_UP:]], (50, 95))
                   for stage in stages[0]}
    return {stage: {'p50': round(1e3 * float(middle), 2), 'p95': round(1e3 * float(high), 2)}
            for stage, (middle, high) in percentiles.items()}


def write_report(path, metrics, score, detector, samples) -> None:
    """Write the HTML report."""
    names = metrics['confusion']['classes']
    rows = zip([*names, 'nothing'], metrics['confusion']['rows_are_truth'])
    page.write(path, f'{metrics["weights"]} on {Path(metrics["set"]).stem}', [
        page.text(f'{metrics["images"]} images; {metrics["bytes"] / 1e6:.1f} MB.'),
        *report.scores(score),
        page.heading('What was found as what'),
        page.text('Rows are labels, columns detections with a score of at least '
                  f'{SCORE_THRESHOLD}, matched at an IoU of 0.5 whatever their class.'),
        page.table(['', *names, 'missed'], [(name, *row) for name, row in rows]),
        page.heading('Latency in milliseconds'),
        page.text('JPEG images of {} x {} pixels on {}.'.format(*TIMED_SIZE,
                                                                metrics['machine'])),
        page.table(['stage', 'p50', 'p95'], [
            (stage, each['p50'], each['p95']) for stage, each in metrics['latency_ms'].items()]),
        page.heading('Some images; labelled boxes are white'),
        *report.pictures(detector, samples)])


def print_headline(metrics) -> None:
    """Print the main figures as a table."""
    print(f'{"":<14}{"boxes":>8}{"AP":>8}{"AP50":>8}{"recall":>8}{"precision":>11}   AP50 by size')
    for name, each in [*metrics['per_class'].items(), ('all', metrics)]:
        boxes = each.get('boxes', sum(row['boxes'] for row in metrics['per_class'].values()))
        sizes = ', '.join(f'{size} {figures["ap50"]:.2f}'
                          for size, figures in each.get('sizes', {}).items())
        print(f'{name:<14}{boxes:>8}{each["ap"]:>8.3f}{each["ap50"]:>8.3f}'
              f'{each["recall"]:>8.3f}{each["precision"]:>11.3f}   {sizes}'.rstrip())
    print('\nmilliseconds for {} x {}, p50: '.format(*TIMED_SIZE) + ', '.join(
        f'{stage} {each["p50"]:.1f}' for stage, each in metrics['latency_ms'].items())
        + f' ({metrics["machine"]})')
