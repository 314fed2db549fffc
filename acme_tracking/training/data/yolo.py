"""
YOLO labels: a text file for each image, a row for each object.

A row is `class x y width height`, or `class x1 y1 x2 y2 ...`, the corners of a rotated box or of a
polygon, of which the box around it is taken; all but the class are shares of the image.  Where
`data.yaml` has `kpt_shape`, what follows the box are keypoints, which are left out.  Class names
come from `data.yaml` (names) or a text file with one name per line.  An image without a text file
has no objects.

Splits come from the description that tools write (`data.yaml` or `obj.data`), or from the folders.
"""
from __future__ import annotations

from math import prod
from pathlib import Path
import re
from typing import NamedTuple

from acme_tracking.geometry import from_center
from acme_tracking.sources import image_files
from acme_tracking.sources.files import IMAGE_SUFFIXES
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
from acme_tracking.training.data.kitti import has_rows
from acme_tracking.training.data.splits import by_split, NAMES, split_of
from acme_tracking.training.data.text import mentions, read_rows, read_text, read_yaml
import numpy as np

NAME_FILES = ('data.yaml', 'dataset.yaml', 'classes.txt', 'obj.names', '_darknet.labels')
YAML = ('.yaml', '.yml')
ROUNDING = 0.01  # shares may be so far outside of 0 to 1; further means that they are pixels
OVERHANG = 0.5  # corners may be so far outside, as a rotated box at the edge has them


class Part(NamedTuple):
    """What is read as one split: its images, and the file with the names of the classes."""

    images: list
    names: Path


def splits(path: Path, remarks) -> dict:
    """Return {split: Part} of a description, of a folder with one, or with images and labels."""
    if path.is_file():
        return _described(path, remarks) if _is_description(path) else {}
    files = [file for file in sorted(path.glob('*')) if _is_description(file)]
    if len(files) > 1:
        raise ValueError(f'{path}: describes several banks; give one of '
                         f'{", ".join(map(str, files))}')
    return _described(files[0], remarks) if files else _in_folders(path, remarks)


def _is_description(path) -> bool:
    """Tell whether a file names classes and says where a split is."""
    return ((path.name == 'obj.data' or path.suffix.lower() in YAML) and path.is_file()
            and mentions(path, rb'^\W*names\W*[:=]', rb'^\W*(train|val|valid|test)\W*[:=]'))


def _described(file, remarks) -> dict:
    """Return the splits of a `data.yaml` as Ultralytics has it, or of a Darknet `obj.data`."""
    content = _content(file)
    folders = [file.parent / str(content['path'])] if content.get('path') else []
    folders.append(file.parent)  # `path` may be right on another computer only
    names = file
    if file.suffix.lower() not in YAML:
        names = _located(f'{file}: names', content.get('names'), folders)
        if names is None:
            raise ValueError(f'{file}: names = {content["names"]}: no such file')
    named, missing = [], []
    for key, value in content.items():
        split = NAMES.get(key)
        if split is None or not value:
            continue
        entries = value if isinstance(value, list) else [value]
        found = [_located(f'{file}: {key}', entry, folders) for entry in entries]
        missing += [f'{key}: {entry} is not there'
                    for entry, place in zip(entries, found) if place is None]
        images = [image for place in found if place for image in _listed(place, file.parent)]
        if _are_labelled(images):
            named.append((split, Part(images, names), f'{file}: {key}'))
        elif images:
            missing.append(f'{key}: its {len(images)} images have no labels')
    if not named:
        raise ValueError(f'{file}: has no labelled images: {"; ".join(missing)}')
    remarks += [f'{file.name}: {line}' for line in missing]
    return by_split(named)


def _content(file) -> dict:
    """Return the entries of a description."""
    if file.suffix.lower() in YAML:
        content = read_yaml(file)
    else:
        content = dict(map(str.strip, line.split('=', 1))
                       for line in read_text(file).splitlines() if '=' in line)
    if not isinstance(content, dict):
        raise ValueError(f'{file}: expected entries such as `train: images/train`')
    return content


def _located(where, entry, folders):
    """
    Return what a path in a description or list is, None when it is nowhere.

    It may start in any of the folders, and tools write `../train/images` for a folder beside the
    file, and `data/train.txt`.  Raises ValueError that says `where` when more than one is there.
    """
    if not isinstance(entry, str):
        raise ValueError(f'{where} must be a path or a list of paths, got {entry!r}')
    path = entry.strip().replace('\\', '/')
    spellings = {path, re.sub(r'^(\.\./)+', '', path), path.removeprefix('data/')}
    # labels lie beside a link, not beside what it leads to
    found = {place.resolve(): place for folder in folders for spelt in spellings
             if (place := folder / spelt).exists()}
    if len(found) > 1:
        raise ValueError(f'{where}: {entry} may be {" or ".join(map(str, sorted(found)))}: write '
                         'the whole path')
    return next(iter(found.values()), None)


def _listed(place, root) -> list[Path]:
    """Return the images of a folder, of a text file with one path per line, or the one image."""
    if place.is_dir():
        return image_files(place, recursive=True)
    if place.suffix.lower() in IMAGE_SUFFIXES:
        return [place]
    return [_located(f'{place}:{number}', line, (place.parent, root)) or place.parent / line
            for number, line in enumerate(read_text(place).splitlines(), 1) if line.strip()]


def _in_folders(path, remarks) -> dict:
    """Return the splits in images/, or all that lies there or in the folder itself."""
    images, named = path / 'images', []
    if not image_files(images):
        named = [(split, image_files(folder, recursive=True), folder)
                 for folder in sorted(images.glob('*'))
                 if folder.is_dir() and (split := split_of(folder.name))]
    named = named or [('', image_files(images, recursive=True) if images.is_dir()
                       else image_files(path), path)]
    labelled = [(split, Part(files, path), folder) for split, files, folder in named
                if _are_labelled(files)]
    if labelled:
        remarks += [f'{folder.name}/ left out: its images have no labels'
                    for split, _, folder in named if split not in {each[0] for each in labelled}]
    return by_split(labelled)


def _are_labelled(images) -> bool:
    """Tell whether some of the images have labels, and not those of KITTI."""
    labels = [*filter(Path.is_file, map(_label, images))]
    return bool(labels) and not has_rows(labels)


def _label(image) -> Path:
    """Return where the labels of an image are: `labels` in place of its folder `images`."""
    parts = list(image.parts[:-1])
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        folder = Path(*parts[:last], 'labels', *parts[last + 1:])
        if folder.is_dir():
            return folder / f'{image.stem}.txt'
    return image.with_suffix('.txt')


def read(part: Part, notes) -> list[LabelledImage]:
    """Return all images of the split."""
    names, keypoints = _names(part.names)
    found = []
    for image in part.images:
        label, size = _label(image), image_size(image)
        objects = []
        if not label.is_file():
            notes['images without a label file, taken as empty'] += 1
        else:
            objects = [(_box(where, row, keypoints, notes) * np.array(size * 2, dtype=np.float32),
                        _class(where, row[0], names), False) for where, row in read_rows(label)]
        found.append(LabelledImage.of(image, size, objects))
    return found


def _class(where, text, names) -> str:
    index = _number(text)
    if index not in names:
        raise ValueError(f'{where}: class {text} has no name; there are '
                         f'{", ".join(f"{key} {name}" for key, name in names.items())}')
    return names[index]


def _box(where, row, keypoints, notes):
    """Return x1 y1 x2 y2 of a row, as shares of the image."""
    shares = np.array([_number(value) for value in row[1:]], dtype=np.float32)
    count, spare = len(shares), ROUNDING
    if keypoints and count == 4 + keypoints:
        notes['keypoints left out, their boxes kept'] += 1
        count, shares = 4, shares[:4]
    if count == 4:
        box = from_center(shares)[0]
    elif not keypoints and count >= 6 and count % 2 == 0:
        notes['rotated boxes turned into boxes' if count == 8
              else 'polygons turned into boxes'] += 1
        x, y, spare = shares[::2], shares[1::2], OVERHANG
        box = np.array([x.min(), y.min(), x.max(), y.max()])
    else:
        raise ValueError(f'{where}: expected after the class 4 numbers (x, y, width, height)'
                         + (f' and {keypoints} of keypoints' if keypoints else
                            ', the 8 of a rotated box, or the 6 or more of a polygon (keypoints '
                            'need kpt_shape in data.yaml)') + f', got {count}')
    if not ((shares >= -spare) & (shares <= 1 + spare)).all():
        raise ValueError(f'{where}: the box must be shares of the image from 0 to 1, '
                         f'got {" ".join(row[1:])}')
    return box


def _number(text) -> float:
    """Return the number in a text, NaN for another text."""
    try:
        return float(text)
    except ValueError:
        return float('nan')


def _names(path):
    """
    Return {index: name}, and how many numbers of keypoints follow a box.

    `path` is the file with the names, or a folder, in or up to two above which one is.
    """
    if path.is_dir():
        files = [folder / name for folder in (path, *path.resolve().parents[:2])
                 for name in NAME_FILES if (folder / name).is_file()]
        if not files:
            raise ValueError(f'{path}: looks like YOLO, but the names of the classes are missing: '
                             f'expected {", ".join(NAME_FILES)} there or above')
        path = files[0]
    names, shape = _names_in_yaml(path) if path.suffix.lower() in YAML else (
        dict(enumerate(line.strip() for line in read_text(path).rstrip().splitlines())), [0])
    for index, name in names.items():
        if not str(index).isdigit():
            raise ValueError(f'{path}: names: {index!r} must be the index of a class')
        if name is None or not str(name).strip():
            raise ValueError(f'{path}: the name of class {index} must not be empty')
    return {int(index): str(name) for index, name in names.items()}, prod(shape)


def _names_in_yaml(path):
    content = read_yaml(path)
    names = content.get('names') if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ValueError(f'{path}: expected an entry `names` with the names of the classes, got '
                         f'{names!r}')
    shape = content.get('kpt_shape', [0])
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape):
        raise ValueError(f'{path}: kpt_shape must be [number of keypoints, 2 or 3], got {shape!r}')
    return names, shape
