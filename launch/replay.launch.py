"""
Plays a bag into detector and tracker with its own clock, records their tracks, and scores them.

    ros2 launch acme_tracking replay.launch.py bag:=drive
    ros2 launch acme_tracking replay.launch.py --show-args

The bag is played by rosbag2 and sets the time (use_sim_time); what the graph publishes is kept in
OUT/recorded, and with a topic ground_truth in the bag there are figures and a report in OUT/run.
"""
from pathlib import Path
import signal
import sys

from acme_tracking.share import share
from acme_tracking.transport import absolute, environment
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import SignalProcess

# name: (default, description)
ARGUMENTS = {
    'bag': ('', 'The bag to play.'),
    'out': ('out/replay', 'Folder for the recorded tracks and the report; must be a new one.'),
    'images': ('/image_raw', 'Topic of the images in the bag (raw, not compressed).'),
    'rate': ('1.0', 'Speed of playing, 1 for real time.'),
    'delay': ('10.0', 'Seconds before the bag is played, for the nodes to start.'),
    'last_answers': ('3.0', 'Seconds after its end in which tracks may still come.'),
    'namespace': ('', 'Namespace of all nodes, topics and services.'),
    'tracker': ('', 'The visual tracker; empty for the one in params_file.'),
    'device': ('', 'Where the detector runs; empty for the one in params_file.'),
    'params_file': (str(share('config/tracking.yaml')), 'Parameters of the nodes (YAML).'),
}
# Arguments of tracking.launch.py that are handed on.
HANDED_ON = 'namespace', 'tracker', 'device', 'params_file'


def generate_launch_description():
    """Declare the arguments and start what they ask for."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context):
    """Return the graph, the player and the recorder, and what follows on the player's end."""
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    if not given['bag'] or not Path(given['bag']).exists():
        raise FileNotFoundError(f'bag:={given["bag"]}: there is no such bag')
    recorded = Path(given['out'], 'recorded')
    if recorded.exists():
        raise FileExistsError(f'out:={given["out"]}: {recorded} exists already')
    graph = IncludeLaunchDescription(
        str(Path(__file__).with_name('tracking.launch.py')), launch_arguments=[
            ('camera', 'false'), ('use_sim_time', 'true'),
            *((name, given[name]) for name in HANDED_ON)])
    record = ours('bag', 'record', recorded, '--namespace', given['namespace'],
                  '--topics', 'tracks', 'detections')
    # the player needs what the nodes have, or most large images are lost between them
    play = ExecuteProcess(name='play', output='screen', additional_env=environment(
        context.environment), cmd=[
        'ros2', 'bag', 'play', given['bag'], '--clock', '100', '--rate', given['rate'],
        '--delay', given['delay'], '--topics', given['images'],
        '--remap', f'{given["images"]}:={absolute(given["namespace"], "image_raw")}'])
    score = ours('evaluate', given['bag'], '--recorded', recorded, '--images', given['images'],
                 '--params-file', given['params_file'], '--out', Path(given['out'], 'run'))
    stop = EmitEvent(event=SignalProcess(signal_number=signal.SIGINT,
                                         process_matcher=matches_action(record)))
    return [
        graph, record, play,
        follow(play, [TimerAction(period=float(given['last_answers']), actions=[stop])]),
        follow(record, [score]), follow(score, [Shutdown(reason='the bag is scored')])]


def ours(*words):
    """Return the process of a command of this package."""
    return ExecuteProcess(name=words[0], output='screen',
                          cmd=[sys.executable, '-m', 'acme_tracking', *map(str, words)])


def follow(process, actions):
    """Return the handler that does something when a process has ended."""
    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=actions))
