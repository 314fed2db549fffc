"""The curves of a classifier's training, and what they say in plain words."""
from __future__ import annotations

from matplotlib.figure import Figure
import numpy as np

GAP = 0.1  # top-1 on training images above that on validation images: learned by heart
RISE = 1.15  # the validation loss against its lowest: it got worse again
LOW = 0.85  # top-1 on training images below it: not even they were learned
FALL = 0.9  # the validation loss of the last third against that of the third before: still falling


def verdict(history) -> str:
    """
    Return 'underfitting', 'overfitting' or 'fine', a colon, and the reason.

    history: dicts with `loss`, `validation_loss`, `top1` and `validation_top1` of every epoch, all
    on unaugmented images.
    """
    loss, validation, top1, validation_top1 = (
        np.array([epoch[key] for epoch in history])
        for key in ('loss', 'validation_loss', 'top1', 'validation_top1'))
    best = int(validation.argmin())
    if best < len(history) - 1 and validation[-1] > RISE * validation[best] \
            and loss[-1] < loss[best]:
        return (f'overfitting: after epoch {best + 1} the validation loss rose from '
                f'{validation[best]:.3f} to {validation[-1]:.3f} while the training loss fell; '
                'the weights of the best epoch are kept; more images, augmentation or a smaller '
                'network would help')
    if top1[best] < LOW:
        return (f'underfitting: only {top1[best]:.0%} of the training images are right; train '
                'longer, at another rate, or a larger network')
    if top1[best] - validation_top1[best] > GAP:
        return (f'overfitting: {top1[best]:.0%} of the training images are right, but only '
                f'{validation_top1[best]:.0%} of others; more images, augmentation or a smaller '
                'network would help')
    third = len(history) // 3
    if third and validation[-third:].mean() < FALL * validation[-2 * third:-third].mean():
        return 'underfitting: the validation loss was still falling at the end; train longer'
    return (f'fine: {top1[best]:.0%} of the training images are right, and '
            f'{validation_top1[best]:.0%} of others')


def draw(history) -> Figure:
    """Return loss and top-1 of every epoch; a dashed line marks where a new phase begins."""
    figure = Figure(figsize=(11, 4), layout='constrained')
    epochs = np.arange(1, len(history) + 1)
    for axes, key, title in zip(figure.subplots(1, 2), ('loss', 'top1'), ('loss', 'top-1')):
        for prefix, label in (('', 'training'), ('validation_', 'validation')):
            axes.plot(epochs, [epoch[prefix + key] for epoch in history], 'o-', markersize=3,
                      label=label)
        for number in range(1, len(history)):
            if history[number]['phase'] != history[number - 1]['phase']:
                axes.axvline(number + 0.5, color='grey', linestyle='--')
                axes.annotate(f' {history[number]["phase"]}', (number + 0.5, 1),
                              xycoords=('data', 'axes fraction'), va='top', color='grey')
        axes.set(title=title, xlabel='epoch')
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
