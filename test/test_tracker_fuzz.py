"""Nothing that a camera or a detector may send breaks the tracker, or makes it grow."""
from pathlib import Path
import resource

from acme_tracking.detections import Detections
from acme_tracking.tracking.tracker import MultiObjectTracker, TrackingParameters
import numpy as np
import pytest

MILLISECOND = 1_000_000
SHAPES = [(60, 80, 3), (1, 1, 3), (1, 200, 3), (120, 160), (300, 400, 3), (1080, 1920, 3)]
SHAPE_SHARES = [0.4, 0.1, 0.1, 0.2, 0.19, 0.01]
ODD_VALUES = [np.nan, np.inf, -np.inf, 1e9, -1e9, 0.0]


def random_image(random, shape):
    kind = random.integers(3)
    if kind == 2:
        return random.integers(0, 256, shape, dtype=np.uint8)
    return np.full(shape, 255 * kind, dtype=np.uint8)


def random_detections(random):
    count = random.integers(0, 5)
    boxes = random.uniform(-50, 200, (count, 4)).astype(np.float32)
    if random.random() < 0.7:  # else inverted ones are among them
        boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:]) * random.choice([0.01, 1, 5])
    for box in boxes:
        if random.random() < 0.1:
            box[random.integers(4)] = random.choice(ODD_VALUES)
    return Detections(boxes, random.random(count), random.choice(['car', 'person'], count))


def run(tracker, random, steps):
    """Send nonsense, stamps out of order included; return how many images were refused."""
    stamp, shape, refused = 0, SHAPES[0], 0
    for _ in range(steps):
        if random.random() < 0.01:
            shape = SHAPES[random.choice(len(SHAPES), p=SHAPE_SHARES)]
        stamp = (tracker.stamp or stamp) + int(random.integers(-15, 60)) * MILLISECOND
        try:
            tracks = tracker.advance(stamp, random_image(random, shape))
        except ValueError as error:
            assert 'stamps must increase' in str(error)
            refused += 1
        else:
            assert np.isfinite(tracks.confirmed.boxes).all()
            assert len(set(tracks.confirmed.ids.tolist())) == len(tracks.confirmed)
        tracker.correct(stamp - int(random.integers(-50, 400)) * MILLISECOND,
                        random_detections(random))
        tracker.request()
        if random.random() < 0.005:
            tracker.reset()
    return refused


@pytest.mark.parametrize('name, steps', [('correlation', 10_000), ('dlib', 2_000)])
def test_nonsense_is_survived_without_growth(name, steps):
    random = np.random.default_rng(0)
    tracker = MultiObjectTracker(TrackingParameters(
        tracker=name, buffer_seconds=0.5, buffer_megabytes=20.0))
    refused = run(tracker, random, steps // 2)
    before = resident_bytes()
    refused += run(tracker, random, steps // 2)
    grown = resident_bytes() - before
    assert 0 < refused < steps
    assert tracker.buffered_bytes <= 20e6
    assert grown < 50e6, f'the memory grew by {grown} bytes'


def resident_bytes():
    """Return the memory that this process holds now: its peak may be that of another test."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()
