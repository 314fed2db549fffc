"""vision_msgs as built here: complete, and the same on the wire as upstream 4.1."""
import importlib.util
import os
from pathlib import Path
import subprocess
import sys

from acme_tracking import interfaces
from acme_tracking.interfaces import SOURCE
from ament_index_python import get_package_share_directory, get_resource
import pytest
from rclpy.serialization import deserialize_message, serialize_message
import vision_msgs.msg

MESSAGES = sorted(path.stem for path in SOURCE.glob('msg/*.msg'))
# RIHS01 hashes of upstream 4.1: equal hashes are what lets two builds talk.
HASHES = {
    'Detection2DArray': '214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    'Detection2D': '0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'BoundingBox2D': '008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f',
    'Detection3DArray': '793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018',
    'Detection3D': 'ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b',
    'BoundingBox3D': 'bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698',
}


def filled(message, depth=0):
    """Return `message` with a value other than the default in every field, arrays included."""
    for number, (field, kind) in enumerate(message.get_fields_and_field_types().items(), 1):
        value = getattr(message, field)
        if kind == 'string':
            value = f'{field} {number}'
        elif kind == 'float' or kind == 'double':
            value = number + 0.5
        elif isinstance(value, int):
            value = number + depth
        elif kind.startswith('sequence<vision_msgs/'):
            element = getattr(vision_msgs.msg, kind.split('/')[1].rstrip('>'))
            value = [filled(element(), depth + 1), element()]
        elif hasattr(value, 'get_fields_and_field_types'):
            value = filled(value, depth + 1)
        setattr(message, field, value)
    return message


def test_all_messages_of_upstream():
    assert len(MESSAGES) == 16
    assert [name for name in dir(vision_msgs.msg) if name[0].isupper()] == MESSAGES


@pytest.mark.parametrize('name', MESSAGES)
def test_round_trip(name):
    message_type = getattr(vision_msgs.msg, name)
    message = filled(message_type())
    assert message != message_type()
    assert deserialize_message(serialize_message(message), message_type) == message


@pytest.mark.parametrize('name', HASHES)
def test_type_hash_on_the_wire(name, graph):
    graph.node.create_publisher(getattr(vision_msgs.msg, name), 'topic', 1)
    found = graph.wait_until(lambda: graph.node.get_publishers_info_by_topic('topic'))
    assert str(found[0].topic_type_hash) == f'RIHS01_{HASHES[name]}'


def test_installed_like_an_interface_package():
    share = Path(get_package_share_directory('vision_msgs'))
    listed = get_resource('rosidl_interfaces', 'vision_msgs')[0].split()
    for name in MESSAGES:
        for suffix in 'msg', 'idl', 'json':
            assert (share / 'msg' / f'{name}.{suffix}').is_file()
        assert f'msg/{name}.msg' in listed and f'msg/{name}.idl' in listed
    assert (share / 'package.xml').is_file()


@pytest.fixture
def missing(monkeypatch):
    """Hide vision_msgs, as in an environment that pip has just made."""
    monkeypatch.setattr(interfaces, '_is_there', lambda: False)
    monkeypatch.delenv('ROS_DISTRO', raising=False)


def test_nothing_is_compiled_where_it_is_there(monkeypatch, capfd):
    monkeypatch.setattr(interfaces.subprocess, 'run', None)
    interfaces.ensure_vision_msgs()
    assert capfd.readouterr() == ('', '')


def test_first_use_compiles_with_a_line_of_progress(missing, monkeypatch, capfd):
    commands = []
    monkeypatch.setattr(interfaces.subprocess, 'run', lambda command, **options: (
        commands.append(command), subprocess.CompletedProcess(command, 0, ''))[1])
    interfaces.ensure_vision_msgs()
    assert capfd.readouterr().err.count('\n') == 1
    command, = commands
    assert command[0] == sys.executable and command[-1] == str(SOURCE)


def test_first_use_without_a_compiler(missing, monkeypatch, tmp_path):
    """The true build, which ends before it begins."""
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(ImportError, match='could not be compiled: gcc is missing; on Debian'):
        interfaces.ensure_vision_msgs()


def test_first_use_beside_a_ros_installation_or_without_any(missing, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    with pytest.raises(ImportError, match='apt install ros-jazzy-vision-msgs'):
        interfaces.ensure_vision_msgs()
    monkeypatch.delenv('ROS_DISTRO')
    monkeypatch.setattr(interfaces.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'ROS 2 is missing.*acme_tracking\[ros\]'):
        interfaces.ensure_vision_msgs()


def test_environment_hook_adds_its_prefix_last(monkeypatch):
    specification = importlib.util.spec_from_file_location('backend', SOURCE / 'build_backend.py')
    backend = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(backend)
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/a::/b')
    for _ in range(2):
        exec(backend.PREFIX_LINE)
        assert os.environ['AMENT_PREFIX_PATH'] == f'/a:/b:{sys.prefix}'
