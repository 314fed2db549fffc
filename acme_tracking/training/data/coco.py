"""
COCO detection files: one JSON text for all images (Lin et al., 2014).

An annotation without a `bbox` gets the box around its `segmentation`, and one that CVAT turned
(`attributes.rotation`, in degrees) the box around the turned one.
"""
from __future__ import annotations

import contextlib
import json
from pathlib import Path

from acme_tracking.files import write_whole
from acme_tracking.geometry import around_turned, from_xywh, to_xywh
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
from acme_tracking.training.data.masks import box_of_mask
from acme_tracking.training.data.splits import by_split, split_of
from acme_tracking.training.data.text import mentions, read_text

FARTHEST = 1e9  # pixels: what is further out was not meant
LISTS = ('images', 'annotations', 'categories')


def splits(path: Path, remarks) -> dict:
    """
    Return {split: file} of a JSON file, or of a folder with some in it or in annotations/.

    Of what COCO itself comes with, the captions and keypoints are left aside.
    """
    if path.is_file():
        return {'': path} if path.suffix.lower() == '.json' else {}
    files = _files(path) or _files(path / 'annotations')
    names = [file.stem.removeprefix('instances_') if len(files) > 1 else '' for file in files]
    return by_split((split_of(file.stem) or name, file, file) for file, name in zip(files, names))


def _files(folder) -> list[Path]:
    """Return the JSON files of a folder that have images and annotations."""
    found = [file for file in sorted(folder.glob('*.json'))
             if file.is_file() and mentions(file, *(f'"{name}"'.encode() for name in LISTS))]
    return [file for file in found if file.stem.startswith('instances_')] or found


def read(path: Path, notes) -> list[LabelledImage]:
    """
    Return the images of a COCO file; crowds are ignored boxes.

    An image may have `labelled`, a list of the ids of the only categories labelled on it.
    """
    content = _content(path)
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
            'image_id': (int, str), 'category_id': (int, str)}):
        if entry['image_id'] not in images:
            raise ValueError(f'{where}: image_id {entry["image_id"]!r} is no id of an image')
        if entry['category_id'] not in names:
            raise ValueError(f'{where}: category_id {entry["category_id"]!r} is no id of a '
                             'category')
        objects[entry['image_id']].append((_box(where, entry, notes), names[entry['category_id']],
                                           _is_crowd(where, entry)))
    find = _finder(path, [entry['file_name'] for entry in images.values()])
    return [LabelledImage.of(image := find(entry['file_name']), _size(image, entry), objects[key],
                             _labelled(entry, names))
            for key, entry in images.items()]


def write(path, images) -> None:
    """
    Write a COCO file about `images`, a list of (entry, objects).

    entry: dict of an image, with file_name, width, height and whatever else is to be told of it;
    `labelled` has names of classes.  objects: list of (box x1 y1 x2 y2, label, dict of whatever
    else is to be told of it).
    """
    labels = {str(label) for entry, objects in images
              for label in (*(label for _, label, _ in objects), *entry.get('labelled', ()))}
    categories = {label: number for number, label in enumerate(sorted(labels), 1)}
    entries, annotations = [], []
    for number, (entry, objects) in enumerate(images, 1):
        entries.append({'id': number, **entry})
        if 'labelled' in entry:
            entries[-1]['labelled'] = [categories[label] for label in entry['labelled']]
        for box, label, more in objects:
            sides = [float(side) for side in to_xywh(box)[0]]
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'category_id': categories[label],
                'bbox': [round(side, 2) for side in sides],
                'area': round(sides[2] * sides[3], 2), 'iscrowd': 0, **more})
    content = {'images': entries, 'annotations': annotations, 'categories': [
        {'id': number, 'name': label} for label, number in categories.items()]}
    write_whole(path, lambda new: new.write_text(json.dumps(content)))


def _content(path) -> dict:
    """Return the content of a JSON file that has all LISTS."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}:{error.lineno}: not JSON ({error.msg})') from error
    except RecursionError as error:
        raise ValueError(f'{path}: not JSON of any use ({error})') from error
    for name in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f'{path}: not a COCO detection file: it has no list {name!r}')
    return content


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


def _is_crowd(where, entry) -> bool:
    if entry.get('iscrowd') not in (0, 1, None):
        raise ValueError(f"{where}: 'iscrowd' must be 0 or 1, got {entry['iscrowd']!r}")
    return bool(entry.get('iscrowd'))


def _box(where, entry, notes):
    """Return x1 y1 x2 y2 of an annotation."""
    values = entry.get('bbox')
    if not values and entry.get('segmentation'):
        kind, box = _around(where, entry['segmentation'])
        notes[f'{kind} turned into boxes'] += 1
        return box
    if not _are_numbers(values, 4):
        raise ValueError(f'{where}: bbox must be four numbers x, y, width, height, got {values}')
    box = from_xywh(values)
    attributes = entry.get('attributes')
    angle = attributes.get('rotation', 0) if isinstance(attributes, dict) else 0
    if not _are_numbers([angle], 1):
        raise ValueError(f"{where}: 'rotation' must be a number of degrees, got {angle!r}")
    if angle:
        notes['rotated boxes turned into boxes'] += 1
        box = around_turned(box, angle)
    return box[0]


def _are_numbers(values, count) -> bool:
    return isinstance(values, list) and len(values) == count and all(
        isinstance(value, (int, float)) and abs(value) <= FARTHEST for value in values)


def _around(where, segmentation):
    """Return what a segmentation is, and the box x1 y1 x2 y2 around it."""
    if isinstance(segmentation, list) and all(
            isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0
            and _are_numbers(part, len(part)) for part in segmentation):
        x = [value for part in segmentation for value in part[::2]]
        y = [value for part in segmentation for value in part[1::2]]
        return 'polygons', (min(x), min(y), max(x), max(y))
    if isinstance(segmentation, dict):
        with contextlib.suppress(ValueError):
            return 'masks', box_of_mask(segmentation.get('counts'), segmentation.get('size'))
    raise ValueError(f'{where}: without a bbox, segmentation must be polygons x1, y1, x2, y2, ... '
                     f'or a mask with counts and size, got {str(segmentation)[:100]}')


def _finder(path, names):
    """
    Return a function from the name of an image to its path.

    All images lie where the first that exists does: in `NAME/` beside `NAME.json`; in the file's
    own folder; in `images/` beside it; and for `annotations/instances_val2017.json` in
    `../val2017/`, `../images/` or `../images/val2017/`.
    """
    split, root = path.stem.removeprefix('instances_').rpartition('_')[2], path.parent.parent
    folders = (path.with_suffix(''), path.parent, path.parent / 'images', root / split,
               root / 'images', root / 'images' / split)
    for name in names[:100]:  # the first may be missing
        for spelt in (str, lambda text: text.replace('\\', '/')):  # tools write both
            for folder in folders:
                if (folder / spelt(name)).is_file():
                    return lambda name, folder=folder, spelt=spelt: folder / spelt(name)
    return lambda name: folders[0] / name


def _size(image, entry):
    """Return (width, height) as the entry says, or else the image."""
    size = entry.get('width'), entry.get('height')
    if all(isinstance(length, int) and length > 0 for length in size):
        return size
    return image_size(image)
