"""What the weights of the detector belong to; files of them say it in their header."""
from __future__ import annotations

from dataclasses import dataclass, field

from acme_tracking.weights_files import check, check_arguments, check_images_and_classes

ARCHITECTURE = 'smaller_vgg_anchor_free'
MAXIMUM_BYTES = 256 * 2 ** 20  # far above any network of this package
# a header must not keep us busy for minutes
LIMITS = {'widths': 4096, 'depths': 16, 'neck': 4096}


@dataclass(frozen=True)
class Specification:
    """
    What the weights belong to.

    classes: names in the order of the network's outputs.
    input_size: side of the square whose area an image is resized to, in pixels; the image keeps
    its aspect (384 turns 1920 x 1080 into 512 x 288).
    mean, std: of the input in the order blue, green, red, on the scale 0 to 255.
    arguments: further arguments of the architecture.
    """

    classes: tuple
    input_size: int = 384
    mean: tuple = (114.0, 114.0, 114.0)
    std: tuple = (58.0, 58.0, 58.0)
    architecture: str = ARCHITECTURE
    arguments: dict = field(default_factory=dict)

    def build(self):
        """Return the DetectionNetwork that this describes, with untrained weights."""
        from acme_tracking.detection.network import DetectionNetwork  # which needs torch
        return DetectionNetwork(classes=len(self.classes), **self.arguments)


def check_entries(entries: dict) -> None:
    """Raise ValueError when a header says what no detector is."""
    check(entries['architecture'] == ARCHITECTURE, 'architecture', entries, ARCHITECTURE)
    check_images_and_classes(entries)
    check_arguments(entries, LIMITS)
