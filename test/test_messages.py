"""Messages against independent computations: bytes counted by hand, boxes by corners, files."""

import array
import math
import os
import struct
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')

from acme_tracking import messages  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from vision_msgs.msg import (  # noqa: E402
    Detection2D,
    Detection2DArray,
    ObjectHypothesisWithPose,
)

ENCODINGS = {'mono8': 'g', 'bgr8': 'bgr', 'rgb8': 'rgb', 'bgra8': 'bgra', 'rgba8': 'rgba'}


def header():
    """Return a header with a stamp and a frame."""
    made = Header(frame_id='camera_optical_frame')
    made.stamp.sec, made.stamp.nanosec = 12, 345
    return made


def raw_image(encoding, width=5, height=4, padding=0):
    """Return a message written byte by byte, and the value of each channel by pixel."""
    channels = ENCODINGS[encoding]
    data = array.array('B')
    for row in range(height):
        for column in range(width):
            data.extend(value(row, column, channel) for channel in channels)
        data.extend([255] * padding)
    return Image(header=header(), height=height, width=width, encoding=encoding,
                 step=width * len(channels) + padding, data=data)


def value(row, column, channel):
    """Return the value that the test images have there."""
    return (31 * row + 7 * column + 50 * 'bgrag'.index(channel)) % 251


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_image_is_read_as_a_view(encoding, padding):
    msg = raw_image(encoding, padding=padding)
    image = messages.image_from_msg(msg)
    assert image.dtype == np.uint8 and not image.flags.writeable
    assert np.shares_memory(image, np.frombuffer(msg.data, np.uint8)), 'was copied'
    if encoding == 'mono8':
        expected = [[value(row, column, 'g') for column in range(5)] for row in range(4)]
    else:
        expected = [[[value(row, column, channel) for channel in 'bgr'] for column in range(5)]
                    for row in range(4)]
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_opencv_takes_the_view(encoding):
    image = messages.image_from_msg(raw_image(encoding, 40, 30, padding=7))
    np.testing.assert_array_equal(cv2.resize(image, (20, 15)),
                                  cv2.resize(image.copy(), (20, 15)))


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_image_survives_the_way_out_and_in(encoding):
    channels = len(ENCODINGS[encoding])
    shape = (6, 7) if channels == 1 else (6, 7, channels)
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    msg = messages.image_to_msg(image, header(), encoding)
    assert (msg.width, msg.height, msg.step) == (7, 6, 7 * channels)
    assert msg.header == header() and msg.encoding == encoding
    assert bytes(msg.data) == image.tobytes()
    back = messages.image_from_msg(msg)
    flipped = image[..., [2, 1, 0]] if encoding in ('rgb8', 'rgba8') else image
    np.testing.assert_array_equal(back, flipped[..., :3] if channels > 1 else image)


def test_strided_image_is_written_right():
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)[::2, ::-1]
    assert bytes(messages.image_to_msg(image, header()).data) == image.tobytes()


def test_large_images_pass_quickly():
    image = np.zeros((1080, 1920, 3), np.uint8)
    begin = time.process_time()
    messages.image_from_msg(messages.image_to_msg(image, header()))
    assert time.process_time() - begin < 0.25, 'bytes were looked at one by one'


@pytest.mark.parametrize('change, words', [
    ({'width': 0}, '0 x 4'), ({'height': 0}, '5 x 0'),
    ({'step': 14}, 'step of 15 or more, got 14'),
    ({'data': array.array('B', bytes(59))}, '60 bytes.*got 59'),
    ({'data': array.array('B')}, '60 bytes.*got 0'),
    ({'step': 2 ** 31}, 'bytes of data, got 60')])
def test_malformed_image_is_refused(change, words):
    msg = raw_image('bgr8')
    for name, new in change.items():
        setattr(msg, name, new)
    with pytest.raises(ValueError, match=words):
        messages.image_from_msg(msg)


@pytest.mark.parametrize('big_endian, high', [(0, 1), (1, 0)])
def test_other_encodings_are_converted(big_endian, high):
    data = array.array('B', bytes(8))
    data[high::2] = array.array('B', [0, 100, 200, 255])
    msg = Image(height=2, width=2, encoding='mono16', step=4, is_bigendian=big_endian, data=data)
    assert messages.image_from_msg(msg).tolist() == [[0, 100], [199, 254]]
    msg.encoding = '32FC1'
    with pytest.raises(ValueError, match="'32FC1' cannot be read; those that can are mono8"):
        messages.image_from_msg(msg)


def test_byte_order_does_not_matter_for_bytes():
    msg = raw_image('bgr8')
    msg.is_bigendian = 1
    assert messages.image_from_msg(msg).shape == (4, 5, 3)


@pytest.mark.parametrize('image, encoding, words', [
    (np.zeros((2, 2), np.uint8), 'bgr8', r'bgr8.*3 channel.*\(2, 2\)'),
    (np.zeros((2, 2, 3), np.uint8), 'mono8', 'mono8.*1 channel'),
    (np.zeros((2, 2, 3), np.float32), 'bgr8', 'float32'),
    (np.zeros((0, 2, 3), np.uint8), 'bgr8', r'\(0, 2, 3\)'),
    (np.zeros((2, 2, 3), np.uint8), 'yuv', "'yuv'")])
def test_images_that_do_not_fit_are_refused(image, encoding, words):
    with pytest.raises(ValueError, match=words):
        messages.image_to_msg(image, header(), encoding)


def smooth(shape):
    """Return a picture without detail, which a jpeg keeps nearly as it is."""
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    planes = [rows * 2, columns * 2, 200 - rows][:shape[2] if len(shape) > 2 else 1]
    return np.stack(planes, axis=-1).astype(np.uint8).reshape(shape)


def test_compressed_images_both_ways():
    image = smooth((60, 80, 3))
    png = messages.image_to_compressed(image, header(), 'png')
    assert png.header == header() and bytes(png.data[:4]) == b'\x89PNG'
    assert png.format == 'bgr8; png compressed bgr8'
    np.testing.assert_array_equal(messages.image_from_compressed(png), image)
    fine = messages.image_to_compressed(image, header(), 'jpeg', quality=95)
    assert bytes(fine.data[:2]) == b'\xff\xd8'
    assert np.abs(messages.image_from_compressed(fine).astype(int) - image).mean() < 3
    coarse = messages.image_to_compressed(image, header(), quality=10)
    assert len(coarse.data) < len(fine.data)
    gray = messages.image_to_compressed(smooth((60, 80)), header(), 'png')
    assert gray.format.startswith('mono8;')
    np.testing.assert_array_equal(messages.image_from_compressed(gray)[..., 1], smooth((60, 80)))


@pytest.mark.parametrize('form', [
    'png', 'bgr8; png compressed bgr8', 'rgb8; png compressed bgr8', 'rgb8; png compressed ',
    'bgra8; png compressed bgra8', 'rgb16; png compressed bgr16'])
def test_a_picture_has_the_colours_of_its_file(form):
    msg = messages.image_to_compressed(smooth((6, 8, 3)), header(), 'png')
    msg.format = form
    np.testing.assert_array_equal(messages.image_from_compressed(msg), smooth((6, 8, 3)))


@pytest.mark.parametrize('form, color', [
    ('mono8; png compressed ', [90, 90, 90]), ('mono16; png compressed', [90, 90, 90]),
    ('bayer_rggb8; png compressed ', [0, 0, 90]), ('bayer_bggr8;png compressed', [90, 0, 0])])
def test_what_was_compressed_says_what_a_gray_file_is(form, color):
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 90
    msg = messages.image_to_compressed(mosaic, header(), 'png')
    msg.format = form
    assert messages.image_from_compressed(msg)[4, 4].tolist() == color


def test_a_small_file_with_a_huge_picture_is_refused(tmp_path):
    side = 12_000  # of black pixels, one bit each
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0)), (b'IDAT', rows),
              (b'IEND', b'')]
    (tmp_path / 'huge.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(content)) + kind + content
        + struct.pack('>I', zlib.crc32(kind + content)) for kind, content in chunks))
    assert (tmp_path / 'huge.png').stat().st_size < 50_000
    # in a process of its own, which loads the package before OpenCV, as the nodes do
    code = ('import sys; from acme_tracking.sources.encodings import decode_file; '
            'sys.exit(decode_file(open(sys.argv[1], "rb").read(), "mono8") is not None)')
    environment = {key: value for key, value in os.environ.items() if 'OPENCV_IO' not in key}
    assert subprocess.run([sys.executable, '-c', code, tmp_path / 'huge.png'], timeout=60,
                          env=environment, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize('data, form, words', [
    (b'', 'jpeg', '0 bytes.*jpeg'), (b'no picture', 'png', '10 bytes.*png'),
    (b'abc', '16UC1; compressedDepth png', 'depth')])
def test_undecodable_images_are_refused(data, form, words):
    with pytest.raises(ValueError, match=words):
        messages.image_from_compressed(
            CompressedImage(format=form, data=array.array('B', data)))


@pytest.mark.parametrize('options, words', [
    ({'format': 'gif'}, 'gif'), ({'quality': 0}, 'quality.*0'), ({'quality': 101}, '101')])
def test_bad_compression_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        messages.image_to_compressed(np.zeros((4, 4, 3), np.uint8), header(), **options)
    with pytest.raises(ValueError, match='float64'):
        messages.image_to_compressed(np.zeros((4, 4, 3)), header())


def test_detections_become_messages():
    found = Detections([[10, 20, 50, 40], [0, 0, 1, 1]], [0.75, 0.5], ['car', 'bus'])
    msg = messages.detections_to_msg(found, header())
    assert msg.header == header() and len(msg.detections) == 2
    first = msg.detections[0]
    assert first.header == header() and first.id == ''
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (30, 30)
    assert (first.bbox.size_x, first.bbox.size_y, first.bbox.center.theta) == (40, 20, 0)
    assert first.results[0].hypothesis.class_id == 'car'
    assert first.results[0].hypothesis.score == 0.75
    assert messages.detections_to_msg(Detections.empty(), header()).detections == []


@pytest.mark.parametrize('ids', [None, [7, 123456789012]])
def test_detections_survive_both_ways(ids):
    found = Detections([[10.5, 20, 50, 40], [3, 4, 9, 17.25]], [0.75, 0.25], ['car', 'bus'], ids)
    back = messages.detections_from_msg(messages.detections_to_msg(found, header()))
    np.testing.assert_allclose(back.boxes, found.boxes)
    np.testing.assert_allclose(back.scores, found.scores)
    assert back.labels.tolist() == ['car', 'bus']
    assert (back.ids is None) if ids is None else back.ids.tolist() == ids


def foreign(center=(50.0, 40.0), size=(20.0, 10.0), theta=0.0, guesses=(('car', 0.5),), name=''):
    """Return a detection as somebody else's detector may write it."""
    detection = Detection2D(id=name)
    detection.bbox.center.position.x, detection.bbox.center.position.y = center
    detection.bbox.center.theta = theta
    detection.bbox.size_x, detection.bbox.size_y = size
    for label, score in guesses:
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = label, score
        detection.results.append(result)
    return detection


def read(*detections):
    """Return what `detections_from_msg` makes of them."""
    return messages.detections_from_msg(Detection2DArray(detections=list(detections)))


def test_best_hypothesis_counts():
    found = read(foreign(guesses=(('bus', 0.25), ('car', 0.5), ('van', math.nan))))
    assert (found.labels.tolist(), found.scores.tolist()) == (['car'], [0.5])


def test_box_without_hypothesis_is_certain_and_nameless():
    found = read(foreign(guesses=()))
    assert (found.labels.tolist(), found.scores.tolist()) == ([''], [1.0])


def test_scores_are_limited():
    found = read(foreign(guesses=(('car', 87.0),)), foreign(guesses=(('car', -1.0),)))
    assert found.scores.tolist() == [1.0, 0.0]


@pytest.mark.parametrize('bad', [
    {'size': (math.nan, 1.0)}, {'size': (0.0, 5.0)}, {'size': (3.0, -5.0)},
    {'center': (math.inf, 1.0)}, {'theta': math.nan}, {'theta': math.inf},
    {'size': (1e38, 1e38)}, {'center': (-1e9, 0.0)}, {'guesses': (('car', math.nan),)}])
def test_useless_boxes_are_left_out(bad):
    found = read(foreign(**bad), foreign())
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes, [[40, 35, 60, 45]])
    assert len(read(foreign(**bad))) == 0


@pytest.mark.parametrize('theta', [0.0, 0.4, math.pi / 2, -2.5, math.pi])
def test_turned_box_becomes_the_upright_box_around_it(theta):
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    corners = np.array([(-10, -5), (10, -5), (10, 5), (-10, 5)]) @ turn.T + (50, 40)
    expected = [*corners.min(axis=0), *corners.max(axis=0)]
    np.testing.assert_allclose(read(foreign(theta=theta)).boxes[0], expected, rtol=1e-5)


@pytest.mark.parametrize('names, ids', [
    (('1', '22'), [1, 22]), (('1', ''), None), (('1', 'car-7'), None), (('1', '9' * 40), None),
    (('1', '²'), None), (('-1', '2'), None)])
def test_ids_are_numbers_or_none(names, ids):
    found = read(*(foreign(name=name) for name in names))
    assert (found.ids is None) if ids is None else found.ids.tolist() == ids


@pytest.mark.parametrize('ns', [0, 1, 1_234_567_890_123_456_789, 999_999_999])
def test_stamps_are_nanoseconds(ns):
    stamp = messages.ns_to_stamp(ns)
    assert stamp.sec * 10 ** 9 + stamp.nanosec == ns == messages.stamp_to_ns(stamp)


CALIBRATION = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320.5, 0, 510, 240.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [490, 0, 321, -25, 0, 495, 241, 0, 0, 0, 1, 0]}
"""


def test_calibration_file_is_read(tmp_path):
    path = tmp_path / 'front.yaml'
    path.write_text(CALIBRATION)
    info = messages.camera_info_from_yaml(path)
    assert (info.width, info.height, info.distortion_model) == (640, 480, 'plumb_bob')
    assert info.k.tolist() == [500, 0, 320.5, 0, 510, 240.5, 0, 0, 1]
    assert list(info.d) == [0.1, -0.2, 0.001, 0.002, 0]
    assert info.p[3] == -25 and info.r[0] == 1


@pytest.mark.parametrize('old, new, words', [
    ('image_width: 640', 'image_width: wide', 'image_width must be a int above 0'),
    ('image_height: 480\n', '', 'image_height must be a int'),
    ('0, 0, 1]}\ndistortion_model', '0, 0]}\ndistortion_model', 'camera_matrix.*9 numbers'),
    ('plumb_bob', '7', 'distortion_model must be a str'),
    ('data: [0.1', 'data: [abc', 'distortion_coefficients must have data'),
    (CALIBRATION, '- 1', 'mapping'), (CALIBRATION, '{', 'not YAML'),
    (CALIBRATION, 'a: &x [1, 2]\nb: [*x, *x]', 'has aliases'), (CALIBRATION, '[' * 9999, 'YAML'),
    (CALIBRATION, '#' * 100_000, 'at most 65536 bytes')])
def test_wrong_calibration_is_named(tmp_path, old, new, words):
    path = tmp_path / 'front.yaml'
    path.write_text(CALIBRATION.replace(old, new))
    with pytest.raises(ValueError, match=f'front.yaml.*{words}'):
        messages.camera_info_from_yaml(path)


def test_a_calibration_is_never_quoted(tmp_path):
    path = tmp_path / 'front.yaml'
    for text in 'root:x:0:secret: [', CALIBRATION.replace('640', 'secret'), '- secret':
        path.write_text(text)
        with pytest.raises(ValueError) as raised:
            messages.camera_info_from_yaml(path)
        assert 'secret' not in str(raised.value)
    os.mkfifo(tmp_path / 'fifo.yaml')
    with pytest.raises(ValueError, match='fifo.yaml is not a regular file'):
        messages.camera_info_from_yaml(tmp_path / 'fifo.yaml')


def test_camera_info_follows_the_size(tmp_path):
    path = tmp_path / 'front.yaml'
    path.write_text(CALIBRATION)
    info = messages.camera_info_from_yaml(path)
    half = messages.scale_camera_info(info, 320, 240)
    assert (half.width, half.height) == (320, 240)
    # A point projected into the large image lies, resized, where the new matrix projects it.
    for matrix, columns in ((lambda i: i.k.reshape(3, 3), 3), (lambda i: i.p.reshape(3, 4), 4)):
        point = np.array([0.4, -0.3, 2.0, 1.0])[:columns]
        large, small = matrix(info) @ point, matrix(half) @ point
        expected = (large[:2] / large[2] + 0.5) / 2 - 0.5
        np.testing.assert_allclose(small[:2] / small[2], expected)
    assert messages.scale_camera_info(info, 640, 480) is info


def test_rclpy_is_not_needed():
    code = ('import sys; import acme_tracking.messages; '
            'sys.exit("rclpy" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0


def test_the_name_of_a_class_has_a_limit():
    found = Detections([[0, 0, 9, 9]] * 2, [0.5] * 2, ['car', 'x' * 256])
    message = messages.detections_to_msg(found, Header())
    assert messages.detections_from_msg(message).labels.tolist() == ['car', 'x' * 256]
    message.detections[1].results[0].hypothesis.class_id = 'x' * 1_000_000
    with pytest.raises(ValueError, match='at most 256 characters, got 1000000'):
        messages.detections_from_msg(message)
