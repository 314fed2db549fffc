"""What a running node may be told to open: paths and addresses, against tricks with both."""
from dataclasses import dataclass

from acme_tracking.confinement import check, ConfinedParameters
from acme_tracking.parameters import parameter, ParameterSet
import pytest


@dataclass(frozen=True)
class Reading(ConfinedParameters):
    source: str = parameter('synthetic', 'What is read.', applies='configure', opens=True)
    files: list[str] = parameter([], 'More of it.', opens=True)
    title: str = parameter('', 'Not a file.')


@pytest.fixture
def tree(tmp_path):
    """Give a folder `open` with a file, and a file beside it that nobody may name."""
    (tmp_path / 'open' / 'deeper').mkdir(parents=True)
    (tmp_path / 'open' / 'a.mp4').touch()
    (tmp_path / 'secret').touch()
    (tmp_path / 'open-too').mkdir()
    return tmp_path


@pytest.mark.parametrize('value', [
    'open', 'open/a.mp4', 'open/deeper/../a.mp4', 'open/not-there', 'file://open/a.mp4'])
def test_what_lies_in_an_allowed_folder_may_be_named(tree, value):
    value = value.replace('open', str(tree / 'open'))
    check('source', value, ConfinedParameters(allowed_paths=(str(tree / 'open'),)))


@pytest.mark.parametrize('value', [
    'secret', 'open/../secret', 'open-too', 'open/link', 'open/linked/x', 'file://secret',
    'file://open/%2e%2e/secret', '0', '/dev/video0', '', '.'])
def test_nothing_else_may(tree, value):
    (tree / 'open' / 'link').symlink_to(tree / 'secret')
    (tree / 'open' / 'linked').symlink_to(tree)
    for name in 'open', 'secret':
        value = value.replace(name, str(tree / name), 1) if value.startswith(
            (name, f'file://{name}')) else value
    with pytest.raises(ValueError, match='may not name .* while the node runs: allowed_paths is'):
        check('source', value, ConfinedParameters(allowed_paths=(str(tree / 'open'),)))


def test_what_is_no_path_at_all_is_refused(tree):
    with pytest.raises(ValueError, match='is no path|null'):
        check('source', 'a\0b', ConfinedParameters(allowed_paths=(str(tree),)))


@pytest.mark.parametrize('value, fine', [
    ('rtsp://cam.local/left', True), ('rtsp://cam.local/left/1?profile=2', True),
    ('rtsp://cam.local/right', False), ('rtsp://cam.local/left/../right', False),
    ('rtsp://cam.local.evil.org/left', False), ('rtsp://cam.local@evil.org/left', False),
    ('rtsp://cam.local:8554/left', False), ('http://cam.local/left', False),
    ('hf:mine/model', True), ('hf:others/model', False),
    ('gstreamer: filesrc location=/etc/passwd ! appsink', False)])
def test_addresses_are_those_of_an_allowed_host_or_owner(value, fine):
    allowed = ConfinedParameters(allowed_urls=('rtsp://cam.local/left', 'hf:mine/'))
    if fine:
        check('source', value, allowed)
        return
    with pytest.raises(ValueError, match='allowed_urls is'):
        check('source', value, allowed)


def test_what_was_named_at_the_start_may_be_named_again_and_so_may_the_default():
    parameters = ParameterSet(Reading, {'source': '/begin'}, confine=check)
    for value in 'synthetic', '/begin':
        parameters.set({'source': value})
    with pytest.raises(ValueError, match="'source' may not name '/etc/passwd'"):
        parameters.set({'source': '/etc/passwd'})
    assert parameters.wanted.source == '/begin'
    parameters.set({'title': '/etc/passwd'})


def test_every_item_of_a_list_is_looked_at(tree):
    parameters = ParameterSet(Reading, {'allowed_paths': [str(tree / 'open')]}, confine=check)
    parameters.set({'files': [str(tree / 'open' / 'a.mp4')]})
    with pytest.raises(ValueError, match="'files' may not name .*secret"):
        parameters.set({'files': [str(tree / 'open' / 'a.mp4'), str(tree / 'secret')]})


def test_what_is_allowed_is_fixed_at_start():
    parameters = ParameterSet(Reading, {}, confine=check)
    with pytest.raises(ValueError, match="'allowed_paths' is fixed at start"):
        parameters.set({'source': '/etc/passwd', 'allowed_paths': ['/']})
