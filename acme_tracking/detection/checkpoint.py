"""
Checkpoints of the detector, read and written with torch.

`networks/checkpoint.py` tells how a checkpoint is written and what is refused.
"""
from __future__ import annotations

from acme_tracking.detection.specification import check_entries, MAXIMUM_BYTES, Specification
from acme_tracking.networks import checkpoint
from acme_tracking.networks.checkpoint import save

__all__ = ['inspect', 'load', 'save', 'Specification']


def load(path):
    """
    Return the network (float32, eval mode) and the Specification of a checkpoint.

    Raises CheckpointError for anything else than a whole checkpoint whose every tensor fits.
    """
    return checkpoint.load(path, Specification, check_entries, MAXIMUM_BYTES)


def inspect(path) -> Specification:
    """Return the Specification of a checkpoint without reading the values; raises as `load`."""
    return checkpoint.inspect(path, Specification, check_entries, MAXIMUM_BYTES)
