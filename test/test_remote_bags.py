"""Bags with a URL: fetched once, and again when they have changed."""
import sys

import pytest

fsspec = pytest.importorskip('fsspec', reason='needs acme_tracking[scale]')

from acme_tracking.bags import remote  # noqa: E402
from acme_tracking.bags.remote import local_bag  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is fetched in a folder of the test."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'acme_tracking' / 'bags'


def put(name, content):
    files = fsspec.filesystem('memory')
    files.pipe(name, content)
    return files


def test_a_folder_is_fetched_once_and_again_when_it_changes(cache, monkeypatch):
    files = put('/drives/front/metadata.yaml', b'1')
    put('/drives/front/front_0.mcap', b'22')
    found = local_bag('memory://drives/front')
    assert found.parent.parent == cache and found.name == 'front'
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        'metadata.yaml': b'1', 'front_0.mcap': b'22'}
    with monkeypatch.context() as patch:
        patch.setattr(remote, '_fetch', None)  # it is not called
        assert local_bag('memory://drives/front') == found
    files.pipe('/drives/front/front_0.mcap', b'333')
    changed = local_bag('memory://drives/front')
    assert changed != found and (changed / 'front_0.mcap').read_bytes() == b'333'
    assert len(list(cache.iterdir())) == 2, 'nothing half is left'


def test_a_file_is_fetched(tmp_path):
    (tmp_path / 'drive.mcap').write_bytes(b'abc')
    found = local_bag(f'file://{tmp_path}/drive.mcap')
    assert found.name == 'drive.mcap' and found.read_bytes() == b'abc'
    assert found != tmp_path / 'drive.mcap'


def test_a_fetch_that_fails_leaves_nothing(cache, monkeypatch):
    files = put('/broken/one.mcap', b'1')

    def fail(*_):
        raise ConnectionResetError('gone')
    monkeypatch.setattr(type(files), 'get_file', fail)
    with pytest.raises(ValueError, match='^memory://broken cannot be fetched: gone$'):
        local_bag('memory://broken')
    assert list(cache.iterdir()) == []


def test_names_that_lead_out_of_the_folder_are_refused(monkeypatch):
    files = put('/odd/one.mcap', b'1')
    monkeypatch.setattr(type(files), 'find', lambda self, path: ['/odd/../../one.mcap'])
    monkeypatch.setattr(type(files), 'ukey', lambda self, path: 'key')
    with pytest.raises(ValueError, match=r'a file must not be named odd/\.\./\.\./one.mcap'):
        local_bag('memory://odd')


def test_what_cannot_be_fetched_is_named(monkeypatch):
    with pytest.raises(FileNotFoundError, match='there is no bag memory://nowhere'):
        local_bag('memory://nowhere')
    with pytest.raises(ValueError, match='^nothing://x cannot be fetched: Protocol not known'):
        local_bag('nothing://x')
    monkeypatch.setitem(sys.modules, 'fsspec', None)
    with pytest.raises(ValueError, match=r'URLs need fsspec: pip install "acme_tracking\[scale]"'):
        local_bag('memory://x')
