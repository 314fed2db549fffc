"""Tracks and labelled boxes drawn on images, for people."""
from __future__ import annotations

import colorsys
import zlib

from acme_tracking.detections import Detections
import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
# Hues this far apart on the colour circle stay distinct for neighbouring ids (golden ratio).
HUE_STEP = 0.618
# Lines and text are drawn for an image of this size, and scaled for others, but never so small
# that nobody could read them.
REFERENCE_WIDTH, REFERENCE_HEIGHT = 640, 480
SMALLEST_SCALE = 0.8
# From OpenCV 5 on letters have strokes of their own, and a thickness of 2 makes them bold.
THICKNESS = 0.0 if hasattr(cv2, 'FontFace') else 0.9
UNSURE = 0.5


def color_of(track_id: int) -> tuple[int, int, int]:
    """Return the BGR colour of a track, always the same for the same id."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * HUE_STEP % 1.0, 0.75, 1.0)
    return int(255 * blue), int(255 * green), int(255 * red)


def draw_tracks(image: np.ndarray, tracks: Detections, note: str = '') -> np.ndarray:
    """
    Return a copy of the image, uint8 (H, W, 3) BGR, with the tracks on it.

    Every track has a box in its colour with label, id and confidence; below a confidence of 0.5
    (coasting, or soon to be) only the corners of the box are drawn.  Detections without ids are
    drawn too, all in one colour.  `note` is written in the corner of the image.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    scale = _scale_of(canvas)
    ids = [None] * len(tracks) if tracks.ids is None else tracks.ids.tolist()
    for box, score, label, track_id in zip(tracks.boxes, tracks.scores, tracks.labels, ids):
        left, top, right, bottom = (int(round(float(edge))) for edge in box)
        color = color_of(track_id or 0)
        _draw_box(canvas, (left, top, right, bottom), color, scale, corners=score < UNSURE)
        name = label if track_id is None else f'{label} #{track_id}'
        _draw_label(canvas, f'{name}  {score:.2f}', (left, top), color, scale)
    if note:
        _draw_label(canvas, note, (0, canvas.shape[0]), (40, 40, 230), 1.2 * scale)
    return canvas


def draw_labels(image: np.ndarray, boxes: np.ndarray, labels) -> np.ndarray:
    """Return a copy of the image with labelled boxes (N, 4), a colour for each class."""
    canvas = image.copy()
    scale = _scale_of(canvas)
    for box, label in zip(boxes, labels):
        edges = tuple(int(round(float(edge))) for edge in box)
        color = color_of(zlib.crc32(str(label).encode()) % 1000)
        _draw_box(canvas, edges, color, scale, corners=False)
        _draw_label(canvas, str(label), edges[:2], color, scale)
    return canvas


def _scale_of(canvas):
    height, width = canvas.shape[:2]
    return max(SMALLEST_SCALE, min(height / REFERENCE_HEIGHT, width / REFERENCE_WIDTH))


def _draw_box(canvas, box, color, scale, corners):
    left, top, right, bottom = box
    thickness = max(1, round(1.4 * scale))
    if not corners:
        cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness, cv2.LINE_AA)
        return
    arm_x, arm_y = (right - left) // 4, (bottom - top) // 4
    for x, inward_x in ((left, arm_x), (right, -arm_x)):
        for y, inward_y in ((top, arm_y), (bottom, -arm_y)):
            cv2.line(canvas, (x, y), (x + inward_x, y), color, thickness, cv2.LINE_AA)
            cv2.line(canvas, (x, y), (x, y + inward_y), color, thickness, cv2.LINE_AA)


def _draw_label(canvas, text, anchor, color, scale):
    """Write on a plate standing on `anchor`, its lower left corner, kept inside the image."""
    font_scale, margin = 0.42 * scale, round(2 * scale)
    thickness = max(1, round(THICKNESS * scale))
    (width, height), baseline = cv2.getTextSize(text, FONT, font_scale, thickness)
    plate_width, plate_height = width + 2 * margin, height + baseline + margin
    left = int(np.clip(anchor[0], 0, max(0, canvas.shape[1] - plate_width)))
    bottom = int(np.clip(anchor[1], plate_height, canvas.shape[0]))
    cv2.rectangle(canvas, (left, bottom - plate_height), (left + plate_width, bottom), color, -1)
    # Black or white, whichever reads better on the plate (ITU-R BT.601 luma).
    ink = (0, 0, 0) if np.dot(color, (0.114, 0.587, 0.299)) > 110 else (255, 255, 255)
    cv2.putText(canvas, text, (left + margin, bottom - baseline), FONT, font_scale, ink,
                thickness, cv2.LINE_AA)
