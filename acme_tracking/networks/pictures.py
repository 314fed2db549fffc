"""Pictures of the inside of a network: first filters, and what its layers make of an image."""
from __future__ import annotations

from acme_tracking.networks.activations import activations
import cv2
import numpy as np
from torch import nn

MAPS = 64  # of a layer that are shown, the first ones
TILE = 48  # pixels of the side of a small map or filter: it is enlarged to at least this
LARGEST = 224  # and a large map is shrunk to this
GAP = 2
PAPER = 255


def first_convolution(network) -> nn.Conv2d:
    """Return the convolution that sees the image; ValueError when there is none."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise ValueError('this network has no convolution')


def filters_picture(network) -> np.ndarray:
    """
    Return the filters of the first convolution as one picture, uint8 (H, W, 3), blue green red.

    Each is shown in the colours that it answers to most, stretched to its own range.
    """
    weights = first_convolution(network).weight.detach().float().cpu().numpy()
    tiles = [_enlarged(_to_bytes(each)) for each in weights.transpose(0, 2, 3, 1)[:MAPS]]
    tiles = [each[..., ::-1] if each.ndim == 3 and each.shape[2] == 3
             else cv2.cvtColor(each.reshape(each.shape[:2]), cv2.COLOR_GRAY2BGR) for each in tiles]
    return grid(tiles)


def layers_to_show(network) -> list[str]:
    """Return the names of all convolutions, activations and poolings, in the network's order."""
    shown = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)
    return [name for name, module in network.named_modules()
            if isinstance(module, shown) or type(module).__name__ in ('Squash', 'Subsample')]


def maps_pictures(network, images, layers) -> dict:
    """
    Return {layer: picture} of the maps of some layers for one image (1, 3, H, W), in their order.

    A picture is uint8 (H, W, 3): one tile for each of the first maps, white where it is largest
    and black where it is smallest.
    """
    pictures = {}
    for name, output in activations(network, images, layers).items():
        maps = output[0].float().cpu().numpy()
        if maps.ndim == 3:
            tiles = [_enlarged(_to_bytes(tile)) for tile in maps[:MAPS]]
            pictures[name] = grid([cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) for tile in tiles])
    return pictures


def grid(tiles) -> np.ndarray:
    """Return pictures (H, W, 3) of one size side by side, in rows that make about a square."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    height, width = (length + GAP for length in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height + GAP, columns * width + GAP, 3), PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (GAP + place * length for place, length in zip(
            divmod(number, columns), (height, width)))
        sheet[top:top + tile.shape[0], left:left + tile.shape[1]] = tile
    return sheet


def _to_bytes(values) -> np.ndarray:
    """Return values as uint8, the smallest as 0 and the largest as 255."""
    low, high = values.min(), values.max()
    return ((values - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8)


def _enlarged(tile) -> np.ndarray:
    """Return a tile with whole blocks for its pixels, or shrunk when it is large."""
    side = max(tile.shape[:2])
    if side > LARGEST:
        return cv2.resize(tile, None, fx=LARGEST / side, fy=LARGEST / side,
                          interpolation=cv2.INTER_AREA)
    factor = -(-TILE // side)
    return np.repeat(np.repeat(tile, factor, axis=0), factor, axis=1)
