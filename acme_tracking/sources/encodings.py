"""
Pixel encodings: bytes, in the layouts that cameras and ROS drivers send, as images.

The names are those of sensor_msgs/image_encodings.hpp, the colour conversions OpenCV's: YUV is
BT.601 with 16 for black and 235 for white, a Bayer mosaic is interpolated linearly.  Of two bytes
a channel 65535 is white; only 16UC1, which says nothing of what its numbers mean (depth, heat), is
spread between the least and the greatest of the image.
"""
from __future__ import annotations

import cv2
import numpy as np

# One byte for each channel: how many channels, and how to see them as BGR or gray.
_GRAY, _PLAIN, _TURNED = (..., 0), (..., slice(0, 3)), (..., slice(2, None, -1))
VIEWS = {
    'mono8': (1, _GRAY), '8UC1': (1, _GRAY),
    'bgr8': (3, _PLAIN), '8UC3': (3, _PLAIN), 'rgb8': (3, (..., slice(None, None, -1))),
    'bgra8': (4, _PLAIN), '8UC4': (4, _PLAIN), 'rgba8': (4, _TURNED),
}
# Two bytes for each pixel: its luma, and one of the two chromas that a pair shares.
_PAIRED = {
    'uyvy': cv2.COLOR_YUV2BGR_UYVY, 'yuv422': cv2.COLOR_YUV2BGR_UYVY,
    'yuyv': cv2.COLOR_YUV2BGR_YUY2, 'yuv422_yuy2': cv2.COLOR_YUV2BGR_YUY2,
}
# A plane of luma, and below it one of chroma pairs, each of them for 2 x 2 pixels.
_PLANAR = {'nv12': cv2.COLOR_YUV2BGR_NV12, 'nv21': cv2.COLOR_YUV2BGR_NV21}
_FULL_PLANAR = 'nv24'  # a chroma pair for each pixel
# Not the older names of OpenCV, as BayerBG, which begin at the second row and column.
_MOSAICS = {
    'bayer_rggb8': cv2.COLOR_BayerRGGB2BGR, 'bayer_bggr8': cv2.COLOR_BayerBGGR2BGR,
    'bayer_gbrg8': cv2.COLOR_BayerGBRG2BGR, 'bayer_grbg8': cv2.COLOR_BayerGRBG2BGR,
}
# Two bytes for each channel: which of the above it is with one.
_SPREAD = '16UC1'
_DEEP = {
    'mono16': 'mono8', _SPREAD: 'mono8', 'bgr16': 'bgr8', 'rgb16': 'rgb8', 'bgra16': 'bgra8',
    'rgba16': 'rgba8', **{name.replace('8', '16'): name for name in _MOSAICS},
}
# Depth images (REP 118): how a pixel is stored, and its metres.
DEPTHS = {'16UC1': ('u2', 0.001), '32FC1': ('f4', 1.0)}
ENCODINGS = (*VIEWS, *_PAIRED, *_PLANAR, _FULL_PLANAR, *_MOSAICS, *_DEEP)


def decode(encoding: str, data, width: int, height: int, step: int,
           big_endian: bool = False) -> np.ndarray:
    """
    Return the bytes of an image as uint8 BGR (H, W, 3), or gray (H, W), not to be written to.

    data: a buffer of bytes; step: bytes from row to row.  VIEWS give a view of `data`, without a
    copy: for rgb8 it runs backwards over the channels, so `view[..., ::-1]` is the plain RGB.
    Raises ValueError for an encoding that is not one of ENCODINGS, and for too few bytes.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f'encoding {encoding!r} cannot be read; those that can are '
                         f'{", ".join(ENCODINGS)}')
    narrow = _DEEP.get(encoding, encoding)
    depth = 2 if encoding in _DEEP else 1
    channels = VIEWS[narrow][0] if narrow in VIEWS else 2 if narrow in _PAIRED else 1
    _check(encoding, data, width, height, step, width * channels * depth)
    kind = np.dtype(np.uint8 if depth == 1 else '>u2' if big_endian else '<u2')
    pixels = np.ndarray((height, width, channels), kind, data,
                        strides=(step, channels * depth, depth))
    if depth == 2:
        pixels = _in_bytes(pixels.astype(np.uint16), encoding).reshape(pixels.shape)
    if narrow in VIEWS:
        pixels.flags.writeable = False
        return pixels[VIEWS[narrow][1]]
    if narrow in _MOSAICS:
        return cv2.cvtColor(pixels, _MOSAICS[narrow])
    if narrow in _PAIRED:
        return cv2.cvtColor(pixels, _PAIRED[narrow])
    return _from_planes(encoding, pixels[..., 0], data, step)


def decode_depth(encoding: str, data, width: int, height: int, step: int,
                 big_endian: bool = False) -> np.ndarray:
    """
    Return the bytes of a depth image in metres, float32 (H, W); arguments as of `decode`.

    Raises ValueError for an encoding that is not one of DEPTHS, and for too few bytes.
    """
    if encoding not in DEPTHS:
        raise ValueError(f'depth images must be {" or ".join(DEPTHS)}, got {encoding[:40]!r}')
    kind, metres = DEPTHS[encoding]
    kind = np.dtype(kind).newbyteorder('>' if big_endian else '<')
    _check(encoding, data, width, height, step, width * kind.itemsize)
    pixels = np.ndarray((height, width), kind, data, strides=(step, kind.itemsize))
    return pixels.astype(np.float32) * np.float32(metres)


def decode_file(data, encoding: str = '') -> np.ndarray | None:
    """
    Return the picture of a JPEG, PNG, WebP or other file that OpenCV reads, uint8 BGR (H, W, 3).

    data: its bytes.  encoding: what was compressed, where that is known: the file of a mosaic is a
    gray picture.  None for what is no such file.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if len(data) else None
    except cv2.error:  # of a picture larger than OpenCV allows, say
        return None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None
    if pixels.dtype == np.uint16:
        pixels = _in_bytes(pixels, encoding)
    if pixels.ndim == 3:
        return pixels
    return cv2.cvtColor(pixels, _MOSAICS.get(_DEEP.get(encoding, encoding), cv2.COLOR_GRAY2BGR))


def _check(encoding, data, width, height, step, row_bytes):
    size = f'{width} x {height} image in {encoding}'
    if width == 0 or height == 0:
        raise ValueError(f'an image must have a width and a height, got a {size}')
    if encoding in _PAIRED and width % 2 or encoding in _PLANAR and (width % 2 or height % 2):
        raise ValueError(f'pixels share their colours in pairs, got a {size}')
    if step < row_bytes:
        raise ValueError(f'a {size} needs a step of {row_bytes} or more, got {step}')
    rows = 3 * height // 2 if encoding in _PLANAR else height
    rows = 3 * height if encoding == _FULL_PLANAR else rows
    if len(data) < step * rows:
        raise ValueError(f'a {size} with step {step} needs {step * rows} bytes of data, got '
                         f'{len(data)}')


def _in_bytes(pixels, encoding):
    """Return what is seen of uint16 pixels, as uint8 of the same shape."""
    if encoding == _SPREAD:
        return cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def _from_planes(encoding, luma, data, step):
    height, width = luma.shape
    if encoding in _PLANAR:
        chroma = np.ndarray((height // 2, width // 2, 2), np.uint8, data, step * height,
                            (step, 2, 1))
        return cv2.cvtColorTwoPlane(luma, chroma, _PLANAR[encoding])
    chroma = np.ndarray((height, width, 2), np.uint8, data, step * height, (2 * step, 2, 1))
    # OpenCV does not know it: as pairs of twice the same pixel it is one that it knows
    pairs = np.stack([luma, chroma[..., 0], luma, chroma[..., 1]], axis=-1)
    doubled = cv2.cvtColor(pairs.reshape(height, 2 * width, 2), cv2.COLOR_YUV2BGR_YUY2)
    return np.ascontiguousarray(doubled[:, ::2])
