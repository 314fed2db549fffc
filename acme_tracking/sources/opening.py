"""From the text that names a source to the source."""
from __future__ import annotations

import re

from acme_tracking.files import FILE_URL, local_path
from acme_tracking.scene import Scene
from acme_tracking.sources.folder import FolderSource
from acme_tracking.sources.scene import SceneSource
from acme_tracking.sources.source import Source
from acme_tracking.sources.stream import GSTREAMER, StreamSource
from acme_tracking.sources.video import VideoSource
import cv2

SYNTHETIC = 'synthetic'


def is_live(spec: str) -> bool:
    """Tell whether `spec` names a device, a stream or a pipeline rather than a recording."""
    url = '://' in spec and not spec.startswith(FILE_URL)
    return spec.isdecimal() or url or spec.startswith((GSTREAMER, '/dev/'))


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
    below /dev, a URL (rtsp://, http:// ...), 'gstreamer:' and a pipeline that ends in appsink, or
    the path or file:// URL of a video file or a folder of images (or of a MOTChallenge sequence,
    with `img1` in it).  `timeout` and `size` are those of `StreamSource`.

    Raises FileNotFoundError for a path that is not there, ValueError for one that holds no images
    or is neither a folder nor a regular file, and SourceUnavailable for a device or stream that
    does not answer.
    """
    check_support(spec)
    if spec == SYNTHETIC:
        return SceneSource(Scene(**scene))
    if is_live(spec):
        return StreamSource(spec, timeout, size)
    path = local_path(spec)
    if not spec or not path.exists():
        raise FileNotFoundError(
            f"source must be '{SYNTHETIC}', a video, a folder of images, a device index, a URL or "
            f"'{GSTREAMER}PIPELINE'; there is no file or folder {spec!r}")
    if path.is_dir():
        return FolderSource(path / 'img1' if (path / 'img1').is_dir() else path)
    if not path.is_file():
        # to open a FIFO blocks until somebody writes into it
        raise ValueError(f'{path} is not a regular file')
    return VideoSource(path)
