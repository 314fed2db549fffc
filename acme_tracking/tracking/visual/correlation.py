"""
Our own correlation tracker: background-aware, with scale, many objects at once.

- Translation: a correlation filter on gradient orientations and colour that is trained on the
  surroundings of the object too, but may only have values on the object itself (H. Kiani
  Galoogahi, A. Fagg, S. Lucey, Learning Background-Aware Correlation Filters for Visual Tracking,
  2017: BACF, solved by ADMM).
- Scale: a second filter over a pyramid of sizes (M. Danelljan et al., Accurate Scale Estimation
  for Robust Visual Tracking, 2014: DSST), around a size that is predicted from how it changed
  last: at a few images per second an approaching vehicle grows faster than a pyramid is wide.
- Orientations are histograms as in HOG (N. Dalal, B. Triggs, 2005), but a gradient is split among
  bins by the square of the cosine to each, which needs no angles and no tables.
- Learning is skipped while the confidence is low, so that the filters do not learn an occluder;
  the object is then looked for elsewhere too, and its first colours help to decide.

All objects of an image go through the same array operations, in chunks on a pool of threads:
NumPy, SciPy and OpenCV let go of the interpreter's lock.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
import math
import mmap
import os

from acme_tracking import geometry
from acme_tracking.tracking.camera_motion import Camera
from acme_tracking.tracking.visual.boxes import starting_box
import cv2
import numpy as np
from scipy import fft

# The search window is so many times as wide and high as a square object; longer shapes get the
# same margin on all sides.
PADDING = 2.5
# Pixels of the window and of one cell of the histograms, and cells of the window.
WINDOW, CELL = 64, 2
CELLS = WINDOW // CELL
# Width of the wanted response in cells, and how much of the new looks one image mixes in.
RESPONSE_SIGMA = 1.28
LEARNING_RATE = 0.025
# ADMM (Boyd et al., 2011): the first penalty, its growth, and the steps at start and later.
PENALTY, PENALTY_GROWTH, REGULARIZATION = 1.0, 10.0, 0.01
STEPS_AT_START, STEPS = 4, 2
# The pyramid: its sizes, the step from one to the next, pixels of a level, width of the response.
LEVELS, LEVEL_STEP, LEVEL_SIZE = 9, 1.06, 16
LEVEL_SIGMA = 0.0314  # of the logarithm of the size
SCALE_LEARNING_RATE = 0.02
SCALE_MARGIN = 1.1    # a level shows so many times the object
# How much of the last changes of size is expected to go on, and how fast the mean of them follows.
SCALE_INERTIA, SCALE_INERTIA_RATE = 0.5, 0.3
MINIMUM_SIZE = 4.0    # pixels
# Each of the two filters is learned on every fourth look, in turn; more often is no better.
TURNS = 4
# In a crowd each is learned a third as often, and the size is looked for on every fourth look.
BRIEF_TURNS, BRIEF_SIZES = 12, 4
# Objects in one set of array operations, at most: small enough for the processor's cache.  Starts
# need more room for each: by eights, 300 objects take a third less time, and 26 MB less.
CHUNK, START_CHUNK = 32, 8
# What an object looks like is kept in 16 bits a number, of numbers that reach so far: cells of a
# window, and products of their spectra over the pyramid.  Objects may be hundreds.
LOOK_LIMIT, PYRAMID_LIMIT = 0.5, 4.0
THREADS = os.cpu_count() or 1

# A logistic curve of the peak of the response and of the logarithm of its peak-to-sidelobe ratio
# brings them to [0, 1].  Origin of the constants: see docs/confidence.md.
PEAK_WEIGHT, RATIO_WEIGHT, BIAS = 7.17, 2.76, -9.95
# An object less sure than DOUBT is not learned, and looked for elsewhere too: where the camera's
# motion leaves it, if that is not near (in sizes), and, on every second image while the doubt
# lasts, in the ring of windows one size away.  The look with the most evidence counts: the log
# odds of the confidence plus, weighted, the likeness of the colours to those at the start (the
# coefficient of Bhattacharyya of two histograms; D. Comaniciu, V. Ramesh, P. Meer, Kernel-Based
# Object Tracking, 2003).  A window of the ring must be so sure, and have so much more.
DOUBT, NEAR, RING_EVERY = 0.3, 0.05, 2
CROWD = 8  # so many more objects make it one image more
PALETTE_WEIGHT = 10.0
RING_CONFIDENCE, RING_MARGIN = 0.1, 3.0
# Below this an object is held in the place where it was looked for, and in its size.
HELD = 0.05
# Bins of each channel of the histogram of colours, and the samples across the inner part of an
# object that it is made of.
SHADES, SAMPLES, INNER = 8, 16, 0.8

ORIENTATIONS = 8
COLOR_SCALE = np.array([1 / 80, 1 / 30, 1 / 30], dtype=np.float32)


def features(patches: np.ndarray) -> np.ndarray:
    """
    Return histograms of gradient orientations and mean colours on a grid of cells.

    `patches` are BGR, uint8 (N, size, size, 3); the result is float32 (N, channels, cells,
    cells).
    """
    count, size = patches.shape[:2]
    lab = cv2.cvtColor(patches.reshape(count * size, size, 3), cv2.COLOR_BGR2LAB)
    cells, half = size // CELL, ORIENTATIONS // 2
    planes = np.empty((count, ORIENTATIONS + half + 3, cells, cells), dtype=np.float32)
    oriented, color = planes[:, :-3], planes[:, -3:]
    _orientations(lab[..., 0].astype(np.float32), oriented[:, :ORIENTATIONS])
    # Opposite directions together: dark on bright and bright on dark look the same.
    np.add(oriented[:, :half], oriented[:, half:ORIENTATIONS], out=oriented[:, ORIENTATIONS:])
    energy = oriented[:, :ORIENTATIONS].sum(axis=1) ** 2
    oriented /= np.sqrt(_blurred(energy) + 4)[:, np.newaxis]
    np.minimum(oriented, 0.5, out=oriented)
    color[:] = _pooled(lab, count).transpose(0, 3, 1, 2)
    color -= color.mean(axis=(2, 3), keepdims=True)
    color *= COLOR_SCALE[:, np.newaxis, np.newaxis]
    np.clip(color, -0.5, 0.5, out=color)
    return planes


def _orientations(grey, split):
    """Split the gradients of a stack of patches among orientations and pool them, in place."""
    count, size = len(split), grey.shape[1]
    gx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1)
    gy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    edges = gy.reshape(count, size, size)
    edges[:, 0] = edges[:, -1] = 0  # between two patches of the stack
    # not cv2.magnitude, whose last bits depend on where the arrays lie in memory
    weight = 1 / (np.sqrt(gx * gx + gy * gy) + 1e-3)
    half = ORIENTATIONS // 2
    for index, (cosine, sine) in enumerate(_directions):
        along = cv2.addWeighted(gx, cosine, gy, sine, 0)
        energy = along * along
        energy *= weight
        ahead = _pooled(energy * (along > 0), count)
        split[:, index] = ahead
        np.subtract(_pooled(energy, count), ahead, out=split[:, index + half])


def _pooled(stack, count):
    """Average a stack of patches (N * size, size, ...) over cells: (N, cells, cells, ...)."""
    cells = stack.shape[1] // CELL
    pooled = cv2.resize(stack, (cells, count * cells), interpolation=cv2.INTER_AREA)
    return pooled.reshape(count, cells, cells, *stack.shape[2:])


def _blurred(planes):
    """Average each of (N, cells, cells) over 3 x 3 cells."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode='edge')
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9


def _gaussian(count, sigma):
    return np.exp(-0.5 * ((np.arange(count) - count // 2) / sigma) ** 2).astype(np.float32)


def _hann(count):
    return np.hanning(count + 2)[1:-1].astype(np.float32)


def _middle():
    """Return where a filter may have values in each direction, which is on the object."""
    width = int(round(CELLS / PADDING)) | 1
    first = CELLS // 2 - width // 2
    return slice(first, first + width)


_directions = [(math.cos(angle), math.sin(angle)) for angle in
               np.arange(ORIENTATIONS // 2) * 2 * math.pi / ORIENTATIONS]
_window = np.outer(_hann(CELLS), _hann(CELLS))
_response = fft.rfft2(fft.ifftshift(np.outer(*2 * [_gaussian(CELLS, RESPONSE_SIGMA)])))
_support = _middle()
_levels = (LEVEL_STEP ** (np.arange(LEVELS) - LEVELS // 2)).astype(np.float32)
_level_window = _hann(LEVELS)[:, np.newaxis]
_level_response = fft.rfft(fft.ifftshift(
    _gaussian(LEVELS, LEVEL_SIGMA / math.log(LEVEL_STEP)))).astype(np.complex64)
_ring = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y], dtype=np.float32)
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix='correlation')


class CorrelationTracker:
    """One object; see `VisualTracker` for the protocol, and the module for the method."""

    def __init__(self):
        """Create a tracker that follows nothing yet."""
        self._box = None

    def start(self, image: np.ndarray, box) -> None:
        """Learn the object in `box` of `image`."""
        self.start_many([self], image, [box])
        self._camera.advance(image, box)

    @staticmethod
    def start_many(trackers, image: np.ndarray, boxes) -> None:
        """Learn the objects of many trackers, each in its box (x1 y1 x2 y2) of `image`."""
        boxes = [starting_box(image, box) for box in boxes]  # all, before any tracker changes
        for tracker, box in zip(trackers, boxes, strict=True):
            tracker._place(box)
        image = _as_bgr(image)
        _map(lambda chunk: _learn_first(chunk, image), _chunks(trackers, START_CHUNK))

    def _place(self, box):
        self._box = box
        self._camera = Camera()
        self._center = (box[:2] + box[2:]) / 2
        self._size = np.maximum(box[2:] - box[:2], MINIMUM_SIZE)
        self._doubts = 0     # how often it was looked for elsewhere, since it was sure
        self._growth = 0.0   # change of the logarithm of the size from image to image
        # Where an object begins decides which turn is its first, to spread the work over images.
        self._updates = int(self._center.sum()) % TURNS
        self._model = self._filter = self._numerator = self._denominator = None

    def expect(self, box) -> None:
        """Look for the object where `box` (4,) is, next time."""
        self._center = (box[:2] + box[2:]) / 2
        self._size = np.maximum(box[2:] - box[:2], MINIMUM_SIZE)
        self._box = box

    def update(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Find the object in `image`; return its box and confidence."""
        if self._box is None:
            raise RuntimeError('update before start: there is no object to follow')
        self._camera.advance(image, self._box)
        return self.update_many([self], image, self._camera)[0]

    @staticmethod
    def update_many(trackers, image: np.ndarray, camera: Camera | None = None, others=(),
                    brief: bool = False) -> list[tuple[np.ndarray, float]]:
        """Find the objects of many trackers in `image`; see `update_all` of the package."""
        if any(tracker._box is None for tracker in trackers):
            raise RuntimeError('update before start: there is no object to follow')
        image = _as_bgr(image)
        boxes = geometry.as_boxes([*(tracker._box for tracker in trackers), *others])
        results = _map(lambda chunk: _update(chunk, image, camera or Camera(), boxes, brief),
                       _chunks(trackers))
        return [result for chunk in results for result in chunk]


def _chunks(trackers, most=CHUNK):
    """Split into equal parts, as many for every thread; eight objects are worth a thread."""
    threads = min(THREADS, max(1, len(trackers) // 8))
    count = threads * math.ceil(len(trackers) / (threads * most))
    return [trackers[part * len(trackers) // count:(part + 1) * len(trackers) // count]
            for part in range(count)]


def _map(work, chunks):
    """Do the work of each chunk; one alone is quicker here than to wake a thread for it."""
    return list((map if len(chunks) == 1 else _pool.map)(work, chunks))


def _as_bgr(image):
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def _learn_first(trackers, image):
    patches, windows = _cut_own(image, trackers)
    for tracker, palette in zip(trackers, _palettes(patches, windows, *_places(trackers))):
        tracker._palette = palette.copy()  # a row would keep those of all the others
    _learn_filters(trackers, patches, rate=1.0)
    _learn_levels(trackers, patches, windows, rate=1.0)


def _update(trackers, image, camera, boxes, brief):
    centers = np.array([tracker._center for tracker in trackers])
    look = _search(trackers, image, camera.motion.believed.points(centers) if brief else centers)
    if not brief:
        for row in np.flatnonzero(look.confidences < DOUBT).tolist():
            _look_further(look, row, trackers[row], image, camera.motion, boxes)
    for tracker, confidence in zip(trackers, look.confidences):
        if confidence >= DOUBT:
            tracker._doubts = 0
    held = look.confidences < HELD
    look.centers[held] = look.expected[held]
    for tracker, center in zip(trackers, look.centers):
        tracker._center = center
    rows = [row for row, tracker in enumerate(trackers)
            if not held[row] and (not brief or tracker._updates % BRIEF_SIZES == 0)]
    _resize([trackers[row] for row in rows], look.patches[rows], look.windows[rows], image.shape)
    for tracker in trackers:
        half = tracker._size / 2
        tracker._box = np.concatenate([tracker._center - half, tracker._center + half])
    sure = np.flatnonzero(look.confidences >= DOUBT)
    _learn([trackers[row] for row in sure], image, look.patches[sure], look.windows[sure],
           BRIEF_TURNS if brief else TURNS)
    return [(tracker._box, confidence)
            for tracker, confidence in zip(trackers, look.confidences.tolist())]


# Where to look


@dataclass
class _Look:
    """
    What was seen of N objects, in a window each.

    expected (N, 2), where they were looked for, and centers (N, 2), where they are; patches (N,
    WINDOW, WINDOW, 3) and windows (N, 4), x0 y0 x1 y1, around the former; confidences (N,).
    """

    expected: np.ndarray
    centers: np.ndarray
    patches: np.ndarray
    windows: np.ndarray
    confidences: np.ndarray

    def at(self, rows):
        """Return what was seen of the objects in `rows`."""
        return _Look(*(getattr(self, field.name)[rows] for field in fields(self)))

    def take(self, rows, other, chosen):
        """Take over what another look saw of the objects in `rows`."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)[chosen]


def _search(trackers, image, expected):
    """Look for objects in windows around the places `expected`, (N, 2)."""
    sizes = np.array([tracker._size for tracker in trackers])
    patches, windows = _cut_windows(image, expected, sizes)
    spectra = fft.rfft2(_looks(patches))
    spectra *= _filter_spectrum(np.array([tracker._filter for tracker in trackers]))
    responses = fft.irfft2(spectra.sum(axis=1), s=(CELLS, CELLS))
    responses = fft.fftshift(responses, axes=(1, 2))
    rows, columns = np.divmod(responses.reshape(len(trackers), -1).argmax(axis=1), CELLS)
    each = np.arange(len(trackers))
    shift = np.stack([_refined(responses[each, rows], columns),
                      _refined(responses[each, :, columns], rows)], axis=1) - CELLS // 2
    # From cells of the window to pixels of the image, from the middle of the rounded window.
    scale = (windows[:, 2:] - windows[:, :2]) / CELLS
    centers = (windows[:, :2] + windows[:, 2:]) / 2 + shift * scale
    limits = np.array([image.shape[1], image.shape[0]], dtype=np.float32)
    expected, centers = (np.clip(points, 0, limits).astype(np.float32)
                         for points in (expected, centers))
    return _Look(expected, centers, patches, windows, _confidences(responses, rows, columns))


def _look_further(look, row, tracker, image, motion, boxes):
    """
    Look for an object in doubt where the camera's motion leaves it, then all around.

    Another look counts when more speaks for it and no other object sits there; one that only
    chance led to when much more does.
    """
    others = boxes[(boxes != tracker._box).any(axis=1)]
    center, size = look.expected[row], tracker._size
    moved = motion.points(center[np.newaxis])
    if np.abs(moved - center).max() > NEAR * size.max():
        _take_better(look, row, tracker, _search([tracker], image, moved), others)
    every = RING_EVERY + len(boxes) // CROWD
    if look.confidences[row] < DOUBT and tracker._doubts % every == 0:
        ring = _search([tracker] * len(_ring), image, look.expected[row] + _ring * size)
        _take_better(look, row, tracker, ring, others, RING_CONFIDENCE, RING_MARGIN)
    tracker._doubts += 1


def _take_better(look, row, tracker, other, others, least=0.0, margin=0.0):
    """Take over the best of what was seen elsewhere, if it is better by a margin."""
    evidence = _evidence(tracker, other)
    evidence[_inside(other.centers, others) | (other.confidences < least)] = -np.inf
    best = int(evidence.argmax())
    if evidence[best] > _evidence(tracker, look.at([row]))[0] + margin:
        look.take(row, other, best)


def _evidence(tracker, look):
    """Return what speaks for each of N looks at one object, (N,)."""
    sure = np.clip(look.confidences, 1e-9, 1 - 1e-9)
    palettes = _palettes(look.patches, look.windows, look.centers, tracker._size[np.newaxis])
    return np.log(sure / (1 - sure)) + PALETTE_WEIGHT * (palettes @ tracker._palette)


def _inside(points, boxes):
    """Return bool (N,): which points (N, 2) lie in one of the boxes (M, 4)."""
    points = points[:, np.newaxis]
    return ((points > boxes[:, :2]) & (points < boxes[:, 2:])).all(axis=2).any(axis=1)


def _palettes(patches, windows, centers, sizes):
    """Return the square roots of the histograms of the objects' colours, (N, SHADES ** 3)."""
    count = len(patches)
    offsets = INNER * ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5)
    places = (centers - windows[:, :2])[..., np.newaxis] + sizes[..., np.newaxis] * offsets
    places *= (WINDOW / (windows[:, 2:] - windows[:, :2]))[..., np.newaxis]
    columns, rows = np.clip(places.astype(int), 0, WINDOW - 1).transpose(1, 0, 2)
    pixels = patches[np.arange(count)[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis],
                     columns[:, np.newaxis]].astype(int) * SHADES // 256
    bins = pixels[..., 0] + SHADES * (pixels[..., 1] + SHADES * pixels[..., 2])
    bins += SHADES ** 3 * np.arange(count)[:, np.newaxis, np.newaxis]
    histograms = np.bincount(bins.ravel(), minlength=count * SHADES ** 3).reshape(count, -1)
    return np.sqrt(histograms / SAMPLES ** 2).astype(np.float32)


# Patches


def _cut_windows(image, centers, sizes):
    """Return the search windows: patches (N, WINDOW, WINDOW, 3), and x0 y0 x1 y1 (N, 4)."""
    margins = (PADDING - 1) * (sizes + np.sqrt(sizes.prod(axis=1, keepdims=True))) / 2
    windows = np.rint(np.concatenate([centers - (sizes + margins) / 2,
                                      centers + (sizes + margins) / 2], axis=1)).astype(int)
    windows[:, 2:] = np.maximum(windows[:, 2:], windows[:, :2] + 2)
    patches = np.empty((len(centers), WINDOW, WINDOW, 3), dtype=np.uint8)
    for patch, window in zip(patches, windows):
        _cut(image, window, patch)
    return patches, windows.astype(np.float32)


def _cut_own(image, trackers):
    """Return the windows around the objects, as `_cut_windows` does."""
    return _cut_windows(image, *_places(trackers))


def _places(trackers):
    """Return the centers (N, 2) and sizes (N, 2) of objects."""
    return tuple(np.array(column) for column in zip(
        *((tracker._center, tracker._size) for tracker in trackers)))


def _cut(image, window, patch):
    """Scale a window of the image into a patch; what lies outside repeats the image's border."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = window.tolist()
    left, right = min(max(x0, 0), width - 1), max(min(x1, width), 1)
    top, bottom = min(max(y0, 0), height - 1), max(min(y1, height), 1)
    inside = image[top:max(bottom, top + 1), left:max(right, left + 1)]
    # where the inner part comes to lie in the patch, at least a pixel of it
    first_x, last_x = _span(left - x0, right - x0, x1 - x0)
    first_y, last_y = _span(top - y0, bottom - y0, y1 - y0)
    size = last_x - first_x, last_y - first_y
    # Where whole pixels would be skipped they are averaged instead; that is five times as fast by
    # a power of two, to which interpolation leads.
    ratio = max(1, min(inside.shape[1] // size[0], inside.shape[0] // size[1]))
    shrinks = 1 << ratio.bit_length() - 1
    scaled = cv2.resize(inside, (size[0] * shrinks, size[1] * shrinks))
    if shrinks > 1:
        scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA)
    if size != (WINDOW, WINDOW):
        scaled = cv2.copyMakeBorder(scaled, first_y, WINDOW - last_y, first_x, WINDOW - last_x,
                                    cv2.BORDER_REPLICATE)
    patch[:] = scaled


def _span(first, last, length):
    first = min(max(round(first * WINDOW / length), 0), WINDOW - 1)
    return first, min(max(round(last * WINDOW / length), first + 1), WINDOW)


def _cut_levels(trackers, patches, windows, sizes):
    """Return the pyramid of every object, sampled from its patch: (N * LEVELS, ..., 3)."""
    offsets = (np.arange(LEVEL_SIZE, dtype=np.float32) + 0.5) / LEVEL_SIZE - 0.5
    spread = SCALE_MARGIN * _levels[:, np.newaxis] * offsets          # (LEVELS, LEVEL_SIZE)
    centers = np.array([tracker._center for tracker in trackers], dtype=np.float32)
    extent = WINDOW / (windows[:, 2:] - windows[:, :2])
    grid = [np.clip((centers[:, axis, np.newaxis, np.newaxis] - windows[:, axis, np.newaxis,
                                                                        np.newaxis]
                     + spread * sizes[:, axis, np.newaxis, np.newaxis])
                    * extent[:, axis, np.newaxis, np.newaxis] - 0.5, 0, WINDOW - 1)
            for axis in (0, 1)]                                       # (N, LEVELS, LEVEL_SIZE)
    # the patches lie one below the other
    grid[1] += WINDOW * np.arange(len(trackers), dtype=np.float32)[:, np.newaxis, np.newaxis]
    shape = (len(trackers), LEVELS, LEVEL_SIZE, LEVEL_SIZE)
    map_x = np.broadcast_to(grid[0][:, :, np.newaxis, :], shape).reshape(-1, LEVEL_SIZE)
    map_y = np.broadcast_to(grid[1][:, :, :, np.newaxis], shape).reshape(-1, LEVEL_SIZE)
    levels = cv2.remap(patches.reshape(-1, WINDOW, 3), np.ascontiguousarray(map_x),
                       np.ascontiguousarray(map_y), cv2.INTER_LINEAR)
    return levels.reshape(-1, LEVEL_SIZE, LEVEL_SIZE, 3)


# Translation


def _looks(patches):
    looks = features(patches)
    looks *= _window
    return looks


def _filter_spectrum(filters):
    """Return the spectra of filters (N, channels, ...) of which only the support is kept."""
    count, channels, height, width = filters.shape
    rows = np.zeros((count, channels, height, CELLS), dtype=np.float32)
    rows[..., _support] = filters
    spectra = np.zeros((count, channels, CELLS, CELLS // 2 + 1), dtype=np.complex64)
    spectra[:, :, _support] = fft.rfft(rows, axis=3)
    return fft.fft(spectra, axis=2, overwrite_x=True)


def _refined(curves, peaks):
    """Return the peaks of curves (N, K), refined by parabolas through three points each."""
    each, inner = np.arange(len(peaks)), np.clip(peaks, 1, curves.shape[1] - 2)
    before, at, after = (curves[each, inner + step] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    offset = np.where(curvature < 0, (before - after) / (2 * np.where(curvature, curvature, 1)), 0)
    return np.where(inner == peaks, peaks + np.clip(offset, -0.5, 0.5), peaks)


def _confidences(responses, rows, columns):
    """Return the confidences (N,) of responses (N, CELLS, CELLS) with peaks in cells."""
    radius, cells = CELLS // 10, np.arange(CELLS)
    peaks = responses[np.arange(len(rows)), rows, columns]
    near = ((np.abs(cells - rows[:, np.newaxis]) <= radius)[:, :, np.newaxis]
            & (np.abs(cells - columns[:, np.newaxis]) <= radius)[:, np.newaxis])
    count = (~near).sum(axis=(1, 2))
    sidelobes = np.where(near, 0, responses).reshape(len(rows), -1)
    mean = sidelobes.sum(axis=1) / count
    deviation = np.sqrt(np.maximum((sidelobes ** 2).sum(axis=1) / count - mean ** 2, 0))
    ratios = (peaks - mean) / (deviation + 1e-6)
    # an image without any structure has none
    told = np.isfinite(ratios) & (ratios > 0)
    logits = PEAK_WEIGHT * peaks + RATIO_WEIGHT * np.log(np.where(told, ratios, 1)) + BIAS
    return np.where(told, 1 / (1 + np.exp(-np.clip(logits, -50, 50))), 0)


def _learn_filters(trackers, patches, rate):
    """Update the models and solve for filters with values on the objects only (BACF)."""
    looks = _looks(patches)
    fresh = trackers[0]._filter is None
    if not fresh:
        models = _unpacked([tracker._model for tracker in trackers], LOOK_LIMIT)
        looks = _mixed(models, looks, rate)
    spectra = fft.rfft2(looks)
    filters = np.zeros_like(spectra) if fresh else _filter_spectrum(
        np.array([tracker._filter for tracker in trackers]))
    conjugate = spectra.conj()
    wanted = conjugate * _response
    power = (np.abs(spectra) ** 2).sum(axis=1, keepdims=True)
    multiplier, penalty = np.zeros_like(spectra), np.float32(PENALTY)
    for _ in range(STEPS_AT_START if fresh else STEPS):
        free = filters
        free -= multiplier
        free *= penalty
        free += wanted
        # Not divided by a real number, which NumPy does with complex ones in 15 times the time.
        free -= conjugate * ((spectra * free).sum(axis=1, keepdims=True)
                             * (1 / (power + penalty)))
        free *= 1 / penalty
        multiplier += free
        spatial = fft.irfft2(multiplier, s=(CELLS, CELLS))[..., _support, _support]
        spatial = spatial * (penalty / (penalty + REGULARIZATION))
        filters = _filter_spectrum(spatial)
        multiplier -= filters
        penalty *= np.float32(PENALTY_GROWTH)
    for tracker, model, solved in zip(trackers, looks, spatial):
        tracker._model = _packed(model, LOOK_LIMIT, tracker._model)
        tracker._filter = solved.copy()


# Scale


def _level_spectrum(trackers, patches, windows, sizes):
    levels = features(_cut_levels(trackers, patches, windows, sizes))
    return fft.rfft(levels.reshape(len(trackers), LEVELS, -1) * _level_window, axis=1)


def _resize(trackers, patches, windows, shape):
    """Grow or shrink the objects to the peaks of their responses over the pyramid."""
    if not trackers:
        return
    expected = SCALE_INERTIA * np.array([tracker._growth for tracker in trackers])
    sizes = np.array([tracker._size for tracker in trackers])
    sizes = (sizes * np.exp(expected)[:, np.newaxis]).astype(np.float32)
    spectra = _level_spectrum(trackers, patches, windows, sizes)
    spectra *= _numerators(trackers)
    response = spectra.sum(axis=2)
    response /= np.array([tracker._denominator for tracker in trackers]) + 1
    response = fft.fftshift(fft.irfft(response, n=LEVELS, axis=1), axes=1)
    steps = _refined(response, response.argmax(axis=1)) - LEVELS // 2
    growth = np.clip(expected + steps * math.log(LEVEL_STEP), -0.2, 0.2)
    limits = 1.2 * np.array([shape[1], shape[0]])
    for tracker, change in zip(trackers, growth):
        tracker._growth += SCALE_INERTIA_RATE * (float(change) - tracker._growth)
        tracker._size = np.clip(tracker._size * math.exp(change), MINIMUM_SIZE,
                                limits).astype(np.float32)


def _learn_levels(trackers, patches, windows, rate):
    sizes = np.array([tracker._size for tracker in trackers], dtype=np.float32)
    spectra = _level_spectrum(trackers, patches, windows, sizes)
    numerators = spectra.conj() * _level_response[:, np.newaxis]
    denominators = (np.abs(spectra) ** 2).sum(axis=2)
    if trackers[0]._numerator is not None:
        before = _numerators(trackers)
        numerators = _mixed(before, numerators, rate)
        before = np.array([tracker._denominator for tracker in trackers])
        denominators = _mixed(before, denominators, rate)
    for tracker, numerator, denominator in zip(trackers, numerators, denominators):
        tracker._numerator = _packed(numerator.view(np.float32), PYRAMID_LIMIT,
                                     tracker._numerator)
        tracker._denominator = denominator.copy()


def _numerators(trackers):
    packed = [tracker._numerator for tracker in trackers]
    return _unpacked(packed, PYRAMID_LIMIT).view(np.complex64)


def _learn(trackers, image, patches, windows, turns):
    """Learn the new looks: of each object the filter or the pyramid, on one of `turns` looks."""
    turn = np.array([tracker._updates % turns for tracker in trackers])
    for tracker in trackers:
        tracker._updates += 1
    rows = np.flatnonzero(turn == 0)
    if len(rows):
        chosen = [trackers[row] for row in rows]
        _learn_filters(chosen, _cut_own(image, chosen)[0], LEARNING_RATE * turns)
    rows = np.flatnonzero(turn == turns // 2)
    if len(rows):
        _learn_levels([trackers[row] for row in rows], patches[rows], windows[rows],
                      SCALE_LEARNING_RATE * turns)


# What is kept of each object


def _packed(values, limit, place=None):
    """
    Return float32 numbers between -limit and limit as 16-bit integers, in the place of others.

    New ones get memory of their own, which goes back to the system with the object: on the heap
    they would lie, and leave holes, between what the work on an image takes for a moment.
    """
    if place is None:
        memory = mmap.mmap(-1, 2 * values.size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        place = np.frombuffer(memory, np.int16).reshape(values.shape)
    return np.rint(values * np.float32(32767 / limit), out=place, casting='unsafe')


def _unpacked(rows, limit):
    """Return rows of packed numbers as one float32 array."""
    values = np.array(rows).astype(np.float32)
    values *= np.float32(limit / 32767)
    return values


def _mixed(old, new, rate):
    """Return the old with some of the new, whose memory it takes."""
    new -= old
    new *= np.float32(rate)
    new += old
    return new
