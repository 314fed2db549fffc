"""
Measures how far positions and times to contact are off, on rendered drives whose truth is known.

First the tracker follows the rendered images with a detector that finds the true boxes, and the
locator gets its tracks and the true pitch: the last line, JSON, are these figures for objects
within 40 m.  Then, without images, the true boxes of all that is in view go to the locator, with
noise, and with a pitch that is wrong all the time: the table by distance, for the ground and for
depth images (with a noise of 2 %).

    .venv/bin/python benchmark/positions.py
"""
import argparse
from dataclasses import replace
import json
import math

from acme_tracking.detections import Detections
from acme_tracking.evaluation.simulation import Simulation, Surroundings
from acme_tracking.geometry import iou
from acme_tracking.metrics.positions import nees, nees_band, nees_of_objects
from acme_tracking.positions.camera import Calibration, Camera, Mount
from acme_tracking.positions.locator import Locator, PositionParameters
from acme_tracking.scene import Scene
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
import numpy as np

DRIVES = {'driving': 11, 'turning': 12, 'braking': 13, 'handheld': 14, 'fixed': 15}  # first seed
NEXT_SEED = 100         # of another drive of the same kind
LEAST_VISIBLE = 0.5     # of an object, to be detected
MATCH = 0.5             # IoU of a track with the true box
NEAREST, FARTHEST = 3.0, 40.0   # metres ahead, of what counts
SETTLED = 1.0           # seconds that an object is followed before it counts
# Seconds of the true time to contact that counts, and metres beside the camera within which the
# object will pass; nothing comes into contact with a camera high above the street.
CONTACT, PASSING, ABOVE = (0.5, 4.0), 4.0, 'fixed'
PIXELS, DEGREES = (0.0, 1.0, 3.0), (0.0, 0.5, 1.0)
DEPTH_NOISE = 0.02      # of the depth of a pixel
RANGES = (3, 10), (10, 20), (20, 30), (30, 40)
# For the figures in the last line, where the pitch is true: how far the locator thinks it is off.
TRUE_PITCH = 0.1


def main():
    """Measure, print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--seconds', type=float, default=8.0, help='of each drive')
    parser.add_argument('--rate', type=float, default=12.0, help='images per second')
    parser.add_argument('--drives', nargs='+', choices=DRIVES, default=list(DRIVES))
    parser.add_argument('--seeds', type=int, default=2, help='drives of each kind')
    parser.add_argument('--no-table', action='store_true', help='only the figures')
    arguments = parser.parse_args()
    scenes = {(kind, seed): Scene(camera=kind, seed=seed, rate=arguments.rate)
              for kind in arguments.drives
              for seed in DRIVES[kind] + NEXT_SEED * np.arange(arguments.seeds)}
    count = round(arguments.seconds * arguments.rate)
    if not arguments.no_table:
        print_table(scenes, count)
    scores = Scores()
    for drive, scene in scenes.items():
        follow(drive, scene, count, scores)
    print(json.dumps(scores.figures()))


class Scores:
    """What was told of objects, beside the truth."""

    def __init__(self):
        """Nothing yet."""
        self._rows, self._since = [], {}

    def add(self, drive, seconds, positions, motion, truth_ids):
        """
        Note positions on a drive (camera, seed), each of the object in `truth_ids`, -1 for none.

        An object that is followed anew, as another track, settles anew.
        """
        place = {identity: index for index, identity in enumerate(motion.ids.tolist())}
        for index, (track, identity) in enumerate(zip(positions.ids.tolist(), truth_ids)):
            since = self._since.setdefault((drive, track), seconds)
            if identity not in place or seconds - since < SETTLED:
                continue
            true = place[identity]
            x, y, _, aside = motion.states[true]
            contact = motion.times_to_contact[true]
            if drive[0] == ABOVE or not abs(y + aside * contact) <= PASSING:
                contact = math.inf
            if not NEAREST <= x - motion.sizes[true, 0] / 2 or x > FARTHEST:
                continue
            self._rows.append((
                (drive, track), x, *(positions.states[index, :2] - (x, y)),
                positions.covariances[index, :2, :2], positions.times_to_contact[index], contact))

    def figures(self, low=0.0, high=math.inf):
        """Return the figures of objects from `low` to `high` metres ahead, None for none."""
        rows = [row for row in self._rows if low <= row[1] < high]
        known = [row for row in rows if np.isfinite(row[2])]
        if not known:
            return None
        ahead, along, lateral = (np.array([row[k] for row in known]) for k in (1, 2, 3))
        values = nees(np.stack([along, lateral], axis=1), [row[4] for row in known])
        mean, objects = nees_of_objects(values, [hash(row[0]) for row in known])
        told, true = np.array([row[5:] for row in rows]).T
        due = (true >= CONTACT[0]) & (true <= CONTACT[1])
        return {
            'along_relative_median': round(float(np.median(np.abs(along) / ahead)), 4),
            'along_relative_p95': round(float(np.percentile(np.abs(along) / ahead, 95)), 4),
            'lateral_m_median': round(float(np.median(np.abs(lateral))), 3),
            'lateral_m_p95': round(float(np.percentile(np.abs(lateral), 95)), 3),
            'ttc_relative_median': round(float(np.median(
                np.abs(told[due] - true[due]) / true[due])), 4) if due.any() else None,
            'ttc_samples': int(due.sum()),
            'nees': round(mean, 2), 'nees_band': [round(edge, 2) for edge in nees_band(objects)],
            'nees_within': round(float((values < 5.99).mean()), 3), 'objects': objects,
            'known': round(len(known) / len(rows), 3), 'samples': len(known)}


def camera_of(scene):
    """Return the calibrated camera of a scene."""
    camera = scene.camera(0)
    focal, width, height = camera.focal, camera.width, camera.height_px
    return Camera(Calibration(width, height, 'plumb_bob', (
        focal, 0.0, width / 2 - 0.5, 0.0, focal, height / 2 - 0.5, 0.0, 0.0, 1.0), (0.0,) * 5))


def mount_of(scene, index, wrong=0.0):
    """Return how the camera is mounted at an image, with a pitch that is `wrong` degrees off."""
    camera = scene.camera(index)
    return Mount.from_angles(height=camera.height, roll=camera.roll,
                             pitch=camera.pitch + math.radians(wrong))


def visible(scene, index):
    """Return what a detector of true boxes finds, as tracks."""
    truth = scene.truth(index)
    seen = truth.visibility >= LEAST_VISIBLE
    return Detections(truth.boxes[seen], np.ones(seen.sum()), truth.labels[seen], truth.ids[seen])


def follow(drive, scene, count, scores):
    """Score the positions of tracks on rendered images."""
    stamps = [round(index / scene.rate * 1e9) for index in range(count)]
    truths = {stamp: visible(scene, index) for index, stamp in enumerate(stamps)}
    simulation = Simulation(
        TrackerParameters(), DetectorParameters(),
        lambda stamp, image: replace(truths[stamp], scores=np.full(len(truths[stamp]), 0.9),
                                     ids=None), Surroundings(latency=0.1))
    for index, stamp in enumerate(stamps):
        simulation.step(stamp, stamp, scene.render(index))
    simulation.finish()
    locator = Locator(PositionParameters(pitch_deviation=TRUE_PITCH))
    camera = camera_of(scene)
    for index, (stamp, tracks) in enumerate(zip(stamps, simulation.outcome.tracks, strict=True)):
        if tracks is None or not len(tracks):
            continue
        positions = locator.locate(stamp, tracks, (scene.width, scene.height), camera,
                                   mount_of(scene, index))
        scores.add(drive, stamp / 1e9, positions, scene.motion(index),
                   matched(tracks, truths[stamp]))


def matched(tracks, truth):
    """Return the identity of the true box of the same class that each track is on, or -1."""
    if not len(truth):
        return np.full(len(tracks), -1)
    overlaps = iou(tracks.boxes, truth.boxes) * (tracks.labels[:, None] == truth.labels)
    best = overlaps.argmax(axis=1)
    return np.where(overlaps.max(axis=1) >= MATCH, truth.ids[best], -1)


def print_table(scenes, count):
    """Print, as Markdown, how far positions by true boxes with noise are off."""
    variants = {(source, pixels, degrees): Scores() for source in ('ground', 'depth')
                for pixels in PIXELS for degrees in DEGREES}
    for drive, scene in scenes.items():
        score_noisy(drive, scene, count, variants)
    print('| source | box noise, px | wrong pitch | ' + ' | '.join(
        f'{low}-{high} m' for low, high in RANGES) + ' | NEES |')
    print('| --- ' * (4 + len(RANGES)) + '|')
    for (source, pixels, degrees), scores in variants.items():
        cells = []
        for low, high in RANGES:
            found = scores.figures(low, high)
            cells.append('' if found is None else '{:.1f} / {:.0f} %, {:.2f} / {:.1f} m'.format(
                100 * found['along_relative_median'], 100 * found['along_relative_p95'],
                found['lateral_m_median'], found['lateral_m_p95']))
        print(f'| {source} | {pixels:g} | {degrees:g} | ' + ' | '.join(cells)
              + f' | {scores.figures()["nees"]:.1f} |', flush=True)


def score_noisy(drive, scene, count, variants):
    """Score one drive in all variants."""
    rng, camera, size = np.random.default_rng(scene.seed), camera_of(scene), (scene.width,
                                                                             scene.height)
    locators = {variant: Locator(PositionParameters(source=variant[0])) for variant in variants}
    for index in range(count):
        stamp, tracks, motion = round(index / scene.rate * 1e9), visible(scene, index), \
            scene.motion(index)
        noise = rng.normal(size=tracks.boxes.shape)
        depth = scene.depth(index)
        depth = depth * (1 + DEPTH_NOISE * rng.normal(size=depth.shape))
        for (source, pixels, degrees), locator in locators.items():
            noisy = replace(tracks, boxes=np.clip(
                tracks.boxes + pixels * noise, 0, [*size, *size]))
            positions = locator.locate(
                stamp, noisy, size, camera, mount_of(scene, index, degrees),
                depth if source == 'depth' else None)
            variants[source, pixels, degrees].add(drive, stamp / 1e9, positions, motion,
                                                  tracks.ids)


if __name__ == '__main__':
    main()
