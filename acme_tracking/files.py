"""Files: written so that nothing leaves half of one, and read so that none does harm."""
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import yaml

FILE_URL = 'file://'


def local_path(spec: str) -> Path:
    """Return the path that `spec` names, a path or a file:// URL."""
    if spec.startswith(FILE_URL):
        spec = url2pathname(urlsplit(spec).path)
    return Path(spec).expanduser()


def write_whole(path, write) -> None:
    """
    Let `write(new)` make a file beside `path`, and move it there once it is on the disk.

    When that fails, what was at `path` is still there, and nothing else.  Raises what `write`
    raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + '.new')
    try:
        write(new)
        with new.open('rb') as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


class PlainLoader(yaml.SafeLoader):
    """Refuses aliases, a few of which make a small file fill the memory."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                problem='aliases are not read', problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


def read_yaml(path, maximum_bytes: int) -> dict:
    """
    Return the mapping that a YAML file holds.

    A file that cannot be read raises OSError; one with other contents ValueError, which names the
    file but never quotes it: the path may be that of any file.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() and path.stat().st_size <= maximum_bytes):
        raise ValueError(f'{path} is not a regular file of at most {maximum_bytes} bytes')
    try:
        entries = yaml.load(path.read_text(encoding='utf-8'), PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ValueError(f'{path} is not YAML, or has aliases') from None
    if not isinstance(entries, dict):
        raise ValueError(f'{path}: expected a mapping at the top')
    return entries
