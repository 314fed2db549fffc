"""
How the camera moved between two images, as the background tells.

Corners outside the objects (J. Shi, C. Tomasi, Good Features to Track, 1994) are followed by
optical flow (B. Lucas, T. Kanade, An Iterative Image Registration Technique, 1981) in small
pictures, and a similarity is fitted to them that few of them can spoil (M. Fischler, R. Bolles,
Random Sample Consensus, 1981).  What most corners agree on need not be what an object stands on:
it may fill the picture, or be carried along with the camera.  So who can look, looks.
"""
from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from acme_tracking import geometry
import cv2
import numpy as np

# Pixels of the longer side of the small pictures, about.
SIDE = 320
# Corners: at most so many, at least so many, pixels between them, least quality (of the best's).
CORNERS, FEWEST, APART, QUALITY = 60, 8, 9, 0.01
# Lucas and Kanade: pixels of their window, and how often the small picture is halved.
FLOW_WINDOW, FLOW_LEVELS = 11, 3
# Pixels of a small picture by which a corner that fits may miss.
TOLERANCE = 1.0
# From this grade on a motion is believed where nothing else tells where an object is; between two
# pictures of nothing in common it is 0.05.
BELIEVED = 0.1
# So much of a box is added on each side: the outline of an object moves with it.
MARGIN = 0.1


@dataclass(frozen=True)
class CameraMotion:
    """
    Where what stands still is on a later image: a point z, as x + iy, is at turn * z + shift.

    grade: the share of the background that moves so, in [0, 1].
    """

    turn: complex = 1
    shift: complex = 0
    grade: float = 0.0

    @property
    def believed(self) -> CameraMotion:
        """This motion if its grade is good, else `STILL`."""
        return self if self.grade >= BELIEVED else STILL

    def boxes(self, boxes) -> np.ndarray:
        """Return where boxes (N, 4) that stand still are on the later image, float32 (N, 4)."""
        moved = geometry.to_center(boxes)
        moved[:, :2] = self.points(moved[:, :2])
        moved[:, 2:] *= abs(self.turn)
        return geometry.from_center(moved)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Return where points (N, 2) that stand still are on the later image, float32 (N, 2)."""
        moved = self.turn * (points[:, 0] + 1j * points[:, 1]) + self.shift
        return np.stack([moved.real, moved.imag], axis=1).astype(np.float32)

    def after(self, earlier: CameraMotion) -> CameraMotion:
        """Return the motion from the first image of an earlier one to the last of this one."""
        return CameraMotion(self.turn * earlier.turn, self.turn * earlier.shift + self.shift,
                            min(self.grade, earlier.grade))


STILL = CameraMotion()


class Camera:
    """Tells how the camera moved from image to image; computed only when somebody asks."""

    def __init__(self):
        """Create a camera that has not seen an image yet."""
        self._image = self._question = None
        self._motion = STILL
        self._asked = Lock()  # several threads look for objects

    def advance(self, image: np.ndarray, boxes) -> None:
        """
        Take the next image, uint8 (H, W, 3) BGR or (H, W).

        boxes: (N, 4), of the objects on the last image; without any there is nothing to follow,
        and nothing is kept of the image.
        """
        boxes = geometry.as_boxes(boxes)
        before, self._image = self._image, _reduced(image) if len(boxes) else None
        if before is None or self._image is None or before.shape != self._image.shape:
            self._motion = STILL
        else:
            self._motion = None
            self._question = before, self._image, boxes, image.shape[1] / before.shape[1]

    @property
    def motion(self) -> CameraMotion:
        """The motion between the last two images; `STILL` where that cannot be told."""
        with self._asked:
            if self._motion is None:
                self._motion = _estimate(*self._question)
            return self._motion


def _reduced(image):
    """Return a small grey picture of an image; a copy, for its owner may fill it anew."""
    factor = max(1, round(max(image.shape[:2]) / SIDE))
    height, width = (max(1, side // factor) for side in image.shape[:2])
    small = cv2.resize(image, (width, height)) if factor > 1 else image.copy()
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if small.ndim == 3 else small


def _estimate(before, after, boxes, scale):
    """Return the motion between two small pictures, each pixel `scale` pixels of the image."""
    corners = cv2.goodFeaturesToTrack(before, CORNERS, QUALITY, APART,
                                      mask=_background(before.shape, boxes / scale))
    if corners is None or len(corners) < FEWEST:
        return STILL
    found, told, _ = cv2.calcOpticalFlowPyrLK(
        before, after, corners, None, winSize=(FLOW_WINDOW, FLOW_WINDOW), maxLevel=FLOW_LEVELS)
    told = told.ravel() > 0
    if told.sum() < FEWEST:
        return STILL
    matrix, fits = cv2.estimateAffinePartial2D(corners[told], found[told],
                                               ransacReprojThreshold=TOLERANCE)
    if matrix is None:
        return STILL
    return CameraMotion(complex(*matrix[:, 0]), scale * complex(*matrix[:, 2]),
                        float(fits.sum() / len(corners)))


def _background(shape, boxes):
    """Return a mask, uint8 (H, W): 255 outside the boxes, 0 on them."""
    mask = np.full(shape, 255, np.uint8)
    boxes = geometry.clip(geometry.widen(boxes, MARGIN), shape[1], shape[0])
    for x0, y0, x1, y1 in np.rint(boxes).astype(int):
        mask[y0:y1, x0:x1] = 0
    return mask
