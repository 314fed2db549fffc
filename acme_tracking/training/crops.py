"""Crops: images of one object each, cut out of image banks, for classification."""
from __future__ import annotations

from dataclasses import dataclass

from acme_tracking.networks.classifier import stretched
from acme_tracking.training.augmentation import recolour
from acme_tracking.training.data import crops
import cv2
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

SMALLEST_PART = 0.75  # of each side of a crop that an augmented view shows


@dataclass(frozen=True, eq=False)
class Crops:
    """
    Labelled crops in memory.

    images: list of uint8 (H, W, 3), blue green red.
    labels: str (N,).
    groups: int (N,), the image that a crop is from; crops of one image resemble each other.
    """

    images: list
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.images)

    def select(self, chosen) -> Crops:
        """Return the crops of some indices."""
        return Crops([self.images[index] for index in chosen], self.labels[chosen],
                     self.groups[chosen])


def places(labels, classes) -> np.ndarray:
    """Return labels as int64 (N,) places in `classes`; ValueError for another label."""
    known = {name: place for place, name in enumerate(classes)}
    unknown = sorted(set(labels.tolist()) - set(known))
    if unknown:
        raise ValueError(f'classes {unknown} are not among those to learn: ' + ', '.join(classes))
    return np.array([known[label] for label in labels.tolist()], dtype=np.int64)


def stream(banks, margin: float):
    """
    Yield (image, label, group) of every object of some banks; a group is one image.

    Raises ValueError when there are none.
    """
    empty = True
    for group, sample in enumerate(sample for bank in banks for sample in bank):
        for crop in crops([sample], margin):
            yield crop.image, str(crop.labels[0]), group
            empty = False
    if empty:
        raise ValueError('there is no labelled object of at least 8 x 8 pixels in '
                         + ', '.join(str(bank.path) for bank in banks))


def read_crops(banks, margin: float, side: int, progress: bool = True) -> Crops:
    """
    Return the crops of some banks, shrunk where they are much larger than `side` pixels.

    Raises ValueError when there are none.
    """
    images, labels, groups = [], [], []
    limit = round(1.3 * side)  # augmented views enlarge
    for image, label, group in tqdm(stream(banks, margin), unit='crop', desc='reading',
                                    total=expected(banks), leave=False, disable=not progress):
        if min(image.shape[:2]) > limit:
            scale = limit / min(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        images.append(image)
        labels.append(label)
        groups.append(group)
    return Crops(images, np.array(labels), np.array(groups))


def expected(banks) -> int:
    """Return how many crops there are at most: tiny objects and broken images give none."""
    return sum(sum(bank.counts().values()) for bank in banks)


def split(labels, groups, share: float, seed: int = 0):
    """
    Return indices to train on and indices to validate on, stratified by class.

    About `share` of every class is for validation, and no group (image) is on both sides.  Raises
    ValueError for a class that is in too few images.
    """
    parts = max(2, round(1 / share))
    for name in sorted(set(labels.tolist())):
        images = len(set(groups[labels == name].tolist()))
        if images < parts:
            raise ValueError(f'class {name!r} is in {images} images, too few to validate on a '
                             f'share of {share:g}: expected at least {parts}, or give --val')
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    return next(folds.split(labels, labels, groups))


def augmented(image, side: int, rng) -> np.ndarray:
    """Return a random part of a crop in other light, maybe mirrored, stretched to the side."""
    height, width = image.shape[:2]
    part = [max(1, round(length * rng.uniform(SMALLEST_PART, 1.0))) for length in (width, height)]
    left, top = (int(rng.integers(0, length - kept + 1))
                 for length, kept in zip((width, height), part))
    view = stretched(image[top:top + part[1], left:left + part[0]], side)
    return recolour(view[:, ::-1] if rng.random() < 0.5 else view, rng)
