"""
Starts camera, detector, tracker and perhaps locator, in any namespace, with one parameters file.

    ros2 launch acme_tracking tracking.launch.py video:=street.mp4
    ros2 launch acme_tracking tracking.launch.py --show-args

Each node configures and activates itself (parameter autostart).  With a camera driver of your own
start the other two beside it: camera:=false namespace:=NAMESPACE_OF_ITS_image_raw.

With the detector on another host, which sees compressed images, on the one and on the other:

    ros2 launch acme_tracking tracking.launch.py detector_host:=remote source:=/dev/video0
    ros2 launch acme_tracking tracking.launch.py detector_host:=here
"""
import os
from pathlib import Path

from acme_tracking.processes import PARENT_VARIABLE
from acme_tracking.share import share
from acme_tracking.tracking.visual import TRACKER_NAMES
from acme_tracking.transport import environment, images_between_hosts
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SWITCH = ['true', 'false']
# What runs on this host, by detector_host.
HERE = {'same': ('camera', 'detector', 'tracker'), 'remote': ('camera', 'tracker'),
        'here': ('detector',)}
# name: (default, choices or None for free text, description)
ARGUMENTS = {
    'source': ('', None, 'What the camera reads: synthetic, a video file, a folder of images, a '
               'device or a URL; empty for the one in params_file.'),
    'video': ('', None, 'A video file or a folder of images to track once, from begin to end, '
              'instead of source; everything ends with it.'),
    'namespace': ('', None, 'Namespace of all nodes, topics and services.'),
    'device': ('', ['', 'auto', 'cpu', 'cuda'],
               'Where the detector runs; empty for the one in params_file.'),
    'weights': ('', None, 'Of the detector: a file, or hf:ID; empty for those in params_file.'),
    'tracker': ('', ['', *TRACKER_NAMES, 'false'],
                'The visual tracker; empty for the one in params_file, false for no such node.'),
    'trackers': ('', None, 'Of several cameras, the namespaces of their trackers, parted by '
                 'spaces: these are started, in one process, instead of the one in namespace.'),
    'detector_host': ('same', ['same', 'remote', 'here'],
                      'Where the detector runs: on the same host as the camera; or, with '
                      'compressed images between two hosts, remote starts camera and tracker on '
                      'theirs, and here the detector on its own.'),
    'camera': ('true', SWITCH, 'Start the camera node.'),
    'detector': ('true', SWITCH, 'Start the detector node.'),
    'positions': ('false', ['ground', 'depth', 'false'], 'Also tell where tracks are, in metres, '
                  'by the plane of the road or by images on depth_image.'),
    'params_file': (str(share('config/tracking.yaml')), None, 'Parameters of the nodes (YAML).'),
    'use_sim_time': ('false', SWITCH, 'Take the time from /clock: for simulators and bags.'),
    'debug': ('false', SWITCH, 'Log what the nodes and ROS below them do.'),
    'transport': ('shared_memory', ['shared_memory', 'default'],
                  'How images travel: loss-free for large ones, or as ROS is set up.'),
}


def generate_launch_description():
    """Declare the arguments and start the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description,
                              **({'choices': choices} if choices else {}))
        for name, (default, choices, description) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context):
    """Return the nodes that the arguments ask for."""
    # Arguments are text, checked against their choices by launch; nothing of them is evaluated.
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    for name in 'video', 'params_file', 'weights':
        of_hub = name == 'weights' and given[name].startswith('hf:')
        if given[name] and not of_hub and not Path(given[name]).exists():
            raise FileNotFoundError(f'{name}:={given[name]}: there is no such file')
    here, two_hosts = HERE[given['detector_host']], given['detector_host'] != 'same'
    nodes = []
    if given['camera'] == 'true' and 'camera' in here:
        changed = {'source': given['video'] or given['source']}
        if two_hosts:
            changed['compressed'] = True
        if given['video']:
            # its images wait for who is to see them all: detector and tracker take time to start
            listeners = (given['detector'] == 'true') + (given['tracker'] != 'false')
            changed.update(loop=False, on_end='exit', wait_for_subscribers=listeners)
        nodes.append(node('camera', given, context, changed,
                          on_exit=Shutdown() if given['video'] else None))
    if given['detector'] == 'true' and 'detector' in here:
        changed = {'device': given['device'], 'weights': given['weights']}
        if two_hosts:
            # a driver that is not ours may not offer to send again
            changed.update(images_between_hosts(given['namespace'], given['camera'] == 'true'))
        nodes.append(node('detector', given, context, changed))
    if given['tracker'] != 'false' and 'tracker' in here:
        nodes.append(node('tracker', given, context, {'tracker': given['tracker']},
                          together=given['trackers'].split()))
    if given['positions'] != 'false':
        nodes.append(node('locator', given, context, {'source': given['positions']}))
    return nodes


def node(name, given, context, changed, together=(), **options):
    """
    Return the action that starts one node; the parameters `changed`, if not '', win.

    together: namespaces, if there is to be one in each, all in one process.
    """
    # as text: ROS would read a number or a boolean into a path such as 0 or true
    changed = {key: ParameterValue(value, value_type=str) if isinstance(value, str) else value
               for key, value in changed.items() if value != ''}
    named = {'arguments': together} if together else {
        'name': name, 'namespace': given['namespace']}
    return Node(
        package='acme_tracking', executable=f'{name}_node', output='screen', emulate_tty=True,
        parameters=[given['params_file'],
                    {'use_sim_time': given['use_sim_time'] == 'true', **changed}],
        additional_env={PARENT_VARIABLE: str(os.getpid()), **(
            environment(context.environment, None if given['detector_host'] == 'same' else given[
                'namespace']) if given['transport'] == 'shared_memory' else {})},
        # counts when ROS_SECURITY_ENABLE is set: config/sros2_policy.xml
        ros_arguments=['--enclave', '/'.join(['', *given['namespace'].split('/'), name]).replace(
            '//', '/'), *(['--log-level', 'debug'] if given['debug'] == 'true' else [])],
        **named, **options)
