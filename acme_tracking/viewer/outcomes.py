"""What an evaluated mode made of a bag, as a recording."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from acme_tracking.detections import Detections
from acme_tracking.evaluation.outcome import Outcome
from acme_tracking.viewer.recording import TrackingRecording
import numpy as np


def record_outcome(path: Path, name: str, images: Iterable[tuple[int, int, np.ndarray]],
                   truth: dict[int, Detections], outcome: Outcome) -> None:
    """
    Write a recording of `images` (stamp, time, image), the truth by stamp, and the outcome.

    As in a running graph, an image that nothing was said about is left out.  Raises ValueError
    when it cannot be written.
    """
    recording = TrackingRecording(path, name)
    tracks, runs = dict(zip(outcome.stamps, outcome.tracks)), defaultdict(list)
    for run in outcome.runs:
        runs[run.stamp].append(run)
    counts = Counter()
    for stamp, _, image in images:
        if stamp not in tracks:
            continue  # seen before, or not later than another
        found = tracks.pop(stamp)
        if stamp in outcome.ages or not outcome.ages:
            recording.image(stamp, image)
            recording.tracks(stamp, found, outcome.ages.get(stamp))
        if stamp in truth:
            recording.truth(stamp, truth[stamp])
        for run in runs[stamp]:
            recording.run(stamp, run.found, run.latency, run.reason)
            counts.update([run.reason] if run.reason else [])
            recording.requests(stamp, counts)
    recording.close()
