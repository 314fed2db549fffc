"""
Files with the truth about all objects in a sequence of images, in the layouts of data sets.

MOTChallenge (`gt.txt`), KITTI tracking (`0000.txt`), and COCO with the identity of each box
(`track_id`, `instance_id`, or an attribute `track_id` as CVAT writes it).  Images are counted: a
file says nothing of the time when they were taken.
"""
from __future__ import annotations

import configparser
import json
from pathlib import Path
import re

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.evaluation.sequences import number_rows
from acme_tracking.labels import CLASSES, VEHICLE
from acme_tracking.sources.files import natural_order

# Names of the class numbers 1, 2 ... of a MOTChallenge file that does not say.
MOT_CLASSES = (*CLASSES, VEHICLE)
# KITTI's other types (vans, cyclists, trams, DontCare regions) are ignored, as its evaluation does
# with all but the one that it is about.
KITTI_CLASSES = {'Car': 'car', 'Truck': 'truck', 'Pedestrian': 'person'}
# An IGNORED_REGION, KITTI's DontCare, has no identity; regions are numbered from here on, so that
# every box has one.
REGION_ID = 1_000_000
# By what COCO files for tracking count the images of a sequence, from 0 on.
COCO_INDICES = ('frame_id', 'frame_index')
COCO_IDENTITIES = ('track_id', 'instance_id')


def file_beside(bag, name: str) -> Path | None:
    """Return the file of this name beside what is recorded in a bag, or as it stands, or None."""
    folder = Path(bag) if Path(bag).is_dir() else Path(bag).parent
    return next((path for path in (folder / name, Path(name)) if name and path.is_file()), None)


def read_truth(file: Path, length: int) -> list[Detections | None]:
    """
    Return the truth of a file about each of `length` images, None about those that it leaves out.

    The layout is told by the file.  Raises ValueError, naming file and line, for malformed ones,
    and for those of other images: with more of them, say.
    """
    try:
        text = file.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{file} is no text: {error}') from error
    if text.lstrip().startswith('{'):
        return coco_truth(file, length)
    first = re.split(r'[,\s]+', text.strip(), maxsplit=3)
    named = len(first) > 2 and first[2][:1].isalpha()
    return (kitti_truth if named else mot_truth)(file, length)


def mot_truth(file: Path, length: int, classes=()) -> list[Detections]:
    """
    Return the truth of a MOTChallenge file about each of `length` images.

    Rows: frame from 1 on, id, left, top, width, height, confidence (0: to be ignored), class.
    classes: names of the class numbers 1, 2 and so on (default: those of the sequence's
    seqinfo.ini, or MOT_CLASSES).
    """
    classes = classes or _mot_classes(file.parent)
    rows = [[] for _ in range(length)]
    for row, where in number_rows(file, 6):
        frame, identity, number = row[0], row[1], (*row[7:8], 1)[0]
        if not (frame.is_integer() and 1 <= frame <= length):
            raise ValueError(f'{where}: frame must be from 1 to {length}, got {frame:g}')
        if not (number.is_integer() and 1 <= number <= len(classes)):
            raise ValueError(f'{where}: class must be from 1 to {len(classes)} '
                             f'({", ".join(classes)}), got {number:g}')
        rows[int(frame) - 1].append((
            geometry.from_xywh(row[2:6])[0], identity, classes[int(number) - 1],
            float((*row[6:7], 1)[0] > 0), where))
    return [_as_truth(objects) for objects in rows]


def _mot_classes(folder):
    settings = configparser.ConfigParser()
    file = next((place / 'seqinfo.ini' for place in (folder, folder.parent)
                 if (place / 'seqinfo.ini').is_file()), None)
    settings.read(file or ())
    classes = settings.get('Sequence', 'classes', fallback=' '.join(MOT_CLASSES)).split()
    if not classes:
        raise ValueError(f'{file}: classes must name at least one')
    return classes


def kitti_truth(file: Path, length: int) -> list[Detections]:
    """
    Return the truth of a file of KITTI tracking about each of `length` images.

    Rows: frame from 0 on, id, type, truncated, occluded, alpha, left, top, right, bottom, 3D ...
    """
    rows = [[] for _ in range(length)]
    for line, text in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        where, words = f'{file}, line {line}', text.split()
        if not words:
            continue
        try:
            frame, identity, box = int(words[0]), int(words[1]), [float(x) for x in words[6:10]]
        except (ValueError, IndexError) as error:
            raise ValueError(f'{where}: expected frame, id, type and seven numbers or more, '
                             f'got {text!r}') from error
        if not 0 <= frame < length or len(box) < 4:
            raise ValueError(f'{where}: expected a frame from 0 to {length - 1} and a box, '
                             f'got {text!r}')
        known = words[2] in KITTI_CLASSES
        if identity < 0:
            identity = REGION_ID + len(rows[frame])
        rows[frame].append((box, identity, KITTI_CLASSES.get(words[2], words[2].lower()),
                            float(known), where))
    return [_as_truth(objects) for objects in rows]


def coco_truth(file: Path, length: int) -> list[Detections | None]:
    """
    Return the truth of a COCO file about each of `length` images, None where it lists none.

    As many images as there are count in the natural order of their names, others by frame_id (or
    frame_index).  Crowds are to be ignored.
    """
    try:
        content = json.loads(file.read_text(encoding='utf-8-sig'))
        names = {item['id']: str(item['name']) for item in content['categories']}
        indices = _coco_indices(file, content['images'], length)
        rows = [[] if index in indices.values() else None for index in range(length)]
        for annotation in content['annotations']:
            where = f'{file}, annotation {annotation["id"]}'
            rows[indices[annotation['image_id']]].append((
                geometry.from_xywh(annotation['bbox'])[0], _coco_identity(annotation, where),
                names[annotation['category_id']], float(not annotation.get('iscrowd')), where))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'{file} is not JSON: {error}') from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{file} is no COCO file of boxes: {error!r}') from error
    return [None if objects is None else _as_truth(objects) for objects in rows]


def _coco_indices(file, images, length):
    """Return which image of the sequence each is, by its id."""
    videos = {image.get('video_id') for image in images}
    if len(videos) > 1:
        raise ValueError(f'{file} holds {len(videos)} videos: expected that of the images alone')
    if len(images) == length:
        ordered = sorted(images, key=lambda image: natural_order(Path(image['file_name'])))
        return {image['id']: index for index, image in enumerate(ordered)}
    key = next((key for key in COCO_INDICES if all(key in image for image in images)), None)
    if key is None or not all(image[key] in range(length) for image in images):
        raise ValueError(f'{file} lists {len(images)} images, expected {length}, or a '
                         f'{COCO_INDICES[0]} from 0 to {length - 1} for each')
    return {image['id']: image[key] for image in images}


def _coco_identity(annotation, where):
    known = {**annotation.get('attributes', {}), **annotation}
    identity = next((known[key] for key in COCO_IDENTITIES if key in known), None)
    if not isinstance(identity, int):
        raise ValueError(f'{where} has no {COCO_IDENTITIES[0]}: without one it is no truth about '
                         'tracks')
    return identity


def _as_truth(objects):
    if not objects:
        return Detections.empty()
    boxes, ids, labels, scores, places = zip(*objects)
    for box, where in zip(boxes, places):
        if not geometry.is_proper(box)[0]:
            raise ValueError(f'{where}: a box must have a width and a height, got '
                             f'{geometry.to_xywh(box)[0].tolist()}')
    return Detections(boxes, scores, labels, ids)
