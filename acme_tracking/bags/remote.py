"""Bags that lie elsewhere: fetched once, and kept in a folder of the user."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
import tempfile

SCHEME = '://'


def is_remote(bag) -> bool:
    """Tell whether a bag is named by a URL."""
    return SCHEME in str(bag)


def cache_folder() -> Path:
    """Return where fetched bags are kept."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'acme_tracking/bags'


def local_bag(bag) -> Path:
    """
    Return the path of a bag; one with a URL that fsspec knows, as `s3://...`, is fetched before.

    What was fetched before, and has not changed since, is not fetched again.  Raises
    FileNotFoundError when nothing is there, and ValueError when it cannot be fetched.
    """
    if not is_remote(bag):
        return Path(bag)
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise ValueError(f'{bag}: URLs need fsspec: pip install "acme_tracking[scale]"') from error
    try:
        files, there = fsspec.url_to_fs(str(bag))
        parts = files.find(there)
        version = '\n'.join([str(bag), *parts, *map(files.ukey, parts)])
        if not parts:
            raise FileNotFoundError(f'there is no bag {bag}')
        folder = cache_folder() / hashlib.sha256(version.encode()).hexdigest()[:32]
        if not folder.exists():
            _fetch(files, there, parts, folder)
    except FileNotFoundError:
        raise
    except Exception as error:  # each file system has its own
        raise ValueError(f'{bag} cannot be fetched: {error}') from error
    return folder / PurePosixPath(there).name


def _fetch(files, there, parts, folder):
    """Copy the parts of what is there into the folder, which is there only when all of it is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix='part-') as made:
        whole = Path(made) / 'whole'
        for part in parts:
            name = PurePosixPath(part).relative_to(PurePosixPath(there).parent)
            if '..' in name.parts:
                raise ValueError(f'a file must not be named {name}')
            to = whole / name
            to.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(part, str(to))
        try:
            whole.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody else was faster
                raise
