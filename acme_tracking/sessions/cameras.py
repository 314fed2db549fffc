"""
What the detector knows of each of its cameras: the newest image, its age, and who waits for it.

Whose turn it is follows from when cameras are due: one whose tracker cannot wait as soon as it
asks, another a while later.  The earliest goes first (Liu and Layland, 1973).  So what is urgent
overtakes what is not, but for that while alone; and as every camera has one place in the queue,
however often it asks, at most one run of each other camera is then still ahead.
"""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
import re
import statistics
from typing import Any

from acme_tracking.sessions.events import ImageArrived
from acme_tracking.sessions.silence import Silence

SECOND = 1_000_000_000
# Images are missed when none came for so long, and for so many times their usual interval.
SILENCE, INTERVALS_OF_SILENCE = 3 * SECOND, 3
# The usual interval is the median of so many.
INTERVALS = 10
# Stamps that are further ahead of this host's clock are of another one, and so are those further
# behind, unless they came to be so without a jump.
AHEAD, BEHIND = SECOND, 60 * SECOND
NAMESPACE = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


class Camera:
    """
    A camera, and its place in the queue; times in nanoseconds.

    newest: the image that came last; None before the first.  shared: whether its stamp is of the
    clock of this host.  callers: who waits for a run that has not begun.  counts: its images and
    runs.
    """

    def __init__(self, name: str):
        """Nothing has come from the camera `name`, '' for the only one."""
        self.name, self.counts, self._silence = name, Counter(), Silence()
        self.forget()

    def forget(self) -> None:
        """Forget the images and who waits."""
        self.newest: ImageArrived | None = None
        self.shared = False
        self.callers: list[Any] = []
        self._asked_at = self._due = 0
        self._seen: ImageArrived | None = None  # the image that the CNN ran on last
        self._began = float('-inf')  # when it did
        self._heard_at: int | None = None  # when images came last, or began to be waited for
        self._intervals = deque(maxlen=INTERVALS)

    def of(self, text: str) -> str:
        """Return a text about this camera, with its name."""
        return f'{self.name}: {text}' if self.name else text

    # Images

    def arrived(self, event: ImageArrived) -> None:
        """Take an image."""
        if self.newest is not None:
            self._intervals.append(event.time - self.newest.time)
        self.shared = self._shares_clock(event)
        self.newest, self._heard_at = event, event.time
        self._silence.end()
        self.counts['images'] += 1

    def _shares_clock(self, event) -> bool:
        """Tell whether the stamp is of this host's clock: near it, or gone from it bit by bit."""
        if event.clock is None or event.clock - event.stamp < -AHEAD:
            return False
        if event.clock - event.stamp <= BEHIND:
            return True
        last = self.newest
        return self.shared and event.stamp >= last.stamp and abs(
            (event.clock - last.clock) - (event.time - last.time)) <= AHEAD

    def age(self, time: int) -> float:
        """Return how old the newest image is, in seconds."""
        newest = self.newest
        on_its_way = max(0, newest.clock - newest.stamp) if self.shared else 0
        return (time - newest.time + on_its_way) / SECOND

    def why_not(self, time: int, limit: float) -> str:
        """Return why the CNN cannot run on it, at most `limit` seconds old unless 0; '' if so."""
        if self.newest is None:
            return 'no image yet'
        age = self.age(time)
        return f'newest image is {age:.1f} s old' if limit and age > limit else ''

    def wait_from(self, time: int) -> None:
        """Wait for images, at the latest from now on."""
        if self._heard_at is None:
            self._heard_at = time

    def silent(self, time: int, senders: Sequence[str]) -> tuple[str, list]:
        """Return what is said of a camera that is silent for too long, as `Silence.report`."""
        usual = statistics.median(self._intervals) if self._intervals else 0
        silent = time - self._heard_at
        if silent <= max(SILENCE, INTERVALS_OF_SILENCE * usual):
            return '', []
        return self._silence.report(senders, silent)

    # The queue

    def ask(self, caller, time: int, due: int) -> None:
        """Let a caller wait for a run that is due at a time, or for one that is due before."""
        if not self.callers:
            self._asked_at, self._due = time, due
        self._due = min(self._due, due)
        self.callers.append(caller)

    def due(self, continuous: bool, wait: int) -> float | None:
        """Return when it is due; None when it is not, as nobody waits or there is no new image."""
        if self.callers:
            return self._due
        return self._began + wait if continuous and self.newest is not self._seen else None

    def dismiss(self) -> list:
        """Return who waits, and let none wait any more."""
        callers, self.callers = self.callers, []
        return callers

    def begin(self, time: int) -> tuple[list, int]:
        """Begin a run on the newest image; return who waits for it, and how long the first did."""
        waited = time - self._asked_at if self.callers else 0
        self._seen, self._began = self.newest, time
        return self.dismiss(), waited


def below(camera: str, name: str) -> str:
    """Return the name of a topic or service of a camera; '' is the only one."""
    return f'{camera}/{name}' if camera else name


def cameras_of(names: Sequence[str]) -> dict[str, Camera]:
    """Return cameras by name, the only one as ''; ValueError for names that cannot be."""
    for name in names:
        if not NAMESPACE.fullmatch(name):
            raise ValueError("parameter 'cameras' must hold namespaces such as front or "
                             f'left/wing, got {name!r}')
        if names.count(name) > 1:
            raise ValueError(f"parameter 'cameras' must name each once, got {name!r} twice")
    return {name: Camera(name) for name in names or ('',)}
