"""
What a running node may be told to open: files, folders, devices and addresses.

Whoever can reach a ROS graph can set the parameters of its nodes.  What a node was started with
counts as the will of who runs it; what it is told later may only name what that person allowed.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from acme_tracking.files import FILE_URL, local_path
from acme_tracking.parameters import parameter


@dataclass(frozen=True)
class ConfinedParameters:
    """The parameters that say what others of a node may name while it runs."""

    allowed_paths: list[str] = parameter(
        [], 'Folders and files that may be named by a parameter while the node runs; what was '
        'named at its start may always be. A device is the file /dev/videoN.', applies='start')
    allowed_urls: list[str] = parameter(
        [], 'Beginnings of addresses that may be named by a parameter while the node runs: '
        'rtsp://front.local/ allows all of that host and port, hf:facebook/ all models of that '
        'owner.', applies='start')


def check(name: str, value: str, allowed: ConfinedParameters) -> None:
    """
    Raise ValueError when the parameter `name` may not become `value` in a running node.

    Nothing is opened, and the answer is the same whether or not there is such a file.
    """
    if _is_address(value):
        kind, entries = 'allowed_urls', allowed.allowed_urls
        fine = any(_is_below(value, entry) for entry in entries)
    else:
        kind, entries = 'allowed_paths', allowed.allowed_paths
        path = _resolved(value)
        fine = any(path.is_relative_to(_resolved(entry)) for entry in entries)
    if not fine:
        raise ValueError(f"parameter '{name}' may not name {value[:300]!r} while the node runs: "
                         f"{kind} is {list(entries)}")


def _is_address(value):
    """Tell http://HOST, hf:ID or gstreamer:PIPELINE from a path."""
    scheme, separator, _ = value.partition(':')
    return bool(separator) and scheme.isalnum() and not value.startswith(FILE_URL)


def _resolved(value):
    """Return a path without links and dots; raises ValueError for what is none."""
    try:
        return Path(f'/dev/video{value}') if value.isdecimal() else local_path(value).resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f'{value[:300]!r} is no path: {error}') from error


def _is_below(value, entry):
    """Tell whether an address begins as an entry does, at the same host and port."""
    if '://' not in entry:
        return value.startswith(entry)
    wanted, given = urlsplit(entry), urlsplit(value)
    return (wanted.scheme, wanted.netloc) == (given.scheme, given.netloc) and (
        '..' not in given.path.split('/') and given.path.startswith(wanted.path))
