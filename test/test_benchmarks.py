"""The benchmark scripts end with the JSON that they promise."""
import importlib.util
import json
from pathlib import Path
import shutil
import subprocess
import sys

from acme_tracking.detection.runtimes import files_of
from acme_tracking.evaluation.sequences import rendered
import banks
import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments):
    result = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, text=True,
                            capture_output=True, timeout=200)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def otb(tmp_path):
    """Give a folder with one sequence in OTB layout: a patch of noise that moves."""
    folder = tmp_path / 'otb' / 'Patch'
    (folder / 'img').mkdir(parents=True)
    rng = np.random.default_rng(0)
    image, patch = (cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
                    for size in ((120, 160), (30, 40)))
    for index in range(12):
        image_now = image.copy()
        image_now[40:70, 20 + 2 * index:60 + 2 * index] = patch
        cv2.imwrite(str(folder / 'img' / f'{index + 1:04}.png'), image_now)
    (folder / 'groundtruth_rect.txt').write_text(
        ''.join(f'{20 + 2 * index},40,40,30\n' for index in range(12)))
    return folder.parent


def test_trackers_on_a_folder_of_ones_own(otb, tmp_path):
    out = run('benchmark/trackers.py', '--quick', '--trackers', 'medianflow', 'centroid',
              '--out', tmp_path / 'out', otb)
    report = json.loads(out.splitlines()[-1])
    assert set(report['sequences']) == {'medianflow', 'centroid'}
    assert report['sequences']['medianflow']['auc'] > 0.8
    assert report['sequences']['medianflow']['precision'] == 1
    assert report['sequences']['medianflow'].keys() == {'auc', 'precision', 'fps'}
    assert report['sequences']['centroid']['auc'] < report['sequences']['medianflow']['auc']
    assert set(report['objects_ms']['medianflow']) == {'1', '2', '5'}
    assert list(report['sets']) == ['otb']


@pytest.fixture
def calibration(monkeypatch):
    """Give the script for confidences, with a few short sequences in place of all."""
    specification = importlib.util.spec_from_file_location(
        'benchmark_calibration', ROOT / 'benchmark' / 'calibration.py')
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, 'scenes', lambda *_: (
        rendered(family, 6, length=20, rate=8) for family in ('blur', 'occlusion')))
    monkeypatch.setattr(module, 'DATA', Path('nowhere'))
    return module


def test_calibration_errors(calibration, tmp_path, capsys):
    calibration.check(['medianflow', 'centroid'], tmp_path)
    errors = [line.split() for line in capsys.readouterr().out.splitlines()
              if line.startswith(('medianflow', 'centroid'))]
    assert all(0 <= float(error) <= 1 for _, *row in errors for error in row) and len(errors) == 2
    if importlib.util.find_spec('matplotlib'):
        assert (tmp_path / 'reliability.png').stat().st_size > 10_000


def test_calibration_fit(calibration, capsys):
    calibration.fit(['mosse', 'centroid'])
    out = capsys.readouterr().out
    center, scale = map(float, out.splitlines()[1].split()[1:3])
    assert 0 < center < 1 and 0 < scale < 1
    assert 'centroid      always the same' in out


def test_memory_of_the_detector_node():
    pytest.importorskip('rclpy', reason='needs ROS 2')
    last = json.loads(run('benchmark/memory.py', '--requests', 10).splitlines()[-1])
    assert last['requests'] == 10
    assert 50 < last['first_tenth_mb'] < 5000


def test_coasting_in_pixels_and_on_the_ground():
    last = json.loads(run('benchmark/coasting.py', '--drives', 'fixed', '--seeds', 1, '--seconds',
                          2.5, '--rate', 8).splitlines()[-1])
    assert last['0.5']['stays'] < last['0.5']['pixels'] <= 1
    assert 0 < last['0.5']['ground, first pitch'] <= 1


def test_inference_side_by_side():
    last = json.loads(run('benchmark/inference.py', '--rounds', 2, '--sides', 0, 96, '--busy', 1,
                          '--all', '--threads', 1).splitlines()[-1])
    assert all(last[name] > 0 for name in ('ratio_idle', 'ratio_busy', 'ratio_cpu'))
    assert last['default'].startswith('OpenVINO')
    row, small = (states['busy']['default'] for states in last['median_ms'].values())
    assert list(row) == ['decode', 'resize', 'network', 'nms', 'all', 'cpu']
    assert small['network'] < row['network']


def test_detectors_side_by_side(tmp_path):
    path = banks.coco(tmp_path, [banks.annotation([1, 1, 9, 9])])
    copy = tmp_path / 'copy.onnx'
    shutil.copy(*files_of(), copy)
    last = json.loads(run('benchmark/detectors.py', '--val', path, copy).splitlines()[-1])
    ours, theirs = last['detectors']['acme_tracking'], last['detectors'][str(copy)]
    assert ours['ap50'] == theirs['ap50'] and set(ours['ap50_of']) == {'car'}
    assert ours['ms'] > 0 and ours['runtime'] == theirs['runtime']


def test_cameras_on_demand_and_on_every_image():
    pytest.importorskip('rclpy', reason='needs ROS 2')
    last = json.loads(run('benchmark/cameras.py', '--cameras', 2, '--seconds', 1,
                          '--warm-up', 1).splitlines()[-1])
    assert list(last) == ['2']
    for mode in last['2'], last['2']['every_image']:
        assert 0 <= mode['tracked'] <= 1 and mode['interval_ms'] > 60
        assert (mode['age_p95_ms'] is None) == (mode['tracked'] == 0)


def test_positions_of_tracks_on_a_drive():
    out = run('benchmark/positions.py', '--no-table', '--drives', 'driving', '--seeds', '1',
              '--seconds', '2.5', '--rate', '6')
    report = json.loads(out.splitlines()[-1])
    assert {'along_relative_median', 'lateral_m_median', 'ttc_relative_median', 'nees'} <= set(
        report)
    assert report['along_relative_median'] < 0.1 and report['lateral_m_median'] < 0.4
    assert 0 < report['nees'] < 6
