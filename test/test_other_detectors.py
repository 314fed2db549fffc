"""Other people's detectors: each head on a small network, descriptions that are wrong, the hub."""
import json
import sys

from acme_tracking.detection import runtimes
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.heads import HEADS
from acme_tracking.detection.runtimes import choose
from acme_tracking.weights_files import CheckpointError
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import pytest
import torch
import yaml

# Inputs are 96 x 64 pixels.  What each network finds: a box there, and a class of three.
BOX, LABEL = (24, 16, 56, 48), 1
STRIDES = 16, 32
GRID = [(x, y, stride) for stride in STRIDES for y in range(64 // stride)
        for x in range(96 // stride)]
AT = GRID.index((2, 2, 16))  # the point that finds it


def rows(columns, found, nothing=0.0):
    """Return one row for each point, of which one has found something."""
    values = np.full((len(GRID), columns), nothing, np.float32)
    values[AT] = found
    return values


def sides_of_box():
    left, top, right, bottom = BOX
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def yolox():
    x, y, width, height = sides_of_box()
    return [rows(8, [x / 16 - 2, y / 16 - 2, np.log(width / 16), np.log(height / 16), 1, 0, 1, 0])]


def yolov5():
    return [rows(8, [*sides_of_box(), 1, 0, 1, 0])]


def yolov8():
    return [rows(7, [*sides_of_box(), 0, 1, 0]).T]


def nanodet():
    bins = np.full((4, 8), -30.0)
    for side, distance in enumerate((8, 16, 24, 16)):  # from the point at 32, 32, in pixels
        low = distance // 16
        bins[side, low], bins[side, low + 1] = ((0, -30) if distance % 16 == 0 else (0, 0))
    return [rows(35, [0, 1, 0, *bins.ravel()])]


def queries(columns, found, nothing):
    x, y, width, height = sides_of_box()
    boxes = rows(4, [x / 96, y / 64, width / 96, height / 64], 0.5)
    return [rows(columns, found, nothing), boxes]


def detr():
    logits, boxes = queries(4, [0, 9, 0, 0], 0)
    logits[np.arange(len(logits)) != AT, 3] = 9  # nothing
    return [logits, boxes]


def rtdetr():
    return queries(3, [-9, 9, -9], -9)


def detections():
    return [np.array([BOX, (0, 0, 9, 9)], np.float32), np.array([LABEL, 2]),
            np.array([1, 0.01], np.float32)]


OUTPUTS = {each.__name__: each for each in (yolox, yolov5, yolov8, nanodet, detr, rtdetr,
                                            detections)}


def model(path, nodes, constants, outputs, shape):
    """Write an ONNX file; `outputs` are name -> (type, shape)."""
    graph = helper.make_graph(
        nodes, 'small', [helper.make_tensor_value_info('image', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, *each) for name, each in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid('', 18)]),
              path)
    return path


def network(path, values, shape=(1, 3, 64, 96)):
    """Write a network of two layers that says `values` times the mean brightness of the image."""
    nodes = [helper.make_node('ReduceMean', ['image'], ['mean'], keepdims=0)]
    constants, outputs = {}, {}
    for number, value in enumerate(values):
        value = value if len(shape) == 3 else value[None]
        constants[f'value{number}'] = value
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        outputs[f'out{number}'] = kind, value.shape
        nodes.append(helper.make_node('Cast', ['mean'], [f'mean{number}'], to=kind))
        nodes.append(helper.make_node('Mul', [f'value{number}', f'mean{number}'],
                                      [f'out{number}']))
    return model(path, nodes, constants, outputs, shape)


def seen(path, shape=(1, 3, 64, 96)):
    """Write a network whose box is the mean of the three channels of its input, as x y w, h 10."""
    nodes = [helper.make_node('ReduceMean', ['image', 'axes'], ['means'], keepdims=0),
             helper.make_node('Concat', ['means', 'rest'], ['row'], axis=1),
             helper.make_node('Unsqueeze', ['row', 'first'], ['out'])]
    constants = {'axes': np.array([2, 3]), 'first': np.array([1]),
                 'rest': np.array([[10, 1, 1]], np.float32)}
    return model(path, nodes, constants, {'out': (TensorProto.FLOAT, (1, 1, 6))}, shape)


def describe(path, **entries):
    path.with_suffix('.yaml').write_text(yaml.safe_dump(
        {'classes': {0: 'person', 1: 'car', 2: 'car'}, **entries}))
    return path


@pytest.mark.parametrize('head', OUTPUTS)
def test_each_head_gives_boxes_of_the_image(tmp_path, head):
    shape = (3, 64, 96) if head == 'detections' else (1, 3, 64, 96)
    path = describe(network(tmp_path / 'their.onnx', OUTPUTS[head](), shape), head=head,
                    strides=list(STRIDES), std=[255, 255, 255])
    detector = Detector.from_checkpoint(path, half=False, threads=1)
    assert detector.names.tolist() == ['person', 'car'] and f'head {head}' in str(detector)
    found = detector(np.full((128, 192, 3), 255, np.uint8))
    assert found.labels.tolist() == ['car']
    np.testing.assert_allclose(found.boxes, [[2 * side for side in BOX]], atol=0.1)
    assert found.scores[0] > 0.99
    detector.configure(tiles=2)
    assert len(detector(np.full((128, 192, 3), 255, np.uint8))) > 1, 'one image after the other'


def test_every_head_is_tried():
    assert list(OUTPUTS) == list(HEADS)


@pytest.mark.parametrize(('entries', 'expected'), [
    ({}, (30, 20, 10)), ({'order': 'bgr'}, (10, 20, 30)),
    ({'mean': [10, 0, 0], 'std': [2, 4, 1]}, (10, 5, 10))])
def test_the_input_is_as_described(tmp_path, entries, expected):
    path = describe(seen(tmp_path / 'their.onnx'), head='yolov5', classes={0: 'car'}, **entries)
    runtime, _ = choose(path, half=False)
    (boxes, scores, labels), = runtime(np.full((1, 64, 96, 3), (10, 20, 30), np.uint8))
    x, y, width = expected
    np.testing.assert_allclose(boxes, [[x - width / 2, y - 5, x + width / 2, y + 5]], atol=1e-3)
    assert (scores.tolist(), labels.tolist()) == ([1.0], [0])


def test_an_image_keeps_its_aspect_and_the_rest_is_padding(tmp_path):
    path = describe(seen(tmp_path / 'their.onnx'), head='yolov5', classes={0: 'car'}, pad=60)
    runtime, _ = choose(path, half=False)
    size = runtime.size(100, 200, runtime.input_size)
    assert size == (32, 64)
    (boxes, _, _), = runtime(np.zeros((1, 64, 32, 3), np.uint8))
    assert boxes[0, 1] + 5 == pytest.approx(40), 'two thirds are padding'
    describe(path, head='yolov5', classes={0: 'car'}, resize='stretch')
    assert choose(path)[0].size(100, 200, runtime.input_size) == (96, 64)


def test_a_file_of_any_size_takes_the_described_one(tmp_path):
    path = describe(seen(tmp_path / 'their.onnx', ['batch', 3, 'height', 'width']), head='yolov5')
    with pytest.raises(CheckpointError, match='no fixed size, expected size: .width, height.'):
        choose(path)
    describe(path, head='yolov5', classes={0: 'car'}, size=[160, 96])
    assert choose(path)[0].size(160, 96, round((160 * 96) ** 0.5)) == (160, 96)
    detector = Detector.from_checkpoint(path)
    detector.configure(input_size=512)
    with pytest.raises(ValueError, match='input_size is 512, .* only takes 160 x 96'):
        detector(np.zeros((20, 20, 3), np.uint8))


def test_classes_that_nobody_wants_are_not_reported(tmp_path):
    path = describe(network(tmp_path / 'their.onnx', yolov8()), head='yolov8',
                    std=[255, 255, 255], classes={0: 'person', 2: 'bus'})
    assert runtimes.classes_of(path) == ('person', 'bus')
    assert len(Detector.from_checkpoint(path)(np.full((64, 96, 3), 255, np.uint8))) == 0


@pytest.mark.parametrize(('entries', 'reason'), [
    ({'head': 'yolov3'}, 'head is yolov3, expected one of yolox, yolov5,'),
    ({'head': ['x']}, r"head is \['x'\], expected one of"),
    ({'classes': ['car']}, "classes is .'car'., expected index: name"),
    ({'classes': {-1: 'car'}}, 'classes is {-1: .*expected index: name'),
    ({'classes': {7: 'car'}}, 'classes have the index 7, expected one below 3'),
    ({'size': [96]}, 'size is .*expected width and height from 16 to 4096'),
    ({'size': [96, 9999]}, 'size is .96, 9999., expected width and height from 16 to 4096'),
    ({'size': '96x64'}, 'size is 96x64, expected width and height'),
    ({'resize': 'crop'}, 'resize is crop, expected one of letterbox, stretch'),
    ({'order': 'gbr'}, 'order is gbr, expected one of bgr, rgb'), ({'pad': 256}, 'pad is 256'),
    ({'mean': [1, 2]}, 'mean is .1, 2., expected three finite numbers'),
    ({'std': [0, 1, 1]}, 'std is .0, 1, 1., expected three numbers above 0'),
    ({'strides': []}, 'strides is .., expected some whole numbers'),
    ({'head': 'yolox'}, r'strides 8, 16, 32 expects 126 points for 96 x 64, got 30'),
    ({'head': 'nanodet'}, r'head nanodet .*expects'),
    ({'head': 'detr'}, r'head detr expects logits .* got outputs of \(1, 30, 8\)'),
    ({'head': 'detections'}, r'head detections expects boxes \(N, 4\)'),
    ({'colour': 'blue'}, 'an entry is colour, expected one of classes, head, mean')])
def test_a_wrong_description_is_named(tmp_path, entries, reason):
    path = network(tmp_path / 'their.onnx', yolov5())
    describe(path, **{'head': 'yolov5', **entries})
    with pytest.raises(CheckpointError, match=f'their.onnx: .*{reason}'):
        choose(path)


@pytest.mark.parametrize('text', ['head: yolov5\n', '- a\n', 'a: &x [1]\nb: *x\n', '{', '\0'])
def test_what_is_no_description_is_refused(tmp_path, text):
    path = network(tmp_path / 'their.onnx', yolov5())
    path.with_suffix('.yaml').write_text(text)
    for use in choose, runtimes.classes_of:
        with pytest.raises(CheckpointError, match='their.yaml'):
            use(path)


def test_a_file_without_a_description_says_where_one_should_be(tmp_path):
    path = network(tmp_path / 'their.onnx', yolov5())
    with pytest.raises(CheckpointError, match='expected a description beside it: .*their.yaml'):
        choose(path)


@pytest.mark.parametrize('shape', [(1, 1, 64, 96), (1, 64, 96, 3), (64, 96)])
def test_an_input_that_is_no_image_is_refused(tmp_path, shape):
    path = describe(network(tmp_path / 'their.onnx', yolov5(), shape), head='yolov5')
    with pytest.raises(CheckpointError, match='expected one input of .1, 3, H, W. or .3, H, W.'):
        choose(path)


# The Hugging Face hub


@pytest.fixture(scope='module')
def hub_model(tmp_path_factory):
    """Give the folder of a small YOLOS, as the hub has large ones."""
    transformers = pytest.importorskip('transformers', reason='an extra')
    folder = tmp_path_factory.mktemp('hub')
    names = dict(enumerate(['N/A', 'Person', 'car', 'dog']))
    configuration = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=[64, 96], patch_size=16, num_detection_tokens=10, id2label=names,
        label2id={name: index for index, name in names.items()})
    model = transformers.AutoModelForObjectDetection.from_config(configuration)
    model.save_pretrained(folder)
    (folder / 'preprocessor_config.json').write_text(json.dumps({
        'image_mean': [0.1, 0.2, 0.3], 'image_std': [0.5, 0.25, 1.0], 'rescale_factor': 1 / 255,
        'do_normalize': True, 'size': {'shortest_edge': 64, 'longest_edge': 96}}))
    return folder, model


def test_a_model_of_the_hub_says_what_it_says_there(hub_model):
    folder, model = hub_model
    runtime, _ = choose(f'hf:{folder}', device='cpu', half=False)
    assert (runtime.classes, runtime.input_size) == (('person', 'car'), 64)
    assert runtime.size(640, 480, 64) == (85, 64) and runtime.size(64, 640, 64) == (10, 96)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    found = list(runtime(images))
    rgb = images[..., ::-1] / 255
    pixels = torch.tensor((rgb - [0.1, 0.2, 0.3]) / [0.5, 0.25, 1.0]).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = model.eval()(pixel_values=pixels)
    likely = expected.logits.softmax(-1)[..., [1, 2]].max(-1)
    x, y, w, h = (expected.pred_boxes * torch.tensor([96, 64, 96, 64])).unbind(-1)
    boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)
    for index in range(2):
        np.testing.assert_allclose(found[index][0], boxes[index], atol=0.05)
        np.testing.assert_allclose(found[index][1], likely.values[index], atol=1e-3)
    detector = Detector.from_checkpoint(f'hf:{folder}', score_threshold=0.0)
    assert set(detector(images[0]).labels.tolist()) <= {'person', 'car'}


def test_a_model_that_the_hub_does_not_have_is_named(hub_model, monkeypatch, tmp_path):
    with pytest.raises(CheckpointError, match=f'hf:{tmp_path}: OSError: .'):
        choose(f'hf:{tmp_path}', device='cpu')
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(CheckpointError, match='hf:some/one needs the package transformers'):
        choose('hf:some/one', device='cpu')
