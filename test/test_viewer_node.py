"""The viewer's node: messages of a namespace reach what is shown, and broken ones do no harm."""
import pytest

pytest.importorskip('rerun', reason='needs acme_tracking[view]')

from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.nodes.viewer import ViewerNode  # noqa: E402
from acme_tracking.viewer.live import LiveRecording  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from test_viewer_recording import boxes, health, Notes, picture  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402


@pytest.mark.parametrize('compressed', [False, True])
def test_a_graph_is_shown(graph, compressed):
    notes = Notes()
    viewer = graph.add(ViewerNode(LiveRecording(lambda: notes, 'front'), 'front', compressed))
    assert viewer.get_fully_qualified_name() == '/front/viewer'
    images, tracks, detections, diagnostics = (
        graph.node.create_publisher(kind, topic, 10) for kind, topic in (
            (CompressedImage, '/front/image_raw/compressed') if compressed
            else (Image, '/front/image_raw'),
            (Detection2DArray, '/front/tracks'), (Detection2DArray, '/front/detections'),
            (DiagnosticArray, '/diagnostics')))
    graph.wait_until(lambda: all(one.get_subscription_count() for one in (
        images, tracks, detections, diagnostics)))
    stamps = iter(range(1, 10**6))

    def all_is_shown():
        """Images are best effort, and broken between."""
        stamp = next(stamps)
        whole = picture(stamp)
        if compressed:
            whole = CompressedImage(header=whole.header, format='jpeg', data=b'\xff\xd8')
        images.publish(whole)
        images.publish(type(whole)(header=picture(stamp + 1).header))
        tracks.publish(boxes(stamp, Detections.empty()))
        tracks.publish(boxes(stamp + 1, Detections.empty()))
        detections.publish(boxes(stamp, Detections.empty()))
        diagnostics.publish(health(low_confidence=str(stamp)))
        told = {name for name, *_ in notes.told}
        return told >= {'image', 'tracks', 'run', 'event', 'requests'}
    graph.wait_until(all_is_shown)
