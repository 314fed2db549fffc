"""
VGG (Simonyan and Zisserman, 2014): all six columns of the paper's table 1.

Names and shapes of the weights are those of the public ImageNet checkpoints of the torch
ecosystem, where there are any (columns A, B, D and E).
"""
from acme_tracking.networks.layers import initialise, local_response_normalisation
from torch import nn

WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """
    Five stages of 3 x 3 convolutions, each ended by max pooling, and three linear layers.

    Parameters
    ----------
    classes : int
        Number of classes.
    depths : sequence of int
        Convolutions of each stage.
    normalise : bool
        Local response normalisation after the first convolution (column A-LRN).
    pointwise : bool
        The last convolution of each of the last three stages is 1 x 1 (column C).
    hidden : int
        Outputs of the first two linear layers: 4096 for 1,000 classes, few classes need fewer.

    """

    side = 224
    head = ('classifier.6',)

    def __init__(self, classes, depths, normalise=False, pointwise=False, hidden=4096):
        super().__init__()
        layers, blocks, previous = [], [], 3
        for stage, (width, depth) in enumerate(zip(WIDTHS, depths)):
            names = []
            for number in range(depth):
                kernel = 1 if pointwise and stage >= 2 and number == depth - 1 else 3
                names.append(f'features.{len(layers)}')
                layers += [nn.Conv2d(previous, width, kernel, padding=kernel // 2),
                           nn.ReLU(inplace=True)]
                if normalise and not blocks:
                    layers.append(local_response_normalisation())
                previous = width
            layers.append(nn.MaxPool2d(2, 2))
            blocks.append(tuple(names))
        self.blocks = (*blocks, ('classifier.0', 'classifier.3'))
        self.features = nn.Sequential(*layers)
        self.last_pool = f'features.{len(layers) - 1}'
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(hidden, classes))
        initialise(self)

    def forward(self, images):
        """Return logits (B, classes) for images (B, 3, H, W), from 32 x 32 pixels on."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))
