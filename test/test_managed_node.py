"""What every node of the package has in common, over DDS."""
import gc
import os
import weakref

from acme_tracking.nodes.camera import CameraNode
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.tracker import TrackerNode
from conftest import Graph
from diagnostic_msgs.msg import DiagnosticArray
import pytest


def sockets():
    """Return how many sockets this process has; each DDS participant has five."""
    links = [f'/proc/self/fd/{name}' for name in os.listdir('/proc/self/fd')]
    return sum(os.readlink(link).startswith('socket:') for link in links if os.path.lexists(link))


@pytest.mark.parametrize('node_type', [CameraNode, DetectorNode, TrackerNode])
def test_an_active_node_that_is_destroyed_leaves_nothing_behind(node_type):
    """A leak of participants ends in a graph where nobody is found: DDS looks for some 32."""
    Graph().close()  # the first one of a process opens three sockets that stay
    before = sockets()
    graph, heard = Graph(), []
    graph.node.create_subscription(
        DiagnosticArray, '/diagnostics', heard.append, 10)
    node = graph.add(node_type())
    assert node.start() and node.state == 'active'
    graph.wait_until(heard.__len__)
    assert sockets() > before
    kept = weakref.ref(node)
    graph.close()
    del graph, node
    gc.collect()  # only now nothing here refers to them
    assert kept() is None
    assert sockets() == before
