"""Files in config/: parameters that exist, for any namespace, and topics that the graph has."""
import json
import re

from acme_tracking.nodes.camera import CameraNode
from acme_tracking.nodes.tracker import TrackerNode
from acme_tracking.parameters import with_values
from acme_tracking.sessions.camera import CameraParameters
from acme_tracking.sessions.detection import DetectorParameters
from acme_tracking.sessions.location import LocatorParameters
from acme_tracking.sessions.tracking import TrackerParameters
from acme_tracking.share import share
from diagnostic_msgs.msg import DiagnosticArray
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2DArray
import yaml

NODES = {'camera': CameraParameters, 'detector': DetectorParameters, 'tracker': TrackerParameters,
         'locator': LocatorParameters}
CONFIG = yaml.safe_load(share('config/tracking.yaml').read_text())
RVIZ = yaml.safe_load(share('config/tracking.rviz').read_text())['Visualization Manager']
FOXGLOVE = json.loads(share('config/foxglove.json').read_text())


def test_is_for_the_four_nodes_in_any_namespace():
    assert CONFIG.keys() == {f'/**/{name}' for name in NODES}


@pytest.mark.parametrize('name', NODES)
def test_parameters_exist_and_have_their_defaults(name):
    values = CONFIG[f'/**/{name}']['ros__parameters']
    assert with_values(NODES[name](), values) == NODES[name]()


def test_the_example_of_several_cameras_is_of_those_that_its_detector_names():
    example = yaml.safe_load(share('config/cameras.yaml').read_text())
    names = example['/**/detector']['ros__parameters']['cameras']
    for path, values in example.items():
        *_, camera, node = path.split('/')
        assert camera in ('**', *names)
        with_values(NODES[node](), values['ros__parameters'])


@pytest.fixture
def topics(graph):
    """Give the types of the topics of a camera and a tracker, and of what the detector adds."""
    for node in CameraNode(), TrackerNode():
        assert graph.add(node).trigger_configure()

    def found():
        names = dict(graph.node.get_topic_names_and_types())
        return names if {'/image_raw', '/tracks'} <= names.keys() else None
    return {**graph.wait_until(found), '/detections': ['vision_msgs/msg/Detection2DArray']}


def name_of(message_type):
    """Return the name that ROS has for the class of a message."""
    return f'{message_type.__module__.split(".")[0]}/msg/{message_type.__name__}'


def test_rviz_shows_images_that_are_published(topics):
    shown = [display['Topic'] for display in RVIZ['Displays']]
    assert {topic['Value'] for topic in shown} == {'image_raw', 'tracker/debug_image'}
    for topic in shown:
        assert topics['/' + topic['Value']] == [name_of(Image)], 'relative, for any namespace'
        assert (topic['Reliability Policy'], topic['Depth']) == ('Reliable', 5)
    assert RVIZ['Global Options']['Fixed Frame'] == CameraParameters().frame_id


def panels(kind):
    """Return the settings of the only Foxglove panel of a kind."""
    settings, = (value for name, value in FOXGLOVE['configById'].items()
                 if name.startswith(f'{kind}!'))
    return settings


def laid_out(layout):
    """Return the names of the panels in a layout, from left to right and from the top."""
    return [layout] if isinstance(layout, str) else [
        *laid_out(layout['first']), *laid_out(layout['second'])]


def test_foxglove_shows_topics_that_are_published(topics):
    assert sorted(laid_out(FOXGLOVE['layout'])) == sorted(FOXGLOVE['configById'])
    image = panels('Image')['imageMode']
    assert topics[image['imageTopic']] == [name_of(CompressedImage)]
    assert topics[image['calibrationTopic']] == [name_of(CameraInfo)]
    assert topics[panels('RawMessages')['topicPath']] == [name_of(Detection2DArray)]
    assert topics[panels('DiagnosticSummary')['topicToRender']] == [name_of(DiagnosticArray)]


def test_foxglove_plots_fields_that_messages_have(topics):
    for path in panels('Plot')['paths']:
        topic, *fields = re.sub(r'\[[^]]*\]', '', path['value']).split('.')
        assert topics[topic] == [name_of(Detection2DArray)]
        message_type = Detection2DArray
        for field in fields:
            form = message_type.get_fields_and_field_types()[field]
            match = re.fullmatch(r'(?:sequence<)?(\w+)/(\w+)>?', form)
            message_type = match and getattr(
                __import__(f'{match[1]}.msg', fromlist=['msg']), match[2])
        assert form == 'double'


def test_rviz_shows_what_the_locator_publishes():
    shown = yaml.safe_load(share('config/positions.rviz').read_text())['Visualization Manager']
    topics = {display['Topic']['Value'] for display in shown['Displays'] if 'Topic' in display}
    assert topics == {'tracks_3d', 'track_motions', 'nearest_in_path', 'tracker/debug_image'}
    assert shown['Global Options']['Fixed Frame'] == LocatorParameters().base_frame
