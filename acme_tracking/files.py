"""Writing files so that no kill and no full disk leaves half of one."""
import os
from pathlib import Path


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
