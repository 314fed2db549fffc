"""The thread on which a session works, so that the executor only receives."""
from __future__ import annotations

import threading

from acme_tracking.sessions.inbox import Inbox


class Worker:
    """A thread that takes what waits in an `Inbox`, and sleeps while nothing does."""

    def __init__(self, name: str, handle):
        """Call `handle(event, origin)` for everything that is put."""
        self._handle, self._inbox, self._open = handle, Inbox(), True
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, event) -> None:
        """Let an event wait; may be called from any thread."""
        with self._news:
            self._inbox.put(event)
            self._news.notify()

    def close(self) -> None:
        """Finish the present event, leave what waits, and end the thread."""
        with self._news:
            self._open = False
            self._news.notify()
        self._thread.join()

    def _work(self):
        while (taken := self._next()) is not None:
            self._handle(*taken)

    def _next(self):
        """Wait for the next event; None when there is no more."""
        with self._news:
            while self._open:
                taken = self._inbox.take()
                if taken is not None:
                    return taken
                self._news.wait()
        return None
