"""The detector: an image in, Detections in pixels of that image out."""
from __future__ import annotations

import time

from acme_tracking.detection import checkpoint
from acme_tracking.detection.network import fuse
from acme_tracking.detection.options import (
    check,
    check_classes,
    NMS_THRESHOLD,
    SCORE_THRESHOLD,
)
from acme_tracking.detection.refinement import Refiner
from acme_tracking.detection.suppression import suppress, vote
from acme_tracking.detections import Detections
from acme_tracking.geometry import clip, is_proper
from acme_tracking.networks.classifier import inspect as inspect_classifier
import cv2
import numpy as np
import torch

STRIDE = 32  # width and height of the network's input are multiples of it
TILE_OVERLAP = 0.2  # of a tile's sides: what is smaller lies whole in one of the tiles
CUT = 4.0  # pixels of the input: a box so near to where a tile was cut shows part of an object
MAXIMUM_CANDIDATES = 1000  # points that enter the suppression, best first
MAXIMUM_DETECTIONS = 200
WARM_UP_SHAPE = (480, 640, 3)


class Detector:
    """
    Finds objects with a network; build one with from_checkpoint.

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

    def __init__(self, network, specification, device='cpu', half=False,
                 threads=None, **options):
        """
        Take a network for inference; `options` are those of `configure`.

        `half` uses half precision, on CUDA only.  `threads` is how many CPU threads torch uses
        from now on in the calling thread; None leaves them.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = _device(device)
        self.half = half and self.device.type == 'cuda'
        self.refiner = None
        self.specification = specification
        self.names = np.array(specification.classes)
        self.network = network.eval().to(
            self.device, torch.float16 if self.half else torch.float32,
            memory_format=torch.channels_last)
        self._mean, self._std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1)
                                 for values in (specification.mean, specification.std))
        self.configure(**options)
        self.seconds: dict[str, float] = {}

    @classmethod
    def from_checkpoint(cls, path=None, classifier=None, refined_classes=(),
                        **options) -> Detector:
        """
        Return the detector of a checkpoint, or of the weights shipped with the package for None.

        `classifier` is the checkpoint of one that renames the objects of `refined_classes`, or
        of all; `options` are those of the constructor; `device` is auto, cpu or cuda.  Raises
        CheckpointError for a bad file and ValueError for a bad option.
        """
        network, specification = checkpoint.load(path)
        detector = cls(fuse(network), specification, **options)
        check_classes(specification.classes, refined_classes)
        if classifier:
            detector.refiner = Refiner.from_checkpoint(
                classifier, refined_classes, device=detector.device, half=detector.half)
        return detector

    def __str__(self):
        """Say what it detects."""
        words = f'detects {", ".join(self.names)}'
        if self.refiner is not None:
            words += (f', names {", ".join(self.refiner.classes) or "all"} as '
                      + ', '.join(self.refiner.classifier.names))
        return words

    def configure(self, score_threshold=SCORE_THRESHOLD, nms_threshold=NMS_THRESHOLD, classes=(),
                  input_size=0, tiles=1) -> None:
        """Change what is reported and how it is searched; ValueError leaves all as it was."""
        check(score_threshold, nms_threshold, input_size, tiles)
        check_classes(self.specification.classes, classes)
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.input_size, self.tiles = input_size or self.specification.input_size, tiles
        self.classes = tuple(classes)
        self._reported = np.isin(self.names, classes) if len(classes) else None

    def warm_up(self) -> None:
        """Run once, so that the first image does not take longer than others."""
        image = np.zeros(WARM_UP_SHAPE, dtype=np.uint8)
        self(image)
        if self.refiner is not None:  # that image shows no object
            self.refiner.classifier([image])

    def __call__(self, image) -> Detections:
        """
        Return what is seen on an image, best first.

        `image` is uint8, (H, W, 3) in the order blue, green, red, or (H, W) grey.  Raises
        ValueError for another one.
        """
        image = _as_bgr(image)
        times = [time.perf_counter()]
        height, width = image.shape[:2]
        size = input_size(width, height, self.input_size)
        views = views_of(width, height, self.tiles)
        resized = np.stack([_resized(image[top:bottom, left:right], size)
                            for left, top, right, bottom in views])
        times.append(time.perf_counter())
        boxes, scores, labels = self._infer(resized)
        times.append(time.perf_counter())
        whole = np.concatenate([~_is_cut(*each, size, width, height)
                                for each in zip(boxes, views)])
        boxes = clip(np.concatenate([_in_image(*each, size) for each in zip(boxes, views)]),
                     width, height)
        scores, labels = scores.reshape(-1), labels.reshape(-1)
        chosen = np.flatnonzero((scores >= self.score_threshold) & is_proper(boxes) & whole)
        if self._reported is not None:
            chosen = chosen[self._reported[labels[chosen]]]
        chosen = chosen[np.argsort(-scores[chosen], kind='stable')[:MAXIMUM_CANDIDATES]]
        kept = suppress(boxes[chosen], scores[chosen], labels[chosen], self.nms_threshold,
                        MAXIMUM_DETECTIONS)
        boxes = vote(boxes[chosen], scores[chosen], kept, self.nms_threshold)
        chosen = chosen[kept]
        times.append(time.perf_counter())
        self.seconds = dict(zip(('resize', 'network', 'nms'), np.diff(times).tolist()))
        found = Detections(boxes, scores[chosen], self.names[labels[chosen]])
        return found if self.refiner is None else self.refiner(image, found)

    @torch.inference_mode()
    def _infer(self, images):
        """
        Look at uint8 images (V, H, W, 3).

        Returns boxes (V, P, 4) in their pixels, scores (V, P) and class indices (V, P) of all
        points.
        """
        batch = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        batch = ((batch.float() - self._mean) / self._std).to(
            torch.float16 if self.half else torch.float32)
        boxes, objectness, classes = self.network(batch)
        probability, label = classes.softmax(dim=2).max(dim=2)
        scores = objectness.sigmoid() * probability
        return tuple(tensor.cpu().numpy() for tensor in (boxes, scores, label))


def check_checkpoints(path=None, classifier=None, refined_classes=(), classes=()) -> None:
    """
    Raise ValueError when `Detector.from_checkpoint` would, in milliseconds.

    What only the values of the tensors show (NaN), and what the device says, is not found.
    """
    check_classes(checkpoint.inspect(path).classes, classes, refined_classes)
    if classifier:
        inspect_classifier(classifier)


def input_size(width: int, height: int, side: int) -> tuple:
    """
    Return the (width, height) that an image is resized to, multiples of the network's stride.

    Its area is about `side` * `side` and its aspect the image's, up to the rounding.
    """
    scale = side / (width * height) ** 0.5
    return tuple(max(STRIDE, round(length * scale / STRIDE) * STRIDE)
                 for length in (width, height))


def views_of(width: int, height: int, tiles: int) -> np.ndarray:
    """
    Return the parts of an image to look at, int (V, 4) as x1 y1 x2 y2: the whole, then the tiles.

    There are `tiles` columns and rows of equal tiles, which overlap by TILE_OVERLAP; none for 1.
    """
    whole = np.array([[0, 0, width, height]])
    if tiles == 1:
        return whole
    side = np.array([width, height]) / (tiles - (tiles - 1) * TILE_OVERLAP)
    columns, rows = np.meshgrid(np.arange(tiles), np.arange(tiles))
    first = np.stack([columns.ravel(), rows.ravel()], axis=1) * side * (1 - TILE_OVERLAP)
    first = np.minimum(first.astype(int), np.array([width, height]) - 1)
    last = np.minimum(np.ceil(first + side).astype(int), (width, height))
    return np.concatenate([whole, np.concatenate([first, last], axis=1)])


def _resized(image, size):
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _is_cut(boxes, view, size, width, height):
    """Return bool (P,): boxes of a view, in pixels of the input, that end where it was cut."""
    cut = np.array([view[0] > 0, view[1] > 0, view[2] < width, view[3] < height])
    gaps = np.concatenate([boxes[:, :2], np.array(size) - boxes[:, 2:]], axis=1)
    return ((gaps < CUT) & cut).any(axis=1)


def _in_image(boxes, view, size):
    """Bring boxes (P, 4) of a view from pixels of the input to pixels of the image."""
    scale = np.array([(view[2] - view[0]) / size[0], (view[3] - view[1]) / size[1]] * 2)
    return (boxes * scale + np.tile(view[:2], 2)).astype(np.float32)


def _as_bgr(image) -> np.ndarray:
    """Return a contiguous uint8 (H, W, 3) image of a colour or grey one."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.size == 0 or not (
            image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f'expected a uint8 image (H, W, 3) or (H, W), got {image.dtype} '
                         f'{image.shape}')
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def _device(name) -> torch.device:
    """Return the torch device that auto, cpu or cuda means on this machine."""
    if name not in ('auto', 'cpu', 'cuda'):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {name!r}")
    if name == 'cuda' and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but torch sees no CUDA device")
    return torch.device('cuda' if name != 'cpu' and torch.cuda.is_available() else 'cpu')
