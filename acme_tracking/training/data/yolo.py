"""
YOLO labels: a text file for each image, a row `class x y width height` for each object.

The class is an index, the box its centre and size as shares of the image.  Class names come from
`data.yaml` (names) or a text file with one name per line.  An image without a text file has no
objects.
"""
from __future__ import annotations

from pathlib import Path

from acme_tracking.geometry import from_center
from acme_tracking.sources import image_files
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
import numpy as np
import yaml

NAME_FILES = ('data.yaml', 'dataset.yaml', 'classes.txt', 'obj.names')
ROUNDING = 0.01  # shares may be so far outside of 0 to 1; further means that they are pixels


def recognises(path: Path) -> bool:
    """Tell whether an image has a text file with labels: beside it, or below labels/."""
    return path.is_dir() and any(_label(image).is_file() for image in _images(path))


def _images(path):
    return (image_files(path / 'images', recursive=True) if (path / 'images').is_dir()
            else image_files(path))


def _label(image) -> Path:
    """Return where the labels of an image are: `labels` in place of its folder `images`."""
    parts = list(image.parts[:-1])
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        folder = Path(*parts[:last], 'labels', *parts[last + 1:])
        if folder.is_dir():
            return folder / f'{image.stem}.txt'
    return image.with_suffix('.txt')


def read(path: Path) -> list[LabelledImage]:
    """Return all images of the folder."""
    names = _names(path)
    found = []
    for image in _images(path):
        label, size = _label(image), image_size(image)
        objects = _objects(label, names, size) if label.is_file() else []
        found.append(LabelledImage.of(image, size, objects))
    return found


def _objects(path, names, size):
    """Return (box, label, ignored) of every row."""
    objects = []
    for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        row = line.split()
        if not row:
            continue
        if len(row) != 5:
            raise ValueError(f'{path}:{number}: expected 5 columns (class, x, y, width, height), '
                             f'got {len(row)}')
        index, *shares = (_number(value) for value in row)
        if index not in names:
            raise ValueError(f'{path}:{number}: class {row[0]} has no name; there are '
                             f'{", ".join(f"{key} {name}" for key, name in names.items())}')
        if not all(-ROUNDING <= share <= 1 + ROUNDING for share in shares):
            raise ValueError(f'{path}:{number}: the box must be shares of the image from 0 to 1, '
                             f'got {" ".join(row[1:])}')
        box = from_center(shares)[0] * np.array(size * 2, dtype=np.float32)
        objects.append((box, names[index], False))
    return objects


def _number(text) -> float:
    """Return the number in a text, NaN for another text."""
    try:
        return float(text)
    except ValueError:
        return float('nan')


def _names(path) -> dict:
    """Return {index: name} of the nearest file with names: in the folder, or two above it."""
    for folder in (path, *path.resolve().parents[:2]):
        for name in NAME_FILES:
            if (folder / name).is_file():
                return _read_names(folder / name)
    raise ValueError(f'{path}: looks like YOLO, but the names of the classes are missing: '
                     f'expected {", ".join(NAME_FILES)} there or above')


def _read_names(path) -> dict:
    """Return {index: name} of a file; ValueError for a name that is empty."""
    text = path.read_text(errors='replace')
    names = (_names_in_yaml(path, text) if path.suffix == '.yaml'
             else dict(enumerate(line.strip() for line in text.rstrip().splitlines())))
    for index, name in names.items():
        if name is None or not str(name).strip():
            raise ValueError(f'{path}: the name of class {index} must not be empty')
    return {index: str(name) for index, name in names.items()}


def _names_in_yaml(path, text) -> dict:
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f'{path}:{error.problem_mark.line + 1}: not YAML ({error.problem})'
                         ) from error
    names = content.get('names') if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ValueError(f'{path}: expected an entry `names` with the names of the classes, got '
                         f'{names!r}')
    return names
