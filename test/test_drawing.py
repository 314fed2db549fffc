"""Tracks on images: the same picture at any size, and readable on small ones."""
from acme_tracking.detections import Detections
from acme_tracking.drawing import draw_tracks
import numpy as np
import pytest


def ink(width, height):
    """Return how much of an image of this size is covered when two tracks are drawn, 0 to 1."""
    boxes = np.array([[0.1, 0.2, 0.4, 0.6], [0.5, 0.5, 0.8, 0.9]]) * np.tile([width, height], 2)
    tracks = Detections(boxes, [0.9, 0.3], ['car', 'bus'], [1, 2])
    canvas = draw_tracks(np.zeros((height, width, 3), np.uint8), tracks, 'CNN')
    assert canvas.shape == (height, width, 3)
    return canvas.max(axis=2).mean() / 255


@pytest.mark.parametrize('width, height', [(1280, 960), (1280, 720), (720, 1280), (3840, 2880)])
def test_a_picture_looks_the_same_at_any_size(width, height):
    assert ink(width, height) == pytest.approx(ink(640, 480), rel=0.45)


def test_text_stays_as_large_as_can_be_read():
    assert ink(160, 120) > 3 * ink(640, 480)


def test_text_does_not_cover_a_picture_that_is_not_as_wide_as_high():
    assert ink(600, 2000) < 1.3 * ink(640, 480)
    assert ink(4096, 512) < ink(640, 480)


def test_gray_images_and_boxes_beyond_the_edge_are_drawn():
    tracks = Detections([[-50, -50, 700, 500]], [1], ['car'])
    assert draw_tracks(np.zeros((480, 640), np.uint8), tracks).any()
