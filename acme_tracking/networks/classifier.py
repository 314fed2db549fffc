"""
Classifiers: crops in, probabilities of classes out; and the checkpoints that hold them.

A checkpoint is either a whole network, or a network cut at a layer with one linear layer on its
features, as logistic regression and linear support vector machines give it.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from acme_tracking.geometry import clip, widen
from acme_tracking.networks import build, checkpoint, NAMES
from acme_tracking.networks.activations import Cut
from acme_tracking.weights_files import check, check_arguments, check_images_and_classes
import cv2
import numpy as np
import torch
from torch import nn

MAXIMUM_BYTES = 2 ** 30  # VGG19 in single precision takes half of it
LIMITS = {'widths': 4096, 'depths': 16, 'hidden': 8192}
# of the public ImageNet checkpoints, red green blue, on the scale 0 to 255
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Specification:
    """
    What the weights of a classifier belong to.

    classes: names in the order of the network's outputs.
    input_size: side of the square that a crop is stretched to, in pixels.
    mean, std: of the input in the order red, green, blue, on the scale 0 to 255.
    network, arguments: for `networks.build`.
    layer: where the network is cut, with a linear layer on its features; empty for a whole one.
    margin: what was added to each side of a box before it was cut out, as a share of the box.
    """

    classes: tuple
    network: str
    input_size: int
    mean: tuple = IMAGENET_MEAN
    std: tuple = IMAGENET_STD
    arguments: dict = field(default_factory=dict)
    layer: str = ''
    margin: float = 0.0

    def build(self) -> nn.Module:
        """Return the network that this describes, with untrained weights."""
        network = build(self.network, len(self.classes), **self.arguments)
        if not self.layer:
            return network
        return LinearOnFeatures(Cut(network, self.layer, self.input_size), len(self.classes))


class LinearOnFeatures(nn.Module):
    """One linear layer on the features of a Cut."""

    def __init__(self, cut: Cut, classes: int):
        super().__init__()
        self.cut = cut
        self.fc = nn.Linear(cut.size, classes)

    def forward(self, images):
        """Return logits (B, classes) for images (B, 3, side, side)."""
        return self.fc(self.cut(images))


def load(path):
    """Return network and Specification of a checkpoint; CheckpointError for anything else."""
    return checkpoint.load(path, Specification, _check_entries, MAXIMUM_BYTES)


def inspect(path) -> Specification:
    """Return the Specification of a checkpoint without reading the values; raises as `load`."""
    return checkpoint.inspect(path, Specification, _check_entries, MAXIMUM_BYTES)


def _check_entries(entries: dict) -> None:
    """Raise ValueError when a header says what no classifier is."""
    check(entries['network'] in NAMES, 'network', entries, 'one of ' + ', '.join(NAMES))
    check_images_and_classes(entries)
    check(entries['input_size'] <= 1024, 'input_size', entries, 'at most 1024')
    check_arguments(entries, LIMITS)
    check(isinstance(entries['layer'], str), 'layer', entries, 'a name')
    margin = entries['margin']
    check(type(margin) in (int, float) and 0 <= margin <= 10, 'margin', entries, '0 to 10')


def stretched(image, side: int) -> np.ndarray:
    """Return an image (H, W, 3) stretched to (side, side, 3)."""
    smaller = min(image.shape[:2]) > side
    return cv2.resize(image, (side, side),
                      interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def cut_out(image, boxes, margin: float) -> list:
    """Return the parts of an image (H, W, 3) in boxes (N, 4), widened; of at least one pixel."""
    height, width = image.shape[:2]
    edges = clip(widen(boxes, margin), width, height).round().astype(int)
    parts = []
    for left, top, right, bottom in edges.tolist():
        left, top = min(left, width - 1), min(top, height - 1)
        parts.append(image[top:max(bottom, top + 1), left:max(right, left + 1)])
    return parts


class Classifier:
    """
    Tells the classes of crops; build one with from_checkpoint.

    `names` are the classes, str (C,); `specification` is that of the checkpoint.
    """

    def __init__(self, network, specification, device='cpu', half=False, batch=32):
        """Take a network for inference; `half` is half precision, `batch` how many at a time."""
        self.specification, self.batch = specification, batch
        self.names = np.array(specification.classes)
        self.device = torch.device(device)
        self.dtype = torch.float16 if half else torch.float32
        self.network = network.eval().to(self.device, self.dtype)
        self.normalise = Normalise(specification).to(self.device)

    @classmethod
    def from_checkpoint(cls, path, **options) -> Classifier:
        """Return the classifier of a checkpoint; CheckpointError for a bad file."""
        return cls(*load(path), **options)

    def __call__(self, images) -> np.ndarray:
        """Return probabilities, float32 (N, C), for uint8 images (H, W, 3), blue green red."""
        side = self.specification.input_size
        found = [self.infer(np.stack([stretched(image, side) for image in
                                      images[start:start + self.batch]]))
                 for start in range(0, len(images), self.batch)]
        return np.concatenate(found) if found else np.empty((0, len(self.names)), np.float32)

    @torch.inference_mode()
    def infer(self, images) -> np.ndarray:
        """Return the probabilities for stretched images, uint8 (B, side, side, 3)."""
        batch = self.normalise(torch.from_numpy(images).to(self.device)).to(self.dtype)
        return self.network(batch).float().softmax(dim=1).cpu().numpy()


class Normalise(nn.Module):
    """Turns uint8 images (B, H, W, 3), blue green red, into the input of a network."""

    def __init__(self, specification):
        super().__init__()
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(specification, name), dtype=torch.float32)
            self.register_buffer(name, values.view(1, 3, 1, 1))

    def forward(self, images):
        """Return float32 (B, 3, H, W) in the order red, green, blue."""
        return (images.permute(0, 3, 1, 2).flip(1).float() - self.mean) / self.std
