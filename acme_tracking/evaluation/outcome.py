"""What a way of tracking made of a sequence: the value that is judged."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from acme_tracking.detections import Detections
import numpy as np

# States of a track on an image.
FOLLOWED, COASTING = 0, 1


@dataclass(eq=False)
class Outcome:
    """
    What one mode made of a sequence.

    stamps: of the images, nanoseconds, increasing.  tracks: Detections with ids, for each image.
    states: for each image an int array, FOLLOWED or COASTING for each track.  detected: stamps of
    the images that the CNN ran on.  corrected: (stamp, id) of every detection that a track took.
    requests: how often the detector was asked for each reason.  seconds: what each image took,
    without CNN.  ages: how old each image was when its tracks were published, in seconds.  lost:
    how many images nothing was said about.
    """

    stamps: list[int] = field(default_factory=list)
    tracks: list[Detections] = field(default_factory=list)
    states: list[np.ndarray] = field(default_factory=list)
    detected: list[int] = field(default_factory=list)
    corrected: list[tuple[int, int]] = field(default_factory=list)
    requests: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, stamp: int, tracks: Detections | None, states=()) -> None:
        """Append what was said about the next image; None where nothing was."""
        self.stamps.append(stamp)
        self.lost += tracks is None
        self.tracks.append(Detections.empty() if tracks is None else tracks)
        self.states.append(np.asarray(states, dtype=np.int8))
