"""The documentation says what the code does."""
import importlib.util
from pathlib import Path
import re

from acme_tracking.cli import main
import pytest

DOCS = Path(__file__).resolve().parent.parent / 'docs'


def test_the_parameter_tables_are_those_of_the_code():
    pytest.importorskip('rclpy', reason='the node classes need ROS 2')
    specification = importlib.util.spec_from_file_location('render', DOCS / 'render_parameters.py')
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (DOCS / 'parameters.md').read_text() == module.render(), \
        'run python docs/render_parameters.py'


def commands(page):
    """Return the commands of this package that a page shows, as lists of words."""
    text = page.read_text().replace('\\\n', ' ')
    return [line.partition(' # ')[0].split()
            for line in re.findall(r'^ {4}acme_tracking (.*)$', text, re.M)]


PAGES = [DOCS.parent / 'README.md', *sorted(DOCS.glob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_documented_options_exist(page, capsys):
    for words in commands(page):
        verb = words[:2] if words[1:] and words[1].isalpha() else words[:1]
        with pytest.raises(SystemExit):
            main([*verb, '--help'])
        known = set(re.findall(r'--[a-z][a-z0-9-]*', capsys.readouterr().out))
        assert {word for word in words if word.startswith('--')} <= known, words


def test_documented_launch_arguments_targets_and_benchmarks_exist():
    text = '\n'.join(page.read_text().replace('\\\n', ' ') for page in PAGES)
    root = DOCS.parent
    launches = re.findall(r'ros2 launch acme_tracking (\w+\.launch\.py)([^`\n]*)', text)
    assert len(launches) >= 5
    for name, rest in launches:
        source = (root / 'launch' / name).read_text()
        for argument in re.findall(r'(\w+):=', rest):
            assert f"'{argument}': (" in source, (name, argument)
    targets = re.findall(r'^([a-z]+):', (root / 'Makefile').read_text(), re.M)
    assert set(re.findall(r'^ {4}make ([a-z]+)', text, re.M)) <= set(targets)
    for name, rest in re.findall(r'benchmark/(\w+\.py)([^`\n]*)', text):
        source = (root / 'benchmark' / name).read_text()
        assert all(f"'{option}'" in source for option in re.findall(r' (--[a-z][a-z-]*)', rest))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#\s]*)(?:#[^)\s]*)?\)', page.read_text()):
        if target and '://' not in target:
            assert (page.parent / target).exists(), target


def test_what_can_go_wrong_is_shown_by_tests_that_exist():
    rows = re.findall(r'`(test_\w+\.py)::(test_\w+)`', (DOCS / 'reliability.md').read_text())
    assert len(rows) > 40
    tests = Path(__file__).parent
    assert [row for row in rows
            if not re.search(rf'^def {row[1]}\(', (tests / row[0]).read_text(), re.M)] == []


def test_documented_extras_exist():
    named = {extra for page in [DOCS.parent / 'README.md', *DOCS.glob('*.md')]
             for extras in re.findall(r'(?:acme_tracking|\.)\[([a-z,]+)\]', page.read_text())
             for extra in extras.split(',')}
    assert named >= {'all', 'detect', 'evaluate', 'ros'}
    assert named <= set(re.findall(r'^([a-z]+) = \[', (DOCS.parent / 'pyproject.toml').read_text(),
                                   re.M))
