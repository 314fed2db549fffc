"""The colcon build: what it installs, and that the installed package is what then runs."""
import os
from pathlib import Path
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXECUTABLES = {'acme_tracking', 'camera_node', 'detector_node', 'tracker_node'}


@pytest.fixture(scope='module')
def install(tmp_path_factory):
    """Build with colcon into a temporary folder and return the package's install prefix."""
    pytest.importorskip('colcon_core')
    folder = tmp_path_factory.mktemp('workspace')
    subprocess.run(
        [sys.executable, '-m', 'colcon', '--log-base', folder / 'log', 'build', '--paths', ROOT,
         '--build-base', folder / 'build', '--install-base', folder / 'install'],
        check=True, cwd=folder, capture_output=True, timeout=120)
    return folder / 'install' / 'acme_tracking'


def sourced(install, *command, **options):
    """Start a command in a shell that has sourced the install folder."""
    script = f'. {install.parent}/setup.bash && exec "$@"'
    return subprocess.Popen(['bash', '-c', script, 'bash', *map(str, command)],
                            cwd=install.parent, text=True, **options)


def test_installs_executables_where_ros2_run_looks(install):
    folder = install / 'lib' / 'acme_tracking'
    assert {path.name for path in folder.iterdir()} == EXECUTABLES
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())


def test_installs_launch_and_config(install):
    share = install / 'share' / 'acme_tracking'
    for folder in 'launch', 'config':
        ours = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert {path.name for path in (share / folder).iterdir()} == ours
    assert (share / 'package.xml').is_file()


def test_installs_resource_marker(install):
    index = install / 'share' / 'ament_index' / 'resource_index'
    assert (index / 'packages' / 'acme_tracking').is_file()


def test_installs_weights_and_every_module(install):
    ours = {path.relative_to(ROOT) for path in (ROOT / 'acme_tracking').rglob('*')
            if path.is_file() and path.suffix != '.pyc'}
    assert {'.safetensors', '.onnx'} <= {path.suffix for path in ours}
    site, = install.glob('lib/python*/site-packages')
    assert {path for path in ours if not (site / path).is_file()} == set()


def test_installed_code_runs_with_its_own_files(install):
    with sourced(install, sys.executable, '-c', 'import acme_tracking.share as s; '
                 'print(s.__file__, s.share("config/tracking.yaml"))',
                 stdout=subprocess.PIPE) as process:
        paths = process.communicate(timeout=60)[0].split()
    assert len(paths) == 2
    assert all(Path(path).is_relative_to(install) for path in paths)


def test_installed_node_starts_and_stops(install, graph):
    node = install / 'lib' / 'acme_tracking' / 'tracker_node'
    # a name that no node of another test had, which may still be listed
    with sourced(install, node, '--ros-args', '-r', '__node:=installed',
                 stderr=subprocess.PIPE) as process:
        try:
            graph.wait_until(lambda: 'installed' in graph.node.get_node_names())
        finally:
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert 'Traceback' not in errors


def test_setup_and_manifest_agree():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    setup = (ROOT / 'setup.py').read_text()
    assert manifest.get('format') == '3'
    assert f"version='{manifest.findtext('version')}'" in setup
    assert manifest.findtext('license') == 'Apache-2.0' and "license='Apache-2.0'" in setup
    # dependencies in setup.py would make pip and colcon fetch ROS, which is no wheel there
    assert 'install_requires' not in setup
