"""
The detection network: SmallerVGG, wide context, a top-down merge, and an anchor-free head.

Every point of the feature maps at strides 8, 16 and 32 predicts the distances from itself to the
four sides of a box (FCOS, Tian et al., 2019), an objectness that estimates the box's overlap with
the truth (as in GFL, Li et al., 2020, so that scores rank well), and the class of what is inside.
"""

import math

from acme_tracking.networks.smaller_vgg import convolution, SmallerVGG
import torch
from torch import nn

PRIOR = 0.02  # objectness of an untrained network: few points see an object (RetinaNet, 2017)
MAXIMUM_LOG_DISTANCE = 4.0  # exp(4) = 55 strides: keeps a wild prediction finite


class DetectionNetwork(nn.Module):
    """
    Predict boxes, objectness and classes at every point of an image batch.

    Parameters
    ----------
    classes : int
        Number of classes.
    widths, depths : sequence of int
        Of the :class:`SmallerVGG` backbone, which ends at stride 32.
    neck : int
        Channels of the merged feature maps and of the head.

    """

    def __init__(self, classes, widths=(16, 32, 64, 128, 224), depths=(1, 2, 3, 3, 2), neck=64):
        super().__init__()
        self.classes = classes
        self.backbone = SmallerVGG(widths, depths, outputs=3)
        self.strides = self.backbone.strides
        self.context = Context(self.backbone.widths[-1])
        self.lateral = nn.ModuleList(nn.Conv2d(w, neck, 1) for w in self.backbone.widths)
        self.merge = nn.ModuleList(convolution(neck, neck) for _ in self.strides)
        self.where = nn.ModuleList(
            nn.Sequential(convolution(neck, neck), nn.Conv2d(neck, 5, 1)) for _ in self.strides)
        self.what = nn.ModuleList(
            nn.Sequential(convolution(neck, neck), nn.Conv2d(neck, classes, 1))
            for _ in self.strides)
        for head in self.where:
            # small and not normal_, which on the meta device loads torch's compiler for a second
            nn.init.uniform_(head[-1].weight, -0.02, 0.02)
            nn.init.constant_(head[-1].bias, 0.7)  # a box of 2 strides to each side
            nn.init.constant_(head[-1].bias[4:], -math.log(1 / PRIOR - 1))

    def forward(self, images):
        """
        Predict for normalised images (B, 3, H, W), H and W multiples of 32.

        Returns ``boxes`` (B, P, 4) as x1 y1 x2 y2 in pixels of the images, ``objectness`` (B, P)
        and ``classes`` (B, P, C), the last two as logits, all float32; P counts the points of all
        strides, in the order of :func:`points`.
        """
        features = self.backbone(images)
        features[-1] = self.context(features[-1])
        merged = None
        where, what = [], []
        for level in reversed(range(len(features))):
            lateral = self.lateral[level](features[level])
            if merged is not None:
                lateral = lateral + nn.functional.interpolate(merged, scale_factor=2.0)
            merged = self.merge[level](lateral)
            where.insert(0, self.where[level](merged).flatten(2))
            what.insert(0, self.what[level](merged).flatten(2))
        where = torch.cat(where, dim=2).transpose(1, 2).float()
        centers, strides = points(images.shape[-2:], self.strides, images.device)
        boxes = decode(where[..., :4], centers, strides)
        return boxes, where[..., 4], torch.cat(what, dim=2).transpose(1, 2).float()


class EndToEnd(nn.Module):
    """
    The network with all around it that runs on tensors: what runtimes run, and `export` writes.

    `specification` says how the input is normalised; `dtype` is that of the network's weights.
    """

    def __init__(self, network, specification, dtype=torch.float32):
        super().__init__()
        self.network, self.dtype = network, dtype
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(specification, name), dtype=torch.float32)
            self.register_buffer(name, values.view(1, 3, 1, 1))

    def forward(self, images):
        """
        Predict for uint8 images (B, H, W, 3), blue green red, H and W multiples of 32.

        Returns boxes (B, P, 4) in their pixels, scores (B, P) and class indices (B, P).
        """
        batch = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        boxes, objectness, classes = self.network(batch.to(self.dtype))
        probability, label = classes.softmax(dim=2).max(dim=2)
        return boxes, objectness.sigmoid() * probability, label


class Context(nn.Module):
    """
    Let every point see far: pool over 5, 9 and 13 points and mix, as a residual.

    Spatial pyramid pooling (He et al., 2014), one pooling after the other.  Without it an object
    that fills the picture is larger than what the last feature map sees, and its box is a guess.
    """

    def __init__(self, width):
        super().__init__()
        self.squeeze = convolution(width, width // 2, kernel=1)
        self.mix = convolution(width // 2 * 4, width, kernel=1)

    def forward(self, features):
        """Return features of the same shape."""
        pooled = [self.squeeze(features)]
        for _ in range(3):
            pooled.append(nn.functional.max_pool2d(pooled[-1], 5, stride=1, padding=2))
        return features + self.mix(torch.cat(pooled, dim=1))


def points(size, strides, device=None):
    """
    Return the centres (P, 2) as x, y in pixels and the stride (P,) of every point.

    ``size`` is the (height, width) of the network's input, a multiple of each of ``strides``.
    """
    centers, scales = [], []
    for stride in strides:
        ys = (torch.arange(size[0] // stride, device=device) + 0.5) * stride
        xs = (torch.arange(size[1] // stride, device=device) + 0.5) * stride
        y, x = torch.meshgrid(ys, xs, indexing='ij')
        centers.append(torch.stack((x, y), dim=-1).reshape(-1, 2))
        scales.append(torch.full((y.numel(),), float(stride), device=device))
    return torch.cat(centers), torch.cat(scales)


def decode(logs, centers, strides):
    """Turn log distances (..., P, 4) in strides, left top right bottom, into boxes in pixels."""
    distances = logs.clamp(max=MAXIMUM_LOG_DISTANCE).exp() * strides[:, None]
    return torch.cat((centers - distances[..., :2], centers + distances[..., 2:]), dim=-1)


def encode(boxes, centers, strides):
    """Invert :func:`decode` for points inside their boxes (outside, the logarithm is NaN)."""
    distances = torch.cat((centers - boxes[..., :2], boxes[..., 2:] - centers), dim=-1)
    return (distances / strides[:, None]).log()


def fuse(network):
    """Fold every batch normalisation into the convolution before it, in place; for inference."""
    for module in network.eval().modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 \
                and isinstance(module[1], nn.BatchNorm2d):
            module[0] = nn.utils.fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return network
