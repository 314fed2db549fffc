"""
Heads of other people's detectors: outputs of a network in, boxes and scores of classes out.

Every head takes the outputs, as arrays, the (width, height) of the input and the strides of the
feature maps; it returns boxes (P, 4), x1 y1 x2 y2 in pixels of the input, and scores (P, C).
Outputs of another form are a ValueError that says which one was expected.
"""
from __future__ import annotations

import numpy as np


def yolox(outputs, size, strides):
    """YOLOX (Ge et al., 2021) as its export script leaves it: boxes in units of the strides."""
    rows = _rows(outputs, 'yolox', '5 + classes', 6)
    points, scale = _grid(rows, size, strides, 'yolox')
    centers, sides = (rows[:, :2] + points) * scale, np.exp(rows[:, 2:4]) * scale
    return _corners(centers, sides), rows[:, 4:5] * rows[:, 5:]


def yolov5(outputs, size, strides):
    """YOLOv5, and YOLOX exported with its decoding: x y w h in pixels, objectness, classes."""
    rows = _rows(outputs, 'yolov5', '5 + classes', 6)
    return _corners(rows[:, :2], rows[:, 2:4]), rows[:, 4:5] * rows[:, 5:]


def yolov8(outputs, size, strides):
    """YOLOv8 and later ones of its form: x y w h in pixels and classes, point by point."""
    if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[1] < 5:
        raise ValueError(_wrong('yolov8', '(1, 4 + classes, P)', outputs))
    rows = outputs[0][0].T
    return _corners(rows[:, :2], rows[:, 2:4]), rows[:, 4:]


def nanodet(outputs, size, strides):
    """NanoDet-Plus: classes, then for each side a distribution over distances (GFL, 2020)."""
    rows = _rows(outputs, 'nanodet', 'classes + 4 * bins', 6)
    points, scale = _grid(rows, size, strides, 'nanodet')
    bins = 8  # 0 to 7 strides, in all that were published
    if rows.shape[1] <= 4 * bins:
        raise ValueError(_wrong('nanodet', f'(1, P, classes + {4 * bins})', outputs))
    likely = rows[:, -4 * bins:].reshape(-1, 4, bins)
    likely = np.exp(likely - likely.max(axis=2, keepdims=True))
    distances = (likely / likely.sum(axis=2, keepdims=True)) @ np.arange(bins) * scale
    centers = points * scale
    return (np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1),
            rows[:, :-4 * bins])


def detr(outputs, size, strides):
    """DETR (Carion et al., 2020): logits with a last class for nothing, and boxes x y w h."""
    logits, boxes = _queries(outputs, 'detr')
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _scaled(boxes, size), (likely / likely.sum(axis=1, keepdims=True))[:, :-1]


def rtdetr(outputs, size, strides):
    """RT-DETR and deformable DETR: logits of each class on its own, and boxes x y w h."""
    logits, boxes = _queries(outputs, 'rtdetr')
    return _scaled(boxes, size), 1 / (1 + np.exp(-logits))


def detections(outputs, size, strides):
    """Found objects, as torchvision exports them: boxes in pixels, labels and scores."""
    boxes = [each for each in outputs if each.ndim == 2 and each.shape[1] == 4]
    flat = [each for each in outputs if each.ndim == 1]
    labels = [each for each in flat if each.dtype.kind in 'iu']
    scores = [each for each in flat if each.dtype.kind == 'f']
    if not (len(boxes) == len(labels) == len(scores) == 1
            and len(boxes[0]) == len(labels[0]) == len(scores[0])):
        raise ValueError(_wrong('detections', 'boxes (N, 4), whole labels (N,) and scores (N,)',
                                outputs))
    by_class = np.zeros((len(labels[0]), labels[0].max(initial=0) + 1), np.float32)
    by_class[np.arange(len(by_class)), labels[0]] = scores[0]
    return boxes[0], by_class


HEADS = {each.__name__: each for each in (yolox, yolov5, yolov8, nanodet, detr, rtdetr,
                                          detections)}


def _rows(outputs, head, columns, least):
    """Return the only output (1, P, D) as rows (P, D)."""
    if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[2] < least:
        raise ValueError(_wrong(head, f'(1, P, {columns})', outputs))
    return outputs[0][0]


def _queries(outputs, head):
    """Return logits (Q, C) and boxes (Q, 4); the latter come last where both could be."""
    found = [each for each in outputs if each.ndim == 3]
    if len(found) == 2 and found[0].shape[2] == 4 != found[1].shape[2]:
        found.reverse()
    if len(found) != 2 or found[1].shape[2] != 4 or found[0].shape[1] != found[1].shape[1]:
        raise ValueError(_wrong(head, 'logits (1, Q, classes) and boxes (1, Q, 4)', outputs))
    return found[0][0], found[1][0]


def _grid(rows, size, strides, head):
    """Return the places (P, 2) of the points, in units of their strides, and those (P, 1)."""
    points, scales = [], []
    for stride in strides:
        columns, lines = (-(-side // stride) for side in size)
        y, x = np.mgrid[:lines, :columns]
        points.append(np.stack([x.ravel(), y.ravel()], axis=1))
        scales.append(np.full((x.size, 1), stride))
    points, scales = np.concatenate(points), np.concatenate(scales)
    if len(points) != len(rows):
        raise ValueError(f'head {head} with strides {", ".join(map(str, strides))} expects '
                         f'{len(points)} points for {size[0]} x {size[1]}, got {len(rows)}')
    return points, scales


def _corners(centers, sides):
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)


def _scaled(boxes, size):
    return _corners(boxes[:, :2], boxes[:, 2:]) * np.tile(size, 2)


def _wrong(head, expected, outputs) -> str:
    got = ', '.join(str(tuple(each.shape)) for each in outputs[:8])
    return f'head {head} expects {expected}, got outputs of {got}'
