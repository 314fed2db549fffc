"""How good a classifier is: top-1, top-5, the confusion matrix, and every class by itself."""
from __future__ import annotations

from acme_tracking.page import heading, table
import numpy as np


def assess(probabilities, truth, classes) -> dict:
    """
    Return the figures of a classifier.

    probabilities: (N, C), or any scores that rank the classes; truth: int (N,), places in
    `classes`.  `confusion[i][j]` counts objects of class i that were taken for j.
    """
    # here, for it takes a second, and who trains a detector does not come here
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    order = np.argsort(-probabilities, axis=1, kind='stable')
    hits = order == truth[:, np.newaxis]
    places = np.arange(len(classes))
    columns = precision_recall_fscore_support(truth, order[:, 0], labels=places, zero_division=0)
    return {
        'count': len(truth),
        'top1': float(hits[:, 0].mean()),
        'top5': float(hits[:, :5].any(axis=1).mean()),
        'confusion': confusion_matrix(truth, order[:, 0], labels=places).tolist(),
        'per_class': {name: {'precision': float(p), 'recall': float(r), 'f1': float(f),
                             'count': int(n)}
                      for name, p, r, f, n in zip(classes, *columns)},
    }


def sections(figures, classes) -> list[str]:
    """Return the figures as HTML."""
    rows = [(name, each['count'], *(f'{each[key]:.3f}' for key in ('precision', 'recall', 'f1')))
            for name, each in figures['per_class'].items()]
    return [heading(f'Validation: {figures["count"]} crops, {summary(figures)}'),
            table(['class', 'crops', 'precision', 'recall', 'F1'], rows),
            heading('Confusion: rows are true, columns are answers'),
            table(['', *classes], [(name, *row) for name, row in
                                   zip(classes, figures['confusion'])])]


def summary(figures) -> str:
    """Return top-1 and top-5, the latter where it says something."""
    top5 = f', top-5 {figures["top5"]:.1%}' if len(figures['per_class']) > 5 else ''
    return f'top-1 {figures["top1"]:.1%}{top5}'


def as_text(figures, classes) -> str:
    """Return the confusion matrix and the recall and precision of every class for a terminal."""
    width = max(map(len, (*classes, 'precision')))
    lines = [' ' * width + ''.join(f'{name:>{width + 2}}' for name in (*classes, 'recall'))]
    for name, row in zip(classes, figures['confusion']):
        cells = [*map(str, row), f'{figures["per_class"][name]["recall"]:.3f}']
        lines.append(f'{name:<{width}}' + ''.join(f'{cell:>{width + 2}}' for cell in cells))
    lines.append(f'{"precision":<{width}}' + ''.join(
        f'{figures["per_class"][name]["precision"]:>{width + 2}.3f}' for name in classes))
    return '\n'.join(lines)
