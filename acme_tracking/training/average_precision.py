"""Average precision at IoU 0.5, and recall and precision at a threshold, of a labelled set."""
from __future__ import annotations

from acme_tracking.geometry import iou
import numpy as np

IOU = 0.5


class Score:
    """
    Collects detections and truth image by image.

    A set whose truth says `merged` (vehicle) is scored with all of `parts` (car, truck, bus)
    counted as it.
    """

    def __init__(self, merged='vehicle', parts=('car', 'truck', 'bus')):
        """Start with nothing seen."""
        self.merged, self.parts = merged, parts
        self._images = []

    def add(self, detections, boxes, labels) -> None:
        """Add one image: Detections, truth boxes (N, 4) and their labels (N,)."""
        self._images.append((detections, np.asarray(boxes), np.asarray(labels, dtype=str)))

    def summary(self, threshold: float) -> dict:
        """
        Return `ap50`, the mean over the classes present, the same per class, recall, precision.

        Recall and precision count the detections with a score of at least `threshold`.
        """
        merge = any((labels == self.merged).any() for _, _, labels in self._images)
        present = sorted({str(self._name(label, merge)) for _, _, labels in self._images
                          for label in labels})
        per_class, found, reported, wanted = {}, 0, 0, 0
        for name in present:
            scores, correct, count = self._matches(name, merge)
            per_class[name] = average_precision(scores, correct, count)
            found += int(correct[scores >= threshold].sum())
            reported += int((scores >= threshold).sum())
            wanted += count
        mean = float(np.mean(list(per_class.values()))) if per_class else 0.0
        return {'ap50': mean, 'per_class': per_class, 'recall': found / max(wanted, 1),
                'precision': found / max(reported, 1), 'threshold': threshold}

    def _name(self, label, merge):
        """Return the class that a label counts as."""
        return self.merged if merge and label in self.parts else label

    def _matches(self, name, merge):
        """Return score and correctness of every detection of a class, and the class's size."""
        scores, correct, count = [], [], 0
        for detections, boxes, labels in self._images:
            names = np.array([self._name(label, merge) for label in detections.labels], dtype=str)
            mine = detections.select(names == name)
            wanted = np.array([self._name(label, merge) for label in labels], dtype=str) == name
            scores.append(mine.scores)
            correct.append(match(mine.boxes, mine.scores, boxes[wanted]))
            count += int(wanted.sum())
        return np.concatenate(scores), np.concatenate(correct), count


def match(boxes, scores, truth) -> np.ndarray:
    """
    Return which detections are correct, bool (N,).

    By falling score, each takes the free truth box that it overlaps most, at least by IOU, as the
    COCO evaluation does.
    """
    correct = np.zeros(len(boxes), dtype=bool)
    overlap = iou(boxes, truth)
    for index in np.argsort(-np.asarray(scores), kind='stable'):
        if overlap.shape[1] and overlap[index].max() >= IOU:
            correct[index] = True
            overlap[:, overlap[index].argmax()] = -1
    return correct


def average_precision(scores, correct, count: int) -> float:
    """
    Return the area under the precision-recall curve, in [0, 1].

    `scores` and `correct` (N,) are all detections of a class, `count` its truth boxes.  The
    precision is made monotone and integrated exactly (PASCAL VOC, 2010).
    """
    if count == 0:
        return 0.0
    order = np.argsort(-np.asarray(scores), kind='stable')
    hits = np.cumsum(np.asarray(correct)[order])
    recall = np.concatenate([[0.0], hits / count])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))
