"""`acme_tracking bag`: make bags of data sets, look into bags, record a running graph."""
from __future__ import annotations

from collections import Counter
import itertools
from pathlib import Path
import shutil

from acme_tracking.bags.reading import BagReader
from acme_tracking.bags.remote import local_bag
from acme_tracking.bags.topics import (
    CAMERA_INFO,
    COMPRESSED,
    DEPTH,
    DETECTIONS,
    GROUND_TRUTH,
    GROUND_TRUTH_3D,
    IMAGE,
    IMAGE_QOS,
    POSITIONS,
    RELIABLE_QOS,
    TRANSFORMS,
)
from acme_tracking.bags.transforms import MOVING, transform_to_msg
from acme_tracking.bags.writing import BagWriter, STORAGES
from acme_tracking.cli.arguments import class_name
from acme_tracking.evaluation.recordings import open_recording
from acme_tracking.evaluation.truth_files import MOT_CLASSES
from acme_tracking.labels import OBJECT
from acme_tracking.messages import (
    calibration_to_msg,
    camera_info_from_yaml,
    camera_info_of_size,
    depth_to_msg,
    detections_to_msg,
    image_to_compressed,
    image_to_msg,
    ns_to_stamp,
    positions_to_msg,
    scale_camera_info,
)
from acme_tracking.scene import CAMERAS
from acme_tracking.sessions.location import LocatorParameters
from acme_tracking.transport import absolute
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tqdm import tqdm

# Stamp of the first image: a date, for tools that show one; always the same, so that a bag is too.
START = 1_700_000_000_000_000_000
VEHICLE_FRAME = LocatorParameters().base_frame
RECORDED = ('image_raw', 'camera_info', 'detections', 'tracks')


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    make = actions.add_parser('make', help='write images, and the truth about them, as a bag')
    make.add_argument('sequence', metavar='SEQUENCE', help='video, folder of images, or sequence '
                      'in MOTChallenge, KITTI tracking (image_02/0000) or OTB layout; or '
                      f'scene:CAMERA:SEED:IMAGES, a rendered road ({", ".join(CAMERAS)})')
    _add_target(make)
    make.add_argument('--images', choices=('raw', 'compressed', 'both'), default='raw',
                      help='which topics the images are written to (default: %(default)s)')
    make.add_argument('--quality', type=int, default=95, metavar='1..100',
                      help='of the compressed images, JPEG (default: %(default)s)')
    make.add_argument('--rate', type=float, default=0.0, metavar='HZ',
                      help='images per second (default: that of the sequence)')
    make.add_argument('--count', type=int, default=None, metavar='N',
                      help='write no more than N images')
    make.add_argument('--classes', nargs='+', default=(), type=class_name, metavar='NAME',
                      help='names of the class numbers 1, 2 ... of a MOTChallenge file (default: '
                      f'classes in its seqinfo.ini, or {" ".join(MOT_CLASSES)})')
    make.add_argument('--label', default=OBJECT, type=class_name, metavar='NAME',
                      help='class of the object of an OTB sequence (default: %(default)s)')
    make.add_argument('--camera-info', type=Path, metavar='YAML',
                      help='calibration, as camera_calibration writes it')
    make.add_argument('--depth', action='store_true', help='of a rendered road: write depth_image '
                      'too')
    make.add_argument('--frame-id', default='camera_optical_frame', metavar='FRAME')
    info = actions.add_parser('info', help='say what is in a bag, and what evaluate makes of it')
    info.add_argument('bag', metavar='BAG')
    record = actions.add_parser('record', help='record topics of a running graph until Ctrl-C')
    _add_target(record)
    record.add_argument('--topics', nargs='+', default=RECORDED, metavar='TOPIC',
                        help=f'default: {" ".join(RECORDED)}')
    record.add_argument('--seconds', type=float, default=0.0, help='stop after so long')


def _add_target(parser):
    parser.add_argument('bag', metavar='BAG', help='folder to write; must not exist')
    parser.add_argument('--storage', choices=STORAGES, default=STORAGES[0],
                        help='file format (default: %(default)s)')
    parser.add_argument('--namespace', default='', help='of the topics')


def run(arguments) -> int:
    """Do it, and return the exit status."""
    return {'make': make, 'info': info, 'record': record}[arguments.action](arguments)


def make(arguments) -> int:
    """Write a bag; one that fails on its way is removed."""
    if not 1 <= arguments.quality <= 100:
        raise ValueError(f'--quality must be from 1 to 100, got {arguments.quality}')
    if not 0 <= arguments.rate <= 1000:
        raise ValueError(f'--rate must be from 0 to 1000, got {arguments.rate:g}')
    recording = open_recording(arguments.sequence, arguments.rate, arguments.classes,
                               arguments.label)
    if arguments.depth and recording.survey is None:
        raise ValueError(f'--depth: nobody knows how far the images of {arguments.sequence} see')
    try:
        with BagWriter(arguments.bag, arguments.storage) as writer:
            count = _write_images(_Topics(writer, arguments, recording), recording,
                                  arguments.count)
            if not count:
                raise ValueError(f'{arguments.sequence} holds no images')
    except FileExistsError:
        raise
    except BaseException:
        shutil.rmtree(arguments.bag, ignore_errors=True)
        raise
    labels = ('no ground truth' if recording.truth is None else 'ground truth'
              if recording.survey is None else 'ground truth in pixels and metres')
    print(f'{arguments.bag}: {count} images at {recording.rate:g} Hz, {labels}')
    return 0


def _write_images(topics, recording, count):
    images = itertools.islice(recording.images, count)
    total = min(filter(None, (recording.length, count)), default=None)
    written = 0
    for index, image in enumerate(tqdm(images, total=total, unit='image')):
        offset = recording.offset()
        stamp = START + (round(index * 1e9 / recording.rate) if offset is None else offset)
        topics.write(index, stamp, image)
        written += 1
    return written


class _Topics:
    """The topics of one camera in a bag that is being written."""

    def __init__(self, writer, arguments, recording):
        self._writer, self._quality, self._recording = writer, arguments.quality, recording
        self._frame_id, survey = arguments.frame_id, recording.survey
        self._calibration = (
            camera_info_from_yaml(arguments.camera_info) if arguments.camera_info
            else calibration_to_msg(survey.calibration) if survey else None)
        self._prefix = absolute(arguments.namespace, '')
        self._raw = self._compressed = self._truth = self._depth = None
        if arguments.images != 'compressed':
            self._raw = self._topic('image_raw', IMAGE, IMAGE_QOS)
        if arguments.images != 'raw':
            self._compressed = self._topic('image_raw/compressed', COMPRESSED, IMAGE_QOS)
        self._info = self._topic('camera_info', CAMERA_INFO)
        if recording.truth is not None:
            self._truth = self._topic(GROUND_TRUTH, DETECTIONS)
        if survey:
            self._positions = self._topic(GROUND_TRUTH_3D, POSITIONS)
            self._transforms = writer.topic(MOVING, TRANSFORMS, RELIABLE_QOS)
        if arguments.depth:
            self._depth = self._topic(DEPTH, IMAGE, IMAGE_QOS)

    def _topic(self, name, message_type, qos=RELIABLE_QOS):
        return self._writer.topic(f'{self._prefix}{name}', message_type, qos)

    def write(self, index, stamp, image):
        """Write one image with what belongs to it."""
        header = Header(stamp=ns_to_stamp(stamp), frame_id=self._frame_id)
        height, width = image.shape[:2]
        info = (scale_camera_info(self._calibration, width, height) if self._calibration
                else camera_info_of_size(width, height))
        info.header = header
        self._writer.write(self._info, stamp, info)
        if self._raw:
            self._writer.write(self._raw, stamp, image_to_msg(image, header))
        if self._compressed:
            self._writer.write(self._compressed, stamp,
                               image_to_compressed(image, header, quality=self._quality))
        truth, survey = self._recording.truth, self._recording.survey
        if truth is not None:
            self._writer.write(self._truth, stamp, detections_to_msg(truth[index], header))
        if survey:
            self._write_survey(survey, index, stamp, header)
        if self._depth:
            self._writer.write(self._depth, stamp, depth_to_msg(survey.depth(index), header))

    def _write_survey(self, survey, index, stamp, header):
        mount = survey.mount(index)
        self._writer.write(self._transforms, stamp, transform_to_msg(
            VEHICLE_FRAME, header, mount.position, Rotation.from_matrix(mount.axes.T)))
        self._writer.write(self._positions, stamp, positions_to_msg(
            survey.positions(index), Header(stamp=header.stamp, frame_id=VEHICLE_FRAME)))


def info(arguments) -> int:
    """Print the topics of a bag, and its images and truth as `evaluate` sees them."""
    with BagReader(local_bag(arguments.bag)) as bag:
        print(f'{bag.path}: {bag.seconds:.3f} s')
        for topic in bag.topics:
            reliability = ', '.join(sorted({qos.reliability.name.lower() for qos in topic.qos}))
            known = '' if topic.known else '  (unknown type: not read here)'
            print(f'  {topic.count:7}  {topic.name}  {topic.type}  {reliability}{known}')
        try:
            topic = bag.image_topic()
        except ValueError:  # no camera, or several: the topics say so
            return 0
        _print_images(bag, topic)
    return 0


def _print_images(bag, topic):
    stamps, sizes = [], Counter()
    for stamp, _, image in bag.images(topic):
        stamps.append(stamp)
        sizes[image.shape[1], image.shape[0]] += 1
    seconds = (max(stamps) - min(stamps)) * 1e-9
    rate = f'{(len(stamps) - 1) / seconds:.3g} Hz' if seconds else 'one moment'
    print(f'images: {len(stamps)} on {topic}, '
          f'{" and ".join(f"{width} x {height}" for width, height in sizes)}, {rate}')
    late = sum(later <= earlier for earlier, later in itertools.pairwise(stamps))
    if late:
        print(f'  {late} are not later than the one before')
    name = bag.truth_topic(topic)
    if name is None:
        print('ground truth: none')
        return
    truth = bag.detections(name)
    boxes = Counter(label for one in truth.values() for label in one.labels[one.scores > 0])
    ids = {int(track) for one in truth.values() if one.ids is not None for track in one.ids}
    print(f'ground truth: {len(truth)} images on {name}, {len(ids)} objects, boxes: '
          + (', '.join(f'{count} {label}' for label, count in sorted(boxes.items())) or 'none'))


def record(arguments) -> int:
    """Record until it is interrupted."""
    from acme_tracking.nodes.bag_recorder import record as record_graph
    topics = [absolute(arguments.namespace, topic) for topic in arguments.topics]
    print(f'Recording {", ".join(topics)}; stop with Ctrl-C.', flush=True)
    counts = record_graph(arguments.bag, arguments.storage, topics, arguments.seconds)
    for topic in topics:
        print(f'  {counts.get(topic, 0):7}  {topic}')
    if not any(counts.values()):
        print('Nothing was published on these topics.')
    return 0 if any(counts.values()) else 1
