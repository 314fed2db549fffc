"""
Checkpoints: weights that rebuild their network, as one safetensors file and never a pickle.

The header of the file holds the fields of a specification, a dataclass that can `build` the
network (`weights_files.py`).  Nothing in a checkpoint is executed; a file that does not fit is
refused with a CheckpointError.
"""
from __future__ import annotations

import contextlib

from acme_tracking.files import write_whole
from acme_tracking.weights_files import header, KEY, reading, specified, to_header
from safetensors import safe_open, SafetensorError
from safetensors.torch import save as serialize
import torch

HALF_MAXIMUM = torch.finfo(torch.float16).max
# Of the types of a safetensors file those that a checkpoint may have.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TYPES = {'F16': torch.float16, 'BF16': torch.bfloat16, 'F32': torch.float32,
         'F64': torch.float64, 'I64': torch.int64}


def save(path, network, specification, half: bool = True) -> None:
    """
    Write a checkpoint, whole or not at all, in half precision unless told otherwise.

    Raises ValueError that names a tensor which is not finite, or too large for half precision.
    """
    tensors = {name: _to_write(name, tensor.detach().cpu(), half)
               for name, tensor in network.state_dict().items()}
    content = serialize(tensors, metadata={KEY: to_header(specification)})
    write_whole(path, lambda new: new.write_bytes(content))


def _to_write(name, tensor, half):
    """Return a tensor as it is in the file."""
    if tensor.is_floating_point():
        _check_finite(name, tensor)
        if half:
            largest = tensor.abs().max().item() if tensor.numel() else 0.0
            tensor = tensor.to(torch.float16)
            if not torch.isfinite(tensor).all():
                raise ValueError(f'tensor {name} holds {largest:g}, above {HALF_MAXIMUM:g}, the '
                                 'largest number of half precision')
    return tensor.contiguous()


def inspect(path, specification_type, check_entries, maximum_bytes):
    """
    Return the specification of a checkpoint, of which the values of the tensors are not read.

    It takes milliseconds.  Raises CheckpointError as `load` does, but for what only the values
    show.
    """
    with opened(path, maximum_bytes) as file:
        return _described(file, specification_type, check_entries)[1]


def load(path, specification_type, check_entries, maximum_bytes):
    """
    Return the network (float32, eval mode) and the specification of a checkpoint.

    `check_entries(entries)` raises ValueError when the header says what cannot be.  Raises
    CheckpointError for anything else than a whole checkpoint whose every tensor fits.
    """
    with opened(path, maximum_bytes) as file:
        network, specification = _described(file, specification_type, check_entries)
        tensors = {}
        for name, expected in network.state_dict().items():
            tensors[name] = file.get_tensor(name).to(expected.dtype)
            _check_finite(name, tensors[name])
        network.load_state_dict(tensors, assign=True)
    return network.eval(), specification


@contextlib.contextmanager
def opened(path, maximum_bytes):
    """
    Open a safetensors file; a ValueError of whoever reads it becomes a CheckpointError.

    Raises CheckpointError, which names the file, when it cannot be opened or is none.
    """
    with reading(path, maximum_bytes):
        try:
            with safe_open(str(path), framework='pt') as file:
                yield file
        except SafetensorError as error:
            raise ValueError(f'not a safetensors file, or cut short ({error})') from error


def read_tensors(path, maximum_bytes):
    """Return the metadata and the tensors, both dicts by name, of a safetensors file."""
    with opened(path, maximum_bytes) as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}


def _described(file, specification_type, check_entries):
    """Return the network, without values, and the specification of a file; all must fit."""
    specification = specified(header(file.metadata() or {}), specification_type, check_entries)
    try:
        with torch.device('meta'):  # shapes only: a lying header costs no memory
            network = specification.build()
    except Exception as error:  # whatever a wrong header makes it raise
        raise ValueError(f'its header describes no network ({error})') from error
    expected, given = network.state_dict(), set(file.keys())
    missing, unknown = sorted(set(expected) - given), sorted(given - set(expected))
    if missing or unknown:
        raise ValueError(f'{len(missing)} tensors are missing {missing[:3]}, '
                         f'{len(unknown)} are unknown {unknown[:3]}')
    for name, tensor in expected.items():
        part = file.get_slice(name)
        _check_form(name, part.get_shape(), TYPES.get(part.get_dtype(), part.get_dtype()), tensor)
    return network, specification


def check_tensor(name: str, tensor, expected) -> None:
    """Raise ValueError when a tensor of a file cannot stand for the `expected` one."""
    _check_form(name, tensor.shape, tensor.dtype, expected)
    _check_finite(name, tensor)


def _check_form(name, shape, dtype, expected) -> None:
    if tuple(shape) != tuple(expected.shape):
        raise ValueError(f'tensor {name} has the shape {tuple(shape)}, '
                         f'expected {tuple(expected.shape)}')
    if dtype not in (FLOATS if expected.is_floating_point() else (expected.dtype,)):
        raise ValueError(f'tensor {name} has the type {dtype}, expected {expected.dtype}')


def _check_finite(name, tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise ValueError(f'tensor {name} holds values that are not finite')
