"""
A live run done again: the events of a tracker's log with the images of the bag beside it.

What the session publishes now is compared with what it published then: with the digests in the
log, and byte for byte with the messages on `tracks`, where the bag has them.
"""
from __future__ import annotations

from dataclasses import dataclass

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import DETECTIONS
from acme_tracking.bags.writing import serialize
from acme_tracking.messages import detections_to_msg, image_from_msg, stamp_to_ns
from acme_tracking.sessions.event_log import repeat, Repetition


@dataclass
class Comparison:
    """
    What became of a repeated run.

    log: compared with the log.  messages: recorded messages that were compared, and `different`
    those of which a byte differs.
    """

    log: Repetition
    messages: int = 0
    different: int = 0

    @property
    def agrees(self) -> bool:
        """Whether all came out as it was, and anything did."""
        return self.log.published > 0 and self.log.different == self.different == 0


class _Images:
    """The images of a bag by stamp, read as far as they are asked for; each is given once."""

    def __init__(self, bag, topic):
        self._bag, self._messages, self._waiting = bag.path, bag.messages(topic), {}
        self.headers = {}

    def __call__(self, stamp):
        while not self._waiting.get(stamp):
            message, _ = next(self._messages, (None, None))
            if message is None:
                raise ValueError(f'{self._bag} has no image of the stamp {stamp}')
            self._waiting.setdefault(stamp_to_ns(message.header.stamp), []).append(message)
        message = self._waiting[stamp].pop(0)
        for older in [other for other in self._waiting if other < stamp]:
            del self._waiting[older]
        self.headers[stamp] = message.header
        return image_from_msg(message)


def compare(log, bag, images: str = '') -> Comparison:
    """
    Repeat the run of an event log, and compare it.

    images: topic of the images; '' for the only one.  Raises ValueError for a log that is none,
    and for a bag that lacks an image or has another.
    """
    with BagReader(bag) as reader:
        topic = reader.image_topic(images)
        recorded = {}
        for name in [item.name for item in reader.topics if item.type == DETECTIONS
                     and item.name == f'{topic.removesuffix("image_raw")}tracks']:
            # Written anew: between the fields of a message DDS sends whatever was in memory.
            recorded = {stamp_to_ns(message.header.stamp): serialize(message, DETECTIONS)
                        for message, _ in reader.messages(name)}
        found, source = Comparison(Repetition()), _Images(reader, topic)

        def publish(action):
            if action.stamp in recorded:
                message = detections_to_msg(action.confirmed, source.headers[action.stamp])
                found.messages += 1
                found.different += recorded[action.stamp] != serialize(message, DETECTIONS)
        found.log = repeat(log, source, publish)
    return found
