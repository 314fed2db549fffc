"""
Something moves that no track explains: a reason to look for newcomers before their time is due.

What differs between two images, once the motion of the camera is taken out, is either a followed
object, or grass in the wind, or somebody new.  The first is known; the second goes on in one
place, and is learned; what is left asks for a detection.
"""
from __future__ import annotations

from acme_tracking.tracking.camera_motion import CameraMotion
import cv2
import numpy as np

# The images are compared at this width, in cells.
WIDTH = 160
# A cell differs when its change exceeds what is usual there by so many grey levels, after a
# displacement by so many cells, which an imperfect alignment leaves, has been forgiven.
CHANGE, SLACK = 6.0, 0.7
# How fast what is usual follows, and how much of it is expected; per image.
USUAL_RATE, USUAL = 0.1, 2.0
# A newcomer covers so many cells at least, on two images in a row, not far from each other.
CELLS, NEAR = 8, np.ones((5, 5), np.uint8)
# What is near the box of a track belongs to it: its shadow, and what its box leaves out.
MARGIN = 0.25


class Newcomers:
    """Compares each image with the one before; `are_seen` says what came of it."""

    def __init__(self):
        """Know nothing yet."""
        self.are_seen = False
        self._last = self._usual = self._odd = None

    def look(self, image: np.ndarray, motion: CameraMotion, boxes) -> None:
        """
        Look for what moved on this image, and on the last, that no box explains.

        image: uint8 (H, W, 3) or (H, W).  motion: of the camera since the last image.  boxes:
        (N, 4), the objects followed on it.
        """
        cells, scale = _reduced(image)
        last, self._last = self._last, cells
        self.are_seen = False
        if last is None or last.shape != cells.shape:
            self._usual, self._odd = np.zeros_like(cells), np.zeros_like(cells)
        elif motion.believed.grade == 0:  # nobody knows what differs for the camera moved
            self._odd = np.zeros_like(cells)
        else:
            last = _as_seen_now(last, motion, scale, cells)
            change = _change(last, cells)
            odd = (cv2.blur(change - USUAL * self._usual, (3, 3)) > CHANGE).astype(np.uint8)
            self._usual += USUAL_RATE * (change - self._usual)
            for left, top, right, bottom in _around(boxes, scale):
                odd[top:bottom, left:right] = 0
            before = _as_seen_now(self._odd, motion, scale, np.zeros_like(self._odd))
            self._odd = _large(odd)
            self.are_seen = bool((self._odd * cv2.dilate(before, NEAR) > 0.5).any())


def _reduced(image):
    """Return the image in grey, WIDTH cells wide, float32, and the cells of a pixel."""
    height, width = image.shape[:2]
    scale = WIDTH / width
    cells = cv2.resize(image, (WIDTH, max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    if cells.ndim == 3:
        cells = cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY)
    return cells.astype(np.float32), scale


def _as_seen_now(last, motion, scale, unseen):
    """Return cells of the last image where they are now, and `unseen` where it did not reach."""
    turn = motion.turn
    # Cells and pixels are counted from their centres.
    shift = scale * motion.shift + (turn - 1) * (1 - scale) * complex(0.5, 0.5)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(last, matrix, last.shape[::-1], unseen.copy(),
                          borderMode=cv2.BORDER_TRANSPARENT)


def _change(last, cells):
    """Return by how much each cell differs, beyond what a displacement by SLACK explains."""
    slope = np.maximum(np.abs(cv2.Sobel(cells, cv2.CV_32F, 1, 0, scale=1 / 8)),
                       np.abs(cv2.Sobel(cells, cv2.CV_32F, 0, 1, scale=1 / 8)))
    return np.maximum(np.abs(cells - last) - SLACK * slope, 0)


def _large(odd):
    """Return which marked cells belong to something of CELLS or more, float32 0 or 1."""
    _, marks, statistics, _ = cv2.connectedComponentsWithStats(odd)
    large = statistics[:, cv2.CC_STAT_AREA] >= CELLS
    large[0] = False  # the background
    return large.astype(np.float32)[marks]


def _around(boxes, scale):
    """Return the cells that boxes and what is near them cover, int (N, 4)."""
    boxes = np.reshape(boxes, (-1, 4)) * scale
    margin = MARGIN * (boxes[:, 2:] - boxes[:, :2]) + 1
    return np.concatenate([np.floor(boxes[:, :2] - margin), np.ceil(boxes[:, 2:] + margin)],
                          axis=1).clip(0, 10 * WIDTH).astype(int).tolist()
