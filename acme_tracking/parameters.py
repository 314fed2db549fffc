"""
Parameters: one dataclass is the single source of names, types, defaults, ranges and descriptions.

`nodes/managed.py` declares ROS parameters from such a class, the core reads its values, and the
documentation renders its table.  Nothing here knows ROS.
"""
from __future__ import annotations

from dataclasses import dataclass, field, fields, MISSING
import math
from typing import Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Constraint:
    """What a parameter may be: its description, range or choices, and whether it may change."""

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple = ()
    read_only: bool = False


def parameter(default, description: str, *, minimum=None, maximum=None, choices=(),
              read_only=False) -> Any:
    """Return a dataclass field with a default and the constraint that `validate` checks."""
    constraint = Constraint(description, minimum, maximum, tuple(choices), read_only)
    metadata = {'constraint': constraint}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Specification:
    """One parameter of a class: its name, Python type, default and constraint."""

    name: str
    type: Any
    default: Any
    constraint: Constraint


def specifications(parameters_type) -> list[Specification]:
    """Return the parameters of a dataclass in the order in which they are written."""
    types = get_type_hints(parameters_type)
    return [Specification(
        name=item.name, type=types[item.name],
        default=item.default if item.default is not MISSING else item.default_factory(),
        constraint=item.metadata['constraint']) for item in fields(parameters_type)]


def _is_instance(value, expected) -> bool:
    """Tell whether `value` has the type `expected`; a bool is no number, an int is a float."""
    if get_origin(expected) is list:
        return isinstance(value, (list, tuple)) and all(
            _is_instance(item, get_args(expected)[0]) for item in value)
    if isinstance(value, bool) or expected is bool:
        return expected is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if expected is float else expected)


def validate(parameters) -> None:
    """Raise ValueError that names the first parameter out of its range, and the range."""
    for specification in specifications(type(parameters)):
        value = getattr(parameters, specification.name)
        constraint = specification.constraint
        name = f"parameter '{specification.name}'"
        if not _is_instance(value, specification.type):
            raise ValueError(f'{name} must be a {type_name(specification.type)}, got {value!r}')
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if constraint.choices and item not in constraint.choices:
                choices = ', '.join(map(repr, constraint.choices))
                raise ValueError(f'{name} must be one of {choices}, got {item!r}')
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f'{name} must be finite, got {item!r}')
            if ((constraint.minimum is not None and item < constraint.minimum)
                    or (constraint.maximum is not None and item > constraint.maximum)):
                raise ValueError(f'{name} must be in {range_text(constraint)}, got {item!r}')


def type_name(expected) -> str:
    """Return the type as a user writes it: float, list[str]."""
    return str(expected) if get_origin(expected) else expected.__name__


def range_text(constraint: Constraint) -> str:
    """Return the range or the choices of a parameter as text; empty when anything goes."""
    if constraint.choices:
        return ', '.join(map(str, constraint.choices))
    low, high = constraint.minimum, constraint.maximum
    if low is None and high is None:
        return ''
    return f'[{"-inf" if low is None else low}, {"inf" if high is None else high}]'


def markdown_table(parameters_type) -> str:
    """Return the documentation of a parameter class as a Markdown table."""
    rows = ['| parameter | type | default | range | meaning |', '| --- | --- | --- | --- | --- |']
    for item in specifications(parameters_type):
        default = f'`{item.default}`' if item.default != '' else "`''`"
        meaning = item.constraint.description
        if item.constraint.read_only:
            meaning += ' Fixed at start.'
        rows.append(f'| `{item.name}` | {type_name(item.type)} | {default} '
                    f'| {range_text(item.constraint)} | {meaning} |')
    return '\n'.join(rows)
