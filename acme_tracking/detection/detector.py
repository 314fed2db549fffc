"""The detector: an image in, Detections in pixels of that image out."""
from __future__ import annotations

import time

from acme_tracking.detection import checkpoint
from acme_tracking.detection.network import fuse
from acme_tracking.detection.refinement import Refiner
from acme_tracking.detection.suppression import suppress
from acme_tracking.detections import Detections
from acme_tracking.geometry import clip, is_proper
import cv2
import numpy as np
import torch

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.5
STRIDE = 32  # width and height of the network's input are multiples of it
MAXIMUM_CANDIDATES = 1000  # points that enter the suppression, best first
MAXIMUM_DETECTIONS = 200


class Detector:
    """
    Finds objects with a network; build one with from_checkpoint.

    score_threshold: objects below it are not reported; in [0, 1].
    nms_threshold: of two boxes of a class with an IoU above it the better one stays; in [0, 1].
    classes: names to report; empty for all.
    All three may be changed between two calls.  `refiner`, unless it is None, renames what was
    found.
    seconds: how long the last call spent in each stage: resize, network, nms.
    """

    def __init__(self, network, specification, device='cpu', half=False,
                 score_threshold=SCORE_THRESHOLD, nms_threshold=NMS_THRESHOLD, classes=(),
                 threads=None):
        """
        Take a network for inference.

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
        self.configure(score_threshold, nms_threshold, classes)
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
        detector.check_classes(refined_classes)
        if classifier:
            detector.refiner = Refiner.from_checkpoint(
                classifier, refined_classes, device=detector.device, half=detector.half)
        return detector

    def configure(self, score_threshold, nms_threshold, classes=()) -> None:
        """Change the thresholds and the reported classes; ValueError leaves them as they were."""
        for name, value in (('score_threshold', score_threshold),
                            ('nms_threshold', nms_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}')
        self.check_classes(classes)
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.classes = tuple(classes)
        self._reported = np.isin(self.names, classes) if len(classes) else None

    def check_classes(self, classes) -> None:
        """Raise ValueError when the network does not know one of some names."""
        unknown = sorted(set(classes) - set(self.names.tolist()))
        if unknown:
            raise ValueError(f'classes {unknown} are unknown to these weights, expected some of '
                             + ', '.join(self.names))

    def __call__(self, image) -> Detections:
        """
        Return what is seen on an image, best first.

        `image` is uint8, (H, W, 3) in the order blue, green, red, or (H, W) grey.  Raises
        ValueError for another one.
        """
        image = _as_bgr(image)
        times = [time.perf_counter()]
        height, width = image.shape[:2]
        size = input_size(width, height, self.specification.input_size)
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if size[0] < width
                             else cv2.INTER_LINEAR)
        times.append(time.perf_counter())
        boxes, scores, labels = self._infer(resized)
        times.append(time.perf_counter())
        scale = np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
        boxes = clip(boxes * scale, width, height)
        chosen = np.flatnonzero((scores >= self.score_threshold) & is_proper(boxes))
        if self._reported is not None:
            chosen = chosen[self._reported[labels[chosen]]]
        chosen = chosen[np.argsort(-scores[chosen], kind='stable')[:MAXIMUM_CANDIDATES]]
        chosen = chosen[suppress(boxes[chosen], scores[chosen], labels[chosen],
                                 self.nms_threshold, MAXIMUM_DETECTIONS)]
        times.append(time.perf_counter())
        self.seconds = dict(zip(('resize', 'network', 'nms'), np.diff(times).tolist()))
        found = Detections(boxes[chosen], scores[chosen], self.names[labels[chosen]])
        return found if self.refiner is None else self.refiner(image, found)

    @torch.inference_mode()
    def _infer(self, image):
        """Return boxes in pixels of the resized image, scores and class indices of all points."""
        batch = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None]
        batch = ((batch.float() - self._mean) / self._std).to(
            torch.float16 if self.half else torch.float32)
        boxes, objectness, classes = self.network(batch)
        probability, label = classes[0].softmax(dim=1).max(dim=1)
        scores = objectness[0].sigmoid() * probability
        return tuple(tensor.cpu().numpy() for tensor in (boxes[0], scores, label))


def input_size(width: int, height: int, side: int) -> tuple:
    """
    Return the (width, height) that an image is resized to, multiples of the network's stride.

    Its area is about `side` * `side` and its aspect the image's, up to the rounding.
    """
    scale = side / (width * height) ** 0.5
    return tuple(max(STRIDE, round(length * scale / STRIDE) * STRIDE)
                 for length in (width, height))


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
