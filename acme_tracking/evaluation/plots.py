"""The plots of a report, each a PNG file with one idea."""
from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
import numpy as np

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#555555')
FOLLOWED, COASTING, CORRECTED = '#0072b2', '#f0b27a', '#000000'
# Of more tracks the longest are shown: one cannot read hundreds of lines.
MAXIMUM_TRACKS = 60
HOTA_THRESHOLDS = np.arange(0.05, 0.99, 0.05)


def curves(path, figures: dict[str, dict]) -> None:
    """Draw HOTA over its IoU thresholds, and success over its own, a line for each name."""
    figure = Figure(figsize=(10, 3.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    for color, (name, found) in zip(_colors(), figures.items()):
        if found.get('hota_curve'):
            left.plot(HOTA_THRESHOLDS, found['hota_curve'], color=color,
                      label=f'{name} ({found["hota"]:.3f})')
        if found.get('success_curve'):
            right.plot(np.linspace(0, 1, 21), found['success_curve'], color=color,
                       label=f'{name} ({found["success_auc"]:.3f})')
    left.set(title='HOTA', xlabel='overlap (IoU) that counts as a match', xlim=(0, 1), ylim=(0, 1))
    right.set(title='Success: one track for each object', ylabel='share of the true boxes',
              xlabel='overlap (IoU) exceeded', xlim=(0, 1), ylim=(0, 1))
    for axes in left, right:
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False, fontsize=9)
    _save(figure, path)


def cost(path, figures: dict[str, dict]) -> None:
    """Draw what is paid, the share of images with a CNN run, against what is got, HOTA."""
    figure = Figure(figsize=(5, 3.8), layout='constrained')
    axes = figure.subplots()
    for color, (name, found) in zip(_colors(), figures.items()):
        if found['hota'] is not None:
            axes.scatter(100 * found['detector_share'], found['hota'], color=color, s=70, zorder=3)
            side = -1 if found['detector_share'] > 0.6 else 1
            axes.annotate(name, (100 * found['detector_share'], found['hota']),
                          (8 * side, 6), textcoords='offset points',
                          ha='left' if side > 0 else 'right')
    axes.set(title='Cost and benefit', xlabel='images with a CNN run, %', ylabel='HOTA',
             xlim=(0, 105))
    axes.margins(y=0.25)
    axes.grid(alpha=0.3)
    _save(figure, path)


def reliability(path, figures: dict[str, dict]) -> None:
    """Draw how often tracks with a score are on an object, against that score."""
    figure = Figure(figsize=(5, 3.8), layout='constrained')
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='#999999', linestyle='--', linewidth=1)
    for color, (name, found) in zip(_colors(), figures.items()):
        bins = found.get('reliability', {})
        rows = [(promised, kept) for promised, kept, count in zip(
            bins.get('promised', ()), bins.get('kept', ()), bins.get('counts', ())) if count]
        if rows:
            axes.plot(*zip(*rows), color=color, marker='o', markersize=4,
                      label=f'{name} (error {bins["ece"]:.2f})')
    axes.set(title='Does the score keep its word?', xlabel='score of a track',
             ylabel='share that is on an object', xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=9)
    _save(figure, path)


def timeline(path, tracks: dict[str, dict], detected, seconds: float) -> None:
    """
    Draw the life of every track, one line each, and when the CNN ran.

    tracks: {id: {label, spans [first, last, state], corrected}} and detected, all in seconds.
    """
    def length(track):
        return sum(last - first for first, last, _ in track['spans'])
    longest = sorted(tracks, key=lambda one: -length(tracks[one]))[:MAXIMUM_TRACKS]
    shown = sorted(longest, key=lambda one: (tracks[one]['spans'][0][0], int(one)))
    figure = Figure(figsize=(10, 1.4 + 0.17 * len(shown)), layout='constrained')
    axes = figure.subplots()
    seconds = max(seconds, 0.1)
    least = seconds / 400  # what lasts one image is to be seen too
    for row, identity in enumerate(shown):
        track = tracks[identity]
        for first, last, state in track['spans']:
            axes.barh(row, max(last - first, least), left=first, height=0.7,
                      color=COASTING if state else FOLLOWED)
        axes.plot(track['corrected'], [row] * len(track['corrected']), '|', color=CORRECTED,
                  markersize=6, markeredgewidth=0.8)
    axes.plot(detected, [-1.6] * len(detected), '|', color=COLORS[1], markersize=8)
    axes.set(xlim=(0, seconds), ylim=(len(shown), -2.6), xlabel='seconds')
    axes.set_yticks([-1.6, *range(len(shown))],
                    ['CNN', *(f'{tracks[one]["label"]} #{one}' for one in shown)], fontsize=7)
    axes.legend(handles=[
        Patch(color=FOLLOWED, label='confirmed, followed by sight'),
        Patch(color=COASTING, label='coasting: not seen, predicted'),
        Line2D([], [], color=CORRECTED, marker='|', linestyle='', label='re-detected')],
        loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
    _save(figure, path)


def _colors():
    while True:
        yield from COLORS


def _save(figure, path):
    # without its own name and version in the file, so that equal plots are equal bytes
    figure.savefig(path, dpi=130, metadata={'Software': None})
