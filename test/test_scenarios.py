"""What a user sees happen to an object, told to the sessions with a virtual clock."""
from collections import defaultdict
import csv

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.evaluation.simulation import Simulation, Surroundings
from acme_tracking.scene import Scene, TARGET_ID
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
from acme_tracking.sources import open_source
from acme_tracking.tracking.visual import availability
import numpy as np
import pytest

RATE = 15.0
PERIOD = round(1e9 / RATE)
HIDDEN_FROM, HIDDEN_FOR = 3.0, 1.0
TRACKERS = [name for name, reason in availability().items() if not reason]


class Drive:
    """A rendered road with one car, led through the nodes' sessions."""

    def __init__(self, scene, count, crop=None, **parameters):
        self.scene, self.crop = scene, crop
        self.simulation = Simulation(
            TrackerParameters(**parameters), DetectorParameters(), self._detect,
            Surroundings(latency=0.1))
        for index in range(count):
            time = index * PERIOD
            self.simulation.step(time, time, scene.render(index)[:, :crop])
        self.simulation.finish()
        self.outcome = self.simulation.outcome

    def _detect(self, stamp, image):
        """See what a good detector would, by the truth."""
        truth = self.scene.truth(round(stamp / PERIOD))
        boxes = geometry.clip(truth.boxes, image.shape[1], image.shape[0])
        seen = (truth.visibility > 0.3) & (
            geometry.area(boxes) > 0.3 * geometry.area(truth.boxes))
        return Detections(boxes[seen], np.full(seen.sum(), 0.9), truth.labels[seen])

    def on_target(self, index):
        """Return the best track on the car at an image: IoU, id and score."""
        tracks, truth = self.outcome.tracks[index], self.scene.truth(index)
        if not len(tracks):
            return 0.0, None, 0.0
        overlaps = geometry.iou(truth.boxes[truth.ids == TARGET_ID], tracks.boxes)[0]
        best = overlaps.argmax()
        return float(overlaps[best]), int(tracks.ids[best]), float(tracks.scores[best])


@pytest.mark.parametrize('tracker', TRACKERS)
def test_an_object_that_is_hidden_falls_in_score_asks_and_comes_back_with_its_id(tracker):
    road = Scene(seed=0, rate=RATE, density=0, target='car', occlusion=(HIDDEN_FROM, HIDDEN_FOR))
    hidden, again = (round(seconds * RATE) for seconds in (HIDDEN_FROM, HIDDEN_FROM + HIDDEN_FOR))
    drive = Drive(road, again + int(1.5 * RATE), tracker=tracker)
    overlap, before, score = drive.on_target(hidden - 2)
    assert overlap > 0.5 and (score > 0.5 or tracker == 'centroid')
    scores = [drive.on_target(index)[2] for index in range(hidden, again)]
    noticed = next(index for index, score in enumerate(scores) if score < 0.5)
    assert noticed <= 0.5 * RATE
    assert max(scores[noticed:-1]) < 0.5, 'no false recovery'
    assert drive.outcome.requests['low_confidence'] >= 1
    assert [stamp for stamp in drive.outcome.detected if hidden * PERIOD <= stamp < again * PERIOD]
    overlap, after, _ = drive.on_target(again + int(RATE))
    # medianflow goes along with what hides the object, and is found again as another
    assert overlap > 0.5 and (after == before or tracker == 'medianflow')


def test_an_object_that_leaves_is_let_go_and_found_when_it_returns():
    """The right third of the picture is cut away, so that the car leaves it and comes back."""
    road = Scene(seed=0, rate=RATE, density=0, target='car', target_speed=9.0)
    edge = 2 * road.width // 3
    boxes = [road.truth(index).boxes[0] for index in range(int(14 * RATE))]
    centers = [(box[0] + box[2]) / 2 for box in boxes]
    gone = next(i for i, x in enumerate(centers) if x > edge + 40)
    whole = max(i for i in range(gone) if boxes[i][2] <= edge)  # the last image that shows all
    back = next(i for i, x in enumerate(centers) if i > gone and x < edge - 40)
    drive = Drive(road, back + int(2 * RATE), crop=edge)
    overlap, _, score = drive.on_target(whole)
    assert overlap > 0.5 and score > 0.5
    assert not len(drive.outcome.tracks[gone + int(RATE)]), 'dropped, not coasted for long'
    assert max(drive.on_target(index)[2] for index in range(back, back + int(1.5 * RATE))) > 0.5


def test_a_highway_is_tracked_with_few_detector_runs(data):
    """Real vehicles at the 9 images per second of the clip, and the shipped CNN."""
    pytest.importorskip('torch', reason='needs the CNN')
    from acme_tracking.detection.detector import Detector

    clip, count = data / 'clips/highway-day', 200
    truth = defaultdict(list)
    for row in csv.reader((clip / 'gt/gt.txt').open()):
        frame, _, x, y, width, height, confidence = map(float, row[:7])
        if confidence == 1:
            truth[int(frame)].append([x, y, x + width, y + height])
    detector, images = Detector.from_checkpoint(), open_source(str(clip / 'img1'))
    simulation = Simulation(TrackerParameters(), DetectorParameters(),
                            lambda stamp, image: detector(image), Surroundings(latency=0.1))
    for index in range(count):
        simulation.step(index * 10**9 // 9, index * 10**9 // 9, images.read())
    simulation.finish()
    outcome = simulation.outcome
    found = [geometry.iou(truth[index + 1], tracks.boxes).max(axis=1, initial=0) >= 0.5
             for index, tracks in enumerate(outcome.tracks) if index > 9]
    assert np.concatenate(found).mean() >= 0.7
    assert len(outcome.detected) <= count / 4
