"""Transport: what is set, what of the user's own stays, and that no image is lost with it."""
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from acme_tracking import transport
from acme_tracking.transport import ALLOCATOR, environment, PROFILE_VARIABLE
import pytest


def test_sets_profile_and_allocator():
    chosen = environment({})
    assert chosen.keys() == {PROFILE_VARIABLE, *ALLOCATOR}
    assert os.path.isabs(chosen[PROFILE_VARIABLE]) and os.path.isfile(chosen[PROFILE_VARIABLE])
    assert environment({'RMW_IMPLEMENTATION': 'rmw_fastrtps_dynamic_cpp'}) == chosen


@pytest.mark.parametrize('current', [
    {PROFILE_VARIABLE: '/home/user/profile.xml'}, {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}])
def test_keeps_the_users_middleware_and_says_so(current, caplog):
    assert environment(current) == ALLOCATOR
    (name, value), = current.items()
    assert name in caplog.text and value in caplog.text


def test_keeps_the_users_allocator():
    name = next(iter(ALLOCATOR))
    assert name not in environment({name: '1'})


@pytest.mark.parametrize('folder', ['/proc', '/no such folder'])
def test_too_little_shared_memory_is_said(folder, caplog, monkeypatch):
    monkeypatch.setattr(transport, 'SHARED_MEMORY', folder)
    assert environment({}) == ALLOCATOR
    assert f'{folder} has 0 MB free' in caplog.text and '--shm-size' in caplog.text


def test_segment_holds_many_messages():
    root = ElementTree.parse(environment({})[PROFILE_VARIABLE]).getroot()
    values = {item.tag.split('}')[1]: item.text for item in root.iter()}
    assert int(values['segment_size']) == transport.PROFILE_SEGMENT
    assert int(values['maxMessageSize']) == 16 * 2**20


@pytest.mark.parametrize('namespace, images', [
    ('front', '/front/image_raw/compressed'), ('', '/image_raw/compressed')])
def test_only_what_goes_to_another_host_is_in_small_datagrams(namespace, images):
    root = ElementTree.parse(environment({}, namespace)[PROFILE_VARIABLE]).getroot()
    writers = {item.get('profile_name'): [value.text for value in item.iter()
                                          if value.text and value.text.strip()]
               for item in root if item.tag.endswith('data_writer')}
    small = ['fastdds.max_message_size', '1400']
    assert writers[images] == writers['/diagnostics'] == small and len(writers) == 4
    alike = [item for item in root if not item.tag.endswith('data_writer')]
    plain = ElementTree.parse(environment({})[PROFILE_VARIABLE]).getroot()
    assert list(map(ElementTree.tostring, alike)) == list(map(ElementTree.tostring, plain))


def test_a_detector_on_another_host_sees_compressed_images():
    assert transport.images_between_hosts('/front') == {
        'compressed': True,
        'qos_overrides./front/image_raw/compressed.subscription.reliability': 'reliable'}
    assert transport.images_between_hosts('', send_again=False) == {'compressed': True}


def test_the_profile_for_another_host_goes_with_the_process():
    script = ("from acme_tracking.transport import environment, PROFILE_VARIABLE as name; "
              "path = environment({}, 'front')[name]; open(path).close(); print(path)")
    path = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          check=True).stdout.strip()
    assert path.endswith('.xml') and not os.path.exists(path)


def test_the_largest_message_is_that_of_the_profile_in_use():
    assert transport.largest_message({}) == 512 * 2**10
    assert transport.largest_message(environment({})) == 64 * 2**20
    assert transport.largest_message(environment({}, between_hosts='')) == 64 * 2**20
    for unknown in {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, {PROFILE_VARIABLE: '/mine.xml'}:
        assert transport.largest_message(unknown) == 0


def test_benchmark_measures_all():
    pytest.importorskip('rclpy')
    result = subprocess.run(
        [sys.executable, 'benchmark/transport.py', '--sizes', '720p', '--rounds', '1',
         '--images', '10'], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout.splitlines()[-1])
    assert measured.keys() == {'720p'}
    assert measured['720p'].keys() == {'stock', 'ours', 'lossy', 'ratio_p50', 'ratio_reliable'}
    # How much arrives, and when, depends on what else the machine does.
    for name in 'stock', 'ours', 'lossy':
        assert measured['720p'][name].keys() == {'delivery', 'p50_ms', 'p95_ms'}
        assert 0 <= measured['720p'][name]['delivery'] <= 1
