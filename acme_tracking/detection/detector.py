"""The detector: an image in, Detections in pixels of that image out."""
from __future__ import annotations

import os
import time

from acme_tracking.detection.options import (
    check,
    check_classes,
    NMS_THRESHOLD,
    options_of,
    SCORE_THRESHOLD,
)
from acme_tracking.detection.runtimes import choose, classes_of, require_torch
from acme_tracking.detection.suppression import suppress, vote
from acme_tracking.detection.views import in_image, is_cut, resized, views_of
from acme_tracking.detections import Detections
from acme_tracking.geometry import clip, is_proper
import cv2
import numpy as np

MAXIMUM_CANDIDATES = 1000  # points that enter the suppression, best first
MAXIMUM_DETECTIONS = 200
WARM_UP_SHAPE = (480, 640, 3)
# Tiles, and images of several cameras, go through the network in batches of so many pixels at
# most: 65 tiles of 4096 x 2304 would take 13 GB at once.
PIXELS_TOGETHER = 4_000_000


class Detector:
    """
    Finds objects with a network; build one with from_checkpoint or from_parameters.

    score_threshold: objects below it are not reported; in [0, 1].
    nms_threshold: of two boxes of a class with an IoU above it the better one stays; in [0, 1].
    classes: names to report; empty for all.
    input_size: images are resized to the area of a square of this side, in pixels, 32 to 4096; 0
    for the size that the weights were trained for.
    tiles: above 1, up to 8, the network also looks at so many overlapping columns times rows of
    the image, each resized to input_size: it finds smaller objects, and works so much longer
    (slicing aided inference, Akyon et al., 2022).
    All of these may be changed between two calls by `configure`.  `refiner`, unless it is None,
    renames what was found.
    seconds: how long the last call spent in each stage: resize, network, nms.
    """

    def __init__(self, runtime, reason='', **options):
        """Take a Runtime, and why it was chosen; `options` are those of `configure`."""
        self.runtime, self.reason, self.refiner = runtime, reason, None
        self.names = np.array(runtime.classes)
        self.configure(**options)
        self.seconds: dict[str, float] = {}

    @classmethod
    def from_checkpoint(cls, path=None, classifier=None, refined_classes=(), device='cpu',
                        half=True, threads=None, **options) -> Detector:
        """
        Return the detector of a checkpoint, or of the weights shipped with the package for None.

        `path`, `device`, `half` and `threads` are those of `runtimes.choose`, which names the
        other files that can be given.  `classifier` is the checkpoint of one that renames the
        objects of `refined_classes`, or of all; `options` are those of `configure`.  Raises
        CheckpointError for a bad file and ValueError for a bad option.
        """
        runtime, reason = choose(path, device, half, threads)
        detector = cls(runtime, reason, **options)
        check_classes(runtime.classes, refined_classes)
        if classifier:
            require_torch(classifier)
            from acme_tracking.detection.refinement import Refiner
            detector.refiner = Refiner.from_checkpoint(
                classifier, refined_classes, device=runtime.device,
                half=half and runtime.device != 'cpu')
        return detector

    @classmethod
    def from_parameters(cls, parameters) -> Detector:
        """Return the detector that the parameters of the detector node describe."""
        return cls.from_checkpoint(
            parameters.weights or None, parameters.classifier, parameters.refined_classes,
            parameters.device, parameters.half, parameters.threads or len(os.sched_getaffinity(0)),
            **options_of(parameters))

    def __str__(self):
        """Say what it detects, and what runs it."""
        words = f'detects {", ".join(self.names)}'
        if self.refiner is not None:
            words += (f', names {", ".join(self.refiner.classes) or "all"} as '
                      + ', '.join(self.refiner.classifier.names))
        return f'{words}; runs with {self.runtime} ({self.reason})'

    def configure(self, score_threshold=SCORE_THRESHOLD, nms_threshold=NMS_THRESHOLD, classes=(),
                  input_size=0, tiles=1) -> None:
        """Change what is reported and how it is searched; ValueError leaves all as it was."""
        check(score_threshold, nms_threshold, input_size, tiles)
        check_classes(self.runtime.classes, classes)
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.input_size, self.tiles = input_size or self.runtime.input_size, tiles
        self.classes = tuple(classes)
        self._reported = np.isin(self.names, classes) if len(classes) else None

    def warm_up(self) -> None:
        """Run once, so that the first image does not take longer than others."""
        image = np.zeros(WARM_UP_SHAPE, dtype=np.uint8)
        self(image)
        if self.refiner is not None:  # that image shows no object
            self.refiner.classifier([image])

    def __call__(self, image) -> Detections:
        """Return what is seen on an image, best first; see `look`."""
        return self.look([image])[0]

    def look(self, images) -> list[Detections]:
        """
        Return what is seen on each of some images, best first.

        They are uint8, (H, W, 3) in the order blue, green, red, or (H, W) grey, of any sizes.
        Raises ValueError for others.
        """
        images = list(map(_as_bgr, images))
        times = [time.perf_counter()]
        sizes = [self.runtime.size(*image.shape[1::-1], self.input_size) for image in images]
        views = [views_of(*image.shape[1::-1], self.tiles) for image in images]
        inputs = [[resized(image[top:bottom, left:right], size)
                   for left, top, right, bottom in parts]
                  for image, size, parts in zip(images, sizes, views)]
        times.append(time.perf_counter())
        found = self._run(inputs, sizes)
        times.append(time.perf_counter())
        found = [self._suppressed(*self._candidates(*each)) for each in zip(
            found, views, sizes, images)]
        times.append(time.perf_counter())
        self.seconds = dict(zip(('resize', 'network', 'nms'), np.diff(times).tolist()))
        return found if self.refiner is None else list(map(self.refiner, images, found))

    def _run(self, inputs, sizes) -> list[list]:
        """Return what the network says of each input of each image; those of a size together."""
        found = [[] for _ in inputs]
        for size in dict.fromkeys(sizes):
            all_of_it = [(index, view) for index, views in enumerate(inputs)
                         if sizes[index] == size for view in views]
            together = max(1, PIXELS_TOGETHER // (size[0] * size[1]))
            for first in range(0, len(all_of_it), together):
                indices, batch = zip(*all_of_it[first:first + together])
                for index, seen in zip(indices, self.runtime(np.stack(batch))):
                    found[index].append(seen)
        return found

    def _candidates(self, found, views, size, image) -> tuple:
        """Return the boxes, in pixels of the image, scores and labels that are to be reported."""
        height, width = image.shape[:2]
        parts = []
        for view, (boxes, scores, labels) in zip(views, found):
            chosen = scores >= self.score_threshold
            if self._reported is not None:
                chosen &= self._reported[labels]
            boxes, scores, labels = boxes[chosen], scores[chosen], labels[chosen]
            whole = ~is_cut(boxes, view, size, width, height)
            parts.append((in_image(boxes, view, size)[whole], scores[whole], labels[whole]))
        boxes, scores, labels = map(np.concatenate, zip(*parts))
        boxes = clip(boxes, width, height)
        proper = is_proper(boxes)
        return boxes[proper], scores[proper], labels[proper]

    def _suppressed(self, boxes, scores, labels) -> Detections:
        """Return one detection for each object."""
        best = np.argsort(-scores, kind='stable')[:MAXIMUM_CANDIDATES]
        boxes, scores, labels = boxes[best], scores[best], labels[best]
        kept = suppress(boxes, scores, labels, self.nms_threshold, MAXIMUM_DETECTIONS)
        boxes = vote(boxes, scores, kept, self.nms_threshold)
        return Detections(boxes, scores[kept], self.names[labels[kept]])


def check_checkpoints(path=None, classifier=None, refined_classes=(), classes=()) -> None:
    """
    Raise ValueError when `Detector.from_checkpoint` would, in milliseconds.

    What only the values of the tensors show (NaN), and what the device says, is not found.
    """
    known = classes_of(path)
    if known is not None:
        check_classes(known, classes, refined_classes)
    if classifier:
        require_torch(classifier)
        from acme_tracking.networks.classifier import inspect
        inspect(classifier)


def _as_bgr(image) -> np.ndarray:
    """Return a contiguous uint8 (H, W, 3) image of a colour or grey one."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.size == 0 or not (
            image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f'expected a uint8 image (H, W, 3) or (H, W), got {image.dtype} '
                         f'{image.shape}')
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
