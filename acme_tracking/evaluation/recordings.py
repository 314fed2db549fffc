"""
Image sequences with the true boxes of all their objects, as they become bags.

Layouts: MOTChallenge (`img1/`, `gt/gt.txt`, `seqinfo.ini`), KITTI tracking (`image_02/0000/`
beside `label_02/0000.txt`), OTB (`img/`, `groundtruth_rect.txt`), and without truth a folder of
images or a video.  The synthetic road is one too.  `sequences` reads single objects out of the
same files.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
import logging
from pathlib import Path

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.evaluation.sequences import (
    image_paths,
    mot_image_folder,
    read_image,
    read_otb,
    VISIBLE,
)
from acme_tracking.evaluation.truth_files import kitti_truth, mot_truth
from acme_tracking.labels import OBJECT
from acme_tracking.positions.camera import Calibration, Mount
from acme_tracking.positions.locator import Positions
from acme_tracking.scene import CAMERAS, Scene
from acme_tracking.sources import DEFAULT_RATE, open_source
import numpy as np

logger = logging.getLogger(__name__)

OTB_RATE, KITTI_RATE = 30.0, 10.0
SCENE = 'scene:'
SCENE_IMAGES, SCENE_DENSITY = 300, 0.3
# Of the synthetic road, what is less tall than so many pixels is too far away to be judged.
SCENE_LEAST = 12


@dataclass(frozen=True, eq=False)
class Survey:
    """
    What is known in metres of a sequence; functions of the index of an image.

    calibration: of the camera.  mount: how it is mounted.  positions: where all objects with a
    true box are, in the frame of the vehicle.  depth: its depth image, float32 (H, W).
    """

    calibration: Calibration
    mount: Callable[[int], Mount]
    positions: Callable[[int], Positions]
    depth: Callable[[int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Recording:
    """
    Images with the truth about them.

    rate: images per second.  images: BGR uint8 (H, W, 3), in order, to be iterated once.  length:
    how many, None when a video does not say.  truth: the objects of every image with their ids,
    score 1 (0 for those that scoring is to ignore); None where nobody labelled.  offset: gives
    when the latest image was taken, nanoseconds since the first, None where they follow at `rate`.
    survey: None where nobody measured.
    """

    rate: float
    images: Iterator[np.ndarray]
    length: int | None = None
    truth: list[Detections] | None = None
    offset: Callable[[], int | None] = lambda: None
    survey: Survey | None = None


def open_recording(path, rate: float = 0.0, classes=(), label: str = OBJECT) -> Recording:
    """
    Return the recording at a path, of the layout that is found there.

    'scene:CAMERA:SEED:IMAGES' is `rendered_road`; the last two may be left out.

    rate: images per second; 0 for that of the source, and a video's own times.  classes: those of
    `mot_truth`.  label: the class of an OTB object.  Raises FileNotFoundError for a missing path,
    and ValueError, naming file and line, for malformed labels.
    """
    if str(path).startswith(SCENE):
        return _scene(str(path), rate)
    path = Path(path)
    kitti = path.parent.parent / 'label_02' / f'{path.name}.txt'
    otb = sorted(path.glob('groundtruth_rect*.txt')) if path.is_dir() else []
    if (path / 'seqinfo.ini').is_file() or (path / 'gt' / 'gt.txt').is_file():
        found = _mot(path, classes)
    elif otb:
        found = _otb(otb, label)
    elif kitti.is_file() and path.is_dir():
        images = image_paths(path)
        found = _of_files(KITTI_RATE, images, kitti_truth(kitti, len(images)))
    else:
        found = _unlabelled(path)
    return replace(found, rate=rate, offset=lambda: None) if rate else found


def rendered_road(camera: str, seed: int = 0, length: int = SCENE_IMAGES,
                  rate: float = DEFAULT_RATE, density: float = SCENE_DENSITY) -> Recording:
    """
    Return the synthetic road as one of `scene.CAMERAS` sees it, byte for byte the same every time.

    What is hidden, or too far away to be told apart, is there to be ignored.
    """
    scene = Scene(seed=seed, rate=rate, density=density, camera=camera)
    truth = [_judged(scene.truth(index)) for index in range(length)]
    survey = Survey(scene.calibration, lambda index: mount_of(scene, index),
                    lambda index: _true_positions(scene, index, truth[index].ids), scene.depth)
    return Recording(rate, map(scene.render, range(length)), length, truth, survey=survey)


def mount_of(scene: Scene, index: int, wrong_pitch: float = 0.0) -> Mount:
    """Return how its camera is mounted at an image, as who is off by so many radians believes."""
    camera = scene.camera(index)
    return Mount.from_angles(height=camera.height, roll=camera.roll,
                             pitch=camera.pitch + wrong_pitch)


def _true_positions(scene, index, ids):
    """Return where the objects with these ids are, as exactly as `Positions` can say it."""
    motion, truth = scene.motion(index), scene.truth(index)
    labels = dict(zip(truth.ids.tolist(), truth.labels.tolist()))
    rows = np.flatnonzero(np.isin(motion.ids, ids))
    return Positions(
        motion.ids[rows], np.array([labels[one] for one in motion.ids[rows].tolist()]),
        np.ones(len(rows)), motion.states[rows], np.zeros((len(rows), 4, 4)), motion.sizes[rows],
        np.zeros((len(rows), 3)), motion.headings[rows], motion.times_to_contact[rows])


def _judged(truth):
    tall = truth.boxes[:, 3] - truth.boxes[:, 1] >= SCENE_LEAST
    proper = geometry.is_proper(truth.boxes)
    scores = (tall & (truth.visibility >= VISIBLE)).astype(np.float32)
    return Detections(truth.boxes, scores, truth.labels, truth.ids).select(proper)


def _scene(spec, rate):
    camera, *numbers = spec.removeprefix(SCENE).split(':')
    if camera not in CAMERAS or len(numbers) > 2 or not all(n.isdecimal() for n in numbers):
        raise ValueError(f'a scene must be {SCENE}CAMERA:SEED:IMAGES with a CAMERA of '
                         f'{", ".join(CAMERAS)}, got {spec!r}')
    return rendered_road(camera, *map(int, numbers), rate=rate or DEFAULT_RATE)


def _of_files(rate, images, truth):
    return Recording(rate, map(read_image, images), len(images), truth)


def _unlabelled(path):
    source = open_source(str(path))

    def images():
        while (image := source.read()) is not None:
            yield image
        if source.ended_early:
            logger.warning('%s ended early: %s', path, source.ended_early)
    return Recording(source.rate, images(), offset=lambda: source.offset)


def _mot(folder, classes):
    images = image_paths(folder / mot_image_folder(folder))
    if not images:
        raise ValueError(f'{folder / mot_image_folder(folder)} holds no images')
    file = folder / 'gt' / 'gt.txt'
    truth = mot_truth(file, len(images), classes) if file.is_file() else None
    return _of_files(open_source(str(images[0].parent)).rate, images, truth)


def _otb(files, label):
    objects = [read_otb(file) for file in files]
    length = min(map(len, objects))
    truth = []
    for index in range(length):
        boxes = np.array([one.boxes[index] for one in objects])
        ids = np.arange(1, len(objects) + 1)
        seen = geometry.is_proper(boxes)
        truth.append(Detections(boxes[seen], np.ones(seen.sum()), [label] * seen.sum(),
                                ids[seen]))
    return Recording(OTB_RATE, map(objects[0].image, range(length)), length, truth)
