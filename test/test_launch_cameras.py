"""The launch file of several cameras: what it starts, and a real run of two."""
import os
from pathlib import Path
import signal
import subprocess
import sys

from conftest import launch_module
import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not on PyPI: needs a ROS installation')

FILE = Path(__file__).resolve().parent.parent / 'launch' / 'cameras.launch.py'
TWO = """
/**/detector: {ros__parameters: {cameras: [front, /rear]}}
/**/camera: {ros__parameters: {source: synthetic, rate: 5.0, width: 320}}
"""


@pytest.fixture
def module():
    """Return the launch file as a module."""
    return launch_module('cameras.launch.py')


def started(module, **arguments):
    """Return what is included with these arguments, as dictionaries of text."""
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(
        {name: default for name, (default, _) in module.ARGUMENTS.items()} | arguments)
    return [dict(include.launch_arguments) for group in module.start(context)
            for include in group.get_sub_entities()
            if type(include).__name__ == 'IncludeLaunchDescription']


def test_each_camera_has_a_graph_and_all_share_a_detector(module, tmp_path):
    (tmp_path / 'two.yaml').write_text(TWO)
    found = started(module, params_file=str(tmp_path / 'two.yaml'), namespace='car',
                    detector_host='remote')
    assert [(one['namespace'], one['camera'], one['tracker'], one['detector'])
            for one in found] == [('car/front', 'true', '', 'false'),
                                  ('/rear', 'true', '', 'false'),
                                  ('car', 'false', 'false', 'true')]
    assert {(one['params_file'], one['detector_host']) for one in found} == {
        (str(tmp_path / 'two.yaml'), 'remote')}


def test_trackers_share_a_process_when_asked(module, tmp_path):
    (tmp_path / 'two.yaml').write_text(TWO)
    found = started(module, params_file=str(tmp_path / 'two.yaml'), namespace='car',
                    trackers='together')
    assert [(one['namespace'], one['camera'], one['tracker'], one['trackers'], one['detector'])
            for one in found] == [('car/front', 'true', 'false', '', 'false'),
                                  ('/rear', 'true', 'false', '', 'false'),
                                  ('car', 'false', '', 'car/front /rear', 'false'),
                                  ('car', 'false', 'false', '', 'true')]


@pytest.mark.parametrize('content, words', [
    ('{}', 'the detector has no cameras'), ('text', 'must be a ROS parameters file'),
    ('/**/detector: {ros__parameters: {cameras: [a b]}}', "got 'a b'")])
def test_a_file_without_cameras_is_named(module, tmp_path, content, words):
    (tmp_path / 'file.yaml').write_text(content)
    with pytest.raises(ValueError, match=words):
        started(module, params_file=str(tmp_path / 'file.yaml'))
    with pytest.raises(ValueError, match="apart or together, got 'both'"):
        (tmp_path / 'two.yaml').write_text(TWO)
        started(module, params_file=str(tmp_path / 'two.yaml'), trackers='both')
    with pytest.raises(FileNotFoundError, match='params_file:=/nowhere'):
        started(module, params_file='/nowhere')


@pytest.mark.parametrize('trackers, processes', [('apart', 5), ('together', 4)])
def test_two_cameras_are_tracked_and_end_with_ctrl_c(graph, tmp_path, trackers, processes):
    from vision_msgs.msg import Detection2DArray

    (tmp_path / 'two.yaml').write_text(TWO)
    received = {}
    for topic in '/car/front/tracks', '/rear/tracks', '/car/front/detections', '/rear/detections':
        graph.node.create_subscription(
            Detection2DArray, topic,
            lambda message, topic=topic: received.update({topic: message}), 10)
    script = ('import sys; from launch import LaunchDescription, LaunchService; '
              'from launch.actions import IncludeLaunchDescription as Include; '
              'service = LaunchService(); '
              'service.include_launch_description(LaunchDescription([Include(sys.argv[1], '
              'launch_arguments=[a.split(":=", 1) for a in sys.argv[2:]])])); '
              'sys.exit(service.run())')
    with subprocess.Popen(
            [sys.executable, '-c', script, str(FILE), f'params_file:={tmp_path / "two.yaml"}',
             'namespace:=car', f'trackers:={trackers}'], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            graph.wait_until(lambda: len(received) == 4)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert output.count('process has finished cleanly') == processes, output
    assert 'Traceback' not in output, output
