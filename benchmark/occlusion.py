"""
Measures what an occlusion, and an exit and return, do to tracks, for every visual tracker.

A car crosses a rendered road and is hidden for a second; or it drives out of the picture and comes
back.  The detector is perfect but answers 300 ms late.  Printed are medians over the seeds of the
time from the loss to the first score below 0.5 (noticed) and from the reappearance to a track on
the car (recovered), the share of hidden images with a confident track on the car (false), and in
how many seeds the id was kept.  The last line is JSON.

    .venv/bin/python benchmark/occlusion.py
"""
import argparse
import json

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.scene import Scene, TARGET_ID
from acme_tracking.tracking.tracker import MultiObjectTracker, TrackingParameters
from acme_tracking.tracking.visual import availability
import numpy as np

RATE = 30
LATENCY = 300_000_000  # nanoseconds
HIDDEN = (2.0, 1.0)    # start and duration in seconds
SECONDS = {'occlusion': 5.0, 'exit and return': 16.0}
CONFIDENT = 0.5


def main():
    """Run both experiments for all usable trackers and print a table."""
    usable = [name for name, reason in availability().items() if not reason]
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--trackers', nargs='+', choices=usable, default=usable)
    parser.add_argument('--seeds', type=int, default=10)
    arguments = parser.parse_args()
    results = {}
    print(f'{"tracker":<14}{"experiment":<18}{"noticed":>9}{"false":>8}{"recovered":>11}'
          f'{"ids kept":>10}')
    for name in arguments.trackers:
        for experiment in SECONDS:
            runs = [measure(name, experiment, seed) for seed in range(arguments.seeds)]
            row = summary([run for run in runs if run])
            results.setdefault(name, {})[experiment] = row
            print(f'{name:<14}{experiment:<18}{text(row["noticed_s"], "s"):>9}'
                  f'{row["false"]:>8.2f}{text(row["recovered_s"], "s"):>11}'
                  f'{row["ids_kept"]:>5} of {row["seeds"]:<2}', flush=True)
    print(json.dumps(results))


def summary(runs):
    """Return the medians of the runs of one experiment; None where nothing was measured."""
    def median(key):
        values = [run[key] for run in runs if run[key] is not None]
        return round(float(np.median(values)), 3) if values else None
    return {'noticed_s': median('noticed'), 'recovered_s': median('recovered'),
            'false': round(float(np.mean([run['false'] for run in runs])), 3),
            'ids_kept': sum(run['kept'] for run in runs), 'seeds': len(runs)}


def text(value, unit):
    """Return a figure with its unit, or a dash."""
    return '-' if value is None else f'{value:.2f} {unit}'


def measure(name, experiment, seed):
    """Return the figures of one run; None when the car of this seed never leaves the picture."""
    occlusion = HIDDEN if experiment == 'occlusion' else None
    road = Scene(seed=seed, rate=RATE, density=0, target='car', occlusion=occlusion,
                 target_speed=4.0 if occlusion else 9.0)
    images = [observe(road, index) for index in range(int(SECONDS[experiment] * RATE))]
    if experiment == 'exit and return':
        images = shifted(images, road.width)
    visible = np.array([shown for _, _, shown in images])
    gone = np.flatnonzero(~visible)
    if not len(gone):
        return None
    lost, back = gone[0], gone[0] + int(np.argmax(visible[gone[0]:]))
    if back == lost:
        return None
    return figures(follow(name, images), images, lost, back)


def observe(road, index):
    """Return an image, the box of its car, and whether that is to be seen."""
    truth = road.truth(index)
    row = list(truth.ids).index(TARGET_ID)
    return road.render(index), truth.boxes[row], truth.visibility[row] > 0.5


def shifted(images, width):
    """Cut away the right third of the picture, so that the car leaves it and comes back."""
    edge = 2 * width // 3
    return [(image[:, :edge].copy(), geometry.clip(box, edge, image.shape[0])[0],
             (box[0] + box[2]) / 2 < edge) for image, box, _ in images]


def follow(name, images):
    """Return for every image the IoU, id and score of the track that fits the car best."""
    tracker, answers, best = MultiObjectTracker(TrackingParameters(tracker=name)), [], []
    for index, (image, box, shown) in enumerate(images):
        stamp = 1 + int(index * 1e9 / RATE)
        while answers and answers[0][0] <= stamp:
            _, made_at, detections = answers.pop(0)
            tracker.correct(made_at, detections)
            tracker.policy.answered()
        tracks = tracker.advance(stamp, image).confirmed
        if tracker.request():
            found = Detections([box], [0.9], ['car']) if shown else Detections.empty()
            answers.append((stamp + LATENCY, stamp, found))
        overlaps = geometry.iou(box, tracks.boxes)[0]
        row = overlaps.argmax() if len(tracks) else None
        best.append((0.0, None, 0.0) if row is None else
                    (overlaps[row], int(tracks.ids[row]), float(tracks.scores[row])))
    return best


def figures(best, images, lost, back):
    """Measure one run: `lost` and `back` are the images where the car goes and reappears."""
    hidden = best[lost:back]
    noticed = next((i for i, (_, _, score) in enumerate(hidden) if score < CONFIDENT), None)
    again = next((i for i, (overlap, _, score) in enumerate(best[back:])
                  if overlap >= 0.5 and score >= CONFIDENT), None)
    return {
        'noticed': None if noticed is None else noticed / RATE,
        'false': np.mean([score >= CONFIDENT for _, _, score in hidden]),
        'recovered': None if again is None else again / RATE,
        'kept': again is not None and best[back + again][1] == best[lost - 1][1],
    }


if __name__ == '__main__':
    main()
