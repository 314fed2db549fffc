"""
Label from tracks: the images of a recording that would teach the detector most, as a bank.

Detection on demand is driven as in an evaluation, and beside it the CNN sees every image.  Where
tracker and detector disagree, one of them is wrong: a tracker that has followed an object for a
second knows what the CNN may overlook on a single image.  Of these images some are chosen that lie
apart in time and look different (k-center greedy, Sener and Savarese, 2018, weighted by the number
of doubts); their boxes are what a person begins with who labels them.

    FOLDER/harvest.json   COCO; each image has its `reasons`, each box who it is `from`
    FOLDER/images/        the images, JPEG
    FOLDER/detections/    what the CNN found, as `evaluate --detections` reads it
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
import os
from pathlib import Path

from acme_tracking import geometry
from acme_tracking.bags.reading import BagReader
from acme_tracking.detections import Detections
from acme_tracking.evaluation.cache import DetectionCache
from acme_tracking.evaluation.modes import ON_DEMAND
from acme_tracking.evaluation.sequence_run import (
    detector_settings,
    Images,
    make_detector,
    make_mode,
)
from acme_tracking.evaluation.settings import Settings
from acme_tracking.metrics.tracking import ON_TARGET_IOU
from acme_tracking.tracking.association import assign, FORBIDDEN
from acme_tracking.training.data import coco
import cv2
import numpy as np

BANK = 'harvest.json'
QUALITY = 95  # of the images, JPEG
# Why an image is worth labelling: a sure track that no detection is on; a detection that no track
# is on, and that the detector has on this image alone (else somebody is to be followed soon); a
# track and a detection of different classes; a track that was sure on the image before and is not.
NOT_DETECTED, NOT_TRACKED, OTHER_CLASS, CONFIDENCE_FELL = REASONS = (
    'not_detected', 'not_tracked', 'other_class', 'confidence_fell')
# Who a box is from.
DETECTOR, TRACKER, BOTH = 'detector', 'tracker', 'both'
# An image is described by the mean colour and the gradients of so many cells in each direction, of
# a copy with sides of so many pixels, and gradients by so many directions.
CELLS, SIDE, DIRECTIONS = 4, 64, 8


@dataclass(frozen=True, eq=False)
class Doubts:
    """
    What tracker and detector do not agree about on one image.

    reasons: how often each of REASONS holds.  boxes: (box, label, score, from) each, what at least
    one of the two is sure of.
    """

    reasons: Counter
    boxes: list[tuple]


@dataclass(frozen=True, eq=False)
class Harvest:
    """What came of it: `images` seen, how many of them were `doubtful`, and `reasons` chosen."""

    images: int
    doubtful: int
    chosen: int
    reasons: Counter


def harvest(path, settings: Settings, out, count: int, apart: float,
            progress: Callable = lambda: None) -> Harvest:
    """
    Write a bank of at most `count` images of a bag to the folder `out`, and return what it holds.

    apart: seconds between two of them at the least.  progress: called for every image.  Raises
    ValueError when `out` holds a bank already, or for a bag that cannot be read or without images.
    """
    out = Path(out)
    if (out / BANK).exists():
        raise ValueError(f'{out / BANK} is there already: banks are never mixed')
    with BagReader(path) as bag:
        topic = bag.image_topic(settings.images)
        images, looks = Images(bag, topic, progress), {}
        with DetectionCache(
                out / 'detections' / f'{bag.name}.npz', detector_settings(settings),
                lambda: make_detector(settings, len(os.sched_getaffinity(0)))) as found:
            mode = make_mode(ON_DEMAND, settings, found, 1.0, Fraction(1))
            for time, stamp, image in images:
                looks[stamp] = look_of(image)
                found(stamp, image)
                mode.step(time, stamp, image)
            mode.finish()
            stamps = list(images.times)
            if not stamps:
                raise ValueError(f'{path} has no images')
            doubts = all_doubts(stamps, mode.outcome, {stamp: found(stamp, None)
                                                       for stamp in stamps},
                                settings.tracker.request_confidence)
        worth = [stamp for stamp in stamps if doubts[stamp].reasons]
        indices = spread(np.array([looks[stamp] for stamp in worth]),
                         np.array(worth, dtype=np.int64),
                         [doubts[stamp].reasons.total() for stamp in worth], count, apart)
        chosen = sorted(worth[index] for index in indices)
        _write(out, bag, topic, images.times, {stamp: doubts[stamp] for stamp in chosen})
    return Harvest(len(stamps), len(worth), len(chosen), sum(
        (Counter(set(doubts[stamp].reasons)) for stamp in chosen), Counter()))


def all_doubts(stamps, outcome, found: dict[int, Detections], sure: float) -> dict[int, Doubts]:
    """
    Return the doubts about each image, by stamp.

    outcome: of the tracker.  found: by the detector, of every image.  sure: score from which a
    track counts.
    """
    tracks = dict(zip(outcome.stamps, outcome.tracks))
    doubts, before = {}, Detections.empty()
    for index, stamp in enumerate(stamps):
        beside = [*stamps[max(0, index - 1):index], *stamps[index + 1:index + 2]]
        doubts[stamp] = compare(
            tracks[stamp], found[stamp], before,
            np.concatenate([geometry.as_boxes([]), *(found[other].boxes for other in beside)]),
            sure)
        before = tracks[stamp]
    return doubts


def compare(tracks: Detections, found: Detections, before: Detections, beside: np.ndarray,
            sure: float) -> Doubts:
    """
    Return what tracks (with ids) and detections on an image do not agree about.

    before: the tracks on the image before.  beside: boxes (N, 4) of the detections on the images
    before and after.  sure: score from which a track counts.
    """
    was_sure = set(before.ids[before.scores >= sure].tolist()) if len(before) else set()
    fell = [identity for identity, score in zip(tracks.ids, tracks.scores)
            if score < sure and int(identity) in was_sure] if len(tracks) else []
    tracks = tracks.select(tracks.scores >= sure)
    overlap = geometry.iou(tracks.boxes, found.boxes)
    pairs = assign(np.where(overlap >= ON_TARGET_IOU, 1 - overlap, FORBIDDEN))
    # where both are, the detector knows the box better, and the tracker, which has seen the object
    # longer, the class
    boxes = [(found.boxes[d], str(tracks.labels[t]), float(found.scores[d]), BOTH)
             for t, d in pairs]
    for who, one, known in ((DETECTOR, found, {d for _, d in pairs}),
                            (TRACKER, tracks, {t for t, _ in pairs})):
        boxes += [(one.boxes[row], str(one.labels[row]), float(one.scores[row]), who)
                  for row in range(len(one)) if row not in known]
    alone = ~(geometry.iou(found.boxes, beside) > 0).any(axis=1)
    alone[[d for _, d in pairs]] = False
    return Doubts(+Counter({
        NOT_DETECTED: len(tracks) - len(pairs), NOT_TRACKED: int(alone.sum()),
        OTHER_CLASS: sum(tracks.labels[t] != found.labels[d] for t, d in pairs),
        CONFIDENCE_FELL: len(fell)}), boxes)


def look_of(image: np.ndarray) -> np.ndarray:
    """
    Return how an image, uint8 (H, W, 3) BGR or (H, W) grey, looks: float32 (176,).

    The mean Lab colour of a grid of cells, and how strong the gradients of its lightness are in
    each direction.
    """
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) / 100
    x, y = cv2.spatialGradient(np.rint(lab[..., 0] * 255).astype(np.uint8))
    angle = np.arctan2(y, x) % np.pi
    direction = np.minimum(angle * (DIRECTIONS / np.pi), DIRECTIONS - 1).astype(int)
    strength = (np.hypot(x, y) / 255)[..., np.newaxis] * (
        direction[..., np.newaxis] == np.arange(DIRECTIONS))
    cells = np.concatenate([lab, strength], axis=2).reshape(
        CELLS, SIDE // CELLS, CELLS, SIDE // CELLS, -1).mean(axis=(1, 3))
    return cells.ravel().astype(np.float32)


def spread(looks: np.ndarray, stamps: np.ndarray, doubts, count: int, apart: float) -> list[int]:
    """
    Return the indices of at most `count` images, in the order in which they were chosen.

    looks: (N, D); stamps: (N,), nanoseconds; doubts: (N,), how many; apart: seconds.

    The first has most doubts; each further one is the farthest, by its look, from all that were
    chosen, times the root of its doubts, among those that are `apart` from them.  What looks
    exactly like one of them is not chosen.
    """
    weight, far = np.sqrt(np.asarray(doubts, float)), np.ones(len(stamps))
    free, chosen = np.ones(len(stamps), dtype=bool), []
    while len(chosen) < count:
        value = np.where(free, far * weight, 0)
        best = int(value.argmax()) if len(value) else 0
        if not value.any():
            break
        distance = np.linalg.norm(looks - looks[best], axis=1)
        far = np.minimum(far, distance) if chosen else distance
        free &= np.abs(stamps - stamps[best]) >= round(apart * 1e9)
        free[best] = False
        chosen.append(best)
    return chosen


def _write(out, bag, topic, times, doubts):
    """Write the images of the doubts, by stamp, and last the bank."""
    folder, entries = out / 'images', []
    folder.mkdir(parents=True, exist_ok=True)
    numbers, first = {stamp: index for index, stamp in enumerate(times)}, next(iter(times))
    for stamp, one in doubts.items():
        image = next(image for at, _, image in bag.images(topic, times[stamp], times[stamp] + 1)
                     if at == stamp)
        path = folder / f'{bag.name}-{numbers[stamp] + 1:06d}.jpg'
        content = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        path.write_bytes(content.tobytes())
        height, width = image.shape[:2]
        entries.append((
            {'file_name': path.name, 'width': width, 'height': height, 'stamp': stamp,
             'frame_index': numbers[stamp], 'seconds': round((stamp - first) * 1e-9, 3),
             'reasons': dict(one.reasons)},
            [(geometry.clip(box, width, height)[0], label, {'score': round(score, 3), 'from': who})
             for box, label, score, who in one.boxes
             if geometry.is_proper(geometry.clip(box, width, height))[0]]))
    coco.write(out / BANK, entries)
