"""Files with images: which there are, and in which order."""
from __future__ import annotations

import logging
from pathlib import Path
import re

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}

logger = logging.getLogger(__name__)


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """
    Return the image files of a folder in natural order, 2 before 10; hidden ones are none.

    What has the name of an image but is no regular file, which could block who opens it, is left
    out with a warning.
    """
    found = []
    for path in folder.glob('**/*' if recursive else '*'):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.'):
            if path.is_file():
                found.append(path)
            else:
                logger.warning('skipped %s: not a regular file', path)
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> list:
    """Return the key that sorts paths by the numbers in their names, folder by folder."""
    return [[(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece)
             for piece in re.split(r'(\d+)', part) if piece] for part in path.parts]
