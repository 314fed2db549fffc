"""The thread on which the camera node opens and reads its source."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
import queue
import threading

from acme_tracking.sessions.events import ImageRead, SourceEnded, SourceFailed
from acme_tracking.sources import Source

NAME = 'image source'


class SourceThread:
    """
    A source on a thread of its own, which may hang as long as it likes.

    What it says are events of the camera session, still without their time.  A live source is read
    without pause, and only its newest image is kept; a recording gives one image for each `read`.
    """

    def __init__(self, opener: Callable[[], Source], clock: Callable[[], int]):
        """Read what `opener()` returns; `clock()` gives the stamps of live images."""
        self._opener, self._clock = opener, clock
        self._orders = queue.SimpleQueue()
        self._news, self._changed = deque(), threading.Condition()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._thread.start()

    def read(self, restart: bool = False) -> None:
        """Ask a recording for an image, the first when it is to `restart`."""
        self._orders.put(restart)

    def take(self, timeout: float):
        """Return the oldest news, (type of event, values), or None after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._news, timeout)
            return self._news.popleft() if self._news else None

    def leave(self, timeout: float = 0.3) -> None:
        """Close the source as soon as it answers; wait for that for at most `timeout` seconds."""
        self._left.set()
        self._orders.put(None)
        self._thread.join(timeout)

    def _run(self):
        try:
            source = self._opener()
        except Exception as error:
            self._say(SourceFailed, str(error))
            return
        try:
            (self._stream if source.live else self._serve)(source)
        finally:
            source.close()

    def _stream(self, source):
        kind = ImageRead
        while kind is ImageRead and not self._left.is_set():
            kind, *values = self._next(source)
            self._say(kind, *values)

    def _serve(self, source):
        for restart in iter(self._orders.get, None):
            self._say(*self._next(source, restart))

    def _next(self, source, restart=False):
        try:
            if restart:
                source.restart()
            image = source.read()
        except Exception as error:
            return SourceFailed, str(error)
        if image is None:
            return SourceEnded, source.ended_early
        return ImageRead, image, self._clock() if source.live else source.offset

    def _say(self, kind, *values):
        with self._changed:
            if self._news and self._news[-1][0] is ImageRead is kind:
                self._news.pop()  # nobody took it, and this one is newer
            self._news.append((kind, *values))
            self._changed.notify()
