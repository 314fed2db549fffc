"""
Runtimes: what runs the network of a detector, and the one place that chooses.

CPUs run ONNX files with OpenVINO, which needs no torch: those exported from a checkpoint, and
those of others with a description beside them.  torch runs checkpoints, on CUDA and wherever one
has not been exported, and models of the Hugging Face hub.
"""
from __future__ import annotations

from collections.abc import Iterable
import ctypes
import importlib.util
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Protocol

from acme_tracking.detection.description import description_of
from acme_tracking.detection.runtimes.processor import has_vnni
from acme_tracking.share import shipped_weights
from acme_tracking.weights_files import CheckpointError
import numpy as np

DEVICES = ('auto', 'cpu', 'cuda')
PATIENCE = 120.0  # seconds that a file may take to load, on a machine that is busy too
TRIAL = ('import sys; from acme_tracking.detection.runtimes import choose; '
         'choose(sys.argv[1], "cpu", len(sys.argv) > 2, 1)')


class Runtime(Protocol):
    """
    A network ready to look at images; `str()` of it says what runs it, where and how exactly.

    classes: the names that its labels are indices of.
    input_size: side of the square whose area images are resized to unless told otherwise, pixels.
    device: where it runs, as torch names devices.
    together: how many images of several cameras one call should get: one where a batch takes as
    long as its images one after the other.
    """

    classes: tuple[str, ...]
    input_size: int
    device: str
    together: int

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

    weights: a checkpoint; a file exported from one (.onnx); a file of others (.onnx) with a
    description beside it (.yaml); a model of the Hugging Face hub (hf:ID); None for the package's.
    device: auto takes CUDA if there is any.  half: half precision on CUDA; on CPUs bfloat16, and
    the package's weights in 8-bit integers, where these are quicker.  threads: of the CPU; None
    leaves them to the library.  Raises CheckpointError for a bad file and ValueError for what
    cannot be had.
    """
    cuda, reason = _cuda(device)
    weights = weights or _shipped_for(cuda, half)
    if _is_onnx(weights):
        if device == 'cuda':
            raise ValueError(f"device 'cuda' runs checkpoints (.safetensors), got {weights}")
        return _onnx(weights).load(weights, half, threads), 'an ONNX file' if cuda else reason
    require_torch(weights)
    options = 'cuda' if cuda else 'cpu', half, threads
    if is_of_hub(weights):
        from acme_tracking.detection.runtimes.huggingface import HuggingFace
        return HuggingFace.load(weights, *options), reason
    from acme_tracking.detection.runtimes.torch import Torch
    return (Torch.load(weights, *options),
            reason if cuda else f'{reason}; exported to ONNX it would run faster')


def survive(weights=None, half=True) -> None:
    """
    Load a given ONNX file in another process first, which some crash: it is read by native code.

    Raises CheckpointError when that process ends otherwise than by itself.  What is wrong with the
    file in other ways `choose` says better.
    """
    if not weights or not _is_onnx(weights):
        return
    trial = [sys.executable, '-c', TRIAL, str(weights), *['half'] * half]
    try:
        status = subprocess.run(trial, timeout=PATIENCE, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(f'{weights}: takes longer than {PATIENCE:g} s to load') from error
    except (OSError, ValueError):  # a name that no file can have
        return
    if status < 0:
        raise CheckpointError(f'{weights}: ends the process that loads it '
                              f'({signal.Signals(-status).name})')


def classes_of(weights=None) -> tuple[str, ...] | None:
    """
    Return the classes of weights in milliseconds; raises as `choose`, as far as that shows.

    None when they can only be known by loading them, from the net perhaps.
    """
    weights = weights or _shipped('.onnx')
    if _is_onnx(weights):
        return _onnx(weights).inspect(weights)
    require_torch(weights)
    if is_of_hub(weights):
        return None
    from acme_tracking.detection import checkpoint
    return checkpoint.inspect(weights).classes


def files_of(weights=None, device='auto') -> list[Path]:
    """
    Return the files of the weights that `choose` loads in half precision; raises as that.

    There are none of a model of the Hugging Face hub.
    """
    if weights and is_of_hub(weights):
        return []
    path = Path(weights or _shipped_for(_cuda(device)[0]))
    beside = [description_of(path)] if _is_onnx(path) else []
    return [path, *filter(os.path.exists, beside)]


def require_torch(path) -> None:
    """Raise CheckpointError that says what to do about a file which needs torch, without it."""
    if importlib.util.find_spec('torch') is None:
        raise CheckpointError(f'{path}: needs torch, which is not installed; a detector can '
                              'be exported where it is (`acme_tracking export`)')


def _is_onnx(weights) -> bool:
    return Path(weights).suffix == '.onnx'


def is_of_hub(weights) -> bool:
    """Tell whether weights are a model of the Hugging Face hub, hf:ID."""
    return str(weights).startswith('hf:')


def _onnx(path):
    """Return the type of runtime for an ONNX file: ours say themselves what they are."""
    if os.path.exists(description_of(path)):
        from acme_tracking.detection.runtimes.described import Described
        return Described
    from acme_tracking.detection.runtimes.openvino import OpenVino
    return OpenVino


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


def _shipped_for(cuda, half=True) -> Path:
    if cuda:
        return _shipped('.safetensors')
    return _shipped('.int8.onnx' if half and has_vnni() else '.onnx')


def _shipped(suffix) -> Path:
    try:
        return shipped_weights(suffix)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from error
