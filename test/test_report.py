"""The report: complete in itself, with the figures of metrics.json, and safe to open."""
import copy
import json
import re
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')
pytest.importorskip('matplotlib', reason='needs acme_tracking[evaluate]')
pytest.importorskip('trackers', reason='needs requirements/peers.txt')

from acme_tracking.cli import main  # noqa: E402
from acme_tracking.evaluation import plots, report  # noqa: E402
from test_evaluate import evaluate, find_what_is_there, perfect, write_scene  # noqa: E402, F401


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Give the folder of a finished run; its bag is beside it."""
    folder = tmp_path_factory.mktemp('report')
    bag = write_scene(folder / 'a<b', count=12)
    with pytest.MonkeyPatch.context() as patch:
        find_what_is_there(patch)
        assert evaluate(bag, folder / 'run', '--modes', 'on_demand', 'sort', 'botsort',
                        'sort_nth_late') == 0
    return folder / 'run'


def test_one_file_holds_everything(finished):
    page = (finished / 'report.html').read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page), 'nothing is loaded from elsewhere'
    assert page.count('<img') >= 4 and '<script' not in page
    metrics = json.loads((finished / 'metrics.json').read_text())
    for mode in 'on_demand', 'sort', 'sort_nth_late':
        assert f'{metrics["modes"][mode]["hota"]:.3f}' in page
    assert 'The best peer with detections of every image, without latency: ' in page
    assert 'a&lt;b' in page and 'a<b' not in page, 'names are text'
    for word in 'max_coast', 'rosbags', 'What happened', 'the worst moments':
        assert word in page
    for name in 'curves', 'cost', 'reliability', 'timeline-a<b':
        image = cv2.imread(str(finished / f'{name}.png'))
        assert image is not None and image.std() > 1


def test_bags_are_listed_worst_first_with_what_happened_there(finished, tmp_path):
    shutil.copytree(finished, tmp_path / 'run')
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    for name, hota in (('good', 0.9), ('bad', 0.1), ('none', None)):
        shutil.copytree(tmp_path / 'run' / 'bags' / 'a<b', tmp_path / 'run' / 'bags' / name)
        metrics['bags'][name] = copy.deepcopy(metrics['bags']['a<b'])
        metrics['bags'][name]['modes']['on_demand']['hota'] = hota
    assert list(report.worst_first(metrics)) == ['bad', 'a<b', 'good', 'none']
    for name, words in (('metrics', metrics), ('timings', {})):
        (tmp_path / 'run' / f'{name}.json').write_text(json.dumps(words))
    seen = {'bad': tmp_path / 'seen' / 'bad.rrd'}
    page = report.write_report(tmp_path / 'run', seen).read_text()
    places = [page.index(f'id="{name}"') for name in ('bad', 'a%3Cb', 'good', 'none')]
    assert places == sorted(places)
    assert page.index('href="#bad"') < page.index('href="#good"')
    assert page.count('href="../seen/bad.rrd"') == 1
    assert f'acme_tracking view {tmp_path}/seen/bad.rrd' in page


def test_table_in_the_terminal():
    lines = report.table({'on_demand': {'hota': 0.5, 'detector_share': 0.125, 'id_switches': 3},
                          'none': {'hota': None}}).splitlines()
    assert lines[1].split() == ['on_demand', '0.500', '12.5%', *'----3---']
    assert lines[2].split()[1:] == ['-'] * 10 and len({len(line) for line in lines}) == 1


def test_the_best_peer_of_each_way():
    hota = {'on_demand': 0.9, 'sort': 0.5, 'botsort': 0.6, 'ocsort_late': 0.4, 'sort_late': 0.3,
            'sort_nth_late': 0.2}
    assert report.best_peers({mode: {'hota': value} for mode, value in hota.items()}) == [
        'botsort', 'ocsort_late', 'sort_nth_late']


def test_a_timeline_of_many_tracks_shows_the_longest(tmp_path):
    tracks = {str(number): {'label': 'car', 'spans': [[0, number / 10, 0],
                                                      [number / 10, number / 5, 1]],
                            'corrected': [number / 20]} for number in range(1, 200)}
    plots.timeline(tmp_path / 'a.png', tracks, [0.0, 1.0], 40.0)
    plots.timeline(tmp_path / 'empty.png', {}, [], 0.0)
    many, none = (cv2.imread(str(tmp_path / f'{name}.png')).shape for name in ('a', 'empty'))
    assert none[0] < many[0] < 2500


def test_plots_of_nothing_scored(tmp_path):
    plots.curves(tmp_path / 'a.png', {'x': {'hota': None}})
    plots.cost(tmp_path / 'b.png', {'x': {'hota': None}})
    plots.reliability(tmp_path / 'c.png', {'x': {}})
    assert all(cv2.imread(str(tmp_path / f'{name}.png')) is not None for name in 'abc')


def test_equal_plots_are_equal_bytes(tmp_path):
    figures = {'x': {'hota': 0.5, 'detector_share': 0.1, 'success_auc': 0.5,
                     'hota_curve': list(np.linspace(1, 0, 19)),
                     'success_curve': list(np.linspace(1, 0, 21))}}
    for name in 'ab':
        plots.curves(tmp_path / f'{name}.png', figures)
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_compare(finished, tmp_path, capsys, perfect):  # noqa: F811
    assert evaluate(finished.parent / 'a<b', tmp_path / 'late', '--modes', 'on_demand',
                    '--latency', '0.4') == 0
    capsys.readouterr()
    page = tmp_path / 'pages' / 'compare.html'
    assert main(['compare', str(finished), str(tmp_path / 'late'), '--out', str(page)]) == 0
    printed = capsys.readouterr().out
    assert 'run (on_demand)' in printed and 'late (on_demand)' in printed
    text = page.read_text()
    assert 'latency: 0.4, there 0.1' in text and 'cannot be compared' not in text
    assert text.count('<img') == 3


def test_compare_needs_finished_runs(finished, tmp_path, capsys):
    assert main(['compare', str(finished), str(tmp_path)]) == 1
    assert 'is no finished run' in capsys.readouterr().err
    assert main(['compare', str(finished)]) == 1
    assert 'two different runs' in capsys.readouterr().err
