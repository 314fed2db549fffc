"""The benchmark of the evaluation ends with the JSON that it promises."""
import json
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('trackeval', reason='needs requirements/trackeval.txt')

ROOT = Path(__file__).resolve().parent.parent


def test_benchmark_of_the_evaluation(tmp_path):
    result = subprocess.run(
        [sys.executable, 'benchmark/evaluate.py', '--seconds', '0.2', '--out', str(tmp_path)],
        cwd=ROOT, text=True, capture_output=True, timeout=200)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report['images'] == 6 and report['objects'] > 1
    assert report['seconds'] > 0 and report['megabytes'] > 50
    run, = tmp_path.glob('6/run-*')
    timings = json.loads((run / 'timings.json').read_text())
    assert timings['road']['cnn']['runs'] == 0, 'detections are known'
