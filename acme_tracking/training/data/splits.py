"""Splits of a bank: the names that tools give to the parts for training, validation and test."""
from __future__ import annotations

import re

SPLITS = ('train', 'val', 'test')
NAMES = {'train': 'train', 'training': 'train', 'val': 'val', 'valid': 'val',
         'validation': 'val', 'test': 'test', 'testing': 'test'}


def split_of(name: str) -> str | None:
    """
    Return which of SPLITS a file, folder or key is named after, None for another name.

    >>> split_of('instances_val2017'), split_of('Validation'), split_of('street')
    ('val', 'val', None)
    """
    found = {NAMES[word] for word in re.findall('[a-z]+', name.lower()) if word in NAMES}
    return found.pop() if len(found) == 1 else None


def by_split(named) -> dict:
    """
    Return {split: place} of (split, place, name), in the order of SPLITS.

    Raises ValueError when two are the same split.
    """
    places, names = {}, {}
    for split, place, name in named:
        if split in places:
            raise ValueError(f'{names[split]} and {name} are both the split {split!r}: give the '
                             'one that is meant')
        places[split], names[split] = place, name
    return {split: places[split] for split in sorted(places, key=(*SPLITS, *places).index)}
