"""The trackers of OpenCV that are networks, with networks made here in place of a user's."""
from acme_tracking import geometry
from acme_tracking.tracking.tracker import MultiObjectTracker, TrackingParameters
from acme_tracking.tracking.visual import availability, make_tracker
import numpy as np
import pytest

onnx = pytest.importorskip('onnx')

SIDE = 40


def image(left, top):
    picture = np.full((240, 320, 3), 60, dtype=np.uint8)
    picture[top:top + SIDE, left:left + SIDE] = 220
    return picture


def save(path, nodes, inputs, outputs, **constants):
    """Write a network of nodes (operation, inputs, outputs, attributes)."""
    def tensors(shapes):
        return [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                for name, shape in shapes.items()]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operation, sources, [result], **attributes)
         for operation, sources, result, attributes in nodes], 'network', tensors(inputs),
        tensors(outputs), [onnx.numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
                           for name, value in constants.items()])
    model = onnx.helper.make_model(graph, ir_version=8,
                                   opset_imports=[onnx.helper.make_opsetid('', 13)])
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def nano(tmp_path):
    """Give the weights of a tracker that goes where it is brightest, and expects 64 pixels."""
    pool = {'kernel_shape': [64, 64], 'strides': [16, 16], 'pads': [24, 24, 25, 25]}
    backbone = save(
        tmp_path / 'backbone.onnx',
        [('Conv', ['input', 'mean'], 'grey', {}), ('AveragePool', ['grey'], 'output', pool)],
        {'input': [1, 3, 'h', 'w']}, {'output': [1, 1, 'y', 'x']},
        mean=np.full((1, 3, 1, 1), 1 / 3 / 255))
    neckhead = save(
        tmp_path / 'neckhead.onnx',
        [('Conv', ['input2', 'gain', 'offset'], 'output1', {}),
         ('Conv', ['input2', 'nothing', 'sides'], 'output2', {})],
        {'input1': [1, 1, 8, 8], 'input2': [1, 1, 16, 16]},
        {'output1': [1, 2, 16, 16], 'output2': [1, 4, 16, 16]},
        gain=np.array([-20, 20]).reshape(2, 1, 1, 1), offset=[10, -10],
        nothing=np.zeros((4, 1, 1, 1)), sides=[24, 24, 40, 40])
    return [backbone, neckhead]


def test_it_follows_with_the_weights_of_the_user(nano):
    tracker = make_tracker('nano', nano)
    tracker.start(image(100, 80), [100, 80, 100 + SIDE, 80 + SIDE])
    for step in range(1, 8):
        left, top = 100 + 4 * step, 80 + 2 * step
        box, confidence = tracker.update(image(left, top))
        assert geometry.iou(box, [left, top, left + SIDE, top + SIDE])[0, 0] > 0.5
        assert 0.5 < confidence <= 1


def test_the_core_makes_it_from_its_parameters(nano):
    MultiObjectTracker(TrackingParameters(tracker='nano', tracker_weights=nano))
    with pytest.raises(RuntimeError, match='needs weights, the files backbone.onnx and neckhead'):
        MultiObjectTracker(TrackingParameters(tracker='nano'))


def test_weights_that_do_not_fit_are_refused_by_name(nano, tmp_path):
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'not a network')
    with pytest.raises(ValueError, match=r'broken.onnx are not vit.onnx'):
        make_tracker('vit', [str(broken)])
    with pytest.raises(RuntimeError, match='missing.onnx: no such file'):
        make_tracker('vit', [str(tmp_path / 'missing.onnx')])
    with pytest.raises(RuntimeError, match='needs weights, the files vit.onnx, got'):
        make_tracker('vit', nano)
    with pytest.raises(ValueError, match="'csrt' takes no weights"):
        make_tracker('csrt', nano)


def test_without_weights_the_factory_says_what_is_missing():
    assert 'needs weights, the files vit.onnx, got none' in availability()['vit']
