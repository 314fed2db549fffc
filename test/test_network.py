"""The detection network: shapes, points, the coding of boxes, fusing."""
from acme_tracking.detection.network import decode, DetectionNetwork, encode, fuse, points
from acme_tracking.networks.smaller_vgg import SmallerVGG
import numpy as np
import pytest
import torch

SMALL = {'widths': (8, 8, 16, 16, 16), 'depths': (1, 1, 1, 1, 1), 'neck': 16}


def test_backbone_halves_the_resolution_at_every_stage():
    features = SmallerVGG((4, 8, 12, 16), (1, 2, 1, 1), outputs=2)(torch.zeros(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [(2, 12, 8, 12), (2, 16, 4, 6)]


@pytest.mark.parametrize('arguments', [((4, 8), (1,), 1), ((4, 8), (1, 1), 3), ((4,), (1,), 0)])
def test_backbone_refuses_lists_that_do_not_fit(arguments):
    with pytest.raises(ValueError, match='do not fit'):
        SmallerVGG(*arguments)


def test_network_predicts_at_every_point():
    network = DetectionNetwork(classes=5, **SMALL).eval()
    boxes, objectness, classes = network(torch.zeros(2, 3, 64, 96))
    count = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (2, count, 4)
    assert objectness.shape == (2, count)
    assert classes.shape == (2, count, 5)
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_the_shipped_size_is_light():
    network = DetectionNetwork(classes=5)
    assert sum(p.numel() for p in network.parameters()) < 2.5e6


def test_points_are_the_centres_of_their_cells():
    centers, strides = points((64, 96), (8, 32))
    assert centers.shape == (8 * 12 + 2 * 3, 2)
    assert centers[0].tolist() == [4, 4]
    assert centers[1].tolist() == [12, 4]  # x runs first
    assert centers[-1].tolist() == [80, 48]
    assert strides[0] == 8 and strides[-1] == 32


def test_decoding_inverts_encoding():
    rng = np.random.default_rng(0)
    centers, strides = points((64, 96), (8, 16, 32))
    margins = torch.from_numpy(rng.uniform(1, 300, (len(centers), 4)).astype(np.float32))
    boxes = torch.cat((centers - margins[:, :2], centers + margins[:, 2:]), dim=1)
    logs = encode(boxes, centers, strides)
    torch.testing.assert_close(decode(logs, centers, strides), boxes, rtol=1e-4, atol=1e-2)


def test_decoding_stays_finite():
    centers, strides = points((32, 32), (32,))
    assert torch.isfinite(decode(torch.full((1, 4), 1e6), centers, strides)).all()


def test_fusing_keeps_the_predictions():
    torch.manual_seed(0)
    network = DetectionNetwork(classes=5, **SMALL)
    for _ in range(3):  # gives the batch normalisations statistics that matter
        network(torch.randn(4, 3, 64, 64) * 3 + 1)
    network.eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        before = network(images)
        after = fuse(network)(images)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for a, b in zip(before, after):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
