"""
Checkpoints: weights that rebuild their network, as one safetensors file and never a pickle.

The header of the file holds one JSON text under the key `acme_tracking`: the architecture and its
arguments, the classes, the mean and standard deviation of the input, and the input size.  Nothing
in a checkpoint is executed; a file that does not fit is refused with a CheckpointError.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from importlib import resources
import json
import math
from pathlib import Path

from acme_tracking.detection.network import DetectionNetwork
from safetensors import safe_open, SafetensorError
from safetensors.torch import save as serialize
import torch

KEY = 'acme_tracking'
FORMAT = 1
ARCHITECTURES = {'smaller_vgg_anchor_free': DetectionNetwork}
MAXIMUM_BYTES = 256 * 2 ** 20  # far above any network of this package
MAXIMUM_WIDTH, MAXIMUM_DEPTH = 4096, 16  # a header must not keep us busy for minutes


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message says what is wrong with it."""


@dataclass(frozen=True)
class Specification:
    """
    What the weights belong to.

    classes: names in the order of the network's outputs.
    input_size: side of the square whose area an image is resized to, in pixels; the image keeps
    its aspect (384 turns 1920 x 1080 into 512 x 288).
    mean, std: of the input in the order blue, green, red, on the scale 0 to 255.
    arguments: further arguments of the architecture.
    """

    classes: tuple
    input_size: int = 384
    mean: tuple = (114.0, 114.0, 114.0)
    std: tuple = (58.0, 58.0, 58.0)
    architecture: str = 'smaller_vgg_anchor_free'
    arguments: dict = field(default_factory=dict)

    def build(self) -> DetectionNetwork:
        """Return the network that this describes, with untrained weights."""
        return ARCHITECTURES[self.architecture](classes=len(self.classes), **self.arguments)


def shipped() -> Path:
    """Return the weights that come with the package."""
    folder = resources.files('acme_tracking.detection') / 'weights'
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith('.safetensors'))
    if not names:
        raise CheckpointError('this installation holds no weights: give the path of a checkpoint')
    return Path(str(folder / names[-1]))


def save(path, network, specification: Specification, half: bool = True) -> None:
    """Write a checkpoint, in half precision unless told otherwise."""
    tensors = {name: tensor.detach().cpu().to(torch.float16) if half and tensor.is_floating_point()
               else tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    text = json.dumps({'format': FORMAT, **asdict(specification)}, sort_keys=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(serialize(tensors, metadata={KEY: text}))


def load(path=None):
    """
    Return the network (float32, eval mode) and the Specification of a checkpoint.

    `path` None loads the shipped weights.  Raises CheckpointError for anything else than a whole
    checkpoint whose every tensor fits.
    """
    path = shipped() if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file')
    if path.stat().st_size > MAXIMUM_BYTES:
        raise CheckpointError(f'{path}: {path.stat().st_size} bytes, expected at most '
                              f'{MAXIMUM_BYTES}')
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f'{path}: not a safetensors file, or cut short ({error})') from error
    try:
        specification = _specification(metadata)
        network = _network(specification, tensors)
    except ValueError as error:
        raise CheckpointError(f'{path}: {error}') from error
    return network.eval(), specification


def _specification(metadata: dict) -> Specification:
    """Return the checked specification in the header of a file."""
    if KEY not in metadata:
        raise ValueError(f'its header has no {KEY!r} entry: weights, but of another program')
    try:
        entries = json.loads(metadata[KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f'its header is not JSON ({error})') from error
    if not isinstance(entries, dict) or entries.pop('format', None) != FORMAT:
        raise ValueError(f'its header is not of format {FORMAT}')
    names = {item.name for item in fields(Specification)}
    if set(entries) != names:
        raise ValueError(f'its header holds {sorted(entries)}, expected {sorted(names)}')
    _check(entries['architecture'] in list(ARCHITECTURES), 'architecture', entries, 'one of '
           + ', '.join(ARCHITECTURES))
    classes = entries['classes']
    _check(isinstance(classes, list) and 0 < len(classes) <= 1000 and len(set(map(str, classes)))
           == len(classes) and all(isinstance(name, str) and name for name in classes),
           'classes', entries, 'different names')
    size = entries['input_size']
    _check(type(size) is int and 32 <= size <= 4096, 'input_size', entries, '32 to 4096')
    for name in ('mean', 'std'):
        _check(isinstance(entries[name], list) and len(entries[name]) == 3
               and all(_is_number(value) for value in entries[name]), name, entries,
               'three finite numbers')
    _check(all(value > 0 for value in entries['std']), 'std', entries, 'positive numbers')
    _check_arguments(entries)
    entries = {name: tuple(value) if isinstance(value, list) else value
               for name, value in entries.items()}
    return Specification(**entries)


def _check_arguments(entries: dict) -> None:
    """Check the arguments of the architecture: small whole numbers, and lists of them."""
    arguments = entries['arguments']
    _check(isinstance(arguments, dict) and set(arguments) <= {'widths', 'depths', 'neck'},
           'arguments', entries, 'widths, depths and neck')
    for name, value in arguments.items():
        numbers = value if isinstance(value, list) else [value]
        limit = MAXIMUM_DEPTH if name == 'depths' else MAXIMUM_WIDTH
        _check(len(numbers) <= 8 and all(type(n) is int and 1 <= n <= limit for n in numbers),
               'arguments', entries, f'{name} from 1 to {limit}')


def _check(fine: bool, name: str, entries: dict, expected: str) -> None:
    """Raise ValueError that names an entry of the header and what was expected."""
    if not fine:
        raise ValueError(f'its header says {name} {entries[name]!r}, expected {expected}')


def _is_number(value) -> bool:
    """Tell whether a value of the header is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def _network(specification: Specification, tensors: dict) -> DetectionNetwork:
    """Return the network with these weights; every tensor must be there, fit and be finite."""
    try:
        with torch.device('meta'):  # shapes only: a lying header costs no memory
            network = specification.build()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'its header describes no network ({error})') from error
    expected = network.state_dict()
    missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise ValueError(f'{len(missing)} tensors are missing {missing[:3]}, '
                         f'{len(unknown)} are unknown {unknown[:3]}')
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f'tensor {name} has the shape {tuple(tensor.shape)}, '
                             f'expected {tuple(expected[name].shape)}')
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise ValueError(f'tensor {name} has the type {tensor.dtype}, expected '
                             f'{expected[name].dtype}')
        if not torch.isfinite(tensor).all():
            raise ValueError(f'tensor {name} holds values that are not finite')
    tensors = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    network.load_state_dict(tensors, assign=True)
    return network
