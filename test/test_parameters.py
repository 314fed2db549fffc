"""One dataclass is the source of names, types, defaults, ranges and descriptions."""
from dataclasses import dataclass

from acme_tracking.parameters import markdown_table, parameter, specifications, validate
import pytest


@dataclass
class Example:
    rate: float = parameter(10.0, 'Images per second.', minimum=0.0, maximum=100.0)
    end: str = parameter('exit', 'What then.', choices=('exit', 'hold'))
    count: int = parameter(3, 'How many.', minimum=1, read_only=True)
    loud: bool = parameter(False, 'Say more.')
    classes: list[str] = parameter([], 'Only these.')


def test_defaults_are_valid_and_an_int_serves_as_float():
    validate(Example())
    validate(Example(rate=5, classes=['car']))


@pytest.mark.parametrize('change, message', [
    ({'rate': 101.0}, r"parameter 'rate' must be in \[0.0, 100.0\], got 101.0"),
    ({'rate': float('nan')}, "parameter 'rate' must be finite, got nan"),
    ({'rate': True}, "parameter 'rate' must be a float, got True"),
    ({'rate': 'fast'}, "parameter 'rate' must be a float, got 'fast'"),
    ({'end': 'stop'}, "parameter 'end' must be one of 'exit', 'hold', got 'stop'"),
    ({'count': 0}, r"parameter 'count' must be in \[1, inf\], got 0"),
    ({'count': 1.0}, "parameter 'count' must be a int, got 1.0"),
    ({'loud': 1}, "parameter 'loud' must be a bool, got 1"),
    ({'classes': 'car'}, r"parameter 'classes' must be a list\[str\], got 'car'"),
    ({'classes': [1]}, r"parameter 'classes' must be a list\[str\], got \[1\]"),
])
def test_an_error_names_parameter_expectation_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        validate(Example(**change))


def test_lists_are_not_shared_between_instances():
    Example().classes.append('car')
    assert Example().classes == []
    assert [item.default for item in specifications(Example)][-1] == []


def test_the_table_of_the_documentation_has_every_fact():
    rows = markdown_table(Example).splitlines()
    assert len(rows) == 2 + 5
    assert rows[2] == '| `rate` | float | `10.0` | [0.0, 100.0] | Images per second. |'
    assert rows[3] == '| `end` | str | `exit` | exit, hold | What then. |'
    assert rows[4] == '| `count` | int | `3` | [1, inf] | How many. Fixed at start. |'
