"""
Parameters: one dataclass is the single source of names, types, defaults, ranges and descriptions.

It also says from when on a value counts, which a `ParameterSet` enforces.  `nodes/parameters.py`
declares ROS parameters from such a class, the core reads its values, and the documentation renders
its table.  Nothing here knows ROS.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
import math
from typing import Any, get_args, get_origin, get_type_hints

# When a value that was set counts: at once, from the next activation or configuration of the node
# on, or never but at its start.
MOMENTS = ('live', 'activate', 'configure', 'start')


@dataclass(frozen=True)
class Constraint:
    """
    What a parameter may be: its description, range or choices, and when a change counts.

    opens: whether it names what is to be opened: a file, a folder, a device or an address.
    """

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple = ()
    applies: str = 'live'
    opens: bool = False


def parameter(default, description: str, *, minimum=None, maximum=None, choices=(),
              applies='live', opens=False) -> Any:
    """
    Return a dataclass field with a default and the constraint that `validate` checks.

    applies: one of MOMENTS.  The dataclass is frozen, and holds lists as tuples: a snapshot of it
    never changes.
    """
    if applies not in MOMENTS:
        raise ValueError(f'applies must be one of {", ".join(MOMENTS)}, got {applies!r}')
    constraint = Constraint(description, minimum, maximum, tuple(choices), applies, opens)
    return field(default=tuple(default) if isinstance(default, list) else default,
                 metadata={'constraint': constraint})


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
        name=item.name, type=types[item.name], default=item.default,
        constraint=item.metadata['constraint']) for item in fields(parameters_type)]


def normalised(value, expected):
    """
    Return what `value` means as the type `expected`; the value itself where it means nothing.

    ROS tells an empty list from no value only sometimes, hands over arrays (array.array), and
    reads `rate: 10` and `source: 0` as whole numbers.
    """
    if get_origin(expected) is list:
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Iterable):
            return value
        items = value.tolist() if hasattr(value, 'tolist') else value
        return tuple(normalised(item, get_args(expected)[0]) for item in items)
    if isinstance(value, int) and not isinstance(value, bool) and expected in (float, str):
        return expected(value)
    return value


def with_values(parameters, values: Mapping):
    """
    Return a copy of `parameters` with these values by name, each of its declared type.

    Raises ValueError for a name that does not exist, and as `validate` does.
    """
    types = {item.name: item.type for item in specifications(type(parameters))}
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise ValueError(f"there is no parameter '{unknown[0]}'")
    changed = replace(parameters, **{
        name: normalised(value, types[name]) for name, value in values.items()})
    validate(changed)
    return changed


class ParameterSet:
    """
    The parameters of a node: those that were set, `wanted`, and those that count, `current`.

    Both are immutable snapshots.  A live change counts at once; one for `activate` or `configure`
    waits until that moment begins; one for `start` is refused.  What may be named later that is to
    be opened, `confine(name, value, wanted)` decides, which raises ValueError.
    """

    def __init__(self, parameters_type, values: Mapping, confine=lambda name, value, wanted: None):
        """Take the values given at start, which all count; raises as `with_values` does."""
        self.wanted = self.current = self._at_start = with_values(parameters_type(), values)
        self._confine = confine
        self._opens = {item.name: item.default for item in specifications(parameters_type)
                       if item.constraint.opens}
        self._applies = {item.name: item.constraint.applies
                         for item in specifications(parameters_type)}

    def check(self, values: Mapping):
        """Return `wanted` as these values make it; ValueError says why they are refused."""
        wanted = with_values(self.wanted, values)
        for name in values:
            if self._applies[name] == 'start' and \
                    getattr(wanted, name) != getattr(self.wanted, name):
                raise ValueError(f"parameter '{name}' is fixed at start")
            if name in self._opens and getattr(wanted, name) not in (
                    self._opens[name], getattr(self._at_start, name)):
                self._check_named(name, wanted)
        return wanted

    def _check_named(self, name, wanted):
        value = getattr(wanted, name)
        for item in value if isinstance(value, tuple) else [value]:
            self._confine(name, item, wanted)

    def set(self, values: Mapping) -> str:  # noqa: A003
        """Take new values; return which of them do not count yet, and from when on, as text."""
        self.wanted = self.check(values)
        self.begin('live')
        return '; '.join(
            f"'{name}' takes effect when the node is {self._applies[name].rstrip('e')}ed next"
            for name in values if getattr(self.wanted, name) != getattr(self.current, name))

    def begin(self, moment: str) -> None:
        """Let the values count that were set for this moment: configure or activate."""
        self.current = replace(self.current, **{
            name: getattr(self.wanted, name)
            for name, applies in self._applies.items() if applies == moment})


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
    rows = ['| parameter | type | default | range | applies | meaning |',
            '| --- | --- | --- | --- | --- | --- |']
    for item in specifications(parameters_type):
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        shown = "''" if default == '' else default
        rows.append(f'| `{item.name}` | {type_name(item.type)} | `{shown}` '
                    f'| {range_text(item.constraint)} | {item.constraint.applies} '
                    f'| {item.constraint.description} |')
    return '\n'.join(rows)
