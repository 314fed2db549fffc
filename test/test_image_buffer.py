"""The images kept for a replay."""
from acme_tracking.tracking.buffer import ImageBuffer
import numpy as np
import pytest

SECOND = 1_000_000_000


def image(value=0):
    return np.full((100, 100), value, dtype=np.uint8)  # 10 kB


def filled(count, seconds=10.0, megabytes=10.0):
    buffer = ImageBuffer(seconds, megabytes)
    for index in range(count):
        buffer.add(index * SECOND, image(index))
    return buffer


def test_it_is_bounded_in_seconds():
    buffer = filled(20, seconds=5.0)
    assert len(buffer) == 6
    assert buffer.find(13 * SECOND) is None and buffer.find(14 * SECOND) == 14 * SECOND
    assert (buffer.oldest, buffer.newest) == (14 * SECOND, 19 * SECOND)


def test_it_is_bounded_in_bytes_and_keeps_the_newest():
    assert len(filled(20, megabytes=0.05)) == 5
    assert filled(20, megabytes=0.05).bytes == 50_000
    tiny = filled(20, megabytes=0.001)
    assert len(tiny) == 1 and tiny.get(19 * SECOND)[0, 0] == 19


def test_a_stamp_means_the_image_that_has_it_but_for_rounding():
    buffer = filled(5)
    assert buffer.find(2 * SECOND + 900_000) == 2 * SECOND
    assert buffer.find(2 * SECOND - 900_000) == 2 * SECOND
    assert buffer.find(2 * SECOND + 1_100_000) is None
    assert buffer.find(99 * SECOND) is None
    assert ImageBuffer(1.0, 1.0).find(0) is None
    with pytest.raises(KeyError):
        buffer.get(5)


def test_images_that_were_not_followed_are_kept_but_not_replayed():
    buffer = filled(2)
    buffer.add(2 * SECOND, image(2), followed=False)
    buffer.add(3 * SECOND, image(3))
    assert buffer.find(2 * SECOND) == 2 * SECOND and buffer.get(2 * SECOND)[0, 0] == 2
    assert [stamp // SECOND for stamp, _ in buffer.after(0, 9)] == [1, 3]


def test_stamps_must_increase():
    with pytest.raises(ValueError, match=f'got {SECOND} after {4 * SECOND}'):
        filled(5).add(SECOND, image())


def test_a_replay_is_thinned_evenly_and_ends_in_the_present():
    buffer = filled(10)

    def replayed(limit):
        return [int(picture[0, 0]) for _, picture in buffer.after(SECOND, limit)]

    assert replayed(100) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert replayed(4) == [3, 5, 7, 9]
    assert replayed(3) == [4, 6, 9]
    assert replayed(1) == [9]
    assert buffer.after(9 * SECOND, 5) == []
