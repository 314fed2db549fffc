"""
Checkpoints: weights that rebuild their network, as one safetensors file and never a pickle.

The header of the file holds one JSON text under the key `acme_tracking`: the fields of a
specification, a dataclass that can `build` the network.  Nothing in a checkpoint is executed; a
file that does not fit is refused with a CheckpointError.  What a specification may say is checked
by those who define it, with the checks at the end of this module.
"""
from __future__ import annotations

import contextlib
from dataclasses import asdict, fields
import json
import math
import os
import stat

from acme_tracking.files import write_whole
from safetensors import safe_open, SafetensorError
from safetensors.torch import save as serialize
import torch

KEY = 'acme_tracking'
FORMAT = 1
HALF_MAXIMUM = torch.finfo(torch.float16).max
# Of the types of a safetensors file those that a checkpoint may have.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TYPES = {'F16': torch.float16, 'BF16': torch.bfloat16, 'F32': torch.float32,
         'F64': torch.float64, 'I64': torch.int64}
LONGEST_NAME, LONGEST_REASON = 300, 1000  # letters in a message


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message says what is wrong with it."""


def save(path, network, specification, half: bool = True) -> None:
    """
    Write a checkpoint, whole or not at all, in half precision unless told otherwise.

    Raises ValueError that names a tensor which is not finite, or too large for half precision.
    """
    tensors = {name: _to_write(name, tensor.detach().cpu(), half)
               for name, tensor in network.state_dict().items()}
    text = json.dumps({'format': FORMAT, **asdict(specification)}, sort_keys=True)
    content = serialize(tensors, metadata={KEY: text})
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
    path = str(path)
    name = path if len(path) <= LONGEST_NAME else f'{path[:60]}...{path[-60:]}'
    try:
        _check_file(path, maximum_bytes)
        with safe_open(path, framework='pt') as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f'{name}: no such file') from error
    except SafetensorError as error:
        raise CheckpointError(f'{name}: not a safetensors file, or cut short ({error})') from error
    except OSError as error:
        raise CheckpointError(f'{name}: {error.strerror or error}') from error
    except (ValueError, MemoryError) as error:
        raise CheckpointError(f'{name}: {str(error)[:LONGEST_REASON]}') from error


def _check_file(path, maximum_bytes):
    """Raise OSError when a file cannot be read, and ValueError when it should not be."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a FIFO
    try:
        status = os.fstat(file)
    finally:
        os.close(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError('not a file')
    if status.st_size > maximum_bytes:
        raise ValueError(f'{status.st_size} bytes, expected at most {maximum_bytes}')


def read_tensors(path, maximum_bytes):
    """Return the metadata and the tensors, both dicts by name, of a safetensors file."""
    with opened(path, maximum_bytes) as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}


def header(metadata: dict) -> dict:
    """Return the entries of the header of a checkpoint; ValueError when it is none of ours."""
    if KEY not in metadata:
        raise ValueError(f'its header has no {KEY!r} entry: weights, but of another program')
    try:
        entries = json.loads(metadata[KEY])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'its header is not JSON ({error})') from error
    if not isinstance(entries, dict) or entries.pop('format', None) != FORMAT:
        raise ValueError(f'its header is not of format {FORMAT}')
    return entries


def _described(file, specification_type, check_entries):
    """Return the network, without values, and the specification of a file; all must fit."""
    entries = header(file.metadata() or {})
    names = {item.name for item in fields(specification_type)}
    if set(entries) != names:
        raise ValueError(f'its header holds {sorted(entries)}, expected {sorted(names)}')
    check_entries(entries)
    specification = specification_type(**{
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entries.items()})
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


def check(fine: bool, name: str, entries: dict, expected: str) -> None:
    """Raise ValueError that names an entry of the header and what was expected."""
    if not fine:
        raise ValueError(f'its header says {name} {entries[name]!r}, expected {expected}')


def check_images_and_classes(entries: dict) -> None:
    """Check what every specification has: classes, input_size, mean and std."""
    classes = entries['classes']
    check(isinstance(classes, list) and 0 < len(classes) <= 1000 and len(set(map(str, classes)))
          == len(classes) and all(isinstance(name, str) and name for name in classes),
          'classes', entries, 'different names, none of them empty')
    size = entries['input_size']
    check(type(size) is int and 32 <= size <= 4096, 'input_size', entries, '32 to 4096')
    for name in ('mean', 'std'):
        check(isinstance(entries[name], list) and len(entries[name]) == 3
              and all(type(value) in (int, float) and math.isfinite(value)
                      for value in entries[name]), name, entries, 'three finite numbers')
    check(all(value > 0 for value in entries['std']), 'std', entries, 'positive numbers')


def check_arguments(entries: dict, limits: dict) -> None:
    """Check the arguments of the architecture: whole numbers, and lists of them, up to a limit."""
    arguments = entries['arguments']
    check(isinstance(arguments, dict) and set(arguments) <= set(limits), 'arguments', entries,
          ', '.join(limits))
    for name, value in arguments.items():
        numbers = value if isinstance(value, list) else [value]
        check(len(numbers) <= 8 and all(type(n) is int and 1 <= n <= limits[name]
                                        for n in numbers),
              'arguments', entries, f'{name} from 1 to {limits[name]}')
