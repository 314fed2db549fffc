"""
Tracks of the real nodes: a bag is played into them, what they publish is recorded, and read here.

What is recorded is a bag too, so that tracks recorded elsewhere are scored in the same way.
"""
from __future__ import annotations

from dataclasses import asdict
import os
from pathlib import Path
import shutil

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.topics import DETECTIONS
from acme_tracking.evaluation.outcome import CnnRun, COASTING, FOLLOWED, Outcome
from acme_tracking.messages import stamp_to_ns
from acme_tracking.processes import Processes
from acme_tracking.share import share
import numpy as np

NAMESPACE = f'/evaluate{os.getpid()}'  # of its own: two evaluations do not hear each other
TOPICS = 'tracks', 'detections'
PUBLISHED = 'published'  # headers of the images, at the moment of their publication
READY = 2  # subscriptions to wait for: detector and tracker
# A track with a lower score is doubtful or predicted; messages do not tell more.
UNSURE = 0.5


def play(bag, topic: str, settings, folder: Path, detections=None) -> Path:
    """
    Play the images of a bag into a detector and a tracker of its own, and return what it recorded.

    folder: of that recording, replaced if it exists.  detections: file of a DetectionCache to take
    them from, after `settings.latency`; None for the CNN.  Raises ValueError when a node fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    processes = Processes(share('config/tracking.yaml'), 'shared_memory', NAMESPACE)
    try:
        if detections is None:
            processes.start('detector', **_given(settings.detector))
        else:
            # as long in the time of the images, which may pass slower than ours
            processes.start('stand_in', detections=str(detections),
                            latency=settings.surroundings.latency / settings.rate,
                            **_given(settings.detector))
        processes.start('tracker', **_given(settings.tracker))
        processes.start('replay', bag=str(bag), topic=topic, out=str(folder), rate=settings.rate)
        failed = processes.wait_for('replay')
    finally:
        processes.stop()
    if failed:
        raise ValueError(f'the {failed} ended early; its messages stand above')
    return folder


def _given(parameters):
    """Return the values by name, without empty ones, which ROS takes for no value."""
    return {key: value for key, value in asdict(parameters).items() if value not in ('', ())}


def read_outcome(path, stamps) -> Outcome:
    """
    Return what a recorded bag says about the images with these stamps (nanoseconds).

    An image without a message of tracks, lost on its way, has no tracks.  Raises ValueError when
    there is no topic `tracks`, or more than one, or nothing in it about these images.
    """
    with BagReader(path) as bag:
        topic = _only(bag, TOPICS[0])
        arrived = {stamp_to_ns(message.header.stamp): time for message, time in
                   bag.messages(topic)}
        tracks = bag.detections(topic)
        detected = bag.detections(topic.removesuffix(TOPICS[0]) + TOPICS[1])
        published = {message.stamp.sec * 10**9 + message.stamp.nanosec: time
                     for message, time in bag.messages(PUBLISHED)}
    if not arrived.keys() & set(stamps):
        raise ValueError(f'{path}: no tracks of the images; was another bag played?')
    outcome = Outcome(runs=[CnnRun(stamp, found=detected[stamp]) for stamp in stamps
                            if stamp in detected])
    for stamp in stamps:
        found = tracks.get(stamp)
        outcome.add(stamp, found, () if found is None else
                    np.where(found.scores >= UNSURE, FOLLOWED, COASTING))
        if stamp in arrived and stamp in published:
            outcome.ages[stamp] = (arrived[stamp] - published[stamp]) * 1e-9
    outcome.seconds = list(outcome.ages.values())
    return outcome


def _only(bag, name):
    found = [item.name for item in bag.topics
             if item.name.rpartition('/')[2] == name and item.type == DETECTIONS]
    if len(found) != 1:
        raise ValueError(f'{bag.path}: expected one topic {name} of the type {DETECTIONS}, got '
                         f'{", ".join(found) or "none"}')
    return found[0]
