"""
What every layout becomes: labelled images on disk, and samples in memory.

A class folder is a bank as well: its images have one box, which is the whole image.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
import logging
from pathlib import Path

from acme_tracking.geometry import as_boxes, clip, is_proper, widen
from acme_tracking.labels import DONT_CARE, VEHICLE, VEHICLES
from acme_tracking.training.data.images import decode
import cv2
import numpy as np

SMALLEST_CROP = 8.0  # pixels: a crop of which a side is shorter shows nothing

logger = logging.getLogger(__name__)


def labels_for(classes) -> tuple:
    """Return the labels that a detector of `classes` can learn from, VEHICLE among them or not."""
    classes = tuple(classes)
    return classes if not set(VEHICLES) <= set(classes) or VEHICLE in classes else (
        *classes, VEHICLE)


@dataclass(frozen=True, eq=False)
class Sample:
    """
    One labelled image, decoded.

    image: uint8 (H, W, 3), blue green red.
    boxes: float32 (N, 4) in pixels of it.
    labels: str (N,), class names.
    ignored: bool (N,), boxes that are neither to be found nor wrong when found; none by default.
    labelled: names of the only classes that were labelled on this image, or None for all: what is
    found of others is neither right nor wrong.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray | None = None
    labelled: tuple | None = None

    def __post_init__(self):
        """Fill in that nothing is ignored."""
        if self.ignored is None:
            object.__setattr__(self, 'ignored', np.zeros(len(self.boxes), dtype=bool))

    def shrunk(self, side: int) -> Sample:
        """Return the sample at an area of at most `side` * `side` pixels."""
        height, width = self.image.shape[:2]
        scale = side / (width * height) ** 0.5
        if scale >= 1:
            return self
        size = round(width * scale), round(height * scale)
        image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        factors = np.array([size[0] / width, size[1] / height] * 2, dtype=np.float32)
        return replace(self, image=image, boxes=self.boxes * factors)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """
    One labelled image on disk, as its bank describes it.

    path: the image file.
    size: (width, height) in pixels; (0, 0) when the file cannot tell.
    boxes, labels, ignored: as in Sample, but as they are labelled, also outside of the image.
    labelled: as in Sample.
    """

    path: Path
    size: tuple
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    labelled: tuple | None = None

    @classmethod
    def of(cls, path, size, objects, labelled=None) -> LabelledImage:
        """Return the image with `objects`, a list of (box x1 y1 x2 y2, label, ignored)."""
        boxes, labels, ignored = zip(*objects) if objects else ((), (), ())
        return cls(Path(path), tuple(size), as_boxes(boxes), np.array(labels, dtype=str),
                   np.array(ignored, dtype=bool), labelled)

    def load(self) -> Sample:
        """
        Return the decoded sample: boxes are clipped to the image, those that vanish are dropped.

        Raises ValueError for an image that is missing, broken or of another size than labelled.
        """
        image = decode(self.path)
        height, width = image.shape[:2]
        if self.size != (width, height):
            raise ValueError(f'{self.path}: is {width} x {height} pixels, but was labelled as '
                             f'{self.size[0]} x {self.size[1]}')
        boxes = clip(self.boxes, width, height)
        proper = is_proper(boxes)
        return Sample(image, boxes[proper], self.labels[proper], self.ignored[proper],
                      self.labelled)


@dataclass(frozen=True, eq=False)
class Bank:
    """
    Labelled images of one place.

    path: the file or folder that was read.
    layout: how it is laid out, a name of layouts.LAYOUTS.
    images: list of LabelledImage.
    part: which split of what is at the path, '' for all.
    notes: {what was turned into boxes or left out: how often} on reading.
    """

    path: Path
    layout: str
    images: list
    part: str = ''
    notes: Counter = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """Return what a report calls it."""
        return ':'.join(filter(None, (self.path.resolve().stem, self.part)))

    def __len__(self) -> int:
        """Return the number of images, broken ones included."""
        return len(self.images)

    def __iter__(self):
        """Yield the samples in the order of the bank; broken images are logged and skipped."""
        for image in self.images:
            try:
                yield image.load()
            except ValueError as error:
                logger.warning('skipped %s', error)

    def counts(self) -> Counter:
        """Return how many boxes, without the ignored ones, each class has."""
        return Counter(label for image in self.images
                       for label in image.labels[~image.ignored].tolist())

    def mapped(self, mapping) -> Bank:
        """Return the bank with its classes renamed by a dict; boxes of those mapped to None go."""
        return self._changed(lambda label: mapping.get(label, label))

    def only(self, classes) -> Bank:
        """Return the bank without the boxes of other classes; what is to be ignored stays."""
        wanted = {*labels_for(classes), DONT_CARE}
        return self._changed(lambda label: label if label in wanted else None)

    def split(self, share) -> tuple[Bank, Bank]:
        """Return two banks, the second with a share (0 to 1) of the images, evenly spread."""
        turns = np.floor(np.arange(len(self) + 1) * share + 0.5)
        second = np.diff(turns) > 0
        return tuple(replace(self, images=[image for image, mine in zip(self.images, chosen)
                                           if mine]) for chosen in (~second, second))

    def require(self, classes) -> None:
        """Raise ValueError when a box is labelled as something else than `classes`."""
        unknown = sorted(set(self.counts()) - set(labels_for(classes)))
        if unknown:
            raise ValueError(f'{self.path}: unknown classes {unknown}, expected some of '
                             f'{", ".join(labels_for(classes))}; rename them with --map, or '
                             'choose with --classes')

    def _changed(self, rename) -> Bank:
        images = []
        for image in self.images:
            labels = [rename(label) for label in image.labels.tolist()]
            labelled = None if image.labelled is None else tuple(
                name for each in image.labelled if (name := rename(each)) is not None)
            kept = np.array([label is not None for label in labels], dtype=bool)
            images.append(replace(
                image, boxes=image.boxes[kept], ignored=image.ignored[kept],
                labels=np.array([label for label in labels if label is not None], dtype=str),
                labelled=labelled))
        return replace(self, images=images)


def crops(samples, margin: float = 0.0):
    """
    Yield every object of the samples as a Sample of its own, for classification.

    `margin` is what is added on each side, as a share of the box.  Ignored objects and those with
    a side below SMALLEST_CROP are left out.
    """
    for sample in samples:
        height, width = sample.image.shape[:2]
        sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
        edges = clip(widen(sample.boxes, margin), width, height).round().astype(int)
        chosen = ~sample.ignored & (sides >= SMALLEST_CROP).all(axis=1)
        for (left, top, right, bottom), label in zip(edges[chosen], sample.labels[chosen]):
            image = sample.image[top:bottom, left:right].copy()
            box = np.array([[0, 0, right - left, bottom - top]], dtype=np.float32)
            yield Sample(image, box, np.array([label]))
