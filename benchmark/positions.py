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
from acme_tracking.evaluation.positions import matched, Place, Samples
from acme_tracking.evaluation.recordings import mount_of
from acme_tracking.evaluation.simulation import Simulation, Surroundings
from acme_tracking.metrics.positions import figures
from acme_tracking.positions.camera import Camera
from acme_tracking.positions.locator import Locator, PositionParameters
from acme_tracking.scene import Scene
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
import numpy as np

DRIVES = {'driving': 11, 'turning': 12, 'braking': 13, 'handheld': 14, 'fixed': 15}  # first seed
NEXT_SEED = 100         # of another drive of the same kind
LEAST_VISIBLE = 0.5     # of an object, to be detected
FARTHEST = 40.0         # metres ahead, of what counts
ABOVE = 'fixed'         # high above the street, where nothing comes into contact with the camera
PIXELS, DEGREES = (0.0, 1.0, 3.0), (0.0, 0.5, 1.0)
DEPTH_NOISE = 0.02      # of the depth of a pixel
RANGES = (3, 10), (10, 20), (20, 30), (30, 40)
# For the figures in the last line, where the pitch is true: how far the locator thinks it is off.
TRUE_PITCH = 0.1


def main():
    """Measure, print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    add_drives(parser)
    parser.add_argument('--no-table', action='store_true', help='only the figures')
    arguments = parser.parse_args()
    scenes, count = drives_of(arguments)
    if not arguments.no_table:
        print_table(scenes, count)
    scores = Samples(FARTHEST)
    for drive, scene in scenes.items():
        follow(drive, scene, count, scores)
    print(json.dumps(figures(scores.rows)))


def add_drives(parser):
    """Describe the arguments that choose drives."""
    parser.add_argument('--seconds', type=float, default=8.0, help='of each drive')
    parser.add_argument('--rate', type=float, default=12.0, help='images per second')
    parser.add_argument('--drives', nargs='+', choices=DRIVES, default=list(DRIVES))
    parser.add_argument('--seeds', type=int, default=2, help='drives of each kind')


def drives_of(arguments):
    """Return the scenes that arguments choose, by camera and seed, and their number of images."""
    return {(kind, seed): Scene(camera=kind, seed=seed, rate=arguments.rate)
            for kind in arguments.drives
            for seed in (DRIVES[kind] + NEXT_SEED * np.arange(arguments.seeds)).tolist()
            }, round(arguments.seconds * arguments.rate)


def places(drive, motion):
    """Return {id: Place} of what moves on a drive."""
    contacts = np.where(drive[0] == ABOVE, math.inf, motion.times_to_contact)
    return {identity: Place.moving(x, y, x - length / 2, contact, aside)
            for identity, (x, y, _, aside), length, contact in zip(
                motion.ids.tolist(), motion.states.tolist(), motion.sizes[:, 0].tolist(),
                contacts.tolist())}


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
    camera = Camera(scene.calibration)
    for index, (stamp, tracks) in enumerate(zip(stamps, simulation.outcome.tracks, strict=True)):
        if tracks is None or not len(tracks):
            continue
        positions = locator.locate(stamp, tracks, (scene.width, scene.height), camera,
                                   mount_of(scene, index))
        scores.add(drive, stamp / 1e9, positions, matched(tracks, truths[stamp]),
                   places(drive, scene.motion(index)))


def print_table(scenes, count):
    """Print, as Markdown, how far positions by true boxes with noise are off."""
    variants = {(source, pixels, degrees): Samples(FARTHEST) for source in ('ground', 'depth')
                for pixels in PIXELS for degrees in DEGREES}
    for drive, scene in scenes.items():
        score_noisy(drive, scene, count, variants)
    print('| source | box noise, px | wrong pitch | ' + ' | '.join(
        f'{low}-{high} m' for low, high in RANGES) + ' | NEES |')
    print('| --- ' * (4 + len(RANGES)) + '|')
    for (source, pixels, degrees), scores in variants.items():
        cells = []
        for low, high in RANGES:
            found = figures(scores.rows, low, high)
            cells.append('' if found is None else '{:.1f} / {:.0f} %, {:.2f} / {:.1f} m'.format(
                100 * found['along_relative_median'], 100 * found['along_relative_p95'],
                found['lateral_m_median'], found['lateral_m_p95']))
        print(f'| {source} | {pixels:g} | {degrees:g} | ' + ' | '.join(cells)
              + f' | {figures(scores.rows)["nees"]:.1f} |', flush=True)


def score_noisy(drive, scene, count, variants):
    """Score one drive in all variants."""
    rng, size = np.random.default_rng(scene.seed), (scene.width, scene.height)
    camera = Camera(scene.calibration)
    locators = {variant: Locator(PositionParameters(source=variant[0])) for variant in variants}
    for index in range(count):
        stamp, tracks = round(index / scene.rate * 1e9), visible(scene, index)
        true = places(drive, scene.motion(index))
        noise = rng.normal(size=tracks.boxes.shape)
        depth = scene.depth(index)
        depth = depth * (1 + DEPTH_NOISE * rng.normal(size=depth.shape))
        for (source, pixels, degrees), locator in locators.items():
            noisy = replace(tracks, boxes=np.clip(
                tracks.boxes + pixels * noise, 0, [*size, *size]))
            positions = locator.locate(
                stamp, noisy, size, camera, mount_of(scene, index, math.radians(degrees)),
                depth if source == 'depth' else None)
            variants[source, pixels, degrees].add(drive, stamp / 1e9, positions,
                                                  tracks.ids, true)


if __name__ == '__main__':
    main()
