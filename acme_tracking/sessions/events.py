"""
What happens to a session (events), and what it wants done (actions).

Every event carries its `time`: integer nanoseconds on one clock that never goes back, the node's
own or a virtual one.  `stamp` is the time in the header of an image, nanoseconds too, on whatever
clock the camera has; it is what pairs images with detections.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from acme_tracking.detections import Detections
import numpy as np

# Events of every session


@dataclass(frozen=True)
class Configured:
    """The parameters, an immutable snapshot, are these from now on."""

    time: int
    parameters: Any


@dataclass(frozen=True)
class Reset:
    """What was before counts no more: a call of `~/reset`, or the node was deactivated."""

    time: int


@dataclass(frozen=True)
class Tick:
    """Time goes on, about once per second; the answer is a `Report`."""

    time: int


@dataclass(frozen=True)
class Refused:
    """A message (`what`: images or detections) could not be read, and why."""

    time: int
    what: str
    why: str


@dataclass(frozen=True, eq=False)
class ImageArrived:
    """
    An image to work on.

    The tracking session takes an array, uint8 (H, W, 3) BGR or (H, W) grey; the detection session
    hands on whatever it got, for a detector that decodes it.
    """

    time: int
    stamp: int
    image: Any


# Events of the tracking session


@dataclass(frozen=True, eq=False)
class ImageSkipped:
    """An image that is not worked on, for a newer one waits; a detection may speak about it."""

    time: int
    stamp: int
    image: np.ndarray


@dataclass(frozen=True)
class ImagesDropped:
    """So many images had to be thrown away unseen: too many waited."""

    time: int
    count: int


@dataclass(frozen=True, eq=False)
class DetectionsArrived:
    """What a detector found on the image of `stamp`."""

    time: int
    stamp: int
    detections: Detections


@dataclass(frozen=True)
class Answered:
    """The detector answered the request with this ticket; `message` says why it failed."""

    time: int
    ticket: int
    success: bool
    message: str = ''


@dataclass(frozen=True)
class DetectorSeen:
    """The service of the detector appeared, or is gone."""

    time: int
    present: bool


# Events of the detection session


@dataclass(frozen=True)
class Asked:
    """Somebody asks for a detection; `caller` is who to answer, and only handed back."""

    time: int
    caller: Any


@dataclass(frozen=True, eq=False)
class RunFinished:
    """A run of the CNN ended: `detections`, or None and the `error`."""

    time: int
    run: int
    detections: Detections | None
    error: str = ''


@dataclass(frozen=True)
class WeightsSet:
    """Somebody set the weights, or what is loaded with them, perhaps to the same files again."""

    time: int
    parameters: Any


@dataclass(frozen=True)
class WeightsLoaded:
    """The weights of these parameters are used from now on, unless there is an `error`."""

    time: int
    parameters: Any
    error: str = ''


# Actions of every session


@dataclass(frozen=True)
class Warn:
    """Say something in the log; `level` is info, warning or error."""

    text: str
    level: str = 'warning'


@dataclass(frozen=True)
class Report:
    """The health of the node for `/diagnostics`; `level` is ok, warning or error."""

    level: str
    message: str
    values: dict = field(default_factory=dict)


# Actions of the tracking session


@dataclass(frozen=True, eq=False)
class PublishTracks:
    """The tracks on the image of `stamp`: confirmed and coasting ones, and tentative ones."""

    stamp: int
    confirmed: Detections
    tentative: Detections


@dataclass(frozen=True)
class Request:
    """Ask the detector; its answer comes back as `Answered` with this ticket."""

    ticket: int
    reason: str


@dataclass(frozen=True)
class Cancel:
    """Do not wait any longer for the answer to this ticket."""

    ticket: int


# Actions of the detection session


@dataclass(frozen=True, eq=False)
class StartRun:
    """Run the CNN on an image; the result comes back as `RunFinished` with this number."""

    run: int
    stamp: int
    image: Any


@dataclass(frozen=True, eq=False)
class PublishDetections:
    """Publish what a run found, with the header of its image."""

    stamp: int
    image: Any
    detections: Detections


@dataclass(frozen=True)
class Answer:
    """Answer a caller."""

    caller: Any
    success: bool
    message: str


@dataclass(frozen=True)
class LoadWeights:
    """Load the weights of these parameters, after the run in progress: `WeightsLoaded` follows."""

    parameters: Any


@dataclass(frozen=True)
class RestoreWeights:
    """Set these parameters back to what is in use."""

    values: dict
