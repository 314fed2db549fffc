"""
What a camera that drives along the synthetic road sees of what stands still.

Only `scene.py` and tests enter here.  The ground is one strip of picture along the road which
repeats; sky, houses, trees and lamp posts are pictures on planes in the world, painted once and
projected for every image, so that all of it moves as the camera does.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
import math

from acme_tracking.scene import models
from acme_tracking.scene.ground import paint_road, paint_sky, PERIOD, tile_noise
from acme_tracking.scene.painting import Footprint
from acme_tracking.scene.traffic import unit
import cv2
import numpy as np

ACROSS, ALONG = 32, 16  # texels of the strip per metre across the road and along it
WIDE = 72  # metres across the strip; beyond it repeats in a mirror
BLEND = 40  # rows of the strip over which its end turns into its beginning
MARGIN = 2  # rows of the other end at both ends of a level
STRETCH = 40  # rows of the strip that are painted at once
LEVELS = 6  # times that it is halved, each way
LOT = 15.0  # metres of roadside with a house, or trees
HAZE_FROM, HAZE_TO, HAZE = 50.0, 150.0, 0.9  # metres between which haze grows, to this share
FACADE = 24  # texels of a house's picture per metre
SPRITE = 48  # of a tree or post
SKY_AWAY, SKY_HEIGHT = 400.0, 300.0  # metres


def haze_share(distance):
    """Return how much of what is `distance` metres away is haze, from 0 to 1."""
    share = np.clip((distance - HAZE_FROM) / (HAZE_TO - HAZE_FROM), 0, 1)
    return HAZE * share * share * (3 - 2 * share)


def halvings(image):
    """Return a picture, BGRA uint8, and its halves down to a few texels."""
    levels = [image]
    while min(levels[-1].shape[:2]) > 3:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2),
                                 interpolation=cv2.INTER_AREA))
    return levels


@dataclass(frozen=True, eq=False)
class Panel:
    """
    A picture on a plane in the world; where it has no alpha, it is not there.

    `levels` are the picture and its halves, `origin` is its lower left corner, `right` and `up`
    are its sides.  It is seen from where `normal` points to; one without a normal turns around the
    middle of its foot to face the camera.
    """

    levels: list
    origin: np.ndarray
    right: np.ndarray
    up: np.ndarray
    normal: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Standing:
    """Something that stands beside the road."""

    footprint: Footprint
    panels: list


class Panels:
    """Many panels, which are projected at once."""

    def __init__(self, panels):
        """Stack their sides."""
        self._levels = [panel.levels for panel in panels]
        self._texels = np.array([panel.levels[0][..., 0].size for panel in panels])
        self._turns = np.array([panel.normal is None for panel in panels])
        self._normal = np.array([np.zeros(3) if panel.normal is None else panel.normal
                                 for panel in panels])
        self._sides = np.array([(panel.right, panel.up) for panel in panels])
        self._origin = np.array([panel.origin for panel in panels])

    def warped(self, camera):
        """Yield (number, BGRA picture, its first pixel) of each panel that the camera sees."""
        origin, right, up = self._facing(camera)
        view = camera.to_view(origin[:, None]
                              + np.stack([0 * up, right, right + up, up], axis=1))
        windows, pixels = _windows(view, camera)
        front = self._turns | (((camera.position - origin) * self._normal).sum(axis=1) > 0)
        seen = np.flatnonzero(front & (windows[:, 2:] > windows[:, :2]).all(axis=1))
        halved = np.log2(np.maximum(self._texels[seen] / pixels[seen], 1)) / 2
        planes = np.stack([right, -up, origin + up - camera.position], axis=2)[seen]
        planes = np.diag((camera.focal, camera.focal, 1.0)) @ camera.axes @ planes
        # the middle of a pixel is its place for OpenCV
        places = np.tile(np.eye(3), (len(seen), 1, 1))
        places[:, :2, 2] = np.array(camera.size) / 2 - 0.5 - windows[seen, :2]
        for number, level, plane in zip(seen.tolist(), (halved + 0.4).astype(int).tolist(),
                                        places @ planes):
            x1, y1, x2, y2 = windows[number].tolist()
            texture = self._levels[number][min(level, len(self._levels[number]) - 1)]
            rows, columns = texture.shape[:2]
            texel = np.array(((1 / columns, 0, 0.5 / columns), (0, 1 / rows, 0.5 / rows),
                              (0, 0, 1)))
            yield number, cv2.warpPerspective(texture, plane @ texel, (x2 - x1, y2 - y1),
                                              flags=cv2.INTER_LINEAR), (x1, y1)

    def _facing(self, camera):
        """Return origins, right sides and up sides, each (N, 3), as they are for this camera."""
        origin, right, up = self._origin, self._sides[:, 0], self._sides[:, 1]
        turns = self._turns[:, None]
        aside = camera.axes[0] * (1, 1, 0)
        aside *= 1 / np.linalg.norm(aside)
        turned = np.linalg.norm(right, axis=1, keepdims=True) * aside
        return (np.where(turns, origin + (right - turned) / 2, origin),
                np.where(turns, turned, right), up)


def _windows(view, camera):
    """
    Return where quadrangles (N, 4, 3) in the camera's axes are in the image.

    int (N, 4): x1 y1 x2 y2, nothing in it where it is out of view; and their areas in pixels.
    """
    depth = view[..., 2]
    points = camera.to_image(np.maximum(view, (-np.inf, -np.inf, models.NEAR)).reshape(-1, 3))
    points = points.reshape(-1, 4, 2)
    (ax, ay), (bx, by) = np.moveaxis(points[:, 2:] - points[:, :2], 0, 2)
    pixels = np.maximum(np.abs(ax * by - bx * ay) / 2, 1.0)
    low, high = points.min(axis=1), points.max(axis=1)
    behind = depth.max(axis=1) < models.NEAR
    high[behind] = -np.inf
    for number in np.flatnonzero((depth.min(axis=1) < models.NEAR) & ~behind):
        points = camera.to_image(models.cut_near(view[number]))
        low[number], high[number], pixels[number] = points.min(0), points.max(0), np.inf
    size = np.array(camera.size)
    return np.concatenate([np.clip(low - 1, 0, size), np.clip(high + 2, 0, size)],
                          axis=1).astype(int), pixels


class Painted:
    """A standing thing in one image: what `scene.py` paints in order among the traffic."""

    def __init__(self, footprint, haze):
        """Begin with nothing; `haze` is its share and a picture of it."""
        self.footprint = footprint
        self._share, self._haze = haze
        self._pieces = []
        self.extent = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def add(self, picture, low):
        """Add what a panel has become."""
        (x, y), (height, width) = low, picture.shape[:2]
        window = slice(y, y + height), slice(x, x + width)
        mask = cv2.threshold(cv2.extractChannel(picture, 3), 127, 255, cv2.THRESH_BINARY)[1]
        self._pieces.append((window, mask, picture))
        self.extent[:2] = np.minimum(self.extent[:2], low)
        self.extent[2:] = np.maximum(self.extent[2:], (x + width, y + height))

    def paint(self, image):
        """Copy it into an image."""
        for window, mask, picture in self._pieces:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
            if self._share > 0.01:
                veil = self._haze[:picture.shape[0], :picture.shape[1]]
                picture = cv2.addWeighted(picture, 1 - self._share, veil, self._share, 0.0)
            cv2.copyTo(picture, mask, image[window])

    def hide(self, owner):
        """Take its pixels from the objects behind it."""
        for window, mask, _ in self._pieces:
            owner[window][mask > 0] = 0


class Surroundings:
    """Ground, sky and roadside of one road in one light."""

    def __init__(self, road, light, seed, rng):
        """Paint the pictures once."""
        self._road, self._light, self._seed = road, light, seed
        noise = tile_noise(rng)
        self._strip = {(0, 0): _paint_strip(road, light, noise, rng)}
        haze = np.array((214, 204, 192)) * (light.ambient + light.direct * 0.6) * 0.97
        self._haze = np.minimum(haze, 250).astype(np.float32)
        self._sky = Panels([Panel(halvings(side), *place) for side, place in zip(
            _paint_sky_box(light, noise, rng, self._haze), _sky_box(), strict=True)])
        self._facades = [_paint_facade(noise, rng) for _ in range(8)]
        self._roof = [halvings(_opaque(np.full((8, 8, 3), tone, np.uint8)))
                      for tone in ((84, 86, 96), (92, 92, 92))]
        self._trees = [_paint_tree(light, rng) for _ in range(6)]
        self._post = _paint_post()
        self._veil = np.empty((0, 0, 3), np.uint8)
        self._lots, self._near = {}, (None, None, None)
        self._town = rng.uniform(0.35, 0.9)

    # The ground and the sky.

    def background(self, camera):
        """Return sky and ground as BGR uint8 in the size of the camera."""
        # OpenCV samples four channels more than twice as fast as three
        ground = np.zeros((camera.height_px, camera.width, 4), np.uint8)
        self._paint_ground(ground, camera)
        image = cv2.cvtColor(ground, cv2.COLOR_BGRA2BGR)
        for _, picture, (x, y) in self._sky.warped(replace(camera, x=0.0, y=0.0, height=0.0)):
            window = image[y:y + picture.shape[0], x:x + picture.shape[1]]
            mask = cv2.threshold(cv2.extractChannel(picture, 3), 127, 255, cv2.THRESH_BINARY)[1]
            cv2.copyTo(cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR), mask, window)
        return image

    def _paint_ground(self, image, camera):
        x, y = camera.ground(2)
        rows = np.flatnonzero(np.isfinite(y).any(axis=1))
        if not len(rows):
            return
        top = max(rows[0] - 1, 0)  # the sky begins within a pixel of the horizon
        image = image[2 * top:]
        x, y = (np.nan_to_num(a[top:], nan=1e4) for a in (x, y))
        turn = 2 * math.pi / self._road.wave
        # float32 is exact enough only near 0
        centre = np.sin(y * np.float32(turn) + np.float32(camera.y * turn % math.tau))
        s = np.clip(x + np.float32(camera.x) - np.float32(self._road.swing) * centre, -WIDE, WIDE)
        levels = np.repeat(self._row_levels(s, y), 2, axis=0)[:len(image)]
        # Between two rows the way along the road is not linear, but by less than 1 pixel / r at
        # r pixels below the horizon.
        size = 2 * s.shape[1], 2 * s.shape[0]
        s, y = (cv2.resize(a, size, interpolation=cv2.INTER_LINEAR) for a in (s, y))
        s, y = s[:len(image), :camera.width], y[:len(image), :camera.width]
        along = y + np.float32(camera.y % PERIOD)
        along -= PERIOD * np.floor(along * np.float32(1 / PERIOD))
        starts = np.flatnonzero(np.diff(levels, axis=0, prepend=-1).any(axis=1)).tolist()
        for first, last in zip(starts, [*starts[1:], len(levels)]):
            across, down = levels[first].tolist()
            fine = ACROSS / 2 ** across, ALONG / 2 ** down
            cv2.remap(self._level(across, down),
                      s[first:last] * fine[0] + (WIDE / 2 * fine[0] - 0.5),
                      along[first:last] * fine[1] + (MARGIN - 0.5), cv2.INTER_LINEAR,
                      image[first:last], cv2.BORDER_REFLECT)
        self._paint_haze(image, y[:, camera.width // 2])

    def _row_levels(self, s, y):
        """Return by how many halvings each row's texels fit its pixels, int (H, 2)."""
        middle = s.shape[1] // 2
        texels = [np.hypot(np.gradient(a[:, middle]), a[:, middle + 1] - a[:, middle]) / 2 * fine
                  for a, fine in ((s, ACROSS), (y, ALONG))]
        levels = np.log2(np.maximum(np.stack(texels, axis=1), 1)) - 0.3
        return np.clip(np.round(levels), 0, LEVELS).astype(int)

    def _level(self, across, down):
        if (across, down) not in self._strip:
            full = self._strip[0, 0][MARGIN:-MARGIN]
            size = full.shape[1] >> across, full.shape[0] >> down
            self._strip[across, down] = _wrapped(
                cv2.resize(full, size, interpolation=cv2.INTER_AREA))
        return self._strip[across, down]

    def _paint_haze(self, image, distance):
        """Blend rows of ground with the haze by their distance."""
        share = haze_share(np.abs(distance))
        rows = int(np.count_nonzero(share > 0.01))
        if rows:
            share = share[:rows, None, None].astype(np.float32)
            image[:rows, :, :3] = image[:rows, :, :3] * (1 - share) + self._haze * share

    # What stands beside the road.

    def standing(self, camera):
        """Return what of the roadside is in view, as a list of `Painted`."""
        window = tuple(math.floor((camera.y + reach) / LOT) for reach in (-20, HAZE_TO))
        if self._near[0] != window:
            lots = [(side, lot) for lot in range(window[0], window[1] + 1) for side in (-1, 1)]
            self._lots = {lot: self._lots.get(lot) or self._lot(*lot) for lot in lots}
            things = [thing for lot in lots for thing in self._lots[lot]]
            owners = [thing for thing in things for _ in thing.panels]
            self._near = window, owners, Panels([p for thing in things for p in thing.panels])
        _, owners, panels = self._near
        if self._veil.shape[:2] != camera.size[::-1]:
            self._veil = np.full((*camera.size[::-1], 3), self._haze, np.uint8)
        found = {}
        for number, picture, low in panels.warped(camera):
            foot = owners[number].footprint
            if foot not in found:
                away = math.dist(foot.centre, camera.position[:2])
                found[foot] = Painted(foot, (float(haze_share(away)), self._veil))
            found[foot].add(picture, low)
        return list(found.values())

    def hazed(self, polygons, distance):
        """Return polygons with the haze of a distance on them."""
        share = float(haze_share(distance))
        if share < 0.01:
            return polygons
        veil = (self._haze * share).tolist()
        return [(points, [(1 - share) * tone + add for tone, add in zip(colour, veil)])
                for points, colour in polygons]

    def _lot(self, side, number):
        """Return what stands in one lot beside the road, the same whenever it is asked for."""
        rng = np.random.default_rng((self._seed, side + 1, number + 1000))
        built = unit(self._seed, side, number) < self._town
        items = self._house(side, number, rng) if built else self._grove(side, number, rng)
        if number % 2 == (side > 0):
            items.append(self._upright(self._post, side * (self._road.half + 0.45),
                                       LOT * number + 3, 1.0))
        if rng.random() < 0.45:
            items.append(self._tree(rng, side * (self._road.half + 2.8),
                                    LOT * (number + rng.uniform(0.3, 0.9)), 0.75))
        return items

    def _house(self, side, number, rng):
        picture, wide, high = self._facades[rng.integers(len(self._facades))]
        deep, s = rng.uniform(8, 11), side * (self._road.half + rng.uniform(5.5, 8))
        y = LOT * (number + 0.5)
        ahead = np.array([*self._road.along(y), 0.0])
        out = side * np.array([ahead[1], -ahead[0], 0.0])  # away from the road
        front = np.array([*self._road.place(s, y), 0.0])
        up = np.array([0.0, 0.0, high])
        near, far = front - ahead * wide / 2, front + ahead * wide / 2
        left, right = (near, far) if side < 0 else (far, near)
        along = right - left
        gable = picture['side']
        sides = [(picture['front'], left, along, up, -out),
                 (gable, right, out * deep, up, along / wide),
                 (gable, left + out * deep, -out * deep, up, -along / wide),
                 (self._roof[rng.integers(2)], left + up, along, out * deep,
                  np.array([0.0, 0.0, 1.0]))]
        panels = [Panel(_tinted(picture, self._light.shade(normal[None])[0]), *place, normal)
                  for picture, *place, normal in sides]
        foot = Footprint(front[:2] + out[:2] * deep / 2, ahead[:2], wide, deep)
        return [Standing(foot, panels)]

    def _grove(self, side, number, rng):
        return [self._tree(rng, side * (self._road.half + rng.uniform(4.5, 14)),
                           LOT * (number + rng.uniform(0, 1)), rng.uniform(0.8, 1.3))
                for _ in range(rng.integers(2, 5))]

    def _tree(self, rng, s, y, scale):
        return self._upright(self._trees[rng.integers(len(self._trees))], s, y, scale)

    def _upright(self, sprite, s, y, scale):
        picture, wide, high = sprite
        foot = self._road.place(s, y)
        right = np.array([wide * scale, 0, 0])
        panel = Panel(picture, np.array([*foot, 0.0]) - right / 2, right,
                      np.array([0, 0, high * scale]))
        return Standing(Footprint(foot, self._road.along(y), 0.4, 0.4), [panel])


def _tinted(picture, tone):
    """Return the halvings of a picture in light of this tone, (3,)."""
    return [cv2.transform(level, np.diag([*tone, 1.0])) for level in picture]


# The pictures.

def _opaque(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)


def _wrapped(image):
    return cv2.copyMakeBorder(image, MARGIN, MARGIN, 0, 0, cv2.BORDER_WRAP)


def _paint_strip(road, light, noise, rng):
    """Return the ground along one period of the road, BGRA uint8, with margins."""
    rows = round(PERIOD * ALONG)
    y = ((np.arange(rows + BLEND, dtype=np.float32) + 0.5) / ALONG)[:, None]
    s = ((np.arange(WIDE * ACROSS, dtype=np.float32) + 0.5) / ACROSS - WIDE / 2)[None, :]
    tone = (light.ambient + light.direct * light.sun[2]).astype(np.float32)
    choice = int(rng.integers(1 << 32))
    ground = np.concatenate([  # in pieces that fit into the processor's cache
        paint_road(road, *np.broadcast_arrays(s, y[first:first + STRETCH]), np.float32(0.045),
                   noise, np.random.default_rng(choice)) * tone
        for first in range(0, len(y), STRETCH)])
    share = np.linspace(0, 1, BLEND, dtype=np.float32)[:, None, None]
    ground[:BLEND] = share * ground[:BLEND] + (1 - share) * ground[rows:]
    ground = ground[:rows]
    _wear_out(ground, road, rng)
    return _wrapped(_opaque(np.clip(ground, 0, 255).astype(np.uint8)))


def _wear_out(ground, road, rng):
    """Put patches, cracks, drains and grain on one period of the ground, float32 (H, W, 3)."""
    rows, columns = ground.shape[:2]
    shade = np.ones((rows, columns), np.float32)

    def place():
        s = rng.uniform(-0.95, 0.95) * road.half
        return round((s + WIDE / 2) * ACROSS), round(rng.uniform(0, rows))

    for _ in range(16):
        corner, size = place(), rng.uniform((0.6, 1), (2.5, 6)) * (ACROSS, ALONG)
        other = tuple((corner + size).astype(int).tolist())
        cv2.rectangle(shade, corner, other, rng.uniform(0.8, 1.12), -1)
        cv2.rectangle(shade, corner, other, 0.75, 1)
    for _ in range(70):
        steps = rng.normal(rng.uniform(-0.4, 0.4, 2), 0.3, (rng.integers(3, 9), 2))
        crack = place() + np.cumsum(steps * (ACROSS, ALONG), axis=0)
        cv2.polylines(shade, [crack.round().astype(np.int32)], False, rng.uniform(0.5, 0.75), 1)
    for _ in range(14):
        centre = place()
        for radius, tone, line in ((0.33, 0.55, -1), (0.27, 0.75, 1)):
            axes = round(radius * ACROSS), round(radius * ALONG)
            cv2.ellipse(shade, centre, axes, 0, 0, 360, tone, line)
    for size, strength in ((1, 0.05), (3, 0.045), (9, 0.03)):
        grain = rng.standard_normal((rows // size + 1, columns // size + 1)).astype(np.float32)
        grain = cv2.resize(grain, None, fx=size, fy=size, interpolation=cv2.INTER_LINEAR)
        shade += strength * grain[:rows, :columns]
    ground *= shade[..., None]


def _sky_box():
    """Return (origin, right, up, normal) of the four sides of the sky, around the camera."""
    up = np.array([0.0, 0.0, SKY_HEIGHT])
    for x, y in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        ahead, aside = np.array([x, y, 0.0]), np.array([y, -x, 0.0])
        yield SKY_AWAY * (ahead - aside), 2 * SKY_AWAY * aside, up, -ahead


def _paint_sky_box(light, noise, rng, haze):
    """Return the four sides of the sky, ahead, right, behind, left, BGRA, with a skyline."""
    turn = np.linspace(-180, 180, 2880, endpoint=False)
    top, bottom = math.degrees(math.atan2(SKY_HEIGHT, SKY_AWAY)), 0.0
    rows = round((top - bottom) * 8)
    sky = paint_sky(len(turn), rows, light, noise, rng).astype(np.float32)
    rise = np.linspace(top, bottom, rows)[:, None]
    veil = np.exp(-np.maximum(rise, 0) / 7.0)[..., None]
    sky = sky * (1 - veil) + haze * veil
    for layer, (high, share) in enumerate(((4.0, 0.85), (2.2, 0.7))):
        line = _skyline(turn, rng, high, blocky=layer == 1)
        dark = np.array(((96, 92, 80), (70, 84, 78))[layer]) * light.ambient * 1.2
        sky[rise < line] = haze * share + dark * (1 - share)
    sky = _opaque(np.clip(sky, 0, 255).astype(np.uint8))
    sky = np.concatenate([sky, sky[:, :8]], axis=1)
    size = 1440
    across = np.linspace(-1, 1, size)[None, :]
    height = np.linspace(SKY_HEIGHT, 0, round(size * SKY_HEIGHT / 2 / SKY_AWAY))
    sides = []
    for side in range(4):
        azimuth = np.degrees(np.arctan(across)) + 90 * side
        elevation = np.degrees(np.arctan2(height[:, None], SKY_AWAY * np.hypot(1, across)))
        columns = np.mod(azimuth + 180, 360) * 8
        sides.append(cv2.remap(sky, np.broadcast_to(columns, elevation.shape).astype(np.float32),
                               ((top - elevation) * 8).astype(np.float32), cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_REPLICATE))
    return sides


def _skyline(turn, rng, high, blocky):
    """Return the height of far hills, or of far roofs and trees, in degrees for each azimuth."""
    total = np.zeros(len(turn))
    for waves in (3, 7, 16, 40, 90):
        total += np.sin(np.radians(turn) * waves + rng.uniform(0, 7)) / waves ** 0.7
    if not blocky:
        return high * (0.45 + 0.25 * total)
    steps = np.repeat(rng.uniform(0.2, 1.0, len(turn) // 12), 12) * (rng.random() * 0.4 + 0.6)
    return high * (0.3 + 0.6 * steps + 0.1 * total)


def _paint_facade(noise, rng):
    """Return ({'front', 'side'}: pictures, width, height in metres) of a house."""
    wide, floors = rng.uniform(10, 14), int(rng.integers(2, 5))
    high = 3.1 * floors + 0.9
    wall = np.array(((150, 170, 190), (120, 140, 170), (176, 180, 182), (110, 130, 150),
                     (140, 170, 200), (90, 110, 150))[rng.integers(6)], float)
    pictures = {}
    style = rng.integers(3), rng.uniform(0.9, 1.5), rng.random() < 0.5
    for name, bays in (('front', max(3, int(wide / 2.7))), ('side', 2)):
        width, height = round(wide * FACADE), round(high * FACADE)
        relief = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 1, (height, width)).astype(np.float32)
        bright = 1 + 0.05 * relief + 0.04 * grain
        bricks = np.arange(height) % 6 < 1
        bright[bricks] -= 0.06
        image = np.clip(wall * bright[..., None], 0, 255).astype(np.uint8)
        _paint_windows(image, rng, bays, floors, style, shops=name == 'front' and style[2])
        cv2.rectangle(image, (0, 0), (width, 9), (wall * 0.6).tolist(), -1)
        pictures[name] = halvings(_opaque(image))
    return pictures, wide, high


def _paint_windows(image, rng, bays, floors, style, shops):
    height, width = image.shape[:2]
    bay, floor = width / bays, 3.1 * FACADE
    for row in range(floors):
        bottom = height - row * floor
        for column in range(bays):
            left = column * bay
            if row == 0 and (shops or column == bays // 2):
                box = left + 0.12 * bay, bottom - 2.3 * FACADE, left + 0.88 * bay, bottom
                tone = rng.uniform(25, 90, 3)
                _rectangle(image, box, (170, 176, 180))
                _rectangle(image, np.add(box, (3, 4, -3, 0)), tone)
                if shops:
                    _rectangle(image, (box[0] - 3, box[1] - 12, box[2] + 3, box[1]),
                               rng.uniform(30, 220, 3))
                continue
            tall = style[1] * FACADE
            middle = bottom - 1.65 * FACADE
            box = (left + 0.25 * bay, middle - tall / 2, left + 0.75 * bay, middle + tall / 2)
            _rectangle(image, np.add(box, (-3, -3, 3, 4)), (188, 192, 194))
            _rectangle(image, box, np.multiply((92, 80, 66), rng.uniform(0.55, 1.25)))
            if rng.random() < 0.4:  # a blind
                _rectangle(image, (box[0], box[1], box[2], box[1] + tall * rng.uniform(0.2, 0.7)),
                           (176, 190, 196))
            if style[0]:
                cross = (box[0] + box[2]) / 2
                _rectangle(image, (cross - 1, box[1], cross + 1, box[3]), (188, 192, 194))


def _rectangle(image, box, colour):
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), [float(tone) for tone in colour], -1)


def _paint_tree(light, rng):
    """Return (picture, width, height in metres) of a tree."""
    height, spread = rng.uniform(5.5, 8), rng.uniform(1.9, 2.8)
    wide, high = 2.9 * spread, height * 1.22
    columns, rows = round(wide * SPRITE), round(high * SPRITE)
    away = 400.0  # so far that it is seen without perspective
    camera = models.Camera(columns, rows, high / 2, 0.0, 0.0, SPRITE * away)
    polygons = models.tree_polygons(camera, light, rng, (0.0, away), height, spread,
                                    models.LEAVES[rng.integers(len(models.LEAVES))])
    image = np.zeros((rows, columns, 3), np.uint8)
    mask = np.zeros((rows, columns), np.uint8)
    models.paint(image, polygons, line=cv2.LINE_8)
    models.paint(mask, [(points, 255) for points, _ in polygons], line=cv2.LINE_8)
    average = [float(tone) for tone in cv2.mean(image, mask)[:3]]
    image[mask == 0] = average  # so that no black border shows when it is reduced
    return halvings(np.dstack([image, mask])), wide, high


def _paint_post():
    """Return (picture, width, height in metres) of a lamp post."""
    wide, high = 1.6, 7.0
    image = np.zeros((round(high * SPRITE), round(wide * SPRITE), 4), np.uint8)
    image[..., :3] = 112, 114, 112
    middle = image.shape[1] // 2
    image[6:, middle - 4:middle + 4, 3] = 255
    image[6:14, 8:middle, 3] = 255
    image[12:20, 4:30] = (200, 210, 212, 255)
    return halvings(image), wide, high
