"""
Measures how long the detector takes with each runtime, on an idle and on a busy machine.

Both see the same JPEG images in turn, so that what else the machine does hits them alike; then the
same beside busy processes.  Figures are medians in milliseconds: decoding, resizing, the network,
suppression, all of them, and what all threads took of the processors (cpu), which is what others
on the machine pay, however busy it is.  The old default is torch in float32; the new one what the
detector node chooses.  `--all` adds what else there is: torch in half precision, OpenVINO without
8-bit integers and in float32, ONNX Runtime, and CUDA where it can be had.  The last line is JSON;
its ratios are new to old.

    .venv/bin/python benchmark/inference.py
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import time

from acme_tracking.detection.detector import Detector
from acme_tracking.detection.runtimes import choose
from acme_tracking.detection.runtimes.openvino import OpenVino
from acme_tracking.detection.runtimes.torch import Torch
from acme_tracking.detection.views import input_size
from acme_tracking.scene import Scene
from acme_tracking.share import shipped_weights
import cv2
import numpy as np
import onnxruntime
import torch

OLD, NEW = 'torch float32', 'default'
WARM_UP = 3
IMAGES = 10  # different ones, in turn
BUSY = 'while True: pass'


class OnnxRuntime:
    """The exported file on ONNX Runtime, to compare; see `Runtime`."""

    device = 'cpu'

    def __init__(self, path, specification, threads):
        """Load the file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = onnxruntime.InferenceSession(path, options,
                                                     providers=['CPUExecutionProvider'])
        self.classes, self.input_size = specification.classes, specification.input_size

    def __str__(self):
        """Say what it is."""
        return f'ONNX Runtime {onnxruntime.__version__}'

    def size(self, width, height, side):
        """Return the size that keeps the aspect of an image."""
        return input_size(width, height, side)

    def __call__(self, images):
        """Look at images."""
        return zip(*self._session.run(None, {'images': images}))


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--rounds', type=int, default=60, help='images for each figure')
    parser.add_argument('--sides', type=int, nargs='+', default=[0, 384, 448, 512],
                        help='input sizes; 0, that of the weights, gives the ratios')
    parser.add_argument('--busy', type=int, default=3, help='processes beside it')
    parser.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--size', type=int, nargs=2, default=(640, 360), metavar=('W', 'H'),
                        help='of the JPEG images')
    parser.add_argument('--all', action='store_true', help='compare all runtimes')
    arguments = parser.parse_args()
    detectors = make_detectors(arguments.threads, arguments.all)
    files = jpegs(arguments.size)
    figures = {}
    for side in arguments.sides:
        for detector in detectors.values():
            detector.configure(input_size=side)
        side = side or f'{detectors[NEW].input_size} (the weights)'
        with contextlib.ExitStack() as stack:
            for state in ('idle', 'busy'):
                if state == 'busy':
                    stack.enter_context(busy(arguments.busy))
                measured = measure(detectors, files, arguments.rounds)
                show(f'side {side}, {state}', measured)
                figures.setdefault(str(side).split()[0], {})[state] = measured
    first = next(iter(figures.values()))
    print(json.dumps({
        **{f'ratio_{state}': round(first[state][NEW]['all'] / first[state][OLD]['all'], 3)
           for state in ('idle', 'busy')},
        'ratio_cpu': round(first['busy'][NEW]['cpu'] / first['busy'][OLD]['cpu'], 3),
        'default': str(detectors[NEW].runtime), 'threads': arguments.threads,
        'busy_processes': arguments.busy, 'median_ms': figures}))


def make_detectors(threads, others):
    """Return the detectors to compare, by name: the old and the new default, and the others."""
    path = shipped_weights()
    runtimes = {OLD: Torch.load(path, half=False, threads=threads),
                NEW: choose(device='cpu', threads=threads)[0]}
    if others:
        runtimes['torch half'] = Torch.load(path, half=True, threads=threads)
        runtimes['no integers'] = OpenVino.load(shipped_weights('.onnx'), threads=threads)
        runtimes['float32'] = choose(device='cpu', half=False, threads=threads)[0]
        for suffix in '.onnx', '.int8.onnx':
            runtimes[f'ONNX Runtime {suffix}'] = OnnxRuntime(shipped_weights(suffix),
                                                             runtimes[OLD], threads)
        if torch.cuda.is_available():
            runtimes['CUDA'] = choose(device='cuda')[0]
    for name, runtime in runtimes.items():
        print(f'{name}: {runtime}')
    return {name: Detector(runtime) for name, runtime in runtimes.items()}


def jpegs(size):
    """Return JPEG files of a rendered road, (width, height) large."""
    scene = Scene(*size, seed=1)
    return [cv2.imencode('.jpg', scene.render(10 * index))[1] for index in range(IMAGES)]


@contextlib.contextmanager
def busy(count):
    """Keep so many processes busy meanwhile."""
    others = [subprocess.Popen([sys.executable, '-c', BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(detectors, files, rounds):
    """Return {name: {stage: median milliseconds}}; the detectors take turns."""
    stages = {name: [] for name in detectors}
    for number in range(WARM_UP + rounds):
        file = files[number % len(files)]
        for name, detector in detectors.items():
            used, started = time.process_time(), time.perf_counter()
            image = cv2.imdecode(file, cv2.IMREAD_COLOR)
            decoded = time.perf_counter()
            detector(image)
            stages[name].append({'decode': decoded - started, **detector.seconds,
                                 'all': time.perf_counter() - started,
                                 'cpu': time.process_time() - used})
    return {name: {stage: round(1e3 * float(np.median([each[stage] for each in taken[WARM_UP:]])),
                                2) for stage in taken[0]} for name, taken in stages.items()}


def show(title, measured):
    """Print a table."""
    stages = list(next(iter(measured.values())))
    print(f'\n{title:<24}' + ''.join(f'{stage:>10}' for stage in stages))
    for name, row in measured.items():
        print(f'{name:<24}' + ''.join(f'{row[stage]:>10.2f}' for stage in stages), flush=True)


if __name__ == '__main__':
    main()
