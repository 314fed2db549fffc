"""
Height and pitch of a camera from the tracks of a drive.

The foot of an object at depth 1 is v = (H / h) * d - tan(pitch), where d is how high the object is
there, h how high it is in metres, and H the height of the camera (after Hoiem, Efros and Hebert,
"Putting Objects in Perspective", 2006).  So the boxes of one object that comes nearer lie on a
line which meets d = 0 at the horizon, whatever its height: that tells the pitch.  Heights that are
usual for a class tell H.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from acme_tracking.detections import Detections
from acme_tracking.positions.camera import Camera
from acme_tracking.positions.edges import BOTTOM, Edges, TOP, uncut
from acme_tracking.positions.solids import KINDS
import numpy as np

LEAST_BOXES, LEAST_OBJECTS = 5, 4  # of an object, and in all
LEAST_SCORE = 0.5
BOX_DEVIATION = 1.5       # pixels
NODDING = 0.004           # radians
USUAL_HEIGHT = 1.5        # metres, of a camera; where the iteration begins
ITERATIONS = 3
LEAST_HEIGHT = 0.1
HIGHEST, STEEPEST = 3.0, math.tan(math.radians(8))  # beyond, boxes show the tops of objects
RESAMPLED = 60
COMMON = 0.03, math.radians(0.15)  # share of the height, and pitch


@dataclass(frozen=True)
class Pose:
    """Height in metres and pitch in radians, how far both may be off, and of how many objects."""

    height: float
    pitch: float
    height_deviation: float
    pitch_deviation: float
    objects: int


def estimate(tracks: Mapping[int, Detections], camera: Camera) -> Pose:
    """
    Return the pose of a camera by its tracks, {stamp: tracks with ids}.

    The deviations are those of estimates from objects drawn at random (bootstrap; Efron, 1979) and
    of what all objects of a drive share (COMMON).
    Raises ValueError when there are too few objects of known classes, and for a camera that looks
    at objects from so far above that their boxes are not as high as they are.
    """
    noise = math.hypot(BOX_DEVIATION / camera.focal, NODDING)
    # more boxes than a few tell no more, as they share their errors
    objects = [(line, noise * math.sqrt(len(line[1]) / LEAST_BOXES))
               for line in _lines(tracks, camera).values()]
    if len(objects) < LEAST_OBJECTS:
        raise ValueError(f'{len(objects)} objects of known classes were tracked long enough, '
                         f'expected {LEAST_OBJECTS} or more')
    rng = np.random.default_rng(0)
    height, tangent = _solve(objects)
    if height > HIGHEST or abs(tangent) > STEEPEST:
        raise ValueError(f'a camera {height:.1f} m above the ground that looks down by '
                         f'{math.degrees(math.atan(tangent)):.0f} degrees cannot be calibrated by '
                         f'what it tracks: at most {HIGHEST} m and '
                         f'{math.degrees(math.atan(STEEPEST)):.0f} degrees')
    drawn = np.array([_solve([objects[index] for index in rng.integers(
        len(objects), size=len(objects))]) for _ in range(RESAMPLED)])
    deviations = np.hypot(drawn.std(axis=0), (COMMON[0] * height, COMMON[1]))
    return Pose(height, math.atan(tangent), *deviations.tolist(), len(objects))


def _lines(tracks, camera):
    """Return {id: (kind, heights at depth 1 (N,), feet (N,))} of objects with enough boxes."""
    found, size = {}, (camera.calibration.width, camera.calibration.height)
    for stamp in sorted(tracks):
        of_image = tracks[stamp]
        if of_image.ids is None:
            continue
        for box, score, label, identity in zip(of_image.boxes, of_image.scores, of_image.labels,
                                               of_image.ids.tolist(), strict=True):
            if str(label) not in KINDS or score < LEAST_SCORE:
                continue
            edges = Edges(camera, box, uncut(box, *size), BOX_DEVIATION)
            if edges.known.all():
                kind, rows = found.setdefault(identity, (KINDS[str(label)], []))
                rows.append((edges.rays[BOTTOM] - edges.rays[TOP], edges.rays[BOTTOM]))
    return {identity: (kind, *np.array(rows).T) for identity, (kind, rows) in found.items()
            if len(rows) >= LEAST_BOXES}


def _solve(objects, height=USUAL_HEIGHT):
    """Return the height and the tangent of the pitch, by weighted linear least squares."""
    for _ in range(ITERATIONS):
        information, evidence = np.zeros((2, 2)), np.zeros(2)
        for (kind, heights, feet), noise in objects:
            rows = np.stack([heights / kind.size[2], -np.ones(len(feet))], axis=1)
            # boxes of one object share a height that is not quite the usual (Woodbury's identity)
            shared = rows[:, 0] * (kind.deviation[2] * height)
            spread = noise ** 2 + shared @ shared
            solved = (rows - np.outer(shared, shared @ rows) / spread) / noise ** 2
            information += solved.T @ rows
            evidence += solved.T @ feet
        height, tangent = np.linalg.solve(information, evidence)
        height = max(height, LEAST_HEIGHT)
    return float(height), float(tangent)
