"""The launch file: its arguments, what they start, and a real run that Ctrl-C ends cleanly."""
import os
from pathlib import Path
import signal
import subprocess
import sys

from conftest import launch_module
import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not on PyPI: needs a ROS installation')

FILE = Path(__file__).resolve().parent.parent / 'launch' / 'tracking.launch.py'


@pytest.fixture
def description():
    """Return the launch description of the file and the module that made it."""
    module = launch_module('tracking.launch.py')
    return module.generate_launch_description(), module


def started(module, **arguments):
    """Return the nodes that the launch file starts with these arguments."""
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(
        {name: default for name, (default, _, _) in module.ARGUMENTS.items()} | arguments)
    return {action.node_executable: action for action in module.start(context)}


def test_every_argument_is_described(description):
    arguments = description[0].get_launch_arguments()
    assert {argument.name for argument in arguments} == {
        'source', 'video', 'namespace', 'device', 'weights', 'tracker', 'camera', 'detector',
        'params_file', 'positions', 'use_sim_time', 'debug', 'transport', 'detector_host',
        'trackers'}
    assert all(argument.description.endswith(('.', ']')) for argument in arguments)


@pytest.mark.parametrize('arguments, nodes', [
    ({}, {'camera_node', 'detector_node', 'tracker_node'}),
    ({'camera': 'false'}, {'detector_node', 'tracker_node'}),
    ({'detector': 'false', 'tracker': 'false'}, {'camera_node'}),
    ({'detector_host': 'remote'}, {'camera_node', 'tracker_node'}),
    ({'detector_host': 'here'}, {'detector_node'}),
    ({'positions': 'depth'}, {'camera_node', 'detector_node', 'tracker_node', 'locator_node'}),
])
def test_nodes_can_be_left_out(description, arguments, nodes):
    assert started(description[1], **arguments).keys() == nodes


@pytest.mark.parametrize('argument', ['video', 'weights', 'params_file'])
def test_missing_files_are_named(description, argument):
    with pytest.raises(FileNotFoundError, match=f'{argument}:=/nowhere'):
        started(description[1], **{argument: '/nowhere'})


def launch(*arguments):
    """Start the launch file in a process group of its own, as a terminal does."""
    script = ('import sys; from launch import LaunchService; '
              'from launch.actions import IncludeLaunchDescription as Include; '
              'from launch import LaunchDescription; '
              'service = LaunchService(); '
              'service.include_launch_description(LaunchDescription([Include(sys.argv[1], '
              'launch_arguments=[a.split(":=", 1) for a in sys.argv[2:]])])); '
              'sys.exit(service.run())')
    return subprocess.Popen([sys.executable, '-c', script, str(FILE), *arguments], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)


@pytest.mark.parametrize('argument, words', [
    ('device:=gpu', ('device', 'gpu', 'cuda')), ('camera:=maybe', ('camera', 'maybe', 'false')),
    ('transport:=udp', ('transport', 'udp', 'shared_memory'))])
def test_wrong_choice_is_refused(argument, words):
    with launch(argument) as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert all(word in output for word in words)


def test_real_run_in_a_namespace(graph):
    from std_srvs.srv import Trigger
    from vision_msgs.msg import Detection2DArray

    received = []
    graph.node.create_subscription(Detection2DArray, '/front/tracks', received.append, 10)
    redetect = graph.node.create_client(Trigger, '/front/redetect')
    with launch('namespace:=front', 'source:=synthetic') as process:
        try:
            graph.wait_until(lambda: any(message.detections for message in received))
            # names travel apart from messages, and may come later
            graph.wait_until(lambda: {'/front/camera', '/front/detector', '/front/tracker'} <= set(
                graph.node.get_fully_qualified_node_names()))
            answer = graph.call(redetect, Trigger.Request())
        finally:
            os.killpg(process.pid, signal.SIGINT)
            output = process.communicate(timeout=60)[0]
    assert answer.success and answer.message.startswith('stamp=')
    assert process.returncode == 0
    assert output.count('process has finished cleanly') == 3, output
    assert 'Traceback' not in output, output


def test_video_ends_the_launch(tmp_path):
    import cv2
    import numpy as np

    for index in range(5):
        assert cv2.imwrite(str(tmp_path / f'{index}.png'), np.zeros((48, 64, 3), np.uint8))
    with launch(f'video:={tmp_path}', 'detector:=false') as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'Traceback' not in output, output
