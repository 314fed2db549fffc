"""
Refinement: a classifier looks at every object that was found and gives it a finer name.

So a user's own classes (kinds of vehicles, say) ride on the detector as it is.
"""
from __future__ import annotations

from acme_tracking.detection.network import fuse
from acme_tracking.detections import Detections
from acme_tracking.networks.classifier import Classifier, cut_out, load
import numpy as np


class Refiner:
    """
    Renames detections; build one with from_checkpoint.

    classes: names that the detector gives and that are refined; empty for all.  Objects of others
    stay as they are.
    """

    def __init__(self, classifier: Classifier, classes=()):
        """Take a classifier."""
        self.classifier, self.classes = classifier, tuple(classes)

    @classmethod
    def from_checkpoint(cls, path, classes=(), **options) -> Refiner:
        """
        Return the refiner of the checkpoint of a classifier.

        `options` are those of networks.classifier.Classifier.  Raises CheckpointError for a bad
        file.
        """
        network, specification = load(path)
        return cls(Classifier(fuse(network), specification, **options), classes)

    def __call__(self, image, detections: Detections) -> Detections:
        """
        Return the detections, best first, with the likeliest class of each crop as its label.

        The score becomes the geometric mean of the detector's and the classifier's: both have a
        say, and a pair of doubts counts once.  `image` is uint8 (H, W, 3), blue green red.
        """
        chosen = np.flatnonzero(np.isin(detections.labels, self.classes)) if self.classes \
            else np.arange(len(detections))
        if not len(chosen):
            return detections
        probabilities = self.classifier(cut_out(
            image, detections.boxes[chosen], self.classifier.specification.margin))
        labels, scores = detections.labels.astype(object), detections.scores.copy()
        labels[chosen] = self.classifier.names[probabilities.argmax(axis=1)]
        scores[chosen] = np.sqrt(scores[chosen] * probabilities.max(axis=1))
        refined = Detections(detections.boxes, np.clip(scores, 0, 1), labels.astype(str))
        return refined.select(np.argsort(-refined.scores, kind='stable'))
