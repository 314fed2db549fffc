"""One dataclass is the source of names, types, defaults, ranges, and of when a value counts."""
from array import array
from dataclasses import dataclass, FrozenInstanceError

from acme_tracking.parameters import (
    markdown_table,
    parameter,
    ParameterSet,
    specifications,
    validate,
    with_values,
)
import numpy as np
import pytest


@dataclass(frozen=True)
class Example:
    rate: float = parameter(10.0, 'Images per second.', minimum=0.0, maximum=100.0)
    end: str = parameter('exit', 'What then.', choices=('exit', 'hold'))
    count: int = parameter(3, 'How many.', minimum=1, applies='start')
    loud: bool = parameter(False, 'Say more.', applies='activate')
    classes: list[str] = parameter([], 'Only these.', applies='configure')
    times: list[float] = parameter([], 'When.', minimum=0.0)


def test_defaults_are_valid_and_an_int_serves_as_float():
    validate(Example())
    validate(Example(rate=5, classes=['car']))


@pytest.mark.parametrize('change, message', [
    ({'rate': 101.0}, r"parameter 'rate' must be in \[0.0, 100.0\], got 101.0"),
    ({'rate': float('nan')}, "parameter 'rate' must be finite, got nan"),
    ({'rate': float('inf')}, "parameter 'rate' must be finite, got inf"),
    ({'rate': True}, "parameter 'rate' must be a float, got True"),
    ({'rate': 'fast'}, "parameter 'rate' must be a float, got 'fast'"),
    ({'rate': None}, "parameter 'rate' must be a float, got None"),
    ({'end': 'stop'}, "parameter 'end' must be one of 'exit', 'hold', got 'stop'"),
    ({'count': 0}, r"parameter 'count' must be in \[1, inf\], got 0"),
    ({'count': 1.0}, "parameter 'count' must be a int, got 1.0"),
    ({'loud': 1}, "parameter 'loud' must be a bool, got 1"),
    ({'classes': 'car'}, r"parameter 'classes' must be a list\[str\], got 'car'"),
    ({'classes': [1.5]}, r"parameter 'classes' must be a list\[str\], got \(1.5,\)"),
    ({'times': [1.0, -1.0]}, r"parameter 'times' must be in \[0.0, inf\], got -1.0"),
    ({'times': array('d', [float('nan')])}, "parameter 'times' must be finite, got nan"),
    ({'ratio': 1.0}, "there is no parameter 'ratio'"),
])
def test_an_error_names_parameter_expectation_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        with_values(Example(), change)


@pytest.mark.parametrize('name, value, expected', [
    ('rate', 5, 5.0), ('end', 'hold', 'hold'), ('count', 4, 4),
    ('times', array('d', [1.5, 2.0]), (1.5, 2.0)), ('times', array('q', [1, 2]), (1.0, 2.0)),
    ('times', np.array([1, 2]), (1.0, 2.0)), ('times', (1, 2.5), (1.0, 2.5)),
    ('times', [], ()), ('times', None, ()), ('times', array('d'), ()), ('times', b'', ()),
    ('classes', ['car'], ('car',)), ('classes', [0, 1], ('0', '1'))])
def test_a_value_is_brought_to_the_declared_type(name, value, expected):
    found = getattr(with_values(Example(), {name: value}), name)
    assert found == expected and type(found) is type(expected)
    if isinstance(found, tuple):
        assert [type(item) for item in found] == [type(item) for item in expected]


def test_the_number_of_a_device_is_its_name():
    @dataclass(frozen=True)
    class Camera:
        source: str = parameter('road', 'What to show.')
    assert with_values(Camera(), {'source': 0}).source == '0'
    with pytest.raises(ValueError, match='must be a str, got True'):
        with_values(Camera(), {'source': True})


def test_a_snapshot_cannot_change():
    with pytest.raises(FrozenInstanceError):
        Example().rate = 1.0
    assert Example().classes == ()
    assert [item.default for item in specifications(Example)][-2:] == [(), ()]


def test_a_live_change_counts_at_once():
    parameters = ParameterSet(Example, {'rate': 5})
    before = parameters.current
    assert parameters.set({'rate': 20.0}) == ''
    assert (before.rate, parameters.current.rate) == (5.0, 20.0)


@pytest.mark.parametrize('name, value, moment, other, sentence', [
    ('loud', True, 'activate', 'configure',
     "'loud' takes effect when the node is activated next"),
    ('classes', ['car'], 'configure', 'activate',
     "'classes' takes effect when the node is configured next")])
def test_another_change_waits_for_its_moment(name, value, moment, other, sentence):
    parameters = ParameterSet(Example, {})
    default = getattr(Example(), name)
    assert parameters.set({name: value, 'rate': 1.0}) == sentence
    assert getattr(parameters.current, name) == default and parameters.current.rate == 1.0
    parameters.begin(other)
    parameters.set({'rate': 2.0})
    assert getattr(parameters.current, name) == default
    parameters.begin(moment)
    assert getattr(parameters.current, name) == getattr(parameters.wanted, name) != default


def test_what_was_set_back_in_time_is_not_waited_for():
    parameters = ParameterSet(Example, {'classes': ['car']})
    assert parameters.set({'classes': []}) and parameters.set({'classes': ['car']}) == ''


def test_all_that_waits_is_said():
    assert ParameterSet(Example, {}).set({'loud': True, 'classes': ['car']}) == (
        "'loud' takes effect when the node is activated next; "
        "'classes' takes effect when the node is configured next")


def test_after_start_a_change_for_it_is_refused_and_changes_nothing():
    parameters = ParameterSet(Example, {'count': 7})
    assert parameters.current.count == 7
    before = parameters.wanted, parameters.current
    with pytest.raises(ValueError, match="parameter 'count' is fixed at start"):
        parameters.set({'rate': 1.0, 'count': 8})
    assert parameters.set({'count': 7}) == ''
    assert (parameters.wanted, parameters.current) == before


def test_a_check_takes_what_waits_into_account_and_changes_nothing():
    parameters = ParameterSet(Example, {})
    parameters.set({'classes': ['car']})
    assert parameters.check({'rate': 1}).classes == ('car',)
    with pytest.raises(ValueError, match='rate'):
        parameters.check({'rate': -1})
    assert parameters.current == parameters.check({'classes': None}) == Example()


def test_a_moment_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="live, activate, configure, start, got 'never'"):
        parameter(1, 'Nothing.', applies='never')


def test_the_table_of_the_documentation_has_every_fact():
    rows = markdown_table(Example).splitlines()
    assert rows[0] == '| parameter | type | default | range | applies | meaning |'
    assert len(rows) == 2 + 6
    assert rows[2] == '| `rate` | float | `10.0` | [0.0, 100.0] | live | Images per second. |'
    assert rows[3] == '| `end` | str | `exit` | exit, hold | live | What then. |'
    assert rows[4] == '| `count` | int | `3` | [1, inf] | start | How many. |'
    assert rows[6] == '| `classes` | list[str] | `[]` |  | configure | Only these. |'
