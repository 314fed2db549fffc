"""
What objects of a class look like: solids of usual size that stand on the ground.

Sizes are rounded means of the annotated boxes of KITTI (Geiger et al., 2012) and nuScenes (Caesar
et al., 2020); how far objects are from them is our estimate, wide rather than narrow.
"""
from __future__ import annotations

from dataclasses import dataclass

from acme_tracking.positions.camera import Mount
import numpy as np

# Corners nearer to the camera than this, in metres, say nothing of use.
NEAR = 0.5


@dataclass(frozen=True)
class Kind:
    """
    The solid of a class.

    size: length, width, height, metres.  deviation: of each, as a share of it.  wheels, roof: the
    shares of the length that touch the ground and are as high as the object.  clearance: of the
    body between and beyond the wheels, as a share of the height.  acceleration: usual, m/s^2.
    """

    size: tuple
    deviation: tuple
    wheels: float = 0.6
    roof: float = 0.9
    clearance: float = 0.15
    turns: bool = True  # whether it is longer than wide, so that its heading shows

    def corners(self) -> np.ndarray:
        """Return the corners, (16, 3), in lengths, widths and heights from below the middle."""
        layers = ((self.wheels, 0.0), (1.0, self.clearance), (1.0, 0.6), (self.roof, 1.0))
        return np.array([(along * share / 2, across / 2, up) for share, up in layers
                         for along in (-1, 1) for across in (-1, 1)])


KINDS = {
    'car': Kind((4.4, 1.8, 1.55), (0.1, 0.06, 0.1), roof=0.4),
    'truck': Kind((8.5, 2.5, 3.2), (0.35, 0.08, 0.15), wheels=0.75),
    'bus': Kind((11.0, 2.6, 3.4), (0.15, 0.06, 0.12), wheels=0.55),
    'motorcycle': Kind((2.1, 0.75, 1.6), (0.08, 0.12, 0.08), wheels=0.95, roof=0.2),
    'person': Kind((0.6, 0.55, 1.72), (0.4, 0.25, 0.06), wheels=0.9, roof=0.4, clearance=0.0,
                   turns=False),
}
# Of a class that is none of these; only the ground tells where it is.
OTHER = Kind((3.0, 1.5, 1.6), (0.6, 0.5, 0.5), roof=0.8)


def extents(mount: Mount, corners: np.ndarray, states: np.ndarray) -> np.ndarray:
    """
    Return what a camera sees of a solid in each of K states.

    corners: those of its kind.  states: (K, 7), x, y, length, width, height in metres, how much
    further down the camera looks than its mount says, and the heading, in radians.  The result is
    (K, 5): left, top, right and bottom at depth 1, and the depth of the surface in its middle in
    metres.  NaN where the solid reaches behind the camera.
    """
    x, y, length, width, height, pitch, heading = states.T[:, :, None]
    along, across, up = corners[:, 0] * length, corners[:, 1] * width, corners[:, 2] * height
    cosine, sine = np.cos(heading), np.sin(heading)
    points = np.stack([x + cosine * along - sine * across, y + sine * along + cosine * across,
                       up], axis=-1)
    view = mount.view(points)
    cosine, sine = np.cos(pitch), np.sin(pitch)
    depth = view[..., 1] * sine + view[..., 2] * cosine
    depth = np.where(depth > NEAR, depth, np.nan)
    right, down = view[..., 0] / depth, (view[..., 1] * cosine - view[..., 2] * sine) / depth
    return np.stack([right.min(axis=1), down.min(axis=1), right.max(axis=1), down.max(axis=1),
                     _surface(mount, states, view)], axis=1)


def _surface(mount, states, view):
    """Return the depth of the surface on the ray to the middle of a solid."""
    away = states[:, :2] - mount.position[:2]
    reach = np.hypot(*away.T)
    seen_from = np.arctan2(away[:, 1], away[:, 0]) - states[:, 6]
    with np.errstate(divide='ignore'):
        inside = np.minimum(states[:, 2] / 2 / np.abs(np.cos(seen_from)),
                            states[:, 3] / 2 / np.abs(np.sin(seen_from)))
    return view[..., 2].mean(axis=1) * (1 - inside / np.maximum(reach, NEAR))
