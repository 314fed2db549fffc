"""
Single objects with their true boxes: from OTB or MOTChallenge folders, or rendered.

Images are read or rendered when they are asked for, so a list of sequences costs little memory.
Boxes are taken as the files have them: the first pixel counts as 0 or as 1 as their makers chose.
"""
from __future__ import annotations

from collections.abc import Callable
import configparser
from dataclasses import dataclass, replace
import math
from pathlib import Path
import re

from acme_tracking import geometry
from acme_tracking.labels import CLASSES
from acme_tracking.scene import Scene, TARGET_ID
from acme_tracking.sources import image_files
import cv2
import numpy as np

# An object of which less than this share is to be seen counts as absent.
VISIBLE = 0.3
# The published boxes of this OTB sequence begin at its 300th image; all others at the first.
OTB_FIRST_IMAGE = {'David': 299}
FAMILIES = ('occlusion', 'scale', 'blur', 'illumination', 'clutter')


@dataclass(frozen=True, eq=False)
class Sequence:
    """
    One object in consecutive images.

    boxes: float32 (N, 4), x1 y1 x2 y2 in pixels; 0 where the object is absent, NaN where it is
    unknown, neither of which is so in the first image.  image: gives image 0 to N - 1 as BGR uint8
    (H, W, 3).
    """

    name: str
    boxes: np.ndarray
    image: Callable[[int], np.ndarray]

    def __len__(self):
        """Return the number of images."""
        return len(self.boxes)


def read_folder(folder, minimum_length: int = 40) -> list[Sequence]:
    """
    Return the sequences below a folder, in OTB or in MOTChallenge layout, by name.

    OTB: `img/` and `groundtruth_rect.txt` (or `groundtruth_rect.1.txt` and so on).  MOTChallenge:
    `img1/` and `gt/gt.txt`, of which each identity with at least `minimum_length` boxes makes a
    sequence.  Raises ValueError when there is none, or naming file and line of a malformed one.
    """
    folder = Path(folder)
    found = []
    for truth in sorted(folder.rglob('groundtruth_rect*.txt')):
        found.append(read_otb(truth))
    for truth in sorted(folder.rglob('gt/gt.txt')):
        found += read_mot(truth.parent.parent, minimum_length)
    if not found:
        raise ValueError(f'no sequence below {folder}: expected img/ with groundtruth_rect.txt '
                         '(OTB), or img1/ with gt/gt.txt and an identity with at least '
                         f'{minimum_length} boxes (MOTChallenge)')
    return found


def read_otb(truth) -> Sequence:
    """
    Return the sequence of one `groundtruth_rect.txt` beside its `img/`.

    A row is left, top, width, height, parted by commas, tabs or spaces; a row of NaN, or without
    width or height, is an image without the object.  Images beyond the last row are left out.
    """
    truth = Path(truth)
    name = truth.parent.name + truth.stem.removeprefix('groundtruth_rect')
    rows = np.array([row for row, _ in number_rows(truth, 4)], dtype=np.float32)
    images = image_paths(truth.parent / 'img')
    if len(images) < len(rows):
        raise ValueError(f'{truth} has {len(rows)} boxes for {len(images)} images')
    images = images[min(OTB_FIRST_IMAGE.get(name, 0), len(images) - len(rows)):]
    boxes = geometry.from_xywh(rows)
    boxes[~geometry.is_proper(boxes)] = 0
    if not geometry.is_proper(boxes[0])[0]:
        raise ValueError(f'{truth} must begin with a box of the object, got {rows[0].tolist()}')
    return Sequence(name, boxes, lambda index: read_image(images[index]))


def read_mot(folder, minimum_length: int = 40) -> list[Sequence]:
    """
    Return a sequence for each identity with at least `minimum_length` boxes in `gt/gt.txt`.

    A row is frame, identity, left, top, width, height, confidence, class, visibility, of which
    the last three may be missing.  Rows with confidence 0 are ignored; an object of which less
    than 0.3 is visible counts as absent, and in a frame without its row its box is unknown.
    """
    folder = Path(folder)
    truth = folder / 'gt' / 'gt.txt'
    images = image_paths(folder / mot_image_folder(folder))
    identities = {}
    for row, where in number_rows(truth, 6):
        confidence, visibility = (*row[6:7], 1)[0], (*row[8:9], 1)[0]
        if not (row[0] == int(row[0]) and 1 <= row[0] <= len(images)):
            raise ValueError(f'{where}: frame must be from 1 to {len(images)}, got {row[0]:g}')
        if confidence:
            box = row[2:6] if visibility >= VISIBLE else [0] * 4
            identities.setdefault(int(row[1]), {})[int(row[0]) - 1] = geometry.from_xywh(box)[0]
    found = []
    for identity, rows in sorted(identities.items()):
        boxes = np.full((len(images), 4), np.nan, np.float32)
        boxes[list(rows)] = list(rows.values())
        present = np.flatnonzero(geometry.is_proper(boxes))
        if len(present) >= minimum_length:
            found.append(_from_images(f'{folder.name}-{identity}', boxes, images, present))
    return found


def _from_images(name, boxes, images, present):
    """Return the sequence from the first to the last of the images that it is present in."""
    first, last = present[0], present[-1]
    return Sequence(name, boxes[first:last + 1], lambda index: read_image(images[first + index]))


def number_rows(path, least):
    """Yield (numbers, 'FILE, line N') of the rows of a text file; ValueError if malformed."""
    lines = path.read_text(encoding='utf-8-sig').splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError(f'{path} is empty')
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f'{path}, line {number}'
        try:
            row = [float(word) for word in re.split(r'[,\s]+', line.strip().rstrip(','))]
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if len(row) < least:
            raise ValueError(f'{where}: expected at least {least} numbers, got {len(row)}')
        yield row, where


def mot_image_folder(folder) -> str:
    """Return the name of the folder with the images of a MOTChallenge sequence."""
    settings = configparser.ConfigParser()
    settings.read(folder / 'seqinfo.ini')
    return settings.get('Sequence', 'imDir', fallback='img1')


def image_paths(folder) -> list[Path]:
    """Return the image files of a folder in natural order; ValueError when it is missing."""
    if not folder.is_dir():
        raise ValueError(f'{folder} is missing: the images of a sequence are expected there')
    return image_files(folder)


def read_image(path) -> np.ndarray:
    """Return the image of a file, uint8 BGR (H, W, 3); ValueError when it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path} cannot be read as an image')
    return image


def rendered(family: str, seed: int, length: int = 60, rate: float = 30.0) -> Sequence:
    """
    Return one object of the synthetic road with the difficulty that `family` names.

    occlusion: a board hides it for 0.3 to 0.8 s.  scale: the camera zooms by 2 and back.  blur:
    the camera shakes, with the blur of its motion.  illumination: exposure and a moving shadow.
    clutter: a vehicle in dense traffic that looks like it, with trees and posts before it.
    All are 640 x 360 and follow from the arguments alone.
    """
    if family not in FAMILIES:
        raise ValueError(f'family must be one of {", ".join(FAMILIES)}, got {family!r}')
    rng = np.random.default_rng((seed, FAMILIES.index(family)))
    if family == 'clutter':
        scene, first, identity = _in_traffic(seed, length, rate)
    else:
        scene, first, identity = _crossing(family, seed, length, rate, rng), 0, TARGET_ID
    boxes = np.array([_box_in(scene.truth(first + index), identity) for index in range(length)])
    present = np.flatnonzero(geometry.is_proper(boxes))
    first, boxes = first + int(present[0]), boxes[present[0]:present[-1] + 1]
    name = f'{family}-{seed}'
    if family not in _EFFECTS:
        return Sequence(name, boxes, lambda index: scene.render(first + int(index)))
    effect = _EFFECTS[family](rng, rate, boxes)
    moved = effect.boxes(boxes) * geometry.is_proper(boxes)[:, np.newaxis]
    return Sequence(name, moved.astype(np.float32),
                    lambda index: effect.image(scene.render(first + int(index)), index))


def traffic(seed: int, length: int = 45, rate: float = 30.0, objects: int = 5,
            camera: str = 'fixed') -> list[Sequence]:
    """
    Return up to `objects` of the synthetic road's traffic, far and near, as it comes and goes.

    They are clearly in view at first and seen in 15 images or more.  What comes between hides
    them, and their size changes as they approach or leave: the lower the rate, the faster.  The
    images have been JPEG files of a quality from 30 to 90, as those of real cameras have.
    camera: of `scene.CAMERAS`.
    """
    scene, first = Scene(seed=seed, rate=rate, density=0.4, camera=camera), int(2 * rate)
    quality = int(np.random.default_rng(seed).integers(30, 91))
    truths = [scene.truth(first + index) for index in range(length)]
    clear = (truths[0].visibility > 0.7) & (geometry.area(truths[0].boxes) > 150)
    found = []
    name = 'traffic' if camera == 'fixed' else camera
    for identity in truths[0].ids[clear]:
        boxes = np.array([_box_in(truth, identity) for truth in truths])
        present = np.flatnonzero(geometry.is_proper(boxes))
        if len(present) >= 15:
            found.append(Sequence(
                f'{name}-{seed}-{identity}', boxes[:present[-1] + 1],
                lambda index: _compressed(scene.render(first + int(index)), quality)))
    return spread(found, objects)


def spread(sequences: list[Sequence], count: int) -> list[Sequence]:
    """Return at most `count` of the sequences, spread evenly."""
    if len(sequences) <= count:
        return sequences
    return [sequences[index] for index in np.linspace(0, len(sequences) - 1, count).astype(int)]


def _compressed(image, quality):
    data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def roughly_started(sequence: Sequence, seed: int) -> Sequence:
    """
    Return the sequence with a first box that is as good as a detector's.

    Its centre is off by up to 0.1 of its size, its width and height by up to 0.2, much as in the
    spatial robustness evaluation of Wu, Lim, Yang, 2013.
    """
    rng = np.random.default_rng(seed)
    x, y, width, height = geometry.to_center(sequence.boxes[0])[0]
    rough = np.array([x + rng.uniform(-0.1, 0.1) * width, y + rng.uniform(-0.1, 0.1) * height,
                      width * rng.uniform(0.8, 1.2), height * rng.uniform(0.8, 1.2)])
    return replace(sequence, boxes=np.concatenate([geometry.from_center(rough),
                                                   sequence.boxes[1:]]))


def _crossing(family, seed, length, rate, rng):
    """Return a scene with an object that goes to and fro across the picture."""
    enlarged = _Zoom.MARGIN if family == 'scale' else 1
    start = rng.uniform(0.25, 0.4) * length / rate
    return Scene(
        width=int(640 * enlarged), height=int(360 * enlarged), seed=seed, rate=rate, density=0.3,
        target=CLASSES[seed % len(CLASSES)], target_speed=rng.uniform(2, 7),
        occlusion=(start, rng.uniform(0.3, 0.8)) if family == 'occlusion' else None)


def _in_traffic(seed, length, rate):
    """Return (scene, first image, identity) of a vehicle that stays in view, if there is one."""
    scene = Scene(seed=seed, rate=rate, density=1.0)
    for first in range(0, 40 * length, length // 2):
        truth, later = scene.truth(first), scene.truth(first + length - 1)
        size = np.sqrt(geometry.area(truth.boxes)) * (truth.visibility > 0.8)
        size[~np.isin(truth.ids, later.ids[later.visibility > VISIBLE])] = 0
        size[truth.labels == 'person'] = 0
        if len(size) and size.max() > 25:
            return scene, first, truth.ids[size.argmax()]
    raise ValueError(f'no vehicle of seed {seed} stays in view for {length / rate:g} s')


def _box_in(truth, identity):
    row = np.flatnonzero((truth.ids == identity) & (truth.visibility >= VISIBLE))
    return truth.boxes[row[0]] if len(row) else np.zeros(4, np.float32)


class _Zoom:
    """A camera that zooms by 2 and back while it half follows the object."""

    MARGIN = 1.5  # the scene is rendered so much larger than the picture

    def __init__(self, rng, rate, boxes):
        index = np.arange(len(boxes))
        phase = rng.uniform(0, 2 * math.pi)
        self._scale = 2 ** (0.5 * np.sin(index / rate * 2.5 + phase))
        size = np.array([640, 360], np.float32)
        centers = geometry.centers(boxes)
        seen = geometry.is_proper(boxes)
        for axis in centers.T:  # where it is hidden, go on between the places it was seen at
            axis[:] = np.interp(index, index[seen], axis[seen])
        wobble = 30 * np.stack([np.cos(index / rate * 4), np.sin(index / rate * 5)], axis=1)
        half = size / 2 / self._scale[:, np.newaxis]
        middle = np.clip(centers + wobble, half, self.MARGIN * size - half)
        self._shift = size / 2 - middle * self._scale[:, np.newaxis]

    def boxes(self, boxes):
        """Return what becomes of the boxes."""
        limits = np.array([640, 360, 640, 360], np.float32)
        moved = boxes * self._scale[:, np.newaxis] + np.tile(self._shift, 2)
        return np.clip(moved, 0, limits)

    def image(self, image, index):
        """Return what becomes of an image."""
        scale, (x, y) = self._scale[index], self._shift[index]
        return cv2.warpAffine(image, np.array([[scale, 0, x], [0, scale, y]]), (640, 360))


class _Shake:
    """A camera that shakes, with an exposure as long as the time between two images."""

    STEPS = 8

    def __init__(self, rng, rate, boxes):
        phases, pace = rng.uniform(0, 2 * math.pi, (2, 2)), rng.uniform(0.8, 1.2)
        time = np.arange(-0.5, len(boxes), 1 / self.STEPS)  # in images, from half before the first
        waves = [6 * np.sin(time * 0.55 * pace + phase) + 5 * np.sin(time * 0.31 * pace + other)
                 for phase, other in phases]
        self._path = np.stack(waves, axis=1)

    def boxes(self, boxes):
        """Return what becomes of the boxes."""
        shift = self._path[self.STEPS // 2::self.STEPS][:len(boxes)]
        limits = np.array([640, 360, 640, 360], np.float32)
        return np.clip(boxes + np.tile(shift, 2), 0, limits)

    def image(self, image, index):
        """Return what becomes of an image."""
        total = np.zeros(image.shape, np.float32)
        for x, y in self._path[index * self.STEPS:(index + 1) * self.STEPS]:
            cv2.accumulate(cv2.warpAffine(image, np.array([[1, 0, x], [0, 1, y]]), (640, 360),
                                          borderMode=cv2.BORDER_REPLICATE), total)
        return cv2.convertScaleAbs(total, alpha=1 / self.STEPS)


class _Light:
    """An exposure that swings from 0.4 to 2.2 times, and a shadow that sweeps across."""

    def __init__(self, rng, rate, boxes):
        self._phase, self._speed = rng.uniform(0, 2 * math.pi), rng.uniform(150, 400)
        self._rate = rate

    def boxes(self, boxes):
        """Return the boxes, as they were."""
        return boxes

    def image(self, image, index):
        """Return what becomes of an image."""
        time = index / self._rate
        gain = 0.95 * math.exp(0.85 * math.sin(3.5 * time + self._phase))
        edge = (self._speed * time) % 960 - 160  # a band of shadow, 240 pixels wide, soft edges
        inside = np.clip((120 - np.abs(np.arange(640) - edge)) / 20, 0, 1)
        gains = (gain * (1 - 0.5 * inside)).astype(np.float32)
        return cv2.convertScaleAbs(image * gains[:, np.newaxis])


_EFFECTS = {'scale': _Zoom, 'blur': _Shake, 'illumination': _Light}
