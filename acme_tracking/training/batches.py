"""
The batches of a training, made in the process that trains or by others beside it.

A batch depends on its number and on how far the training is at the step that takes it, and not on
who makes it; so a training is the same with any number of workers.
"""
from __future__ import annotations

import multiprocessing

import cv2
import torch

# A forked worker sees the images that its parent has read; a spawned one would copy gigabytes.
CONTEXT = 'fork'
AHEAD = 2  # batches that each worker makes before they are asked for
FOREVER = 2 ** 31


class Length:
    """
    How long a training is: so many steps, or so many minutes, whichever ends first.

    `seconds` is the time spent so far, which all workers see.
    """

    def __init__(self, steps=None, minutes=None, seconds=0.0):
        """Take how much of it was spent before."""
        self.steps, self.minutes = steps, minutes
        self._seconds = multiprocessing.get_context(CONTEXT).Value('d', seconds)

    @property
    def seconds(self) -> float:
        """Return how long the training took until now."""
        return self._seconds.value

    @seconds.setter
    def seconds(self, value: float):
        self._seconds.value = value

    def share(self, step: int) -> float:
        """Return how much of the training is done at a step, 0 to 1."""
        return max(step / self.steps if self.steps else 0.0,
                   self.seconds / (60 * self.minutes) if self.minutes else 0.0)


class Batches(torch.utils.data.Dataset):
    """Batches by their number; `make(done, number)` makes one, `count` belong to a step."""

    def __init__(self, make, length: Length, count: int = 1):
        self.make, self.length, self.count = make, length, count

    def __getitem__(self, number):
        """Return the arrays of a batch."""
        return self.make(self.length.share(number // self.count), number)

    def stream(self, first: int, workers: int, pinned: bool):
        """
        Return an iterator over the batches `first`, `first` + count, ..., as tensors, without end.

        `workers` processes make them ahead, or this one when it is 0.  With `minutes`, those see
        the clock as it stands when they begin.  `pinned` is for copies to a GPU.
        """
        loader = torch.utils.data.DataLoader(
            self, batch_size=None, sampler=range(first, FOREVER, self.count), num_workers=workers,
            prefetch_factor=AHEAD if workers else None, pin_memory=pinned,
            multiprocessing_context=CONTEXT if workers else None,
            generator=torch.Generator())  # one of its own, as a loader draws from it
        # A forked process would wait forever for OpenCV's threads, which are not forked with it.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return iter(loader)
        finally:
            cv2.setNumThreads(threads)
