"""
The parts that the synthetic road scene is made of: camera, light, solid models, walkers, trees.

Only `scene.py`, `ground.py` and tests enter here.  World coordinates are metres, x to the
right, y along the road, z up, the camera above the origin.  Image coordinates are pixels with the
top-left corner of the first pixel at (0, 0); polygons to be painted are (points, colour) with the
points in whole sixteenths of a pixel, int32 (N, 2), as OpenCV takes them.  Colours are BGR, 0 to
255, as float.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
import math

import cv2
import numpy as np

NEAR = 1.0  # metres; nothing nearer than this is drawn, so that no coordinate overflows
SHIFT = 4  # binary digits after the point in OpenCV's drawing calls

GLASS = (58, 48, 40)
RUBBER = (26, 26, 28)
RIM = (120, 120, 122)
LAMP = (225, 240, 250)
TAIL = (30, 25, 175)

CAR_PAINT = ((228, 228, 226), (198, 196, 194), (150, 150, 150), (84, 82, 80), (40, 38, 38),
             (40, 34, 168), (34, 28, 112), (128, 66, 30), (94, 46, 22), (70, 92, 44),
             (60, 140, 196), (150, 180, 196), (170, 130, 70), (40, 90, 190), (90, 60, 80))
TRUCK_PAINT = ((225, 225, 225), (44, 40, 170), (150, 76, 26), (60, 120, 50), (70, 70, 72),
               (30, 130, 215), (160, 160, 156))
CARGO_PAINT = ((232, 232, 230), (205, 205, 200), (60, 50, 160), (150, 96, 44), (84, 128, 70),
               (110, 120, 128), (70, 150, 210), (120, 150, 170))
BUS_PAINT = ((40, 170, 225), (52, 44, 190), (70, 130, 60), (190, 120, 40), (225, 225, 222),
             (150, 60, 110), (60, 60, 160))
CLOTHES = ((40, 38, 36), (90, 60, 40), (60, 50, 150), (200, 200, 196), (120, 110, 60),
           (70, 120, 60), (60, 160, 210), (140, 60, 120), (130, 130, 128), (100, 80, 160))
LEAVES = ((50, 110, 70), (44, 92, 52), (60, 120, 96), (40, 84, 70), (50, 120, 130))
SKIN = ((150, 180, 222), (110, 145, 200), (70, 100, 150), (50, 70, 105))


@dataclass(frozen=True, eq=False)
class Camera:
    """
    A pinhole camera: metres, radians; the principal point is the middle of the image.

    yaw turns it right, pitch down, and roll clockwise as seen from behind it.
    """

    width: int
    height_px: int
    height: float  # above the ground
    yaw: float
    pitch: float
    focal: float  # pixels
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0

    @cached_property
    def position(self):
        """The camera's place in the world."""
        return np.array([self.x, self.y, self.height])

    @cached_property
    def axes(self):
        """Rows: the image's right, the image's down, and the viewing direction, in the world."""
        forward = np.array([math.sin(self.yaw), math.cos(self.yaw), 0.0])
        right = np.array([math.cos(self.yaw), -math.sin(self.yaw), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        sine, cosine = math.sin(self.pitch), math.cos(self.pitch)
        down = -sine * forward - cosine * up
        turn, lean = math.cos(self.roll), math.sin(self.roll)
        return np.stack([turn * right + lean * down, turn * down - lean * right,
                         cosine * forward - sine * up])

    @property
    def size(self):
        """Width and height in pixels."""
        return self.width, self.height_px

    @property
    def spread(self):
        """Half the width of the view at depth 1."""
        return self.width / 2 / self.focal

    def scaled(self, factor):
        """Return the same view with `factor` times the pixels."""
        return replace(self, width=int(self.width * factor),
                       height_px=int(self.height_px * factor), focal=self.focal * factor)

    def to_view(self, points):
        """Turn world points (N, 3) into the camera's axes: right, down, depth."""
        return (points - self.position) @ self.axes.T

    def to_image(self, view):
        """Turn points in the camera's axes (N, 3), depth above 0, into pixels (N, 2)."""
        scale = self.focal / view[:, 2:3]
        return view[:, :2] * scale + (self.width / 2, self.height_px / 2)

    def ground(self, step=1):
        """
        Return where the rays of pixels meet the ground, NaN above the horizon.

        x, y float32 (ceil(H / step), ceil(W / step)): metres right of the camera's place and ahead
        of it, in the world's directions, of the middles of squares of `step` pixels.
        """
        columns, rows = (
            (np.arange(math.ceil(size / step), dtype=np.float32) + 0.5) * step - size / 2
            for size in (self.width, self.height_px))
        right, down, forward = self.axes.astype(np.float32) * np.float32(1 / self.focal)
        forward = forward * self.focal
        rows, columns = rows[:, None], columns[None, :]
        rays = [forward[i] + down[i] * rows + right[i] * columns for i in range(3)]
        with np.errstate(divide='ignore', invalid='ignore'):
            reach = np.where(rays[2] < -1e-3, -self.height / rays[2], np.nan)
        return rays[0] * reach, rays[1] * reach


def project_flat(camera, outline, moved):
    """
    Project a polygon of the ground (N, 3), and the convex hull of it and of itself `moved`.

    (None, None) where it reaches behind the camera.
    """
    view = camera.to_view(np.concatenate([outline, moved]))
    if view[:, 2].min() < NEAR:
        return None, None
    points = fixed_point(camera.to_image(view))
    return points[:len(outline)], cv2.convexHull(points)[:, 0]


def cut_near(view):
    kept = []
    for a, b in zip(view, np.roll(view, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept).reshape(-1, 3)


def fixed_point(points):
    """Turn pixels into whole sixteenths, as OpenCV draws (pixel centres at 0, 16, ...)."""
    return np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def extent(polygons):
    """Return x1, y1, x2, y2 in pixels of everything that `polygons` cover."""
    points = np.concatenate([points for points, _ in polygons])
    return np.concatenate([points.min(axis=0), points.max(axis=0)]) / (1 << SHIFT) + 0.5


def paint(image, polygons, origin=(0, 0), line=cv2.LINE_AA):
    """Paint polygons in order on an image whose first pixel is `origin`."""
    if any(origin):
        moved = np.array(origin, np.int32) << SHIFT
        polygons = [(points - moved, colour) for points, colour in polygons]
    for points, colour in polygons:
        cv2.fillConvexPoly(image, points, colour, line, SHIFT)


@dataclass
class Mesh:
    """
    A solid model made of convex parts, x forward, y left, z up, standing on the origin.

    Every polygon is flat and knows its outward normal; details (windows, lamps, wheels) follow the
    face they lie on and share its normal, so the visible polygons of a convex part can be painted
    in order.
    """

    length: float
    width: float
    height: float
    polygons: list = field(default_factory=list)
    colours: list = field(default_factory=list)
    normals: list = field(default_factory=list)
    parts: list = field(default_factory=list)
    glow: list = field(default_factory=list)
    centres: list = field(default_factory=list)
    layers: list = field(default_factory=list)

    def add(self, polygon, colour, normal, glow=0.0):
        """Add one polygon (N, 3) of the newest part; `glow` 1 is a head lamp, 2 a tail lamp."""
        self.polygons.append(np.asarray(polygon, float))
        self.colours.append(colour)
        self.normals.append(normal)
        self.parts.append(len(self.centres) - 1)
        self.glow.append(glow)

    def prism(self, profile, half_widths, colour, details=None, layer=1, middle=0.0):
        """
        Add a part: a convex side profile [(x, z), ...] swept across the width around y = `middle`.

        `half_widths` is one number or one per profile point.  `details(index)` returns the details
        of the face between the profile's points index and index + 1 (-1: a side) as a list of (u0,
        u1, v0, v1, colour, glow) in shares of the face, v upwards.  A part on a higher `layer`
        stands on the lower ones and is painted after them.
        """
        profile = np.asarray(profile, float)
        half = np.broadcast_to(half_widths, len(profile))
        left = np.column_stack([profile[:, 0], middle + half, profile[:, 1]])
        right = np.column_stack([profile[:, 0], middle - half, profile[:, 1]])
        self.centres.append((left + right).mean(axis=0) / 2)
        self.layers.append(layer)
        centre = self.centres[-1]
        count = len(profile)
        for i in range(count):
            j = (i + 1) % count
            i_low, j_high = (i, j) if profile[i, 1] <= profile[j, 1] else (j, i)
            self._face(np.stack([right[i_low], left[i_low], left[j_high], right[j_high]]), centre,
                       colour, details(i) if details else ())
        for side in (left, right):
            self._face(side, centre, colour, details(-1) if details else ())

    def _face(self, face, centre, colour, details):
        (ax, ay, az), (bx, by, bz) = face[1] - face[0], face[2] - face[0]
        normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
        normal /= np.linalg.norm(normal) + 1e-9
        if normal @ (face.mean(axis=0) - centre) < 0:
            normal = -normal
        self.add(face, colour, normal)
        for u0, u1, v0, v1, paint_colour, glow in details:
            corners = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
            quad = [face[0] * (1 - u) * (1 - v) + face[1] * u * (1 - v) + face[2] * u * v
                    + face[3] * (1 - u) * v for u, v in corners]
            self.add(np.array(quad) + normal * 0.005, paint_colour, normal, glow)

    def box(self, xs, ys, zs, colour, front=(), layer=1):
        """Add an upright box that spans xs, ys, zs, with `front` details towards the low x."""
        self.prism([(xs[0], zs[0]), (xs[1], zs[0]), (xs[1], zs[1]), (xs[0], zs[1])],
                   (ys[1] - ys[0]) / 2, colour, lambda i: front if i == 3 else (), layer,
                   sum(ys) / 2)

    def wheels(self, positions, radius):
        """Put a wheel at each x of `positions` on both sides of the newest part."""
        angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
        ring = np.column_stack([np.cos(angles), np.sin(angles)])
        for x in positions:
            for side in (-1.0, 1.0):
                y = side * (self.width / 2 + 0.01)
                for share, colour in ((1.0, RUBBER), (0.58, RIM), (0.25, (60, 60, 60))):
                    circle = ring * radius * share + (x, radius)
                    self.add(np.insert(circle, 1, y, axis=1), colour, np.array([0.0, side, 0.0]))

    def freeze(self):
        """Stack the lists once the model is complete, for one projection per image."""
        self.points = np.concatenate(self.polygons)
        stops = np.cumsum([len(p) for p in self.polygons]).tolist()
        self.spans = list(zip([0, *stops], stops))
        self.anchors = np.stack([p[0] for p in self.polygons])
        self.normals = np.stack(self.normals)
        self.colours = np.array(self.colours, float)
        self.glow = np.array(self.glow)
        self.parts = np.array(self.parts)
        self.centres = np.stack(self.centres)
        self.layers = np.array(self.layers)
        return self


@dataclass(frozen=True, eq=False)
class Light:
    """Sunlight: direction to the sun (3,), its colour, the sky's colour, lamps lit or not."""

    sun: np.ndarray
    direct: np.ndarray
    ambient: np.ndarray
    lamps: bool

    def shade(self, normals):
        """Return the light (N, 3) that falls on faces with these unit normals (N, 3)."""
        facing = np.maximum(normals @ self.sun, 0.0)[:, None]
        sky = 0.75 + 0.25 * normals[:, 2:3]
        return self.direct * facing + self.ambient * sky


def mesh_polygons(mesh, camera, light, position, heading, dim=1.0, braking=False):
    """
    Project a model standing at `position` (x, y) with unit `heading` (x, y).

    Return its visible polygons as (points (N, 2), colour), far to near; empty if it is behind.
    """
    ahead = np.array([heading[0], heading[1], 0.0])
    turn = np.stack([ahead, [-heading[1], heading[0], 0.0], [0.0, 0.0, 1.0]])
    place = np.array([position[0], position[1], 0.0])
    view = camera.to_view(mesh.points @ turn + place)
    if view[:, 2].max() < NEAR:
        return []
    eye = turn @ (camera.position - place)
    seen = ((eye - mesh.anchors) * mesh.normals).sum(axis=1) > 1e-6
    colours = mesh.colours * light.shade(mesh.normals @ turn) * dim
    if light.lamps or braking:
        colours = _lit(mesh, colours, light.lamps, braking)
    colours = np.minimum(colours, 255).tolist()
    rank = mesh.layers * 1e4 - np.linalg.norm(eye - mesh.centres, axis=1)
    order = [i for i in np.argsort(rank[mesh.parts], kind='stable').tolist() if seen[i]]
    if view[:, 2].min() < NEAR:
        cut = [(cut_near(view[slice(*mesh.spans[i])]), colours[i]) for i in order]
        return [(fixed_point(camera.to_image(points)), colour) for points, colour in cut
                if len(points) > 2]
    points = fixed_point(camera.to_image(view))
    return [(points[slice(*mesh.spans[i])], colours[i]) for i in order]


def _lit(mesh, colours, lamps, braking):
    colours = colours.copy()
    if lamps:
        colours[mesh.glow == 1] = (215, 245, 255)
        colours[mesh.glow == 2] = (40, 30, 190)
    if braking:
        colours[mesh.glow == 2] = (60, 50, 255)
    return colours


def _bottom(mesh, clearance):
    """Add the dark space under a vehicle, so that it stands on the ground."""
    half = mesh.length / 2 - 0.35
    mesh.prism([(-half, 0.05), (half, 0.05), (half, clearance), (-half, clearance)],
               mesh.width / 2 * 0.9, (24, 24, 26), layer=0)


def _lamps(front, v0=0.45, v1=0.9):
    colour, glow = (LAMP, 1) if front else (TAIL, 2)
    return [(0.04, 0.24, v0, v1, colour, glow), (0.76, 0.96, v0, v1, colour, glow)]


def car(rng):
    """Build a hatchback, saloon, estate or sport-utility vehicle."""
    length, cabin_front, cabin_rear, roof = (
        (3.9, 0.75, -1.75, 1.48), (4.6, 0.85, -1.35, 1.42), (4.7, 0.9, -2.15, 1.48),
        (4.6, 1.0, -2.1, 1.72))[rng.integers(4)]
    width = rng.uniform(1.72, 1.9)
    paint_colour = CAR_PAINT[rng.integers(len(CAR_PAINT))]
    mesh = Mesh(length, width, roof)
    half, belt = length / 2, 0.62 * roof
    _bottom(mesh, 0.3)
    grille = (0.3, 0.7, 0.1, 0.6, (36, 36, 38), 0)
    plate = (0.4, 0.6, 0.1, 0.34, (210, 225, 225), 0)
    ends = {1: [grille, *_lamps(True)], 5: [plate, *_lamps(False)]}
    mesh.prism([(-half, 0.26), (half, 0.26), (half, belt - 0.24), (half - 1.1, belt),
                (-half + 0.12, belt), (-half, belt - 0.12)], width / 2, paint_colour,
               lambda i: ends.get(i, ()))
    mesh.wheels((-0.31 * length, 0.31 * length), 0.33)
    front_top, rear_top = cabin_front - 0.75, cabin_rear + (0.3 if roof > 1.45 else 0.7)
    glass = {0: (), 1: [(0.05, 0.95, 0.06, 0.92, GLASS, 0)], 2: (),
             3: [(0.08, 0.92, 0.1, 0.85, GLASS, 0)],
             -1: [(0.05, 0.44, 0.12, 0.86, GLASS, 0), (0.49, 0.93, 0.12, 0.86, GLASS, 0)]}
    mesh.prism([(cabin_rear, belt), (cabin_front, belt), (front_top, roof), (rear_top, roof)],
               (width / 2 * 0.95, width / 2 * 0.95, width / 2 * 0.76, width / 2 * 0.76),
               paint_colour, lambda i: glass[i], layer=2)
    return mesh.freeze()


def truck(rng):
    """Build a box truck, a tipper or an articulated lorry."""
    length = (6.8, 8.6, 12.5)[rng.integers(3)]
    width, height = rng.uniform(2.3, 2.5), rng.uniform(3.0, 3.8)
    cab_paint = TRUCK_PAINT[rng.integers(len(TRUCK_PAINT))]
    cargo = CARGO_PAINT[rng.integers(len(CARGO_PAINT))]
    mesh = Mesh(length, width, height)
    half, cab = length / 2, length / 2 - 2.0
    _bottom(mesh, 0.75)
    axles = (-half + 1.1, half - 1.2) if length < 7 else (-half + 1.1, -half + 2.2, half - 1.2)
    mesh.wheels(axles, 0.5)
    stripe = CARGO_PAINT[rng.integers(len(CARGO_PAINT))]
    banner = {-1: [(0.08, 0.92, 0.3, 0.62, stripe, 0)] if rng.random() < 0.6 else [],
              3: [(0.49, 0.51, 0.0, 1.0, (70, 70, 70), 0), (0.03, 0.12, 0.9, 0.98, TAIL, 2),
                  (0.88, 0.97, 0.9, 0.98, TAIL, 2)]}
    low = rng.random() < 0.25
    top = 2.3 if low else height
    mesh.prism([(-half, 0.75), (cab - 0.25, 0.75), (cab - 0.25, top), (-half, top)], width / 2,
               cargo, lambda i: banner.get(i, ()))
    face = {1: [(0.2, 0.8, 0.1, 0.5, (50, 50, 52), 0), *_lamps(True, 0.05, 0.35)],
            2: [(0.06, 0.94, 0.08, 0.9, GLASS, 0)],
            -1: ()}
    roof = min(height - 0.2, 3.0)
    mesh.prism([(cab, 0.45), (half, 0.45), (half, 1.55), (half - 0.2, roof), (cab, roof)],
               width / 2 * 0.98, cab_paint, lambda i: face.get(i, ()))
    for side in (-1.0, 1.0):
        y = side * (width / 2 * 0.98 + 0.01)
        window = [(cab + 0.7, y, 1.6), (half - 0.15, y, 1.6), (half - 0.3, y, roof - 0.35),
                  (cab + 0.7, y, roof - 0.35)]
        mesh.add(window, GLASS, np.array([0.0, side, 0.0]))
    return mesh.freeze()


def bus(rng):
    """Build a city bus, a coach or a double-decker."""
    length, height, rows = ((10.5, 3.1, 1), (12.0, 3.5, 1), (9.8, 4.2, 2))[
        rng.choice(3, p=(0.5, 0.35, 0.15))]
    width = 2.5
    paint_colour = BUS_PAINT[rng.integers(len(BUS_PAINT))]
    stripe = BUS_PAINT[rng.integers(len(BUS_PAINT))]
    mesh = Mesh(length, width, height)
    half = length / 2
    _bottom(mesh, 0.4)
    levels = [(0.42, 0.8)] if rows == 1 else [(0.3, 0.52), (0.64, 0.88)]
    panes = [(u, u + 0.105, v0, v1, GLASS, 0)
             for v0, v1 in levels for u in np.arange(0.03, 0.9, 0.12)]
    sides = [(0.0, 1.0, 0.1, 0.2, stripe, 0), *panes]
    front = [(0.05, 0.95, v0 - 0.06, v1 + 0.03, GLASS, 0) for v0, v1 in levels]
    front += [(0.25, 0.75, 0.89, 0.96, (40, 150, 220), 0), *_lamps(True, 0.05, 0.15)]
    back = [(0.15, 0.85, levels[-1][0], levels[-1][1], GLASS, 0), *_lamps(False, 0.08, 0.2),
            (0.3, 0.7, 0.1, 0.3, (60, 60, 62), 0)]
    faces = {1: front, 3: back, -1: sides}
    mesh.prism([(-half, 0.35), (half, 0.35), (half, height), (-half, height)], width / 2,
               paint_colour, lambda i: faces.get(i, ()))
    mesh.wheels((-half + 2.6, half - 2.4), 0.5)
    return mesh.freeze()


def motorcycle(rng):
    """Build a motorcycle with its rider, who belongs to it."""
    paint_colour = CAR_PAINT[rng.integers(len(CAR_PAINT))]
    coat = CLOTHES[rng.integers(len(CLOTHES))]
    helmet = CAR_PAINT[rng.integers(len(CAR_PAINT))]
    mesh = Mesh(2.1, 0.75, 1.7)
    for x in (-0.72, 0.74):
        _thin_wheel(mesh, x, 0.32)
    mesh.prism([(-0.35, 0.3), (0.35, 0.3), (0.45, 0.7), (-0.4, 0.75)], 0.13, (52, 52, 56))
    mesh.prism([(-0.05, 0.76), (0.4, 0.76), (0.45, 0.98), (0.05, 0.98)], 0.16, paint_colour)
    tail = [(0.15, 0.85, 0.2, 0.85, TAIL, 2)]
    mesh.prism([(-0.95, 0.8), (-0.05, 0.76), (-0.05, 0.88), (-0.98, 0.98)], 0.13, paint_colour,
               lambda i: tail if i == 3 else ())
    mesh.box((-1.0, -0.97), (-0.1, 0.1), (0.58, 0.74), (200, 212, 216))
    mesh.prism([(0.6, 0.6), (0.8, 0.62), (0.68, 1.12), (0.5, 1.12)], 0.13, paint_colour,
               lambda i: [(0.15, 0.85, 0.5, 0.9, LAMP, 1)] if i == 1 else ())
    mesh.box((0.44, 0.5), (-0.37, 0.37), (1.05, 1.1), (40, 40, 42))
    _rider(mesh, coat, helmet)
    return mesh.freeze()


def _thin_wheel(mesh, x, radius):
    """Put one wheel in the middle, with its rims."""
    angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * radius
    mesh.prism(ring + (x, radius), 0.07, RUBBER)
    for side in (-1.0, 1.0):
        for share, colour in ((0.6, RIM), (0.25, (60, 60, 60))):
            circle = np.insert(ring * share + (x, radius), 1, side * 0.075, axis=1)
            mesh.add(circle, colour, np.array([0.0, side, 0.0]))


def _rider(mesh, coat, helmet):
    trousers = (60, 50, 46)
    for side in (-1, 1):
        mesh.prism([(-0.3, 0.78), (0.15, 0.6), (0.24, 0.74), (-0.22, 0.96)], 0.09, trousers,
                   middle=side * 0.23)
        mesh.prism([(-0.02, 0.3), (0.14, 0.3), (0.24, 0.72), (0.08, 0.72)], 0.07, trousers,
                   middle=side * 0.25)
        mesh.prism([(-0.04, 0.2), (0.24, 0.2), (0.18, 0.32), (-0.04, 0.32)], 0.06, RUBBER,
                   middle=side * 0.25)
        mesh.prism([(0.0, 1.22), (0.46, 1.02), (0.5, 1.12), (0.1, 1.38)], 0.06, coat,
                   middle=side * 0.29)
    mesh.prism([(-0.4, 0.88), (-0.08, 0.88), (0.2, 1.36), (-0.14, 1.43)],
               (0.18, 0.18, 0.24, 0.22), coat)
    visor = {0: [(0.1, 0.9, 0.1, 0.9, GLASS, 0)], 7: [(0.1, 0.9, 0.4, 0.95, GLASS, 0)]}
    angles = np.linspace(0, 2 * math.pi, 8, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * 0.145 + (0.1, 1.55)
    mesh.prism(ring, 0.12, helmet, lambda i: visor.get(i, ()))


MODELS = {'car': car, 'truck': truck, 'bus': bus, 'motorcycle': motorcycle}


def person_polygons(camera, light, position, heading, stride, looks, dim=1.0):
    """
    Project a walking person: `stride` is the phase of the gait in radians.

    `looks` is (height in metres, coat, trousers, skin, hair, carries a bag).  Polygons as in
    `mesh_polygons`.
    """
    height, coat, trousers, skin, hair, bag = looks
    joints = _joints(stride) * (height / 1.75)
    ahead = np.array([heading[0], heading[1], 0.0])
    turn = np.stack([ahead, [-heading[1], heading[0], 0.0], [0.0, 0.0, 1.0]])
    view = camera.to_view(joints @ turn + (position[0], position[1], 0.0))
    if view[:, 2].min() < NEAR:
        return []
    points = camera.to_image(view)
    unit = camera.focal / view[:, 2].mean() * height / 1.75
    towards = np.append(camera.position[:2] - position, 0.0)
    tone = light.shade(towards[None] / np.linalg.norm(towards))[0] * dim
    limbs = _capsules(points[LIMBS[:, 0]], points[LIMBS[:, 1]], LIMB_RADII * unit)
    shapes = [*fixed_point(limbs), fixed_point(_trunk(points[4], points[5], unit))]
    cloth = np.array((trousers, (40, 40, 44), coat, skin, hair, (50, 60, 90))) * tone
    cloth = [np.minimum(cloth * share, 255).tolist() for share in (0.82, 1.0)]
    left_is_near = towards[:2] @ (-heading[1], heading[0]) > 0
    far, near = ('right', 'left') if left_is_near else ('left', 'right')
    order = [*PERSON_PARTS[far], *(PERSON_PARTS['bag'] if bag else ()), *PERSON_PARTS[near][:3],
             (2, 13), *PERSON_PARTS[near][3:], *PERSON_PARTS['head']]
    behind = len(PERSON_PARTS[far])
    return [(shapes[part], cloth[i >= behind][name]) for i, (name, part) in enumerate(order)]


# A person's limbs: joints of `_joints` at their ends, radii in metres, what covers them.
_HALF = [(0, 1), (1, 2), (2, 3), (6, 7), (7, 8)]
LIMBS = np.array([*_HALF, *[(a + 9, b + 9) for a, b in _HALF], (18, 18), (19, 19), (20, 21)])
SHOE = 0.05  # radius
LIMB_RADII = np.array([0.085, 0.065, SHOE, 0.05, 0.045] * 2 + [0.115, 0.11, 0.12])
_COVER = (0, 0, 1, 2, 3)  # trousers, trousers, shoes, coat, skin; then 4 hair, 5 bag
PERSON_PARTS = {'right': list(zip(_COVER, range(5))), 'left': list(zip(_COVER, range(5, 10))),
                'head': [(3, 10), (4, 11)], 'bag': [(5, 12)]}


def _joints(stride):
    """Return the joints (22, 3) of a person 1.75 m tall: right half, left half, head, bag."""
    halves = []
    for side, phase in ((-1, stride), (1, stride + math.pi)):
        thigh = 0.42 * math.sin(phase)
        shin = thigh - 0.55 * max(0.0, math.cos(phase)) - 0.08
        arm = -0.4 * math.sin(phase)
        hip = np.array([0.0, side * 0.09, 0.9])
        knee = hip + (0.42 * math.sin(thigh), 0.0, -0.42 * math.cos(thigh))
        foot = knee + (0.42 * math.sin(shin), 0.0, -0.42 * math.cos(shin))
        shoulder = np.array([0.0, side * 0.21, 1.40])
        elbow = shoulder + (0.28 * math.sin(arm), side * 0.03, -0.28 * math.cos(arm))
        hand = elbow + (0.26 * math.sin(arm + 0.35), 0.0, -0.26 * math.cos(arm + 0.35))
        middle = [np.array([0.0, 0.0, 0.9]), np.array([0.0, 0.0, 1.45])]
        halves += [hip, knee, foot, foot + (0.14, 0.0, -0.01), *middle, shoulder, elbow, hand]
    head = [np.array([0.03, 0.0, 1.6]), np.array([-0.015, 0.0, 1.65])]
    joints = np.array(halves + head + [np.array([-0.2, 0.0, 1.3]), np.array([-0.2, 0.0, 1.05])])
    joints[:, 2] += SHOE - joints[:, 2].min()  # the lower foot is on the ground
    return joints


def _capsules(a, b, radii):
    """Return limbs (N, 10, 2) from ends a and b (N, 2): two round ends of `radii`, joined."""
    along = b - a
    angles = np.arctan2(along[:, 1], along[:, 0])[:, None] + CAP_ANGLES
    cap = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radii[:, None, None]
    return np.concatenate([a[:, None] + cap, b[:, None] - cap], axis=1)


CAP_ANGLES = np.linspace(math.pi / 2, 3 * math.pi / 2, 5)


def _trunk(hips, neck, unit):
    across = np.array([unit, 0.0])
    up = neck - hips
    return np.stack([hips - across * 0.15 - up * 0.08, hips + across * 0.15 - up * 0.08,
                     hips + across * 0.19 + up * 0.8, neck + across * 0.08,
                     neck - across * 0.08, hips - across * 0.19 + up * 0.8])


def tree_polygons(camera, light, rng, position, height, spread, leaves):
    """Project a tree: trunk and a crown of leaf clumps, dark below and bright towards the sun."""
    base = np.array([position[0], position[1], 0.0])
    distance = camera.to_view(base[None])[0, 2]
    if distance < 8.0:
        return []
    unit = camera.focal / distance
    foot, neck = camera.to_image(camera.to_view(base + [(0, 0, 0), (0, 0, height * 0.6)]))
    trunk = np.stack([foot - (0.2 * unit, 0), foot + (0.2 * unit, 0), neck + (0.12 * unit, 0),
                      neck - (0.12 * unit, 0)])
    bark = np.multiply((44, 60, 76), light.ambient + 0.4 * light.direct)
    count = int(np.clip(unit * 4, 40, 220))
    offsets = rng.normal(size=(count, 3))
    offsets /= np.linalg.norm(offsets, axis=1, keepdims=True)
    offsets *= rng.uniform(0.2, 1, (count, 1)) ** 0.4 * (spread, spread, height * 0.34)
    offsets = offsets[np.argsort(offsets[:, 2] + rng.normal(size=count) * 0.3)]
    centres = camera.to_image(camera.to_view(base + (0, 0, height * 0.68) + offsets))
    lit = 0.35 + 0.65 * np.clip(0.5 + 0.5 * offsets @ light.sun / spread, 0, 1) ** 1.3
    shade = (lit * rng.uniform(0.75, 1.1, count))[:, None]
    tones = (light.ambient + light.direct * lit[:, None]) * shade
    colours = np.minimum(np.multiply(leaves, tones), 255).tolist()
    radii = unit * spread * rng.uniform(0.1, 0.26, count) * (46 / count) ** 0.25
    # Corners at random places of a circle make a convex shape, each clump another one.
    angles = np.sort(rng.uniform(0, 2 * math.pi, (count, 9)), axis=1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    clumps = fixed_point(centres[:, None] + circle * radii[:, None, None])
    return [(fixed_point(trunk), bark.tolist()), *zip(clumps, colours)]


def lamp_post():
    """Build a lamp post of the near kerb."""
    mesh = Mesh(0.2, 0.2, 7.5)
    mesh.prism([(-0.09, 0), (0.09, 0), (0.06, 7.5), (-0.06, 7.5)], 0.08, (120, 122, 120))
    return mesh.freeze()


def pillar():
    """Build a bridge pillar of the median."""
    mesh = Mesh(1.2, 1.0, 6.0)
    mesh.prism([(-0.6, 0), (0.6, 0), (0.6, 5.5), (-0.6, 5.5)], 0.5, (150, 156, 160))
    mesh.prism([(-0.8, 5.5), (0.8, 5.5), (1.0, 6.0), (-1.0, 6.0)], 1.0, (165, 170, 174), layer=2)
    return mesh.freeze()


def gantry(half, signs, rng):
    """Build a bar across the road from -half to half with a sign at each y of `signs`."""
    steel, ground = (130, 132, 130), ((150, 84, 24), (84, 110, 30))[rng.integers(2)]
    white = (235, 235, 235)
    writing = [(0.1, 0.7, 0.62, 0.78, white, 0), (0.1, 0.5, 0.3, 0.44, white, 0),
               (0.76, 0.9, 0.25, 0.8, white, 0)]
    mesh = Mesh(0.4, 2 * half, 6.5)
    for y in (-half, half):
        mesh.box((-0.15, 0.15), (y - 0.15, y + 0.15), (0, 6.2), steel)
    mesh.box((-0.15, 0.15), (-half, half), (5.9, 6.2), steel)
    for y in signs:
        mesh.box((-0.25, -0.2), (y - 1.4, y + 1.4), (4.9, 6.5), ground, writing, layer=2)
    return mesh.freeze()


def board_polygons(low, high):
    """Return a striped board that covers the pixels from `low` to `high` (x, y)."""
    def rectangle(a, b):
        return fixed_point(np.array([a, (b[0], a[1]), b, (a[0], b[1])], float))

    polygons = [(rectangle(low, high), (70, 78, 84))]
    for x in np.arange(low[0] + 3, high[0] - 8, 14.0):
        polygons.append((rectangle((x, low[1] + 3), (x + 7, high[1] - 3)), (96, 128, 150)))
    return polygons


@lru_cache(maxsize=4096)
def looks(chance):
    """Turn a number in [0, 1) into a person's looks, as `person_polygons` takes them."""
    rng = np.random.default_rng(int(chance * 2 ** 32))
    coat, trousers = (CLOTHES[k] for k in rng.integers(len(CLOTHES), size=2))
    hair = ((30, 30, 34), (50, 70, 96), (40, 46, 60), (110, 150, 190))[rng.integers(4)]
    return (rng.uniform(1.58, 1.88), coat, trousers, SKIN[rng.integers(len(SKIN))], hair,
            int(rng.random() < 0.35))
