"""Image files: how large they are, and their pixels."""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112  # the EXIF tag; from 5 on, the picture lies on its side
# Pillow has no common base for what a broken file makes it raise.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def image_size(path) -> tuple[int, int]:
    """Return (width, height) as the header tells, or (0, 0) when the file is missing or broken."""
    try:
        with Image.open(path) as file:
            turned = file.getexif().get(ORIENTATION, 1) >= 5
            return file.size[::-1] if turned else file.size
    except BROKEN:
        return 0, 0


def decode(path) -> np.ndarray:
    """
    Return the image upright as uint8 (H, W, 3), blue green red.

    Raises ValueError for a file that is missing, no image, or cut short: where OpenCV would return
    the upper part of a truncated file, Pillow says so.
    """
    try:
        with Image.open(path) as file:
            colours = ImageOps.exif_transpose(file).convert('RGB')
    except BROKEN as error:
        reason = 'no such file' if isinstance(error, FileNotFoundError) else error
        raise ValueError(f'{path}: cannot be read as an image ({reason})') from error
    return np.ascontiguousarray(np.asarray(colours)[..., ::-1])
