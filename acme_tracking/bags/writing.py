"""Writing bags."""
from __future__ import annotations

import array
from pathlib import Path

from acme_tracking.bags.topics import typestore
import numpy as np
from rosbags.interfaces import Qos
from rosbags.rosbag2 import StoragePlugin, Writer

STORAGES = ('mcap', 'sqlite3')
# Of the metadata; the one of Jazzy.
VERSION = 9


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
            message = serialize(message, topic.msgtype)
        self._writer.write(topic, stamp, message)


def serialize(message, message_type: str) -> bytes:
    """Return a message as it travels, and as bags keep it."""
    return bytes(typestore().serialize_cdr(_Arrays(message), message_type))


class _Arrays:
    """A message as rosbags takes it, whose number fields are numpy arrays."""

    def __init__(self, message):
        self._message = message

    def __getattr__(self, name):
        value = getattr(self._message, name)
        return np.asarray(value) if isinstance(value, array.array) else value
