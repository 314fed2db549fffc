"""
Between the values of the core (arrays, `Detections`, integer nanoseconds) and ROS messages.

The only module that knows the fields of messages.  It needs the message packages but never rclpy,
so that bags can be read without a ROS graph.  What does not fit raises ValueError, which says what
was got and what was expected.
"""
from __future__ import annotations

import array
import math

from acme_tracking.detections import Detections
from acme_tracking.files import read_yaml
from acme_tracking.geometry import extent_of_turned, from_center, to_center
from acme_tracking.interfaces import ensure_vision_msgs
from acme_tracking.positions.camera import Calibration
from acme_tracking.positions.locator import Positions
from acme_tracking.positions.object_filter import HEADING_DEVIATION
from acme_tracking.sources.encodings import decode, decode_depth, decode_file, VIEWS
from builtin_interfaces.msg import Time
import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField, Range

ensure_vision_msgs()
from vision_msgs.msg import (  # noqa: E402  there only now
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesisWithPose,
)

LARGEST_CALIBRATION = 2**16  # bytes of a file, which has two hundred numbers at most

STATE = 'state'  # what the status of one of our nodes is called, after its name
LONGEST_NAME = 256  # of a class, in characters
# Pixels: no image is so large, and areas beyond overflow.
LARGEST = 1e6


def stamp_to_ns(stamp) -> int:
    """Return a builtin_interfaces/Time as integer nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(ns: int) -> Time:
    """Return integer nanoseconds as a builtin_interfaces/Time."""
    seconds, nanoseconds = divmod(int(ns), 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def image_from_msg(msg: Image) -> np.ndarray:
    """
    Return a sensor_msgs/Image as uint8 BGR (H, W, 3), or gray (H, W), not to be written to.

    Which encodings can be read, and which without a copy, is told by `sources.encodings`.
    """
    return decode(msg.encoding, msg.data, msg.width, msg.height, msg.step, bool(msg.is_bigendian))


def image_to_msg(image: np.ndarray, header, encoding: str = 'bgr8') -> Image:
    """
    Return a uint8 image (H, W), (H, W, 3) or (H, W, 4) as a sensor_msgs/Image, with one copy.

    `encoding` says what the channels are (one of `encodings.VIEWS`); nothing is converted.
    """
    if encoding not in VIEWS:
        raise ValueError(f'encoding must be one of {", ".join(VIEWS)}, got {encoding!r}')
    channels = VIEWS[encoding][0]
    shaped = image.ndim == 3 and image.shape[2] == channels or image.ndim == 2 and channels == 1
    if image.dtype != np.uint8 or not shaped or not image.size:
        raise ValueError(f'{encoding} needs a uint8 image with {channels} channel(s), '
                         f'got {image.dtype} of shape {image.shape}')
    # rclpy checks bytes and lists item by item, for seconds; an array of bytes it takes as it is.
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(image))
    height, width = image.shape[:2]
    return Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=0,
                 step=width * channels, data=data)


def image_from_compressed(msg: CompressedImage) -> np.ndarray:
    """
    Decode a sensor_msgs/CompressedImage (jpeg, png, webp, what OpenCV reads) to BGR (H, W, 3).

    `format` is a word such as jpeg, or as image_transport writes it, 'ENCODING; jpeg compressed'.
    Of the colours the file is believed: what stands after `compressed` changes nothing.
    """
    encoding, _, compression = msg.format.rpartition(';')
    if 'compressedDepth' in compression:
        raise ValueError(f'compressed format {msg.format!r} is a depth image, not a picture')
    image = decode_file(msg.data, encoding.strip())
    if image is None:
        raise ValueError(f'cannot decode {len(msg.data)} bytes of compressed format '
                         f'{msg.format!r}')
    return image


def image_to_compressed(image: np.ndarray, header, format: str = 'jpeg',  # noqa: A002
                        quality: int = 80) -> CompressedImage:
    """
    Encode a uint8 image, BGR (H, W, 3) or gray (H, W), as a sensor_msgs/CompressedImage.

    `format` is 'jpeg' with `quality` from 1 to 100, or 'png'.
    """
    if format not in ('jpeg', 'png'):
        raise ValueError(f"format must be 'jpeg' or 'png', got {format!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f'quality must be from 1 to 100, got {quality!r}')
    gray = image.ndim == 2
    if image.dtype != np.uint8 or not (gray or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError('a compressed image needs uint8 (H, W) or (H, W, 3), '
                         f'got {image.dtype} of shape {image.shape}')
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if format == 'jpeg' else []
    data = array.array('B')
    data.frombytes(cv2.imencode(f'.{format}', image, options)[1])
    encoding = 'mono8' if gray else 'bgr8'
    # As image_transport writes it: the encoding of the picture, then what was compressed.
    return CompressedImage(header=header, data=data,
                           format=f'{encoding}; {format} compressed {encoding}')


def detections_to_msg(detections: Detections, header) -> Detection2DArray:
    """
    Return detections or tracks as a vision_msgs/Detection2DArray.

    `header` is that of the image they were found on; ids become decimal text, or stay empty.
    """
    ids = [''] * len(detections) if detections.ids is None else map(str, detections.ids.tolist())
    rows = zip(to_center(detections.boxes).tolist(), detections.scores.tolist(),
               detections.labels.tolist(), ids)
    return Detection2DArray(header=header, detections=[
        _detection_to_msg(header, *row) for row in rows])


def _detection_to_msg(header, center, score, label, identity):
    detection = Detection2D(header=header, id=identity)
    position = detection.bbox.center.position
    position.x, position.y, detection.bbox.size_x, detection.bbox.size_y = center
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = label, score
    detection.results = [result]
    return detection


def detections_from_msg(msg: Detection2DArray) -> Detections:
    """
    Return a vision_msgs/Detection2DArray, also of a foreign detector, as detections.

    The hypothesis with the best score counts; a box without any is taken as certain and has the
    label ''.  A turned box becomes the upright box around it.  Scores are limited to [0, 1].
    Left out are boxes without area or with a number that is not finite or beyond LARGEST, and
    those of which no hypothesis has a score.  There are ids when every detection has a decimal
    one.  Raises ValueError for the name of a class with more than LONGEST_NAME characters, of
    which every other would take the room.
    """
    rows = [row for row in map(_row, msg.detections) if row is not None]
    if not rows:
        return Detections.empty()
    centers, scores, labels, ids = zip(*rows)
    numbers = None
    if all(text.isascii() and text.isdigit() and len(text) <= 18 for text in ids):
        numbers = [int(text) for text in ids]
    return Detections(from_center(centers), scores, labels, numbers)


def _row(detection):
    box = detection.bbox
    numbers = (box.center.position.x, box.center.position.y, box.size_x, box.size_y,
               box.center.theta)
    # written so that NaN is none
    if not all(abs(number) <= LARGEST for number in numbers) or min(numbers[2:4]) <= 0:
        return None
    center = *numbers[:2], *extent_of_turned(*numbers[2:])
    guesses = [result.hypothesis for result in detection.results]
    scored = [guess for guess in guesses if not math.isnan(guess.score)]
    if guesses and not scored:
        return None
    best = max(scored, key=lambda guess: guess.score, default=None)
    score, label = (best.score, best.class_id) if best else (1.0, '')
    if len(label) > LONGEST_NAME:
        raise ValueError(f'the name of a class must have at most {LONGEST_NAME} characters, got '
                         f'{len(label)}: {label[:20]!r} ...')
    return center, min(max(score, 0.0), 1.0), label, detection.id


def camera_info_of_size(width: int, height: int) -> CameraInfo:
    """Return the sensor_msgs/CameraInfo of an uncalibrated camera: its size, and zeros."""
    return CameraInfo(width=width, height=height)


def calibration_to_msg(calibration: Calibration) -> CameraInfo:
    """Return the sensor_msgs/CameraInfo of a calibrated camera."""
    return CameraInfo(
        width=calibration.width, height=calibration.height, distortion_model=calibration.model,
        k=np.array(calibration.matrix), d=list(calibration.distortion), r=np.eye(3).ravel(),
        p=np.array(calibration.projection))


def camera_info_from_yaml(path) -> CameraInfo:
    """
    Read a calibration file as camera_calibration and camera_info_manager write it.

    A file that cannot be read raises OSError; one with other contents ValueError, which names the
    file and the entry, but never quotes it: the path may be that of any file.
    """
    entries = read_yaml(path, LARGEST_CALIBRATION)
    info = CameraInfo()
    info.width = _entry(path, entries, 'image_width', int)
    info.height = _entry(path, entries, 'image_height', int)
    info.distortion_model = _entry(path, entries, 'distortion_model', str)
    info.k = _matrix(path, entries, 'camera_matrix', 9)
    info.d = _matrix(path, entries, 'distortion_coefficients', None)
    info.r = _matrix(path, entries, 'rectification_matrix', 9)
    info.p = _matrix(path, entries, 'projection_matrix', 12)
    return info


def _entry(path, entries, name, expected):
    value = entries.get(name)
    if not isinstance(value, expected) or (expected is int and value <= 0):
        raise ValueError(f'{path}: {name} must be a {expected.__name__}'
                         f'{" above 0" if expected is int else ""}')
    return value


def _matrix(path, entries, name, size):
    matrix = entries.get(name)
    data = matrix.get('data') if isinstance(matrix, dict) else None
    try:
        values = [float(value) for value in data]
    except (TypeError, ValueError):
        values = None
    if values is None or size not in (None, len(values)):
        raise ValueError(f'{path}: {name} must have data with {size or "its"} numbers')
    return values


def scale_camera_info(info: CameraInfo, width: int, height: int) -> CameraInfo:
    """Return the camera_info of the same camera after its images were resized to width, height."""
    if (info.width, info.height) == (width, height):
        return info
    right, down = width / info.width, height / info.height
    # Pixel centres are at whole numbers, so the image begins half a pixel before 0.
    k = np.array(info.k).reshape(3, 3)
    p = np.array(info.p).reshape(3, 4)
    for matrix in (k, p):
        matrix[0] *= right
        matrix[1] *= down
        matrix[0, 2] += (right - 1) / 2
        matrix[1, 2] += (down - 1) / 2
    return CameraInfo(header=info.header, width=width, height=height, d=info.d, r=info.r,
                      distortion_model=info.distortion_model, k=k.ravel(), p=p.ravel())


def diagnostics_from_msg(msg, namespace: str):
    """
    Yield (name, level, message, values by name) of the nodes of a namespace in a DiagnosticArray.

    `level` is 0 (ok) to 3 (stale); values are text.
    """
    for status in msg.status:
        name, _, task = status.name.partition(': ')
        parent, _, node = name.strip('/').rpartition('/')
        if parent == namespace.strip('/') and task == STATE:
            level = status.level if isinstance(status.level, int) else ord(status.level)
            yield node, level, status.message, {pair.key: pair.value for pair in status.values}


def calibration_from_msg(info: CameraInfo) -> Calibration:
    """
    Return what a sensor_msgs/CameraInfo says.

    Raises ValueError for images that are only a part of what was calibrated (binning, roi).
    """
    if max(info.binning_x, info.binning_y) > 1 or info.roi.width or info.roi.height:
        raise ValueError('camera_info with binning or roi is not supported: '
                         'publish that of the whole image as it is')
    return Calibration(info.width, info.height, info.distortion_model, tuple(info.k.tolist()),
                       tuple(info.d), tuple(info.p.tolist()))


def depth_from_msg(msg: Image) -> np.ndarray:
    """
    Return a depth image (REP 118) in metres, float32 (H, W); 0 or NaN where it has none.

    16UC1 is in millimetres, 32FC1 in metres.  Raises ValueError for other images.
    """
    return decode_depth(msg.encoding, msg.data, msg.width, msg.height, msg.step,
                        bool(msg.is_bigendian))


def depth_to_msg(depth: np.ndarray, header) -> Image:
    """Return depth in metres, float32 (H, W), NaN where there is none, as a 32FC1 image."""
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(depth, '<f4').tobytes())
    height, width = depth.shape
    return Image(header=header, height=height, width=width, encoding='32FC1', is_bigendian=0,
                 step=4 * width, data=data)


def positions_to_msg(positions: Positions, header) -> Detection3DArray:
    """
    Return the positions that are known as a vision_msgs/Detection3DArray.

    Boxes stand on the ground; the covariance of the pose is that of x, y, z and the yaw.
    """
    return Detection3DArray(header=header, detections=[
        _position_to_msg(positions, index, header) for index in np.nonzero(positions.known)[0]])


def _position_to_msg(positions, index, header):
    detection = Detection3D(header=header, id=str(positions.ids[index]))
    size = detection.bbox.size
    size.x, size.y, size.z = positions.sizes[index].tolist()
    pose = detection.bbox.center
    pose.position.x, pose.position.y = positions.states[index, :2].tolist()
    pose.position.z = size.z / 2
    half = float(positions.headings[index]) / 2
    pose.orientation.z, pose.orientation.w = math.sin(half), math.cos(half)
    covariance = np.zeros((6, 6))
    covariance[:2, :2] = positions.covariances[index, :2, :2]
    covariance[2, 2] = (positions.size_deviations[index, 2] / 2) ** 2
    covariance[5, 5] = HEADING_DEVIATION ** 2
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = str(positions.labels[index])
    result.hypothesis.score = float(positions.scores[index])
    result.pose.pose, result.pose.covariance = pose, covariance.ravel()
    detection.results = [result]
    return detection


FIELD_OF_VIEW = 0.05  # radians, for who shows a range as a cone; the path itself is a strip
# Fields of a point of `motions_to_msg`.
_MOTION = np.dtype([(name, '<f4') for name in ('x', 'y', 'z', 'vx', 'vy', 'time_to_contact')] + [
    ('id', '<u4'), ('in_path', 'u1')])
_FIELD_TYPES = {'<f4': PointField.FLOAT32, '<u4': PointField.UINT32, '|u1': PointField.UINT8}


def motions_to_msg(positions: Positions, path_width: float, header) -> PointCloud2:
    """
    Return how all tracks move as a sensor_msgs/PointCloud2, a point for each.

    x, y, z and vx, vy are NaN where the position is not known; id has the lowest 32 bits.
    """
    points = np.zeros(len(positions), _MOTION)
    for name, column in zip(('x', 'y', 'vx', 'vy'), positions.states.T, strict=True):
        points[name] = column
    points['z'] = positions.sizes[:, 2] / 2
    points['time_to_contact'] = positions.times_to_contact
    points['id'] = positions.ids & 0xffffffff
    points['in_path'] = positions.in_path(path_width)
    data = array.array('B')
    data.frombytes(points.tobytes())
    fields = [PointField(name=name, offset=_MOTION.fields[name][1], count=1,
                         datatype=_FIELD_TYPES[_MOTION[name].str]) for name in _MOTION.names]
    return PointCloud2(header=header, height=1, width=len(points), fields=fields, data=data,
                       point_step=_MOTION.itemsize, row_step=_MOTION.itemsize * len(points),
                       is_dense=bool(positions.known.all()))


def range_to_msg(distance: float, header) -> Range:
    """Return a distance ahead, metres, as a sensor_msgs/Range; infinite for nothing (REP 117)."""
    return Range(header=header, field_of_view=FIELD_OF_VIEW, min_range=0.0, max_range=math.inf,
                 range=distance)
