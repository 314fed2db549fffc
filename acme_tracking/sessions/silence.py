"""What is said when no images come: who should send them, if anybody."""
from __future__ import annotations

from collections.abc import Sequence

from acme_tracking.sessions.events import Warn

# A camera may wait for others before it begins, and a detector takes long to start if it is busy.
PATIENCE = 120_000_000_000
# What is between a sender and a receiver that know of each other, when nothing arrives.
REASONS = ("a process of another user (shared memory is one user's), a network that loses large "
           'messages, or a camera that stands still')


class Silence:
    """Tells of silence; a sender that is not heard is a line in the log, once until it is."""

    def __init__(self):
        """Nothing has been said."""
        self._said = False

    def report(self, senders: Sequence[str], silent: int) -> tuple[str, list[Warn]]:
        """
        Return the message for `/diagnostics`, and what to log.

        senders: the names of those who publish images.  silent: nanoseconds without any.
        """
        if not senders:
            return 'no images', []
        message = f'no images from {" and ".join(senders)}'
        if self._said or silent < PATIENCE:
            return message, []
        self._said = True
        return message, [Warn(
            f'{message}, who publishes them: {REASONS}; see docs/reliability.md')]

    def end(self) -> None:
        """Images come (again)."""
        self._said = False
