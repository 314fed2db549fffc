"""
ONNX files, as far as they are read here: their metadata, and what makes them refused unread.

What reads the network itself is native code, which a file can crash: see `runtimes.survive`.
"""
from __future__ import annotations

from pathlib import Path
import re

# What says in protobuf that values are in another file, which may be any on this machine: the key
# `location`, with its two lengths and tags written in the shortest way or another.
EXTERNAL = re.compile(rb'(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location'
                      rb'(?:\x12|\x92\x80*\x00)')
METADATA, KEY, VALUE = 14, 1, 2  # fields of ModelProto, and of the pairs in it
VARINT, EIGHT_BYTES, TEXT, FOUR_BYTES = 0, 1, 2, 5  # how a field is written


def read(path) -> bytes:
    """Return an ONNX file; ValueError when it refers to other files."""
    content = Path(path).read_bytes()
    if EXTERNAL.search(content):
        raise ValueError('holds the names of other files with weights, expected one whole file')
    return content


def metadata(content: bytes) -> dict:
    """Return the metadata of an ONNX file; ValueError for one that is none, or cut short."""
    found = {}
    try:
        for number, pair in _fields(memoryview(content)):
            if number == METADATA:
                parts = {part: bytes(text).decode() for part, text in _fields(pair)}
                found[parts[KEY]] = parts.get(VALUE, '')
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError('not an ONNX file, or cut short') from error
    return found


def _fields(message):
    """Yield the number and the bytes of each field of a protobuf message that is not a number."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == TEXT:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise IndexError(place)
            yield tag >> 3, message[place:place + length]
            place += length
        elif tag & 7 == VARINT:
            _, place = _varint(message, place)
        elif tag & 7 in (EIGHT_BYTES, FOUR_BYTES):
            place += 8 if tag & 7 == EIGHT_BYTES else 4
        else:
            raise IndexError(place)


def _varint(message, place):
    """Return a number and the place behind it."""
    value = shift = 0
    while shift < 70:
        byte = message[place]
        value |= (byte & 127) << shift
        shift, place = shift + 7, place + 1
        if byte < 128:
            return value, place
    raise IndexError(place)
