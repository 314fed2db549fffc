"""The synthetic road of scene.py as an image bank, with exact boxes."""
from __future__ import annotations

from acme_tracking.labels import CLASSES
from acme_tracking.scene import Scene
from acme_tracking.training.data.bank import Sample
import numpy as np

SCENE_SEED = 1_000_000  # far from the seeds that people try, so that these stay unseen
SCENE_SIZES = ((640, 360), (640, 480), (960, 540), (480, 480))
SCENE_IMAGES = 8  # of each road, at different times: painting a new road costs as much as these
SCENE_VISIBILITY = 0.3  # an object of which less is seen is no target
SCENE_SIDE = 6.0  # pixels: nor is one that is smaller


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
                     occlusion=(0.0, 60.0) if rng.random() < 0.25 else None)
