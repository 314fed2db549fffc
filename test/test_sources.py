"""Sources against what was written into them, and the thread that reads them."""
import os
import queue
import threading

from acme_tracking import sources
from acme_tracking.evaluation.sequences import image_paths
from acme_tracking.nodes import reading
from acme_tracking.nodes.reading import SourceThread
from acme_tracking.scene import Scene
from acme_tracking.sessions.events import ImageRead, SourceEnded, SourceFailed
from acme_tracking.sources import open_source, Source
from acme_tracking.sources.resizing import resized
from acme_tracking.sources.stream import StreamSource
import cv2
from mjpeg_server import MjpegServer
from mp4_files import lasting, turned, write_mp4
import numpy as np
import pytest

DEADLINE = 60.0  # generous: other processes may have the machine


def any_hangs():
    """Tell whether the thread of a source is left."""
    return any(thread.name == reading.NAME for thread in threading.enumerate())


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
    assert [path.stem for path in image_paths(folder)] == ['1', '2', '9', '10', '11', '100']
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
    with pytest.raises(ValueError, match=f'{tmp_path} .*no image'):
        open_source(str(tmp_path))


def write_video(path, count=12, rate=20.0):
    """Write a video whose n-th image is 20 n bright, again from 0 after each 12."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), rate, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 20 * (number % 12), np.uint8))
    writer.release()
    return path


def test_video_is_read_to_its_end_and_again(tmp_path):
    path = write_video(tmp_path / 'a video.avi')
    source = open_source(f'file://{tmp_path}/a%20video.avi')
    assert levels(source) == levels(open_source(str(path)))
    source.restart()
    assert (source.rate, source.size, source.live) == (20.0, (64, 48), False)
    for _ in range(2):
        np.testing.assert_allclose(levels(source), 20 * np.arange(12), atol=2)
        assert source.read() is None and source.ended_early == ''
        source.restart()
    source.close()


def test_a_video_that_is_cut_short_says_how_much_came(tmp_path):
    whole, cut = write_video(tmp_path / 'whole.avi', count=50), tmp_path / 'cut.avi'
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    source = open_source(str(cut))
    count = len(levels(source))
    assert 0 < count < 40
    assert source.ended_early == f'{count} of 50 images'
    source.restart()
    assert source.ended_early == ''
    assert open_source(str(whole)).ended_early == ''


def test_a_video_keeps_its_own_times(tmp_path):
    def offsets():
        source.restart()
        found = []
        while source.read() is not None:
            found.append(source.offset / 1e9)
        return found

    path = write_mp4(tmp_path / 'clip.mp4')
    source = open_source(str(path))
    assert offsets() == offsets() == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    lasting(path, [0.1, 0.2, 0.05, 0.8, 0.1, 0.1])
    assert offsets() == [0, 0.1, 0.3, 0.35, 1.15, 1.25]


def test_a_video_without_times_has_its_rate(tmp_path, monkeypatch):
    class Timeless:
        def __init__(self, path, opener=cv2.VideoCapture):
            self._capture = opener(path)

        def __getattr__(self, name):
            return getattr(self._capture, name)

        def get(self, attribute):
            return 0.0 if attribute == cv2.CAP_PROP_POS_MSEC else self._capture.get(attribute)

    monkeypatch.setattr(cv2, 'VideoCapture', Timeless)
    source = open_source(str(write_mp4(tmp_path / 'clip.mp4')))
    offsets = [source.offset / 1e9 for _ in range(6) if source.read() is not None]
    assert offsets == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize('matrix, size, corner', [
    ((0, 1, 0, -1, 0, 0, 48, 0), (48, 64), (0, -1)),
    ((0, -1, 0, 1, 0, 0, 0, 64), (48, 64), (-1, 0)),
    ((-1, 0, 0, 0, -1, 0, 64, 48), (64, 48), (-1, -1))])
def test_a_video_that_was_held_otherwise_is_upright(tmp_path, matrix, size, corner):
    path = write_mp4(tmp_path / 'clip.mp4')
    turned(path, matrix)
    source = open_source(str(path))
    image = source.read()
    assert source.size == size == image.shape[1::-1]
    bright = {(row, column) for row in (0, -1) for column in (0, -1)
              if image[row, column].mean() > 128}
    assert bright == {corner}


def test_files_may_go_and_come_back(tmp_path):
    folder, video = tmp_path / 'images', write_video(tmp_path / 'clip.avi')
    for path, source in ((folder, open_source(str(write_images(folder, [1, 2])))),
                         (video, open_source(str(video)))):
        away = path.rename(tmp_path / 'away')
        with pytest.raises((FileNotFoundError, ValueError), match=path.name):
            source.restart()
        away.rename(path)
        source.restart()
        assert len(levels(source)) >= 2


def test_only_regular_files_are_opened(tmp_path, caplog):
    write_images(tmp_path, [1])
    os.mkfifo(tmp_path / '0.png')
    os.mkfifo(tmp_path / 'clip.mp4')
    assert levels(open_source(str(tmp_path))) == [1]
    assert '0.png: not a regular file' in caplog.text
    for spec in 'clip.mp4', '0.png':
        with pytest.raises(ValueError, match=f'{spec} is not a regular file'):
            open_source(str(tmp_path / spec))


def test_file_that_is_no_video_is_named(tmp_path):
    path = tmp_path / 'notes.mp4'
    path.write_text('not a video')
    with pytest.raises(ValueError, match='notes.mp4 is not a video'):
        open_source(str(path))


@pytest.mark.parametrize('spec', ['nowhere/img1', '', '/nowhere.mp4'])
def test_missing_path_is_named(spec):
    with pytest.raises(FileNotFoundError, match=f"no file or folder '{spec}'"):
        open_source(spec)


@pytest.mark.parametrize('camera', ['fixed', 'drone'])
def test_scene_is_a_source_without_end(camera):
    source = open_source('synthetic', width=128, height=72, seed=5, rate=12.0, camera=camera)
    scene = Scene(width=128, height=72, seed=5, rate=12.0, camera=camera)
    assert (source.rate, source.size, source.live) == (12.0, (128, 72), False)
    for index in range(3):
        np.testing.assert_array_equal(source.read(), scene.render(index))
    source.restart()
    np.testing.assert_array_equal(source.read(), scene.render(0))
    with pytest.raises(ValueError, match='density'):
        open_source('synthetic', density=3.0)


@pytest.mark.parametrize('spec, live', [
    ('0', True), ('/dev/video2', True), ('rtsp://host/x', True), ('http://host/x', True),
    ('gstreamer:videotestsrc ! appsink', True), ('synthetic', False), ('clip.mp4', False),
    ('file:///clips/clip.mp4', False)])
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


def test_a_stream_is_read():
    camera = MjpegServer()
    source = open_source(camera.url, timeout=60.0)
    assert source.live and source.size == (64, 48)
    assert levels(source, 3) == [100, 100, 100]
    source.close()
    camera.stop()


def test_gray_images_of_a_pipeline_become_bgr(monkeypatch):
    class Pipeline:
        def __init__(self, *_):
            self._images = iter([np.full((4, 6), 9, np.uint8)] * 2)

        def isOpened(self):
            return True

        def read(self):
            image = next(self._images, None)
            return image is not None, image

        def get(self, _):
            return 25.0

    monkeypatch.setattr(cv2, 'VideoCapture', Pipeline)
    source = StreamSource('gstreamer:videotestsrc ! video/x-raw,format=GRAY8 ! appsink')
    assert source.size == (6, 4) and [source.read().shape for _ in range(2)] == [(4, 6, 3)] * 2
    assert source.read() is None


@pytest.mark.parametrize('asked, size', [((32, 24), (32, 24)), ((128, 0), (128, 96)),
                                         ((0, 12), (16, 12)), ((100, 50), (100, 50)),
                                         ((0, 0), (64, 48))])
def test_images_are_resized(asked, size):
    image = np.full((48, 64, 3), 7, np.uint8)
    assert resized(image, *asked).shape == (*size[::-1], 3)
    assert resized(image, *asked).mean() == 7


class Puppet(Source):
    """A source whose reads return what the test puts, raise it, or block."""

    rate, size = 10.0, (1, 1)

    def __init__(self, live=False):
        self.live, self.closed, self.restarts = live, threading.Event(), 0
        self.results = queue.Queue()

    def read(self):
        result = self.results.get(timeout=DEADLINE)
        if isinstance(result, Exception):
            raise result
        return result

    def restart(self):
        self.restarts += 1

    def close(self):
        self.closed.set()


def test_a_recording_is_read_when_it_is_asked_for():
    puppet = Puppet()
    thread = SourceThread(lambda: puppet, lambda: 77)
    for result in 'one', 'two', None, ValueError('broken'), 'one':
        puppet.results.put(result)
    assert thread.take(0.0) is None, 'nobody asked'
    thread.read()
    assert thread.take(DEADLINE) == (ImageRead, 'one', None)
    thread.read()
    assert thread.take(DEADLINE) == (ImageRead, 'two', None)
    puppet.ended_early = '2 of 9 images'
    thread.read()
    assert thread.take(DEADLINE) == (SourceEnded, '2 of 9 images')
    thread.read(restart=True)
    assert thread.take(DEADLINE) == (SourceFailed, 'broken'), 'and it can be tried again'
    thread.read(restart=True)
    assert thread.take(DEADLINE) == (ImageRead, 'one', None) and puppet.restarts == 2
    thread.leave(DEADLINE)
    assert puppet.closed.is_set() and not any_hangs()


@pytest.mark.parametrize('last, news', [
    (None, (SourceEnded, '')), (OSError('unplugged'), (SourceFailed, 'unplugged'))])
def test_a_slow_taker_gets_the_newest_image_of_a_live_source(last, news):
    puppet = Puppet(live=True)
    thread = SourceThread(lambda: puppet, lambda: 77)
    for result in 'old', 'older', 'newest', last:
        puppet.results.put(result)
    assert puppet.closed.wait(DEADLINE)
    assert thread.take(0.0) == (ImageRead, 'newest', 77)
    assert thread.take(0.0) == news
    thread.leave(DEADLINE)


def test_a_source_that_hangs_is_left_behind():
    puppet = Puppet(live=True)
    thread = SourceThread(lambda: puppet, lambda: 77)
    thread.leave(0.01)
    assert not puppet.closed.is_set() and any_hangs()
    puppet.results.put('it came back')
    assert puppet.closed.wait(DEADLINE), 'and closes itself'


def test_a_source_that_cannot_be_opened_says_why():
    def opener():
        raise sources.SourceUnavailable('cannot open it')
    thread = SourceThread(opener, lambda: 77)
    assert thread.take(DEADLINE) == (SourceFailed, 'cannot open it')
    thread.leave(DEADLINE)


def test_real_video(data):
    source = open_source(str(data / 'videos' / 'car-detection.mp4'))
    assert (source.rate, source.size) == (12.5, (768, 432))
    assert len(levels(source)) == 377


def test_real_sequence(data):
    source = open_source(str(data / 'clips' / 'highway-day'))
    assert (source.rate, source.size) == (9.0, (640, 640))
