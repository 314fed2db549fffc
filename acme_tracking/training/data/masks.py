"""
The box around a COCO mask: runs of background and object in turn, column by column.

pycocotools writes beyond its memory when such a text is malformed, so it is not used to read one.
"""
from __future__ import annotations

FIRST = ord('0')  # each character holds six bits
MORE, SIGN, BITS = 32, 16, 5
LONGEST = 60  # bits of the length of a run


def box_of_mask(counts, size) -> tuple:
    """
    Return x1, y1, x2, y2 of a mask, all 0 for an empty one.

    counts: lengths of the runs, as a list or packed into a text; size: height and width in pixels.
    Raises ValueError when these fit no mask.
    """
    counts = _unpacked(counts) if isinstance(counts, str) else counts
    if not all(_are_lengths(values) for values in (counts, size)) or len(size) != 2 or (
            sum(counts) > size[0] * size[1]):
        raise ValueError('expected lengths that fill at most height x width pixels')
    height, position, x, y = size[0], 0, [], []
    for number, length in enumerate(counts):
        if number % 2 and length:
            last = position + length - 1
            x += [position // height, last // height + 1]
            y += ([position % height, last % height + 1] if position // height == last // height
                  else [0, height])
        position += length
    return (min(x), min(y), max(x), max(y)) if x else (0, 0, 0, 0)


def _are_lengths(values) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and value >= 0 for value in values)


def _unpacked(text) -> list[int]:
    """Return the runs of a text, which has from the fourth on the change since two before."""
    counts, value, shift = [], 0, 0
    for bits in (ord(character) - FIRST for character in text):
        value |= (bits & MORE - 1) << shift
        shift += BITS
        if not bits & MORE:
            value -= (1 << shift) * bool(bits & SIGN)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
        elif shift > LONGEST:
            raise ValueError('a run is longer than any image')
    return counts
