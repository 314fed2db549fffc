"""Object detectors of the Hugging Face hub: DETR and its kind, by the package transformers."""
from __future__ import annotations

from acme_tracking.detection.heads import detr, rtdetr
from acme_tracking.detection.runtimes.torch import fast_type, TOGETHER
from acme_tracking.labels import CLASSES
from acme_tracking.weights_files import CheckpointError
import numpy as np
import torch

PREFIX = 'hf:'


class HuggingFace:
    """A model of the hub; see `Runtime`."""

    def __init__(self, model, processing: dict, device='cpu', half=True, threads=None):
        """
        Take a model, and what its preprocessor_config.json says.

        Of its classes those are reported that are named as ours, or all if none is.
        """
        if threads:
            torch.set_num_threads(threads)
        self.device, self.together = device, 1 if device == 'cpu' else TOGETHER
        self._name = model.config.model_type
        self._dtype = fast_type(device) if half else torch.float32
        self._model = model.eval().to(device, self._dtype)
        names = [name.lower() for _, name in sorted(model.config.id2label.items())]
        ours = [name in CLASSES for name in names]
        self._columns = np.flatnonzero(ours if any(ours) else np.ones(len(names), bool))
        self.classes = tuple(names[column] for column in self._columns)
        self._sides = processing['size']
        self.input_size = self._sides.get('shortest_edge') or round(
            (self._sides['height'] * self._sides['width']) ** 0.5)
        scale = processing.get('rescale_factor', 1 / 255)
        normalises = processing.get('do_normalize', True)
        self._mean, self._std = (
            torch.tensor(processing[name] if normalises else default, device=device) / scale
            for name, default in (('image_mean', [0.0] * 3), ('image_std', [1.0] * 3)))

    @classmethod
    def load(cls, name, device='cpu', half=True, threads=None) -> HuggingFace:
        """Return the runtime of `hf:ID`, from the cache or the net; CheckpointError if not."""
        name = name.removeprefix(PREFIX)
        try:
            from transformers import AutoModelForObjectDetection
            from transformers.image_processing_base import ImageProcessingMixin
        except ImportError as error:
            raise CheckpointError(f'{PREFIX}{name} needs the package transformers '
                                  f'({error})') from error
        try:
            processing, _ = ImageProcessingMixin.get_image_processor_dict(name)
            model = AutoModelForObjectDetection.from_pretrained(name, use_safetensors=True)
            return cls(model, processing, device, half, threads)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise CheckpointError(f'{PREFIX}{name}: {reason[:300]}') from error

    def __str__(self):
        """Say what runs it, where and how exactly."""
        return (f'torch {torch.__version__} in {str(self._dtype).partition(".")[2]} on '
                f'{self.device}, {self._name}')

    def size(self, width, height, side):
        """Return the size that its preprocessor would give; ValueError for another `side`."""
        if side != self.input_size:
            raise ValueError(f'input_size is {side}, but this network was made for '
                             f'{self.input_size}: leave it 0')
        if 'height' in self._sides:
            return self._sides['width'], self._sides['height']
        scale = self._sides['shortest_edge'] / min(width, height)
        scale = min(scale, self._sides.get('longest_edge', np.inf) / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    @torch.inference_mode()
    def __call__(self, images):
        """Look at images; see `Runtime`."""
        batch = torch.from_numpy(images).to(self.device).flip(3).float()
        batch = ((batch - self._mean) / self._std).permute(0, 3, 1, 2).to(self._dtype)
        found = self._model(pixel_values=batch)
        logits, boxes = (each.float().cpu().numpy() for each in (found.logits, found.pred_boxes))
        # a column beside the classes is the one of nothing
        head = detr if logits.shape[2] > len(self._model.config.id2label) else rtdetr
        size = images.shape[2], images.shape[1]
        return [self._best(*head([logits[index:index + 1], boxes[index:index + 1]], size, ()))
                for index in range(len(images))]

    def _best(self, boxes, scores):
        """Return boxes, the scores of the best of the reported classes, and their labels."""
        scores = scores[:, self._columns]
        best = scores.argmax(axis=1)
        return boxes.astype(np.float32), scores[np.arange(len(best)), best], best
