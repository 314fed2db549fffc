"""
AlexNet (Krizhevsky, Sutskever and Hinton, 2012) as one tower (Krizhevsky, 2014).

Names and shapes of the weights are those of the public ImageNet checkpoints of the torch
ecosystem, which have this form: 61.1 million weights, against 60 million of the two towers.
"""
from acme_tracking.networks.layers import fully_connected, initialise
from torch import nn


class AlexNet(nn.Module):
    """
    Five convolutions and three fully connected layers, of which the first two are `hidden` wide.

    Images of other sizes than 224 x 224 work from 63 x 63 on.
    """

    side = 224
    last_pool = 'features.12'
    head = ('classifier.6',)
    blocks = (('features.0',), ('features.3',), ('features.6',), ('features.8',),
              ('features.10',), ('classifier.1', 'classifier.4'))

    def __init__(self, classes, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = fully_connected(256 * 6 * 6, hidden, classes)
        initialise(self)

    def forward(self, images):
        """Return logits (B, classes) for images (B, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))
