"""What colcon and pip install, that it then runs, and that what it needs is declared."""
import ast
import importlib.metadata
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import xml.etree.ElementTree as ElementTree
import zipfile

from acme_tracking import __version__
import pytest

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
# rosdep keys of modules that have another name; message and ROS packages have their own.
KEYS = {'PIL': 'python3-pil', 'cv2': 'python3-opencv', 'matplotlib': 'python3-matplotlib',
        'numpy': 'python3-numpy', 'scipy': 'python3-scipy', 'sklearn': 'python3-sklearn',
        'tqdm': 'python3-tqdm', 'yaml': 'python3-yaml'}
# No key, or one that only pip follows, which a system that guards its Python does not allow.
WITHOUT_KEY = {'apsw', 'backports', 'distributed', 'dlib', 'fsspec', 'onnx', 'onnxruntime',
               'openvino', 'pycocotools', 'rerun', 'rosbags', 'safetensors', 'supervision',
               'threadpoolctl', 'torch', 'trackers', 'transformers'}
# Not imported, but run.
RUN = {'ros2bag', 'ros2launch', 'rosbag2_storage_default_plugins'}
# Modules that come with what is required.
BROUGHT = {'apsw': 'rosbags', 'backports': 'rosbags', 'threadpoolctl': 'scikit-learn'}
EXECUTABLES = {'acme_tracking', 'camera_node', 'detector_node', 'locator_node', 'tracker_node'}


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
    for source in ROOT / 'launch', ROOT / 'acme_tracking' / 'config':
        ours = {path.name for path in source.iterdir() if path.is_file()}
        assert {path.name for path in (share / source.name).iterdir()} == ours
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
    GetState = pytest.importorskip('lifecycle_msgs.srv', reason='needs ROS 2').GetState
    node = install / 'lib' / 'acme_tracking' / 'tracker_node'
    # a name that no node of another test had, which may still be listed
    with sourced(install, node, '--ros-args', '-r', '__node:=installed',
                 stderr=subprocess.PIPE) as process:
        try:
            client = graph.node.create_client(GetState, 'installed/get_state')
            graph.wait_until(lambda: graph.call(client, GetState.Request()).current_state.label
                             == 'active')
        finally:
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel of a copy, as the build leaves files behind, and return its path."""
    folder = tmp_path_factory.mktemp('wheel')
    for name in 'acme_tracking', 'launch', 'resource':
        shutil.copytree(ROOT / name, folder / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    for name in 'pyproject.toml', 'setup.py', 'setup.cfg', 'package.xml', 'README.md', 'LICENSE':
        shutil.copy(ROOT / name, folder)
    pip(sys.executable, 'wheel', '--no-build-isolation', '--no-deps', '-w', folder, folder)
    path, = folder.glob('*.whl')
    return path


def pip(python, *arguments):
    result = subprocess.run([python, '-m', 'pip', '--quiet', *map(str, arguments)], text=True,
                            capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_wheel_holds_all_that_is_needed(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'acme_tracking').rglob('*')
            if path.is_file() and path.suffix != '.pyc'}
    assert {name for name in held if name.startswith('acme_tracking/')} == ours
    share = f'acme_tracking-{__version__}.data/data/share'
    assert {f'{share}/acme_tracking/package.xml',
            f'{share}/acme_tracking/launch/tracking.launch.py',
            f'{share}/ament_index/resource_index/packages/acme_tracking'} <= held


@pytest.fixture(scope='module')
def environment(wheel, tmp_path_factory):
    """Make an environment with the wheel in it, and all else but this package from this one."""
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, symlinks=True)
    site, = folder.glob('lib/python*/site-packages')
    borrowed = site / 'borrowed'
    borrowed.mkdir()
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if 'acme_tracking' not in path.name and path.suffix != '.pth':
            (borrowed / path.name).symlink_to(path)
    (site / 'borrowed.pth').write_text(str(borrowed))
    pip(sys.executable, '--python', folder / 'bin' / 'python', 'install', '--no-deps', wheel)
    return folder / 'bin'


def test_wheel_runs_from_an_empty_folder(environment, tmp_path):
    """With its own parameters, weights and interfaces, and without any of the checkout."""
    pytest.importorskip('rclpy', reason='needs ROS 2')
    variables = {**os.environ, 'PYTHONPATH': ''}
    options = {'cwd': tmp_path, 'env': variables, 'text': True, 'capture_output': True}
    shown = subprocess.run([environment / 'acme_tracking', '--help'], timeout=60, **options)
    assert shown.returncode == 0 and 'demo' in shown.stdout
    where = subprocess.run([environment / 'python', '-c',
                            'import acme_tracking as a; print(a.__file__)'], **options)
    assert Path(where.stdout.strip()).is_relative_to(environment.parent)
    demo = subprocess.run([environment / 'acme_tracking', 'demo', '--seconds', '1', '--out',
                           'out'], timeout=200, **options)
    assert demo.returncode == 0, demo.stderr
    assert (tmp_path / 'out' / 'summary.json').is_file()


def imported():
    """Return the modules of others that the package and its launch files import anywhere."""
    files = [*(ROOT / 'acme_tracking').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]
    nodes = [node for path in files if path.name != 'build_backend.py'
             for node in ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return ({name.partition('.')[0] for name in names}
            - set(sys.stdlib_module_names) - {'acme_tracking'})


def test_manifest_names_what_is_imported():
    modules = imported()
    assert modules >= WITHOUT_KEY
    needed = {KEYS.get(name, name) for name in modules - WITHOUT_KEY} | RUN
    assert {item.text for item in MANIFEST.iter('exec_depend')} == needed


def test_requirements_name_what_is_imported():
    """All but the packages of ROS, of which the wheels' names say what they bring."""
    texts = [(ROOT / name).read_text() for name in ('pyproject.toml', 'requirements/peers.txt')]
    required = set(re.findall(r'^ *(?:\w+ = \[)?[\'"]?([\w-]+)(?:==|>=)', '\n'.join(texts), re.M))
    distributions = importlib.metadata.packages_distributions()
    for module in set(KEYS) | WITHOUT_KEY:
        names = {name.lower() for name in distributions.get(module, [])}
        assert not names or names & {name.lower() for name in required} or (
            BROUGHT.get(module) in required), module


def test_manifest_agrees():
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('version') == __version__
    assert MANIFEST.findtext('license') == 'Apache-2.0'
    assert "license = {text = 'Apache-2.0'}" in (ROOT / 'pyproject.toml').read_text()
