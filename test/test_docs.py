"""The documentation says what the code does."""
import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / 'docs'


def test_the_parameter_tables_are_those_of_the_code():
    pytest.importorskip('rclpy', reason='the node classes need ROS 2')
    specification = importlib.util.spec_from_file_location('render', DOCS / 'render_parameters.py')
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (DOCS / 'parameters.md').read_text() == module.render(), \
        'run python docs/render_parameters.py'
