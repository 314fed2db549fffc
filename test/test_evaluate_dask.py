"""Many bags on a cluster: the same bytes as alone, also when a worker is killed on its way."""
import os
from pathlib import Path
import shutil
import signal

import pytest

distributed = pytest.importorskip('distributed', reason='needs acme_tracking[scale]')

from acme_tracking.cli import main  # noqa: E402
from acme_tracking.evaluation import run, workers  # noqa: E402
from test_evaluate import contents, perfect, write_scene  # noqa: E402, F401


def evaluate(bags, out, cache, *options):
    return main(['evaluate', *map(str, bags), '--out', str(out), '--modes', 'on_demand',
                 '--detections', str(cache), *map(str, options)])


def start(**options):
    return distributed.LocalCluster(threads_per_worker=1, host='127.0.0.1', silence_logs=60,
                                    dashboard_address='127.0.0.1:0', **options)


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
    """Give a scheduler with two workers, processes on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('fetched')))
        with start(n_workers=2) as started:
            yield started


def test_one_worker_of_two_is_killed_midway(tmp_path, cluster, perfect):  # noqa: F811
    bags = [write_scene(tmp_path / 'one', count=6), tmp_path / 'two']
    shutil.copytree(*bags)
    assert evaluate(bags, tmp_path / 'alone', tmp_path / 'cache', '--jobs', '1') == 0
    bags[0] = f'file://{bags[0]}'
    mark = tmp_path / 'killed'

    def die_midway(where=str(mark)):
        from acme_tracking.evaluation import sequence_run

        class Images(sequence_run.Images):
            def __iter__(self):
                for number, image in enumerate(super().__iter__()):
                    if number == 3:
                        Path(where).write_text(str(os.getpid()))
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield image
        sequence_run.Images = Images
        return os.getpid()
    with distributed.Client(cluster, set_as_default=False) as client:
        victim = client.run(die_midway, workers=[min(client.nthreads())])
    assert evaluate(bags, tmp_path / 'spread', tmp_path / 'cache', '--dask',
                    cluster.scheduler_address) == 0
    assert [int(mark.read_text())] == list(victim.values())
    assert contents(tmp_path / 'alone') == contents(tmp_path / 'spread')


def test_what_a_cluster_cannot_do_is_one_line(tmp_path, cluster, perfect, capsys,  # noqa: F811
                                              monkeypatch):
    bag = write_scene(tmp_path / 'one', count=2)
    address = cluster.scheduler_address
    assert evaluate([bag], tmp_path / 'live', tmp_path, '--live', '--dask', address) == 1
    assert 'bags are played to nodes of this machine' in capsys.readouterr().err
    known = {**run.versions(), 'numpy': '0.1'}
    monkeypatch.setattr(run, 'versions', lambda: known)
    assert evaluate([bag], tmp_path / 'other', tmp_path, '--dask', address) == 1
    assert 'would compute other figures: numpy: ' in capsys.readouterr().err
    monkeypatch.undo()
    shutil.rmtree(bag)
    bag.mkdir()
    assert evaluate([bag], tmp_path / 'none', tmp_path, '--dask', address) == 1
    assert 'is no bag' in capsys.readouterr().err


def test_a_cluster_without_workers_is_not_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers, 'PATIENCE', 0.0)
    bag = write_scene(tmp_path / 'one', count=2)
    with start(n_workers=0) as empty:
        assert evaluate([bag], tmp_path / 'run', tmp_path, '--dask', empty.scheduler_address) == 1
    assert 'there has been no worker for 0 s' in capsys.readouterr().err
