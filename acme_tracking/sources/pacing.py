"""When the images of a source are due: arithmetic on times in nanoseconds."""
from __future__ import annotations

# After a delay of more periods than this a schedule starts anew, because a burst of images would
# overflow the queues of those who listen.
PATIENCE = 2


def period_ns(rate: float) -> int:
    """Return the time between two images, of which `rate` > 0 come per second."""
    return max(1, round(1e9 / rate))


def next_due(previous: int | None, period: int, now: int) -> int:
    """
    Return when the next image of a recording is due: `period` after the previous one was.

    It counts from when the previous image was due, not from when it was shown, so that errors do
    not add up and a short delay is made up for; None when there is none, and after a long delay.
    """
    if previous is None or now - previous > (1 + PATIENCE) * period:
        return now
    return previous + period


def thinned(due: int | None, period: int, now: int) -> int | None:
    """
    Return when the image after this one of a live source is due; None leaves this one out.

    due: what this returned for the latest image that was not left out, None for the first.  A
    camera is not exact either: an image counts from half a period before it is due.
    """
    if due is None or now - due > period:
        return now + period
    return due + period if 2 * now > 2 * due - period else None
