"""
ZFNet (Zeiler and Fergus, 2013, figure 3): AlexNet with a finer first layer.

What they saw in the first layers of AlexNet, with pictures as `acme_tracking explain` makes them,
led them to 7 x 7 filters every 2 pixels in place of 11 x 11 every 4.
"""
from acme_tracking.networks.layers import (
    fully_connected,
    initialise,
    local_response_normalisation,
)
from torch import nn


class ZFNet(nn.Module):
    """Five convolutions and three fully connected layers, the first two `hidden` wide."""

    side = 224
    last_pool = 'features.14'
    head = ('classifier.6',)
    blocks = (('features.0',), ('features.4',), ('features.8',), ('features.10',),
              ('features.12',), ('classifier.1', 'classifier.4'))

    def __init__(self, classes, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1), local_response_normalisation(),
            nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1), local_response_normalisation(),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = fully_connected(256 * 6 * 6, hidden, classes)
        initialise(self)

    def forward(self, images):
        """Return logits (B, classes) for images (B, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))
