"""
LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998), with the 60,000 weights of the paper.

Its layers C1 to F6 are those of the paper: subsampling with a trained gain and bias, the sparse
connections of C3, the scaled hyperbolic tangent.  Only the output differs: a linear layer in place
of fixed patterns of ten digits, so that it can learn any classes.
"""
import torch
from torch import nn

# Which maps of S2 each map of C3 sees: table I of the paper.
CONNECTIONS = ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
               (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
               (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5))


class Squash(nn.Module):
    """The paper's activation, 1.7159 tanh(2 x / 3): about 1 at 1."""

    def forward(self, x):
        """Squash every value."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """Mean of 2 x 2 values, times a trained gain, plus a trained bias, of each map."""

    def __init__(self, maps):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x):
        """Halve height and width of maps (B, C, H, W)."""
        return nn.functional.avg_pool2d(x, 2) * self.gain + self.bias


class SparseConvolution(nn.Module):
    """A 5 x 5 convolution in which each output map sees only some of the input maps."""

    def __init__(self, connections):
        super().__init__()
        self.connections = [list(seen) for seen in connections]
        self.maps = nn.ModuleList(nn.Conv2d(len(seen), 1, 5) for seen in self.connections)

    def forward(self, x):
        """Return one map for each of the connections."""
        return torch.cat([convolve(x[:, seen])
                          for convolve, seen in zip(self.maps, self.connections)], dim=1)


class LeNet5(nn.Module):
    """Digits, or whatever can be told apart on 32 x 32 grey pixels."""

    side = 32
    last_pool = 's4'
    head = ('output',)
    blocks = (('c1', 's2'), ('c3', 's4'), ('c5',), ('f6',))

    def __init__(self, classes):
        super().__init__()
        self.squash = Squash()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2 = Subsample(6)
        self.c3 = SparseConvolution(CONNECTIONS)
        self.s4 = Subsample(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, classes)

    def forward(self, images):
        """Return logits for images (B, 1 or 3, 32, 32); colours are averaged to grey."""
        if images.shape[-2:] != (self.side, self.side):
            raise ValueError(f'LeNet-5 takes images of {self.side} x {self.side} pixels, got '
                             f'{images.shape[-1]} x {images.shape[-2]}')
        x = self.squash(self.s2(self.c1(images.mean(dim=1, keepdim=True))))
        x = self.squash(self.s4(self.c3(x)))
        x = self.squash(self.c5(x)).flatten(1)
        return self.output(self.squash(self.f6(x)))
