"""
Class folders: `CLASS/image.jpg`; the whole image shows one object of the class.

Folders named by synsets, as in ImageNet (Deng et al., 2009), take their names from
`LOC_synset_mapping.txt` or `words.txt` in the folder or above it.
"""
from __future__ import annotations

from collections import Counter
from pathlib import Path
import re

from acme_tracking.sources import image_files
from acme_tracking.training.data.bank import LabelledImage
from acme_tracking.training.data.images import image_size
from acme_tracking.training.data.splits import NAMES
from acme_tracking.training.data.text import read_text

PART = re.compile(r'images?(_\d)?|labels?(_\d)?|jpegimages|annotations|obj_.*data')
SYNSET = re.compile(r'n\d{8}')
NAME_FILES = ('LOC_synset_mapping.txt', 'words.txt')
LEVELS = 4  # ILSVRC/Data/CLS-LOC/train lies so deep below the file of names


def splits(path: Path, remarks) -> dict:
    """
    Return {'': path} when there are folders with images in them.

    A folder that has the name of a part of another layout is no class.
    """
    folders = _folders(path)
    return {'': path} if folders and not any(map(_is_part, folders)) else {}


def _folders(path):
    return [folder for folder in sorted(path.glob('*'))
            if folder.is_dir() and not folder.name.startswith('.') and image_files(folder)]


def _is_part(folder) -> bool:
    """Tell whether a folder is one of a split, of images or labels, or of a file of labels."""
    name = folder.name.lower()
    return (name.rstrip('0123456789') in NAMES or PART.fullmatch(name) is not None
            or folder.with_name(f'{folder.name}.json').is_file())


def read(path: Path, notes) -> list[LabelledImage]:
    """Return the images; those that cannot tell their size have no box."""
    folders = _folders(path)
    names = _synsets(path, [folder.name for folder in folders])
    found = []
    for folder in folders:
        label = names.get(folder.name, folder.name)
        for image in image_files(folder):
            width, height = image_size(image)
            objects = [((0, 0, width, height), label, False)] if width else []
            found.append(LabelledImage.of(image, (width, height), objects))
    return found


def _synsets(path, folders) -> dict:
    """Return {synset: name}, its first synonym; with the synset where two share it."""
    if not any(SYNSET.fullmatch(folder) for folder in folders):
        return {}
    file = next((folder / name for folder in (path, *path.resolve().parents[:LEVELS])
                 for name in NAME_FILES if (folder / name).is_file()), None)
    if file is None:
        return {}
    names = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        synset, _, synonyms = line.strip().partition('\t' if '\t' in line else ' ')
        name = synonyms.split(',')[0].strip()
        if synset and not (SYNSET.fullmatch(synset) and name):
            raise ValueError(f'{file}:{number}: expected a synset such as n01440764 and its '
                             f'name, got {line!r}')
        if synset in folders:
            names[synset] = name
    shared = Counter(names.values())
    return {synset: name if shared[name] == 1 else f'{name} ({synset})'
            for synset, name in names.items()}
