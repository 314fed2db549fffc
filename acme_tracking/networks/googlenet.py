"""
GoogLeNet (Szegedy et al., 2014), in the form of the public ImageNet checkpoints of torch.

Against the paper, these have batch normalisation after each convolution, and 3 x 3 filters where
the paper has 5 x 5: 6.6 million weights without the auxiliary heads, against the paper's 6.8.
"""
from acme_tracking.networks.layers import initialise
import torch
from torch import nn

# Channels of each module: 1 x 1; reduced and 3 x 3; reduced and "5 x 5"; after pooling (table 1).
MODULES = {
    '3a': (64, 96, 128, 16, 32, 32), '3b': (128, 128, 192, 32, 96, 64),
    '4a': (192, 96, 208, 16, 48, 64), '4b': (160, 112, 224, 24, 64, 64),
    '4c': (128, 128, 256, 24, 64, 64), '4d': (112, 144, 288, 32, 64, 64),
    '4e': (256, 160, 320, 32, 128, 128),
    '5a': (256, 160, 320, 32, 128, 128), '5b': (384, 192, 384, 48, 128, 128),
}


class Convolution(nn.Module):
    """Convolution, batch normalisation and ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """Return the features."""
        return self.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four ways of looking at the same maps, side by side."""

    def __init__(self, inputs, single, reduce3, three, reduce5, five, pooled):
        super().__init__()
        self.branch1 = Convolution(inputs, single, 1)
        self.branch2 = nn.Sequential(Convolution(inputs, reduce3, 1),
                                     Convolution(reduce3, three, 3))
        self.branch3 = nn.Sequential(Convolution(inputs, reduce5, 1),
                                     Convolution(reduce5, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True),
                                     Convolution(inputs, pooled, 1))

    def forward(self, x):
        """Return the maps of all branches."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)],
                         dim=1)


class Auxiliary(nn.Module):
    """A small classifier half way up, which brings gradient to the lower layers in training."""

    def __init__(self, inputs, classes):
        super().__init__()
        self.conv = Convolution(inputs, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x):
        """Return logits."""
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(nn.functional.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Nine inception modules."""

    side = 224
    last_pool = 'avgpool'
    head = ('fc', 'aux1.fc2', 'aux2.fc2')
    blocks = (('conv1',), ('conv2', 'conv3'), ('inception3a', 'inception3b'),
              ('inception4a', 'aux1.conv', 'aux1.fc1'),
              ('inception4b', 'inception4c', 'inception4d', 'aux2.conv', 'aux2.fc1'),
              ('inception4e',), ('inception5a', 'inception5b'))

    def __init__(self, classes):
        super().__init__()
        self.conv1 = Convolution(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = Convolution(64, 64, 1)
        self.conv3 = Convolution(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        inputs = 192
        for name, channels in MODULES.items():
            self.add_module(f'inception{name}', Inception(inputs, *channels))
            inputs = channels[0] + channels[2] + channels[4] + channels[5]
        self.aux1 = Auxiliary(512, classes)
        self.aux2 = Auxiliary(528, classes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, images):
        """
        Return logits (B, classes) for images (B, 3, H, W).

        In training mode a tuple of three: the logits, and those of the auxiliary heads.
        """
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(images)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = first = self.inception4a(x)
        x = second = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        logits = self.fc(self.dropout(x))
        return (logits, self.aux1(first), self.aux2(second)) if self.training else logits
