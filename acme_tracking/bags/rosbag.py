"""
rosbag2 recordings, sqlite3 and mcap, read and written without a ROS graph (library: rosbags).

A bag of this package holds the topics of the graph, so that what `bag record` writes, what a robot
recorded and what `bag make` makes of a data set are one thing; and, where somebody labelled,
`ground_truth` (vision_msgs/Detection2DArray) beside the images: one message for each labelled
image, with that image's header, also when nothing is on it; ids are identities, and a score of 0
marks what scoring is to ignore.
"""
from __future__ import annotations

import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import functools
from pathlib import Path
import queue
import struct
import threading

from acme_tracking.detections import Detections
from acme_tracking.messages import (
    detections_from_msg,
    image_from_compressed,
    image_from_msg,
    stamp_to_ns,
)
from ament_index_python import get_package_share_path
import apsw
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer
from rosbags.serde import SerdeError
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO, DETECTIONS = 'sensor_msgs/msg/CameraInfo', 'vision_msgs/msg/Detection2DArray'
GROUND_TRUTH = 'ground_truth'
STORAGES = ('mcap', 'sqlite3')
# Of the metadata; the one of Jazzy.
VERSION = 9
FOREVER = QosTime(9223372036, 854775807)  # what rosbag2 writes for an infinite duration
# Images that are read ahead: decoding and what is done with them then use two cores.
AHEAD = 8
# What the storage libraries raise on damaged files.
_DAMAGE = (ReaderError, SerdeError, apsw.Error, struct.error, UnicodeDecodeError, IndexError,
           TypeError, AssertionError, EOFError)


@functools.cache
def typestore():
    """Return the types of Jazzy and vision_msgs, the latter from its installed .msg files."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted((get_package_share_path('vision_msgs') / 'msg').glob('*.msg')):
        types.update(get_types_from_msg(path.read_text(), f'vision_msgs/msg/{path.stem}'))
    store.register(types)
    return store


def quality_of_service(depth: int, reliable: bool) -> Qos:
    """Return the profile of a volatile topic that keeps the last `depth` messages."""
    reliability = QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT
    return Qos(QosHistory.KEEP_LAST, depth, reliability, QosDurability.VOLATILE, FOREVER, FOREVER,
               QosLiveliness.AUTOMATIC, FOREVER, False)


IMAGE_QOS = quality_of_service(5, reliable=False)
RELIABLE_QOS = quality_of_service(10, reliable=True)


class BagWriter:
    """
    Writes a bag, as a context manager; one that fails is left as far as it came, and readable.

    Raises FileExistsError where there is something at `path` already.
    """

    def __init__(self, path, storage: str = STORAGES[0]):
        """Prepare to write to the folder `path`, with a storage of STORAGES."""
        self.path = Path(path)
        if self.path.exists():
            raise FileExistsError(f'{path} exists already: a bag is never overwritten')
        self._writer = Writer(self.path, version=VERSION,
                              storage_plugin=StoragePlugin[storage.upper()])

    def __enter__(self) -> BagWriter:
        """Make the folder."""
        self._writer.open()
        return self

    def __exit__(self, *_):
        """Write what readers need: index and metadata."""
        if not any(self._writer.counts.values()):  # rosbag2 has no times for an empty bag
            self._writer.min_timestamp = self._writer.max_timestamp = 0
        self._writer.close()

    def topic(self, name: str, message_type: str, qos: Qos):
        """Add a topic and return it for `write`; ValueError for a type that is not known."""
        if message_type not in typestore().fielddefs:
            raise ValueError(f'{name} has the unknown type {message_type}: only standard types '
                             'and vision_msgs can be written')
        return self._writer.add_connection(name, message_type, typestore=typestore(),
                                           offered_qos_profiles=[qos])

    def write(self, topic, stamp: int, message) -> None:
        """Append a message, or its serialized bytes, at a time in nanoseconds."""
        if not isinstance(message, bytes):
            message = typestore().serialize_cdr(_Arrays(message), topic.msgtype)
        self._writer.write(topic, stamp, message)


class _Arrays:
    """A message as rosbags takes it, whose number fields are numpy arrays."""

    def __init__(self, message):
        self._message = message

    def __getattr__(self, name):
        value = getattr(self._message, name)
        return np.asarray(value) if isinstance(value, array.array) else value


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its name, type, number of messages, offered QoS and type hash."""

    name: str
    type: str
    count: int
    qos: tuple[Qos, ...]
    hash: str

    @property
    def known(self) -> bool:
        """Whether the type is one that this package can read."""
        return self.type in typestore().fielddefs


class BagReader:
    """
    Reads a bag, as a context manager.

    Raises FileNotFoundError for a missing bag, and ValueError, from any call, for one that is
    truncated or damaged.
    """

    def __init__(self, path):
        """Prepare to read a bag: its folder, or one file of it."""
        self.path = Path(path)
        self.name = self.path.stem if self.path.is_file() else self.path.resolve().name
        if not self.path.exists():
            raise FileNotFoundError(f'there is no bag {path}')
        if self.path.is_dir() and not (self.path / 'metadata.yaml').is_file():
            raise ValueError(f'{path} is no bag: it has no metadata.yaml (for a recording that '
                             'was cut off: ros2 bag reindex)')
        with self._readable():
            self._reader = Reader(self.path)

    def __enter__(self) -> BagReader:
        """Read the index."""
        with self._readable():
            self._reader.open()
            self.topics = [Topic(item.topic, item.msgtype, item.msgcount,
                                 tuple(item.ext.offered_qos_profiles), item.digest)
                           for item in self._reader.connections]
        return self

    def __exit__(self, *_):
        """Close the files."""
        self._reader.close()

    @property
    def seconds(self) -> float:
        """The time from the first to the last message."""
        return self._reader.duration * 1e-9

    def image_topic(self, chosen: str = '') -> str:
        """
        Return the topic of the images: the chosen one, or the only one.

        Of raw and compressed images of one camera the raw ones are taken.  Raises ValueError when
        there is none, or when there is more than one camera and none was chosen.
        """
        images = [topic.name for topic in self.topics if topic.type in (IMAGE, COMPRESSED)
                  and topic.count]
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

    def truth_topic(self, image_topic: str) -> str | None:
        """Return the `ground_truth` beside the images, or the only one there is, or None."""
        beside = f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{GROUND_TRUTH}'
        found = [topic for topic in self.topics
                 if topic.name.rpartition('/')[2] == GROUND_TRUTH and topic.count]
        chosen = [topic for topic in found if topic.name == beside] or found
        if len(chosen) > 1:
            raise ValueError(f'{self.path} has ground truth of {len(chosen)} cameras, but none on '
                             f'{beside}, which belongs to {image_topic}')
        if chosen and chosen[0].type != DETECTIONS:
            raise ValueError(f'{self.path}: {chosen[0].name} must have the type {DETECTIONS}, '
                             f'got {chosen[0].type}')
        return chosen[0].name if chosen else None

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
        connections = [item for item in self._reader.connections if item.topic == topic]
        for connection in connections:
            ours = typestore().hash_rihs01(connection.msgtype)
            if connection.digest.startswith('RIHS01_') and connection.digest != ours:
                raise ValueError(f'{self.path}, {topic}: {connection.msgtype} is defined '
                                 'differently here: the type hashes differ')
        if not connections:
            return  # the library would take none for all
        recorded = self._reader.messages(connections, start, stop)
        while True:
            with self._readable():
                item = next(recorded, None)
                if item is None:
                    return
                connection, time, data = item
                message = typestore().deserialize_cdr(data, connection.msgtype)
            yield message, time

    @contextmanager
    def _readable(self):
        """Turn whatever the libraries raise on damaged files into one sentence."""
        try:
            yield
        except _DAMAGE as error:
            raise ValueError(f'{self.path} is truncated or damaged: {error}; `ros2 bag reindex` '
                             'or `mcap recover` may save what is left') from error


def ahead(items):
    """Iterate on a thread, AHEAD items before they are needed; what it raises is raised here."""
    ready, stopped = queue.Queue(AHEAD), threading.Event()

    def put(item):
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read():
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((None, StopIteration()))
        except Exception as error:
            put((None, error))

    thread = threading.Thread(target=read, name='reader', daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()
