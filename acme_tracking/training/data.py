"""
Image banks: labelled images for training and validation.

A Sample is one image with its boxes and class names, wherever it came from: a COCO file, or the
synthetic road of scene.py.  Images are decoded once, scaled down and kept in memory as bytes,
because decoding costs as much as a training step of a small network.
"""
from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from acme_tracking.geometry import clip, from_xywh, is_proper
from acme_tracking.scene import Scene
import cv2
import numpy as np

CLASSES = ('car', 'truck', 'bus', 'motorcycle', 'person')
VEHICLE = 'vehicle'  # a label that means any of VEHICLES: the publisher did not tell them apart
VEHICLES = ('car', 'truck', 'bus')

SCENE_SEED = 1_000_000  # far from the seeds that people try, so that these stay unseen
SCENE_SIZES = ((640, 360), (640, 480), (960, 540), (480, 480))
SCENE_IMAGES = 8  # of each road, at different times: painting a new road costs as much as these
SCENE_VISIBILITY = 0.3  # an object of which less is seen is no target
SCENE_SIDE = 6.0  # pixels: nor is one that is smaller


@dataclass(frozen=True, eq=False)
class Sample:
    """
    One labelled image.

    image: uint8 (H, W, 3), blue green red.
    boxes: float32 (N, 4) in pixels of it.
    labels: str (N,), class names.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray

    def shrunk(self, side: int) -> Sample:
        """Return the sample at an area of at most `side` * `side` pixels."""
        height, width = self.image.shape[:2]
        scale = side / (width * height) ** 0.5
        if scale >= 1:
            return self
        size = round(width * scale), round(height * scale)
        image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        factors = np.array([size[0] / width, size[1] / height] * 2, dtype=np.float32)
        return Sample(image, self.boxes * factors, self.labels)


class CocoFile:
    """
    A COCO detection file: `NAME.json` beside a folder `NAME/` that holds its images.

    Iterating decodes one Sample after the other.  Raises ValueError, naming the file and the
    entry, for a file that is not COCO, an unknown category or a broken image.
    """

    def __init__(self, path):
        """Read the annotations; images are decoded on iteration."""
        self.path = Path(path)
        self.folder = self.path.with_suffix('')
        try:
            content = json.loads(self.path.read_text())
            names = {entry['id']: entry['name'] for entry in content['categories']}
            self.images = {entry['id']: entry['file_name'] for entry in content['images']}
            self.annotations = {image: [] for image in self.images}
            for entry in content['annotations']:
                if not entry.get('iscrowd'):
                    self.annotations[entry['image_id']].append(
                        (np.array(entry['bbox'], dtype=np.float32), names[entry['category_id']]))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'{self.path}: not a COCO detection file: '
                             f'{type(error).__name__} {error}') from error
        used = {name for entries in self.annotations.values() for _, name in entries}
        unknown = sorted(used - {*CLASSES, VEHICLE})
        if unknown:
            raise ValueError(f'{self.path}: unknown categories {unknown}, expected some of '
                             f'{", ".join((*CLASSES, VEHICLE))}')

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __iter__(self):
        """Yield the samples in the order of the file."""
        for key, name in self.images.items():
            image = cv2.imread(str(self.folder / name))
            if image is None:
                raise ValueError(f'{self.path}: image {self.folder / name} cannot be read')
            boxes = from_xywh([box for box, _ in self.annotations[key]])
            boxes = clip(boxes, image.shape[1], image.shape[0])
            labels = np.array([label for _, label in self.annotations[key]], dtype=str)
            proper = is_proper(boxes)
            yield Sample(image, boxes[proper], labels[proper])


class RenderedScenes:
    """Images of synthetic roads with exact boxes; each is a road at another time."""

    def __init__(self, count: int, seed: int = SCENE_SEED):
        """Describe `count` images; they are rendered on iteration."""
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of images."""
        return self.count

    def __iter__(self):
        """Yield the samples; objects that are tiny or mostly hidden have no box."""
        for number in range(self.count):
            rng = np.random.default_rng((self.seed, number))
            if number % SCENE_IMAGES == 0:
                scene = self._scene(number // SCENE_IMAGES, rng)
            index = int(rng.integers(0, 3000))
            truth = scene.truth(index)
            sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
            seen = (truth.visibility >= SCENE_VISIBILITY) & (sides >= SCENE_SIDE).all(axis=1)
            yield Sample(scene.render(index), truth.boxes[seen], truth.labels[seen])

    def _scene(self, number, rng) -> Scene:
        """Return one of the roads."""
        width, height = SCENE_SIZES[number % len(SCENE_SIZES)]
        return Scene(width=width, height=height, seed=self.seed + number,
                     density=rng.uniform(0.2, 0.7),
                     target=rng.choice(CLASSES) if rng.random() < 0.3 else None,
                     occlusion=(0.0, 60.0) if rng.random() < 0.1 else None)
