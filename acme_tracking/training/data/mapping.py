"""Class mappings: which name of a bank becomes which class."""
from __future__ import annotations

from acme_tracking.training.data.text import read_yaml


def read_mapping(path) -> dict:
    """
    Return {name in the bank: class, or None for no object} of a YAML file such as `van: car`.

    Raises ValueError that names the file, and the line or the entry.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected lines such as `van: car`, got {content!r}')
    for name, target in content.items():
        if not isinstance(name, str) or not (
                target is None or isinstance(target, str) and target.strip()):
            raise ValueError(f'{path}: entry {name!r}: {target!r} must map a name to a name, or '
                             'to null to leave it out')
    return content
