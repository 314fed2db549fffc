"""Pictures of filters and feature maps, and the example in the documentation."""
import doctest
from pathlib import Path

from acme_tracking.cli import main
from acme_tracking.networks import build, NAMES
from acme_tracking.networks.activations import activations
from acme_tracking.networks.pictures import (
    filters_picture,
    GAP,
    grid,
    layers_to_show,
    maps_pictures,
)
import cv2
import numpy as np
import pytest
import torch
from torch import nn

DOCS = Path(__file__).resolve().parent.parent / 'docs'


def test_the_example_in_the_documentation_says_the_truth():
    result = doctest.testfile(str(DOCS / 'looking_inside.md'), module_relative=False)
    assert result.attempted > 10 and result.failed == 0


def tile(picture, row, column, side):
    top, left = (GAP + place * (side + GAP) for place in (row, column))
    return picture[top:top + side, left:left + side]


def test_filters_are_shown_in_the_colours_that_they_answer_to():
    network = nn.Sequential(nn.Conv2d(3, 2, 3))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0] = 1.0  # the first is for red
        network[0].weight[1, 2, 1, 1] = 1.0  # the second for blue in the middle
    picture = filters_picture(network)
    assert picture.dtype == np.uint8 and picture.shape == (48 + 2 * GAP, 2 * 48 + 3 * GAP, 3)
    assert (tile(picture, 0, 0, 48) == (0, 0, 255)).all()
    second = tile(picture, 0, 1, 48)
    assert second[24, 24].tolist() == [255, 0, 0] and second[2, 2].tolist() == [0, 0, 0]


def test_maps_are_shown_white_where_they_are_largest():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    image = torch.full((1, 1, 4, 4), -1.0)
    image[0, 0, 0, 1] = 1.0
    pictures = maps_pictures(network, image, ['0', '1', '2'])
    assert list(pictures) == ['0', '1', '2']
    # 12 times as large to the eye; in-place ReLU has not changed what convolution said
    assert [int((tile(pictures[name], 0, 0, 48)[..., 0] == 255).sum()) for name in '012'] == [
        12 * 12, 12 * 12, 24 * 24]
    assert activations(network, image, ['0'])['0'].min() == -1


def test_a_grid_is_about_square():
    tiles = [np.full((4, 6, 3), value, np.uint8) for value in range(5)]
    sheet = grid(tiles)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert (sheet[GAP + 6, GAP + 8] == 4).all() and (sheet[GAP + 6, GAP + 16] == 255).all()


@pytest.mark.parametrize('name', [name for name in NAMES if name not in (
    'vgg_b', 'vgg_c', 'vgg16', 'vgg19', 'resnet34', 'resnet101', 'resnet152')])
def test_every_family_has_layers_to_show(name):
    slim = {'hidden': 8} if name.startswith(('vgg', 'alexnet', 'zfnet')) else {}
    network = build(name, 2, **slim).eval()
    side = {'lenet5': 32}.get(name, 64)
    layers = layers_to_show(network)
    pictures = maps_pictures(network, torch.zeros(1, 3, side, side), layers)
    assert len(pictures) >= 5
    assert all(picture.ndim == 3 for picture in pictures.values())
    filters_picture(network)


def test_the_command_writes_pictures(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'image.png'), np.random.default_rng(0).integers(
        0, 256, (50, 70, 3), dtype=np.uint8))
    out = tmp_path / 'out'
    assert main(['explain', '--network', 'smaller_vgg', '--weights', 'shipped', '--image',
                 str(tmp_path / 'image.png'), '--size', '64', '--out', str(out),
                 '--layers', 'backbone.stages.1.0.2', 'backbone.stages.0.0.0']) == 0
    assert 'filters.png and 2 layers' in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        '001_backbone.stages.0.0.0.png', '002_backbone.stages.1.0.2.png', 'filters.png']
    assert cv2.imread(str(out / '001_backbone.stages.0.0.0.png')).shape[0] > 100


@pytest.mark.parametrize(('more', 'reason'), [
    (['--network', 'vgg99'], "'vgg99' is unknown"), (['--classifier', 'nowhere'], 'no such file'),
    (['--network', 'lenet5', '--layers', 'c9'], "no layer 'c9'"),
    (['--network', 'lenet5', '--image', 'nowhere.png'], 'nowhere.png')])
def test_the_command_says_what_is_wrong(tmp_path, capsys, more, reason):
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((40, 40, 3), np.uint8))
    assert main(['explain', '--image', str(tmp_path / 'image.png'), '--out', str(tmp_path),
                 *more]) != 0
    assert reason in capsys.readouterr().err
