"""
Checkpoints of the detector: what their header says.

`networks/checkpoint.py` tells how a checkpoint is written and what is refused.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from acme_tracking.detection.network import DetectionNetwork
from acme_tracking.networks import checkpoint
from acme_tracking.networks.checkpoint import CheckpointError, save
from acme_tracking.share import shipped_weights

__all__ = ['ARCHITECTURES', 'CheckpointError', 'inspect', 'load', 'save', 'Specification']

ARCHITECTURES = {'smaller_vgg_anchor_free': DetectionNetwork}
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
    architecture: str = 'smaller_vgg_anchor_free'
    arguments: dict = field(default_factory=dict)

    def build(self) -> DetectionNetwork:
        """Return the network that this describes, with untrained weights."""
        return ARCHITECTURES[self.architecture](classes=len(self.classes), **self.arguments)


def load(path=None):
    """
    Return the network (float32, eval mode) and the Specification of a checkpoint.

    `path` None loads the shipped weights.  Raises CheckpointError for anything else than a whole
    checkpoint whose every tensor fits.
    """
    return checkpoint.load(_given(path), Specification, _check_entries, MAXIMUM_BYTES)


def inspect(path=None) -> Specification:
    """Return the Specification of a checkpoint without reading the values; raises as `load`."""
    return checkpoint.inspect(_given(path), Specification, _check_entries, MAXIMUM_BYTES)


def _given(path):
    try:
        return shipped_weights() if path is None else path
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from error


def _check_entries(entries: dict) -> None:
    """Raise ValueError when a header says what no detector is."""
    checkpoint.check(entries['architecture'] in list(ARCHITECTURES), 'architecture', entries,
                     'one of ' + ', '.join(ARCHITECTURES))
    checkpoint.check_images_and_classes(entries)
    checkpoint.check_arguments(entries, LIMITS)
