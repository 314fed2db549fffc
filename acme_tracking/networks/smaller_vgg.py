"""
SmallerVGG: stacks of 3x3 convolutions that halve the resolution and double the width.

In the spirit of VGG (Simonyan and Zisserman, 2014), made small: every convolution is followed by
batch normalisation and ReLU, a strided convolution replaces each max-pooling, and a strided stem
keeps the cost at full resolution low.  Dense 3x3 convolutions are what CPUs run best, so the
network has no depthwise layers.  Convolutions that keep size and width are residual (He et al.,
2016), which trains in fewer steps.
"""

from torch import nn


def convolution(inputs, outputs, stride=1, kernel=3):
    """Return convolution, batch normalisation and ReLU as one block."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Add a convolution that keeps size and width to its input."""

    def __init__(self, width):
        super().__init__()
        self.convolution = convolution(width, width)

    def forward(self, features):
        """Return features of the same shape."""
        return features + self.convolution(features)


class SmallerVGG(nn.Module):
    """
    A backbone: an image batch in, one feature map per requested stride out.

    Parameters
    ----------
    widths : sequence of int
        Channels at stride 2 (the stem), 4, 8, 16, 32, ...
    depths : sequence of int
        Number of convolutions at each of these strides; the first of each halves the resolution.
    outputs : int
        How many of the last stages :meth:`forward` returns.

    """

    def __init__(self, widths=(16, 32, 64, 128, 224), depths=(1, 2, 3, 3, 2), outputs=3):
        super().__init__()
        if len(widths) != len(depths) or not 1 <= outputs <= len(widths):
            raise ValueError(f'widths {widths}, depths {depths} and outputs {outputs} do not fit: '
                             'expected equal lengths and 1 <= outputs <= that length')
        self.widths = tuple(widths[-outputs:])
        self.strides = tuple(2 ** (i + 1) for i in range(len(widths)))[-outputs:]
        self.stages = nn.ModuleList()
        previous = 3
        for width, depth in zip(widths, depths):
            blocks = [convolution(previous, width, stride=2)]
            blocks += [Residual(width) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            previous = width

    def forward(self, images):
        """Return the last ``outputs`` feature maps, finest first; images are (B, 3, H, W)."""
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return features[-len(self.widths):]


class SmallerVGGClassifier(nn.Module):
    """
    The backbone with a linear head on the mean of its last feature map: few classes, few weights.

    `widths` and `depths` are those of :class:`SmallerVGG`.  Its backbone has the names and shapes
    of that of the detection network, so that the body of a detector can be transferred.
    """

    side = 96
    last_pool = 'avgpool'
    head = ('fc',)

    def __init__(self, classes, widths=(16, 32, 64, 128, 224), depths=(1, 2, 3, 3, 2)):
        super().__init__()
        self.backbone = SmallerVGG(widths, depths, outputs=1)
        self.blocks = tuple((f'backbone.stages.{stage}',) for stage in range(len(widths)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, images):
        """Return logits (B, classes) for images (B, 3, H, W)."""
        features, = self.backbone(images)
        return self.fc(self.dropout(self.avgpool(features).flatten(1)))
