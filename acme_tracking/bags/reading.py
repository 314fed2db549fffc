"""Reading bags: which topics there are, and what is on them."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
from dataclasses import replace
import logging
from pathlib import Path, PurePosixPath
import re
import struct

from acme_tracking.bags.remote import is_remote
from acme_tracking.bags.topics import (
    COMPRESSED,
    DEPTH,
    DETECTIONS,
    GROUND_TRUTH,
    IMAGE,
    Topic,
    typestore,
)
from acme_tracking.detections import Detections
from acme_tracking.messages import (
    detections_from_msg,
    image_from_compressed,
    image_from_msg,
    stamp_to_ns,
)
from acme_tracking.sources.files import natural_order
import apsw
from backports import zstd
import numpy as np
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError

# What the storage libraries raise on damaged files, the last ones of lengths that are nonsense.
_DAMAGE = (ReaderError, SerdeError, apsw.Error, struct.error, zstd.ZstdError, RuntimeError,
           AssertionError, EOFError, LookupError, TypeError, ValueError,
           OverflowError, MemoryError, OSError)
SUFFIXES = ('.mcap', '.db3')
# How messages begin that were compressed one by one (RFC 8878); no serialized message does.  Where
# there is no metadata.yaml, nothing else says that they are.
ZSTD = b'\x28\xb5\x2f\xfd'

_log = logging.getLogger(__name__)


def name_of(bag) -> str:
    """Return what a bag is called, which need not be there."""
    if is_remote(bag):
        path = PurePosixPath(str(bag))
        return path.stem if path.suffix in SUFFIXES else path.name
    return Path(bag).stem if Path(bag).is_file() else Path(bag).resolve().name


class BagReader:
    """
    Reads a bag, as a context manager: a folder, with or without its metadata.yaml, or a file.

    Raises FileNotFoundError for a missing bag, and ValueError, from any call, for one that is
    truncated or damaged.
    """

    def __init__(self, path):
        """Prepare to read a bag; of a folder without metadata.yaml, the files in it."""
        self.path, self.name = Path(path), name_of(path)
        if not self.path.exists():
            raise FileNotFoundError(f'there is no bag {path}')
        parts = _parts(self.path)
        with self._readable():
            self._readers = [Reader(part) for part in parts]
        self._opened = ExitStack()

    def __enter__(self) -> BagReader:
        """Read the index."""
        topics = {}
        with self._readable(), ExitStack() as opened:
            for reader in self._readers:
                opened.enter_context(reader)
            self._readers.sort(key=lambda reader: reader.start_time)
            for item in self._connections():
                topic = Topic(item.topic, item.msgtype, item.msgcount,
                              tuple(item.ext.offered_qos_profiles), item.digest)
                before = topics.get((topic.name, topic.type))
                topics[topic.name, topic.type] = topic if before is None else replace(
                    before, count=before.count + topic.count)
            self._opened = opened.pop_all()
        self.topics = list(topics.values())
        return self

    def __exit__(self, *_):
        """Close the files."""
        self._opened.close()

    @property
    def seconds(self) -> float:
        """The time from the first to the last message."""
        times = [(reader.start_time, reader.end_time) for reader in self._readers
                 if reader.message_count]
        return 1e-9 * (max(end for _, end in times) - times[0][0]) if times else 0.0

    def image_topic(self, chosen: str = '') -> str:
        """
        Return the topic of the images: the chosen one, or the only one.

        Of raw and compressed images of one camera the raw ones are taken.  Raises ValueError when
        there is none, or when there is more than one camera and none was chosen.
        """
        images = [topic.name for topic in self.topics if topic.type in (IMAGE, COMPRESSED)
                  and topic.count and topic.name.rpartition('/')[2] != DEPTH]
        there = ', '.join(f'{topic.name} ({topic.type})' for topic in self.topics) or 'nothing'
        if chosen:
            wanted = [name for name in images if name.strip('/') == chosen.strip('/')]
            if not wanted:
                raise ValueError(f'{self.path} has no images on {chosen}; it has {there}')
            return wanted[0]
        cameras = [name for name in images if name.removesuffix('/compressed') not in
                   set(images) - {name}]
        if not cameras:
            raise ValueError(f'{self.path} has no images: expected a topic of the type {IMAGE} or '
                             f'{COMPRESSED}; it has {there}')
        if len(cameras) > 1:
            raise ValueError(f'{self.path} has images of {len(cameras)} cameras: '
                             f'{", ".join(cameras)}; choose one with --images')
        return cameras[0]

    def truth_topic(self, image_topic: str, named: str = '') -> str | None:
        """
        Return the topic `named`, or `ground_truth` beside the images, or the only such, or None.

        Raises ValueError when there is none of the name, or when it holds no detections.
        """
        if not named:
            return self.topic_beside(image_topic, GROUND_TRUTH, DETECTIONS)
        found = [topic for topic in self.topics if topic.name.strip('/') == named.strip('/')]
        if not found:
            raise ValueError(f'{self.path} has no topic {named}, and there is no file of '
                             'that name with ground truth')
        return self._of_type(found[0], DETECTIONS)

    def topic_beside(self, image_topic: str, name: str, message_type: str) -> str | None:
        """
        Return the topic of a name beside the images, or the only such, or None.

        Raises ValueError when there are several, none of them beside the images, or when it has
        another type.
        """
        beside = f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{name}'
        found = [topic for topic in self.topics
                 if topic.name.rpartition('/')[2] == name and topic.count]
        chosen = [topic for topic in found if topic.name == beside] or found
        if len(chosen) > 1:
            raise ValueError(f'{self.path} has {name} of {len(chosen)} cameras, but none on '
                             f'{beside}, which belongs to {image_topic}')
        return self._of_type(chosen[0], message_type) if chosen else None

    def _of_type(self, topic, message_type):
        if topic.type != message_type:
            raise ValueError(f'{self.path}: {topic.name} must have the type {message_type}, got '
                             f'{topic.type}')
        return topic.name

    def images(self, topic: str, start: int | None = None,
               stop: int | None = None) -> Iterator[tuple[int, int, np.ndarray]]:
        """
        Yield (stamp, time, image) of the images in the order in which they were recorded.

        stamp: of the header; time: of the recording; both in nanoseconds.  Only images recorded
        from `start` to before `stop` are given.
        """
        for message, time in self.messages(topic, start, stop):
            decode = image_from_msg if hasattr(message, 'encoding') else image_from_compressed
            try:
                image = decode(message)
            except ValueError as error:
                raise ValueError(f'{self.path}, {topic}: {error}') from error
            yield stamp_to_ns(message.header.stamp), time, image

    def detections(self, topic: str) -> dict[int, Detections]:
        """Return the detections, tracks or truth of a topic by the stamp of their image."""
        return {stamp_to_ns(message.header.stamp): detections_from_msg(message)
                for message, _ in self.messages(topic)}

    def messages(self, topic: str, start: int | None = None, stop: int | None = None) -> Iterator:
        """Yield (message, time of the recording in nanoseconds) of a topic, if there is one."""
        announced = read = 0
        for connection in self._connections(topic):
            announced += connection.msgcount
            ours = typestore().hash_rihs01(connection.msgtype)
            if connection.digest.startswith('RIHS01_') and connection.digest != ours:
                raise ValueError(f'{self.path}, {topic}: {connection.msgtype} is defined '
                                 'differently here: the type hashes differ')
        recorded = self._recorded(topic, start, stop)
        while True:
            with self._readable():
                item = next(recorded, None)
                if item is None:
                    break
                read += 1
                connection, time, data = item
                if data[:4] == ZSTD:
                    data = zstd.decompress(data)
                message = typestore().deserialize_cdr(data, connection.msgtype)
            yield message, time
        if start is not None or stop is not None or read >= announced:
            return
        if read:
            _log.warning('%s, %s: %d of %d messages could not be read', self.path, topic,
                         announced - read, announced)
        else:
            # the library passes over files whose topics have another QoS than metadata.yaml says
            raise ValueError(f'{self.path}, {topic}: metadata.yaml announces {announced} '
                             'messages, but its topics are not those of the files: try one of '
                             'the files')

    def _connections(self, topic=None):
        return [item for reader in self._readers for item in reader.connections
                if topic in (None, item.topic)]

    def _recorded(self, topic, start, stop):
        """Yield what is recorded of a topic, file after file."""
        for reader in self._readers:
            connections = [item for item in reader.connections if item.topic == topic]
            if connections:  # the library would take none for all
                yield from reader.messages(connections, start, stop)

    @contextmanager
    def _readable(self):
        """Turn whatever the libraries raise on damaged files into one sentence."""
        try:
            yield
        except _DAMAGE as error:
            raise ValueError(f'{self.path} is truncated or damaged: {error}; `ros2 bag reindex` '
                             'or `mcap recover` may save what is left') from error


def _parts(path):
    """Return what holds a bag: the path, or the files in a folder without metadata.yaml."""
    if path.is_file() and path.suffix not in SUFFIXES:
        raise ValueError(f'{path} is no bag: expected a folder, or a file with the suffix '
                         f'{" or ".join(SUFFIXES)}')
    if path.is_file() or (path / 'metadata.yaml').is_file():
        return [path]
    parts = sorted((file for file in path.iterdir() if file.suffix in SUFFIXES), key=natural_order)
    if not parts:
        raise ValueError(f'{path} is no bag: it has neither metadata.yaml nor files with the '
                         f'suffix {" or ".join(SUFFIXES)}')
    # rosbag2 numbers the parts of one recording
    names = {re.sub(r'_\d+$', '', part.stem) + part.suffix for part in parts}
    if len(names) > 1:
        raise ValueError(f'{path} holds {len(names)} recordings ({", ".join(sorted(names))}) and '
                         'no metadata.yaml: choose one file')
    return parts
