"""
Measures what a detector on another host sees of its camera, while the link is good, lossy or cut.

Two hosts and the switch between them are network namespaces, so it takes root and `ip`, `tc` and
`nft` (packages iproute2 and nftables).  The camera node renders a road on the one; on the other
the detector node runs with a network that takes LATENCY and finds nothing; beside the camera
somebody asks for a detection as soon as the last one is answered, at most ASKING times a second.
All clocks are one, so ages are exact.  The last line is JSON.

    .venv/bin/python benchmark/network.py
"""
import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from acme_tracking.processes import end_with
from acme_tracking.transport import environment, images_between_hosts
import numpy as np

NAMESPACE = 'front'
RATE = 20.0         # images per second, of 640 x 360
LATENCY = 0.05      # seconds
ASKING = 5.0
PATIENCE = 60.0     # seconds for the nodes to start
BLIND = 60.0        # seconds after which a link that is good again is given up
QUALITY = 95        # of JPEG: images of some 80 kB
# Ways for the images; fragments_seconds is net.ipv4.ipfrag_time of the detector's host.
KINDS = {
    'raw': {'compressed': False, 'small': False},
    'compressed, large datagrams': {'compressed': True, 'small': False, 'send_again': False},
    'the same, ipfrag_time 1': {'compressed': True, 'small': False, 'send_again': False,
                                'fragments_seconds': 1},
    'compressed, small datagrams': {'compressed': True, 'send_again': False},
    'the same, lost are sent again': {'compressed': True},
}
# What happens to the link, in this order, each until images come again; seconds.
TROUBLES = {
    'good': (5, lambda link: None),
    'loss of 2 %': (12, lambda link: link.lose(0.02)),
    'cut of 10 s': (10, lambda link: link.cut()),
    'cut of 35 s': (35, lambda link: link.cut()),
    '10 Mbit/s': (15, lambda link: link.narrow('10mbit')),
}


def main():
    """Run the benchmark, or one of its two processes."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS))
    parser.add_argument('--troubles', nargs='+', choices=TROUBLES, default=list(TROUBLES))
    parser.add_argument('--role', choices=('detector', 'asker'), help=argparse.SUPPRESS)
    arguments, _ = parser.parse_known_args()
    if arguments.role:
        return detect() if arguments.role == 'detector' else ask()
    if why := why_not():
        raise SystemExit(f'cannot make two hosts: {why}')
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no namespaces behind
    print(f'{"":44}{"images/s":>9}{"age p50":>9}{"largest":>9}{"answered":>9}{"p50":>8}'
          f'{"Mbit/s":>8}{"again":>8}')
    report = {kind: measure(kind, arguments.troubles) for kind in arguments.kinds}
    print(json.dumps(report))
    return None


# The hosts


def why_not() -> str:
    """Return why there can be no network namespaces here, '' if there can."""
    missing = [tool for tool in ('ip', 'tc', 'nft') if not shutil.which(tool)]
    if missing:
        return f'{" and ".join(missing)} not found'
    try:
        with TwoHosts() as hosts:
            hosts.link.lose(0.5)
            hosts.link.narrow('5mbit')
    except subprocess.CalledProcessError as error:
        return f'{" ".join(error.cmd)}: {error.stderr.strip()}'
    return ''


class TwoHosts:
    """A camera's and a detector's host, and `link`, the switch between them."""

    def __init__(self):
        """Make them; raises CalledProcessError where that is not permitted."""
        self._names = {name: f'acme_{os.getpid()}_{name}'
                       for name in ('switch', 'camera', 'detector')}
        self._processes = []
        self.link = Link(self._names['switch'])
        try:
            self._make()
        except subprocess.CalledProcessError:
            self.close()
            raise

    def _make(self):
        for name in self._names.values():
            call('ip', 'netns', 'add', name)
        switch = self._names['switch']
        inside = functools.partial(call, 'ip', '-n', switch, 'link')
        inside('add', 'name', 'switch', 'type', 'bridge')
        inside('set', 'switch', 'up')
        for number, host in enumerate(('camera', 'detector'), 1):
            name = self._names[host]
            inside('add', 'name', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
            inside('set', host, 'master', 'switch', 'up')
            call('ip', '-n', name, 'link', 'set', 'lo', 'up')
            # addresses that are for examples only (RFC 5737)
            call('ip', '-n', name, 'address', 'add', f'192.0.2.{number}/24', 'dev', 'eth0')
            call('ip', '-n', name, 'link', 'set', 'eth0', 'up')
            call('ip', '-n', name, 'route', 'add', '239.0.0.0/8', 'dev', 'eth0')  # discovery

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, host, *command, small=True) -> 'Lines':
        """Start a process of this Python; it ends with the hosts, and with this thread."""
        variables = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
        variables.update(environment(variables, NAMESPACE if small else None))
        process = Lines([*self._inside(host), sys.executable, *map(str, command)], variables)
        self._processes.append(process)
        return process

    def set(self, host, name, value):  # noqa: A003
        """Set a value of the kernel for one host."""
        call(*self._inside(host), 'sh', '-c', f'echo {value} > /proc/sys/{name}')

    def fragments(self, host) -> int:
        """Return how many packets were parts of datagrams that a host has sent."""
        names, values = (line.split() for line in call(
            *self._inside(host), 'grep', '^Ip:', '/proc/net/snmp').splitlines())
        return int(values[names.index('FragCreates')])

    def _inside(self, host):
        return 'ip', 'netns', 'exec', self._names[host]

    def close(self):
        """End the processes, and take the hosts away."""
        for process in self._processes:
            process.end()
        for name in self._names.values():
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)


class Link:
    """The switch between the hosts."""

    def __init__(self, namespace):
        """Take the namespace of the switch."""
        self._call = functools.partial(call, 'ip', 'netns', 'exec', namespace)

    def lose(self, share):
        """Lose this share of the packets to the detector's host, also of parts of datagrams."""
        self._drop('camera', f'numgen random mod 1000 < {round(1000 * share)} drop')

    def cut(self):
        """Let nothing through."""
        for port in 'camera', 'detector':
            self._drop(port, 'drop')

    def _drop(self, port, rule):
        self._call('nft', f'add table netdev {port}; add chain netdev {port} in {{ type filter '
                   f'hook ingress device {port} priority 0; }}; add rule netdev {port} in {rule}')

    def narrow(self, rate, queue='4mb'):
        """Let so much through to the detector's host; what is more waits in a long queue."""
        self._call('tc', 'qdisc', 'add', 'dev', 'detector', 'root', 'tbf', 'rate', rate, 'burst',
                   '16kb', 'limit', queue)

    def mend(self):
        """Let everything through at once."""
        self._call('nft', 'flush ruleset')
        with contextlib.suppress(subprocess.CalledProcessError):  # it was not narrow
            self._call('tc', 'qdisc', 'del', 'dev', 'detector', 'root')

    def received(self) -> int:
        """Return the bytes that came from the camera's host so far."""
        return int(self._call('cat', '/sys/class/net/camera/statistics/rx_bytes'))


def call(*command) -> str:
    """Run a command, and return its output; raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Lines:
    """A process, and the JSON objects that it prints."""

    def __init__(self, command, variables):
        """Start it."""
        self.rows = []
        self._process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, text=True,
            preexec_fn=functools.partial(end_with, os.getpid()))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self.rows.append(json.loads(line))

    def of(self, kind) -> list[dict]:
        """Return the rows that have this key."""
        return [row for row in list(self.rows) if kind in row]

    def end(self):
        """Ask it to end, and wait for that."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def start_camera(hosts, small=True, **parameters):
    """Start the camera node on its host."""
    parameters = {'source': 'synthetic', 'rate': RATE, **parameters}
    return hosts.start('camera', '-m', 'acme_tracking.nodes.camera', *as_ros(parameters),
                       small=small)


def start_detector(hosts, compressed, small=True, send_again=True, **parameters):
    """Start a detector node on its host, which prints what it sees and what it runs on."""
    if compressed:
        parameters |= images_between_hosts(NAMESPACE, send_again)
    return hosts.start('detector', __file__, '--role', 'detector', *as_ros(parameters),
                       small=small)


def as_ros(parameters):
    """Return the arguments of a node's process."""
    pairs = [['-p', f'{name}:={json.dumps(value)}'] for name, value in parameters.items()]
    return ['--ros-args', '--log-level', 'warn', '-r', f'__ns:=/{NAMESPACE}', *sum(pairs, [])]


# The processes on them


def say(**row):
    """Print what happened; times in seconds."""
    print(json.dumps({**row, 'at': time.time()}), flush=True)


def detect():
    """Be the detector node, and say which images it sees and which it runs on."""
    from acme_tracking.detections import Detections
    from acme_tracking.messages import stamp_to_ns
    from acme_tracking.nodes.detector import DetectorNode
    from acme_tracking.nodes.running import run
    from acme_tracking.sessions.detection import DetectorParameters
    from acme_tracking.sessions.events import StartRun

    class Nothing:
        """A network that takes its time and finds nothing."""

        device, together = 'none', 1

        def __init__(self, parameters):
            pass

        def __call__(self, messages, parameters):
            time.sleep(LATENCY)
            return [Detections.empty() for _ in messages]

    class Watched(DetectorNode):
        """The detector node, watched."""

        def __init__(self, **options):
            super().__init__(DetectorParameters, Nothing, **options)

        def _on_image(self, camera, message):
            say(image=stamp_to_ns(message.header.stamp) * 1e-9)
            super()._on_image(camera, message)

        def perform(self, actions):
            for action in actions:
                if isinstance(action, StartRun):
                    say(run=action.stamp * 1e-9)
            super().perform(actions)

    run(Watched)


def ask():
    """Ask for detections, one after the other, and say what was answered after how long."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_srvs.srv import Trigger

    rclpy.init()
    node, executor = rclpy.create_node('asker'), SingleThreadedExecutor()
    executor.add_node(node)
    client = node.create_client(Trigger, 'redetect')
    while rclpy.ok():
        asked = time.monotonic()
        if client.service_is_ready():
            future = client.call_async(Trigger.Request())
            while not future.done() and time.monotonic() < asked + 2.0:
                executor.spin_once(timeout_sec=0.1)
            if future.done():
                say(asked=time.monotonic() - asked, success=future.result().success,
                    message=future.result().message)
            else:
                client.remove_pending_request(future)
        time.sleep(max(0.0, asked + 1.0 / ASKING - time.monotonic()))


# The measurement


def measure(kind, troubles) -> dict:
    """Go through the troubles with one kind of images; print a table, return its figures."""
    options = {**KINDS[kind]}
    with TwoHosts() as hosts:
        if seconds := options.pop('fragments_seconds', None):
            hosts.set('detector', 'net/ipv4/ipfrag_time', seconds)
        detector = start_detector(hosts, **options)
        start_camera(hosts, options.get('small', True), compressed=options['compressed'],
                     jpeg_quality=QUALITY)
        asker = hosts.start('camera', __file__, '--role', 'asker', *as_ros({}))
        if not wait(lambda: detector.of('image') and asker.of('asked'), PATIENCE):
            raise SystemExit('the nodes do not start')
        return {trouble: tell(kind, trouble, go_through(hosts, detector, asker, trouble))
                for trouble in troubles}


def go_through(hosts, detector, asker, trouble) -> dict:
    """Trouble the link for a while, mend it, and wait until images come again."""
    seconds, make = TROUBLES[trouble]
    bytes_before, begin = hosts.link.received(), time.time()
    make(hosts.link)
    time.sleep(seconds)
    sent, end = hosts.link.received() - bytes_before, time.time()
    hosts.link.mend()
    mended = time.time()
    wait(lambda: any(row['image'] > mended for row in detector.of('image')), BLIND)
    again = [row['at'] - mended for row in detector.of('image') if row['image'] > mended]
    time.sleep(2.0)
    within = [[row for row in process.of(key) if begin < row['at'] <= end]
              for process, key in ((detector, 'image'), (detector, 'run'), (asker, 'asked'))]
    images, runs, answers = within
    ages = [row['at'] - row['image'] for row in images]
    good = [row['asked'] for row in answers if row['success']]
    return {
        'images_per_s': round(len(images) / (end - begin), 1),
        'age_p50_ms': milliseconds(ages, 50), 'age_largest_ms': milliseconds(ages, 100),
        'oldest_detected_ms': milliseconds([row['at'] - row['run'] for row in runs], 100),
        'answered_per_s': round(len(good) / (end - begin), 1),
        'refused': len(answers) - len(good), 'answer_p50_ms': milliseconds(good, 50),
        'answer_p95_ms': milliseconds(good, 95),
        'mbit_per_s': round(8e-6 * sent / (end - begin), 1),
        'again_after_s': round(again[0], 2) if again else None}


def milliseconds(seconds, percentile):
    """Return a percentile in ms, None where there is nothing."""
    return round(1e3 * float(np.percentile(seconds, percentile)), 1) if seconds else None


def tell(kind, trouble, row) -> dict:
    """Print a line of the table; return its row."""
    columns = (('images_per_s', 9), ('age_p50_ms', 9), ('age_largest_ms', 9),
               ('answered_per_s', 9), ('answer_p50_ms', 8), ('mbit_per_s', 8),
               ('again_after_s', 8))
    print(f'{kind:30} {trouble:13}' + ''.join(f'{row[name]!s:>{width}}'
                                              for name, width in columns), flush=True)
    return row


def wait(condition, seconds) -> bool:
    """Wait until something is true, at most so long; tell whether it is."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(found)


if __name__ == '__main__':
    main()
