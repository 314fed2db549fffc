"""
In which order things are painted, so that what is nearer hides what is behind.

Only `scene.py` and tests enter here.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Footprint:
    """The rectangle of ground that a thing stands on: metres in the world, unit `heading` (2,)."""

    centre: np.ndarray
    heading: np.ndarray
    length: float
    width: float


def painting_order(footprints, extents, eye):
    """
    Return the indices of N things in the order to paint them, what is behind first.

    extents: (N, 4), x1 y1 x2 y2 in pixels.  eye: (2,), where the camera is.  Of two things that a
    plane parts, the one on the far side of it from the camera cannot hide the other (Newell,
    Newell, Sancha, 1972); the sides of the rectangles are such planes.
    """
    if not footprints:
        return []
    distance = np.linalg.norm([f.centre - eye for f in footprints], axis=1)
    low, high = extents[:, None, :2], extents[:, None, 2:]
    touch = (low <= high.swapaxes(0, 1)).all(axis=2)
    cannot_hide = _cannot_hide(footprints, eye)
    undecided = cannot_hide == cannot_hide.T
    after = np.where(undecided, distance[:, None] < distance, cannot_hide.T)
    after &= touch & touch.T & ~(cannot_hide & cannot_hide.T)
    done, order = np.zeros(len(footprints), bool), []

    def visit(thing):
        if not done[thing]:
            done[thing] = True
            for behind in np.flatnonzero(after[thing] & ~done):
                visit(behind)
            order.append(thing)

    for thing in np.argsort(-distance, kind='stable'):
        visit(thing)
    return order


def _cannot_hide(footprints, eye):
    """Return whether the first of two things can never hide the second, bool (N, N)."""
    centre = np.array([f.centre for f in footprints])
    ahead = np.array([f.heading for f in footprints])
    axes = np.stack([ahead, ahead[:, ::-1] * (-1, 1)], axis=1)  # (N, 2, 2)
    half = np.array([(f.length / 2, f.width / 2) for f in footprints])
    turn = np.einsum('iad,jbd->iajb', axes, axes)
    reach = np.einsum('iajb,jb->iaj', np.abs(turn), half)  # of the others along the axes of i
    middle = (np.einsum('iad,jd->iaj', axes, centre)
              - np.einsum('iad,id->ia', axes, centre)[..., None])
    seen_from = np.einsum('iad,id->ia', axes, eye - centre)
    result = np.zeros((len(footprints),) * 2, bool)
    for sign in (1, -1):
        parted = sign * middle - reach >= half[..., None]
        eye_is_near = (sign * seen_from <= half)[..., None]
        result |= (parted & eye_is_near).any(axis=1).T  # they are beyond my side: cannot hide me
        result |= (parted & ~eye_is_near).any(axis=1)
    return result
