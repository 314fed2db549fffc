"""The layouts of image banks, which of them a path is, and which splits it has."""
from __future__ import annotations

from collections import Counter
import logging
from pathlib import Path
from typing import NamedTuple

from acme_tracking.sources import image_files
from acme_tracking.training.data import coco, folders, kitti, voc, yolo
from acme_tracking.training.data.bank import Bank
from acme_tracking.training.data.splits import by_split, NAMES, split_of, SPLITS

# word for it before a path -> (name, module with `splits` and `read`, how it looks)
LAYOUTS = {
    'coco': ('COCO', coco, 'a COCO .json file beside its images or the folder of its name, or a '
             'folder with such files in it or in annotations/'),
    'kitti': ('KITTI', kitti, 'a folder with image_2/ and label_2/'),
    'voc': ('Pascal VOC', voc, 'a folder with JPEGImages/ and Annotations/, or images with .xml '
            'files'),
    'yolo': ('YOLO', yolo, 'a data.yaml or obj.data that says where the images are, or a folder '
             'with images/ and labels/, or images with .txt files, and classes.txt'),
    'folders': ('class folders', folders, 'a folder with one folder of images per class'),
}

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """What is at a path: the layout's name and reader, {split: what it reads}, what it lacks."""

    path: Path
    layout: str
    reader: object
    splits: dict
    remarks: list

    def bank(self, split) -> Bank:
        """Read one of the splits; ValueError that says which there are for another, or None."""
        if split not in self.splits:
            raise ValueError(
                f'{self.path}: has {"several splits" if split is None else f"no split {split}"}; '
                f'give {" or ".join(f"{self.path}:{name}".rstrip(":") for name in self.splits)}'
                + ''.join(f' ({remark})' for remark in self.remarks))
        notes = Counter()
        images = self.reader.read(self.splits[split], notes)
        if not images:
            raise ValueError(f'{self.path}: looks like {self.layout}, but holds no image')
        return Bank(self.path, self.layout, images, split, notes)


def read(spec, wanted=None) -> Bank:
    """
    Return the bank at `spec`, whatever its layout: `[LAYOUT:]PATH[:SPLIT]`.

    Of several splits it is the one in `spec`, or else `wanted`, one of SPLITS.  Raises ValueError
    that names the path when no layout fits, or more than one; when there is no such split; and,
    with the file and the line or entry, when something is malformed.  Images are not decoded yet.
    """
    found, split = _find(spec)
    alone = next(iter(found.splits)) if len(found.splits) == 1 else None
    if split is None:
        split = wanted if alone is None or wanted and alone in SPLITS else alone
    bank = found.bank(split)
    for note, number in bank.notes.items():
        logger.warning('%s: %s: %d', bank.path, note, number)
    return bank


def read_all(spec) -> tuple[list[Bank], list[str]]:
    """Return the banks of all splits, or of the one in `spec`, and what else there is to say."""
    found, split = _find(spec)
    return [found.bank(name) for name in (found.splits if split is None else [split])
            ], found.remarks


def _find(spec) -> tuple[Found, str | None]:
    """Return what is at a path, and the split that is asked for."""
    path, readers, split = _parse(str(spec))
    fitting = []
    for name, reader, _ in readers:
        remarks = []
        if places := reader.splits(path, remarks) or _in_children(path, reader, remarks):
            fitting.append(Found(path, name, reader, places, remarks))
    if not fitting:
        raise ValueError(f'{path}: no image bank that is known here; expected '
                         + '; '.join(f'{name}: {look}' for name, _, look in readers))
    if len(fitting) > 1:
        raise ValueError(f'{path}: may be {" or ".join(found.layout for found in fitting)}; say '
                         'which, as in ' + ' or '.join(
                             f'{word}:{path}' for word, (_, reader, _) in LAYOUTS.items()
                             if reader in {found.reader for found in fitting}))
    return fitting[0], split


def _parse(text) -> tuple:
    """Return the path, the layouts that it may have, and the split, None for none, of a text."""
    readers, split = LAYOUTS.values(), None
    word, _, rest = text.partition(':')
    # a folder may be called coco too, so coco:val is its split
    if word in LAYOUTS and rest and rest not in NAMES and not Path(text).exists():
        readers, text = [LAYOUTS[word]], rest
    head, _, tail = text.rpartition(':')
    if head and not Path(text).exists():
        text, split = head, split_of(tail) or tail
    if not Path(text).exists():
        raise ValueError(f'{text}: no such file or folder')
    return Path(text), readers, split


def _in_children(path, reader, remarks) -> dict:
    """Return the splits of folders that are named so, such as train/, valid/ and test/."""
    named_so = [folder for folder in sorted(path.glob('*'))
                if folder.is_dir() and split_of(folder.name)]
    named = [(split_of(folder.name), place, folder) for folder in named_so
             for place in reader.splits(folder, remarks).values()]
    if named:
        remarks += [f'{folder.name}/ left out: its images have no labels' for folder in named_so
                    if folder not in {each[2] for each in named}
                    and image_files(folder, recursive=True)]
    return by_split(named)
