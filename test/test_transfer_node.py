"""A class that the detector never saw, end to end: crops, transfer, node parameter, `tracks`."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from acme_tracking.cli import main
from acme_tracking.messages import detections_from_msg, image_to_msg
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.processes import Processes
from acme_tracking.scene import Scene
from acme_tracking.share import share
from acme_tracking.training.data.bank import crops, Sample
import cv2
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

NAMESPACE = '/kinds'
NAMES = ('dark vehicle', 'light vehicle')
VEHICLES = ('car', 'truck', 'bus')


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Train kinds of vehicles that only their brightness tells, on crops of the rendered road."""
    folder, found = tmp_path_factory.mktemp('kinds'), []
    for seed in (20, 21, 22):
        scene = Scene(width=640, height=360, seed=seed, density=0.5)
        for index in range(0, 600, 75):
            truth = scene.truth(index)
            chosen = np.isin(truth.labels, VEHICLES) & (truth.visibility > 0.9)
            sample = Sample(scene.render(index), truth.boxes[chosen], truth.labels[chosen])
            found += [crop.image for crop in crops([sample], 0.1)]
    brightness = [np.median(image[image.shape[0] // 4:3 * image.shape[0] // 4]) for image in found]
    for image, value in zip(found, brightness):
        path = folder / 'crops' / NAMES[int(value > np.median(brightness))]
        path.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path / f'{len(list(path.iterdir()))}.png'), image)
    assert len(found) > 40
    out = folder / 'run'
    assert main(['train', 'transfer', '--method', 'features', '--network', 'smaller_vgg',
                 '--weights', 'shipped', '--data', str(folder / 'crops'), '--size', '64',
                 '--threads', '1', '--out', str(out)]) == 0
    return out / 'classifier.safetensors'


def test_its_name_appears_in_tracks(classifier, graph):
    """With all nodes as they are used; people keep their name."""
    labels = set()
    graph.node.create_subscription(
        Detection2DArray, f'{NAMESPACE}/tracks',
        lambda array: labels.update(detections_from_msg(array).labels.tolist()), 100)
    processes = Processes(share('config/tracking.yaml'), 'default', NAMESPACE)
    try:
        processes.start('detector', classifier=str(classifier), refined_classes=list(VEHICLES))
        processes.start('tracker')
        processes.start('camera', source='synthetic', scene_density=0.5, scene_seed=31,
                        rate=10.0, wait_for_subscribers=2)
        graph.wait_until(lambda: labels & set(NAMES), timeout=60)
        assert not labels & set(VEHICLES)
    finally:
        processes.stop()


def test_the_classifier_can_be_exchanged_at_run_time(classifier, graph, tmp_path):
    node = graph.add(DetectorNode(parameter_overrides=[
        Parameter('allowed_paths', value=[str(classifier.parent), str(tmp_path)])]))

    def change(**parameters):
        return node.set_parameters([Parameter(name, value=value)
                                    for name, value in parameters.items()])
    def labels():
        graph.wait_until(lambda: not node._session._loading, 60)
        found, = node._inference.network([message], node.parameters)
        assert len(found) > 0
        return found.labels.tolist()
    assert node.start()
    road = Scene(width=640, height=360, seed=31, density=0.5)
    message = image_to_msg(road.render(60), Header())
    expected = labels()
    assert not set(expected) & set(NAMES)
    assert all(result.successful for result in change(classifier=str(classifier)))
    assert set(labels()) <= set(NAMES)
    (tmp_path / 'bad.safetensors').write_bytes(b'rubbish')
    for wrong in ({'classifier': str(tmp_path / 'bad.safetensors')},
                  {'refined_classes': ['zebra']}):
        result, = change(**wrong)
        assert not result.successful and ('bad' in result.reason or 'zebra' in result.reason)
    assert node.parameters.classifier == str(classifier)
    assert set(labels()) <= set(NAMES)
    assert change(classifier='')[0].successful
    assert labels() == expected
