"""The launch file that replays a bag: what it starts, in which order, and what it refuses."""

from conftest import launch_module
import pytest

pytest.importorskip('launch_ros', reason='launch_ros is not on PyPI: needs a ROS installation')



@pytest.fixture
def module():
    """Return the launch file as a module."""
    return launch_module('replay.launch.py')


def started(module, **arguments):
    """Return the actions of the launch file with these arguments."""
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(
        {name: default for name, (default, _) in module.ARGUMENTS.items()} | arguments)
    return module.start(context)


def commands(actions):
    """Return the words of the processes that are started at once, by their first words."""
    from launch.actions import ExecuteProcess

    found = [[''.join(part.text for part in word) for word in action.cmd]
             for action in actions if isinstance(action, ExecuteProcess)]
    return {' '.join(words[1:3]) if words[0] == 'ros2' else ' '.join(words[3:5]): words
            for words in found}


def test_every_argument_is_described(module):
    description = module.generate_launch_description()
    arguments = description.get_launch_arguments()
    assert {argument.name for argument in arguments} == set(module.ARGUMENTS)
    assert all(argument.description.endswith(('.', ']')) for argument in arguments)


def test_a_bag_is_played_into_the_namespace(module, tmp_path):
    (tmp_path / 'drive').mkdir()
    actions = started(module, bag=str(tmp_path / 'drive'), out=str(tmp_path / 'out'),
                      namespace='front', images='/camera/image_raw')
    found = commands(actions)
    assert set(found) == {'bag play', 'bag record'}
    assert '--clock' in found['bag play']
    assert '/camera/image_raw:=/front/image_raw' in found['bag play']
    assert found['bag record'][-2:] == ['tracks', 'detections']


def test_what_cannot_be_done_is_named(module, tmp_path):
    with pytest.raises(FileNotFoundError, match='bag:=/nowhere'):
        started(module, bag='/nowhere')
    (tmp_path / 'recorded').mkdir()
    with pytest.raises(FileExistsError, match='exists already'):
        started(module, bag=str(tmp_path), out=str(tmp_path))
