"""What every node of the package has in common, over DDS."""
from dataclasses import dataclass
import gc
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import weakref

from acme_tracking.nodes.camera import CameraNode
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.locator import LocatorNode
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.neighbours import Neighbours
from acme_tracking.nodes.quality import RELIABLE_QOS
from acme_tracking.nodes.stand_in import StandInNode
from acme_tracking.nodes.tracker import TrackerNode
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import Report, Warn
from conftest import Graph
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
import pytest
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger


def sockets():
    """Return how many sockets this process has; each DDS participant has five."""
    links = [f'/proc/self/fd/{name}' for name in os.listdir('/proc/self/fd')]
    return sum(os.readlink(link).startswith('socket:') for link in links if os.path.lexists(link))


@pytest.mark.parametrize('node_type', [CameraNode, DetectorNode, LocatorNode,
                                       TrackerNode])
def test_an_active_node_that_is_destroyed_leaves_nothing_behind(node_type):
    """A leak of participants ends in a graph where nobody is found: DDS looks for some 32."""
    Graph().close()  # the first one of a process opens three sockets that stay
    before = sockets()
    graph, heard = Graph(), []
    graph.node.create_subscription(
        DiagnosticArray, '/diagnostics', heard.append, 10)
    node = graph.add(node_type())
    assert node.start() and node.state == 'active'
    graph.wait_until(heard.__len__, 60)
    assert sockets() > before
    kept = weakref.ref(node)
    graph.close()
    del graph, node
    gc.collect()  # only now nothing here refers to them
    assert kept() is None
    assert sockets() == before


@dataclass(frozen=True)
class EchoParameters:
    rate: float = parameter(1.0, 'Live.', minimum=0.0, maximum=10.0)
    size: int = parameter(1, 'Read when it is configured.', applies='configure')
    mode: str = parameter('', 'Read when it is activated.', applies='activate')
    path: str = parameter('', 'Read at start.', applies='start')
    names: list[str] = parameter([], 'A list.')
    times: list[float] = parameter([], 'A list of numbers.')


class Echo(ManagedNode):
    """Keeps what it was told, and fails where `fails_in` says."""

    fails_in = ''

    def __init__(self):
        """Declare the parameters."""
        super().__init__('echo', EchoParameters)
        self.seen, self.changes, self.stopped, self.waiting = [], [], threading.Event(), []
        self.thread = None

    def configure(self):
        """Keep the parameters and make a publisher."""
        self.seen.append(('configure', self.parameters))
        self.out = self.publisher(String, 'out', RELIABLE_QOS)
        self.service(Trigger, 'ask', self._on_ask, callback_group=ReentrantCallbackGroup())
        self._fail_in('configure')

    def activate(self):
        """Begin all that can be begun."""
        self.seen.append(('activate', self.parameters))
        self.subscription(String, 'in', self.changes.append, RELIABLE_QOS)
        self.timer(0.01, lambda: None)
        self.client(Trigger, 'nowhere')
        self.stopped.clear()
        self.thread = threading.Thread(target=self.stopped.wait, daemon=True)
        self.thread.start()
        self._fail_in('activate')

    def deactivate(self):
        """End the thread."""
        self.stopped.set()
        if self.thread is not None:
            self.thread.join()
        self._fail_in('deactivate')

    def cleanup(self):
        """Take note."""
        self.seen.append(('cleanup', None))
        self._fail_in('cleanup')

    def parameters_changed(self, previous):
        """Keep both."""
        self.changes.append((previous, self.parameters))

    async def _on_ask(self, _, response):
        self.waiting.append(Future())
        response.success, response.message = await self.waiting[-1]
        return response

    def _fail_in(self, name):
        if self.fails_in == name:
            raise RuntimeError(f'{name} was told to fail')

    def entities(self):
        """Count what the node has."""
        return {name: len(list(getattr(self, name)))
                for name in ('publishers', 'subscriptions', 'timers', 'services', 'clients')}


@pytest.fixture
def echo(graph):
    return graph.add(Echo())


def set_all(node, **values):
    return [result.reason if result.successful else f'refused: {result.reason}'
            for result in node.set_parameters(
                [Parameter(name, value=value) for name, value in values.items()])]


def test_a_failed_activation_leaves_nothing_enabled(echo, graph):
    health = []
    graph.node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda array: health.append(array.status[0]), 10)
    echo.fails_in = 'activate'
    echo.trigger_configure()
    before = echo.entities()
    assert not echo.trigger_activate().to_label().endswith('success')
    assert echo.state == 'inactive'
    assert echo.entities() == before
    assert not echo.out.is_activated, 'it would still publish'
    assert not echo.thread.is_alive()
    graph.wait_until(lambda: health, 60)
    assert (health[0].level, health[0].message) == (
        DiagnosticStatus.ERROR, 'inactive: cannot activate: activate was told to fail')
    echo.fails_in = ''
    echo.trigger_activate()
    assert echo.state == 'active' and echo.out.is_activated


def test_a_failed_configuration_leaves_nothing_behind(echo):
    before = echo.entities()
    echo.fails_in = 'configure'
    assert not echo.start()
    assert echo.state == 'unconfigured'
    assert echo.entities() == before
    assert echo.seen[-1] == ('cleanup', None)
    echo.fails_in = ''
    assert echo.start() and echo.state == 'active'


@pytest.mark.parametrize('name', ['deactivate', 'cleanup'])
def test_a_node_that_cannot_end_its_work_is_undone_and_says_so(echo, name, capfd):
    before = echo.entities()
    assert echo.start()
    echo.fails_in = name
    echo.trigger_deactivate()
    assert echo.state == 'inactive' and not echo.out.is_activated
    echo.trigger_cleanup()
    assert echo.state == 'unconfigured' and echo.entities() == before
    assert f'cannot {name}: {name} was told to fail' in capfd.readouterr().err
    assert echo.exit_status == 1


def test_parameters_count_from_the_moment_that_they_are_declared_for(echo, capfd):
    assert echo.start()
    assert set_all(echo, rate=2, size=3, mode='new') == [
        '', "'size' takes effect when the node is configured next",
        "'mode' takes effect when the node is activated next"]
    assert "'size' takes effect when the node is configured next" in capfd.readouterr().err
    assert echo.parameters == EchoParameters(rate=2.0)
    assert echo.changes == [(EchoParameters(), EchoParameters(rate=2.0))]
    echo.trigger_deactivate()
    echo.trigger_activate()
    assert echo.seen[-1] == ('activate', EchoParameters(rate=2.0, mode='new'))
    echo.trigger_deactivate()
    echo.trigger_cleanup()
    assert echo.start()
    assert echo.seen[-1] == ('activate', EchoParameters(rate=2.0, size=3, mode='new'))


def test_what_is_set_while_it_is_inactive_counts_when_it_is_activated(echo):
    assert set_all(echo, size=2) == ["'size' takes effect when the node is configured next"]
    echo.trigger_configure()
    assert set_all(echo, rate=3.0, mode='late')[0] == ''
    assert echo.changes == [], 'the node does nothing yet that could change'
    echo.trigger_activate()
    assert echo.seen == [('configure', EchoParameters(size=2)),
                         ('activate', EchoParameters(size=2, rate=3.0, mode='late'))]


def test_what_is_fixed_or_out_of_range_is_refused(echo):
    path, rate = set_all(echo, path='elsewhere', rate=11.0)
    assert path.startswith('refused: ') and 'path' in path
    assert rate == "refused: parameter 'rate' must be in [0.0, 10.0], got 11.0"
    assert set_all(echo, rate=None)[0].startswith("refused: parameter 'rate' must be a float")
    assert echo.parameters == EchoParameters()


@pytest.mark.parametrize('node_type, name', [
    (CameraNode, 'source'), (CameraNode, 'camera_info_url'), (DetectorNode, 'weights'),
    (DetectorNode, 'classifier'), (StandInNode, 'detections'), (TrackerNode, 'event_log'),
    (TrackerNode, 'tracker_weights')])
def test_a_running_node_is_told_by_others_to_open_nothing(graph, node_type, name):
    node = graph.add(node_type())
    client = graph.node.create_client(SetParameters, f'{node.get_name()}/set_parameters')
    for value in '/etc/passwd', 'http://127.0.0.1:1/':
        wanted = Parameter(name, value=[value] if name == 'tracker_weights' else value)
        result, = graph.call(client, SetParameters.Request(
            parameters=[wanted.to_parameter_msg()])).results
        assert not result.successful
        assert f"'{name}' may not name '{value}' while the node runs" in result.reason


def test_lists_arrive_as_ros_hands_them_over(echo, graph):
    client = graph.node.create_client(SetParameters, 'echo/set_parameters')

    def set_one(name, **value):
        message = ParameterMessage(name=name, value=ParameterValue(**value))
        result, = graph.call(client, SetParameters.Request(parameters=[message]), 60).results
        return result.successful
    assert set_one('times', type=ParameterType.PARAMETER_DOUBLE_ARRAY,
                   double_array_value=[3.0, 1.5])
    assert echo.parameters.times == (3.0, 1.5)
    assert set_one('times', type=ParameterType.PARAMETER_INTEGER_ARRAY, integer_array_value=[2])
    assert echo.parameters.times == (2.0,)
    assert echo.get_parameter('times').value == (2.0,)
    assert set_one('names', type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=['car'])
    assert echo.parameters.names == ('car',)
    assert set_one('names', type=ParameterType.PARAMETER_NOT_SET)
    assert echo.parameters.names == () and echo.has_parameter('names')


@pytest.mark.parametrize('service, kind', [
    ('set_parameters', SetParameters), ('set_parameters_atomically', SetParametersAtomically)])
def test_a_value_of_a_type_that_does_not_exist_is_refused(echo, graph, service, kind):
    good = ParameterMessage(name='rate', value=ParameterValue(
        type=ParameterType.PARAMETER_DOUBLE, double_value=2.0))
    bad = ParameterMessage(name='rate', value=ParameterValue(type=200))
    client = graph.node.create_client(kind, f'echo/{service}')
    response = graph.call(client, kind.Request(parameters=[good, bad]), 60)
    if kind is SetParameters:
        assert [result.successful for result in response.results] == [True, False]
        reason = response.results[1].reason
    else:
        assert not response.result.successful
        reason = response.result.reason
    assert '200' in reason
    assert echo.parameters.rate == (2.0 if kind is SetParameters else 1.0)
    reader = graph.node.create_client(GetParameters, 'echo/get_parameters')
    assert graph.call(reader, GetParameters.Request(names=['rate']), 60).values


def test_a_transition_that_does_not_exist_is_refused(echo, graph):
    client = graph.node.create_client(ChangeState, 'echo/change_state')
    request = ChangeState.Request()
    request.transition.id = 250
    assert not graph.call(client, request, 60).success
    request.transition.id, request.transition.label = 0, 'configure'
    assert graph.call(client, request, 60).success and echo.state == 'inactive'


def test_an_answer_may_come_later_and_others_are_served_meanwhile(echo, graph):
    assert echo.start()
    client = graph.node.create_client(Trigger, 'ask')
    graph.wait_until(client.service_is_ready, 60)
    futures = [client.call_async(Trigger.Request()) for _ in range(2)]
    graph.wait_until(lambda: len(echo.waiting) == 2, 60)
    reader = graph.node.create_client(GetParameters, 'echo/get_parameters')
    assert graph.call(reader, GetParameters.Request(names=['rate']), 60).values
    assert not any(future.done() for future in futures)
    for number, future in enumerate(echo.waiting):
        future.set_result((True, str(number)))
    graph.wait_until(lambda: all(future.done() for future in futures), 60)
    assert [future.result().message for future in futures] == ['0', '1']


def test_a_report_and_a_warning_are_performed(echo, graph, capfd):
    health = []
    graph.node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda array: health.append(array.status[0]), 10)
    graph.wait_until(lambda: echo.count_subscribers('/diagnostics'), 60)
    echo.perform([Warn('so it is', 'info'), Warn('mind this'), Warn('broken', 'error'),
                  Report('warning', 'slow', {'images': 3})])
    graph.wait_until(lambda: any(status.message == 'slow' for status in health), 60)
    status = next(status for status in health if status.message == 'slow')
    assert (status.level, status.name) == (DiagnosticStatus.WARN, 'echo: state')
    values = {pair.key: pair.value for pair in status.values}
    assert values['images'] == '3' and values['Events since startup'] == '0'
    assert {'Events in window', 'Duration of window (s)', 'Actual frequency (Hz)'} <= set(values)
    log = capfd.readouterr().err
    assert '[WARN]' in log and 'mind this' in log and 'so it is' in log and '[ERROR]' in log


def test_who_has_no_name_yet_is_no_rival():
    """As a node of a host that was cut off has none."""
    class Endpoint:
        node_namespace = '_NODE_NAMESPACE_UNKNOWN_'
        node_name = '_NODE_NAME_UNKNOWN_'

    class Known:
        node_namespace, node_name = '/front', 'camera'

    class Node:
        def get_publishers_info_by_topic(self, topic):
            return [Endpoint(), Known()]
    neighbours = Neighbours(Node())
    assert neighbours.publishers('/image_raw') == ['/front/camera']
    assert [neighbours.rivals(['/image_raw']) for _ in range(3)] == [{}] * 3


@pytest.fixture
def given(tmp_path):
    """Give `given(text)`: an Echo that is started with a parameters file."""
    nodes = []

    def start(text):
        path = tmp_path / 'parameters.yaml'
        path.write_text(f'/**/echo:\n  ros__parameters:\n{text}')
        rclpy.init(args=['--ros-args', '--params-file', str(path)])
        nodes.append(Echo())
        return nodes[0]
    yield start
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()


def test_a_file_may_hold_empty_lists_and_whole_numbers(given):
    node = given('    names: []\n    times: [1, 2]\n    rate: 7\n')
    assert node.parameters == EchoParameters(rate=7.0, times=(1.0, 2.0))
    assert node.get_parameter('rate').value == 7.0


def test_a_misspelled_name_is_said_with_the_nearest(given, capfd):
    given('    raet: 3.0\n    xyzzy: 1\n    use_sim_time: false\n    autostart: false\n'
          '    qos_overrides: {/out: {publisher: {depth: 3}}}\n')
    log = capfd.readouterr().err
    assert "there is no parameter 'raet'; did you mean 'rate'?" in log
    assert "there is no parameter 'xyzzy'" in log
    assert log.count('there is no parameter') == 2


def test_a_value_out_of_range_in_a_file_is_an_error(given):
    with pytest.raises(ValueError, match=r'rate.*\[0.0, 10.0\], got 11.0'):
        given('    rate: 11.0\n')


# A node that takes its time in one moment, until there is a line on its standard input.
SLOW_NODE = """
from dataclasses import dataclass
import sys
import time
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.running import exit_with, run

@dataclass(frozen=True)
class NoParameters:
    pass

class Slow(ManagedNode):
    def __init__(self):
        super().__init__('slow', NoParameters)
    def configure(self):
        self.pause('configure')
        if sys.argv[1] == 'configure':
            while self.context.ok():
                time.sleep(0.01)
            raise RuntimeError('it was asked to end')
    def activate(self):
        print('active', flush=True)
    def deactivate(self):
        self.pause('deactivate')
    def pause(self, moment):
        if sys.argv[1] == moment:
            print(moment, flush=True)
            sys.stdin.readline()
            print('done', flush=True)

exit_with(run(Slow))
"""


@pytest.mark.parametrize('moment', ['configure', 'deactivate'])
def test_ctrl_c_breaks_off_nothing(moment):
    """In a terminal launch interrupts a node for the second time while it ends."""
    of_others = set(Path('/dev/shm').iterdir())
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW_NODE, moment], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if moment == 'deactivate':
            assert process.stdout.readline() == 'active\n'
            shared = shared_memory(process.pid) - of_others
            assert shared
            process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == f'{moment}\n'
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate('\n', timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert printed.startswith('done\n')
    assert 'Traceback' not in errors and 'cannot' not in errors, errors
    if moment == 'deactivate':
        assert not [path for path in shared if path.exists()]


def shared_memory(pid):
    """Return the files through which Fast DDS shares the messages of a process."""
    maps = Path(f'/proc/{pid}/maps').read_text().splitlines()
    return {Path(line.split()[-1]) for line in maps if re.search('/fastrtps_[0-9a-f]{16}$', line)}
