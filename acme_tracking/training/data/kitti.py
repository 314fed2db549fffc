"""
KITTI object labels (Geiger et al., 2012): a text file for each image, a row for each object.

A row is `type truncated occluded alpha left top right bottom`, then height, width, length, place
and angle in 3D, which are not used here, and in results a score.  `DontCare` regions are ignored.
"""
from __future__ import annotations

import math
from pathlib import Path

from acme_tracking.labels import DONT_CARE
from acme_tracking.sources import image_files
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
from acme_tracking.training.data.text import read_rows

FOLDERS = (('image_2', 'label_2'), ('images', 'labels'))
COLUMNS = 15, 16


def splits(path: Path, remarks) -> dict:
    """Return {'': path} when there are folders of images and of labels with KITTI's rows."""
    return {'': path} if any(
        (path / images).is_dir() and (labels == 'label_2' and (path / labels).is_dir()
                                      or has_rows((path / labels).glob('*.txt')))
        for images, labels in FOLDERS) else {}


def has_rows(files) -> bool:
    """Tell whether the first row of label files is KITTI's."""
    row = next((row for file in sorted(files) for _, row in read_rows(file)), ())
    return len(row) in COLUMNS and not row[0].isdigit()


def read(path: Path, notes) -> list[LabelledImage]:
    """Return the images that have a label file."""
    images, labels = next((path / images, path / labels) for images, labels in FOLDERS
                          if (path / labels).is_dir())
    files = {file.stem: file for file in image_files(images)}
    found = []
    for label in sorted(labels.glob('*.txt')):
        image = files.pop(label.stem, images / f'{label.stem}.png')
        found.append(LabelledImage.of(image, image_size(image), _objects(label)))
    if files:
        notes['images without a label file left out'] += len(files)
    return found


def _objects(path):
    """Return (box, label, ignored) of every row."""
    objects = []
    for where, row in read_rows(path):
        if len(row) not in COLUMNS:
            raise ValueError(f'{where}: expected 15 columns (type, truncated, occluded, '
                             f'alpha, box, ...), got {len(row)}')
        try:
            box = tuple(float(value) for value in row[4:8])
        except ValueError:
            box = (math.nan,)
        if not all(map(math.isfinite, box)):
            raise ValueError(f'{where}: the box in columns 5 to 8 must be four numbers, '
                             f'got {" ".join(row[4:8])}')
        objects.append((box, row[0], row[0] == DONT_CARE))
    return objects
