"""
Measures delivery and latency of images between two processes, stock and with our transport.

A publisher and a subscriber process at 30 images per second: reliable images are offered and best
effort is asked for, as camera and tracker do.  Latency is from the stamp, taken before the message
is built, to the image as an array in the subscriber.  Stock, ours, and ours with a publisher that
offers no more than best effort take turns, and the median over the rounds counts, so that other
load on the machine meets all.  The last line is JSON.

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
OFFERS = 'reliable', 'best_effort'
RATE = 30.0
SETTLE = 1.0  # seconds after discovery, and for images on their way at the end


def main():
    """Run the benchmark, or one of its two processes."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=list(SIZES))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--images', type=int, default=150, help='per round and set-up')
    parser.add_argument('--role', choices=('publisher', 'subscriber'), help=argparse.SUPPRESS)
    parser.add_argument('--offer', choices=OFFERS, default=OFFERS[0], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = SIZES[arguments.sizes[0]]
    if arguments.role == 'publisher':
        publish(*size, arguments.images, arguments.offer)
    elif arguments.role == 'subscriber':
        subscribe(*size, arguments.images)
    else:
        benchmark(arguments.sizes, arguments.rounds, arguments.images)


def benchmark(sizes, rounds, images):
    """Measure all sizes; print a table, then JSON."""
    from acme_tracking.transport import environment

    plain = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    ours = {**plain, **environment(plain)}
    setups = {'stock': (plain, 'reliable'), 'ours': (ours, 'reliable'),
              'lossy': (ours, 'best_effort')}
    print(f'{rounds} rounds of {images} images at {RATE:.0f} per second, medians')
    print(' ' * 8 + ''.join(f'{name:>9}{"p50":>10}{"p95":>10}' for name in setups)
          + f'{"ours/stock":>12}{"ours/lossy":>12}')
    report = {}
    for size in sizes:
        measured = {name: [] for name in setups}
        for _ in range(rounds):
            for name, setup in setups.items():
                measured[name].append(measure(size, images, *setup))
        report[size] = summarize(measured, images)
        print_row(size, report[size])
    print(json.dumps(report))


def measure(size, images, variables, offer):
    """Run one pair of processes and return the latencies that arrived, in ms."""
    command = [sys.executable, __file__, '--sizes', size, '--images', str(images), '--offer',
               offer, '--role']
    with subprocess.Popen([*command, 'publisher'], env=variables) as publisher:
        try:
            subscriber = subprocess.run(
                [*command, 'subscriber'], env=variables, stdout=subprocess.PIPE, text=True,
                timeout=60 + images / RATE, check=True)
        finally:
            publisher.terminate()
    return json.loads(subscriber.stdout)


def summarize(rounds, images):
    """Return delivery (share), p50 and p95 (ms) of each set-up, and ratios of the p50."""
    result = {}
    for name, latencies in rounds.items():
        quantiles = [np.percentile(r, (50, 95)) for r in latencies if r] or [(np.nan, np.nan)]
        p50, p95 = np.median(quantiles, axis=0)
        result[name] = {
            'delivery': round(float(np.median([len(r) / images for r in latencies])), 4),
            'p50_ms': finite(p50), 'p95_ms': finite(p95)}
    ours = result['ours']['p50_ms']
    for name, other in (('ratio_p50', 'stock'), ('ratio_reliable', 'lossy')):
        theirs = result[other]['p50_ms']
        result[name] = round(ours / theirs, 3) if theirs and ours else None
    return result


def finite(value):
    """Return a number for JSON, or None where nothing arrived."""
    return round(float(value), 2) if np.isfinite(value) else None


def print_row(size, row):
    """Print one line of the table."""
    cells = ''
    for name in 'stock', 'ours', 'lossy':
        p50, p95 = (f'{row[name][key]} ms' for key in ('p50_ms', 'p95_ms'))
        cells += f'{row[name]["delivery"]:9.0%}{p50:>10}{p95:>10}'
    print(f'{size:8}{cells}{row["ratio_p50"]!s:>12}{row["ratio_reliable"]!s:>12}', flush=True)


def publish(width, height, images, offer):
    """Publish `images` random images once a subscriber is there."""
    from acme_tracking.messages import image_to_msg, ns_to_stamp
    from acme_tracking.nodes.quality import IMAGE_QOS, OFFERED_IMAGE_QOS
    import rclpy
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    rclpy.init()
    node = rclpy.create_node('publisher')
    publisher = node.create_publisher(
        Image, 'benchmark_image', OFFERED_IMAGE_QOS if offer == OFFERS[0] else IMAGE_QOS)
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
    from acme_tracking.nodes.quality import IMAGE_QOS
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('subscriber')
    latencies = []

    def receive(message):
        assert image_from_msg(message).shape == (height, width, 3)
        latencies.append((time.monotonic_ns() - stamp_to_ns(message.header.stamp)) / 1e6)

    subscription = node.create_subscription(
        Image, 'benchmark_image', receive, IMAGE_QOS)
    deadline = time.monotonic() + 30.0 + images / RATE
    seen = 0
    while time.monotonic() < deadline and (subscription.get_publisher_count() or not seen):
        seen = max(seen, subscription.get_publisher_count())
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps(latencies))


if __name__ == '__main__':
    main()
