"""
The ground of the synthetic road scene: where the road lies, the picture of what stands still.

Only `scene.py` and tests enter here.  The picture is painted once per scene at twice the size and
reduced, so that far lane markings stay smooth lines.
"""

from dataclasses import dataclass
import math

from acme_tracking.scene import models
import cv2
import numpy as np

SCALE = 2  # painted pixels per pixel of the picture, each way
CROSSING = 3.0  # metres along the road
PERIOD = 90.0  # metres after which what is painted on the ground repeats for who drives along
GRASS, PAVEMENT, KERB, ASPHALT = range(4)


@dataclass(frozen=True)
class Road:
    """A road along y that may bend and wind; all lengths in metres."""

    lanes: int  # in each direction
    lane_width: float
    median: float  # width between the directions
    crossing: float  # where a zebra crossing starts; 0: there is none
    middle: float = 0.0  # the x of the road's middle at y = 0
    bend: float = 0.0  # the middle moves right by bend * y * y
    far: float = math.inf  # the bridge under which the road disappears
    parking: float = 0.5  # width between the outer lane and the kerb
    swing: float = 0.0  # the middle swings by so much to either side
    wave: float = 1.0  # in waves of this length

    @property
    def half(self):
        """Half the width from kerb to kerb."""
        return self.median / 2 + self.lanes * self.lane_width + self.parking

    def centre(self, y):
        """Return the x of the road's middle at `y`."""
        x = self.middle + self.bend * y * y
        return x + self.swing * np.sin(y * (2 * math.pi / self.wave)) if self.swing else x

    def place(self, s, y):
        """Turn `s` right of the road's middle at `y` into world x, y."""
        return np.array([self.centre(y) + s, y])

    def nearest_crossing(self, y):
        """Return the y of the middle of the zebra crossing that is nearest; they repeat."""
        middle = self.crossing + CROSSING / 2
        return middle + PERIOD * round((y - middle) / PERIOD)

    def on_crossing(self, y, margin):
        """Return whether `y` is less than `margin` metres from the middle of a zebra crossing."""
        return bool(self.crossing) and abs(y - self.nearest_crossing(y)) < margin

    def along(self, y):
        """Return the unit direction of the road, towards larger y, at `y`."""
        turn = 2 * math.pi / self.wave
        slope = 2 * self.bend * y + self.swing * turn * math.cos(turn * y)
        return np.array([slope, 1.0]) / math.hypot(slope, 1.0)


def tile_noise(rng, size=256, octaves=5):
    """Return smooth noise (size, size) float32 that repeats at its edges, mean 0, deviation 1."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode='wrap')
        scale = size // cells
        big = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += big[2 * scale:2 * scale + size, 2 * scale:2 * scale + size] / (1 << octave) ** 0.6
    return (total - total.mean()) / total.std()


def sample_noise(noise, u, v, cell):
    """Look up noise at ground coordinates u, v in metres; `cell` metres per texel."""
    size = len(noise)
    columns = np.mod(np.nan_to_num(u) / cell, size - 1).astype(np.float32)
    rows = np.mod(np.nan_to_num(v) / cell, size - 1).astype(np.float32)
    return cv2.remap(noise, columns, rows, cv2.INTER_LINEAR)


def paint_background(road, camera, light, rng):
    """Return the empty scene as BGR uint8 in the size of `camera`."""
    big = camera.scaled(SCALE)
    x, y = big.ground()
    noise = tile_noise(rng)
    image = paint_sky(big.width, big.height_px, light, noise, rng)
    tone = (light.ambient + light.direct * light.sun[2]).astype(np.float32)
    below = np.isfinite(y).astype(np.uint8)
    pixel = np.abs(y) / big.focal + 1e-3
    with np.errstate(invalid='ignore'):  # nothing of the ground is used above the horizon
        ground = paint_road(road, x - road.centre(y), y, pixel, noise, rng)
        ground = np.nan_to_num(ground * tone)
    cv2.copyTo(np.minimum(ground, 255).astype(np.uint8), below, image)
    for polygons in _far_things(road, big, light, rng):
        models.paint(image, polygons)
    return cv2.resize(image, (camera.width, camera.height_px), interpolation=cv2.INTER_AREA)


def paint_sky(width, height, light, noise, rng):
    """Return clouds, BGR uint8 (height, width, 3)."""
    rows = np.linspace(0, 9, height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 3, width, dtype=np.float32)[None, :]
    clouds = sample_noise(noise, *np.broadcast_arrays(columns, rows), 0.05)
    tint = np.array((225, 205, 185)) * (light.ambient + light.direct * 0.6)
    bright = 1 + 0.06 * rng.uniform(0.3, 1.0) * clouds
    return np.clip(bright[..., None] * tint.astype(np.float32), 0, 255).astype(np.uint8)


def paint_road(road, s, y, pixel, noise, rng):
    """
    Return the ground before light, float32 (H, W, 3): a surface's colour times brightness.

    s, y: float32 (H, W), right of the road's middle and along it.  pixel: metres across a pixel.
    """
    side = np.abs(s)
    fade = np.clip(0.05 / pixel, 0.15, 1.0)
    coarse = sample_noise(noise, s, y, 0.4)
    fine = sample_noise(noise, s + 31, y * 0.7, 0.035) * fade
    slabs = np.minimum(np.mod(s, 0.9), np.mod(y, 0.9)) < 0.05
    surface = np.full(s.shape, GRASS, np.uint8)
    bright = 1 + 0.16 * coarse + 0.2 * fine
    for kind, where, relief in (
            (PAVEMENT, side < road.half + 3.0, 0.04 * coarse + 0.06 * fine - 0.15 * slabs * fade),
            (KERB, side < road.half + 0.25, 0.08 * fine),
            (ASPHALT, side < road.half, 0.05 * coarse + 0.1 * fine + _wear(road, s))):
        surface[where] = kind
        bright = np.where(where, 1 + relief, bright)
    if road.median > 1:
        island = side < road.median / 2
        surface[island] = GRASS
        bright = np.where(island, 0.9 + 0.16 * coarse + 0.2 * fine, bright)
        surface[np.abs(side - road.median / 2) < 0.15] = KERB
    palette = np.empty((4, 3), np.float32)
    palette[GRASS] = ((44, 84, 66), (56, 96, 92), (50, 100, 70), (66, 104, 116))[rng.integers(4)]
    palette[ASPHALT] = rng.uniform(70, 125) * np.array((1.0, 0.99, 0.97))
    palette[PAVEMENT] = rng.uniform(130, 175) * np.array((0.94, 0.98, 1.0))
    palette[KERB] = 178, 182, 184
    worn = np.clip(0.86 + 0.12 * fine + 0.08 * coarse, 0, 1)
    return _marked(road, palette[surface] * bright[..., None], s, y, pixel, worn)


def _wear(road, s):
    """Return the lighter wheel tracks and the darker oil between them, in shares of the tone."""
    inside = (np.abs(s) - road.median / 2) / road.lane_width
    place = (inside - np.floor(inside) - 0.5) * road.lane_width
    return 0.07 * np.exp(-((np.abs(place) - 0.8) / 0.3) ** 2) - 0.06 * np.exp(-(place / 0.3) ** 2)


def _marked(road, image, s, y, pixel, worn):
    """Paint the lines; what covers a part of a pixel colours a part of it."""
    def line(at, width=0.15):
        reach = width / 2 + pixel / 2
        return np.clip((reach - np.abs(s - at)) / pixel, 0, 1) * np.minimum(1, width / pixel)

    cover = np.zeros_like(s)
    dashes = np.clip((1.5 - np.abs(np.mod(y, 9.0) - 4.5)) / 0.1 + 0.5, 0, 1)
    for side in (-1, 1):
        cover = np.maximum(cover, line(side * (road.half - 0.3)))
        cover = np.maximum(cover, line(side * (road.median / 2 + (0.3 if road.median > 1 else 0))))
        for lane in range(1, road.lanes):
            at = side * (road.median / 2 + lane * road.lane_width)
            cover = np.maximum(cover, dashes * line(at))
    if road.crossing:
        on = np.abs(y - road.crossing - CROSSING / 2) < CROSSING / 2
        on &= (np.abs(s) < road.half - 0.4) & (np.abs(s) > road.median / 2)
        cover = np.where(on, np.mod(s, 1.0) < 0.5, cover)
    share = (cover * worn)[..., None]
    return image + (np.array((222, 226, 228), np.float32) - image) * share


def _far_things(road, camera, light, rng):
    """Return what stands beside and across the road, far to near, as lists of polygons."""
    things = [(_bridge(road, camera, light), road.far)]
    for side in (-1, 1):
        town = rng.random() < 0.6
        y = road.far - 6.0
        while y > -5:
            deep, away = rng.uniform(9, 16), road.half + rng.uniform(6.5, 9)
            if town:
                house = _building(road, camera, light, rng, side * away, y - deep, deep)
                things.append((house, y - deep))
            for _ in range(1 if town else 4):
                s = side * (road.half + rng.uniform(5, 7) + (0 if town else rng.uniform(0, 12)))
                leaves = models.LEAVES[rng.integers(len(models.LEAVES))]
                at = y - rng.uniform(0, deep)
                tree = models.tree_polygons(camera, light, rng, road.place(s, at),
                                            rng.uniform(4, 8), rng.uniform(1.8, 3), leaves)
                things.append((tree, at))
            y -= deep + rng.uniform(1, 4)
    things.sort(key=lambda thing: -thing[1])
    return [polygons for polygons, _ in things if polygons]


def _standing(mesh, road, camera, light, s, y):
    return models.mesh_polygons(mesh.freeze(), camera, light, road.place(s, y), road.along(y))


def _bridge(road, camera, light):
    """Build the bridge at the far end: what is under it is too dark to see."""
    mesh = models.Mesh(9, 160, 8)
    wide = road.half + 2.6
    mesh.box((0.5, 9), (-wide, wide), (0, 5.2), (10, 10, 10))
    for side in (-1, 1):
        ends = sorted((side * wide, side * 90))
        mesh.box((0.2, 9), ends, (0, 5.2), (120, 126, 128))
    mesh.box((0, 9), (-90, 90), (5.2, 6.8), (150, 154, 156), layer=2)
    mesh.box((0, 0.2), (-90, 90), (6.8, 8.0), (104, 106, 104), layer=3)
    return _standing(mesh, road, camera, light, 0.0, road.far)


def _building(road, camera, light, rng, s, y, deep):
    height, width = rng.uniform(5, 14), 12.0
    wall = np.array(((150, 170, 190), (120, 140, 170), (176, 180, 182), (110, 130, 150),
                     (140, 170, 200), (90, 110, 150))[rng.integers(6)])
    mesh = models.Mesh(deep, width, height)
    floors, across = max(1, int(height / 3)), max(2, int(deep / 2.6))
    panes = [(c / across + 0.25 / across, (c + 0.75) / across, r / floors + 0.28 / floors,
              (r + 0.78) / floors, (92, 80, 66), 0) for c in range(across) for r in range(floors)]
    half = deep / 2
    mesh.prism([(-half, 0), (half, 0), (half, height), (-half, height)], width / 2, wall,
               lambda i: panes if i in (-1, 3) else ())
    roof = np.array(((70, 80, 140), (90, 92, 96), (60, 66, 90))[rng.integers(3)])
    mesh.prism([(-half - 0.3, height), (half + 0.3, height), (half + 0.3, height + 0.4),
                (-half - 0.3, height + 0.4)], width / 2 + 0.3, roof, layer=2)
    return _standing(mesh, road, camera, light, s + math.copysign(width / 2, s), y + half)
