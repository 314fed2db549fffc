"""
Measures whether the memory of the detector node grows with its requests.

The node runs in its own process on images of a rendered road, each one new, and answers one
request after the other.  The growth is that from the first tenth of the requests to the last; the
last line is JSON.

    .venv/bin/python benchmark/memory.py
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

SIZE = (640, 480)  # width and height
IMAGES = 20  # different ones, in turn
ROWS = 20  # of the table
PATIENCE = 60.0  # seconds for the node to start, and for one answer


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--requests', type=int, default=10_000)
    parser.add_argument('--weights', default='', metavar='CHECKPOINT',
                        help="of the detector (default: the package's own)")
    arguments = parser.parse_args()
    command = [sys.executable, '-m', 'acme_tracking.nodes.detector', '--ros-args',
               '-p', f'weights:={json.dumps(arguments.weights)}']
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with subprocess.Popen(command) as node:
        try:
            resident = measure(node.pid, arguments.requests)
        finally:
            node.send_signal(signal.SIGINT)
    tenth = max(1, len(resident) // 10)
    first, last = (float(np.median(part)) for part in (resident[:tenth], resident[-tenth:]))
    print(json.dumps({'requests': arguments.requests, 'first_tenth_mb': round(first, 1),
                      'last_tenth_mb': round(last, 1), 'growth_mb': round(last - first, 1)}))


def measure(pid, requests):
    """Return the memory in MB that the process holds after each request; print some."""
    from acme_tracking.messages import image_to_msg, ns_to_stamp
    from acme_tracking.nodes.quality import IMAGE_QOS
    from acme_tracking.scene import Scene
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header
    from std_srvs.srv import Trigger

    scene = Scene(*SIZE, seed=1)
    pictures = [scene.render(10 * index) for index in range(IMAGES)]
    rclpy.init()
    probe, executor = rclpy.create_node('probe'), SingleThreadedExecutor()
    executor.add_node(probe)
    publisher = probe.create_publisher(Image, 'image_raw', IMAGE_QOS)
    client = probe.create_client(Trigger, 'redetect')
    if not client.wait_for_service(PATIENCE):
        raise SystemExit('the detector node does not answer')
    resident = []
    print(f'{"requests":>10}{"MB":>10}')
    while len(resident) < requests:
        header = Header(stamp=ns_to_stamp(time.time_ns()))
        publisher.publish(image_to_msg(pictures[len(resident) % IMAGES], header))
        future = client.call_async(Trigger.Request())
        # Not spin_until_future_complete: rclpy (Jazzy) adds a callback to the future in every
        # turn, and after some thousand requests would be busy with nothing else.
        deadline = time.monotonic() + PATIENCE
        while not future.done() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=1.0)
        if not future.done():
            raise SystemExit('the detector node does not answer any more')
        if future.result().success:  # not before it has seen an image
            resident.append(resident_mb(pid))
            if len(resident) % max(1, requests // ROWS) == 0:
                print(f'{len(resident):>10}{resident[-1]:>10.1f}', flush=True)
    rclpy.shutdown()
    return resident


def resident_mb(pid):
    """Return the memory that a process holds."""
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


if __name__ == '__main__':
    main()
