"""Writing a bank in another layout: one COCO file with its images, or class folders of crops."""
from __future__ import annotations

import logging
from pathlib import Path
import shutil

from acme_tracking.training.data import coco
from acme_tracking.training.data.bank import crops
import cv2

QUALITY = 95  # of crops as JPEG
FORBIDDEN = set('/\\\0')  # in the name of a class that becomes a folder

logger = logging.getLogger(__name__)


def to_coco(bank, out, progress=iter) -> int:
    """
    Write `out`, a .json file, and its images into the folder of its name; return their number.

    Ignored boxes become crowds; broken images are logged and left out.  Raises ValueError when
    `out` is no .json file or is there already.
    """
    out = Path(out)
    if out.suffix != '.json':
        raise ValueError(f'{out}: a COCO bank is written to a .json file')
    folder = _new(out.with_suffix(''), out)
    images = []
    for image in progress(bank.images):
        try:
            sample = image.load()
        except ValueError as error:
            logger.warning('skipped %s', error)
            continue
        name = _free(folder / image.path.name)
        shutil.copyfile(image.path, name)
        entry = {'file_name': name.name, 'width': image.size[0], 'height': image.size[1]}
        if image.labelled is not None:
            entry['labelled'] = image.labelled
        images.append((entry, [(box, str(label), {'iscrowd': int(ignored)}) for box, label, ignored
                               in zip(sample.boxes, sample.labels, sample.ignored)]))
    coco.write(out, images)
    return len(images)


def to_folders(bank, out, margin=0.0, progress=iter) -> int:
    """
    Write every object as an image `out`/CLASS/NAME.jpg; return their number.

    `margin` widens the crops on each side by a share of the box.  Broken images are logged and
    left out.  Raises ValueError when `out` is there already, or a class cannot name a folder.
    """
    odd = sorted(label for label in bank.counts()
                 if FORBIDDEN & set(label) or label.startswith('.'))
    if odd:
        raise ValueError(f'{bank.path}: classes {odd} cannot be names of folders; rename them '
                         'with --map')
    out, written = _new(Path(out)), 0
    for image in progress(bank.images):
        try:
            sample = image.load()
        except ValueError as error:
            logger.warning('skipped %s', error)
            continue
        for crop in crops([sample], margin):
            folder = out / str(crop.labels[0])
            folder.mkdir(exist_ok=True)
            content = cv2.imencode('.jpg', crop.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            _free(folder / f'{image.path.stem}.jpg').write_bytes(content.tobytes())
            written += 1
    return written


def _new(folder, *others) -> Path:
    """Make a folder that, like the other paths, must not be there: banks are never mixed."""
    for path in (folder, *others):
        if path.exists():
            raise ValueError(f'{path}: is there already')
    folder.mkdir(parents=True)
    return folder


def _free(path) -> Path:
    """Return the path, with a number if it is taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f'{path.stem}-{number}')
    return free
