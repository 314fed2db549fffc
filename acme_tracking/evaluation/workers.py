"""
Who evaluates bags: processes of this machine, or the workers of a Dask cluster on many.

Both are an executor and a queue of what it tells on its way, so that whoever uses them need not
know which it is.  A worker that is killed loses its bag to another.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    FIRST_COMPLETED,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
import multiprocessing
import time
from typing import Any

# Seconds: between two looks at what there is to tell; to the first worker of a cluster, or without
# any.
LOOK, PATIENCE = 0.5, 60.0
# A job whose worker was killed so often is given up: it may be what kills it.
ATTEMPTS = 4


@dataclass(frozen=True)
class Workers:
    """
    Where jobs run.

    pool: takes them.  messages: a queue that they `put` into.  count: tells how many workers there
    are now.
    """

    pool: Executor
    messages: Any
    count: Callable[[], int]


@contextmanager
def processes(number: int) -> Iterator[Workers]:
    """Start so many processes."""
    context = multiprocessing.get_context('spawn')
    with context.Manager() as manager, ProcessPoolExecutor(number, mp_context=context) as pool:
        yield Workers(pool, manager.Queue(), lambda: number)


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """
    Use the workers of the Dask scheduler at an address, 'tcp://HOST:PORT'.

    Raises ValueError where the library is not installed, and OSError when nobody answers.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ValueError('Dask is not installed: pip install "acme_tracking[scale]"') from error
    with distributed.Client(address, set_as_default=False) as client:
        yield Workers(client.get_executor(pure=False), distributed.Queue(client=client),
                      lambda: len(client.nthreads()))


def run_all(start: Callable, function: Callable, jobs: dict[str, tuple],
            tell: Callable[..., None]) -> None:
    """
    Call `function(messages, *arguments)` for all jobs, by name, on workers.

    start: makes the context of the workers.  tell: called with the elements of each tuple that the
    function puts into `messages`.  Raises what the function raises, and ValueError, naming the
    job, for one whose workers are killed ATTEMPTS times, or when there are no workers.
    """
    left = dict(jobs)
    for _ in range(ATTEMPTS):
        try:
            with start() as workers:
                return _run(workers, function, left, tell)
        except BrokenExecutor:  # a pool of processes does not outlive any of them
            continue
    raise ValueError(f'{", ".join(left)}: {ATTEMPTS} times a process was killed at it, perhaps '
                     'for its memory; fewer --jobs take less')


def _run(workers, function, left, tell):
    """Do what is left of the jobs, and leave what could not be done."""
    running = {workers.pool.submit(function, workers.messages, *arguments): name
               for name, arguments in left.items()}
    waiting, seen = set(running), time.monotonic()
    try:
        while waiting:
            done, waiting = wait(waiting, LOOK, FIRST_COMPLETED)
            for _ in range(workers.messages.qsize()):
                tell(*workers.messages.get())
            for job in done:
                _finish(job, running[job])
                del left[running[job]]
            seen = time.monotonic() if workers.count() else seen
            if time.monotonic() - seen > PATIENCE:
                raise ValueError(f'there has been no worker for {PATIENCE:g} s')
    except BaseException:
        for job in waiting:
            job.cancel()
        workers.pool.shutdown(wait=False)
        raise


def _finish(job, name):
    """Raise what a job raised, as one line where its worker is to blame."""
    try:
        job.result()
    except BrokenExecutor:
        raise
    except CancelledError as error:
        raise ValueError(f'{name} was cancelled: the scheduler is gone, or somebody else did it'
                         ) from error
    except Exception as error:
        if type(error).__name__ == 'KilledWorker':  # of a library that may not be there
            raise ValueError(f'{name}: {ATTEMPTS} times a worker was killed at it, perhaps for '
                             'its memory') from error
        raise
