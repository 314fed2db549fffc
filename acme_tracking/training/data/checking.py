"""What is in the banks of a data set and what is wrong with it, and a contact sheet."""
from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
import hashlib

from acme_tracking.drawing import draw_labels
from acme_tracking.geometry import is_proper
import cv2
import numpy as np

OUTSIDE = 1.0  # pixels: a box may reach so far beyond the image, as rounding makes it
GREY = 114  # around the images of the contact sheet
SHEET = (4, 6)  # rows and columns of the contact sheet
TILE = (320, 240)  # width and height of one image on it


def check(banks, remarks=(), progress=iter) -> tuple[dict, np.ndarray]:
    """
    Return a report on the splits of a data set, ready for JSON, and a contact sheet.

    `banks` and `remarks` are what `read_all` returns.  Every image is decoded once; `progress`
    wraps the list of images.  In the report, `splits` counts images and boxes of each,
    `turned_or_left_out` what was not taken as it is, `broken` lists images that cannot be used,
    `boxes_outside` boxes that reach beyond their image, `boxes_empty` those without an area,
    `duplicate_images` groups of equal files, also of different splits, and `duplicate_boxes` boxes
    that are there twice.  The sheet is uint8 (H, W, 3).
    """
    bank = replace(banks[0], images=[image for each in banks for image in each.images])
    broken, files, sizes, tiles = [], defaultdict(list), Counter(), []
    rows, columns = SHEET
    step = max(1, len(bank) // (rows * columns))
    for number, image in enumerate(progress(bank.images)):
        try:
            sample = image.load()
        except ValueError as error:
            broken.append(str(error))
            continue
        files[hashlib.blake2b(image.path.read_bytes()).digest()].append(str(image.path))
        sizes['{} x {}'.format(*image.size)] += 1
        if number % step == 0 and len(tiles) < rows * columns:
            tiles.append(_tile(sample))
    report = {
        'path': str(bank.path), 'layout': bank.layout, 'images': len(bank),
        'images_without_boxes': sum(not len(image.boxes) for image in bank.images),
        'splits': {each.part: {'images': len(each), 'boxes': dict(each.counts().most_common())}
                   for each in banks},
        'turned_or_left_out': dict(sum((each.notes for each in banks), Counter())),
        'remarks': [*remarks],
        'sizes': dict(sizes.most_common()), 'classes': _classes(bank),
        'ignored_boxes': sum(int(image.ignored.sum()) for image in bank.images),
        'broken': broken,
        'boxes_outside': _boxes(bank, _outside), 'boxes_empty': _boxes(bank, _empty),
        'duplicate_boxes': _boxes(bank, _repeated),
        'duplicate_images': [paths for paths in files.values() if len(paths) > 1],
    }
    return report, _sheet(tiles, columns)


def problems(report) -> int:
    """Return how many things in a report need attention."""
    return sum(len(report[name]) for name in (
        'broken', 'boxes_outside', 'boxes_empty', 'duplicate_boxes', 'duplicate_images'))


def _classes(bank):
    """Return {class: number of boxes and images, median sides in pixels}, the largest first."""
    sides, images = defaultdict(list), Counter()
    for image in bank.images:
        known = ~image.ignored
        images.update(set(image.labels[known].tolist()))
        for box, label in zip(image.boxes[known], image.labels[known].tolist()):
            sides[label].append(box[2:] - box[:2])
    return {label: {'boxes': len(found), 'images': images[label],
                    'median_size': [round(float(side), 1) for side in np.median(found, axis=0)]}
            for label, found in sorted(sides.items(), key=lambda item: -len(item[1]))}


def _boxes(bank, wrong):
    """Return a line for every box of which `wrong(image)`, bool (N,), is true."""
    return [f'{image.path}: {label} at {" ".join(f"{edge:g}" for edge in box)}'
            for image in bank.images for box, label in zip(
                image.boxes[wrong(image)], image.labels[wrong(image)])]


def _outside(image):
    if image.size == (0, 0):
        return np.zeros(len(image.boxes), dtype=bool)
    limits = np.array(image.size, dtype=np.float32) + OUTSIDE
    return ((image.boxes[:, :2] < -OUTSIDE) | (image.boxes[:, 2:] > limits)).any(axis=1)


def _empty(image):
    return ~is_proper(image.boxes)


def _repeated(image):
    seen, repeated = set(), []
    for key in zip(map(tuple, image.boxes.tolist()), image.labels.tolist()):
        repeated.append(key in seen)
        seen.add(key)
    return np.array(repeated, dtype=bool)


def _tile(sample) -> np.ndarray:
    """Return the image with its boxes, fitted into TILE; ignored boxes are named so."""
    width, height = TILE
    scale = min(width / sample.image.shape[1], height / sample.image.shape[0])
    size = [max(1, round(side * scale)) for side in sample.image.shape[1::-1]]
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    labels = np.where(sample.ignored, 'ignored', sample.labels)
    drawn = draw_labels(image, sample.boxes * scale, labels)
    tile = np.full((height, width, 3), GREY, dtype=np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top:top + size[1], left:left + size[0]] = drawn
    return tile


def _sheet(tiles, columns) -> np.ndarray:
    """Return the tiles in rows."""
    blank = np.full((TILE[1], TILE[0], 3), GREY, dtype=np.uint8)
    columns = max(1, min(columns, len(tiles)))
    tiles = tiles + [blank] * (-len(tiles) % columns or (columns if not tiles else 0))
    return np.vstack([np.hstack(tiles[start:start + columns])
                      for start in range(0, len(tiles), columns)])
