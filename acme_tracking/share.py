"""Finds the files beside the code: `config/` and `launch/`, installed or in the source tree."""
from pathlib import Path

PACKAGE = 'acme_tracking'


def share(path: str) -> Path:
    """
    Return the absolute path of a file of this package, such as ``'config/tracking.yaml'``.

    Code in a source tree takes the tree's file; installed code takes the one in its ROS prefix.
    Raises FileNotFoundError where there is none.
    """
    folder = Path(__file__).resolve().parent.parent
    if not (folder / 'package.xml').is_file():
        from ament_index_python import get_package_share_path
        folder = get_package_share_path(PACKAGE)
    found = folder / path
    if not found.is_file():
        raise FileNotFoundError(f'{PACKAGE} has no file {path} in {folder}')
    return found
