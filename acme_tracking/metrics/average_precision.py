"""
Average precision of a detector on a labelled set, by the rules of COCO (Lin et al., 2014).

The figures are those of pycocotools, of which tests ask the same; here they come with recall and
precision at a threshold, the curves, and a confusion matrix.
"""
from __future__ import annotations

from acme_tracking.geometry import area, as_boxes, iou
from acme_tracking.labels import DONT_CARE, VEHICLE, VEHICLES
import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)  # AP is the mean over these, AP50 belongs to the first
RECALLS = np.linspace(0.0, 1.0, 101)  # where a precision-recall curve is sampled
LOWEST_SCORE = 0.02  # to collect: what a curve has below it changes its AP little
MAXIMUM_DETECTIONS = 100  # of a class on an image; the best count


def evaluate(detector, samples) -> Score:
    """Return what `detector`, image -> Detections, finds on labelled samples."""
    score = Score()
    for sample in samples:
        score.add(detector(sample.image), sample.boxes, sample.labels, sample.ignored,
                  sample.labelled)
    return score


class Score:
    """
    Collects detections and truth image by image.

    A set whose truth says VEHICLE is scored with all of VEHICLES counted as it.
    """

    def __init__(self):
        """Start with nothing seen."""
        self._images = []

    def add(self, detections, boxes, labels, ignored=None, labelled=None) -> None:
        """
        Add one image: Detections, truth boxes (N, 4), their labels (N,) and which to ignore (N,).

        What is found on an ignored box of its class, or of DONT_CARE, is neither right nor wrong;
        nor is what is of other classes than `labelled`, unless that is None.
        """
        ignored = np.zeros(len(labels), dtype=bool) if ignored is None else np.asarray(ignored)
        boxes, labels = as_boxes(boxes), np.asarray(labels, dtype=str)
        if labelled is not None:
            names = [*labelled, DONT_CARE, *(VEHICLES if VEHICLE in labelled else ())]
            detections = detections.select(np.isin(detections.labels, names))
            known = np.isin(labels, names)
            boxes, labels, ignored = boxes[known], labels[known], ignored[known]
        self._images.append((detections, boxes, labels, ignored))

    def classes(self) -> list:
        """Return the classes that the truth holds, sorted."""
        return sorted({str(label) for _, _, labels, ignored in self._named()
                       for label in labels[~ignored]})

    def summary(self, threshold: float) -> dict:
        """
        Return `ap` and `ap50`, means over the classes present, and all figures `per_class`.

        `recall` and `precision` count detections of all classes with a score of at least
        `threshold`, at an IoU of 0.5.
        """
        per_class, totals = {}, np.zeros(3, dtype=int)
        for name in self.classes():
            scores, correct, wrong, count = self._matches(name)
            sure = scores >= threshold
            counts = np.array([correct[0][sure].sum(), wrong[0][sure].sum(), count])
            values = [average_precision(scores, *each, count) for each in zip(correct, wrong)]
            per_class[name] = {'ap': float(np.mean(values)), 'ap50': values[0],
                               **_recall_and_precision(*counts), 'boxes': int(count)}
            totals += counts
        means = {name: float(np.mean([each[name] for each in per_class.values()] or [0.0]))
                 for name in ('ap', 'ap50')}
        return {**means, **_recall_and_precision(*totals), 'threshold': threshold,
                'images': len(self._images), 'per_class': per_class}

    def curves(self) -> dict:
        """Return for each class the precision (101,) at RECALLS, for an IoU of 0.5."""
        curves = {}
        for name in self.classes():
            scores, correct, wrong, count = self._matches(name)
            curves[name] = precision_at_recalls(scores, correct[0], wrong[0], count)
        return curves

    def confusion(self, threshold: float) -> tuple[list, np.ndarray]:
        """
        Return names and a matrix of counts: what (row) was found as what (column).

        Here boxes are matched whatever their class.  The last row are detections of nothing, the
        last column objects that were not found.
        """
        images = list(self._named())
        names = sorted({str(label) for _, truth, labels, ignored in images
                        for label in labels[~ignored]}
                       | {str(label) for detections, *_ in images for label in detections.labels})
        index = {name: number for number, name in enumerate(names)}
        matrix = np.zeros((len(names) + 1, len(names) + 1), dtype=int)
        for detections, truth, labels, ignored in images:
            sure = detections.select(detections.scores >= threshold)
            sure = sure.select(np.argsort(-sure.scores, kind='stable'))
            owner, pardoned = match(sure.boxes, truth, ignored, IOUS[:1])
            for label, mine, pardon in zip(sure.labels, owner[0], pardoned[0]):
                if mine >= 0 or not pardon:
                    row = index[str(labels[mine])] if mine >= 0 else -1
                    matrix[row, index[str(label)]] += 1
            for missed in set(np.flatnonzero(~ignored)) - set(owner[0].tolist()):
                matrix[index[str(labels[missed])], -1] += 1
        return names, matrix

    def _named(self):
        """Yield the images with the classes that labels count as."""
        merge = any((labels == VEHICLE).any() for _, _, labels, _ in self._images)
        for detections, boxes, labels, ignored in self._images:
            if merge:
                labels = np.where(np.isin(labels, VEHICLES), VEHICLE, labels)
                names = np.where(np.isin(detections.labels, VEHICLES), VEHICLE, detections.labels)
                detections = type(detections)(detections.boxes, detections.scores, names)
            yield detections, boxes, labels, ignored

    def _matches(self, name):
        """
        Return all detections of a class, and how many boxes of it there are to find.

        Detections are their scores (N,) and, for each of IOUS, which are correct and which are
        wrong, bool (10, N); neither are those on ignored boxes.
        """
        scores, correct, wrong, count = [np.empty(0)], [np.empty((len(IOUS), 0), bool)], [], 0
        wrong.append(correct[0])
        for detections, boxes, labels, ignored in self._named():
            mine = detections.select(detections.labels == name)
            best = np.argsort(-mine.scores, kind='stable')[:MAXIMUM_DETECTIONS]
            truth = (labels == name) | ((labels == DONT_CARE) & ignored)
            owner, pardoned = match(mine.boxes[best], boxes[truth], ignored[truth])
            scores.append(mine.scores[best])
            correct.append(owner >= 0)
            wrong.append((owner < 0) & ~pardoned)
            count += int((truth & ~ignored).sum())
        return (np.concatenate(scores), np.concatenate(correct, axis=1),
                np.concatenate(wrong, axis=1), count)


def match(boxes, truth, ignored=None, thresholds=IOUS) -> tuple[np.ndarray, np.ndarray]:
    """
    Return for each threshold the truth box of every detection, int (T, N), or -1; and a pardon.

    boxes (N, 4) are detections by falling score; each takes the free truth box (M, 4) that it
    overlaps most, at least by the threshold.  Those without one are pardoned, bool (T, N), when
    so much of them lies in an ignored box, which may be taken by many.
    """
    truth, thresholds = as_boxes(truth), np.asarray(thresholds)[:, np.newaxis]
    ignored = np.zeros(len(truth), dtype=bool) if ignored is None else ignored
    regular = np.flatnonzero(~ignored)
    owner = np.full((len(thresholds), len(boxes)), -1)
    pardoned = np.zeros(owner.shape, dtype=bool)
    if not len(boxes):
        return owner, pardoned
    overlaps = iou(boxes, truth[regular])
    free = np.ones((len(thresholds), len(regular)), dtype=bool)
    if len(regular):
        for number, overlap in enumerate(overlaps):
            candidates = np.where(free & (overlap >= thresholds), overlap, -1.0)
            best = candidates.argmax(axis=1)
            hit = np.flatnonzero(candidates.max(axis=1) >= 0)
            owner[hit, number] = regular[best[hit]]
            free[hit, best[hit]] = False
    if ignored.any():
        inside = _covered(boxes, truth[ignored]).max(axis=1)
        pardoned = (owner < 0) & (inside >= thresholds)
    return owner, pardoned


def average_precision(scores, correct, wrong, count: int) -> float:
    """Return the mean of `precision_at_recalls`, in [0, 1]."""
    return float(precision_at_recalls(scores, correct, wrong, count).mean())


def precision_at_recalls(scores, correct, wrong, count: int) -> np.ndarray:
    """
    Return the best precision with at least each recall of RECALLS, float64 (101,).

    `scores`, `correct` and `wrong` (N,) are all detections of a class, `count` its truth boxes.
    """
    order = np.argsort(-np.asarray(scores), kind='stable')
    hits, misses = np.cumsum(np.asarray(correct)[order]), np.cumsum(np.asarray(wrong)[order])
    recall = hits / max(count, 1)
    precision = hits / np.maximum(hits + misses, 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return envelope[np.searchsorted(recall, RECALLS)]


def _covered(boxes, regions) -> np.ndarray:
    """Return which share of each box lies in each region, (N, M)."""
    boxes, regions = as_boxes(boxes), as_boxes(regions)
    top_left = np.maximum(boxes[:, np.newaxis, :2], regions[np.newaxis, :, :2])
    bottom_right = np.minimum(boxes[:, np.newaxis, 2:], regions[np.newaxis, :, 2:])
    inside = np.prod(np.maximum(bottom_right - top_left, 0), axis=2)
    return inside / np.maximum(area(boxes), 1e-9)[:, np.newaxis]


def _recall_and_precision(correct, wrong, count) -> dict:
    return {'recall': float(correct / max(count, 1)),
            'precision': float(correct / max(correct + wrong, 1))}
