"""
Measures how cost grows with the cameras of one detector: images tracked, age of tracks, CPU.

Each camera publishes images of a rendered road, made beforehand, and has a tracker node; one
detector node serves all of them, as processes.  It runs on demand, and then on every image that it
can keep up with (`mode: continuous`).  The age is from the publication of an image to the arrival
of its tracks, and of its detections in the second case, where an image counts only with them.  The
last line is JSON.

    .venv/bin/python benchmark/cameras.py --cores 2
"""
import argparse
from collections import Counter
import json
import os
import time

from acme_tracking.processes import Processes
from acme_tracking.scene import Scene
from acme_tracking.share import share
from acme_tracking.transport import environment
import numpy as np

RATE, SIZE = 15.0, (640, 360)
DRIVES, LENGTH = 4, 90  # different ones, and the images of each, to and fro
PATIENCE = 120.0        # seconds for the nodes to start
LAST = 2.0              # seconds for what is under way at the end
NAMESPACE = '/benchmark'
MODES = {'on_request': 'tracks', 'continuous': 'detections'}  # and what is to come of an image


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--cameras', type=int, nargs='+', default=[1, 2, 4, 8, 16])
    parser.add_argument('--seconds', type=float, default=20.0, help='of each measurement')
    parser.add_argument('--warm-up', type=float, default=4.0, help='seconds before each')
    parser.add_argument('--together', action='store_true', help='all trackers in one process')
    parser.add_argument('--cores', type=int, default=0, help='for all processes; 0 for all cores')
    arguments = parser.parse_args()
    if arguments.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.cores])
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(environment())
    drives = render(min(DRIVES, max(arguments.cameras)))
    print(f'{"cameras":>8}{"CNN":>12}{"images":>9}{"age p95":>11}{"runs/camera":>13}{"cores":>7}'
          f'{"memory":>10}')
    report = {}
    for count in arguments.cameras:
        found = {mode: measure(drives, count, mode, arguments.together,
                               arguments.warm_up, arguments.seconds) for mode in MODES}
        for mode, row in found.items():
            age = 'none' if row['age_p95_ms'] is None else f'{row["age_p95_ms"]:.0f} ms'
            print(f'{count:>8}{mode:>12}{row["tracked"]:9.1%}{age:>11}'
                  f'{row["runs_per_second"]:>11.2f}/s{row["cores"]:>7.2f}'
                  f'{row["memory_mb"]:>7} MB', flush=True)
        report[count] = {**found['on_request'], 'every_image': found['continuous']}
    print(json.dumps(report))


def render(count):
    """Return so many drives, each a list of image messages."""
    from acme_tracking.messages import image_to_msg
    from std_msgs.msg import Header

    drives = []
    for seed in range(count):
        scene = Scene(*SIZE, seed=seed, rate=RATE, density=0.3, camera='driving')
        there = [image_to_msg(scene.render(index), Header()) for index in range(LENGTH)]
        drives.append(there + there[-2:0:-1])
    return drives


def measure(drives, count, mode, together, warm_up, seconds) -> dict:
    """Run a graph of so many cameras, and return what came of their images."""
    names = [f'camera{index}' for index in range(count)]
    # shared memory, from the environment of this process, which needs it too
    processes = Processes(share('config/tracking.yaml'), 'default', NAMESPACE)
    probe = None
    try:
        processes.start('detector', cameras=names, mode=mode)
        if together:
            processes.start('tracker', together=names)
        else:
            for name in names:
                processes.start('tracker', name)
        probe = Probe(names, drives, MODES[mode])
        probe.play(warm_up)
        return probe.play(seconds, [each.pid for each in processes.running.values()])
    finally:
        if probe:
            probe.close()
        processes.stop()


class Probe:
    """Publishes the images of all cameras, and waits for what is said about them."""

    def __init__(self, names, drives, topic):
        """Find the nodes; `topic` is what is to come of each image."""
        from acme_tracking.nodes.quality import OFFERED_IMAGE_QOS, RELIABLE_QOS
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import Image
        from vision_msgs.msg import Detection2DArray

        rclpy.init()
        self._rclpy, self._drives, self._index = rclpy, drives, 0
        self._node = rclpy.create_node('probe', namespace=NAMESPACE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._images = [self._node.create_publisher(Image, f'{name}/image_raw', OFFERED_IMAGE_QOS)
                        for name in names]
        self._sent, self._ages, self._runs = {}, [], Counter()
        for index, name in enumerate(names):
            for kind in 'tracks', 'detections':
                self._node.create_subscription(
                    Detection2DArray, f'{name}/{kind}', self._taker(index, kind, topic),
                    RELIABLE_QOS)
        self._wait_for([f'{name}/{kind}' for name in names for kind in ('tracks', 'detections')])

    def _wait_for(self, topics):
        deadline = time.monotonic() + PATIENCE
        # the images of each camera go to its tracker and to the detector
        while not (all(each.get_subscription_count() == 2 for each in self._images)
                   and all(map(self._node.count_publishers, topics))):
            if time.monotonic() > deadline:
                raise SystemExit('the nodes do not start')
            time.sleep(0.1)

    def _taker(self, camera, kind, wanted):
        def take(message):
            self._runs[camera] += kind == 'detections'
            stamp = message.header.stamp
            sent = self._sent.pop((camera, stamp.sec, stamp.nanosec), None) \
                if kind == wanted else None
            if sent is not None:
                self._ages.append(time.monotonic() - sent)
        return take

    def play(self, seconds, pids=()) -> dict:
        """Publish the images of so many seconds; return what came of them."""
        from acme_tracking.messages import ns_to_stamp

        self._sent, self._ages, self._runs = {}, [], Counter()
        begin, used = time.monotonic(), sum(map(cpu_seconds, pids))
        images = round(seconds * RATE)
        for number in range(images * len(self._images)):
            index, camera = divmod(number, len(self._images))
            self._spin_until(begin + number / RATE / len(self._images))
            drive = self._drives[camera % len(self._drives)]
            message = drive[(self._index + index + 7 * camera) % len(drive)]
            message.header.stamp = ns_to_stamp(time.time_ns())
            stamp = message.header.stamp
            self._sent[camera, stamp.sec, stamp.nanosec] = time.monotonic()
            self._images[camera].publish(message)
        self._index += images
        self._spin_until(begin + seconds)
        took, used = time.monotonic() - begin, sum(map(cpu_seconds, pids)) - used
        runs = sum(self._runs.values())
        self._spin_until(time.monotonic() + LAST)
        return {'tracked': round(len(self._ages) / (images * len(self._images)), 4),
                'age_p95_ms': round(1e3 * float(np.percentile(self._ages, 95)), 1)
                if self._ages else None,
                'interval_ms': round(1e3 * took / images, 1),
                'runs_per_second': round(runs / took / len(self._images), 3),
                'cores': round(used / took, 2),
                'memory_mb': round(sum(map(resident_mb, pids)))}

    def _spin_until(self, moment):
        while (left := moment - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.02))

    def close(self):
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._rclpy.try_shutdown()


def resident_mb(pid):
    """Return the memory that a process holds, what it shares with others included."""
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


def cpu_seconds(pid):
    """Return the CPU time that a process has used."""
    with open(f'/proc/{pid}/stat') as file:
        ticks = file.read().rsplit(')', 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK')


if __name__ == '__main__':
    main()
