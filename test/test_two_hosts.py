"""Camera and detector on two hosts: what loss, a cut and a narrow link may do, and what not."""
import importlib.util
from pathlib import Path
import time

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

FILE = Path(__file__).resolve().parent.parent / 'benchmark' / 'network.py'
LIMIT = 1.0  # seconds, maximum_image_age


def load():
    """Return the benchmark's script, which makes the hosts."""
    specification = importlib.util.spec_from_file_location('benchmark_network', FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


network = load()


@pytest.fixture(scope='module')
def permitted():
    """Skip where no network namespaces can be made."""
    if why := network.why_not():
        pytest.skip(f'cannot make two hosts: {why}')


@pytest.fixture
def hosts(permitted):
    """Give two hosts with a link between them."""
    with network.TwoHosts() as made:
        yield made


def newest(process, kind):
    """Return the latest stamp of the images that a detector saw or ran on, 0 before."""
    return max((row[kind] for row in process.of(kind)), default=0.0)


def longest_gap(process, since):
    """Return the longest time, by stamps, without an image that the detector saw."""
    stamps = [since] + sorted(row['image'] for row in process.of('image') if row['image'] > since)
    return max(after - before for before, after in zip(stamps, stamps[1:]))


def test_a_detector_sees_again_after_loss_and_cut(hosts, wait_until):
    detector = network.start_detector(hosts, compressed=True, mode='continuous')
    network.start_camera(hosts, compressed=True, jpeg_quality=95)
    wait_until(lambda: newest(detector, 'run'))
    begin, fragments = newest(detector, 'image'), hosts.fragments('camera')
    hosts.link.lose(0.02)
    wait_until(lambda: newest(detector, 'image') > begin + 12)
    hosts.link.mend()
    mended = time.time()
    wait_until(lambda: newest(detector, 'run') > mended)
    # of images in large datagrams none would come for half a minute
    assert longest_gap(detector, begin) < 10
    assert hosts.fragments('camera') - fragments < len(detector.of('image')) / 2

    hosts.link.cut()
    last = newest(detector, 'image')
    wait_until(lambda: time.time() > last + 10)
    hosts.link.mend()
    mended = time.time()
    wait_until(lambda: newest(detector, 'run') > mended)


def test_raw_images_that_pile_up_on_a_narrow_link_are_not_detected(hosts, wait_until):
    detector = network.start_detector(hosts, compressed=False, mode='continuous',
                                      maximum_image_age=LIMIT)
    # one datagram each, so that those which come come whole
    network.start_camera(hosts, scene_width=160, scene_height=120)
    wait_until(lambda: newest(detector, 'run'))
    hosts.link.narrow('2mbit')
    wait_until(lambda: any(row['at'] > row['image'] + LIMIT + 1 for row in detector.of('image')))
    seen, ran = len(detector.of('image')), newest(detector, 'run')
    wait_until(lambda: len(detector.of('image')) > seen + 3)
    assert newest(detector, 'run') == ran, 'all are too old by now'
    assert all(row['at'] - row['run'] < LIMIT + 1 for row in detector.of('run'))
    hosts.link.mend()
    wait_until(lambda: newest(detector, 'run') > ran)


def test_the_benchmark_measures_what_the_detector_sees(permitted, monkeypatch):
    monkeypatch.setitem(network.TROUBLES, 'good', (1, lambda link: None))
    measured = network.measure('the same, lost are sent again', ['good'])['good']
    assert measured.keys() == {
        'images_per_s', 'age_p50_ms', 'age_largest_ms', 'oldest_detected_ms', 'answered_per_s',
        'refused', 'answer_p50_ms', 'answer_p95_ms', 'mbit_per_s', 'again_after_s'}
    # How much arrives, and when, depends on what else the machine does.
    assert measured['again_after_s'] > 0
