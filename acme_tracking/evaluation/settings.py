"""All that the figures of a run depend on, but the bags: read from the nodes' parameter file."""
from __future__ import annotations

from dataclasses import asdict, dataclass
import hashlib
import importlib.metadata
import json
from pathlib import Path
import platform
from typing import NamedTuple

from acme_tracking.detection.runtimes import files_of
from acme_tracking.evaluation.modes import MODES, ON_DEMAND, PEER_MODES
from acme_tracking.evaluation.simulation import Surroundings
from acme_tracking.parameters import specifications, with_values
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.location import LocatorParameters
from acme_tracking.sessions.tracking import TrackerParameters
from acme_tracking.share import share
import yaml

# Parameters that every node has, which say nothing about what it does.
OF_ROS = {'autostart', 'use_sim_time', 'qos_overrides', 'start_type_description_service'}
PACKAGES = ('numpy', 'scipy', 'opencv-contrib-python-headless', 'openvino', 'torch', 'dlib-bin',
            'trackers', 'rosbags')


@dataclass(frozen=True)
class Settings:
    """
    What is run, on what, and how it is scored.

    modes: of MODES, or `live`; the first gives the headline.  surroundings: latency of the
    detector and what else is simulated.  every: time between the detections of the two-phase
    script, seconds.  minimum_score: tracks of this package with a lower score do not count.
    classes: names that count, () for all of the truth.  images, truth: topics, '' for the obvious
    ones; the truth may be a file, too.  stand_in: in live mode answer with known detections after
    the latency, without CNN.  rate: speed of playing, 1 for real time.  tracker, detector,
    locator: parameters of the nodes.
    """

    modes: tuple[str, ...] = tuple(MODES)
    surroundings: Surroundings = Surroundings()
    every: float = 1.0
    minimum_score: float = 0.5
    classes: tuple[str, ...] = ()
    images: str = ''
    truth: str = ''
    stand_in: bool = False
    rate: float = 1.0
    tracker: TrackerParameters = TrackerParameters()
    detector: DetectorParameters = DetectorParameters()
    locator: LocatorParameters = LocatorParameters()

    def __post_init__(self):
        """Raise ValueError for a value out of its range, or a mode that lacks another."""
        for name, least, most in (('every', 0.01, 3600), ('minimum_score', 0, 1),
                                  ('rate', 0.01, 100)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f'{name} must be from {least} to {most}, got {value}')
        sparse = [mode for mode in self.modes if not PEER_MODES.get(mode, ('', True))[1]]
        if sparse and ON_DEMAND not in self.modes:
            raise ValueError(f'{sparse[0]} is given detections of as many images as {ON_DEMAND} '
                             'took: it needs that mode, too')

    def as_dict(self) -> dict:
        """Return the settings as JSON has them."""
        return json.loads(json.dumps(asdict(self)))


class NodeParameters(NamedTuple):
    """The parameters of the nodes that are evaluated."""

    tracker: TrackerParameters = TrackerParameters()
    detector: DetectorParameters = DetectorParameters()
    locator: LocatorParameters = LocatorParameters()


def read_parameters(path=None, changes=()) -> NodeParameters:
    """
    Return the parameters of tracker, detector and locator of a ROS parameters file.

    path: None for config/tracking.yaml.  changes: 'NAME=VALUE' each, for the tracker, or
    'detector.NAME=VALUE' or 'locator.NAME=VALUE'.  Raises ValueError, naming it, for one that does
    not exist or that is out of its range.
    """
    path = Path(path or share('config/tracking.yaml'))
    given = _read_given(path)
    for change in changes:
        name, equals, value = change.partition('=')
        if not equals:
            raise ValueError(f'a parameter must be NAME=VALUE, got {change!r}')
        node, _, name = name.rpartition('.')
        if node not in ('', *given):
            raise ValueError(f'parameters are those of {", ".join(given)}, got {change!r}')
        given[node or 'tracker'][name] = yaml.safe_load(value)
    defaults = NodeParameters()._asdict()
    for node, values in given.items():
        known = {item.name for item in specifications(type(defaults[node]))}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ValueError(f'{path}: {node} has no parameter {", ".join(unknown)}')
    return NodeParameters(*(with_values(defaults[node], given[node]) for node in defaults))


def _read_given(path):
    """Return the parameters that a file has for the nodes, by node and name."""
    try:
        entries = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is not YAML: {error}') from error
    if not isinstance(entries, dict):
        raise ValueError(f'{path} must be a ROS parameters file, got {type(entries).__name__}')
    given = {node: {} for node in NodeParameters._fields}
    for name, entry in entries.items():
        node = str(name).rpartition('/')[2]
        if node in given:
            given[node].update((entry or {}).get('ros__parameters') or {})
    return {node: {key: value for key, value in values.items()
                   if key.partition('.')[0] not in OF_ROS} for node, values in given.items()}


def hash_of_weights(weights: str) -> str:
    """Return the SHA-256 of a file of weights, '' for the shipped one; of the name of no file."""
    content = b''.join(path.read_bytes() for path in files_of(weights)) or weights.encode()
    return hashlib.sha256(content).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what computes the figures."""
    found = {'python': platform.python_version(), 'machine': platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def differences(ours: dict, theirs: dict) -> list[str]:
    """Return 'KEY: OURS, there THEIRS' of what differs, in nested dictionaries."""
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [f'{key}.{line}' for line in differences(a, b)]
        elif a != b:
            found.append(f'{key}: {a!r}, there {b!r}')
    return found
