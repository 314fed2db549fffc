"""Finds what comes with the code: weights and `config/`, both in the package."""
from importlib import resources
from pathlib import Path

PACKAGE = 'acme_tracking'


def share(path: str) -> Path:
    """
    Return the absolute path of a file of this package, such as ``'config/tracking.yaml'``.

    Raises FileNotFoundError where there is none.
    """
    found = Path(str(resources.files(PACKAGE))) / path
    if not found.is_file():
        raise FileNotFoundError(f'{PACKAGE} has no file {path} in {found.parent}')
    return found


def shipped_weights(suffix: str = '.safetensors') -> Path:
    """
    Return the detector's weights in this package: the checkpoint, or what was exported from it.

    The latter are .onnx, and .int8.onnx in 8-bit integers.  Raises FileNotFoundError where there
    is no such file.
    """
    try:
        return share(f'detection/weights/detector{suffix}')
    except FileNotFoundError as error:
        raise FileNotFoundError(f'this installation holds no weights ({suffix}): give the path of '
                                'a checkpoint') from error
