"""The policy for SROS2 allows each node what it really uses, and nobody else its parameters."""
from fnmatch import fnmatch
from xml.etree import ElementTree

from acme_tracking.nodes.camera import CameraNode
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.locator import LocatorNode
from acme_tracking.nodes.tracker import TrackerNode
from acme_tracking.share import share
import pytest
from rclpy.parameter import Parameter

POLICY = ElementTree.parse(share('config/sros2_policy.xml')).getroot()


def allowed(node, kind, right):
    """Return the full names, with wildcards, that a node of the policy has a right to."""
    names = []
    for group in POLICY.iterfind(f".//profile[@node='{node}']/{kind}"):
        assert set(group.attrib.values()) == {'ALLOW'}
        if right in group.attrib:
            names += [item.text.replace('~', f'/{node}') if item.text[0] in '/~'
                      else f'/{item.text}' for item in group]
    return names


@pytest.mark.parametrize('node_type, compressed', [
    (CameraNode, True), (DetectorNode, False), (DetectorNode, True), (TrackerNode, None),
    (LocatorNode, None)])
def test_a_node_may_do_what_it_does(graph, node_type, compressed):
    node = graph.add(node_type(parameter_overrides=[
        Parameter('compressed', value=compressed)] if compressed is not None else []))
    assert node.start()
    used = {
        ('topics', 'publish'): node.get_publisher_names_and_types_by_node,
        ('topics', 'subscribe'): node.get_subscriber_names_and_types_by_node,
        ('services', 'reply'): node.get_service_names_and_types_by_node,
        ('services', 'request'): node.get_client_names_and_types_by_node}
    # the graph learns of a node's own, too, by and by
    graph.wait_until(lambda: '/diagnostics' in dict(
        node.get_publisher_names_and_types_by_node(node.get_name(), '/')))
    for (kind, right), names_of in used.items():
        rights = allowed(node.get_name(), kind, right)
        names = [name for name, _ in names_of(node.get_name(), '/')]
        assert [name for name in names if not any(
            fnmatch(name, pattern) for pattern in rights)] == [], (kind, right)


def test_only_the_operator_may_set_parameters():
    for node in 'camera', 'detector', 'tracker', 'locator':
        assert allowed(node, 'services', 'request') == (
            ['/redetect', '/redetect/routine'] if node == 'tracker' else [])
    assert allowed('operator', 'services', 'request') == ['/*']
