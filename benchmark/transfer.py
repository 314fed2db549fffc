"""
Measures transfer: how long linear classifiers train, and with --compare what transfer brings.

Linear classifiers learn from made-up features of the size of VGG16's last pooling: 5,000 rows of
25,088 values, three classes.  Each model has a process of its own, so that its peak of memory
(features included) can be told.  `--compare` trains on crops of street_train in ACME_TRACKING_DATA
and validates on street_val, some minutes for each row of the table in docs/transfer.md.
"""
import argparse
import contextlib
import io
import json
import multiprocessing
import os
from pathlib import Path
import resource
import tempfile
import time

from acme_tracking.training import linear
import numpy as np

DATA = Path(os.environ.get('ACME_TRACKING_DATA',
                           Path(__file__).resolve().parent.parent / '../shared/data'))
CLASSES = 3
PENALTY = 1.0  # C, scikit-learn's own
SIDE = 64  # of the crops in the comparison
EARLIER = 'backbone.stages.3'  # a stage before the last


def main():
    """Measure, and print the figures and at last one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=5000)
    parser.add_argument('--columns', type=int, default=25088)
    parser.add_argument('--grid', action='store_true', help='also choose C, among '
                        f'{len(linear.GRID)} by {linear.FOLDS} folds')
    parser.add_argument('--compare', action='store_true',
                        help='also train the networks of the comparison')
    parser.add_argument('--epochs', type=int, default=12, help='of each training to compare')
    parser.add_argument('--out', type=Path, help='where the trainings go (default: nowhere)')
    arguments = parser.parse_args()
    report = {'rows': arguments.rows, 'columns': arguments.columns,
              'load': round(os.getloadavg()[0], 1)}
    for model in linear.MODELS:
        grid = linear.GRID if arguments.grid else (PENALTY,)
        measured = in_a_process(speed, model, arguments.rows, arguments.columns, grid)
        report |= {f'{model}_{key}': value for key, value in measured.items()}
        print(f'{model:<20}{measured["s"]:6.1f} s ({measured["cpu_s"]:.1f} s of one core), '
              f'{measured["accuracy"]:.1%} right of others, peak {measured["peak_mb"]} MB',
              flush=True)
    if arguments.compare:
        with tempfile.TemporaryDirectory() as folder:
            compare(arguments.out or Path(folder), arguments.epochs)
    print(json.dumps(report))


def in_a_process(function, *arguments):
    """Return what a function returns in a fresh process."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(function, arguments)


def made_up(rows, columns, rng, centers):
    """Return float32 (rows, columns) features, sparse and positive as after ReLU, and classes."""
    truth = rng.integers(0, CLASSES, rows)
    features = np.empty((rows, columns), np.float32)
    for row, place in zip(features, truth):
        np.maximum(rng.standard_normal(columns, np.float32) + centers[place], 0, out=row)
    return features, truth


def speed(model, rows, columns, grid) -> dict:
    """Return seconds of a training, those of a CPU, accuracy on others and peak megabytes."""
    rng = np.random.default_rng(0)
    strength = 4.0 / np.sqrt(columns)  # so that it is learned, but not by everyone
    centers = np.float32(strength * rng.standard_normal((CLASSES, columns)))
    features, truth = made_up(rows, columns, rng, centers)
    start, worked = time.monotonic(), time.process_time()
    fitted = linear.fit(features, truth, model, grid)
    seconds, worked = time.monotonic() - start, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    others, other_truth = made_up(rows // 10, columns, rng, centers)
    right = fitted.logits(others).argmax(axis=1) == other_truth
    return {'s': round(seconds, 2), 'cpu_s': round(worked, 2), 'peak_mb': round(peak / 1024),
            'accuracy': round(float(right.mean()), 3)}


def compare(out, epochs) -> None:
    """Print a table of trainings on the crops of street_train, judged on street_val."""
    from acme_tracking.share import shipped_weights
    bank = str(DATA / 'detection' / '{}.json')
    street = ['--data', bank.format('street_train'), '--val', bank.format('street_val')]
    train(out / 'body', 'classifier', epochs, '--data', bank.format('highway_train'))
    bodies = {'highway': out / 'body' / 'classifier.safetensors', 'detector': shipped_weights()}
    print('| body | method | top-1 | core seconds | size |\n| --- | --- | --- | --- | --- |')
    row('none', 'from scratch', train(out / 'scratch', 'classifier', epochs, *street))
    for name, weights in bodies.items():
        transfer = ['transfer', epochs, *street, '--network', 'smaller_vgg', '--weights',
                    str(weights)]
        for model in linear.MODELS:
            row(name, f'features, {model.replace("_", " ")}', train(
                out / name / 'features', *transfer, '--method', 'features', '--model', model))
        row(name, f'features of {EARLIER}, logistic regression', train(
            out / name / 'earlier', *transfer, '--method', 'features', '--layer', EARLIER))
        row(name, 'fine-tuning', train(out / name / 'finetune', *transfer, '--method',
                                       'finetune', '--warmup', '3', '--rate', '0.1'))


def train(out, kind, epochs, *arguments):
    """Run a training; return top-1, seconds of a CPU core and bytes of its checkpoint."""
    from acme_tracking.cli import main as command
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        status = command(['train', kind, '--out', str(out), '--size', str(SIDE), '--epochs',
                          str(epochs), *arguments])
    if status:
        raise SystemExit(status)
    metrics = json.loads((out / 'metrics.json').read_text())
    return (metrics['top1'], time.process_time() - start,
            (out / 'classifier.safetensors').stat().st_size)


def row(body, method, result) -> None:
    """Print a row of the table."""
    top1, seconds, size = result
    print(f'| {body} | {method} | {top1:.1%} | {seconds:.0f} | {size / 1e6:.1f} MB |',
          flush=True)


if __name__ == '__main__':
    main()
