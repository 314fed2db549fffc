"""Finds what comes with the code: weights in it, `config/` and `launch/` beside it."""
from importlib import resources
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


def shipped_weights(suffix: str = '.safetensors') -> Path:
    """
    Return the detector's weights in this package, the checkpoint or what was exported (.onnx).

    Raises FileNotFoundError where there are none.
    """
    folder = resources.files(PACKAGE) / 'detection' / 'weights'
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(suffix))
    if not names:
        raise FileNotFoundError(f'this installation holds no weights ({suffix}): give the path of '
                                'a checkpoint')
    return Path(str(folder / names[-1]))
