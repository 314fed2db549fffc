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

FOLDERS = (('image_2', 'label_2'), ('images', 'labels'))
COLUMNS = 15, 16


def recognises(path: Path) -> bool:
    """Tell whether there are folders of images and of labels with KITTI's rows."""
    labels = next((path / labels for images, labels in FOLDERS
                   if (path / images).is_dir() and (path / labels).is_dir()), None)
    if labels is None or labels.name == 'label_2':
        return labels is not None
    for file in sorted(labels.glob('*.txt')):
        row = file.read_text(errors='replace').split('\n', 1)[0].split()
        if row:
            return len(row) in COLUMNS and not row[0].isdigit()
    return False


def read(path: Path) -> list[LabelledImage]:
    """Return the images that have a label file."""
    images, labels = next((path / images, path / labels) for images, labels in FOLDERS
                          if (path / labels).is_dir())
    files = {file.stem: file for file in image_files(images)}
    found = []
    for label in sorted(labels.glob('*.txt')):
        image = files.get(label.stem, images / f'{label.stem}.png')
        found.append(LabelledImage.of(image, image_size(image), _objects(label)))
    return found


def _objects(path):
    """Return (box, label, ignored) of every row."""
    objects = []
    for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        row = line.split()
        if not row:
            continue
        if len(row) not in COLUMNS:
            raise ValueError(f'{path}:{number}: expected 15 columns (type, truncated, occluded, '
                             f'alpha, box, ...), got {len(row)}')
        try:
            box = tuple(float(value) for value in row[4:8])
        except ValueError:
            box = (math.nan,)
        if not all(map(math.isfinite, box)):
            raise ValueError(f'{path}:{number}: the box in columns 5 to 8 must be four numbers, '
                             f'got {" ".join(row[4:8])}')
        objects.append((box, row[0], row[0] == DONT_CARE))
    return objects
