"""
Compares where objects out of sight are expected: by their boxes in pixels, or in the ground plane.

Objects of rendered drives are seen for a second, in their true boxes with a noise of a pixel, and
then not any more.  Pixels is what the tracker does: the motion of the box, corrected by that of
the camera as the background tells it.  Ground is the filter of the locator, seen again through the
camera as it is mounted then: truly, or with the pitch of the first image for ever, as parameters
say it.  The last line is JSON: the mean overlap (IoU) with the true box by the seconds out of
sight.

    .venv/bin/python benchmark/coasting.py
"""
import argparse
from copy import deepcopy
import json
import math

from acme_tracking.evaluation.recordings import mount_of
from acme_tracking.geometry import iou
from acme_tracking.positions.camera import Camera
from acme_tracking.positions.edges import Edges, uncut
from acme_tracking.positions.locator import PositionParameters
from acme_tracking.positions.object_filter import ObjectFilter, X, Y
from acme_tracking.positions.solids import extents, KINDS
from acme_tracking.tracking.camera_motion import Camera as MovingCamera
from acme_tracking.tracking.motion import fit_motion
import numpy as np
from positions import add_drives, drives_of

LEAST_VISIBLE, LEAST_HEIGHT = 0.8, 12  # of an object that is seen, pixels
SEEN = 1.0                             # seconds that it is seen
UNSEEN = (0.25, 0.5, 1.0, 1.5, 2.0)    # seconds after which it is looked for
BOX_NOISE = 1.0                        # pixels
AGAIN = 0.5                            # seconds from one trial of an object to the next
WAYS = 'stays', 'pixels', 'ground, true pitch', 'ground, first pitch'
PARAMETERS = PositionParameters()


def main():
    """Measure, print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    add_drives(parser)
    scenes, count = drives_of(parser.parse_args())
    overlaps, figures = {}, {}
    for scene in scenes.values():
        run_drive(scene, count, overlaps)
    print('| unseen | trials | ' + ' | '.join(WAYS) + ' |\n' + '| --- ' * (2 + len(WAYS)) + '|')
    for seconds in sorted(overlaps):
        found = np.array(overlaps[seconds])
        figures[f'{seconds:g}'] = dict(zip(WAYS, found.mean(axis=0).round(3).tolist()))
        print(f'| {seconds:g} s | {len(found)} | ' + ' | '.join(
            f'{mean:.3f}' for mean in found.mean(axis=0)) + ' |')
    print(json.dumps(figures))


def run_drive(scene, count, overlaps):
    """Add the overlaps of all trials on a drive by the seconds that the object was not seen."""
    rng = np.random.default_rng(scene.seed)
    truths = [scene.truth(index) for index in range(count)]
    steps = camera_steps(scene, truths)
    length, pause = round(SEEN * scene.rate), round(AGAIN * scene.rate)
    for identity in sorted({int(one) for truth in truths for one in truth.ids}):
        boxes = [box_of(truth, identity, scene) for truth in truths]
        for start in range(0, count - length, pause):
            seen = boxes[start:start + length]
            if any(box is None for box in seen):
                continue
            label = str(truths[start].labels[truths[start].ids == identity][0])
            noisy = [box + rng.normal(0, BOX_NOISE, 4) for box in seen]
            trial(scene, label, noisy, boxes, start, steps, overlaps)


def box_of(truth, identity, scene):
    """Return the true box of an object that is seen whole, or None."""
    row = np.flatnonzero(truth.ids == identity)
    if not len(row) or truth.visibility[row[0]] < LEAST_VISIBLE:
        return None
    box = truth.boxes[row[0]].astype(float)
    whole = uncut(box, scene.width, scene.height).all() and box[3] - box[1] >= LEAST_HEIGHT
    return box if whole else None


def camera_steps(scene, truths):
    """Return how the camera moved to each image, as the tracker finds it."""
    camera, steps = MovingCamera(), []
    for index in range(len(truths)):
        camera.advance(scene.render(index), truths[max(index - 1, 0)].boxes)
        steps.append(camera.motion.believed)
    return steps


def trial(scene, label, noisy, boxes, start, steps, overlaps):
    """Let an object go out of sight, and see where it is expected later."""
    stamps = [round(index / scene.rate * 1e9) for index in range(len(boxes))]
    end = start + len(noisy)
    motion = fit_motion(stamps[start:end], noisy, [1.0] * len(noisy), steps[start:end])
    still = noisy[-1].copy()
    filters = [followed(scene, label, noisy, start, first) for first in (None, start)]
    for index in range(end, len(boxes)):
        motion = motion.seen_after(steps[index])
        still = steps[index].boxes(still)[0]
        for one in filters:
            if one is not None:
                one.predict(1 / scene.rate, PARAMETERS.acceleration_deviation)
        seconds = next((wanted for wanted in UNSEEN
                        if index - end + 1 == round(wanted * scene.rate)), None)
        if seconds is not None and boxes[index] is not None and None not in filters:
            expected = [still, motion.predict(stamps[index]),
                        *(seen_through(scene, one, pitch) for one, pitch in zip(
                            filters, (index, start)))]
            overlaps.setdefault(seconds, []).append(
                [float(iou(box, boxes[index])[0, 0]) for box in expected])


def followed(scene, label, noisy, start, pitch_of):
    """Return the filter of an object after some boxes; `pitch_of`: image whose pitch is taken."""
    kind, camera, found = KINDS[label], Camera(scene.calibration), None
    for index, box in enumerate(noisy, start):
        mount = mount_of(scene, index if pitch_of is None else pitch_of)
        deviation = math.hypot(PARAMETERS.box_deviation,
                               PARAMETERS.relative_box_deviation * (box[3] - box[1]))
        edges = Edges(camera, box, uncut(box, scene.width, scene.height), deviation)
        measurement = edges.on_ground()
        if measurement is None:
            return None
        if found is None:
            place = edges.start(kind, mount)
            found = place is not None and ObjectFilter.begin(
                kind, mount, place, math.radians(PARAMETERS.pitch_deviation), measurement) or None
            continue
        found.predict(1 / scene.rate, PARAMETERS.acceleration_deviation)
        found.update(mount, measurement)
    return deepcopy(found)


def seen_through(scene, one, index):
    """Return the box in which the camera of image `index` sees what a filter expects."""
    state = np.array([[one.state[X], one.state[Y], *one.size, one.state[-1], one.heading]])
    left, top, right, bottom = extents(mount_of(scene, index), one.kind.corners(), state)[0][:4]
    focal, _, middle_x, _, _, middle_y = scene.calibration.matrix[:6]
    box = focal * np.array([left, top, right, bottom]) + np.array(2 * [middle_x, middle_y]) + 0.5
    return np.nan_to_num(box)


if __name__ == '__main__':
    main()
