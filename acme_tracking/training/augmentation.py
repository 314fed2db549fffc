"""
Augmentation: other views of the same labelled images.

One resized crop does scale, aspect and place together; a mosaic (YOLOv4, Bochkovskiy et al.,
2020) is four such views side by side, which shows many contexts and small objects at the price of
one image.
"""
from __future__ import annotations

from acme_tracking.geometry import is_proper
from acme_tracking.training.data import Sample
import cv2
import numpy as np

FILL = 114  # grey outside of the image
SCALE = (0.5, 1.8)  # size of the view against the whole image fitted into the canvas
MOSAIC_SCALE = (0.8, 2.2)  # larger, because each part is only about a quarter of the canvas
SMALL = 20.0  # pixels: views shrink further as long as objects stay that large, ...
SMALLEST_SCALE = 0.35  # ... down to this: near people and motorcycles teach what far ones are
ASPECT = (0.8, 1.7)  # mostly wider: squares of the bank were squeezed from 16:9 pictures
KEPT_SHARE = 0.35  # a box of which the crop leaves less is ignored: who can tell what it shows?
KEPT_SIDE = 3.0  # pixels: so is a box that is smaller
COVERED = 0.3  # share of views with plain or striped patches on them, which are no objects
PATCH_SIDE = (0.04, 0.3)  # square root of the area of a patch, in sides of the canvas
PATCH_ASPECT = (0.2, 5.0)
GREY = 0.1  # share of views without colour, as from infrared and mono cameras
BLUR = 0.1  # share of blurred views
NOISE = 0.1  # share of views with noise, as at night, ...
NOISES = (2.0, 12.0)  # ... and its standard deviation
COMPRESSED = 0.15  # share of views with the blocks of a strong compression, ...
QUALITIES = (15, 60)  # ... and the quality of it as JPEG


def view(sample: Sample, size, rng, scales=SCALE, calm=False) -> Sample:
    """
    Return a random view of a sample on a canvas of `size` (width, height).

    A `calm` view is only flipped: it ends a training on what real images look like.
    """
    width, height = size
    image_height, image_width = sample.image.shape[:2]
    scales_xy = np.array([width / image_width, height / image_height])
    if not calm:
        stretch = np.sqrt(_log_uniform(rng, ASPECT))
        fit = np.sqrt(scales_xy.prod())
        lowest = _lowest_scale(sample.boxes[~sample.ignored] * fit, scales)
        scale = _log_uniform(rng, (lowest, scales[1]))
        scales_xy = fit * scale * np.array([stretch, 1 / stretch])
    offset = (size - scales_xy * (image_width, image_height)) * rng.random(2)
    image, scales_xy, offset = _place(sample.image, scales_xy, offset, size)
    boxes = sample.boxes * np.tile(scales_xy, 2) + np.tile(offset, 2)
    if rng.random() < 0.5:
        image = cv2.flip(image, 1)
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    boxes, kept = _visible(boxes.astype(np.float32), width, height)
    seen = is_proper(boxes)
    boxes, labels, ignored = boxes[seen], sample.labels[seen], (sample.ignored | ~kept)[seen]
    if calm:
        return Sample(image, boxes, labels, ignored)
    if rng.random() < COVERED:
        kept = cover(image, boxes, rng) | ignored
        boxes, labels, ignored = boxes[kept], labels[kept], ignored[kept]
    return Sample(worsen(recolour(image, rng), rng), boxes, labels, ignored)


def mosaic(samples, size, rng) -> Sample:
    """Return four samples as views that meet at a random point of the canvas."""
    width, height = size
    x, y = (int(length * rng.uniform(0.35, 0.65)) for length in size)
    canvas = np.empty((height, width, 3), dtype=np.uint8)
    boxes, labels, ignored = [], [], []
    corners = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    for sample, (left, top, right, bottom) in zip(samples, corners):
        part = view(sample, (right - left, bottom - top), rng, MOSAIC_SCALE)
        canvas[top:bottom, left:right] = part.image
        boxes.append(part.boxes + np.array([left, top] * 2, dtype=np.float32))
        labels.append(part.labels)
        ignored.append(part.ignored)
    return Sample(canvas, *map(np.concatenate, (boxes, labels, ignored)))


def _lowest_scale(boxes, scales) -> float:
    """Return the lowest scale for boxes as large as they are in the whole image, fitted."""
    if not len(boxes):
        return scales[0]
    median = np.median(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
    return min(scales[0], max(SMALL / median, SMALLEST_SCALE))


def cover(image, boxes, rng):
    """
    Paint one to three plain or striped patches on the image; return which boxes still show enough.

    They teach to know an object by a part of it, and that boards are none (random erasing, Zhong
    et al., 2020, here without the labels of what is hidden).
    """
    height, width = image.shape[:2]
    kept = np.ones(len(boxes), dtype=bool)
    for _ in range(rng.integers(1, 4)):
        side = _log_uniform(rng, PATCH_SIDE) * np.sqrt(width * height)
        stretch = np.sqrt(_log_uniform(rng, PATCH_ASPECT))
        x, y = rng.random(2) * (width, height)
        span_x, span_y = side * stretch, side / stretch
        left, top = max(int(x - span_x / 2), 0), max(int(y - span_y / 2), 0)
        patch = image[top:int(y + span_y / 2) + 1, left:int(x + span_x / 2) + 1]
        palette = rng.integers(0, 256, (rng.integers(1, 3), 3), dtype=np.uint8)
        along = np.indices(patch.shape[:2])[rng.integers(2)]
        patch[:] = palette[along // max(int(side * rng.uniform(0.1, 0.4)), 1) % len(palette)]
        corner = left + patch.shape[1], top + patch.shape[0]
        kept &= _hidden_share(boxes, (left, top), corner) <= 1 - KEPT_SHARE
    return kept


def _hidden_share(boxes, low, high):
    """Return which share of the area of each box is within the rectangle from `low` to `high`."""
    sides = boxes[:, 2:] - boxes[:, :2]
    common = np.minimum(boxes[:, 2:], high) - np.maximum(boxes[:, :2], low)
    return np.maximum(common, 0).prod(axis=1) / sides.prod(axis=1)


def _place(image, scales, offset, size):
    """
    Return a canvas of `size` with the image on it, and the (x, y) scale and offset it got.

    These differ from those asked for by less than a pixel at each edge, so that whole pixels of
    the image fill whole pixels of the canvas: a resized crop costs a third of a warp.  It is
    halved as often as both scales allow: bilinear resizing looks at two pixels of a row only, and
    to shrink by more would leave noise, which no image has that the detector resizes.
    """
    halvings = int(-np.log2(min(max(scales), 1.0)) + 0.01)
    whole = np.array(image.shape[1::-1])
    low = np.maximum(offset, 0).round().astype(int)
    high = np.maximum(np.minimum(offset + scales * whole, size).round().astype(int), low + 1)
    first = ((low - offset) / scales).round().clip(0, whole - 1).astype(int)
    count = np.maximum(((high - low) / scales / 2 ** halvings).round().astype(int), 1)
    last = first + (count << halvings)
    crop = image[first[1]:last[1], first[0]:last[0]]
    span = np.array(crop.shape[1::-1])
    if halvings:
        crop = cv2.resize(crop, np.maximum(span >> halvings, 1).tolist(),
                          interpolation=cv2.INTER_AREA)
    canvas = np.full((size[1], size[0], 3), FILL, dtype=np.uint8)
    canvas[low[1]:high[1], low[0]:high[0]] = cv2.resize(crop, (high - low).tolist())
    scales = (high - low) / span
    return canvas, scales, low - first * scales


def _visible(boxes, width, height):
    """Return the boxes clipped to the canvas, and which of them still show enough."""
    sides = boxes[:, 2:] - boxes[:, :2]
    clipped = np.clip(boxes, 0, np.array([width, height] * 2, dtype=np.float32))
    left = clipped[:, 2:] - clipped[:, :2]
    kept = (left.prod(axis=1) >= KEPT_SHARE * sides.prod(axis=1)) & (left.min(axis=1) >= KEPT_SIDE)
    return clipped, kept


def recolour(image, rng):
    """Return the image under other light: gain and gamma per colour, grey, blur."""
    gamma = _log_uniform(rng, (0.6, 1.7))
    gains = _log_uniform(rng, (0.7, 1.4)) * rng.uniform(0.9, 1.1, 3)
    ramp = (np.arange(256) / 255.0)[:, np.newaxis] ** gamma * gains * 255
    image = cv2.LUT(image, np.clip(ramp, 0, 255).astype(np.uint8)[np.newaxis])
    if rng.random() < GREY:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < BLUR:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.2))
    return image


def worsen(image, rng):
    """Return the image as a cheap camera or a thin line would bring it: noise, compression."""
    if rng.random() < NOISE:
        cv2.setRNGSeed(int(rng.integers(2 ** 31)))  # OpenCV's noise takes a third of NumPy's time
        noise = np.empty((len(image), image[0].size), dtype=np.int16)  # flat: one number for all
        cv2.randn(noise, 0, _log_uniform(rng, NOISES))
        image = cv2.add(image, noise.reshape(image.shape), dtype=cv2.CV_8U)
    if rng.random() < COMPRESSED:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITIES))]
        image = cv2.imdecode(cv2.imencode('.jpg', image, quality)[1], cv2.IMREAD_COLOR)
    return image


def _log_uniform(rng, limits) -> float:
    """Return a random factor whose logarithm is uniform."""
    return float(np.exp(rng.uniform(*np.log(limits))))
