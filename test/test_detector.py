"""The detector: coordinates, thresholds, filters, bad images, and the shipped weights."""
from itertools import islice
import os
import subprocess
import sys

from acme_tracking.detection.detector import Detector
from acme_tracking.detection.network import points
from acme_tracking.detection.runtimes.torch import Torch
from acme_tracking.detection.specification import MAXIMUM_BYTES, Specification
from acme_tracking.detection.views import input_size, views_of
from acme_tracking.geometry import iou
from acme_tracking.labels import CLASSES
from acme_tracking.scene import Scene, TARGET_ID
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.share import shipped_weights
from acme_tracking.training.data import read, RenderedScenes
from acme_tracking.training.detector import evaluate
from acme_tracking.weights_files import CheckpointError
import cv2
import numpy as np
import pytest
import torch

CAR, BUS, PERSON = (CLASSES.index(name) for name in ('car', 'bus', 'person'))


class Script(torch.nn.Module):
    """A network that predicts what the test says: rows of x1 y1 x2 y2, score, class index."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)

    def forward(self, images):
        """Predict the rows at the first points of every image and nothing at the others."""
        self.images = images
        count = len(points(images.shape[-2:], (8, 16, 32))[0])
        boxes = torch.zeros(len(images), count, 4)
        objectness = torch.full((len(images), count), -20.0)
        classes = torch.zeros(len(images), count, len(CLASSES))
        for index, (*box, score, label) in enumerate(self.rows.tolist()):
            boxes[:, index] = torch.tensor(box)
            objectness[:, index] = torch.logit(torch.tensor(score))
            classes[:, index, int(label)] = 50.0
        return boxes, objectness, classes


class Noting:
    """A runtime that notes the sizes of its batches."""

    def __init__(self, runtime, sizes):
        self.runtime, self.sizes = runtime, sizes

    def __call__(self, images):
        self.sizes.append(len(images))
        return self.runtime(images)

    def __getattr__(self, name):
        return getattr(self.runtime, name)


def scripted(*rows, **options):
    specification = Specification(classes=CLASSES, input_size=96)
    return Detector(Torch(Script(*rows), specification), nms_threshold=0.5, **options)


@pytest.mark.parametrize(('size', 'expected'), [
    ((640, 640), (384, 384)), ((1920, 1080), (512, 288)), ((640, 360), (512, 288)),
    ((360, 640), (288, 512)), ((640, 480), (448, 320)), ((4000, 10), (7680, 32))])
def test_input_size_keeps_aspect_and_area(size, expected):
    assert input_size(*size, 384) == expected


def test_boxes_are_in_pixels_of_the_given_image():
    detector = scripted((24, 16, 48, 32, 0.9, CAR))
    image = np.zeros((192, 384, 3), dtype=np.uint8)  # the network sees 128 x 64
    found = detector(image)
    assert detector.runtime.network.images.shape == (1, 3, 64, 128)
    assert found.boxes.tolist() == [[72, 48, 144, 96]]
    assert found.labels.tolist() == ['car']
    assert found.scores[0] == pytest.approx(0.9, abs=1e-3)


def test_boxes_are_clipped_and_those_outside_dropped():
    detector = scripted((-20, 10, 50, 200, 0.9, CAR), (200, 200, 300, 300, 0.8, BUS))
    found = detector(np.zeros((96, 96, 3), dtype=np.uint8))
    assert found.boxes.tolist() == [[0, 10, 50, 96]]


def test_suppression_is_across_classes():
    detector = scripted((10, 10, 50, 50, 0.8, BUS), (11, 10, 51, 50, 0.9, CAR),
                        (60, 60, 90, 90, 0.7, PERSON))
    found = detector(np.zeros((96, 96, 3), dtype=np.uint8))
    assert found.labels.tolist() == ['car', 'person']


def test_thresholds_and_classes_can_change():
    rows = (10, 10, 50, 50, 0.8, BUS), (60, 60, 90, 90, 0.4, PERSON)
    image = np.zeros((96, 96, 3), dtype=np.uint8)
    detector = scripted(*rows, score_threshold=0.5)
    assert detector(image).labels.tolist() == ['bus']
    detector.configure(0.1, 0.5)
    assert detector(image).labels.tolist() == ['bus', 'person']
    detector.configure(0.1, 0.5, classes=('person',))
    assert detector(image).labels.tolist() == ['person']
    detector.configure(0.1, 0.5, classes=())
    assert len(detector(image)) == 2


@pytest.mark.parametrize(('arguments', 'reason'), [
    ((1.1, 0.5), 'score_threshold must be in'), ((0.5, -1), 'nms_threshold must be in'),
    ((float('nan'), 0.5), 'score_threshold'), ((0.5, 0.5, ('zebra',)), 'zebra.*car'),
    ((0.5, 0.5, (), 31), 'input_size must be 0 or from 32 to 4096, got 31'),
    ((0.5, 0.5, (), 0, 9), 'tiles must be from 1 to 8, got 9')])
def test_bad_options_are_refused_and_change_nothing(arguments, reason):
    detector = scripted(score_threshold=0.3)
    with pytest.raises(ValueError, match=reason):
        detector.configure(*arguments)
    assert (detector.score_threshold, detector.classes) == (0.3, ())


def test_the_input_size_can_be_another_than_that_of_the_weights():
    detector, image = scripted((24, 16, 48, 32, 0.9, CAR)), np.zeros((192, 384, 3), np.uint8)
    detector.configure(input_size=192)
    assert detector(image).boxes.tolist() == [[24 * 1.5, 16 * 1.5, 48 * 1.5, 32 * 1.5]]
    assert detector.runtime.network.images.shape == (1, 3, 128, 256)
    detector.configure()
    detector(image)
    assert detector.runtime.network.images.shape == (1, 3, 64, 128)


def test_the_parameters_of_the_node_describe_a_detector():
    detector = Detector.from_parameters(DetectorParameters(
        score_threshold=0.2, nms_threshold=0.4, classes=('car',), input_size=96, tiles=2,
        device='cpu', half=False, threads=1))
    assert (detector.score_threshold, detector.nms_threshold) == (0.2, 0.4)
    assert (detector.classes, detector.input_size, detector.tiles) == (('car',), 96, 2)
    assert str(detector).endswith('in float32 on 1 CPU threads (as asked for)')
    found = detector(Scene(seed=0, target='car').render(0))
    assert set(found.labels.tolist()) <= {'car'}


@pytest.mark.parametrize('tiles', [1, 2, 3, 8])
@pytest.mark.parametrize('size', [(640, 360), (37, 51), (4, 4)])
def test_tiles_cover_the_image_and_overlap(size, tiles):
    whole, *views = views_of(*size, tiles)
    assert whole.tolist() == [0, 0, *size] and len(views) == (tiles ** 2 if tiles > 1 else 0)
    seen = np.zeros(size[::-1], dtype=int)
    for left, top, right, bottom in views:
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
        seen[top:bottom, left:right] += 1
    assert not views or seen.min() >= 1 and (seen.max() > 1 or min(size) < 5)


def test_what_a_tile_shows_is_found_in_pixels_of_the_image_and_what_it_cuts_is_not():
    """Every view shows one object in its middle and one that ends at its left edge."""
    detector = scripted((40, 40, 56, 56, 0.9, CAR), (1, 40, 20, 60, 0.8, BUS), tiles=2)
    found = detector(np.zeros((960, 960, 3), dtype=np.uint8))
    assert detector.runtime.network.images.shape == (5, 3, 96, 96)
    side, step = 960 / 1.8, 960 / 1.8 * 0.8
    middles = sorted([[480, 480]] + [[side / 2 + x, side / 2 + y] for x in (0, step)
                                     for y in (0, step)])
    cars = found.boxes[found.labels == 'car']
    assert sorted(((cars[:, :2] + cars[:, 2:]) / 2).tolist()) == [
        pytest.approx(middle, abs=2) for middle in middles]
    # a bus at the left edge of the image is whole, one where the right tiles were cut is not
    assert sorted(found.boxes[found.labels == 'bus'][:, 0].round().tolist()) == [6, 6, 10]


def test_many_large_tiles_are_not_looked_at_all_at_once(monkeypatch):
    monkeypatch.setattr('acme_tracking.detection.detector.PIXELS_TOGETHER', 2 * 96 * 96)
    detector = scripted((40, 40, 56, 56, 0.9, CAR), tiles=2)
    sizes, together = [], detector.runtime
    monkeypatch.setattr(detector, 'runtime', Noting(together, sizes))
    assert len(detector(np.zeros((960, 960, 3), dtype=np.uint8))) == 5
    assert sizes == [2, 2, 1]


def test_images_of_a_size_are_looked_at_together_and_give_what_each_gives_alone(monkeypatch):
    detector = Detector.from_checkpoint(score_threshold=0.1)
    images = [Scene(*size, seed=seed).render(30)
              for seed, size in enumerate(((320, 240), (320, 180), (320, 240)))]
    alone = list(map(detector, images))
    sizes = []
    monkeypatch.setattr(detector, 'runtime', Noting(detector.runtime, sizes))
    found = detector.look(images)
    assert sizes == [2, 1]
    for together, expected in zip(found, alone, strict=True):
        assert len(expected) > 0
        np.testing.assert_allclose(together.boxes, expected.boxes, atol=0.5)
        assert together.labels.tolist() == expected.labels.tolist()


def test_tiles_find_what_is_small_in_a_large_image():
    scene, wide = Scene(1280, 720, seed=4, density=0.6), Detector.from_checkpoint(input_size=192)
    tiled = Detector.from_checkpoint(input_size=192, tiles=3)
    small = recalled = more = 0
    for index in (0, 400, 800):
        truth, image = scene.truth(index), scene.render(index)
        sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).max(axis=1)
        boxes = truth.boxes[(truth.visibility > 0.9) & (sides > 15) & (sides < 45)]
        small += len(boxes)
        recalled += (iou(boxes, wide(image).boxes).max(axis=1, initial=0) > 0.5).sum()
        more += (iou(boxes, tiled(image).boxes).max(axis=1, initial=0) > 0.5).sum()
    assert small >= 20
    assert more > recalled + small / 4




@pytest.mark.parametrize('image', [
    np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32),
    np.zeros((0, 10), np.uint8), np.zeros((4,), np.uint8), None])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match='expected a uint8 image'):
        scripted()(image)


def test_grey_read_only_and_strided_images_are_accepted():
    detector = scripted((10, 10, 50, 50, 0.8, BUS))
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    image.flags.writeable = False
    for each in (image, image[:, :, 0], image[::-1, ::-1], image[:, :, ::-1], image[::2, ::2]):
        assert len(detector(each)) == 1


def test_the_input_is_normalised_blue_green_red():
    specification = Specification(CLASSES, 96, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 3.0))
    detector = Detector(Torch(Script(), specification))
    detector(np.full((96, 96, 3), (11, 24, 36), dtype=np.uint8))
    assert detector.runtime.network.images[0, :, 5, 5].tolist() == pytest.approx([1, 2, 2])


def test_waiting_threads_sleep():
    """The OpenMP library reads this when torch is loaded: so before it, in every process."""
    environment = {k: v for k, v in os.environ.items() if k != 'OMP_WAIT_POLICY'}
    environment['OMP_DISPLAY_ENV'] = 'VERBOSE'
    process = subprocess.run([sys.executable, '-c', 'import acme_tracking.detection.network'],
                             text=True, capture_output=True, env=environment)
    assert "GOMP_SPINCOUNT = '0'" in process.stderr, 'the policy is shown as passive by default'


def test_the_package_ships_light_weights():
    assert shipped_weights().stat().st_size < min(12e6, MAXIMUM_BYTES)
    detector = Detector.from_checkpoint()
    assert tuple(detector.names) == CLASSES


def test_a_path_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        Detector.from_checkpoint(tmp_path)


def test_shipped_weights_find_what_the_synthetic_road_shows():
    """On roads that no training saw."""
    result = evaluate(Detector.from_checkpoint(), RenderedScenes(16, seed=77)).summary(0.3)
    assert result['recall'] > 0.5
    assert result['precision'] > 0.6


def test_shipped_weights_find_the_target_of_the_demo_scene():
    scene = Scene(seed=0, target='car')
    found, hits = Detector.from_checkpoint(classes=['car']), 0
    for index in range(0, 200, 20):
        truth = scene.truth(index)
        boxes = found(scene.render(index)).boxes
        hits += iou(truth.boxes[truth.ids == TARGET_ID], boxes).max() > 0.5
    assert hits >= 8


@pytest.mark.parametrize(('name', 'recall'), [('highway_val', 0.6), ('overpass_val', 0.6)])
def test_shipped_weights_find_real_vehicles(data, name, recall):
    samples = islice(iter(read(data / 'detection' / f'{name}.json')), 20)
    result = evaluate(Detector.from_checkpoint(), samples).summary(0.3)
    assert result['recall'] > recall
    assert result['precision'] > 0.5


def test_a_flipped_image_gives_flipped_boxes(data):
    sample = next(iter(read(data / 'detection' / 'highway_val.json')))
    detector = Detector.from_checkpoint(score_threshold=0.5)
    there = detector(sample.image)
    detector.configure(0.15, detector.nms_threshold)  # the same object may score a little less
    back = detector(cv2.flip(sample.image, 1))
    mirrored = back.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [640, 0, 640, 0]
    assert (iou(there.boxes, mirrored).max(axis=1) > 0.5).mean() >= 0.8
