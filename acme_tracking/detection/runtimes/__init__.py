"""
Runtimes: what runs the network of a detector, and the one place that chooses.

CPUs run ONNX files with OpenVINO, which needs no torch; torch runs checkpoints, on CUDA and
wherever a checkpoint has not been exported.
"""
from __future__ import annotations

from collections.abc import Iterable
import ctypes
import importlib.util
from pathlib import Path
from typing import Protocol

from acme_tracking.share import shipped_weights
from acme_tracking.weights_files import CheckpointError
import numpy as np

DEVICES = ('auto', 'cpu', 'cuda')


class Runtime(Protocol):
    """
    A network ready to look at images; `str()` of it says what runs it, where and how exactly.

    classes: the names that its labels are indices of.
    input_size: side of the square whose area images are resized to unless told otherwise, pixels.
    device: where it runs, as torch names devices.
    """

    classes: tuple[str, ...]
    input_size: int
    device: str

    def size(self, width: int, height: int, side: int) -> tuple[int, int]:
        """Return the (width, height) to resize an image to when it shall have `side` ** 2."""

    def __call__(self, images: np.ndarray) -> Iterable[tuple]:
        """
        Look at resized images, uint8 (V, H, W, 3), blue green red.

        Returns for each of them boxes (P, 4) in its pixels, float32, scores (P,) and labels (P,).
        """


def choose(weights=None, device='auto', half=True, threads=None) -> tuple[Runtime, str]:
    """
    Return the runtime for weights, and the reason why it is this one.

    weights: a checkpoint, a file exported from one (.onnx), or None for those of the package.
    device: auto takes CUDA if there is any.  half: half precision on CUDA, and bfloat16 on CPUs
    that have it.  threads: of the CPU; None leaves them to the library.  Raises CheckpointError
    for a bad file and ValueError for what cannot be had.
    """
    cuda, reason = _cuda(device)
    path = Path(weights) if weights else _shipped('.safetensors' if cuda else '.onnx')
    if path.suffix == '.onnx':
        if device == 'cuda':
            raise ValueError(f"device 'cuda' runs checkpoints (.safetensors), got {path}")
        from acme_tracking.detection.runtimes.openvino import OpenVino
        return OpenVino.load(path, half, threads), 'an ONNX file' if cuda else reason
    _require_torch(path)
    from acme_tracking.detection.runtimes.torch import Torch
    runtime = Torch.load(path, 'cuda' if cuda else 'cpu', half, threads)
    return runtime, reason if cuda else f'{reason}; exported to ONNX it would run faster'


def classes_of(weights=None) -> tuple[str, ...]:
    """Return the classes of weights in milliseconds; raises as `choose`, as far as that shows."""
    path = Path(weights) if weights else _shipped('.onnx')
    if path.suffix == '.onnx':
        from acme_tracking.detection.runtimes import openvino
        return openvino.inspect(path).classes
    _require_torch(path)
    from acme_tracking.detection import checkpoint
    return checkpoint.inspect(path).classes


def _cuda(device) -> tuple[bool, str]:
    """Tell whether to run on CUDA, and why."""
    if device not in DEVICES:
        raise ValueError(f'device must be one of {", ".join(DEVICES)}, got {device!r}')
    if device == 'cpu':
        return False, 'as asked for'
    if importlib.util.find_spec('torch') is None:
        reason = 'torch is not installed'
    elif not _has_driver():  # torch is not imported in vain, which takes seconds and memory
        reason = 'no CUDA device'
    else:
        import torch
        if torch.cuda.is_available():
            return True, 'a CUDA device'
        reason = 'torch sees no CUDA device'
    if device == 'cuda':
        raise ValueError(f"device 'cuda' was asked for, but: {reason}")
    return False, reason


def _has_driver() -> bool:
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def _shipped(suffix) -> Path:
    try:
        return shipped_weights(suffix)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from error


def _require_torch(path) -> None:
    if importlib.util.find_spec('torch') is None:
        raise CheckpointError(f'{path}: checkpoints need torch, which is not installed; run '
                              '`acme_tracking export` where it is, and give the .onnx file')
