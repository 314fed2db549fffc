"""config/tracking.yaml names parameters that exist, with their defaults, for any namespace."""
from acme_tracking.parameters import with_values
from acme_tracking.sessions.camera import CameraParameters
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.tracking import TrackerParameters
from acme_tracking.share import share
import pytest
import yaml

NODES = {'camera': CameraParameters, 'detector': DetectorParameters, 'tracker': TrackerParameters}
CONFIG = yaml.safe_load(share('config/tracking.yaml').read_text())


def test_is_for_the_three_nodes_in_any_namespace():
    assert CONFIG.keys() == {f'/**/{name}' for name in NODES}


@pytest.mark.parametrize('name', NODES)
def test_parameters_exist_and_have_their_defaults(name):
    values = CONFIG[f'/**/{name}']['ros__parameters']
    assert with_values(NODES[name](), values) == NODES[name]()
