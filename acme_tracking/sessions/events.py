"""
What happens to a session (events), and what it wants done (actions).

Every event carries its `time`: integer nanoseconds on one clock that never goes back, the node's
own or a virtual one.  `stamp` is the time in the header of an image, nanoseconds too, on whatever
clock the camera has; it is what pairs images with detections.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acme_tracking.detections import Detections
from acme_tracking.positions.camera import Calibration, Mount
from acme_tracking.positions.locator import Positions
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
    """
    Time goes on, about once per second; the answer is a `Report`.

    senders: the names of the nodes that publish the images which are to come; for the detection
    session by camera.
    """

    time: int
    senders: Sequence[str] | Mapping[str, Sequence[str]] = ()


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
    hands on whatever it got, for a detector that decodes it.  `clock` is what the clock of the
    stamps, as far as this host knows it, showed at `time`; None for unknown.  `camera` is one of
    several that a detector looks at.
    """

    time: int
    stamp: int
    image: Any
    clock: int | None = None
    camera: str = ''


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


@dataclass(frozen=True)
class TracksPublished:
    """What the last `PublishTracks` said is out; there is time for what was put off."""

    time: int


# Events of the detection session


@dataclass(frozen=True)
class Asked:
    """
    Somebody asks for a detection; `caller` is who to answer, and only handed back.

    urgent: whether an object is lost, or there is none; not so when it is time to look again.
    """

    time: int
    caller: Any
    camera: str = ''
    urgent: bool = True


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
    """
    The weights of these parameters are used from now on, unless there is an `error`.

    together: on how many images of several cameras they run at once.
    """

    time: int
    parameters: Any
    error: str = ''
    together: int = 1


# Events of the camera session


@dataclass(frozen=True)
class Activated:
    """Images are to be published from now on."""

    time: int


@dataclass(frozen=True)
class Deactivated:
    """No image is to be published any more."""

    time: int


@dataclass(frozen=True)
class Listeners:
    """So many subscriptions of the images there are now."""

    time: int
    count: int


@dataclass(frozen=True, eq=False)
class ImageRead:
    """
    The source gave an image.

    stamp: when it came; of a recording, nanoseconds since its first image, None if unknown.
    """

    time: int
    image: Any
    stamp: int | None = None


@dataclass(frozen=True)
class SourceEnded:
    """The source has no more images; `early` says what is missing of a recording."""

    time: int
    early: str = ''


@dataclass(frozen=True)
class SourceFailed:
    """The source could not be opened or read, and why."""

    time: int
    why: str


@dataclass(frozen=True)
class Woken:
    """The time of the latest `WaitUntil` has come."""

    time: int


# Events of the recorder and the location session


@dataclass(frozen=True, eq=False)
class TracksArrived:
    """The tracks on the image of `stamp`, which was `age` nanoseconds old by then."""

    time: int
    stamp: int
    tracks: Detections
    age: int = 0


# Events of the recorder session


@dataclass(frozen=True)
class HealthArrived:
    """What the camera or the tracker (`node`) said on /diagnostics, all as text."""

    time: int
    node: str
    values: dict


@dataclass(frozen=True)
class FrameWritten:
    """A frame was written, or could not be, and then no other can."""

    time: int
    error: str = ''


# Events of the location session


@dataclass(frozen=True)
class CameraInfoArrived:
    """What the camera says of itself."""

    time: int
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class DepthArrived:
    """The depth image of `stamp`: float32 (H, W), metres, 0 or NaN where there is none."""

    time: int
    stamp: int
    depth: np.ndarray


@dataclass(frozen=True, eq=False)
class MountFound:
    """Where tf says that the camera is; None when it does not say, and why."""

    time: int
    mount: Mount | None
    why: str = ''


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


@dataclass(frozen=True)
class End:
    """When everything has been delivered, end the process with this exit status."""

    status: int


# Actions of the tracking session


@dataclass(frozen=True, eq=False)
class PublishTracks:
    """The tracks on the image of `stamp`: confirmed and coasting ones, and tentative ones."""

    stamp: int
    confirmed: Detections
    tentative: Detections


@dataclass(frozen=True)
class Request:
    """
    Ask the detector; its answer comes back as `Answered` with this ticket.

    urgent: whether it comes before those of other cameras that are not.
    """

    ticket: int
    reason: str
    urgent: bool = True


@dataclass(frozen=True)
class Cancel:
    """Do not wait any longer for the answer to this ticket."""

    ticket: int


# Actions of the detection session


@dataclass(frozen=True, eq=False)
class StartRun:
    """
    Run the CNN on an image; the result comes back as `RunFinished` with this number.

    Those that are wanted at once are to run together.
    """

    run: int
    stamp: int
    image: Any


@dataclass(frozen=True, eq=False)
class PublishDetections:
    """Publish what a run found on an image of a camera, with the header of the image."""

    stamp: int
    image: Any
    detections: Detections
    camera: str = ''


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


# Actions of the camera session


@dataclass(frozen=True)
class OpenSource:
    """Open the live source of these parameters; each of its images comes as `ImageRead`."""

    parameters: Any


@dataclass(frozen=True)
class CloseSource:
    """Leave the live source, even while it hangs; nothing of it may come any more."""


@dataclass(frozen=True)
class ReadNext:
    """Read one image of the recording, the first when it is to `restart`."""

    restart: bool = False


@dataclass(frozen=True, eq=False)
class Publish:
    """Publish an image; `stamp` None is the time at which it is published."""

    image: Any
    stamp: int | None


@dataclass(frozen=True)
class WaitUntil:
    """Send `Woken` at this time, and no more at the one before; None for never."""

    time: int | None


# Actions of the location session


@dataclass(frozen=True, eq=False)
class PublishPositions:
    """
    Publish how the tracks on the image of `stamp` move; `path_width` in metres.

    located: whether positions can be told at all, without which there are only times to contact.
    """

    stamp: int
    positions: Positions
    path_width: float
    located: bool


# Actions of the recorder session


@dataclass(frozen=True, eq=False)
class WriteFrame:
    """Write a frame with its tracks; the answer is `FrameWritten`."""

    stamp: int
    image: Any
    tracks: Detections
    detector_ran: bool


@dataclass(frozen=True)
class Progress:
    """Show how far it is, in place of the line before."""

    text: str
