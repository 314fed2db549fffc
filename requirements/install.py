"""
Makes `.venv`, the Python environment of every make target, when it is missing or out of date.

The standard library is enough to run this, and every Python since 3.6 can read it, so that a
wrong version gets an answer too.  The file `.venv/complete` is written last and holds a hash of
all that went in: an interrupted run leaves no such file, and the next one starts from nothing.

All comes from lock.txt with hashes, but torch, which each kind of machine has another build of.
With a ROS installation sourced, its packages are used and none of ROS is installed; vision_msgs is
built against it where it has none.  Nothing is locked then: what fits is for that installation to
say.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
from pathlib import Path
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
COMPLETE = VENV / 'complete'
VISION_MSGS = ROOT / 'acme_tracking' / 'interfaces' / 'vision_msgs'
PYTHON = VENV / 'bin' / 'python'
VERSION = '{}.{}'.format(*sys.version_info)
# Words of pip and the resolver when no server answers.
UNREACHABLE = ('connection broken by', 'ConnectionError', 'Failed to establish', 'name resolution')
# Of pyproject.toml, what every target together needs beside ROS.
EXTRAS = 'detect,train,evaluate,scale,huggingface,test'


def main():
    """Check, and make the environment if need be."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        fail(f'Python {VERSION} is not supported; choose one of 3.10 to 3.13, as in: make env '
             'PYTHON=python3.11')
    if sys.prefix == str(VENV):  # an activated .venv cannot replace itself
        os.execv(sys._base_executable, [sys._base_executable, *sys.argv])
    with only_one_at_a_time():
        key = fingerprint()
        if not COMPLETE.exists() or COMPLETE.read_text() != key:
            check_tools()
            make()
            COMPLETE.write_text(key)


def fail(reason):
    """End with one sentence."""
    sys.exit(f'Cannot make .venv: {reason}.')


@contextlib.contextmanager
def only_one_at_a_time():
    """Let a second make wait for the first."""
    folder = os.open(str(ROOT / 'requirements'), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def sourced():
    """Tell whether a ROS installation is sourced; fail if this Python cannot use it."""
    distribution = os.environ.get('ROS_DISTRO')
    if distribution and importlib.util.find_spec('rclpy') is None:
        fail(f'ROS {distribution} is sourced, but Python {VERSION} cannot import its rclpy; name '
             'the Python it was built for with PYTHON=, or use a shell without it')
    return bool(distribution)


def fingerprint():
    """Hash all that the environment is made of."""
    parts = [sys.version, sys.base_prefix, str(ROOT)]
    if sourced():
        parts.append(os.environ.get('AMENT_PREFIX_PATH', ''))
    files = [ROOT / 'pyproject.toml', *(ROOT / 'requirements').iterdir(), *VISION_MSGS.rglob('*')]
    for path in sorted(files):
        if path.is_file() and path.suffix != '.pyc':
            parts += [str(path.relative_to(ROOT)), path.read_text()]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()


def check_tools():
    """Fail before the long part, not in its middle."""
    if importlib.util.find_spec('venv') is None or importlib.util.find_spec('ensurepip') is None:
        fail('this Python has no venv module; on Debian or Ubuntu: apt install python3-venv')
    sys.path.insert(0, str(VISION_MSGS))
    from build_backend import missing_tool
    if missing_tool():
        fail(f'vision_msgs has to be compiled, and {missing_tool()}')


def make():
    """Make the environment from nothing."""
    ros = sourced()
    print(f'Making .venv with Python {VERSION}; it downloads much and takes some minutes, once.',
          flush=True)
    with step('Python environment'):
        # A ROS installation's own requirements are packages of the system.
        run([sys.executable, '-m', 'venv', '--clear', str(VENV)]
            + (['--system-site-packages'] if ros else []), 'the venv module failed')
    if ros:
        install('all libraries', '-e', *beside_ros())
        install('TrackEval, trackers', '--no-deps', '-r', 'requirements/peers.txt')
    else:
        install('all libraries but PyTorch', '--no-deps', '--require-hashes', '-r',
                'requirements/lock.txt')
        install('PyTorch', '--no-build-isolation', '-e', f'.[ros,view,{EXTRAS}]')
    if not ros or importlib.util.find_spec('vision_msgs') is None:
        install('vision_msgs (compiled here)', '--no-build-isolation', '--no-deps',
                str(VISION_MSGS))


def beside_ros():
    """Return what to ask pip for where the NumPy of a ROS installation has to stay."""
    from importlib import metadata
    with contextlib.suppress(metadata.PackageNotFoundError):
        if metadata.version('numpy').startswith('1.'):
            return [f'.[{EXTRAS}]', 'numpy<2']  # which the viewer does without
    return [f'.[view,{EXTRAS}]']


def install(what, *arguments):
    """Install with pip, saying what and how long it took."""
    with step(what):
        run([str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet',
             '--retries', '2'] + list(arguments), f'pip could not install {what}')


@contextlib.contextmanager
def step(what):
    """Print what is being done, then its duration."""
    print(f'  {what} ...', end='', flush=True)
    start = time.monotonic()
    yield
    print(f' {time.monotonic() - start:.0f} s', flush=True)


def run(command, failure):
    """Run a quiet command; turn its failure into one sentence."""
    result = subprocess.run(command, cwd=str(ROOT), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    if result.returncode == 0:
        return
    print()
    if any(word in result.stdout for word in UNREACHABLE):
        fail('no network, or the package index does not answer')
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if 'error' in line.lower()] or lines[-1:]
    fail(f'{failure}: {errors[-1].rstrip(".") if errors else "it said nothing"}')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print()
        fail('interrupted; the next run starts anew')
