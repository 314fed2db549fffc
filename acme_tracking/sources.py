"""
Where images come from: device, video file, folder of images, stream, pipeline, rendered scene.

A recorded source (file, folder, scene) gives every image once, as fast as it is read; `Schedule`
paces it.  A live one (device, URL, pipeline) may block, break and lag, so `LiveReader` reads it on
a thread, keeps the newest image only, and opens it again when it drops.  No ROS here.
"""
from __future__ import annotations

from collections.abc import Callable
import configparser
import logging
from pathlib import Path
import re
import threading
import time

from acme_tracking.scene import Scene
import cv2
import numpy as np

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'}
FOLDER_RATE = 10.0  # images per second of a folder that does not say
DEFAULT_RATE = 30.0  # of a video that does not say, and of a rendered scene
_THREAD = 'live source'
GSTREAMER = 'gstreamer:'

logger = logging.getLogger(__name__)


class SourceUnavailable(OSError):
    """A device or stream that cannot be opened now; it may help to try again."""


class Source:
    """
    Images in order.

    rate: images per second, 0 when a live source does not say.  size: (width, height) in pixels of
    the first image.  live: whether the images come by themselves, now or never.
    """

    rate: float
    size: tuple[int, int]
    live = False

    def read(self) -> np.ndarray | None:
        """Return the next image, uint8 BGR (H, W, 3); None at the end, or when a stream broke."""
        raise NotImplementedError

    def restart(self) -> None:
        """Begin again with the first image of a recorded source."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the source back; it cannot be read any more."""


class SceneSource(Source):
    """A rendered scene, without an end."""

    def __init__(self, scene: Scene):
        """Show `scene` from its start."""
        self.rate, self.size = scene.rate, (scene.width, scene.height)
        self._scene, self._index = scene, 0

    def read(self):
        """Render the next image."""
        image = self._scene.render(self._index)
        self._index += 1
        return image

    def restart(self):
        """Go back to the start of the scene."""
        self._index = 0


class FolderSource(Source):
    """
    The images of a folder in natural order (2 before 10).

    The rate is the `frameRate` of a MOTChallenge `seqinfo.ini` in the folder above, where there is
    one.  Files that cannot be decoded are skipped with a warning.
    """

    def __init__(self, folder: Path):
        """List `folder`; raise ValueError when it holds no image that can be read."""
        self._paths = sorted((path for path in folder.iterdir()
                              if path.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        self.rate = _sequence_rate(folder.parent / 'seqinfo.ini')
        self._next = 0
        first = self.read()
        if first is None:
            raise ValueError(f'{folder} holds no image that can be read '
                             f'({", ".join(sorted(IMAGE_SUFFIXES))})')
        self.size = first.shape[1::-1]
        self.restart()

    def read(self):
        """Return the next image that can be decoded."""
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None:
                return image
            logger.warning('skipped %s: not an image that OpenCV reads', path)
        return None

    def restart(self):
        """Begin again with the first image."""
        self._next = 0


def _natural(path):
    return [(0, int(part), '') if part.isdecimal() else (1, 0, part)
            for part in re.split(r'(\d+)', path.name) if part]


def _sequence_rate(path):
    if not path.is_file():
        return FOLDER_RATE
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding='utf-8')
        rate = parser.getfloat('Sequence', 'frameRate')
        if not 0 < rate <= 1000:
            raise ValueError(f'frameRate must be above 0 and at most 1000, got {rate}')
    except (configparser.Error, ValueError) as error:
        logger.warning('%s gives no rate, %g images per second are assumed: %s', path, FOLDER_RATE,
                       error)
        return FOLDER_RATE
    return rate


class VideoSource(Source):
    """A video file, to its end."""

    def __init__(self, path: Path):
        """Open `path`; raise ValueError when it is not a video that OpenCV reads."""
        self._path = path
        self._capture = None
        self.restart()
        first = self.read()
        if first is None:
            raise ValueError(f'{path} is not a video that OpenCV reads')
        self.size = first.shape[1::-1]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else DEFAULT_RATE
        self.restart()

    def read(self):
        """Return the next image."""
        return self._capture.read()[1]

    def restart(self):
        """Open the file again, which is exact where seeking is not."""
        self.close()
        self._capture = cv2.VideoCapture(str(self._path))

    def close(self):
        """Close the file."""
        if self._capture is not None:
            self._capture.release()


class StreamSource(Source):
    """A device, a network stream or a GStreamer pipeline; `read` may block up to `timeout` s."""

    live = True

    def __init__(self, spec: str, timeout: float = 5.0, size: tuple[int, int] = (0, 0)):
        """
        Open `spec` as `open_source` reads it, in at most `timeout` seconds where OpenCV can.

        A device is asked for images of `size` (width, height); (0, 0) leaves it its own.
        """
        self._capture = _capture(spec, timeout, size)
        image = self._capture.read()[1] if self._capture.isOpened() else None
        if image is None:
            self._capture.release()
            raise SourceUnavailable(
                f'cannot open {spec}: no such device or stream, no permission, or no image')
        self._first = image
        self.size = image.shape[1::-1]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else 0.0

    def read(self):
        """Wait for the next image."""
        if self._first is not None:
            image, self._first = self._first, None
            return image
        return self._capture.read()[1]

    def close(self):
        """Close the connection."""
        self._capture.release()


def _capture(spec, timeout, size):
    if spec.startswith(GSTREAMER):
        return cv2.VideoCapture(spec.removeprefix(GSTREAMER), cv2.CAP_GSTREAMER)
    if '://' in spec:
        limit = int(timeout * 1000)
        return cv2.VideoCapture(spec, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit,
                                                       cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit])
    capture = cv2.VideoCapture(int(spec) if spec.isdecimal() else spec, cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits in a queue is old when it is read
    for attribute, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size):
        if value:
            capture.set(attribute, value)
    return capture


def is_live(spec: str) -> bool:
    """Tell whether `spec` names a device, a stream or a pipeline rather than a recording."""
    return spec.isdecimal() or '://' in spec or spec.startswith((GSTREAMER, '/dev/'))


def check_support(spec: str) -> None:
    """Raise ValueError when this build of OpenCV can never open `spec`."""
    if spec.startswith(GSTREAMER) and not re.search(r'GStreamer:\s+YES',
                                                    cv2.getBuildInformation()):
        raise ValueError(f'{spec!r} needs an OpenCV that was built with GStreamer, and this one '
                         f'({cv2.__version__}) was not')


def open_source(spec: str, *, timeout: float = 5.0, size: tuple[int, int] = (0, 0),
                **scene) -> Source:
    """
    Open a source of images.

    `spec` is 'synthetic' (`scene` are the arguments of `Scene`), the index of a device or its path
    below /dev, a URL (rtsp://, http:// ...), 'gstreamer:' and a pipeline that ends in appsink, a
    folder of images (or of a MOTChallenge sequence, with `img1` in it), or a video file.
    `timeout` and `size` are those of `StreamSource`.

    Raises FileNotFoundError for a path that is not there, ValueError for one that holds no images,
    and SourceUnavailable for a device or stream that does not answer.
    """
    check_support(spec)
    if spec == 'synthetic':
        return SceneSource(Scene(**scene))
    if is_live(spec):
        return StreamSource(spec, timeout, size)
    path = Path(spec).expanduser()
    if not spec or not path.exists():
        raise FileNotFoundError(
            f"source must be 'synthetic', a video, a folder of images, a device index, a URL or "
            f"'{GSTREAMER}PIPELINE'; there is no file or folder {spec!r}")
    if path.is_dir():
        return FolderSource(path / 'img1' if (path / 'img1').is_dir() else path)
    return VideoSource(path)


class Schedule:
    """
    Paces a recording: image n is due at start + n / rate, so that errors do not add up.

    A short delay is made up for; after a longer one than `patience` periods the schedule starts
    anew, because a burst would overflow the queues of those who listen.
    """

    patience = 2.0

    def __init__(self, rate: float):
        """Pace to `rate` images per second, above 0."""
        self.rate = rate
        self._due = None

    def wait(self, stopped: threading.Event) -> bool:
        """Wait until the next image is due; False when `stopped` was set before."""
        now = time.monotonic()
        period = 1 / self.rate
        if self._due is None or now - self._due > (1 + self.patience) * period:
            self._due = now
        else:
            self._due += period
        return not stopped.wait(max(0.0, self._due - now))


class LiveReader:
    """
    The newest image of a live source, which is opened again whenever it drops.

    Opening and reading happen on a thread that may hang as long as it likes: after `timeout`
    seconds without an image it is left alone (it closes its source when it comes back) and the
    source is opened anew.  Attempts are `initial` seconds apart, then twice as far each time up to
    `maximum`, until an image arrives.

    state is 'opening', 'running' or 'lost'; error says why it is lost; reconnects counts how often
    it was opened again after it had worked.
    """

    def __init__(self, opener: Callable[[], Source], *, timeout: float, initial: float,
                 maximum: float, stamp: Callable = time.monotonic):
        """Read what `opener()` returns; `stamp()` is called at the arrival of every image."""
        self.state, self.error, self.reconnects = 'opening', '', 0
        self._opener, self._stamp = opener, stamp
        self._timeout, self._initial, self._maximum = timeout, initial, maximum
        self._news = threading.Condition()
        self._newest = self._attempt = None
        self._worked = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name='live reader', daemon=True)
        self._thread.start()

    def next(self, timeout: float):  # noqa: A003
        """Wait for an image not seen yet; return (image, stamp), or None after `timeout` s."""
        with self._news:
            self._news.wait_for(lambda: self._newest is not None, timeout)
            newest, self._newest = self._newest, None
        return newest

    def close(self):
        """Stop reading; returns within half a second even when the source hangs."""
        self._stopped.set()
        self._thread.join(0.5)

    @staticmethod
    def any_hangs() -> bool:
        """
        Tell whether a thread of this process still hangs in a source that was left alone.

        When Python ends it unwinds such a thread through OpenCV, which aborts the process: leave
        with os._exit instead.
        """
        return any(thread.name == _THREAD for thread in threading.enumerate())

    def _supervise(self):
        delay = self._initial
        while not self._stopped.is_set():
            self._attempt = attempt = _Attempt(self)
            attempt.start()
            while attempt.wait(self._timeout) and not self._stopped.is_set():
                delay = self._initial
            with self._news:
                self._attempt = None
                self.state = 'lost'
                self.error = attempt.error or f'no image for {self._timeout:g} s'
            stopped = self._stopped.is_set()
            attempt.abandon(0.3 if stopped else 0.0)
            if not stopped:
                logger.warning('source lost (%s); next attempt in %g s', self.error, delay)
                self._stopped.wait(delay)
                delay = min(2 * delay, self._maximum)

    def _offer(self, attempt, image):
        with self._news:
            if attempt is not self._attempt:
                return  # given up a moment ago
            if self.state != 'running':
                self.reconnects += self._worked
                self.state, self.error, self._worked = 'running', '', True
            self._newest = image, self._stamp()
            self._news.notify()


class _Attempt:
    """One connection of a `LiveReader`, on a thread of its own that nobody has to wait for."""

    def __init__(self, reader):
        self.error = ''
        self._reader = reader
        self._beat, self._over, self._abandoned = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._read, name=_THREAD, daemon=True)

    def start(self):
        """Open the source and read it."""
        self._thread.start()

    def wait(self, timeout):
        """Wait for a sign of life; False when there was none or the connection is over."""
        deadline = time.monotonic() + timeout
        while not self._beat.wait(0.1):
            if time.monotonic() > deadline or self._reader._stopped.is_set():
                return False
        self._beat.clear()
        return not self._over.is_set()

    def abandon(self, timeout):
        """Let the thread close its source as soon as it can; wait for that up to `timeout` s."""
        self._abandoned.set()
        self._thread.join(timeout)

    def _read(self):
        source = None
        try:
            source = self._reader._opener()
            while not self._abandoned.is_set():
                image = source.read()
                if image is None:
                    self.error = 'the stream ended'
                    break
                self._reader._offer(self, image)
                self._beat.set()
        except Exception as error:
            self.error = str(error)
        finally:
            self._over.set()
            self._beat.set()
            if source is not None:
                source.close()
