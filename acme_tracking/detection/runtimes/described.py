"""Other people's detectors: ONNX files with a description beside them, on CPUs."""
from __future__ import annotations

from acme_tracking.detection import onnx_files
from acme_tracking.detection.description import (
    Description,
    description_of,
    read_description,
)
from acme_tracking.detection.heads import HEADS
from acme_tracking.detection.runtimes.openvino import Compiled, read_model, readable_errors
from acme_tracking.weights_files import reading
import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

MAXIMUM_BYTES = 2 ** 30


class Described:
    """A network of somebody else; see `Runtime`."""

    device, together = 'cpu', 1

    def __init__(self, model, description: Description, half=True, threads=None):
        """Compile a model of OpenVINO; ValueError when it is not as described."""
        self._description = description
        self.classes = _classes(description)
        self._columns = np.array(list(description.classes))
        self._labels = np.array([self.classes.index(name)
                                 for name in description.classes.values()])
        model, self._size, self._flat = _with_image_input(model, description)
        self.input_size = round((self._size[0] * self._size[1]) ** 0.5)
        self._compiled = Compiled(model, half, threads)
        self._look(np.zeros((1, *self._size[::-1], 3), np.uint8))

    @classmethod
    def load(cls, path, half=True, threads=None) -> Described:
        """Return the runtime of a file; CheckpointError when file or description cannot be."""
        with reading(path, MAXIMUM_BYTES):
            description = read_description(description_of(path))
            return cls(read_model(onnx_files.read(path)), description, half, threads)

    @staticmethod
    def inspect(path) -> tuple[str, ...]:
        """Return the classes of a file; raises as `load`, as far as its description shows."""
        with reading(path, MAXIMUM_BYTES):
            return _classes(read_description(description_of(path)))

    def __str__(self):
        """Say what runs it, where and how exactly."""
        return f'{self._compiled}, head {self._description.head}'

    def size(self, width, height, side):
        """Return the size that the input has room for; ValueError when `side` is another."""
        if side != self.input_size:
            raise ValueError(f'input_size is {side}, but this network only takes '
                             f'{self._size[0]} x {self._size[1]}: leave it 0')
        if self._description.resize == 'stretch':
            return self._size
        scale = min(self._size[0] / width, self._size[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def __call__(self, images):
        """Look at images, one after the other; see `Runtime`."""
        count, height, width, _ = images.shape
        padded = np.full((count, *self._size[::-1], 3), self._description.pad, np.uint8)
        padded[:, :height, :width] = images
        return [self._look(padded[index:index + 1]) for index in range(count)]

    def _look(self, image):
        """Return boxes, scores and labels of one image (1, H, W, 3)."""
        outputs = self._compiled(image[0] if self._flat else image)
        boxes, scores = HEADS[self._description.head](outputs, self._size,
                                                      self._description.strides)
        columns = self._columns
        if self._description.head == 'detections':  # which has no column of what was not found
            scores = np.pad(scores, ((0, 0), (0, max(0, columns.max() + 1 - scores.shape[1]))))
        elif columns.max() >= scores.shape[1]:
            raise ValueError(f'classes have the index {columns.max()}, expected one below '
                             f'{scores.shape[1]}, of as many outputs')
        scores = scores[:, columns]
        best = scores.argmax(axis=1)
        return (boxes.astype(np.float32), scores[np.arange(len(best)), best].astype(np.float32),
                self._labels[best])


def _classes(description) -> tuple[str, ...]:
    return tuple(dict.fromkeys(description.classes.values()))


def _with_image_input(model, description):
    """
    Return a model that takes uint8 images, blue green red, its (width, height), and if it is flat.

    A flat one takes an image (H, W, 3), and the others one of a batch (1, H, W, 3).
    """
    shape = model.input().partial_shape if len(model.inputs) == 1 else None
    layout = {3: 'CHW', 4: 'NCHW'}.get(len(shape) if shape is not None and
                                       shape.rank.is_static else 0)
    if layout is None or not (shape[-3].is_dynamic or shape[-3].get_length() == 3):
        raise ValueError('expected one input of (1, 3, H, W) or (3, H, W), got '
                         + ', '.join(str(each.partial_shape) for each in model.inputs))
    size = description.size
    if size is None:
        if shape[-1].is_dynamic or shape[-2].is_dynamic:
            raise ValueError('the input has no fixed size, expected size: [width, height] in the '
                             'description')
        size = shape[-1].get_length(), shape[-2].get_length()
    with readable_errors():
        model.reshape([*[1] * (len(layout) - 3), 3, size[1], size[0]])
        steps = PrePostProcessor(model)
        images = steps.input()
        images.tensor().set_element_type(openvino.Type.u8).set_layout(
            openvino.Layout(layout.replace('CHW', 'HWC')))
        images.model().set_layout(openvino.Layout(layout))
        prepared = images.preprocess().convert_element_type(openvino.Type.f32)
        if description.order == 'rgb':
            prepared = prepared.reverse_channels()
        prepared.mean(list(description.mean)).scale(list(description.std))
        return steps.build(), size, layout == 'CHW'
