"""Sources against what was written into them, and live ones against a camera that misbehaves."""

import threading
import time

from acme_tracking import sources
from acme_tracking.scene import Scene
from acme_tracking.sources import LiveReader, open_source, Schedule
import cv2
from mjpeg_server import MjpegServer
import numpy as np
import pytest


def write_images(folder, numbers, size=(32, 24), name='{}.png'):
    """Write one flat image per number, as bright as the number says."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image = np.full((size[1], size[0], 3), number, np.uint8)
        assert cv2.imwrite(str(folder / name.format(number)), image)
    return folder


def levels(source, limit=1000):
    """Read to the end and return the mean brightness of each image."""
    found = []
    while len(found) < limit and (image := source.read()) is not None:
        found.append(round(float(image.mean())))
    return found


def test_folder_is_read_in_natural_order(tmp_path):
    folder = write_images(tmp_path / 'images', [1, 2, 9, 10, 11, 100])
    (folder / 'notes.txt').write_text('not an image')
    source = open_source(str(folder))
    assert (source.rate, source.size, source.live) == (10.0, (32, 24), False)
    assert levels(source) == [1, 2, 9, 10, 11, 100]
    assert source.read() is None
    source.restart()
    assert levels(source, 2) == [1, 2]
    source.close()


def test_gray_images_become_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / '1.PNG'), np.full((4, 5), 7, np.uint8))
    assert open_source(str(tmp_path)).read().shape == (4, 5, 3)


@pytest.mark.parametrize('whole', [False, True])
def test_sequence_gives_its_rate(tmp_path, whole):
    folder = write_images(tmp_path / 'img1', [3, 4], name='{:06}.jpg')
    (tmp_path / 'seqinfo.ini').write_text('[Sequence]\nname=x\nframeRate=9\nseqLength=2\n')
    source = open_source(str(tmp_path if whole else folder))
    assert source.rate == 9.0 and levels(source) == [3, 4]


@pytest.mark.parametrize('text', ['', '[Sequence]\nframeRate=fast', '[Sequence]\nframeRate=-1',
                                  'frameRate=9'])
def test_useless_sequence_file_is_reported(tmp_path, caplog, text):
    folder = write_images(tmp_path / 'img1', [3])
    (tmp_path / 'seqinfo.ini').write_text(text)
    assert open_source(str(folder)).rate == 10.0
    assert 'seqinfo.ini' in caplog.text


def test_undecodable_images_are_skipped_with_a_warning(tmp_path, caplog):
    folder = write_images(tmp_path, [1, 3])
    (folder / '0.jpg').write_bytes(b'broken')
    (folder / '2.jpg').write_bytes(b'')
    assert levels(open_source(str(folder))) == [1, 3]
    assert '0.jpg' in caplog.text and '2.jpg' in caplog.text


@pytest.mark.parametrize('broken', [False, True])
def test_folder_without_images_is_named(tmp_path, broken):
    if broken:
        (tmp_path / '1.jpg').write_bytes(b'broken')
    with pytest.raises(ValueError, match=f'{tmp_path}.*no image'):
        open_source(str(tmp_path))


def write_video(path, count=12, rate=20.0):
    """Write a video whose n-th image is 20 n bright."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), rate, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_video_is_read_to_its_end_and_again(tmp_path):
    source = open_source(str(write_video(tmp_path / 'a video.avi')))
    assert (source.rate, source.size, source.live) == (20.0, (64, 48), False)
    for _ in range(2):
        np.testing.assert_allclose(levels(source), 20 * np.arange(12), atol=2)
        assert source.read() is None
        source.restart()
    source.close()


def test_file_that_is_no_video_is_named(tmp_path):
    path = tmp_path / 'notes.mp4'
    path.write_text('not a video')
    with pytest.raises(ValueError, match='notes.mp4 is not a video'):
        open_source(str(path))


@pytest.mark.parametrize('spec', ['nowhere/img1', '', '/nowhere.mp4'])
def test_missing_path_is_named(spec):
    with pytest.raises(FileNotFoundError, match=f"no file or folder '{spec}'"):
        open_source(spec)


def test_scene_is_a_source_without_end():
    source = open_source('synthetic', width=128, height=72, seed=5, rate=12.0)
    scene = Scene(width=128, height=72, seed=5, rate=12.0)
    assert (source.rate, source.size, source.live) == (12.0, (128, 72), False)
    for index in range(3):
        np.testing.assert_array_equal(source.read(), scene.render(index))
    source.restart()
    np.testing.assert_array_equal(source.read(), scene.render(0))
    with pytest.raises(ValueError, match='density'):
        open_source('synthetic', density=3.0)


@pytest.mark.parametrize('spec, live', [
    ('0', True), ('/dev/video2', True), ('rtsp://host/x', True), ('http://host/x', True),
    ('gstreamer:videotestsrc ! appsink', True), ('synthetic', False), ('clip.mp4', False)])
def test_live_sources_are_known_by_name(spec, live):
    assert sources.is_live(spec) == live


@pytest.mark.parametrize('spec', ['97', '/dev/video97', 'http://127.0.0.1:9/x.mjpg'])
def test_device_and_stream_that_do_not_answer_are_named(spec):
    with pytest.raises(sources.SourceUnavailable, match=f'cannot open {spec}'):
        open_source(spec, timeout=1.0)


def test_gstreamer_is_used_or_missed_by_name():
    pipeline = 'gstreamer:videotestsrc num-buffers=3 ! videoconvert ! appsink'
    if 'GStreamer:                   YES' in cv2.getBuildInformation():
        assert open_source(pipeline).read().ndim == 3
    else:
        with pytest.raises(ValueError, match='built with GStreamer'):
            open_source(pipeline)


def test_schedule_does_not_drift():
    schedule, stopped = Schedule(100.0), threading.Event()
    begin = time.monotonic()
    for index in range(41):
        assert schedule.wait(stopped)
        if index % 4 == 0:
            time.sleep(0.006)  # work that takes a part of the period must not add up
    assert 0.39 < time.monotonic() - begin < 0.5


def test_schedule_makes_up_for_short_delays_only():
    schedule, stopped = Schedule(50.0), threading.Event()
    schedule.wait(stopped)
    time.sleep(0.3)
    begin = time.monotonic()
    for _ in range(5):
        schedule.wait(stopped)
    assert time.monotonic() - begin > 0.07, 'a burst after a long delay'


def test_schedule_stops_at_once():
    schedule, stopped = Schedule(0.1), threading.Event()
    schedule.wait(stopped)
    threading.Timer(0.1, stopped.set).start()
    begin = time.monotonic()
    assert not schedule.wait(stopped)
    assert time.monotonic() - begin < 2.0


@pytest.fixture
def camera():
    """Give a running MJPEG camera."""
    server = MjpegServer()
    yield server
    server.stop()


def reader_of(server, timeout=3.0):
    """Return a live reader of an MJPEG camera."""
    return LiveReader(lambda: open_source(server.url, timeout=timeout), timeout=timeout,
                      initial=0.1, maximum=0.5)


def wait_for_level(reader, level, timeout=10.0):
    """Wait until the newest image is as bright as `level`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        newest = reader.next(0.2)
        if newest is not None and abs(newest[0].mean() - level) < 3:
            return newest
    pytest.fail(f'no image of level {level}; the reader is {reader.state}: {reader.error}')


def test_live_stream_is_read(camera):
    reader = reader_of(camera)
    image, stamp = wait_for_level(reader, 100)
    assert image.shape == (48, 64, 3) and abs(stamp - time.monotonic()) < 1
    assert (reader.state, reader.reconnects, reader.error) == ('running', 0, '')
    camera.level = 200
    wait_for_level(reader, 200)
    reader.close()
    assert not LiveReader.any_hangs()


def test_slow_reader_gets_the_newest_image(camera, wait_until):
    reader = reader_of(camera)
    wait_for_level(reader, 100)
    camera.level = 200
    time.sleep(1.0)  # being slow is the point
    assert reader.next(1.0)[0].mean() > 190
    reader.close()


def test_dropped_stream_is_opened_again(wait_until):
    camera = MjpegServer()
    reader = reader_of(camera)
    wait_for_level(reader, 100)
    camera.stop()
    wait_until(lambda: reader.state == 'lost')
    assert reader.error
    camera = MjpegServer(camera.port)
    camera.level = 50
    wait_for_level(reader, 50)
    wait_until(lambda: reader.state == 'running')
    assert reader.reconnects == 1
    reader.close()
    camera.stop()


def test_hanging_stream_is_given_up_and_opened_again(camera, wait_until):
    reader = reader_of(camera, timeout=1.0)
    wait_for_level(reader, 100)
    camera.hung = True
    wait_until(lambda: reader.state == 'lost')
    camera.hung, camera.level = False, 150
    wait_for_level(reader, 150)
    reader.close()


def test_hanging_stream_does_not_hold_up_the_end(camera):
    reader = reader_of(camera, timeout=30.0)
    wait_for_level(reader, 100)
    camera.hung = True
    begin = time.monotonic()
    reader.close()
    assert time.monotonic() - begin < 1.0


def test_attempts_grow_rarer():
    attempts = []

    def opener():
        attempts.append(time.monotonic())
        raise sources.SourceUnavailable('cannot open it')

    reader = LiveReader(opener, timeout=1.0, initial=0.05, maximum=0.2)
    assert reader.next(1.2) is None
    reader.close()
    gaps = np.diff(attempts)
    assert gaps[0] < 0.15 and 0.19 < gaps[-1] < 0.6 and len(gaps) >= 4
    assert (reader.state, reader.error) == ('lost', 'cannot open it')


def test_real_video(data):
    source = open_source(str(data / 'videos' / 'car-detection.mp4'))
    assert (source.rate, source.size) == (12.5, (768, 432))
    assert len(levels(source)) == 377


def test_real_sequence(data):
    source = open_source(str(data / 'clips' / 'highway-day'))
    assert (source.rate, source.size) == (9.0, (640, 640))
