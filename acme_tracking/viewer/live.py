"""The messages of a graph, which come in any order, as a recording."""
from __future__ import annotations

from acme_tracking.messages import (
    detections_from_msg,
    diagnostics_from_msg,
    image_from_compressed,
    image_from_msg,
    stamp_to_ns,
)
from acme_tracking.sessions.tracking import TIME_JUMP

# So many images wait for their tracks; then they are shown without.
WAITING = 10
# The arrival of so many images is remembered, for answers about them.
REMEMBERED = 1000
REQUESTS = 'requests.'
LEVELS = ('INFO', 'WARN', 'ERROR', 'ERROR')  # of diagnostics: ok, warning, error, stale
JPEG = b'\xff\xd8'


class LiveRecording:
    """
    Shows an image when its tracks have come, so that both are seen together.

    Images that the tracker skipped are left out.  Where no tracks come, images are shown all the
    same.  When time jumps back (a bag that loops), another recording begins.  Every method takes
    the time of arrival, nanoseconds on any one clock, and the message; it raises ValueError for
    one that cannot be read.
    """

    def __init__(self, begin, namespace: str = ''):
        """Record into `begin()`, a `TrackingRecording`; `namespace` is that of the nodes."""
        self._begin, self._recording, self._namespace = begin, begin(), namespace
        self._forget()

    def _forget(self):
        self._waiting, self._arrived = {}, {}  # images, and when they came, by stamp
        self._newest, self._tracked = None, -1
        self._counts, self._said = {}, {}

    def image(self, time: int, message) -> None:
        """Take an image, raw or compressed."""
        stamp = stamp_to_ns(message.header.stamp)
        if self._newest is not None and self._newest - stamp >= TIME_JUMP:
            self.close()
            self._recording = self._begin()
            self._forget()
        self._newest = max(stamp, self._newest or 0)
        self._arrived[stamp] = time
        if len(self._arrived) > REMEMBERED:
            del self._arrived[next(iter(self._arrived))]
        if stamp > self._tracked:
            self._waiting[stamp] = message
        if len(self._waiting) > WAITING:
            oldest = min(self._waiting)
            self._recording.image(oldest, _picture(self._waiting.pop(oldest)))

    def tracks(self, time: int, message) -> None:
        """Take the tracks on an image."""
        stamp = self._tracked = stamp_to_ns(message.header.stamp)
        image = self._waiting.get(stamp)
        self._waiting = {other: one for other, one in self._waiting.items() if other > stamp}
        if image is not None:
            self._recording.image(stamp, _picture(image))
        self._recording.tracks(stamp, detections_from_msg(message), self._age(stamp, time))

    def detections(self, time: int, message) -> None:
        """Take what the CNN found on an image."""
        stamp = stamp_to_ns(message.header.stamp)
        self._recording.run(stamp, detections_from_msg(message), self._age(stamp, time))

    def truth(self, time: int, message) -> None:
        """Take what is truly on an image."""
        self._recording.truth(stamp_to_ns(message.header.stamp), detections_from_msg(message))

    def diagnostics(self, time: int, message) -> None:
        """Take what nodes say of themselves; before the first image there is no time to put it."""
        for node, level, text, values in diagnostics_from_msg(message, self._namespace):
            if self._newest is None:
                return
            if self._said.get(node) != text:
                self._said[node] = text
                self._recording.event(self._newest, node, text, LEVELS[min(level, 3)])
            counts = {key.removeprefix(REQUESTS): int(value) for key, value in values.items()
                      if key.startswith(REQUESTS) and value.isdecimal()}
            if counts:
                self._requests(node, counts)

    def _requests(self, node, counts):
        """Messages do not tell why the CNN runs: the counts do, once a second."""
        for reason, count in counts.items():
            number = count - self._counts.get(reason, count)
            if number > 0:
                self._recording.event(self._newest, node, f'asked {number} x: '
                                      + reason.replace('_', ' '))
        self._recording.requests(self._newest, counts)
        self._counts = counts

    def _age(self, stamp, time):
        """Return the seconds since an image came, None when it did not."""
        arrived = self._arrived.get(stamp)
        return None if arrived is None else max(0, time - arrived) * 1e-9

    def close(self) -> None:
        """Show what still waits, and deliver everything."""
        for stamp in sorted(self._waiting):
            self._recording.image(stamp, _picture(self._waiting[stamp]))
        self._recording.close()


def _picture(message):
    """Return a JPEG file as it is, all else as pixels."""
    if hasattr(message, 'encoding'):
        return image_from_msg(message)
    data = bytes(message.data)
    return data if data.startswith(JPEG) else image_from_compressed(message)
