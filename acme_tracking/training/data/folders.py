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

SYNSET = re.compile(r'n\d{8}')
NAME_FILES = ('LOC_synset_mapping.txt', 'words.txt')
LEVELS = 4  # ILSVRC/Data/CLS-LOC/train lies so deep below the file of names


def recognises(path: Path) -> bool:
    """Tell whether there are folders with images in them."""
    return path.is_dir() and bool(_folders(path))


def _folders(path):
    return [folder for folder in sorted(path.iterdir())
            if folder.is_dir() and not folder.name.startswith('.') and image_files(folder)]


def read(path: Path) -> list[LabelledImage]:
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
    for number, line in enumerate(file.read_text(errors='replace').splitlines(), 1):
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
