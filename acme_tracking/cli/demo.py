"""
Run the graph on a video or a rendered scene, and record the result.

The same nodes with the same parameters as `launch/tracking.launch.py` starts, as processes, so
that the launch system of ROS is not needed.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys
import time

from acme_tracking.share import share
from acme_tracking.transport import environment

NAMESPACE = '/demo'
# The camera waits for the detector, the tracker and the recorder, so that no image is lost.
CONSUMERS = 3
# How long, in seconds, a process may take to end once it was asked to.
GRACE = 10.0


def add_arguments(parser):
    """Add the arguments of the verb."""
    parser.add_argument('--video', metavar='SOURCE', default='synthetic',
                        help='video file, folder of images, device or URL (default: a rendered '
                        'road)')
    parser.add_argument('--out', type=Path, default=Path('out/demo'), metavar='FOLDER',
                        help='where tracked.mp4 and summary.json go (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=None,
                        help='stop after so many seconds (default: 20 for the rendered road, '
                        'else the whole source)')
    parser.add_argument('--weights', type=Path, default=None, metavar='CHECKPOINT',
                        help="of the detector (default: the package's own)")
    parser.add_argument('--params-file', type=Path, default=None, metavar='YAML',
                        help='parameters of the nodes (default: config/tracking.yaml)')
    parser.add_argument('--transport', choices=['shared_memory', 'default'],
                        default='shared_memory', help='how images travel (default: %(default)s)')


def run(arguments) -> int:
    """Run until the source ends or Ctrl-C; return 0 when a summary was written."""
    if arguments.seconds is None:
        arguments.seconds = 20.0 if arguments.video == 'synthetic' else 0.0
    parameters = arguments.params_file or share('config/tracking.yaml')
    if not parameters.is_file():
        raise ValueError(f'--params-file must be a file, got {parameters}')
    weights = {}
    if arguments.weights is not None:
        if not arguments.weights.is_file():
            raise ValueError(f'--weights must be a file, got {arguments.weights}')
        weights = {'weights': str(arguments.weights)}
    summary = arguments.out / 'summary.json'
    summary.unlink(missing_ok=True)
    print(f'Tracking {arguments.video}; stop with Ctrl-C.', flush=True)
    processes = Processes(parameters, arguments.transport)
    try:
        processes.start('detector', **weights)  # first, as it takes longest
        processes.start('recorder', out=str(arguments.out))
        processes.start('tracker')
        processes.start('camera', source=arguments.video, duration=arguments.seconds,
                        on_end='exit', loop=False, wait_for_subscribers=CONSUMERS)
        failed = processes.wait_for('recorder')
    except KeyboardInterrupt:
        failed = None
    finally:
        processes.stop()
    if failed:
        print(f'The {failed} ended early; its messages stand above.', file=sys.stderr)
    if failed or not summary.exists():
        return 1
    print_summary(json.loads(summary.read_text()))
    print(f'\nSee {arguments.out / "tracked.mp4"} and {summary}.')
    return 0


class Processes:
    """Nodes as child processes, in the order in which they were started."""

    def __init__(self, parameters: Path, transport: str, namespace: str = NAMESPACE):
        """Prepare to start nodes with a parameters file and a transport, below a namespace."""
        self._parameters, self._namespace = parameters, namespace
        self._environment = {**os.environ}
        if transport == 'shared_memory':
            self._environment.update(environment())
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, node: str, **parameters) -> None:
        """Start `acme_tracking.nodes.NODE`; `parameters` win over the parameters file."""
        command = [sys.executable, '-m', f'acme_tracking.nodes.{node}', '--ros-args',
                   '--log-level', 'warn', '-r', f'__ns:={self._namespace}',
                   '--params-file', str(self._parameters)]
        for name, value in parameters.items():
            # JSON is YAML, which is what ROS reads here: text stays text, also when it is a number
            command += ['-p', f'{name}:={json.dumps(value)}']
        # A session of its own: Ctrl-C reaches the nodes through `stop`, in good order.
        self.running[node] = subprocess.Popen(command, env=self._environment,
                                               start_new_session=True)

    def wait_for(self, last: str) -> str | None:
        """Wait until the process `last` ends well, or return the name of one that failed."""
        while True:
            for node, process in self.running.items():
                status = process.poll()
                if status is not None and (status != 0 or node not in ('camera', last)):
                    return node
                if status == 0 and node == last:
                    return None
            time.sleep(0.1)

    def kill(self, node: str) -> None:
        """End a process without giving it a chance to say good-bye."""
        process = self.running.pop(node)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End all processes, the oldest (the recorder, who writes) first; kill those that hang."""
        for process in self.running.values():
            if process.poll() is None:
                # not SIGINT, which a process that still imports answers with a traceback
                process.terminate()
        for node, process in list(self.running.items()):
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                print(f'The {node} does not end: killed.', file=sys.stderr)
                self.kill(node)


def print_summary(summary: dict) -> None:
    """Print the figures of `summary.json` as a short table."""
    latency = summary['latency_ms']
    requests = ', '.join(f'{count} {reason.replace("_", " ")}'
                         for reason, count in summary['requests'].items() if count)
    rows = [
        ('images', f'{summary["images"]}'),
        ('tracked images', f'{summary["tracked_images"]}'),
        ('image delivery', f'{100 * (summary["image_delivery"] or 0):.1f} %'),
        ('tracks', f'{summary["tracks"]}'),
        ('detector runs', f'{summary["detector_runs"]}'),
        ('requests', requests or 'none'),
        ('latency p50, p95', 'no tracks' if latency['p50'] is None
         else f'{latency["p50"]:.1f} ms, {latency["p95"]:.1f} ms'),
    ]
    print()
    for name, value in rows:
        print(f'  {name:<18}{value}')
