"""
Runs camera, detector and tracker for long, and looks at what grows.

Once a second each node's memory, threads and open files are read; how many images were tracked and
how old tracks are is what the nodes say themselves.  Grown is what a node holds more at the end
than after the first third (medians of a twentieth of the run).  Ends with status 1 when a node has
grown by more than a limit, or images were not tracked.  The last line is JSON.

    .venv/bin/python benchmark/soak.py --minutes 60
"""
import argparse
import json
import os
from pathlib import Path
import statistics
import sys
import time

from acme_tracking.messages import diagnostics_from_msg
from acme_tracking.processes import Processes
from acme_tracking.share import share

NODES = 'camera', 'detector', 'tracker'
NAMESPACE = '/soak'
ROWS = 20               # of the table
GROWTH_MB = 10.0        # of a node, at most
GROWTH_COUNT = 2        # of its threads and open files


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--minutes', type=float, default=60.0)
    parser.add_argument('--camera', default='driving', help='of the rendered road')
    parser.add_argument('--rate', type=float, default=15.0, help='images per second')
    arguments = parser.parse_args()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    processes = Processes(share('config/tracking.yaml'), 'shared_memory', NAMESPACE)
    try:
        processes.start('detector')
        processes.start('tracker')
        processes.start('camera', source='synthetic', scene_camera=arguments.camera,
                        rate=arguments.rate, wait_for_subscribers=2)
        found = watch({name: processes.running[name].pid for name in NODES},
                      60 * arguments.minutes)
    finally:
        failed = processes.stop()
    too_much = [f'{name}: {what}' for name in NODES for what, limit in (
        ('rss_growth_mb', GROWTH_MB), ('threads_growth', GROWTH_COUNT),
        ('files_growth', GROWTH_COUNT)) if found[name][what] > limit]
    if found['images'] != found['tracked']:
        too_much.append(f'{found["images"] - found["tracked"]} images were not tracked')
    print(json.dumps({**found, 'failed': failed + too_much}))
    sys.exit(bool(failed or too_much))


class Health:
    """What the nodes say of themselves on /diagnostics."""

    def __init__(self):
        """Begin to listen."""
        from diagnostic_msgs.msg import DiagnosticArray
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C ends it early
        self.values = {name: {} for name in NODES}
        self._rclpy, self._node = rclpy, rclpy.create_node('soak_probe')
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._take, 100)

    def _take(self, message):
        self.values.update({name: values for name, _, _, values
                            in diagnostics_from_msg(message, NAMESPACE) if name in NODES})

    def number(self, node, key):
        """Return a value that a node reports, 0 before it has."""
        return float(self.values[node].get(key, 0))

    def listen(self, seconds):
        """Take what comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._rclpy.spin_once(self._node, timeout_sec=left)

    def close(self):
        """Leave the graph."""
        self._rclpy.try_shutdown()


def watch(pids, seconds) -> dict:
    """Return what came of so many seconds after the first tracks."""
    health = Health()
    while not health.number('tracker', 'images'):
        health.listen(1)
    samples, ages, begin, told = [], [], time.monotonic(), 0
    before = {key: health.number('tracker', key) for key in ('images', 'skipped_images')}
    while (now := time.monotonic() - begin) < seconds:
        try:
            health.listen(1)
        except KeyboardInterrupt:
            break
        samples.append({name: sample(pid) for name, pid in pids.items()})
        ages.append(health.number('tracker', 'age_ms_median'))
        if now >= told * seconds / ROWS:
            told += 1
            print(f'{now / 60:6.1f} min', *(
                f'{name} {samples[-1][name]["rss_mb"]:6.1f} MB' for name in NODES),
                f'age {ages[-1]:5.1f} ms', flush=True)
    images, skipped = (int(health.number('tracker', key) - before[key])
                       for key in ('images', 'skipped_images'))
    runs = int(health.number('detector', 'runs'))
    health.close()
    return {'minutes': round(now / 60, 1), 'images': images + skipped, 'tracked': images,
            'detector_runs': runs, 'age_ms_median': round(statistics.median(ages), 1),
            **{name: growth([row[name] for row in samples]) for name in NODES}}


def sample(pid) -> dict:
    """Return what a process holds: memory in MB, threads, open files."""
    folder = Path('/proc', str(pid))
    status = dict(line.split(':', 1) for line in (folder / 'status').read_text().splitlines())
    return {'rss_mb': int(status['VmRSS'].split()[0]) / 1e3, 'threads': int(status['Threads']),
            'files': len(list((folder / 'fd').iterdir()))}


def growth(rows) -> dict:
    """Return the values at the end, and by how much they grew since the first third."""
    few = max(1, len(rows) // 20)
    third = len(rows) // 3
    found = {}
    for key in rows[0]:
        after, last = (statistics.median(row[key] for row in part)
                       for part in (rows[third:third + few], rows[-few:]))
        found[key] = round(last, 1)
        found[f'{key.replace("rss_mb", "rss")}_growth' + '_mb' * (key == 'rss_mb')] = round(
            last - after, 1)
    return found


if __name__ == '__main__':
    main()
