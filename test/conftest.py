"""What the tests share: an isolated ROS graph, waiting with deadlines, and where the data is."""
import fcntl
import gc
import importlib.util
import os
from pathlib import Path
import signal
import tempfile
import time

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Seconds to wait for what must happen: no measure of how fast, for machines may be busy.
DEADLINE = 60.0
_OPENS_ROS = {'graph', 'given'}  # fixtures
# The core's tests run without ROS; these import it.
if importlib.util.find_spec('rclpy') is None:
    collect_ignore_glob = ['test_*_node.py', 'test_config.py', 'test_vision_msgs.py']


def _free_domain():
    """
    Choose a ROS domain that no other test run on this machine uses.

    The lock lives as long as this process; domains up to 101 keep clear of ephemeral ports.
    """
    for domain in range(60, 102):
        lock = open(Path(tempfile.gettempdir(), f'acme_tracking_test_domain_{domain}.lock'), 'w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError('no free ROS domain: too many test runs at once')


# Before anything imports torch and OpenCV: tests run on every core, and must not take all of them.
os.environ.update(OMP_NUM_THREADS='1', OPENCV_FOR_THREADS_NUM='1')
# Set before anything imports rclpy, and inherited by the processes that tests start.
_DOMAIN, _LOCK = _free_domain()
os.environ['ROS_DOMAIN_ID'] = str(_DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
_LOGS = tempfile.TemporaryDirectory(prefix='acme_tracking_test_log_', ignore_cleanup_errors=True)
os.environ['ROS_LOG_DIR'] = _LOGS.name
# Plain transport, whatever the developer's shell has: tests that want another ask for it.
for _name in 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE', 'ROS_STATIC_PEERS':
    os.environ.pop(_name, None)


# A shell that runs tests in the background makes them ignore Ctrl-C, and so would what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    """Leave no logs behind; a process of xdist ends without doing so by itself."""
    _LOGS.cleanup()


def launch_module(name):
    """Return a file of launch/ as a module."""
    path = ROOT / 'launch' / name
    specification = importlib.util.spec_from_file_location(name.partition('.')[0], path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Graph:
    """A ROS context with an executor: add nodes, and spin until something is true."""

    def __init__(self):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        rclpy.init()
        self._rclpy = rclpy
        self.executor = SingleThreadedExecutor()
        self.node = self.add(rclpy.create_node('probe'))

    def add(self, node):
        """Spin `node` too, and destroy it at the end of the test; return it."""
        self.executor.add_node(node)
        return node

    def wait_until(self, predicate, timeout=DEADLINE):
        """Spin until `predicate()` is true and return its value; fail after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not (value := predicate()):
            if time.monotonic() > deadline:
                pytest.fail(f'not true within {timeout} s: {_describe(predicate)}')
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def call(self, client, request, timeout=DEADLINE):
        """Call a service and return its response; fail after `timeout` seconds."""
        self.wait_until(client.service_is_ready, timeout)
        future = client.call_async(request)
        self.wait_until(future.done, timeout)
        return future.result()

    def close(self):
        """Destroy all nodes and the context."""
        for node in self.executor.get_nodes():
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self._rclpy.try_shutdown()


def _describe(predicate):
    code = getattr(predicate, '__code__', None)
    return f'{code.co_filename}:{code.co_firstlineno}' if code else repr(predicate)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """
    Let no DDS participant outlive its test.

    Callbacks refer to nodes in circles, and pytest to nodes until the test is over: only then they
    can be collected.  Left to chance, threads of DDS would end in the middle of another test; and
    of participants only some 32 at a time find each other.
    """
    result = yield
    if not _OPENS_ROS.isdisjoint(item.fixturenames):
        gc.collect()
    return result


@pytest.fixture
def graph():
    """Give a `Graph` with one node, `graph.node`, for the test's own publishers and clients."""
    opened = Graph()
    yield opened
    opened.close()


@pytest.fixture
def wait_until():
    """Give a function (predicate, timeout=60.0) that polls without spinning anything."""
    def wait(predicate, timeout=DEADLINE):
        deadline = time.monotonic() + timeout
        while not (value := predicate()):
            if time.monotonic() > deadline:
                pytest.fail(f'not true within {timeout} s: {_describe(predicate)}')
            time.sleep(0.02)
        return value
    return wait


@pytest.fixture(scope='session')
def data():
    """Give the folder of the training and evaluation data, or skip."""
    folder = Path(os.environ.get('ACME_TRACKING_DATA', ROOT / '../shared/data')).resolve()
    if not folder.is_dir():
        pytest.skip(f'no data in {folder}; set ACME_TRACKING_DATA')
    return folder
