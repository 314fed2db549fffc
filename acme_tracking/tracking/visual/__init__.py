"""
Visual trackers: each follows one object by what it looks like.

They share one protocol and are made by name, so that a parameter can choose among them.
"""
from __future__ import annotations

import importlib
from typing import Protocol

from acme_tracking.tracking.camera_motion import Camera
import numpy as np


class VisualTracker(Protocol):
    """Follows one object through images of one size, uint8 (H, W, 3) BGR or (H, W) grey."""

    def start(self, image: np.ndarray, box) -> None:
        """
        Learn the object in `box` (x1 y1 x2 y2 in pixels) of `image`, forgetting any other.

        Raises ValueError when the box is not finite or covers less than one pixel of the image.
        """

    def update(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """
        Find the object in the next image and learn its new looks.

        Returns the box, float32 (4,), and the confidence in [0, 1] that it is on the object
        (0.5: as likely as not); 0 with the last box when nothing can be said.  Raises
        RuntimeError before `start`.

        A tracker may also have `expect(box)`, which tells it where the object is to be looked for
        next, when others know more than it: it was not its turn, or a detection moved the object.
        And it may have the static methods `start_many(trackers, image, boxes)` and
        `update_many(trackers, image, camera, others, brief)`, which do the same for many trackers
        of its kind, cheaper than one after the other: see `update_all`.
        """


_HERE = 'acme_tracking.tracking.visual'
_TRACKERS = {
    'correlation': (f'{_HERE}.correlation', 'CorrelationTracker'),
    'dlib': (f'{_HERE}.dlib', 'DlibTracker'),
    'csrt': (f'{_HERE}.opencv', 'CsrtTracker'),
    'kcf': (f'{_HERE}.opencv', 'KcfTracker'),
    'mosse': (f'{_HERE}.opencv', 'MosseTracker'),
    'medianflow': (f'{_HERE}.opencv', 'MedianFlowTracker'),
    'mil': (f'{_HERE}.opencv', 'MilTracker'),
    'centroid': (f'{_HERE}.centroid', 'CentroidTracker'),
    'nano': (f'{_HERE}.opencv', 'NanoTracker'),
    'vit': (f'{_HERE}.opencv', 'VitTracker'),
}

TRACKER_NAMES = tuple(_TRACKERS)


def _load(name: str):
    if name not in _TRACKERS:
        raise ValueError(f'tracker must be one of {", ".join(TRACKER_NAMES)}, got {name!r}')
    module, class_name = _TRACKERS[name]
    return getattr(importlib.import_module(module), class_name)


def availability() -> dict[str, str]:
    """Return for every tracker '' when this machine can make it, or else the reason."""
    reasons = {}
    for name in TRACKER_NAMES:
        try:
            _load(name)()
            reasons[name] = ''
        except (ImportError, FileNotFoundError) as error:
            reasons[name] = str(error)
    return reasons


def make_tracker(name: str, weights=()) -> VisualTracker:
    """
    Return a new visual tracker; `weights` are the paths of the files that `nano` and `vit` need.

    Raises ValueError for an unknown name or for weights that do not fit, RuntimeError when this
    machine lacks what it needs.
    """
    tracker = _load(name)
    if not weights:
        arguments = ()
    elif hasattr(tracker, 'weights'):
        arguments = (weights,)
    else:
        raise ValueError(f"tracker '{name}' takes no weights, got {list(weights)}")
    try:
        return tracker(*arguments)
    except (ImportError, FileNotFoundError) as error:
        usable = [other for other, reason in availability().items() if not reason]
        raise RuntimeError(f"tracker '{name}' cannot be used here: {error} "
                           f'(usable: {", ".join(usable) or "none"})') from error


def can_be_moved(tracker: VisualTracker) -> bool:
    """Tell whether a tracker has `expect`."""
    return hasattr(tracker, 'expect')


def start_all(trackers, image: np.ndarray, boxes) -> None:
    """Start trackers of one kind on a box each: all at once where that kind can."""
    if trackers and hasattr(trackers[0], 'start_many'):
        trackers[0].start_many(trackers, image, boxes)
        return
    for tracker, box in zip(trackers, boxes, strict=True):
        tracker.start(image, box)


def update_all(trackers, image: np.ndarray, camera: Camera | None = None, others=(),
               brief: bool = False) -> list[tuple[np.ndarray, float]]:
    """
    Update trackers of one kind: all at once where that kind can, else one by one.

    Of use to those that can: the camera, for its motion since the last image; others, the boxes
    (N, 4) of more objects, not to be mistaken for one of these; brief, there are more objects
    than time, so whoever can do with less work is to.
    """
    if trackers and hasattr(trackers[0], 'update_many'):
        return trackers[0].update_many(trackers, image, camera, others, brief)
    return [tracker.update(image) for tracker in trackers]
