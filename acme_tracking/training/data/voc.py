"""
Pascal VOC annotations (Everingham et al., 2010): an XML file for each image.

Pixels are counted from 1 and the box's last pixel belongs to it, so that 1 1 640 360 is all of
such an image.  Objects marked `difficult` are ignored boxes, as in VOC's own evaluation.
"""
from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from acme_tracking.sources import image_files
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size


def recognises(path: Path) -> bool:
    """Tell whether there are XML files, in Annotations/ or beside the images."""
    return path.is_dir() and any(_annotations(path).glob('*.xml'))


def _annotations(path):
    return path / 'Annotations' if (path / 'Annotations').is_dir() else path


def read(path: Path) -> list[LabelledImage]:
    """Return the annotated images."""
    pictures = path / 'JPEGImages' if (path / 'JPEGImages').is_dir() else path
    files = {file.stem: file for file in image_files(pictures)}
    return [_image(annotation, pictures, files)
            for annotation in sorted(_annotations(path).glob('*.xml'))]


def _image(path, pictures, files) -> LabelledImage:
    root = _parse(path)
    # The name of the annotation is more often right than the name inside it.
    image = files.get(path.stem, pictures / (root.findtext('filename') or path.stem).strip())
    size = tuple(_number(path, root, f'size/{side}', 0) for side in ('width', 'height'))
    if not all(length > 0 for length in size):
        size = image_size(image)
    return LabelledImage.of(image, map(int, size), [
        _object(path, element) for element in root.iter('object')])


def _object(path, element):
    """Return (box, label, ignored) of an `object` element."""
    label = (element.findtext('name') or '').strip()
    if not label:
        raise ValueError(f'{path}:{element.get("line")}: an object without a name')
    left, top, right, bottom = (_number(path, element, f'bndbox/{edge}')
                                for edge in ('xmin', 'ymin', 'xmax', 'ymax'))
    difficult = _number(path, element, 'difficult', 0) != 0
    return (left - 1, top - 1, right, bottom), label, difficult


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
