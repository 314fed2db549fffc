"""
Run the graph on a video or a rendered scene, and record the result.

The same nodes with the same parameters as `launch/tracking.launch.py` starts, as processes, so
that the launch system of ROS is not needed.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
import shutil
import sys

from acme_tracking.detection.runtimes import is_of_hub
from acme_tracking.processes import Processes
from acme_tracking.scene import CAMERAS
from acme_tracking.share import share

# The camera waits for the detector, the tracker and the recorder, so that no image is lost.
CONSUMERS = 3
MOST_CAMERAS = 16
SEVERAL_RATE = 15.0  # images per second of each of several
# What it takes to repeat the tracker's run, and to compare it.
RECORDED = ('image_raw', 'tracks')
# The rendered road of the demo: a drive with some of everything.
ROAD = {'scene_seed': 4, 'scene_density': 0.3}


def add_arguments(parser):
    """Add the arguments of the verb."""
    parser.add_argument('--video', metavar='SOURCE', default='synthetic',
                        help='video file, folder of images, device or URL (default: a rendered '
                        'road)')
    parser.add_argument('--camera', choices=CAMERAS, default='braking',
                        help='how the rendered road is seen (default: %(default)s)')
    parser.add_argument('--cameras', type=int, default=1, metavar='N',
                        help='so many cameras with a tracker each, and one detector for all of '
                        'them (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('out/demo'), metavar='FOLDER',
                        help='where tracked.mp4 and summary.json go (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=None,
                        help='stop after so many seconds (default: 20 for the rendered road, '
                        'else the whole source)')
    parser.add_argument('--weights', default=None, metavar='CHECKPOINT|ONNX|hf:ID',
                        help="of the detector (default: the package's own)")
    parser.add_argument('--params-file', type=Path, default=None, metavar='YAML',
                        help='parameters of the nodes (default: config/tracking.yaml)')
    parser.add_argument('--record', action='store_true',
                        help="keep the images, the tracks and the tracker's events in FOLDER/bag "
                        'and FOLDER/events.jsonl, for `acme_tracking repeat`')
    parser.add_argument('--transport', choices=['shared_memory', 'default'],
                        default='shared_memory', help='how images travel (default: %(default)s)')


NEXT = """
Next, try
  acme_tracking demo --video street.mp4       your own video, folder of images, device or URL
  acme_tracking view                          what a running graph sees and thinks, in a browser
  acme_tracking evaluate drive/ --out out/run your own rosbag, scored (docs/first_hour.md)"""


def run(arguments) -> int:
    """Run until the source ends or Ctrl-C; return 0 when a summary was written."""
    if arguments.seconds is None:
        arguments.seconds = 20.0 if arguments.video == 'synthetic' else 0.0
    arguments.params_file = arguments.params_file or share('config/tracking.yaml')
    _check(arguments)
    out = arguments.out
    summary, bag, log = out / 'summary.json', out / 'bag', (out / 'events.jsonl').resolve()
    out.mkdir(parents=True, exist_ok=True)
    summary.unlink(missing_ok=True)
    if arguments.record:
        shutil.rmtree(bag, ignore_errors=True)
    failed = play(arguments, bag, log)
    if failed:
        print(f'The {failed} ended early; its messages stand above.', file=sys.stderr)
    if failed or not summary.exists():
        return 1
    found = json.loads(summary.read_text())
    for name, of_camera in found.get('cameras', {'': found}).items():
        print_summary(of_camera, name)
    print(f'\nSee {out / "tracked.mp4"} and {summary}.')
    if arguments.record:
        print(f'Repeat it: acme_tracking repeat {log} {bag}')
    print(NEXT)
    return 0


def _check(arguments):
    """Raise ValueError for arguments that cannot be."""
    if not arguments.params_file.is_file():
        raise ValueError(f'--params-file must be a file, got {arguments.params_file}')
    weights = arguments.weights
    if weights and not (is_of_hub(weights) or Path(weights).is_file()):
        raise ValueError(f'--weights must be a file, or hf:ID, got {weights}')
    if not 1 <= arguments.cameras <= MOST_CAMERAS:
        raise ValueError(f'--cameras must be from 1 to {MOST_CAMERAS}, got {arguments.cameras}')
    if arguments.record and arguments.cameras > 1:
        raise ValueError(f'--record is of one camera, got --cameras {arguments.cameras}')


def play(arguments, bag: Path, log: Path) -> str | None:
    """Run the nodes to the end of the source; return the name of one that failed."""
    namespace = f'/demo{os.getpid()}'  # of its own: two demos do not hear each other
    print(f'Tracking {arguments.video} in the namespace {namespace}; stop with Ctrl-C.',
          flush=True)
    processes = Processes(arguments.params_file, arguments.transport, namespace)
    names, several = [''], {}
    if arguments.cameras > 1:
        names = [f'camera{index + 1}' for index in range(arguments.cameras)]
        several = {'cameras': names}
    failed = None
    try:
        # the detector first, as it takes longest
        processes.start('detector', **several, **({'weights': arguments.weights}
                                                  if arguments.weights else {}))
        processes.start('recorder', **several, out=str(arguments.out))
        for name in names:
            processes.start('tracker', name, **({'event_log': str(log)}
                                                if arguments.record else {}))
        if arguments.record:
            processes.record(bag, RECORDED)
        for index, name in enumerate(names):
            start_camera(processes, name, index, arguments)
        failed = processes.wait_for('recorder')
    except KeyboardInterrupt:
        pass
    finally:
        others = processes.stop()
    return failed or next(iter(others), None)


def start_camera(processes: Processes, name: str, index: int, arguments) -> None:
    """Start a camera; of several, each on a rendered road of its own, and slower."""
    slower = arguments.cameras > 1 and arguments.video == 'synthetic'
    processes.start('camera', name, source=arguments.video, duration=arguments.seconds,
                    on_end='exit', loop=False, scene_camera=arguments.camera,
                    scene_seed=ROAD['scene_seed'] + index, scene_density=ROAD['scene_density'],
                    wait_for_subscribers=CONSUMERS + arguments.record,
                    **({'rate': SEVERAL_RATE} if slower else {}))


def print_summary(summary: dict, camera: str = '') -> None:
    """Print the figures of a camera in `summary.json` as a short table."""
    latency = summary['latency_ms']
    requests = ', '.join(f'{count} {reason.replace("_", " ")}'
                         for reason, count in summary['requests'].items() if count)
    rows = [
        ('images', f'{summary["images"]}'),
        ('tracked images', f'{summary["tracked_images"]}'),
        ('image delivery', f'{100 * (summary["image_delivery"] or 0):.1f} %'),
        ('dropped frames', f'{summary["dropped_frames"]}'),
        ('tracks', f'{summary["tracks"]}'),
        ('detector runs', f'{summary["detector_runs"]}'),
        ('requests', requests or 'none'),
        ('latency p50, p95', 'no tracks' if latency['p50'] is None
         else f'{latency["p50"]:.1f} ms, {latency["p95"]:.1f} ms'),
    ]
    print(f'\n  {camera}' if camera else '')
    for name, value in rows:
        print(f'  {name:<18}{value}')
