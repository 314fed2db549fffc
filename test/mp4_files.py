"""MP4 files as phones write them, made of what OpenCV writes: with their own times, or turned."""
import struct

import cv2
import numpy as np


def write_mp4(path, count=6):
    """Write 64 x 48 images at 10 per second, white in the upper left quarter; return the path."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (64, 48))
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 255
    for _ in range(count):
        writer.write(image)
    writer.release()
    return path


def lasting(path, seconds):
    """Let each image of a file last so long."""
    content = path.read_bytes().replace(b'edts', b'free')  # which says how much of it is shown
    ticks, = struct.unpack_from('>I', content, _box(content, b'mdhd')[0] + 20)
    entries = b''.join(struct.pack('>II', 1, round(ticks * second)) for second in seconds)
    table = struct.pack('>I4sII', 16 + len(entries), b'stts', 0, len(seconds)) + entries
    begin, end = _box(content, b'stts')
    made = bytearray(content[:begin] + table + content[end:])
    for kind in b'moov', b'trak', b'mdia', b'minf', b'stbl':  # what the table lies in
        outer, outer_end = _box(content, kind)
        struct.pack_into('>I', made, outer, outer_end - outer + len(table) - (end - begin))
    path.write_bytes(made)


def turned(path, matrix):
    """Let a file say how it is to be shown: a, b, 0, c, d, 0, x, y of a transformation."""
    content = bytearray(path.read_bytes())
    struct.pack_into('>9i', content, _box(content, b'tkhd')[0] + 48,
                     *(value << 16 for value in matrix), 1 << 30)
    path.write_bytes(content)


def _box(content, kind):
    """Return begin and end of the only box of a kind."""
    begin = content.index(kind) - 4
    return begin, begin + struct.unpack_from('>I', content, begin)[0]
