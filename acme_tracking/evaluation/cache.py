"""Detections kept on disk, so that the CNN sees every image once, whoever needs it and when."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path
import time
import zipfile

from acme_tracking.detections import Detections
import numpy as np

# How often new detections are written while they are made, in seconds.
SAVE_EVERY = 30.0


class DetectionCache:
    """
    Detections by the stamp of their image, in one file; a context manager that saves at its end.

    A file that was made by another detector (other weights or thresholds), or cannot be read, is
    not used, and is replaced.
    """

    def __init__(self, path, settings: dict, make_detector):
        """
        Open the cache at `path`.

        settings: all that the detections depend on.  make_detector: returns the detector, a
        function from image to Detections; called when the first detection is missing.
        """
        self.path, self._make_detector = Path(path), make_detector
        self._key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self._known, self._detector = self._load(), None
        self._saved_at, self._changed = time.monotonic(), False
        self.seconds = []  # what each new detection took

    def __enter__(self) -> DetectionCache:
        """Return the cache."""
        return self

    def __exit__(self, *_):
        """Save what is new."""
        self.save()

    def __call__(self, stamp: int, image: np.ndarray) -> Detections:
        """Return the detections on the image of a stamp (nanoseconds)."""
        if stamp not in self._known:
            self._detector = self._detector or self._make_detector()
            start = time.perf_counter()
            self._known[stamp] = self._detector(image)
            self.seconds.append(time.perf_counter() - start)
            self._changed = True
            if time.monotonic() - self._saved_at > SAVE_EVERY:
                self.save()
        return self._known[stamp]

    def fill(self, known: dict[int, Detections]) -> None:
        """Take detections, by stamp, that were made elsewhere."""
        self._known.update(known)
        self._changed = True

    def __contains__(self, stamp: int) -> bool:
        """Tell whether an image has been seen."""
        return stamp in self._known

    def save(self) -> None:
        """Write the file, all or nothing."""
        if not self._changed:
            return
        stamps = sorted(self._known)
        found = [self._known[stamp] for stamp in stamps]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix('.partial')
        with partial.open('wb') as file:
            np.savez_compressed(
                file, key=self._key, stamps=np.array(stamps, np.int64),
                counts=np.array([len(one) for one in found]),
                boxes=np.concatenate([one.boxes for one in found]),
                scores=np.concatenate([one.scores for one in found]),
                labels=np.concatenate([one.labels for one in found]))
        partial.replace(self.path)
        self._saved_at, self._changed = time.monotonic(), False

    def _load(self):
        try:
            return read_detections(self.path, self._key)
        except ValueError:
            return {}


def read_detections(path, key: str = '') -> dict[int, Detections]:
    """
    Return the detections of a cache file by stamp.

    Raises ValueError for a file that cannot be read or, if a key is given, that has another.
    """
    try:
        with np.load(path) as data:
            if key and str(data['key']) != key:
                raise ValueError(f'{path} was made by another detector')
            ends = np.cumsum(data['counts'])[:-1]
            columns = [np.split(data[name], ends) for name in ('boxes', 'scores', 'labels')]
            return {int(stamp): Detections(*row)
                    for stamp, row in zip(data['stamps'], zip(*columns))}
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} holds no detections: {error}') from error
