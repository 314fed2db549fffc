"""The benchmarks that evaluate bags end with the JSON that they promise."""
import json
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments):
    """Run a script; return the JSON of its last line."""
    result = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, text=True,
                            capture_output=True, timeout=200)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_benchmark_of_the_evaluation(tmp_path):
    report = run('benchmark/evaluate.py', '--seconds', 0.2, '--out', tmp_path)
    assert report['images'] == 6 and report['objects'] > 1
    assert report['seconds'] > 0 and report['megabytes'] > 50
    folder, = tmp_path.glob('6/run-*')
    timings = json.loads((folder / 'timings.json').read_text())
    assert timings['road']['cnn']['runs'] == 0, 'detections are known'


def test_benchmark_of_drives(tmp_path):
    pytest.importorskip('trackers', reason='needs requirements/peers.txt')
    modes = ['on_demand', 'sort_late', 'botsort_nth_late']
    report = run('benchmark/drives.py', '--seconds', 0.6, '--drives', 'driving', '--detections',
                 'noisy', '--modes', *modes, '--out', tmp_path)
    assert list(report) == ['noisy'] and list(report['noisy']['hota']['driving']) == modes
    figures = report['noisy']['modes']
    assert figures['sort_late']['detector_share'] == 1 and figures['on_demand']['hota'] > 0
    assert (figures['botsort_nth_late']['detector_share']
            == figures['on_demand']['detector_share'] < 1)
