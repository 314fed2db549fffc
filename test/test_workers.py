"""Jobs on workers: what is told on the way, and workers that are killed, without any process."""
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
import queue

from acme_tracking.evaluation import workers
import pytest


@contextmanager
def one_thread(count=1):
    with ThreadPoolExecutor(1) as pool:
        yield workers.Workers(pool, queue.Queue(), lambda: count)


def test_all_jobs_are_done_and_what_they_tell_is_told():
    told = []

    def work(messages, number, other):
        messages.put((number, other))
    workers.run_all(one_thread, work, {'a': (1, 2), 'b': (3, 4)},
                    lambda *words: told.append(words))
    assert told == [(1, 2), (3, 4)]


def test_what_a_killed_process_was_at_is_done_again():
    tried = []

    def work(messages, name):
        tried.append(name)
        if name == 'b' and tried.count('b') < workers.ATTEMPTS:
            raise BrokenProcessPool('killed')
    workers.run_all(one_thread, work, {'a': ('a',), 'b': ('b',)}, print)
    assert tried.count('b') == workers.ATTEMPTS and tried[-1] == 'b'


class KilledWorker(Exception):
    """What the cluster says of a job that was given up."""


@pytest.mark.parametrize('error, words', [
    (BrokenProcessPool('killed'), 'drive: 4 times a process was killed at it'),
    (KilledWorker('killed'), 'drive: 4 times a worker was killed at it'),
    (ValueError('drive is no bag'), '^drive is no bag$')], ids=['process', 'worker', 'bag'])
def test_what_is_given_up_is_named(error, words):
    def work(messages):
        raise error
    with pytest.raises(ValueError, match=words):
        workers.run_all(one_thread, work, {'drive': ()}, print)


def test_no_workers_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(workers, 'PATIENCE', 0.0)
    monkeypatch.setattr(workers, 'LOOK', 0.0)
    ended = queue.Queue()

    def work(messages):
        ended.get()

    @contextmanager
    def none():
        with one_thread(0) as found:
            try:
                yield found
            finally:
                ended.put(True)
    with pytest.raises(ValueError, match='there has been no worker for 0 s'):
        workers.run_all(none, work, {'drive': ()}, print)
