"""The last images by their stamp, so that a late detection can be fused where it was made."""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

# Detectors of others round stamps: an image is meant when it is so near, in nanoseconds.
ROUNDING = 1_000_000


@dataclass(frozen=True, eq=False)
class _Entry:
    stamp: int
    image: np.ndarray
    followed: bool


class ImageBuffer:
    """A ring of images, bounded in seconds and in bytes; the newest image always stays."""

    def __init__(self, seconds: float, megabytes: float):
        """Keep the images of the last `seconds`, in at most `megabytes`."""
        self._duration = int(seconds * 1e9)
        self._capacity = int(megabytes * 1e6)
        self._entries: list[_Entry] = []
        self.bytes = 0

    def __len__(self) -> int:
        """Return the number of images kept."""
        return len(self._entries)

    @property
    def oldest(self) -> int | None:
        """The stamp of the oldest image kept."""
        return self._entries[0].stamp if self._entries else None

    @property
    def newest(self) -> int | None:
        """The stamp of the newest image."""
        return self._entries[-1].stamp if self._entries else None

    def add(self, stamp: int, image: np.ndarray, followed: bool = True) -> None:
        """
        Append an image; raises ValueError when its stamp is not later than the last one.

        An image that is not `followed` was skipped: detections may speak about it, but a replay
        passes it over.
        """
        if self._entries and stamp <= self._entries[-1].stamp:
            raise ValueError('image stamps must increase, got '
                             f'{stamp} after {self._entries[-1].stamp}')
        self._entries.append(_Entry(stamp, image, followed))
        self.bytes += image.nbytes
        gone = 0
        while gone < len(self._entries) - 1 and (
                self._entries[gone].stamp < stamp - self._duration or self.bytes > self._capacity):
            self.bytes -= self._entries[gone].image.nbytes
            gone += 1
        del self._entries[:gone]

    def find(self, stamp: int) -> int | None:
        """Return the stamp of the kept image that is meant by `stamp`, or None."""
        position = bisect_left(self._entries, stamp, key=_stamp_of)
        around = [entry.stamp for entry in self._entries[max(0, position - 1):position + 1]]
        nearest = min(around, key=lambda kept: abs(kept - stamp), default=None)
        return nearest if nearest is not None and abs(nearest - stamp) <= ROUNDING else None

    def get(self, stamp: int) -> np.ndarray:
        """Return the image of a kept stamp; raises KeyError for another."""
        position = bisect_left(self._entries, stamp, key=_stamp_of)
        if position == len(self) or self._entries[position].stamp != stamp:
            raise KeyError(stamp)
        return self._entries[position].image

    def after(self, stamp: int, limit: int) -> list[tuple[int, np.ndarray]]:
        """
        Return the followed images later than `stamp`, oldest first, thinned to at most `limit`.

        The newest one is always among them: a replay must end in the present.
        """
        later = [entry for entry in self._entries[bisect_right(self._entries, stamp,
                                                               key=_stamp_of):] if entry.followed]
        if len(later) > limit:
            later = [later[round((i + 1) * len(later) / limit) - 1] for i in range(limit)]
        return [(entry.stamp, entry.image) for entry in later]


def _stamp_of(entry):
    return entry.stamp
