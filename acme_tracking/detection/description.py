"""
Descriptions of other people's detectors: a small YAML beside an ONNX file says how to use it.

`docs/detector.md` shows one for each head.
"""
from __future__ import annotations

from dataclasses import dataclass, fields
import math
from pathlib import Path

from acme_tracking.detection.heads import HEADS
from acme_tracking.files import read_yaml

LARGEST = 2 ** 16  # bytes
SIDES = 16, 4096  # limits of the input's width and height
RESIZES, ORDERS = ('letterbox', 'stretch'), ('bgr', 'rgb')


@dataclass(frozen=True)
class Description:
    """
    What an ONNX file does not say of itself.

    head: one of HEADS.
    classes: index of an output of the head -> name of the class here; others are not reported.
    size: (width, height) of the input; None where the file has a fixed one.
    resize: `letterbox` keeps the aspect of an image and fills up with `pad` at the right or below,
    `stretch` does not.
    order, mean, std: of the input, the latter two in that order and on the scale 0 to 255.
    strides: of the feature maps of heads that predict in units of them, in the order of the file.
    """

    head: str
    classes: dict
    size: tuple | None = None
    resize: str = 'letterbox'
    pad: int = 114
    order: str = 'rgb'
    mean: tuple = (0.0, 0.0, 0.0)
    std: tuple = (1.0, 1.0, 1.0)
    strides: tuple = (8, 16, 32)

    def __post_init__(self):
        """Raise ValueError that names a value, and says what was expected."""
        expect(self.head in list(HEADS), 'head', self.head, f'one of {", ".join(HEADS)}')
        expect(isinstance(self.classes, dict) and 0 < len(self.classes) <= 1000
               and all(type(index) is int and index >= 0 and isinstance(name, str) and name
                       for index, name in self.classes.items()), 'classes', self.classes,
               'index: name for some outputs of the head')
        expect(self.size is None or _are_whole(self.size, SIDES, 2), 'size', self.size,
               'width and height from {} to {}'.format(*SIDES))
        expect(self.resize in RESIZES, 'resize', self.resize, f'one of {", ".join(RESIZES)}')
        expect(self.order in ORDERS, 'order', self.order, f'one of {", ".join(ORDERS)}')
        expect(_are_whole((self.pad,), (0, 255), 1), 'pad', self.pad, '0 to 255')
        expect(_are_finite(self.mean), 'mean', self.mean, 'three finite numbers')
        expect(_are_finite(self.std) and min(self.std) > 0, 'std', self.std,
               'three numbers above 0')
        expect(_are_whole(self.strides, (1, 1024)), 'strides', self.strides,
               'some whole numbers from 1 to 1024')


def description_of(path) -> Path:
    """Return where the description of an ONNX file would be."""
    return Path(path).with_suffix('.yaml')


def expect(fine: bool, name: str, value, expected: str) -> None:
    """Raise ValueError that names a value of a description, and says what was expected."""
    if not fine:
        value = list(value) if isinstance(value, tuple) else value
        raise ValueError(f'{name} is {str(value)[:100]}, expected {expected}')


def read_description(path) -> Description:
    """Return what a YAML file says; ValueError, which names file and value, when it is wrong."""
    entries = read_yaml(path, LARGEST)
    known = {item.name for item in fields(Description)}
    try:
        for name in entries:
            expect(name in known, 'an entry', name, f'one of {", ".join(sorted(known))}')
        for name in ('head', 'classes'):
            expect(name in entries, name, 'missing', 'it in every description')
        return Description(**{name: tuple(value) if isinstance(value, list) else value
                              for name, value in entries.items()})
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _are_whole(values, limits, count=None) -> bool:
    return (isinstance(values, tuple) and 0 < len(values) <= 8 and count in (None, len(values))
            and all(type(value) is int and limits[0] <= value <= limits[1] for value in values))


def _are_finite(values) -> bool:
    return (isinstance(values, tuple) and len(values) == 3
            and all(type(value) in (int, float) and math.isfinite(value) for value in values))
