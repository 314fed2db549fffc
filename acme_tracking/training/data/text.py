"""Text files as tools on any system write them: byte-order marks, Windows line ends, YAML."""
from __future__ import annotations

import codecs
from pathlib import Path
import re

from acme_tracking.files import PlainLoader
import yaml


def read_text(path) -> str:
    """
    Return the text of a file in UTF-8, or in UTF-16 when a byte-order mark says so.

    Raises ValueError that names the file when it cannot be read, or is no text.
    """
    try:
        content = Path(path).read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode('utf-16' if wide else 'utf-8-sig')
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: is no text ({error})') from error


def mentions(path, *patterns) -> bool:
    """Tell whether a file has all of some regular expressions, without reading it as anything."""
    content = Path(path).read_bytes().replace(b'\0', b'')  # as UTF-16 has them
    return all(re.search(pattern, content, re.MULTILINE) for pattern in patterns)


def read_rows(path):
    """Yield (place, row) of every line that is not empty: `FILE:LINE` and its columns."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if row := line.split():
            yield f'{path}:{number}', row


def read_yaml(path):
    """Return what a YAML file holds; ValueError that names the file and the line."""
    try:
        return yaml.load(read_text(path), PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, 'problem_mark', None)
        line = f':{mark.line + 1}' if mark else ''
        raise ValueError(f'{path}{line}: not YAML ({getattr(error, "problem", error)})') from error
