"""
The classic trackers of OpenCV, with a confidence of their own.

They report no more than whether they think that they succeeded, and some think so on anything,
others give up although their last box is right.  So the confidence is made of how well the box
agrees with the looks of the object (`agreement`), whatever they think.
"""
from __future__ import annotations

import ctypes
import math
from pathlib import Path

from acme_tracking import geometry
from acme_tracking.tracking.visual.agreement import Agreement
from acme_tracking.tracking.visual.boxes import starting_box
import cv2
import numpy as np

# OpenCV cannot learn an object with a shorter side: MIL never returns, others raise.
SMALLEST_SIDE = 5
# New looks are learned once in so many updates at which the box is likely right.
LEARN_EVERY = 15


class OpenCvTracker:
    """
    One object followed by a tracker of OpenCV; see `VisualTracker` for the protocol.

    When OpenCV does not find the object, the last box stays and is judged like any other.  Of an
    object that OpenCV cannot start on (tiny, or filling the image) nothing can be said.
    """

    algorithm: str              # the class in cv2 or cv2.legacy
    calibration: tuple[float, float]  # center and scale of the logistic; see docs/confidence.md
    keeps_size = False

    def __init__(self):
        """Create a tracker that follows nothing yet; ImportError if this OpenCV lacks it."""
        self._create = _find(self.algorithm)
        self._tracker = None
        self._box = None

    def start(self, image: np.ndarray, box) -> None:
        """Learn the object in `box` of `image`."""
        self._box = starting_box(image, box)
        height, width = image.shape[:2]
        # OpenCV's trackers want whole pixels inside the image.
        left, top, right, bottom = np.rint(geometry.clip(self._box, width, height)[0]).astype(int)
        xywh = tuple(int(number) for number in (left, top, right - left, bottom - top))
        self._tracker = self._new(image[top:bottom, left:right])
        self._lost = min(xywh[2:]) < SMALLEST_SIDE
        if not self._lost:
            try:
                self._tracker.init(_as_color(image), xywh)
            except cv2.error:
                self._lost = True
        self._agreement = Agreement(image, self._box)
        self._good = 0  # updates at which the box was likely right

    def update(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Find the object in `image`; return its box and confidence."""
        if self._tracker is None:
            raise RuntimeError('update before start: there is no object to follow')
        if self._lost:
            return self._box, 0.0
        found = self._find(image)
        if found is not None:
            self._box = found
        return self._box, self._confidence(image)

    def _new(self, patch):
        return self._create()

    def _find(self, image):
        try:
            success, xywh = self._tracker.update(_as_color(image))
        except cv2.error:  # some leave the image and then assert that they are inside
            return None
        box = geometry.from_xywh(xywh)
        if self.keeps_size:
            half = (self._box[2:] - self._box[:2]) / 2
            center = geometry.centers(box)[0]
            box = np.concatenate([center - half, center + half])[np.newaxis]
        height, width = image.shape[:2]
        inside = geometry.clip(box, width, height)
        usable = success and geometry.is_proper(box)[0] and geometry.area(inside)[0] >= 1
        return box[0] if usable else None

    def _confidence(self, image):
        center, scale = self.calibration
        quality = self._agreement.quality(image, self._box)
        confidence = 1 / (1 + math.exp((center - quality) / scale))
        if confidence > 0.5:
            self._good += 1
            if self._good % LEARN_EVERY == 0:
                self._agreement.learn(image, self._box)
        return confidence


class CsrtTracker(OpenCvTracker):
    """CSR-DCF: A. Lukezic et al., Discriminative Correlation Filter with Reliability, 2017."""

    algorithm = 'TrackerCSRT'
    calibration = (0.431, 0.126)

    def _new(self, patch):
        if patch.ndim == 3 and (patch != patch[..., :1]).any():
            return self._create()
        parameters = cv2.TrackerCSRT_Params()
        parameters.use_segmentation = False  # by hue; on a grey object it finds nothing, ever
        return self._create(parameters)


class KcfTracker(OpenCvTracker):
    """KCF: J. F. Henriques et al., High-Speed Tracking with Kernelized Filters, 2015."""

    algorithm = 'TrackerKCF'
    calibration = (0.582, 0.116)


class MosseTracker(OpenCvTracker):
    """MOSSE: D. S. Bolme et al., Visual Object Tracking Using Adaptive Filters, 2010."""

    algorithm = 'TrackerMOSSE'
    calibration = (0.614, 0.110)
    keeps_size = True  # it reports its filter's size, rounded up to one good for the FFT


class MedianFlowTracker(OpenCvTracker):
    """Median flow: Z. Kalal et al., Forward-Backward Error, 2010."""

    algorithm = 'TrackerMedianFlow'
    calibration = (0.501, 0.111)


class MilTracker(OpenCvTracker):
    """MIL: B. Babenko et al., Visual Tracking with Online Multiple Instance Learning, 2009."""

    algorithm = 'TrackerMIL'
    calibration = (0.531, 0.099)

    def _new(self, patch):
        _seed()
        return super()._new(patch)

    def _find(self, image):
        _seed()
        return super()._find(image)


class NetworkTracker(OpenCvTracker):
    """A tracker of OpenCV that is a network, with weights that the user brings."""

    weights: tuple[str, ...]    # what the files are, in order
    calibration = (0.531, 0.111)  # the median of the others: no weights were at hand to fit it

    def __init__(self, weights=()):
        """
        Take the paths of the weights.

        Raises FileNotFoundError when one is missing, ValueError when OpenCV cannot read them.
        """
        super().__init__()
        wanted = ' and '.join(self.weights)
        if len(weights) != len(self.weights):
            raise FileNotFoundError(f'it needs weights, the files {wanted}, got '
                                    f'{list(weights) or "none"}')
        for path in weights:
            if not Path(path).is_file():
                raise FileNotFoundError(f'weights {path}: no such file')
        self._paths = [str(path) for path in weights]
        try:
            self._new(None)
        except (cv2.error, SystemError) as error:
            raise ValueError(f'weights {", ".join(self._paths)} are not {wanted}: '
                             f'{str(error).strip()}') from error


class NanoTracker(NetworkTracker):
    """NanoTrack, a light network of the family of SiamFC++ (Y. Xu et al., 2020)."""

    algorithm = 'TrackerNano'
    weights = ('backbone.onnx', 'neckhead.onnx')

    def _new(self, patch):
        parameters = cv2.TrackerNano_Params()
        parameters.backbone, parameters.neckhead = self._paths
        return self._create(parameters)


class VitTracker(NetworkTracker):
    """VitTrack, a vision transformer of the family of OSTrack (B. Ye et al., 2022)."""

    algorithm = 'TrackerVit'
    weights = ('vit.onnx',)

    def _new(self, patch):
        parameters = cv2.TrackerVit_Params()
        parameters.net = self._paths[0]
        return self._create(parameters)


def _find(algorithm):
    """Return the function that creates a tracker, from cv2 or cv2.legacy."""
    for module in cv2, getattr(cv2, 'legacy', None):
        create = getattr(module, f'{algorithm}_create', None)
        if create is not None:
            return create
    raise ImportError(f'OpenCV {cv2.__version__} has neither cv2.{algorithm} nor '
                      f'cv2.legacy.{algorithm}; opencv-contrib-python has it')


def _seed():
    # What it draws by chance is the same for the same images, so that a recording can be repeated.
    # It draws from OpenCV's numbers and from those of the C library.
    cv2.setRNGSeed(1)
    ctypes.CDLL(None).srand(1)


def _as_color(image):
    # Grey as colour: CSRT reads three channels.  A copy is made only of strided or grey images.
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
