"""The last images by their stamp, so that a late detection can be fused where it was made."""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

import numpy as np


class ImageBuffer:
    """A ring of images, bounded in seconds and in bytes; the newest image always stays."""

    def __init__(self, seconds: float, megabytes: float):
        """Keep the images of the last `seconds`, in at most `megabytes`."""
        self._duration = int(seconds * 1e9)
        self._capacity = int(megabytes * 1e6)
        self._stamps = deque()
        self._images = deque()
        self.bytes = 0

    def __len__(self) -> int:
        """Return the number of images kept."""
        return len(self._stamps)

    def add(self, stamp: int, image: np.ndarray) -> None:
        """Append an image; raises ValueError when its stamp is not later than the last one."""
        if self._stamps and stamp <= self._stamps[-1]:
            raise ValueError(f'image stamps must increase, got {stamp} after {self._stamps[-1]}')
        self._stamps.append(stamp)
        self._images.append(image)
        self.bytes += image.nbytes
        while len(self._stamps) > 1 and (self._stamps[0] < stamp - self._duration
                                         or self.bytes > self._capacity):
            self._stamps.popleft()
            self.bytes -= self._images.popleft().nbytes

    def nearest(self, stamp: int) -> int | None:
        """Return the kept stamp nearest to `stamp`, or None when `stamp` is older than all."""
        if not self._stamps or stamp < self._stamps[0]:
            return None
        position = bisect_left(self._stamps, stamp)
        around = [self._stamps[i] for i in (position - 1, position) if 0 <= i < len(self)]
        return min(around, key=lambda kept: abs(kept - stamp))

    def get(self, stamp: int) -> np.ndarray:
        """Return the image of a kept stamp; raises KeyError for another."""
        position = bisect_left(self._stamps, stamp)
        if position == len(self) or self._stamps[position] != stamp:
            raise KeyError(stamp)
        return self._images[position]

    def after(self, stamp: int, limit: int) -> list[tuple[int, np.ndarray]]:
        """
        Return the images later than `stamp`, oldest first, thinned evenly to at most `limit`.

        The newest one is always among them: a replay must end in the present.
        """
        first = bisect_right(self._stamps, stamp)
        count = len(self) - first
        chosen = range(first, len(self))
        if count > limit:
            chosen = [first - 1 + round((i + 1) * count / limit) for i in range(limit)]
        return [(self._stamps[i], self._images[i]) for i in chosen]
