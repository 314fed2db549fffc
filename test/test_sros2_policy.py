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
    # what rcl adds by itself is in no list of the node
    own = {'/rosout', f'/{node.get_name()}/transition_event'}
    used = {('topics', 'publish'): own | {item.topic_name for item in node.publishers},
            ('topics', 'subscribe'): {item.topic_name for item in node.subscriptions},
            ('services', 'reply'): {node.resolve_service_name(item.srv_name)
                                    for item in node.services},
            ('services', 'request'): {node.resolve_service_name(item.srv_name)
                                      for item in node.clients}}
    assert '/diagnostics' in used['topics', 'publish']
    for (kind, right), names in used.items():
        rights = allowed(node.get_name(), kind, right)
        assert [name for name in names if not any(
            fnmatch(name, pattern) for pattern in rights)] == [], (kind, right)


def test_only_the_operator_may_set_parameters():
    for node in 'camera', 'detector', 'tracker', 'locator':
        assert allowed(node, 'services', 'request') == (
            ['/redetect', '/redetect/routine'] if node == 'tracker' else [])
    assert allowed('operator', 'services', 'request') == ['/*']
