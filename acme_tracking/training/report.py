"""Reports of trainings and evaluations of the detector: what `page` shows of them."""
from __future__ import annotations

from pathlib import Path

from acme_tracking import page
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.options import SCORE_THRESHOLD
from acme_tracking.drawing import draw_tracks
from acme_tracking.metrics.average_precision import evaluate, LOWEST_SCORE, RECALLS, SIZES
import cv2
from matplotlib.figure import Figure
import numpy as np

PICTURES = 6  # of each set
PICTURE_WIDTH = 480
TRUTH = (255, 255, 255)  # colour of the labelled boxes in pictures


def write_training_report(out, validation, metrics) -> None:
    """
    Write `out`/report.html about the weights `out`/detector.safetensors.

    validation: name -> list of Sample; metrics: the content of metrics.json.
    """
    parts = [page.heading('Learning'), page.plot(_learning(metrics)),
             page.text('The training loss is that of augmented images, so it often lies above '
                       'that of validation. A validation loss that rises while the training loss '
                       'falls is overfitting; both high and still falling is underfitting: train '
                       'longer.')]
    for name, samples in validation.items():
        detector = Detector.from_checkpoint(Path(out) / 'detector.safetensors',
                                            score_threshold=LOWEST_SCORE)
        parts += [page.heading(f'{name}: {len(samples)} images'),
                  *scores(evaluate(detector, samples)), *pictures(detector, samples)]
    parts += [page.heading('Knobs'), page.table(['', ''], metrics['knobs'].items())]
    page.write(Path(out) / 'report.html', f'Training of {", ".join(metrics["classes"])}', parts)


def scores(score) -> list[str]:
    """Return tables by class and size, and the curves of a Score, as HTML."""
    summary = score.summary(SCORE_THRESHOLD)
    rows = [(name, each['boxes'], *_percent(each))
            for name, each in summary['per_class'].items()]
    rows.append(('all', sum(each['boxes'] for each in summary['per_class'].values()),
                 *_percent(summary)))
    sizes = [(f'{name}, {size}', part['boxes'], f'{part["ap50"]:.3f}', f'{part["recall"]:.3f}')
             for name, each in summary['per_class'].items()
             for size, part in each['sizes'].items()]
    recall = f'recall at {SCORE_THRESHOLD}'
    return [page.table(['class', 'boxes', 'AP', 'AP50', recall,
                        f'precision at {SCORE_THRESHOLD}'], rows),
            page.text(f'By the root of the area of a box in pixels of the image, small is below '
                      f'{SIZES["medium"][0]} and large from {SIZES["large"][0]} on.'),
            page.table(['class and size', 'boxes', 'AP50', recall], sizes),
            page.plot(_curves(score.curves(), score.reliability()))]


def pictures(detector, samples) -> list[str]:
    """Return some samples with what is found on them, as HTML; labelled boxes are white."""
    chosen = samples[::max(1, len(samples) // PICTURES)][:PICTURES]
    return [_picture(sample, detector(sample.image)) for sample in chosen]


def _percent(figures):
    return [f'{figures[name]:.3f}' for name in ('ap', 'ap50', 'recall', 'precision')]


def _picture(sample, found) -> str:
    """Return a sample with its labelled and its found boxes as HTML."""
    canvas = sample.image.copy()
    for left, top, right, bottom in sample.boxes.round().astype(int).tolist():
        cv2.rectangle(canvas, (left, top), (right, bottom), TRUTH, 2)
    canvas = draw_tracks(canvas, found.select(found.scores >= SCORE_THRESHOLD))
    height = round(canvas.shape[0] * PICTURE_WIDTH / canvas.shape[1])
    canvas = cv2.resize(canvas, (PICTURE_WIDTH, max(1, height)), interpolation=cv2.INTER_AREA)
    return page.picture(cv2.imencode('.jpg', canvas)[1].tobytes(), 'jpeg')


def _learning(metrics) -> Figure:
    """Return the curves of the losses and of AP50 over the steps."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    losses, precisions = figure.subplots(1, 2)
    steps, values = np.array(metrics['loss'] or np.empty((0, 2))).T
    losses.plot(steps, values, color='lightgrey')
    if len(values):
        width = max(1, len(values) // 30)
        smooth = np.convolve(values, np.ones(width) / width, mode='valid')
        losses.plot(steps[width // 2:][:len(smooth)], smooth, color='grey', label='training')
    history = metrics['history']
    for name in history[-1]['sets']:
        at = [each['step'] for each in history]
        for axes, key in ((losses, 'loss'), (precisions, 'ap50')):
            axes.plot(at, [each['sets'][name][key] for each in history], 'o-', markersize=3,
                      label=name)
    losses.set(title='loss', xlabel='step')
    if len(values):
        losses.set_ylim(0, 1.5 * np.percentile(values, 95))
    precisions.set(title='AP50 on validation sets', xlabel='step', ylim=(0, 1))
    _finish(losses, precisions)
    return figure


def _curves(precisions, reliabilities) -> Figure:
    """Return precision (101,) at RECALLS by class, and precision by score, side by side."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    curves, kept = figure.subplots(1, 2)
    for name, precision in precisions.items():
        curves.plot(RECALLS, precision, label=name)
    for name, (score, precision, _) in reliabilities.items():
        kept.plot(score, precision, 'o-', markersize=3, label=name)
    kept.plot((0, 1), (0, 1), color='lightgrey')
    curves.set(title='precision and recall at IoU 0.5', xlabel='recall', ylabel='precision',
               xlim=(0, 1), ylim=(0, 1.02))
    kept.set(title='how many are right, by score', xlabel='score', ylabel='precision',
             xlim=(0, 1), ylim=(0, 1.02))
    _finish(curves, kept)
    return figure


def _finish(*plots) -> None:
    for axes in plots:
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize='small')
