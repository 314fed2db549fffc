"""
Average precision of a detector on a labelled set, by the rules of COCO (Lin et al., 2014).

pycocotools matches and counts.  Here images, also those of which only some classes were labelled,
are brought to its form, and its counts to figures: by class, by size, and at a threshold.
"""
from __future__ import annotations

from contextlib import redirect_stdout
import io

from acme_tracking.geometry import as_boxes
from acme_tracking.labels import DONT_CARE, VEHICLE, VEHICLES
from acme_tracking.metrics.calibration import reliability
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

RECALLS = np.linspace(0.0, 1.0, 101)  # where a precision-recall curve is sampled
LOWEST_SCORE = 0.02  # to collect: what a curve has below it changes its AP little
MAXIMUM_DETECTIONS = 100  # of a class on an image; the best count
ALL = 'all'
# from and to which root of its area, in pixels of the image, a box has a size: those of COCO
SIZES = {ALL: (0, 1e5), 'small': (0, 32), 'medium': (32, 96), 'large': (96, 1e5)}


def evaluate(detector, samples, any_vehicle=False) -> Score:
    """Return what `detector`, image -> Detections, finds on labelled samples."""
    score = Score(any_vehicle)
    for sample in samples:
        score.add(detector(sample.image), sample.boxes, sample.labels, sample.ignored,
                  sample.labelled)
    return score


class Score:
    """
    Collects detections and truth image by image.

    With `any_vehicle`, and where the truth says VEHICLE, all of VEHICLES count as it.
    """

    def __init__(self, any_vehicle: bool = False):
        """Start with nothing seen."""
        self._images, self._any_vehicle = [], any_vehicle

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
        `threshold`, at an IoU of 0.5.  Each class has `sizes` too, its boxes, AP50 and recall for
        each of SIZES that there is.
        """
        names, per_class, totals = self.classes(), {}, np.zeros(3, dtype=int)
        comparison = self._compare(names)
        for number, name in enumerate(names):
            counts = {size: _counts(*_answers(comparison, number, size), threshold)
                      for size in SIZES}
            precision = comparison.eval['precision'][:, :, number, :, 0].mean(axis=1)
            per_class[name] = {
                'ap': float(precision[:, 0].mean()), 'ap50': float(precision[0, 0]),
                **_recall_and_precision(*counts[ALL]), 'boxes': int(counts[ALL][2]),
                'sizes': {size: {'boxes': int(count), 'ap50': float(value),
                                 'recall': float(correct / count)}
                          for (size, (correct, _, count)), value in zip(counts.items(),
                                                                        precision[0])
                          if size != ALL and count}}
            totals += counts[ALL]
        means = {name: float(np.mean([each[name] for each in per_class.values()] or [0.0]))
                 for name in ('ap', 'ap50')}
        return {**means, **_recall_and_precision(*totals), 'threshold': threshold,
                'images': len(self._images), 'per_class': per_class}

    def curves(self) -> dict:
        """Return for each class the precision (101,) at RECALLS, for an IoU of 0.5."""
        names = self.classes()
        comparison = self._compare(names)
        return {name: comparison.eval['precision'][0, :, number, 0, 0]
                for number, name in enumerate(names)}

    def reliability(self) -> dict:
        """
        Return for each class its mean score, precision and count by bins of the score.

        As `calibration.reliability` does; a class of which nothing was found is left out.
        """
        names = self.classes()
        comparison, reliabilities = self._compare(names), {}
        for number, name in enumerate(names):
            scores, correct, wrong, _ = _answers(comparison, number)
            counted = correct | wrong
            if counted.any():
                reliabilities[name] = reliability(scores[counted], correct[counted])
        return reliabilities

    def confusion(self, threshold: float) -> tuple[list, np.ndarray]:
        """
        Return names and a matrix of counts: what (row) was found as what (column).

        Here boxes are matched whatever their class.  The last row are detections of nothing, the
        last column objects that were not found.
        """
        names = sorted({*self.classes(), *(str(label) for detections, *_ in self._named()
                                           for label in detections.labels)})
        comparison = self._compare(names, threshold, by_class=False)
        rows, columns = ({id_: each['category_id'] for id_, each in side.anns.items()}
                         for side in (comparison.cocoGt, comparison.cocoDt))
        matrix = np.zeros((len(names) + 1, len(names) + 1), dtype=int)
        for image in filter(None, comparison.evalImgs[:len(self._images)]):
            for found, mine, pardon in zip(image['dtIds'], image['dtMatches'][0],
                                           image['dtIgnore'][0]):
                if not pardon:
                    matrix[rows[mine] if mine else -1, columns[found]] += 1
            for number, match, ignored in zip(image['gtIds'], image['gtMatches'][0],
                                              image['gtIgnore']):
                if not match and not ignored:
                    matrix[rows[number], -1] += 1
        return names, matrix

    def _named(self):
        """Yield the images with the classes that labels count as."""
        merge = self._any_vehicle or any((labels == VEHICLE).any()
                                         for _, _, labels, _ in self._images)
        for detections, boxes, labels, ignored in self._images:
            if merge:
                labels = np.where(np.isin(labels, VEHICLES), VEHICLE, labels)
                names = np.where(np.isin(detections.labels, VEHICLES), VEHICLE, detections.labels)
                detections = type(detections)(detections.boxes, detections.scores, names)
            yield detections, boxes, labels, ignored

    def _compare(self, names, threshold=0.0, by_class=True) -> COCOeval:
        """Return what pycocotools makes of the classes `names`, numbered in their order."""
        index = {name: number for number, name in enumerate(names)}
        truth, found = [], []
        for image, (detections, boxes, labels, ignored) in enumerate(self._named()):
            for box, label, crowd in zip(boxes.tolist(), labels, ignored):
                numbers = index.values() if label == DONT_CARE else [index.get(str(label))]
                truth += [_entry(image, number, box, iscrowd=int(crowd))
                          for number in numbers if number is not None]
            found += [_entry(image, index[str(label)], box, score=float(value), iscrowd=0)
                      for box, value, label in zip(detections.boxes.tolist(), detections.scores,
                                                   detections.labels)
                      if value >= threshold and str(label) in index]
        with redirect_stdout(io.StringIO()):  # it reports every step
            comparison = COCOeval(*(self._indexed(names, side) for side in (truth, found)), 'bbox')
            comparison.params.useCats = int(by_class)
            comparison.params.maxDets = [MAXIMUM_DETECTIONS]
            comparison.params.areaRng = [(low ** 2, high ** 2) for low, high in SIZES.values()]
            comparison.params.areaRngLbl = [*SIZES]
            comparison.evaluate()
            comparison.accumulate()
        return comparison

    def _indexed(self, names, annotations) -> COCO:
        """Return annotations as pycocotools has them."""
        data = COCO()
        data.dataset = {'images': [{'id': number} for number in range(len(self._images))],
                        'categories': [{'id': number, 'name': name}
                                       for number, name in enumerate(names)],
                        'annotations': [{'id': number, **each}
                                        for number, each in enumerate(annotations, 1)]}
        data.createIndex()
        return data


def _entry(image, category, box, **more) -> dict:
    """Return an annotation of COCO for a box x1 y1 x2 y2."""
    width, height = box[2] - box[0], box[3] - box[1]
    return {'image_id': image, 'category_id': category, 'bbox': [*box[:2], width, height],
            'area': width * height, **more}


def _answers(comparison, number, size=ALL) -> tuple:
    """
    Return the scores (N,) of a class, which are correct, which are wrong, and its number of boxes.

    At an IoU of 0.5; neither are those on ignored boxes, or of other sizes.
    """
    images = len(comparison.params.imgIds)
    first = (number * len(SIZES) + [*SIZES].index(size)) * images
    seen = [each for each in comparison.evalImgs[first:first + images] if each]
    scores, matched, ignored = (
        np.concatenate([np.empty(0), *parts]) for parts in (
            [each['dtScores'] for each in seen], [each['dtMatches'][0] for each in seen],
            [each['dtIgnore'][0] for each in seen]))
    matched, ignored = matched > 0, ignored > 0
    count = sum(np.count_nonzero(each['gtIgnore'] == 0) for each in seen)
    return scores, matched & ~ignored, ~matched & ~ignored, count


def _counts(scores, correct, wrong, count, threshold) -> np.ndarray:
    """Return how many with a score from `threshold` on are correct and wrong, and of how many."""
    sure = scores >= threshold
    return np.array([correct[sure].sum(), wrong[sure].sum(), count], dtype=int)


def _recall_and_precision(correct, wrong, count) -> dict:
    return {'recall': float(correct / max(count, 1)),
            'precision': float(correct / max(correct + wrong, 1))}
