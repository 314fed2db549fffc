"""
The waiting room in front of a tracking session: bounded, and the newest image goes first.

Events are taken in the order in which they arrived.  When work is behind, so that more than one
image waits, only the newest is worked on; those before it are handed on as skipped, so that a
detection may still speak about them.  But where work kept up until something took long, as a
correction does, the two before the newest are worked on too.  Detections and answers are never
dropped, but for those that a reset makes meaningless.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from acme_tracking.detections import Detections
from acme_tracking.sessions.events import (
    DetectionsArrived,
    ImageArrived,
    ImagesDropped,
    ImageSkipped,
    Refused,
    Reset,
)
import numpy as np

# Images that wait beyond this are dropped, the oldest first; the newest always stays.
MAXIMUM_IMAGES, MAXIMUM_BYTES = 60, 100_000_000
# So many images at most are worked on though newer ones wait, and each only after another that was
# done before the next came: who never is that quick would only become later by it.
MADE_UP = 2


@dataclass(frozen=True, eq=False)
class WaitingImage:
    """An image that is not read yet: `read` returns its array or raises ValueError."""

    time: int
    stamp: int
    bytes: int  # noqa: A003
    read: Callable[[], np.ndarray]
    origin: object = None  # handed back with the event, for whoever publishes


@dataclass(frozen=True, eq=False)
class WaitingDetections:
    """Detections that are not read yet: `read` returns them or raises ValueError."""

    time: int
    stamp: int
    read: Callable[[], Detections]
    origin: object = None


class Inbox:
    """
    What waits for a session.

    It belongs to one thread at a time: who shares it between threads guards it with a lock.
    """

    def __init__(self, images: int = MAXIMUM_IMAGES, bytes: int = MAXIMUM_BYTES):  # noqa: A002
        """Let at most so many images, of so many bytes together, wait."""
        self._limits = images, bytes
        self._waiting = deque()
        self._images = self._bytes = self._dropped = 0
        self._make_up, self._in_work = 0, False

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._waiting)

    @property
    def bytes(self) -> int:  # noqa: A003
        """The memory of the images that wait."""
        return self._bytes

    def put(self, event) -> None:
        """Let an event wait, or what becomes one; a `Reset` drops images and detections before."""
        if isinstance(event, Reset):
            self._keep(lambda waiting: not isinstance(waiting, (WaitingImage, WaitingDetections)))
        self._waiting.append(event)
        if isinstance(event, WaitingImage):
            self._images, self._bytes = self._images + 1, self._bytes + event.bytes
            most, limit = self._limits
            while self._images > 1 and (self._images > most or self._bytes > limit):
                self._drop_oldest()

    def take(self):
        """
        Return the next event and its `origin`, if it has one; None when nothing waits.

        To be called when the work on what was taken before is done: where it is None, work keeps
        up.  What cannot be read becomes `Refused`.
        """
        if not self._waiting:
            self._make_up = min(MADE_UP, self._make_up + self._in_work)
            self._in_work = False
            return None
        if self._dropped:
            event, self._dropped = ImagesDropped(self._waiting[0].time, self._dropped), 0
            return event, None
        waiting = self._waiting.popleft()
        if isinstance(waiting, WaitingImage):
            self._images, self._bytes = self._images - 1, self._bytes - waiting.bytes
            self._in_work = self._images <= self._make_up
            if self._in_work and self._images:
                self._make_up -= 1
            return _read(waiting, ImageArrived if self._in_work else ImageSkipped, 'images')
        if isinstance(waiting, WaitingDetections):
            return _read(waiting, DetectionsArrived, 'detections')
        return waiting, None

    def _drop_oldest(self):
        oldest = next(event for event in self._waiting if isinstance(event, WaitingImage))
        self._keep(lambda event: event is not oldest)
        self._dropped += 1

    def _keep(self, wanted):
        self._waiting = deque(event for event in self._waiting if wanted(event))
        images = [event for event in self._waiting if isinstance(event, WaitingImage)]
        self._images, self._bytes = len(images), sum(event.bytes for event in images)


def _read(waiting, kind, what):
    try:
        return kind(waiting.time, waiting.stamp, waiting.read()), waiting.origin
    except ValueError as error:
        return Refused(waiting.time, what, str(error)), None
