"""The trackers of the library: the same detections in, ids out, at the time that they come."""
from fractions import Fraction
import functools
from pathlib import Path
import sys

import numpy as np
import pytest

pytest.importorskip('trackers', reason='needs requirements/peers.txt')

from acme_tracking import geometry  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation.baselines import missing_library, Peer, PEERS  # noqa: E402
from acme_tracking.evaluation.modes import MODES, PEER_MODES, PeerMode  # noqa: E402
from acme_tracking.evaluation.settings import Settings  # noqa: E402
from acme_tracking.scene import Scene  # noqa: E402

# The library warns of a time that goes back, and of images that a tracker has no use for.
pytestmark = pytest.mark.filterwarnings('error::UserWarning')
RATE = 10
PERIOD = 10**9 // RATE
GREY = np.full((240, 320, 3), 90, np.uint8)
BUS = np.array([20.0, 40, 60, 60])


def bus(index):
    """Return the detection of a bus that goes 4 pixels to the right from image to image."""
    return Detections([BUS + [4 * index, 0, 4 * index, 0]], [0.8], ['bus'])


def drive(name, count=20, share=1, latency=0.0, detect=lambda stamp, image: bus(stamp // PERIOD),
          picture=lambda index: GREY):
    """Lead a peer through images; return the outcome."""
    share = Fraction(share)
    mode = PeerMode(detect, Peer(PEERS[name], RATE, float(share)), share, latency)
    for index in range(count):
        mode.step(index * PERIOD, index * PERIOD, picture(index))
    return mode.outcome


def detected(outcome):
    return [stamp // PERIOD for stamp in outcome.detected]


@pytest.mark.parametrize('name', PEERS)
def test_detections_go_in_and_come_out_with_one_id(name):
    outcome = drive(name)
    assert detected(outcome) == list(range(20))
    for index in range(5, 20):
        tracks = outcome.tracks[index]
        assert tracks.ids.tolist() == [1] and tracks.labels.tolist() == ['bus']
        assert tracks.boxes.tolist() == bus(index).boxes.tolist(), 'as they were detected'
        assert tracks.scores == pytest.approx([0.8])
    assert not len(drive(name, detect=lambda *_: Detections.empty()).tracks[-1])


@pytest.fixture(scope='module')
def road():
    """Give a scene whose images are rendered once."""
    scene = Scene(width=320, height=240, seed=4, rate=RATE, density=0.3)
    scene.render = functools.cache(scene.render)
    return scene


@pytest.mark.parametrize('name', PEERS)
def test_the_same_every_time(name, road):
    def see(stamp, image):
        true = road.truth(stamp // PERIOD)
        seen = true.visibility > 0.3
        return Detections(true.boxes[seen], np.full(seen.sum(), 0.7), true.labels[seen])
    first, second = (drive(name, 10, Fraction(1, 3), 0.1, see, road.render) for _ in range(2))
    assert any(map(len, first.tracks))
    for one, other in zip(first.tracks, second.tracks):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.boxes.tolist() == other.boxes.tolist()


def test_two_boxes_on_one_object_are_one():
    twice = Detections([BUS, BUS + [0, 0, 2, 0]], [0.8, 0.6], ['bus', 'truck'])
    tracks = drive('sort', detect=lambda *_: twice).tracks[-1]
    assert tracks.labels.tolist() == ['bus']


@pytest.mark.parametrize('share', [(1, 5), (3, 10), (7, 20), (1, 20), (19, 20), (20, 20)])
def test_an_equal_share_of_the_images_evenly_spread(share):
    runs, images = share
    chosen = detected(drive('sort', images, Fraction(runs, images)))
    assert len(chosen) == runs and chosen[0] == 0
    assert np.ptp(np.diff([*chosen, images])) <= 1


@pytest.mark.parametrize('name', PEERS)
@pytest.mark.parametrize('share, latency', [(1, 0.25), (Fraction(1, 4), 0.0),
                                            (Fraction(1, 4), 0.25)])
def test_tracks_are_where_a_peer_expects_them_on_the_newest_image(name, share, latency):
    outcome = drive(name, 40, share, latency)
    assert [stamp // PERIOD for stamp in outcome.stamps] == list(range(40))
    for index in range(24, 40):
        tracks = outcome.tracks[index]
        assert tracks.ids.tolist() == [1] and tracks.labels.tolist() == ['bus']
        assert geometry.iou(tracks.boxes, bus(index).boxes)[0, 0] > 0.8


def test_detections_are_not_used_before_they_come():
    seen = []

    def see(stamp, image):
        seen.append(stamp // PERIOD)
        return bus(0) if stamp // PERIOD < 5 else Detections.empty()
    outcome = drive('sort', 12, latency=0.25, detect=see)
    shown = [len(tracks) for tracks in outcome.tracks]
    # it believes the second detection, which comes at 0.35 s, and no more those that come at 0.75
    assert shown == [0] * 4 + [1] * 4 + [0] * 4 and seen == list(range(12))


@pytest.mark.parametrize('name', PEERS)
def test_rare_detections_are_no_reason_to_forget(name):
    tracks = drive(name, 50, Fraction(1, 15), detect=lambda *_: bus(0)).tracks
    assert tracks[-1].ids.tolist() == [1], 'seen 1.5 s ago'


def test_the_motion_of_the_camera_between_detections():
    rng = np.random.default_rng(0)
    world = np.repeat(np.repeat(rng.integers(0, 255, (40, 120, 1), np.uint8), 6, 0), 6, 1)

    def pan(index):
        return 12 * max(0, index - 21)

    def picture(index):
        """Stand still, then pan to the right by 12 pixels from image to image."""
        return np.repeat(world[:, pan(index):pan(index) + 320], 3, axis=2)

    def see(stamp, image):
        return Detections(bus(20).boxes - [pan(stamp // PERIOD), 0] * 2, [0.8], ['bus'])
    tracks = {name: drive(name, 29, Fraction(1, 7), detect=see, picture=picture).tracks
              for name in ('botsort', 'bytetrack')}
    assert tracks['botsort'][27].boxes - bus(20).boxes == pytest.approx(
        np.array([[-72, 0, -72, 0]]), abs=3)
    assert tracks['botsort'][28].ids.tolist() == [1], 'found again after the pan'
    assert tracks['bytetrack'][27].boxes == pytest.approx(bus(20).boxes, abs=1)
    assert not len(tracks['bytetrack'][28]), 'it takes it for another, and waits'


def test_what_is_missing_is_said_with_the_remedy(monkeypatch):
    assert missing_library() == ''
    monkeypatch.setitem(sys.modules, 'trackers', None)
    peers = Path(__file__).parent.parent / 'requirements' / 'peers.txt'
    pinned = [line for line in peers.read_text().splitlines()
              if line.startswith(('trackers', 'supervision'))]
    assert f'pip install --no-deps {" ".join(pinned)}' in missing_library()


def test_a_share_needs_the_mode_that_it_is_taken_from():
    assert set(PEER_MODES) < set(MODES)
    with pytest.raises(ValueError, match='ocsort_nth_late is given detections of as many images'):
        Settings(modes=('continuous', 'sort', 'ocsort_nth_late'))
    Settings(modes=('sort_nth', 'on_demand'))
