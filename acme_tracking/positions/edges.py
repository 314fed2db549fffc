"""What the edges of a box measure: those that the border of the image cuts measure nothing."""
from __future__ import annotations

from acme_tracking.positions.camera import Camera, Mount
from acme_tracking.positions.object_filter import Measurement
from acme_tracking.positions.solids import Kind
import numpy as np

# Share of the image to its border within which an edge counts as cut by it: a tracker's box of an
# object that leaves the picture lags behind.
CUT = 0.015
# Other edges of such a box are off by so many times more, as what made them may be outside.
CUT_NOISE = 2.0
FLATTEST = 0.01  # down for 1 ahead, of a ray that is followed to the ground
LEFT, TOP, RIGHT, BOTTOM, DEPTH = range(5)  # of `solids.extents`
# Rows of measurements: with depth the height counts, but not how high the box is in the image.
GROUND = np.eye(5)[:4]
BY_DEPTH = np.array([[1.0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, -1, 0, 1, 0], [0, 0, 0, 0, 1]])


def uncut(box, width: int, height: int) -> np.ndarray:
    """Return which edges of a box are inside an image of this size, bool (4,)."""
    x1, y1, x2, y2 = box
    aside, above = CUT * width, CUT * height
    return np.array([x1 > aside, y1 > above, x2 < width - aside, y2 < height - above])


def comparable_size(box, known) -> tuple[int, float] | None:
    """
    Return what can be compared from image to image, (axis, pixels), None for nothing.

    It is the height (axis 1), which does not change with the heading, or the width (0) where the
    border cuts the height.
    """
    for axis in (1, 0):
        if known[axis] and known[axis + 2] and box[axis + 2] > box[axis]:
            return axis, float(box[axis + 2] - box[axis])
    return None


class Edges:
    """The edges of one box: where their middles are at depth 1, and which of them count."""

    def __init__(self, camera: Camera, box, known, deviation: float):
        """Take a box, (4,), with the edges that are known, which may be off by so many pixels."""
        x1, y1, x2, y2 = np.asarray(box, float)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        rays = camera.rays([(x1, y), (x, y1), (x2, y), (x, y2), (x, y)])
        self.rays, self.middle = rays[[0, 1, 2, 3], [0, 1, 0, 1]], rays[4]
        self.known = known & np.isfinite(self.rays)
        self.deviation = deviation * (1.0 if known.all() else CUT_NOISE) / camera.focal

    def on_ground(self) -> Measurement | None:
        """Return what the edges measure; None where none is known."""
        if not self.known.any():
            return None
        return Measurement(self.rays[self.known], GROUND[self.known],
                           self.deviation ** 2 * np.eye(self.known.sum()))

    def with_depth(self, depth: float, deviation: float) -> Measurement:
        """Return what the edges and the depth of the object, metres, measure."""
        left, top, right, bottom = self.rays
        values = np.array([left, right, bottom - top, depth])
        variances = [self.deviation ** 2, self.deviation ** 2, 2 * self.deviation ** 2,
                     deviation ** 2]
        known = [self.known[LEFT], self.known[RIGHT], self.known[TOP] and self.known[BOTTOM],
                 True]
        return Measurement(values[known], BY_DEPTH[known], np.diag(variances)[known][:, known])

    def start(self, kind: Kind, mount: Mount) -> np.ndarray | None:
        """Return about where (x, y) an object of this kind is, None where nothing tells."""
        if not np.isfinite(self.middle).all():
            return None
        ray = mount.axes.T @ np.array([*self.middle, 1.0])
        for low, high, size in ((TOP, BOTTOM, kind.size[2]), (LEFT, RIGHT, kind.size[1])):
            if self.known[low] and self.known[high] and self.rays[high] > self.rays[low]:
                depth = size / (self.rays[high] - self.rays[low]) + kind.size[0] / 2
                return mount.position[:2] + depth * ray[:2]
        if self.known[BOTTOM]:
            foot = mount.axes.T @ np.array([self.middle[0], self.rays[BOTTOM], 1.0])
            if foot[2] < -FLATTEST:
                return mount.position[:2] - foot[:2] * mount.position[2] / foot[2]
        return None
