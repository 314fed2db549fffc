"""
Measures whether the confidences of the visual trackers mean what docs/confidence.md says.

Every tracker follows objects of rendered roads and of the highway clip from their first true box
to the last, without help; its constants were fitted on none of them.  Printed is the expected
calibration error (10 bins) on each set and on all; drawn are the reliability diagrams.

    .venv/bin/python benchmark/calibration.py --out docs/images
    .venv/bin/python benchmark/calibration.py --fit

With --fit the constants are fitted anew, on other rendered roads: centre and scale of a logistic
curve, by maximum likelihood, for the attribute `calibration` of the tracker's class.
"""
import argparse
import os
from pathlib import Path

from acme_tracking.evaluation import one_pass
from acme_tracking.evaluation.sequences import (
    FAMILIES,
    read_folder,
    rendered,
    roughly_started,
    traffic,
)
from acme_tracking.metrics import calibration
from acme_tracking.tracking.visual import availability, make_tracker, TRACKER_NAMES
import cv2
import numpy as np

DATA = Path(os.environ.get('ACME_TRACKING_DATA',
                           Path(__file__).resolve().parents[2] / 'shared/data'))
# Seeds of the synthetic road; benchmark/trackers.py has 300 to 303.
FIT_FAMILIES, FIT_TRAFFIC = range(100, 106), range(110, 120)
HELD_OUT_FAMILIES, HELD_OUT_TRAFFIC = range(200, 203), range(210, 215)
HIGHWAY_STRIDE = 3  # one in so many identities of the clip


def main():
    """Fit or check."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--trackers', nargs='+', choices=TRACKER_NAMES, default=TRACKER_NAMES,
                        metavar='NAME', help=f'some of {", ".join(TRACKER_NAMES)}')
    parser.add_argument('--fit', action='store_true', help='fit the constants anew')
    parser.add_argument('--out', type=Path, default=Path('out/calibration'),
                        help='folder for reliability.png')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    names = [name for name in arguments.trackers if not availability()[name]]
    if arguments.fit:
        fit(names)
    else:
        check(names, arguments.out)


def fit(names):
    """Print the constants that the rendered roads for fitting give."""
    # Every second one starts on a box as a detector finds it, the others on a true one.
    answers = collect(names, (roughly_started(sequence, index) if index % 2 else sequence
                              for index, sequence in enumerate(scenes(FIT_FAMILIES, FIT_TRAFFIC))))
    print(f'{"":12}{"center":>9}{"scale":>9}{"updates":>9}{"on it":>7}')
    for name, (confidences, correct) in answers.items():
        told = confidences > 0  # 0 is not a quality, it is no answer
        if np.ptp(confidences) == 0:
            print(f'{name:12}  always the same; right in {correct.mean():.2f}')
            continue
        # Of a tracker without constants of this form the logit is corrected: (0, 1) is right.
        center, scale = getattr(type(make_tracker(name)), 'calibration', (0.0, 1.0))
        quality = center + scale * calibration.logit(confidences[told])
        center, scale = calibration.fit_logistic(quality, correct[told])
        print(f'{name:12}{center:9.3f}{scale:9.4f}{told.sum():9}{correct[told].mean():7.2f}')


def check(names, out):
    """Print the calibration errors and draw the reliability diagrams."""
    answers = {'roads': collect(names, scenes(HELD_OUT_FAMILIES, HELD_OUT_TRAFFIC))}
    highway = DATA / 'clips' / 'highway-day'
    if highway.is_dir():
        answers['highway-day'] = collect(names, read_folder(highway)[::HIGHWAY_STRIDE])
    else:
        print('no highway-day: set ACME_TRACKING_DATA to the folder with the clips')
    answers['all'] = {name: [np.concatenate(part) for part in zip(
        *(answer[name] for answer in answers.values()))] for name in names}
    print('expected calibration error')
    print(f'{"":12}' + ''.join(f'{title:>14}' for title in answers))
    for name in names:
        print(f'{name:12}' + ''.join(
            f'{calibration.expected_calibration_error(*answer[name]):14.3f}'
            for answer in answers.values()))
    draw(answers, out)


def scenes(family_seeds, traffic_seeds):
    """Yield rendered sequences, at 8 to 30 images per second."""
    for seed in family_seeds:
        for family in FAMILIES:
            yield rendered(family, seed, rate=(10, 30)[seed % 2])
    for seed in traffic_seeds:
        yield from traffic(seed, rate=(8, 12, 20, 30)[seed % 4])


def collect(names, sequences):
    """Return {tracker: (confidences, whether the box was on the object)} of all updates."""
    collected = {name: ([], []) for name in names}
    for sequence in sequences:
        passes = one_pass.run(sequence, {name: make_tracker(name) for name in names})
        for name, result in passes.items():
            known = np.isfinite(result.overlaps)
            collected[name][0].append(result.confidences[known])
            collected[name][1].append(result.overlaps[known] >= calibration.ON_TARGET_IOU)
    return {name: tuple(map(np.concatenate, parts)) for name, parts in collected.items()}


def draw(answers, out):
    """Write reliability.png, where matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        print('no plot: it needs matplotlib (pip install matplotlib)')
        return
    matplotlib.use('Agg')
    from matplotlib import pyplot

    out.mkdir(parents=True, exist_ok=True)
    names = list(answers['all'])
    columns = min(4, len(names))
    figure, axes = pyplot.subplots(-(-len(names) // columns), columns, squeeze=False, sharex=True,
                                   sharey=True, layout='constrained',
                                   figsize=(3 * columns, 3.2 * -(-len(names) // columns)))
    for axis in axes.flat[len(names):]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names):
        axis.plot([0, 1], [0, 1], '--', color='grey', linewidth=1)
        for title, answer in answers.items():
            if title == 'all' and len(answers) == 2:
                continue  # there is one set
            promised, kept, counts = calibration.reliability(*answer[name])
            used = counts >= 10  # fewer show chance
            axis.plot(promised[used], kept[used], 'o-', markersize=3, label=title,
                      linewidth=2 if title == 'all' else 1)
        error = calibration.expected_calibration_error(*answers['all'][name])
        axis.set(title=f'{name}: error {error:.3f}', xlim=(0, 1), ylim=(0, 1))
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize='small')
    figure.supxlabel('confidence')
    figure.supylabel('share on the object (IoU of at least 0.5)')
    figure.savefig(out / 'reliability.png', dpi=100)
    print(f'reliability.png in {out}')


if __name__ == '__main__':
    main()
