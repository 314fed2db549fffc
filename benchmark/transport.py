"""
Measures delivery and latency of images between two processes, stock and with our transport.

A publisher and a subscriber process at 30 images per second, best effort, as camera and tracker
are.  Latency is from the stamp, taken before the message is built, to the image as an array in the
subscriber.  Stock and ours take turns, and the median over the rounds counts, so that other load
on the machine meets both.  The last line is JSON.

    .venv/bin/python benchmark/transport.py
"""
import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

SIZES = {'480p': (640, 480), '720p': (1280, 720), '1080p': (1920, 1080)}
RATE = 30.0
SETTLE = 1.0  # seconds after discovery, and for images on their way at the end


def main():
    """Run the benchmark, or one of its two processes."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=list(SIZES))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--images', type=int, default=150, help='per round and set-up')
    parser.add_argument('--role', choices=('publisher', 'subscriber'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        run = publish if arguments.role == 'publisher' else subscribe
        run(*SIZES[arguments.sizes[0]], arguments.images)
    else:
        benchmark(arguments.sizes, arguments.rounds, arguments.images)


def benchmark(sizes, rounds, images):
    """Measure all sizes; print a table, then JSON."""
    from acme_tracking.transport import environment

    plain = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    setups = {'stock': plain, 'ours': {**plain, **environment(plain)}}
    print(f'{rounds} rounds of {images} images at {RATE:.0f} per second, best effort, medians')
    print(f'{"":8}{"stock":>9}{"p50":>10}{"p95":>10}{"ours":>9}{"p50":>10}{"p95":>10}{"ratio":>8}')
    report = {}
    for size in sizes:
        measured = {name: [] for name in setups}
        for _ in range(rounds):
            for name, variables in setups.items():
                measured[name].append(measure(size, images, variables))
        report[size] = summarize(measured, images)
        print_row(size, report[size])
    print(json.dumps(report))


def measure(size, images, variables):
    """Run one pair of processes and return the latencies that arrived, in ms."""
    command = [sys.executable, __file__, '--sizes', size, '--images', str(images), '--role']
    with subprocess.Popen([*command, 'publisher'], env=variables) as publisher:
        try:
            subscriber = subprocess.run(
                [*command, 'subscriber'], env=variables, stdout=subprocess.PIPE, text=True,
                timeout=60 + images / RATE, check=True)
        finally:
            publisher.terminate()
    return json.loads(subscriber.stdout)


def summarize(rounds, images):
    """Return delivery (share), p50 and p95 (ms) of each set-up, and the ratio of the p50."""
    result = {}
    for name, latencies in rounds.items():
        quantiles = [np.percentile(r, (50, 95)) for r in latencies if r] or [(np.nan, np.nan)]
        p50, p95 = np.median(quantiles, axis=0)
        result[name] = {
            'delivery': round(float(np.median([len(r) / images for r in latencies])), 4),
            'p50_ms': finite(p50), 'p95_ms': finite(p95)}
    stock, ours = result['stock']['p50_ms'], result['ours']['p50_ms']
    result['ratio_p50'] = round(ours / stock, 3) if stock and ours else None
    return result


def finite(value):
    """Return a number for JSON, or None where nothing arrived."""
    return round(float(value), 2) if np.isfinite(value) else None


def print_row(size, row):
    """Print one line of the table."""
    cells = ''
    for name in 'stock', 'ours':
        p50, p95 = (f'{row[name][key]} ms' for key in ('p50_ms', 'p95_ms'))
        cells += f'{row[name]["delivery"]:9.0%}{p50:>10}{p95:>10}'
    print(f'{size:8}{cells}{row["ratio_p50"]!s:>8}', flush=True)


def publish(width, height, images):
    """Publish `images` random images once a subscriber is there."""
    from acme_tracking.messages import image_to_msg, ns_to_stamp
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    rclpy.init()
    node = rclpy.create_node('publisher')
    publisher = node.create_publisher(Image, 'benchmark_image', qos_profile_sensor_data)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    time.sleep(SETTLE)
    due = time.monotonic()
    for index in range(images):
        header = Header(stamp=ns_to_stamp(time.monotonic_ns()), frame_id=str(index))
        publisher.publish(image_to_msg(image, header))
        due += 1.0 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(SETTLE)


def subscribe(width, height, images):
    """Receive until the publisher has gone; print the latencies in ms as JSON."""
    from acme_tracking.messages import image_from_msg, stamp_to_ns
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('subscriber')
    latencies = []

    def receive(message):
        assert image_from_msg(message).shape == (height, width, 3)
        latencies.append((time.monotonic_ns() - stamp_to_ns(message.header.stamp)) / 1e6)

    subscription = node.create_subscription(
        Image, 'benchmark_image', receive, qos_profile_sensor_data)
    deadline = time.monotonic() + 30.0 + images / RATE
    seen = 0
    while time.monotonic() < deadline and (subscription.get_publisher_count() or not seen):
        seen = max(seen, subscription.get_publisher_count())
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps(latencies))


if __name__ == '__main__':
    main()
