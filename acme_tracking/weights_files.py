"""
Files of weights, whatever runs them: what is refused, and what the header of one of ours says.

A checkpoint (`networks/checkpoint.py`) and what is exported from it hold one JSON text under the
key `acme_tracking`: the fields of a specification.  Nothing here needs torch.
"""
from __future__ import annotations

import contextlib
from dataclasses import asdict, fields
import json
import math
import os
import stat

KEY = 'acme_tracking'
FORMAT = 1
LONGEST_NAME, LONGEST_REASON = 300, 1000  # letters in a message


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message says what is wrong with it."""


@contextlib.contextmanager
def reading(path, maximum_bytes):
    """
    Check that a path is a file of at most so many bytes, and name it in what goes wrong with it.

    An OSError, ValueError or MemoryError of whoever reads it becomes a CheckpointError.
    """
    path = str(path)
    name = path if len(path) <= LONGEST_NAME else f'{path[:60]}...{path[-60:]}'
    try:
        _check_file(path, maximum_bytes)
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f'{name}: no such file') from error
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


def to_header(specification) -> str:
    """Return the text that `header` reads."""
    return json.dumps({'format': FORMAT, **asdict(specification)}, sort_keys=True)


def specified(entries: dict, specification_type, check_entries):
    """Return the specification that a header holds; ValueError when it cannot be one."""
    names = {item.name for item in fields(specification_type)}
    if set(entries) != names:
        raise ValueError(f'its header holds {sorted(entries)}, expected {sorted(names)}')
    check_entries(entries)
    return specification_type(**{name: tuple(value) if isinstance(value, list) else value
                                 for name, value in entries.items()})


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
