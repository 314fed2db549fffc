"""
Starts several cameras, a tracker for each, and one detector for all of them, from one file.

    ros2 launch acme_tracking cameras.launch.py params_file:=my_cameras.yaml
    ros2 launch acme_tracking cameras.launch.py --show-args

The file, to begin with config/cameras.yaml, names the cameras: they are the namespaces that the
detector's parameter `cameras` lists.  On two machines start it on both with the same file, with
detector_host:=remote where the cameras are, and with detector_host:=here where the GPU is.
"""
from pathlib import Path

from acme_tracking.evaluation.settings import read_parameters
from acme_tracking.sessions.cameras import cameras_of
from acme_tracking.share import share
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)

ONE = str(Path(__file__).with_name('tracking.launch.py'))
APART, TOGETHER = 'apart', 'together'
# name: (default, description); what is not said here is as in tracking.launch.py
ARGUMENTS = {
    'params_file': (str(share('config/cameras.yaml')), 'Names the cameras, and has the parameters '
                    'of all nodes (YAML).'),
    'namespace': ('', 'Namespace of all nodes, topics and services.'),
    'detector_host': ('same', 'Where the detector runs: same, with the cameras; or, with '
                      'compressed images between two hosts, remote starts cameras and trackers on '
                      'theirs, and here the detector on its own.'),
    'camera': ('true', 'Start the camera nodes.'),
    'tracker': ('', 'The visual tracker; empty for the one in params_file, false for no such '
                'nodes.'),
    'trackers': (APART, 'Whether each tracker has a process of its own (apart), or one has all '
                 'of them (together), which takes less memory.'),
    'detector': ('true', 'Start the detector node.'),
    'use_sim_time': ('false', 'Take the time from /clock: for simulators and bags.'),
    'transport': ('shared_memory', 'How images travel: loss-free for large ones (shared_memory), '
                  'or as ROS is set up (default).'),
}


def generate_launch_description():
    """Declare the arguments and start the nodes."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, (default, description) in ARGUMENTS.items()),
        OpaqueFunction(function=start)])


def start(context):
    """Return what starts the graph of each camera, without a detector, and then the detector."""
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    path = given['params_file']
    if not Path(path).is_file():
        raise FileNotFoundError(f'params_file:={path}: there is no such file')
    names = read_parameters(path)[1].cameras
    if not names:
        raise ValueError(f'params_file:={path}: the detector has no cameras, expected their '
                         'namespaces, as in cameras: [front, rear]')
    names = [_below(given['namespace'], name) for name in cameras_of(names)]
    if given['trackers'] not in (APART, TOGETHER):
        raise ValueError(f'trackers must be {APART} or {TOGETHER}, got {given["trackers"]!r}')
    together, given['trackers'] = given['trackers'] == TOGETHER, ''
    parts = [{**given, 'namespace': name, 'detector': 'false'} for name in names]
    if together:
        parts = [{**part, 'tracker': 'false'} for part in parts]
        parts.append({**given, 'camera': 'false', 'detector': 'false',
                      'trackers': ' '.join(names)})
    parts.append({**given, 'camera': 'false', 'tracker': 'false'})
    return [GroupAction([IncludeLaunchDescription(ONE, launch_arguments=part.items())])
            for part in parts]


def _below(namespace, name):
    """Return the namespace of a camera; one that begins with / stays as it is."""
    return name if name.startswith('/') else f'{namespace}/{name}'.lstrip('/')
