"""
Checkpoints: weights that rebuild their network, as one safetensors file and never a pickle.

The header of the file holds one JSON text under the key `acme_tracking`: the fields of a
specification, a dataclass that can `build` the network.  Nothing in a checkpoint is executed; a
file that does not fit is refused with a CheckpointError.  What a specification may say is checked
by those who define it, with the checks at the end of this module.
"""
from __future__ import annotations

from dataclasses import asdict, fields
import json
import math
from pathlib import Path

from acme_tracking.files import write_whole
from safetensors import safe_open, SafetensorError
from safetensors.torch import save as serialize
import torch

KEY = 'acme_tracking'
FORMAT = 1
HALF_MAXIMUM = torch.finfo(torch.float16).max


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


def load(path, specification_type, check_entries, maximum_bytes):
    """
    Return the network (float32, eval mode) and the specification of a checkpoint.

    `check_entries(entries)` raises ValueError when the header says what cannot be.  Raises
    CheckpointError for anything else than a whole checkpoint whose every tensor fits.
    """
    metadata, tensors = read_tensors(path, maximum_bytes)
    try:
        entries = header(metadata)
        names = {item.name for item in fields(specification_type)}
        if set(entries) != names:
            raise ValueError(f'its header holds {sorted(entries)}, expected {sorted(names)}')
        check_entries(entries)
        specification = specification_type(**{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entries.items()})
        network = _rebuilt(specification, tensors)
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}') from error
    return network.eval(), specification


def read_tensors(path, maximum_bytes):
    """Return the metadata and the tensors, both dicts by name, of a safetensors file."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file')
    if path.stat().st_size > maximum_bytes:
        raise CheckpointError(f'{path}: {path.stat().st_size} bytes, expected at most '
                              f'{maximum_bytes}')
    try:
        with safe_open(path, framework='pt') as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{path}: not a safetensors file, or cut short ({error})') from error


def header(metadata: dict) -> dict:
    """Return the entries of the header of a checkpoint; ValueError when it is none of ours."""
    if KEY not in metadata:
        raise ValueError(f'its header has no {KEY!r} entry: weights, but of another program')
    try:
        entries = json.loads(metadata[KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f'its header is not JSON ({error})') from error
    if not isinstance(entries, dict) or entries.pop('format', None) != FORMAT:
        raise ValueError(f'its header is not of format {FORMAT}')
    return entries


def _rebuilt(specification, tensors: dict):
    """Return the network with these weights; every tensor must be there, fit and be finite."""
    try:
        with torch.device('meta'):  # shapes only: a lying header costs no memory
            network = specification.build()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'its header describes no network ({error})') from error
    expected = network.state_dict()
    missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise ValueError(f'{len(missing)} tensors are missing {missing[:3]}, '
                         f'{len(unknown)} are unknown {unknown[:3]}')
    for name, tensor in tensors.items():
        check_tensor(name, tensor, expected[name])
    tensors = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    network.load_state_dict(tensors, assign=True)
    return network


def check_tensor(name: str, tensor, expected) -> None:
    """Raise ValueError when a tensor of a file cannot stand for the `expected` one."""
    if tensor.shape != expected.shape:
        raise ValueError(f'tensor {name} has the shape {tuple(tensor.shape)}, '
                         f'expected {tuple(expected.shape)}')
    if tensor.is_floating_point() != expected.is_floating_point():
        raise ValueError(f'tensor {name} has the type {tensor.dtype}, expected {expected.dtype}')
    _check_finite(name, tensor)


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
