"""Evaluation of whole bags: simulated latency by hand, the same bytes twice, and broken input."""
import functools
import json
import sys

import numpy as np
import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')
pytest.importorskip('trackers', reason='needs requirements/peers.txt')

from acme_tracking import geometry  # noqa: E402
from acme_tracking.bags.topics import DETECTIONS, IMAGE, IMAGE_QOS, RELIABLE_QOS  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation import cache, modes, sequence_run  # noqa: E402
from acme_tracking.evaluation.baselines import TwoPhase  # noqa: E402
from acme_tracking.evaluation.settings import read_parameters, Settings  # noqa: E402
from acme_tracking.labels import CLASSES  # noqa: E402
from acme_tracking.messages import detections_to_msg, image_to_msg, ns_to_stamp  # noqa: E402
from acme_tracking.scene import Scene  # noqa: E402
from acme_tracking.tracking.visual import availability  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

PERIOD = 100_000_000
GREY = np.full((48, 64, 3), 90, np.uint8)
CAR = Detections([[10, 10, 30, 24]], [0.9], ['car'])


@functools.cache
def road(seed):
    return Scene(width=320, height=240, seed=seed, rate=10, density=0.3)


def write_scene(path, count=30, truth=True, stamps=None, seed=4, prefix=''):
    """Write a bag of a rendered road at 10 Hz."""
    scene = road(seed)
    with BagWriter(path) as writer:
        images = writer.topic(f'{prefix}/image_raw', IMAGE, IMAGE_QOS)
        boxes = writer.topic(f'{prefix}/ground_truth', DETECTIONS, RELIABLE_QOS)
        for index in range(count):
            stamp = (stamps or range(10**9, 10**12, PERIOD))[index]
            header = Header(stamp=ns_to_stamp(stamp), frame_id='camera')
            time = 10**9 + index * PERIOD
            writer.write(images, time, image_to_msg(scene.render(index), header))
            if truth:
                true = scene.truth(index)
                writer.write(boxes, time, detections_to_msg(
                    Detections(true.boxes, (true.visibility > 0.3).astype(float), true.labels,
                               true.ids), header))
    return path


@pytest.fixture
def perfect(monkeypatch):
    """Let the CNN find what is there; return a list with an element for each of its runs."""
    return find_what_is_there(monkeypatch)


def find_what_is_there(monkeypatch):
    """Replace the CNN by one that knows the scene; return a list that its runs append to."""
    calls = []

    def make_detector(settings, threads):
        scene, rendered = road(4), {road(4).render(index).tobytes(): index for index in range(40)}

        def detect(image):
            calls.append(1)
            true = scene.truth(rendered[image.tobytes()])
            seen = true.visibility > 0.3
            return Detections(true.boxes[seen], np.full(seen.sum(), 0.9), true.labels[seen])
        return detect
    monkeypatch.setattr(sequence_run, 'make_detector', make_detector)
    return calls


def evaluate(bag, out, *options):
    return main(['evaluate', str(bag), '--out', str(out), '--jobs', '1', *map(str, options)])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*'))
            if path.is_file() and path.suffix not in ('.npz', '.html')
            and path.name != 'timings.json'}


@pytest.mark.skipif(bool(availability()['dlib']), reason='needs dlib')
def test_two_phase_detects_now_and_then_and_keeps_ids():
    scene = Scene(width=320, height=240, seed=4, rate=10, density=0.3)
    script, runs, ids = TwoPhase(5), 0, []
    for index in range(12):
        true = scene.truth(index)
        box = true.boxes[true.visibility > 0.6][:1]
        found = Detections(box, [0.9] * len(box), ['car'] * len(box)) if script.is_due else None
        runs += found is not None
        ids.append(script.update(scene.render(index), found).ids.tolist())
    assert runs == 3 and all(one == ids[0] for one in ids) and ids[0] == [1]


# Whole runs

def test_two_runs_give_the_same_bytes(tmp_path, perfect):
    bag = write_scene(tmp_path / 'road', count=14)
    for name in 'a', 'b':
        assert evaluate(bag, tmp_path / name, '--modes', 'on_demand', 'two_phase', 'sort',
                        'botsort_nth_late') == 0
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    assert len(perfect) == 2 * 14, 'each image once a run, though many modes want it'
    metrics = json.loads((tmp_path / 'a' / 'metrics.json').read_text())
    assert metrics['hota'] == metrics['modes']['on_demand']['hota'] > 0.4
    assert {'mota', 'idf1', 'assa', 'deta', 'id_switches', 'recovery_s', 'birth_s',
            'never_followed', 'ece'} <= metrics.keys()
    assert metrics['modes']['sort']['detector_share'] == 1
    assert metrics['detector_runs'] == metrics['modes']['botsort_nth_late']['detector_runs']
    assert metrics['detector_share'] < 0.4 and metrics['bags']['road']['detector']['ap50'] == 1
    assert (tmp_path / 'a' / 'tracks' / 'on_demand' / 'data' / 'road.txt').stat().st_size > 100
    assert (tmp_path / 'a' / 'gt' / 'road' / 'gt' / 'gt.txt').is_file()
    json.dumps(metrics, allow_nan=False)


def test_modes_of_a_library_that_is_missing_are_left_out(tmp_path, perfect, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'trackers', None)
    bag = write_scene(tmp_path / 'road', count=2)
    assert evaluate(bag, tmp_path / 'a', '--modes', 'on_demand', 'sort', 'ocsort_nth') == 0
    printed = capsys.readouterr()
    assert 'sort, ocsort_nth left out: needs the library trackers' in printed.err
    assert 'pip install --no-deps' in printed.err and 'ocsort_nth' not in printed.out
    assert evaluate(bag, tmp_path / 'b', '--modes', 'sort') == 1
    assert 'no mode is left to run' in capsys.readouterr().err


def test_a_run_goes_on_where_it_was(tmp_path, perfect, capsys):
    bags = [write_scene(tmp_path / name, count=8) for name in ('one', 'two')]
    out = tmp_path / 'run'
    assert evaluate(bags[0], out, '--modes', 'on_demand') == 0
    before = (out / 'bags' / 'one' / 'result.json').stat().st_mtime_ns
    seen = len(perfect)
    assert main(['evaluate', *map(str, bags), '--out', str(out), '--jobs', '1', '--modes',
                 'on_demand']) == 0
    assert (out / 'bags' / 'one' / 'result.json').stat().st_mtime_ns == before
    metrics = json.loads((out / 'metrics.json').read_text())
    assert set(metrics['bags']) == {'one', 'two'} and metrics['images'] == 16
    assert evaluate(bags[0], out, '--modes', 'on_demand', '--latency', '0.3') == 1
    assert 'other settings (surroundings.latency: 0.3, there 0.1)' in capsys.readouterr().err
    assert evaluate(bags[0], tmp_path / 'other', '--detections', out / 'detections', '--modes',
                    'on_demand', '--latency', '0') == 0
    assert len(perfect) < 3 * seen, 'detections are taken over'


def test_many_bags_in_processes_are_as_good_as_one(tmp_path, perfect):
    bags = [str(write_scene(tmp_path / name, count=6)) for name in ('one', 'two')]
    for jobs in '1', '2':  # the processes of the second find all detections of the first
        assert main(['evaluate', *bags, '--out', str(tmp_path / jobs), '--jobs', jobs, '--modes',
                     'bytetrack', '--detections', str(tmp_path / 'detections')]) == 0
    assert contents(tmp_path / '1') == contents(tmp_path / '2') and len(perfect) == 12


def test_without_ground_truth(tmp_path, perfect):
    bag = write_scene(tmp_path / 'road', count=6, truth=False)
    assert evaluate(bag, tmp_path / 'run') == 0
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert metrics['hota'] is None and metrics['detector_runs'] >= 1
    assert 'nothing to score with' in (tmp_path / 'run' / 'report.html').read_text()


def test_stamps_out_of_order(tmp_path, perfect):
    stamps = [10**9 + index * PERIOD for index in (0, 1, 2, 2, 1, 3, 4, 5)]
    bag = write_scene(tmp_path / 'road', count=8, stamps=stamps)
    assert evaluate(bag, tmp_path / 'run', '--modes', 'on_demand') == 0
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert metrics['bags']['road']['out_of_order'] == 2 and metrics['images'] == 6


def test_truth_of_other_images(tmp_path, perfect, capsys):
    bag = tmp_path / 'road'
    with BagWriter(bag) as writer:
        images = writer.topic('/image_raw', IMAGE, IMAGE_QOS)
        boxes = writer.topic('/ground_truth', DETECTIONS, RELIABLE_QOS)
        image = Scene(width=320, height=240, seed=4, rate=10, density=0.3).render(0)
        writer.write(images, 1, image_to_msg(image, Header(stamp=ns_to_stamp(10**9))))
        writer.write(boxes, 1, detections_to_msg(CAR, Header(stamp=ns_to_stamp(2 * 10**9))))
    assert evaluate(bag, tmp_path / 'run', '--modes', 'on_demand') == 1
    assert 'no ground truth has the stamp of an image' in capsys.readouterr().err


def test_truth_in_a_file_beside_the_bag(tmp_path, perfect, capsys):
    bag, scene, rows = write_scene(tmp_path / 'road', count=4), road(4), []
    for index in range(4):
        true = scene.truth(index)
        for box, identity, label, seen in zip(geometry.to_xywh(true.boxes), true.ids, true.labels,
                                              true.visibility > 0.3):
            rows.append([index + 1, identity, *box, int(seen), CLASSES.index(label) + 1, 1])
    (bag / 'gt.txt').write_text('\n'.join(','.join(map(str, row)) for row in rows))
    found = []
    for name, options in (('topic', ()), ('file', ('--truth', 'gt.txt'))):
        assert evaluate(bag, tmp_path / name, '--modes', 'on_demand', '--detections',
                        tmp_path / 'detections', *options) == 0
        found.append(json.loads((tmp_path / name / 'metrics.json').read_text())['modes'])
    assert found[0] == found[1] and found[0]['on_demand']['hota'] > 0
    other = write_scene(tmp_path / 'other', count=1)
    assert main(['evaluate', str(bag), str(other), '--out', str(tmp_path / 'both'), '--truth',
                 str(bag / 'gt.txt')]) == 1
    assert 'is the truth about one bag, got 2 bags' in capsys.readouterr().err
    assert evaluate(bag, tmp_path / 'none', '--truth', 'labels') == 1
    assert 'has no topic labels, and there is no file' in capsys.readouterr().err


def test_two_cameras_and_no_bag(tmp_path, perfect, capsys):
    bag = tmp_path / 'two'
    with BagWriter(bag) as writer:
        for camera in 'front', 'rear':
            topic = writer.topic(f'/{camera}/image_raw', IMAGE, IMAGE_QOS)
            image = Scene(width=320, height=240, seed=4, rate=10, density=0.3).render(0)
            writer.write(topic, 1, image_to_msg(image, Header(stamp=ns_to_stamp(10**9))))
    assert evaluate(bag, tmp_path / 'run') == 1
    errors = capsys.readouterr().err
    assert 'choose one with --images' in errors and 'Traceback' not in errors
    assert evaluate(bag, tmp_path / 'rear', '--images', '/rear/image_raw') == 0
    assert evaluate(tmp_path / 'nowhere', tmp_path / 'run2') == 1
    assert 'there is no bag' in capsys.readouterr().err


def test_weights_are_those_named(tmp_path, monkeypatch):
    used, weights = [], tmp_path / 'mine: second.safetensors'
    weights.write_bytes(b'')

    def make_detector(settings, threads):
        used.append(settings.detector.weights)
        return lambda image: CAR
    monkeypatch.setattr(sequence_run, 'make_detector', make_detector)
    bag = write_scene(tmp_path / 'road', count=2)
    assert evaluate(bag, tmp_path / 'run', '--weights', str(weights)) == 0
    assert set(used) == {str(weights)}


@pytest.mark.parametrize('options, words', [
    (['--weights', 'nothing.safetensors'], 'nothing.safetensors'),
    (['--latency', '-1'], 'latency must be from 0 to 60'),
    (['--set', 'max_cost=1'], 'tracker has no parameter max_cost'),
    (['--set', 'max_coast'], 'NAME=VALUE'),
    (['--set', 'max_coast=high'], "parameter 'max_coast' must be a float"),
    (['--params-file', 'nowhere.yaml'], 'nowhere.yaml')])
def test_wrong_options_are_named(tmp_path, options, words, capsys):
    bag = write_scene(tmp_path / 'road', count=2)
    assert evaluate(bag, tmp_path / 'run', *options) == 1
    assert words in capsys.readouterr().err


def test_bags_of_one_name(tmp_path, capsys):
    bags = [write_scene(tmp_path / folder / 'road', count=2) for folder in ('a', 'b')]
    assert main(['evaluate', *map(str, bags), '--out', str(tmp_path / 'run')]) == 1
    assert 'road twice' in capsys.readouterr().err


def test_parameters_of_the_nodes_file():
    assert Settings(**read_parameters()._asdict()) == Settings(), \
        'config/tracking.yaml holds the defaults'
    nodes = read_parameters(changes=[
        'max_coast=1.5', 'detector.score_threshold=0.4', 'locator.camera_height=1.2'])
    assert nodes.tracker.max_coast == 1.5 and nodes.detector.score_threshold == 0.4
    assert nodes.locator.camera_height == 1.2


def test_a_cache_of_another_detector_or_a_broken_one_is_not_used(tmp_path):
    calls = []

    def make():
        return lambda image: calls.append(1) or CAR

    path = tmp_path / 'road.npz'
    for settings, runs in (({'a': 1}, 2), ({'a': 1}, 0), ({'a': 2}, 2)):
        calls.clear()
        with cache.DetectionCache(path, settings, make) as found:
            for stamp in 5, 7:
                assert found(stamp, GREY).boxes.tolist() == CAR.boxes.tolist()
        assert len(calls) == runs
    path.write_bytes(path.read_bytes()[:40])
    calls.clear()
    with cache.DetectionCache(path, {'a': 2}, make) as found:
        assert found(5, GREY).labels.tolist() == ['car'] and len(calls) == 1


def test_interrupted_detections_are_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with cache.DetectionCache(tmp_path / 'a.npz', {}, lambda: lambda image: CAR) as found:
            found(5, GREY)
            raise KeyboardInterrupt
    with cache.DetectionCache(tmp_path / 'a.npz', {}, lambda: pytest.fail('not needed')) as found:
        assert len(found(5, GREY)) == 1


def test_help_names_every_mode(capsys):
    with pytest.raises(SystemExit) as end:
        main(['evaluate', '--help'])
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert all(mode in printed for mode in (*modes.MODES, 'live'))
