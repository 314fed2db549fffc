"""What a way of tracking made of a sequence: the value that is judged."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from acme_tracking.detections import Detections
import numpy as np

# States of a track on an image.
FOLLOWED, COASTING = 0, 1


@dataclass(eq=False)
class CnnRun:
    """
    A run of the CNN on the image of `stamp`.

    reason: why it was asked, '' if it was not.  found: None for an answer that never came.
    latency: seconds from the arrival of the image to that of the answer, None if there was no such
    time.
    """

    stamp: int
    reason: str = ''
    found: Detections | None = None
    latency: float | None = None


@dataclass(eq=False)
class Outcome:
    """
    What one mode made of a sequence.

    stamps: of the images, nanoseconds, increasing.  tracks: Detections with ids, for each image.
    states: for each image an int array, FOLLOWED or COASTING for each track.  runs: of the
    CNN.  corrected: (stamp, id) of every detection that a track took.  requests: how often the
    detector was asked for each reason.  seconds: what each image took, without CNN.  ages: how old
    an image was when its tracks were published, in seconds, by stamp.  lost: how many images
    nothing was said about.
    """

    stamps: list[int] = field(default_factory=list)
    tracks: list[Detections] = field(default_factory=list)
    states: list[np.ndarray] = field(default_factory=list)
    runs: list[CnnRun] = field(default_factory=list)
    corrected: list[tuple[int, int]] = field(default_factory=list)
    requests: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    ages: dict[int, float] = field(default_factory=dict)
    lost: int = 0

    @property
    def detected(self) -> list[int]:
        """The stamps of the images that the CNN ran on."""
        return [run.stamp for run in self.runs]

    def add(self, stamp: int, tracks: Detections | None, states=()) -> None:
        """Append what was said about the next image; None where nothing was."""
        self.stamps.append(stamp)
        self.lost += tracks is None
        self.tracks.append(Detections.empty() if tracks is None else tracks)
        self.states.append(np.asarray(states, dtype=np.int8))
