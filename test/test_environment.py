"""`make env`: an up-to-date .venv costs nothing, and what is missing is told in one sentence."""
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE_PYTHON = sys._base_executable


@pytest.fixture
def checkout(tmp_path):
    """Copy what `make env` reads into an empty folder, so that .venv is missing there."""
    for folder in 'requirements', 'acme_tracking/interfaces':
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    return tmp_path


def install(checkout, *, python=(BASE_PYTHON,), **variables):
    """Run the installer and return its completed process."""
    environment = {**os.environ, 'PYTHONPATH': '', **variables}
    return subprocess.run([*python, 'requirements/install.py'], cwd=checkout, env=environment,
                          capture_output=True, text=True, timeout=120)


def refused(result, *words):
    """Check for one clear sentence and an error status."""
    assert result.returncode != 0
    sentence = result.stderr.strip()
    assert sentence.count('\n') == 0 and sentence.startswith('Cannot make .venv: ')
    assert sentence.endswith('.')
    for word in words:
        assert word in sentence


def with_tools(folder, *names):
    """Return a PATH with only these programs."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or '/bin/true')
    return str(folder)


@pytest.mark.parametrize('version', [(3, 9), (3, 14)])
def test_wrong_python(checkout, version):
    as_version = (f'import runpy, sys; sys.version_info = {(*version, 0, "final", 0)}; '
                  'runpy.run_path(sys.argv[1], run_name="__main__")')
    refused(install(checkout, python=(BASE_PYTHON, '-c', as_version)),
            'Python {}.{}'.format(*version), '3.10 to 3.13')


@pytest.mark.parametrize('there, missing', [(['g++'], 'gcc'), (['gcc'], 'g++')])
def test_no_compiler(checkout, there, missing):
    path = with_tools(checkout / 'bin', *there)
    refused(install(checkout, PATH=path), f'{missing} is missing', 'build-essential')


def test_no_network(checkout):
    # pip of this environment, which is not made anew; a closed port of this machine, and nothing
    # of what the machine is set up to use instead
    script = ('import runpy, sys; main = runpy.run_path("requirements/install.py")["main"]; '
              'made = main.__globals__; made["PYTHON"] = sys.argv[1]; '
              'made["make"] = lambda: made["install"]("it", "--target", "here", "acme-nowhere"); '
              'main()')
    (checkout / '.venv').mkdir()
    refused(install(checkout, python=(BASE_PYTHON, '-c', script, sys.executable),
                    PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL='http://127.0.0.1:9/',
                    PIP_FIND_LINKS='', PIP_EXTRA_INDEX_URL='', PIP_NO_CACHE_DIR='1'),
            'no network')
    assert not (checkout / '.venv' / 'complete').exists()


def test_sourced_ros_of_another_python(checkout):
    refused(install(checkout, ROS_DISTRO='jazzy'), 'ROS jazzy is sourced', 'PYTHON=')


def test_half_made_environment_is_not_believed(checkout):
    (checkout / '.venv' / 'bin').mkdir(parents=True)
    path = with_tools(checkout / 'bin')
    refused(install(checkout, PATH=path), 'gcc is missing')


@pytest.fixture
def up_to_date():
    """Skip unless .venv is what `make env` would leave alone: no test may replace it."""
    script = ('import runpy; made = runpy.run_path("requirements/install.py"); '
              'assert made["COMPLETE"].read_text() == made["fingerprint"]()')
    if subprocess.run([BASE_PYTHON, '-c', script], cwd=ROOT, capture_output=True).returncode:
        pytest.skip('needs the .venv of `make env`, up to date')


def test_complete_environment_costs_nothing(up_to_date):
    result = subprocess.run([BASE_PYTHON, 'requirements/install.py'], cwd=ROOT,
                            capture_output=True, text=True, timeout=600)
    # it says what it does
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_works_without_variables(up_to_date, tmp_path):
    """The environment finds ROS and this package from any folder, however it is started."""
    script = ('import acme_tracking, os, rclpy; rclpy.init(); rclpy.create_node("probe"); '
              'print(os.environ["AMENT_PREFIX_PATH"])')
    kept = {name: os.environ[name] for name in ('PATH', 'HOME', 'ROS_DOMAIN_ID')}
    result = subprocess.run([ROOT / '.venv' / 'bin' / 'python', '-c', script], cwd=tmp_path,
                            env=kept, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(str(ROOT / '.venv'))


@pytest.mark.parametrize('video', [
    "x'; touch touched; echo '", '$(touch touched)', '$(shell touch touched)', '`touch touched`',
    'a b.mp4', '$HOME', '"; touch touched; "'])
def test_the_name_of_a_video_reaches_no_shell(tmp_path, video):
    shutil.copy(ROOT / 'Makefile', tmp_path)
    command = tmp_path / '.venv' / 'bin' / 'acme_tracking'
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nfor word; do echo "[$word]"; done\n')
    command.chmod(0o755)
    done = subprocess.run(['make', '--no-print-directory', '-o', 'env', 'demo'], cwd=tmp_path,
                          capture_output=True, text=True, env={**os.environ, 'VIDEO': video})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4:-2] == ['[--video]', f'[{video}]']
    assert not (tmp_path / 'touched').exists()


def test_console_script_of_the_checkout(up_to_date, tmp_path):
    kept = {name: os.environ[name] for name in ('PATH', 'HOME')}
    result = subprocess.run([ROOT / '.venv' / 'bin' / 'acme_tracking', '--help'], cwd=tmp_path,
                            env=kept, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and 'demo' in result.stdout, result.stderr


LOCK = (ROOT / 'requirements' / 'lock.txt').read_text()


def test_lock_has_hashes_for_all_and_names_no_server():
    entries = re.split(r'\n(?=\S)', LOCK)
    pinned = [entry for entry in entries if not entry.startswith('#')]
    assert len(pinned) > 150
    for entry in pinned:
        assert re.match(r'[\w-]+==\S+', entry) and '--hash=sha256:' in entry, entry
    assert '://' not in LOCK and not re.search(r'^-', LOCK, re.M)
    # as what differs from machine to machine, and as what would replace our OpenCV
    assert not re.search(r'^(torch|nvidia-.*|opencv-python)==', LOCK, re.M)


@pytest.mark.parametrize('name', ['pyproject.toml', 'requirements/peers.txt'])
def test_lock_is_made_from_what_is_required(name):
    """As `make lock` does; whoever changes a pin and forgets it is told here."""
    pins = re.findall(r'^ *(?:\w+ = \[)?[\'"]?([\w-]+)(?:\[\w+\])?==([\w.]+)',
                      (ROOT / name).read_text(), re.M)
    assert len(pins) >= 3
    for package, version in pins:
        if package != 'torch':
            assert re.search(rf'^{package}=={re.escape(version)} ', LOCK, re.M | re.I), package
