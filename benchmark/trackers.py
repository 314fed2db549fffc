"""
Compares the visual trackers of this machine in one run: how well, how fast, how many.

One pass over sequences with ground truth (success AUC, precision at 20 pixels, images per second
for one object), then the cost of an image of 1280 x 720 against the number of objects.  The
trackers take turns on every image, so that other load on the machine meets all of them.  The
sequences are those of the highway clip, where the data is, and of the synthetic road, seen by a
camera that stands and by others that drive, walk and fly; or whatever folders are named, in OTB
or MOTChallenge layout.  The last line is JSON.

    .venv/bin/python benchmark/trackers.py
    .venv/bin/python benchmark/trackers.py --trackers csrt dlib --out out/otb OTB100/
"""
import argparse
import json
import os
from pathlib import Path
import time

from acme_tracking import geometry
from acme_tracking.evaluation import one_pass
from acme_tracking.evaluation.sequences import (
    FAMILIES,
    read_folder,
    rendered,
    spread,
    traffic,
)
from acme_tracking.metrics import success
from acme_tracking.scene import DRIVES, Scene
from acme_tracking.tracking.camera_motion import Camera
from acme_tracking.tracking.visual import availability, make_tracker, TRACKER_NAMES, update_all
import cv2
import numpy as np

DATA = Path(os.environ.get('ACME_TRACKING_DATA',
                           Path(__file__).resolve().parents[2] / 'shared/data'))
# No seed here is one that a confidence was calibrated on (see benchmark/calibration.py).
SEEDS = range(300, 304)
MOVING_OBJECTS = 2  # of each drive
COUNTS = (1, 2, 5, 10, 20, 50)
TIMED_IMAGES = 7


def main():
    """Run the benchmark."""
    arguments = parse()
    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    names = usable(arguments.trackers)
    scores = {}
    for title, sequences in data_sets(arguments):
        scores[title] = score(names, sequences)
        print_scores(title, scores[title])
    cost = cost_of_objects(names, (1, 2, 5) if arguments.quick else COUNTS)
    print_cost(cost)
    draw(scores, cost, arguments.out)
    print(json.dumps({
        'sequences': summary([row for rows in scores.values() for row in rows], names),
        'objects_ms': {name: {str(count): round(ms, 2) for count, ms in row.items()}
                       for name, row in cost.items()},
        'sets': {title: summary(rows, names) for title, rows in scores.items()}}))


def parse():
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('folders', nargs='*', type=Path,
                        help='sequences in OTB or MOTChallenge layout, in place of the usual ones')
    parser.add_argument('--trackers', nargs='+', choices=TRACKER_NAMES, default=TRACKER_NAMES,
                        metavar='NAME', help=f'some of {", ".join(TRACKER_NAMES)}')
    parser.add_argument('--limit', type=int, default=30,
                        help='use so many sequences of a folder, spread evenly; 0 for all')
    parser.add_argument('--quick', action='store_true',
                        help='4 sequences of each folder, 1 of each family, at most 5 objects')
    parser.add_argument('--threads', type=int, default=0,
                        help='threads that OpenCV may use; 0 for its own choice')
    parser.add_argument('--out', type=Path, default=Path('out/trackers'),
                        help='folder for the plots')
    return parser.parse_args()


def usable(names):
    """Return the trackers that this machine can make; say why not of the others."""
    reasons = availability()
    for name in names:
        if reasons[name]:
            print(f'{name}: not here: {reasons[name]}')
    return [name for name in names if not reasons[name]]


def data_sets(arguments):
    """Yield (title, sequences) of the folders asked for, or of the clip and the scene."""
    folders = arguments.folders or [DATA / 'clips' / 'highway-day']
    for folder in folders:
        if not arguments.folders and not folder.is_dir():
            print(f'no {folder.name}: set ACME_TRACKING_DATA to the folder with the clips')
            continue
        found = read_folder(folder)
        chosen = spread(found, 4 if arguments.quick else arguments.limit or len(found))
        print(f'{folder.name}: {len(chosen)} of {len(found)} sequences')
        yield folder.name, chosen
    if not arguments.folders:
        seeds = SEEDS[:1] if arguments.quick else SEEDS
        print(f'rendered: {len(seeds)} sequences each of {", ".join(FAMILIES)}')
        yield 'rendered', (rendered(family, seed) for family in FAMILIES for seed in seeds)
        print(f'moving: {len(seeds)} drives each of {", ".join(DRIVES)}')
        yield 'moving', (sequence for drive in DRIVES for seed in seeds
                         for sequence in moving(drive, seed))


def moving(drive, seed):
    """Return objects seen by a camera that moves, for 4 s at 15 images per second."""
    return traffic(seed, length=60, rate=15, objects=MOVING_OBJECTS, camera=drive)


def score(names, sequences):
    """Return one row for each sequence: {tracker: (auc, precision, fps, success curve)}."""
    rows = []
    for sequence in sequences:
        passes = one_pass.run(sequence, {name: make_tracker(name) for name in names})
        rows.append({name: score_pass(passes[name]) for name in names})
    return rows


def score_pass(run):
    """Return (auc, precision, fps, success curve) of one pass."""
    curve = success.success_curve(run.boxes, run.truth)
    # Some trackers are quick once they have lost the object; that is not their speed.
    following = run.seconds[run.overlaps >= 0.5]
    seconds = np.median(following if len(following) else run.seconds)
    return curve.mean(), success.precision(run.boxes, run.truth), 1 / seconds, curve


def summary(rows, names):
    """Return {tracker: {auc, precision, fps}}: means over the sequences, of fps the median."""
    result = {}
    for name in names:
        auc, precision, fps = np.array([row[name][:3] for row in rows]).T
        result[name] = {'auc': round(float(auc.mean()), 3),
                        'precision': round(float(precision.mean()), 3),
                        'fps': round(float(np.median(fps)), 1)}
    return result


def print_scores(title, rows):
    """Print the table of one data set, the best first."""
    print(f'\n{title:24}{"AUC":>8}{"at 20 px":>10}{"fps":>10}')
    table = summary(rows, rows[0])
    for name, row in sorted(table.items(), key=lambda item: -item[1]['auc']):
        print(f'{name:24}{row["auc"]:8.3f}{row["precision"]:10.3f}{row["fps"]:10.0f}', flush=True)
    print()


def cost_of_objects(names, counts):
    """
    Return {tracker: {objects: ms per image}}, medians, of images of 1280 x 720.

    The motion of the camera is part of it: tracks need it on every image.
    """
    images, boxes = busy_road(max(counts))
    cost = {name: {} for name in names}
    for count in counts:
        groups = {name: [make_tracker(name) for _ in range(count)] for name in names}
        for trackers in groups.values():
            for tracker, box in zip(trackers, boxes):
                tracker.start(images[0], box)
        times = {name: [] for name in names}
        cameras = {name: Camera() for name in names}
        for index, image in enumerate(images):
            for name in names[index % len(names):] + names[:index % len(names)]:
                begin = time.perf_counter()
                cameras[name].advance(image, boxes[:count])
                if index:
                    cameras[name].motion  # noqa: B018, it is computed when asked for
                    update_all(groups[name], image, cameras[name])
                times[name].append(time.perf_counter() - begin)
        for name in names:  # the first image is that of the start, the first update fills caches
            cost[name][count] = 1e3 * float(np.median(times[name][2:]))
    return cost


def busy_road(count):
    """Return images of a busy road, and `count` boxes on its objects in the first of them."""
    scene = Scene(width=1280, height=720, seed=SEEDS[0], density=1.0)
    truth = scene.truth(0)
    sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1)
    rng = np.random.default_rng(0)
    boxes = rng.permutation(truth.boxes[(truth.visibility > 0.5) & (sides >= 12)])
    # More than there are objects: the same ones, a little aside.
    repeats = np.tile(boxes, (-(-count // len(boxes)), 1))[:count]
    aside = rng.uniform(-0.1, 0.1, (count, 2)) * (repeats[:, 2:] - repeats[:, :2])
    aside[:len(boxes)] = 0
    boxes = geometry.clip(repeats + np.tile(aside, 2), scene.width, scene.height)
    return [scene.render(index) for index in range(TIMED_IMAGES + 1)], boxes


def print_cost(cost):
    """Print the table of costs."""
    counts = list(next(iter(cost.values())))
    print(f'{"ms per image, objects:":24}' + ''.join(f'{count:>9}' for count in counts))
    for name, row in cost.items():
        print(f'{name:24}' + ''.join(f'{row[count]:9.2f}' for count in counts))


def draw(scores, cost, out):
    """Write success.png and objects.png, where matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        print('no plots: they need matplotlib (pip install matplotlib)')
        return
    matplotlib.use('Agg')
    from matplotlib import pyplot

    out.mkdir(parents=True, exist_ok=True)
    color = {name: f'C{index}' for index, name in enumerate(cost)}
    figure, axes = pyplot.subplots(1, len(scores), figsize=(6.5 * len(scores), 4.5),
                                   squeeze=False, sharey=True, layout='constrained')
    for axis, (title, rows) in zip(axes[0], scores.items()):
        curves = {name: np.mean([row[name][3] for row in rows], axis=0) for name in cost}
        for name in sorted(curves, key=lambda name: -curves[name].mean()):
            axis.plot(success.SUCCESS_THRESHOLDS, curves[name], color=color[name],
                      label=f'{name} {curves[name].mean():.3f}')
        axis.set(title=f'{title}, {len(rows)} sequences', xlabel='overlap (IoU) above',
                 ylim=(0, 1.02))
        axis.legend(title='AUC', loc='upper left', bbox_to_anchor=(1, 1))
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel('share of images')
    figure.savefig(out / 'success.png', dpi=100)
    figure, axis = pyplot.subplots(figsize=(7.5, 4.5), layout='constrained')
    for name, row in cost.items():
        axis.loglog(list(row), list(row.values()), 'o-', color=color[name], label=name)
    axis.axhline(1000 / 30, color='grey', linestyle='--', linewidth=1)
    counts = list(next(iter(cost.values())))
    axis.set_xticks(counts, [str(count) for count in counts], minor=False)
    axis.minorticks_off()
    axis.yaxis.set_major_formatter('{x:g}')
    axis.set(title='1280 x 720 (dashed: 30 images per second)', xlabel='objects',
             ylabel='ms per image')
    axis.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    axis.grid(alpha=0.3)
    figure.savefig(out / 'objects.png', dpi=100)
    print(f'plots in {out}')


if __name__ == '__main__':
    main()
