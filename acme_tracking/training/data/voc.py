"""
Pascal VOC annotations (Everingham et al., 2010): an XML file for each image.

Pixels are counted from 1 and the box's last pixel belongs to it, so that 1 1 640 360 is all of
such an image.  Objects marked `difficult` are ignored boxes, as in VOC's own evaluation.  Of what
CVAT turned, the box around it is taken.
"""
from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from acme_tracking.geometry import around_turned, as_boxes
from acme_tracking.sources import image_files
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
from acme_tracking.training.data.splits import by_split, split_of, SPLITS
from acme_tracking.training.data.text import read_text

ROTATION = "attributes/attribute[name='rotation']/value"  # in degrees, as CVAT writes it
PICTURES = ('JPEGImages', 'images')


class Part(NamedTuple):
    """What is read as one split: where the files lie, and the list of names, None for all."""

    annotations: Path
    pictures: Path
    names: Path | None


def splits(path: Path, remarks) -> dict:
    """
    Return {split: Part} of Annotations/ or of XML files beside the images.

    The splits are the lists of ImageSets/Main.  The folder may be one above `VOC2012/`, or two.
    """
    roots = [root for root in (path, *sorted(path.glob('VOC*')), *sorted(path.glob('*/VOC*')))
             if any(root.glob('Annotations/**/*.xml'))]
    if not roots:
        beside = any(image.with_suffix('.xml').is_file() for image in image_files(path))
        return {'': Part(path, path, None)} if beside else {}
    if len(roots) > 1:
        raise ValueError(f'{path}: holds several banks; give {" or ".join(map(str, roots))}')
    root, annotations = roots[0], roots[0] / 'Annotations'
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), root)
    # the lists of one class have names such as car_train
    lists = [(split_of(file.stem) or file.stem, Part(annotations, pictures, file), file)
             for file in sorted(root.glob('ImageSets/Main/*.txt')) if '_' not in file.stem]
    found = by_split(lists)
    return found if found.keys() & set(SPLITS) else {'': Part(annotations, pictures, None)}


def read(part: Part, notes) -> list[LabelledImage]:
    """Return the annotated images."""
    found = {_key(file, part.annotations): file for file in part.annotations.rglob('*.xml')}
    files = {_key(file, part.pictures): file for file in image_files(part.pictures, True)}
    names = sorted(found) if part.names is None else [
        line.strip().strip('"') for line in read_text(part.names).splitlines() if line.strip()]
    bare = len((set(files) if part.names is None else set(names)) - set(found))
    if bare:
        notes['images without an annotation left out'] += bare
    return [_image(found[name], files.get(name), part.pictures, notes)
            for name in names if name in found]


def _key(file, folder) -> str:
    """Return what an image and its annotation have in common."""
    return file.relative_to(folder).with_suffix('').as_posix()


def _image(path, image, pictures, notes) -> LabelledImage:
    root = _parse(path)
    # The name of the annotation is more often right than the name inside it.
    image = image or pictures / (root.findtext('filename') or path.stem).strip()
    size = tuple(_number(path, root, f'size/{side}', 0) for side in ('width', 'height'))
    if not all(length > 0 for length in size):
        size = image_size(image)
    return LabelledImage.of(image, map(int, size), [
        _object(path, element, notes) for element in root.iter('object')])


def _object(path, element, notes):
    """Return (box, label, ignored) of an `object` element."""
    label = (element.findtext('name') or '').strip()
    if not label:
        raise ValueError(f'{path}:{element.get("line")}: an object without a name')
    left, top, right, bottom = (_number(path, element, f'bndbox/{edge}')
                                for edge in ('xmin', 'ymin', 'xmax', 'ymax'))
    difficult = _number(path, element, 'difficult', 0) != 0
    box = as_boxes((left - 1, top - 1, right, bottom))
    if angle := _number(path, element, ROTATION, 0):
        notes['rotated boxes turned into boxes'] += 1
        box = around_turned(box, angle)
    return box[0], label, difficult


def _number(path, element, name, default=None) -> float:
    """Return the number in a child element."""
    text = element.findtext(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{path}:{element.get("line")}: {name} of this {element.tag} must be a '
                         f'number, got {text!r}')
    return value


def _parse(path) -> ElementTree.Element:
    """Return the root of the XML tree; every element has its line as the attribute `line`."""
    builder, parser = ElementTree.TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: builder.start(
        tag, {'line': str(parser.CurrentLineNumber)})
    parser.EndElementHandler, parser.CharacterDataHandler = builder.end, builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ValueError(f'{path}:{error.lineno}: not XML ({expat.ErrorString(error.code)})'
                         ) from error
    root = builder.close()
    if root.tag != 'annotation':
        raise ValueError(f'{path}:{root.get("line")}: expected <annotation>, got <{root.tag}>')
    return root
