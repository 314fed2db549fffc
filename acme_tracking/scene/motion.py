"""
Where things on the synthetic road are as a vehicle with its camera sees it, and how deep.

Only `scene.py` and tests enter here.
"""
from __future__ import annotations

from dataclasses import dataclass
import math

from acme_tracking.scene.models import NEAR
import numpy as np

STEP = 0.05  # seconds to either side over which speeds are measured


@dataclass(frozen=True, eq=False)
class Motion:
    """
    How N objects move against the camera, in the frame of its vehicle: below it, x ahead, y left.

    ids: int64 (N,), as in `Truth`.  states: float64 (N, 4), the middle in metres and its change in
    m/s, the camera's own motion and turning included.  headings: float64 (N,), radians from x to
    y.  sizes: float64 (N, 3), length, width, height, metres.  times_to_contact: float64 (N,),
    seconds until the nearest part is beside the camera at its present speed, infinite for what
    does not come nearer.
    """

    ids: np.ndarray
    states: np.ndarray
    headings: np.ndarray
    sizes: np.ndarray
    times_to_contact: np.ndarray


def place(movers, camera):
    """Return {id: (x, y, x of the nearest part, heading, length, width, height)} of movers."""
    ahead = np.array([math.sin(camera.yaw), math.cos(camera.yaw)])
    frame = np.stack([ahead, [-ahead[1], ahead[0]]])
    placed = {}
    for mover in movers:
        x, y = frame @ (mover.ground - camera.position[:2])
        cosine, sine = frame @ mover.heading
        near = x - (abs(cosine) * mover.size[0] + abs(sine) * mover.size[1]) / 2
        placed[mover.identity] = x, y, near, math.atan2(sine, cosine), *mover.size
    return placed


def motion_of(before, now, after, seconds):
    """Return the `Motion` of what is there at three moments, `seconds` from first to last."""
    ids = [identity for identity in now if identity in before and identity in after]
    first, rows, last = (np.array([placed[identity] for identity in ids]).reshape(-1, 7)
                         for placed in (before, now, after))
    change = (last[:, :3] - first[:, :3]) / seconds
    comes = (change[:, 2] < 0) & (rows[:, 2] > 0)
    contact = np.where(comes, rows[:, 2] / np.where(comes, -change[:, 2], 1), np.inf)
    return Motion(np.array(ids, np.int64), np.hstack([rows[:, :2], change[:, :2]]), rows[:, 3],
                  rows[:, 4:], contact)


def ground_depth(camera):
    """Return the depth of the bare ground, float32 (H, W), metres; 0 above the horizon."""
    x, y = camera.ground()
    points = np.stack([x, y, np.full_like(x, -camera.height)], axis=-1)
    return np.nan_to_num(points @ camera.axes[2].astype(np.float32))


def solid_depth(mover, camera, rows, columns):
    """
    Return the depth of pixels of a mover, (N,), metres: where their rays enter its upright box.

    What a mover has outside of that box is as deep as its middle.
    """
    rays = np.stack([(columns + 0.5 - camera.width / 2) / camera.focal,
                     (rows + 0.5 - camera.height_px / 2) / camera.focal,
                     np.ones(len(rows))], axis=1) @ camera.axes
    ahead = np.array([*mover.heading, 0.0])
    own = np.stack([ahead, [-ahead[1], ahead[0], 0.0], [0.0, 0.0, 1.0]])
    length, width, height = mover.size
    eye = own @ (camera.position - np.array([*mover.ground, height / 2]))
    half = np.array([length, width, height]) / 2
    with np.errstate(divide='ignore', invalid='ignore'):
        walls = (np.stack([-half, half]) - eye)[:, None] / (rays @ own.T)
    enters, leaves = np.nanmin(walls, axis=0).max(axis=1), np.nanmax(walls, axis=0).min(axis=1)
    middle = -(own @ camera.axes[2]) @ eye
    return np.where(enters < leaves, np.maximum(enters, NEAR), middle)
