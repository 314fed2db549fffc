"""COCO detection files: one JSON text for all images (Lin et al., 2014)."""
from __future__ import annotations

import json
import math
from pathlib import Path

from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size


def recognises(path: Path) -> bool:
    """Tell whether the path is a JSON file, or a folder that holds just one."""
    return _file(path) is not None


def _file(path):
    if path.is_dir():
        files = list(path.glob('*.json'))
        return files[0] if len(files) == 1 else None
    return path if path.suffix.lower() == '.json' else None


def read(path: Path) -> list[LabelledImage]:
    """
    Return the images of a COCO file; crowds are ignored boxes.

    An image may have `labelled`, a list of the ids of the only categories labelled on it.
    """
    path = _file(path)
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}:{error.lineno}: not JSON ({error.msg})') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not JSON ({error})') from error
    for name in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f'{path}: not a COCO detection file: it has no list {name!r}')
    names = {entry['id']: entry['name'] for _, entry in
             _entries(path, content, 'categories', {'id': (int, str), 'name': str})}
    images, objects = {}, {}
    for where, entry in _entries(path, content, 'images', {'id': (int, str), 'file_name': str}):
        if entry['id'] in images:
            raise ValueError(f'{where}: id {entry["id"]!r} was there before')
        _check_labelled(where, entry, names)
        images[entry['id']] = entry
        objects[entry['id']] = []
    for where, entry in _entries(path, content, 'annotations', {
            'image_id': (int, str), 'category_id': (int, str), 'bbox': list}):
        if entry['image_id'] not in images:
            raise ValueError(f'{where}: image_id {entry["image_id"]!r} is no id of an image')
        if entry['category_id'] not in names:
            raise ValueError(f'{where}: category_id {entry["category_id"]!r} is no id of a '
                             'category')
        objects[entry['image_id']].append(
            (_box(where, entry['bbox']), names[entry['category_id']],
             bool(entry.get('iscrowd', 0))))
    folder = _folder(path, [entry['file_name'] for entry in images.values()])
    return [LabelledImage.of(folder / entry['file_name'], _size(folder, entry), objects[key],
                             _labelled(entry, names))
            for key, entry in images.items()]


def _check_labelled(where, entry, names):
    """Raise ValueError when `labelled` is no list of the ids of categories."""
    labelled = entry.get('labelled', [])
    if not isinstance(labelled, list) or not all(
            isinstance(each, (int, str)) and each in names for each in labelled):
        raise ValueError(f"{where}: 'labelled' must be a list of ids of categories, got "
                         f'{labelled!r}')


def _labelled(entry, names):
    """Return the names of the categories that were labelled on an image, None for all."""
    return tuple(names[each] for each in entry['labelled']) if 'labelled' in entry else None


def _entries(path, content, name, expected):
    """Yield (where, entry) of a list; ValueError for an entry without the expected values."""
    for index, entry in enumerate(content[name]):
        where = f'{path}: {name}[{index}]'
        if not isinstance(entry, dict):
            raise ValueError(f'{where}: must be an object, got {entry!r}')
        for key, kind in expected.items():
            if not isinstance(entry.get(key), kind):
                wanted = getattr(kind, '__name__', 'number or text')
                raise ValueError(f'{where}: {key!r} must be a {wanted}, got {entry.get(key)!r}')
            if isinstance(entry[key], str) and not entry[key].strip():
                raise ValueError(f'{where}: {key!r} must not be empty')
        yield where, entry


def _box(where, values):
    """Return x1 y1 x2 y2 of a `bbox`."""
    if len(values) != 4 or not all(
            isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise ValueError(f'{where}: bbox must be four numbers x, y, width, height, got {values}')
    x, y, width, height = values
    return x, y, x + width, y + height


def _folder(path, names) -> Path:
    """
    Return the folder of the images: where the first image that exists lies.

    `NAME/` beside `NAME.json`; the file's own folder; `images/` beside it; and
    `../val2017/` of `annotations/instances_val2017.json`.
    """
    split = path.stem.rpartition('_')[2]
    candidates = [path.with_suffix(''), path.parent, path.parent / 'images',
                  path.parent.parent / split, path.parent.parent / 'images']
    for name in names[:100]:  # the first may be missing
        for folder in candidates:
            if (folder / name).is_file():
                return folder
    return candidates[0]


def _size(folder, entry):
    """Return (width, height) as the entry says, or else the image."""
    size = entry.get('width'), entry.get('height')
    if all(isinstance(length, int) and length > 0 for length in size):
        return size
    return image_size(folder / entry['file_name'])
