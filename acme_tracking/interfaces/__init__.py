"""
The message types that pip cannot bring: vision_msgs, compiled where it is used.

A ROS installation has its own.  ROS from wheels gets it from the folder vision_msgs/ beside this
file, by `make env`, or when it is first needed.
"""
import fcntl
import importlib.util
import os
from pathlib import Path
import re
import subprocess
import sys

SOURCE = Path(__file__).resolve().parent / 'vision_msgs'


def ensure_vision_msgs() -> None:
    """
    Compile vision_msgs into this Python environment if it is missing, and say so on stderr.

    One of several processes does it, and the others wait.  Raises ImportError, with the remedy,
    where there is no ROS 2 or no compiler, or where the environment cannot be written to.
    """
    # as a line in the environment does, for a process that started before that was there
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    if _is_there():
        return
    folder = os.open(SOURCE, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not _is_there():
            _compile()
    finally:
        os.close(folder)


def _is_there() -> bool:
    importlib.invalidate_caches()
    # not just a folder of that name, which has no origin
    return getattr(importlib.util.find_spec('vision_msgs'), 'origin', None) is not None


def _compile():
    distribution = os.environ.get('ROS_DISTRO')
    if distribution:
        raise ImportError('the message package vision_msgs is missing: apt install '
                          f'ros-{distribution}-vision-msgs')
    if importlib.util.find_spec('rosidl_adapter') is None:
        raise ImportError('ROS 2 is missing: source an installation, or pip install '
                          '"acme_tracking[ros]"')
    print('acme_tracking: compiling the message package vision_msgs into this environment, once; '
          'it takes about a minute ...', file=sys.stderr, flush=True)
    result = subprocess.run(
        [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'install', '--quiet',
         '--no-user', '--no-build-isolation', '--no-deps', str(SOURCE)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise ImportError(f'vision_msgs could not be compiled: {_reason(result.stdout)}')


def _reason(said: str) -> str:
    """Return the line that counts of what pip said, of the build before its own."""
    for pattern in r'\w+Error: (.+)', r'error: (.+)', r'(.+)':
        found = re.findall(pattern, said, re.IGNORECASE)
        if found:
            return found[-1].strip()
    return 'pip said nothing'
