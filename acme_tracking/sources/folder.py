"""A folder of images, or of a MOTChallenge sequence, as a source."""
from __future__ import annotations

import configparser
import logging
from pathlib import Path

from acme_tracking.sources.files import image_files, IMAGE_SUFFIXES
from acme_tracking.sources.source import HIGHEST_RATE, LOWEST_RATE, Source
import cv2

FOLDER_RATE = 10.0  # images per second of a folder that does not say

logger = logging.getLogger(__name__)


class FolderSource(Source):
    """
    The images of a folder in natural order.

    The rate is the `frameRate` of a MOTChallenge `seqinfo.ini` in the folder above, where there is
    one.  Files that cannot be decoded are skipped with a warning.
    """

    def __init__(self, folder: Path):
        """List `folder`; raise ValueError when it holds no image that can be read."""
        self._folder = folder
        self.restart()
        first = self.read()
        if first is None:
            raise self._no_images()
        self.size = first.shape[1::-1]
        self.rate = _sequence_rate(folder.parent / 'seqinfo.ini')
        self._next = 0

    def read(self):
        """Return the next image that can be decoded."""
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None:
                return image
            logger.warning('skipped %s: not an image that OpenCV reads', path)
        return None

    def restart(self):
        """List the folder again, which may have changed, and begin with the first image."""
        self._paths, self._next = image_files(self._folder), 0
        if not self._paths:
            raise self._no_images()

    def _no_images(self):
        return ValueError(f'{self._folder} holds no image that can be read '
                          f'({", ".join(sorted(IMAGE_SUFFIXES))})')


def _sequence_rate(path):
    if not path.is_file():
        return FOLDER_RATE
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding='utf-8')
        rate = parser.getfloat('Sequence', 'frameRate')
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f'frameRate must be in [{LOWEST_RATE:g}, {HIGHEST_RATE:g}], '
                             f'got {rate}')
    except (configparser.Error, ValueError) as error:
        logger.warning('%s gives no rate, %g images per second are assumed: %s', path, FOLDER_RATE,
                       error)
        return FOLDER_RATE
    return rate
