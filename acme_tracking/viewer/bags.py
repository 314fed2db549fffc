"""A bag as a recording: as if the graph that it was recorded of ran now."""
from __future__ import annotations

import heapq

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import DIAGNOSTICS
from acme_tracking.viewer.live import LiveRecording


def show_bag(path, chosen: str, begin) -> int:
    """
    Record what a bag holds into `begin()`, a `TrackingRecording`; return how many images it has.

    chosen: topic of the images, '' for the only one.  Raises FileNotFoundError and ValueError as
    `BagReader` does.
    """
    count = 0
    with BagReader(path) as bag:
        images = bag.image_topic(chosen)
        beside = images.removesuffix('/compressed').rpartition('/')[0]
        live = LiveRecording(begin, beside)
        topics = {images: live.image, f'{beside}/tracks': live.tracks,
                  f'{beside}/detections': live.detections, bag.truth_topic(images): live.truth,
                  DIAGNOSTICS: live.diagnostics}
        for time, message, take in heapq.merge(
                *(_of_topic(bag, topic, take) for topic, take in topics.items() if topic),
                key=lambda item: item[0]):
            count += take == live.image
            try:
                take(time, message)
            except ValueError as error:
                raise ValueError(f'{path}: {error}') from error
        live.close()
    return count


def _of_topic(bag, topic, take):
    for message, time in bag.messages(topic):
        yield time, message, take
