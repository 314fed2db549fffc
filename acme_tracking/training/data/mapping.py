"""Class mappings: which name of a bank becomes which class."""
from __future__ import annotations

from pathlib import Path

import yaml


def read_mapping(path) -> dict:
    """
    Return {name in the bank: class, or None for no object} of a YAML file such as `van: car`.

    Raises ValueError that names the file, and the line or the entry.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: is no text ({error})') from error
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f':{mark.line + 1}' if mark else ''
        raise ValueError(f'{path}{line}: not YAML ({getattr(error, "problem", error)})') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected lines such as `van: car`, got {content!r}')
    for name, target in content.items():
        if not isinstance(name, str) or not (
                target is None or isinstance(target, str) and target.strip()):
            raise ValueError(f'{path}: entry {name!r}: {target!r} must map a name to a name, or '
                             'to null to leave it out')
    return content
