"""
Measures how old tracks are when there is more work than time, and what that costs in memory.

A tracker node in a process of its own gets images ten times as fast as it can work on them; the
age of its tracks is the time from the publication of an image to the arrival of its tracks.  The
same overload is simulated with a virtual clock.  Then 200 objects are followed on images of
1280 x 720.  The last line is JSON.

    .venv/bin/python benchmark/overload.py
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

from acme_tracking.detections import Detections
from acme_tracking.evaluation.simulation import Simulation, Surroundings
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
from acme_tracking.tracking.tracker import MultiObjectTracker
from acme_tracking.transport import environment
import cv2
import numpy as np

OVERLOAD = 10           # images arrive so many times as fast as they can be worked on
LIVE_SIZE = (640, 360)  # width and height
LIVE_OBJECTS = 5        # with a slow visual tracker
LIVE_TRACKER = 'csrt'
CROWD, CROWD_SIZE, CROWD_RATE = 200, (1280, 720), 30
LATENCY = 3             # images from a detection to its arrival, with the crowd
PATIENCE = 60.0         # seconds for the node to start


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--seconds', type=float, default=20.0, help='of live overload')
    parser.add_argument('--images', type=int, default=120, help='of the crowd')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # as nodes do
    live = measure_live(arguments.seconds)
    simulated = simulate(live['image_cost_ms'] * 1e-3)
    crowd = follow_crowd(arguments.images)
    print(json.dumps({**live, **simulated, **crowd}))


class Crowd:
    """Textured patches that move evenly over a smooth background and turn round at its edges."""

    def __init__(self, count, size, seed=0):
        """Draw `count` objects on images of `size`, (width, height)."""
        rng = np.random.default_rng(seed)
        self._limits = np.array(size)
        self._sides = rng.integers(24, 56, (count, 2))
        self._start = rng.uniform(0, 1, (count, 2)) * (self._limits - self._sides)
        self._speed = rng.uniform(-2, 2, (count, 2))
        self._background = _texture(rng, size, 8)
        self._patches = [_texture(rng, side, 6) for side in self._sides.tolist()]

    def __call__(self, index):
        """Return image `index`, uint8 (H, W, 3), and the boxes, float32 (N, 4)."""
        room = self._limits - self._sides
        place = (self._start + self._speed * index + room) % (2 * room) - room
        corners = np.abs(place).astype(int)
        image = self._background.copy()
        for patch, (x, y), (w, h) in zip(self._patches, corners, self._sides):
            image[y:y + h, x:x + w] = patch
        return image, np.concatenate([corners, corners + self._sides], axis=1).astype(np.float32)


def _texture(rng, size, cells):
    noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return cv2.resize(noise, tuple(size), interpolation=cv2.INTER_CUBIC)


def as_detections(boxes):
    """Return boxes as sure detections."""
    return Detections(boxes, np.full(len(boxes), 0.9), ['car'] * len(boxes))


def follow_crowd(count) -> dict:
    """Follow many objects, corrected once a second, as fast as it goes."""
    crowd, tracker, spent, waited = Crowd(CROWD, CROWD_SIZE), MultiObjectTracker(), [], []
    period = round(1e9 / CROWD_RATE)
    for index in range(CROWD_RATE + count):  # the first second warms up
        image, _ = crowd(index)
        start = time.perf_counter()
        tracks = tracker.advance((index + 1) * period, image).confirmed
        if index % CROWD_RATE == LATENCY:
            seen = index - LATENCY
            tracker.correct((seen + 1) * period, as_detections(crowd(seen)[1]))
        spent.append(time.perf_counter() - start)
        waited.append(tracker.longest_wait)
    return {'objects200_fps': round(count / sum(spent[CROWD_RATE:]), 1),
            'objects200_tracks': len(tracks),
            'objects200_ms_median': round(1e3 * float(np.median(spent[CROWD_RATE:])), 1),
            'objects200_oldest_box_images': max(waited[CROWD_RATE:])}


def simulate(cost) -> dict:
    """Overload the sessions with a virtual clock; `cost` of an image in seconds."""
    crowd, interval = Crowd(LIVE_OBJECTS, LIVE_SIZE), cost / OVERLOAD
    known = {}
    simulation = Simulation(
        TrackerParameters(), DetectorParameters(), lambda stamp, _: as_detections(known[stamp]),
        Surroundings(latency=0.1, image_cost=cost))
    for index in range(300):
        time_of_image = 1 + round(index * interval * 1e9)
        image, known[time_of_image] = crowd(index)
        simulation.step(time_of_image, time_of_image, image)
    simulation.finish()
    return {'simulated_p95_age_ms': _p95(list(simulation.outcome.ages.values()))}


def measure_live(seconds) -> dict:
    """Overload a tracker node, and return ages, costs and the growth of its memory."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(environment())
    command = [sys.executable, '-m', 'acme_tracking.nodes.tracker', '--ros-args',
               '-p', f'tracker:={LIVE_TRACKER}', '-p', 'newcomers_interval:=3600.0',
               '-p', 'minimum_interval:=3600.0']
    with subprocess.Popen(command) as node:
        probe = None
        try:
            probe = Probe(node.pid)
            cost = probe.play(interval=0.5, seconds=5.0)['cost']
            probe.play(interval=cost / OVERLOAD, seconds=seconds / 4)
            before = resident_mb(node.pid)
            found = probe.play(interval=cost / OVERLOAD, seconds=seconds)
            grown = resident_mb(node.pid) - before
        finally:
            if probe:
                probe.close()
            node.send_signal(signal.SIGINT)
    interval = 1e3 * found['interval']
    return {'p95_age_ms': _p95(found['ages']), 'image_cost_ms': round(1e3 * found['cost'], 1),
            'interval_ms': round(interval, 2), 'rss_growth_mb': round(grown, 1),
            'limit_ms': round(2e3 * found['cost'] + interval, 1),
            'published': found['published'], 'tracked': len(found['ages'])}


def _p95(seconds):
    return round(1e3 * float(np.percentile(seconds, 95)), 1)


class Probe:
    """Publishes images of a small crowd, and their boxes, and waits for the tracks."""

    def __init__(self, pid):
        """Find the tracker node."""
        from acme_tracking.nodes.quality import IMAGE_QOS
        from diagnostic_msgs.msg import DiagnosticArray
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import Image
        from vision_msgs.msg import Detection2DArray

        rclpy.init()
        self._rclpy, self._pid = rclpy, pid
        self.node, self._executor = rclpy.create_node('probe'), SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._images = self.node.create_publisher(Image, 'image_raw', IMAGE_QOS)
        self._detections = self.node.create_publisher(Detection2DArray, 'detections', 10)
        self.node.create_subscription(Detection2DArray, 'tracks', self._on_tracks, 100)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._crowd, self._index = Crowd(LIVE_OBJECTS, LIVE_SIZE), 0
        self._sent, self._ages, self._cost = {}, [], 0.0
        deadline = time.monotonic() + PATIENCE
        while not (self._images.get_subscription_count()
                   and self._detections.get_subscription_count()):
            if time.monotonic() > deadline:
                raise SystemExit('the tracker node does not start')
            time.sleep(0.1)

    def _on_tracks(self, message):
        sent = self._sent.pop((message.header.stamp.sec, message.header.stamp.nanosec), None)
        if sent is not None:
            self._ages.append(time.monotonic() - sent)

    def _on_diagnostics(self, message):
        values = {pair.key: pair.value for pair in message.status[0].values}
        self._cost = 1e-3 * float(values.get('image_ms_median', 1e3 * self._cost))

    def play(self, interval, seconds) -> dict:
        """
        Publish an image every `interval`; return what came of it, all in seconds.

        cost: of an image, the median that the node itself reports.
        """
        from acme_tracking.messages import detections_to_msg, image_to_msg, ns_to_stamp
        from std_msgs.msg import Header

        self._sent, self._ages = {}, []
        begin = time.monotonic()
        published, due, detected = 0, begin, 0.0
        while (now := time.monotonic()) < begin + seconds:
            if now < due:
                self._executor.spin_once(timeout_sec=min(due - now, 0.01))
                continue
            image, boxes = self._crowd(self._index)
            self._index += 1
            header = Header(stamp=ns_to_stamp(time.time_ns()))
            self._sent[header.stamp.sec, header.stamp.nanosec] = time.monotonic()
            self._images.publish(image_to_msg(image, header))
            if now - detected > 1.0:
                self._detections.publish(detections_to_msg(as_detections(boxes), header))
                detected = now
            published += 1
            due = max(due + interval, now - interval)
            self._executor.spin_once(timeout_sec=0)
        return {'ages': self._ages, 'cost': self._cost, 'published': published,
                'interval': (time.monotonic() - begin) / published}

    def close(self):
        """Leave the graph."""
        self._rclpy.try_shutdown()


def resident_mb(pid):
    """Return the memory that a process holds."""
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


if __name__ == '__main__':
    main()
