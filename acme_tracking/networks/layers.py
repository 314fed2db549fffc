"""What several of the networks are made of."""
from torch import nn


def fully_connected(inputs, hidden, classes, dropout=0.5):
    """Return the layers of AlexNet's classifier: dropout before each of two hidden layers."""
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(inputs, hidden), nn.ReLU(inplace=True),
        nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, classes))


def local_response_normalisation():
    """Return AlexNet's normalisation, which VGG and ZFNet tried too; torch divides alpha by 5."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def initialise(network):
    """
    Give every convolution and linear layer weights for the ReLU behind it (He et al., 2015).

    Uniform, because on the meta device normal_ loads torch's compiler for a second.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(module.weight, nonlinearity='relu')
            if module.bias is not None:
                nn.init.zeros_(module.bias)
