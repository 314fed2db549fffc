"""
Exports a checkpoint to ONNX, which runs without torch and without this package.

The file does all that is between a resized image and scored boxes.  Its metadata hold what the
header of the checkpoint does, under the same key, and more, see `export`.
"""
from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

from acme_tracking import __version__
from acme_tracking.detection import checkpoint
from acme_tracking.detection.network import EndToEnd
from acme_tracking.detection.options import NMS_THRESHOLD, SCORE_THRESHOLD
from acme_tracking.files import write_whole
from acme_tracking.weights_files import KEY, to_header
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import torch

OPSET = 18  # old enough for the runtimes in use, new enough for torch
LARGE = 1024  # values from which on a tensor is written in half precision


def export(path, out, suppression=False, score_threshold=SCORE_THRESHOLD,
           nms_threshold=NMS_THRESHOLD, int8_on=None) -> None:
    """
    Write the network of a checkpoint to `out`, whole or not at all.

    Its input `images` is uint8 (B, H, W, 3), blue green red, with H and W multiples of 32.  The
    outputs are `boxes`, float32 (B, P, 4) as x1 y1 x2 y2 in pixels of the input, `scores` (B, P)
    and `labels` (B, P), as indices of the classes.  With `suppression` only those at or above the
    score threshold that no better one of its class overlaps, N of all images together: `boxes`
    (N, 4), `scores` (N,), `labels` (N,) and `image` (N,), the index of the image.  Weights are in
    half precision, as in a checkpoint; what runs them may compute as it likes.  int8_on: images,
    uint8 (H, W, 3), on which the ranges of 8-bit integers are found, in which the backbone shall
    compute, see `quantization`; None for none of it.

    Metadata: `acme_tracking`, the header; `weights_sha256`, of the checkpoint; and the default
    `score_threshold` and `nms_threshold`.  The version is that of the producer.

    Raises CheckpointError for a bad checkpoint, and ValueError when there is no image.
    """
    network, specification = checkpoint.load(path)
    model = _traced(EndToEnd(network, specification).eval())
    if int8_on is not None:
        from acme_tracking.detection.quantization import quantize
        model = quantize(model, int8_on, specification.input_size)
    if suppression:
        _suppress(model.graph, len(specification.classes), score_threshold, nms_threshold)
    _halve(model.graph)
    model.producer_name = KEY
    model.producer_version = __version__
    helper.set_model_props(model, {
        KEY: to_header(specification),
        'weights_sha256': hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        'score_threshold': str(score_threshold), 'nms_threshold': str(nms_threshold)})
    onnx.checker.check_model(model)
    write_whole(out, lambda new: new.write_bytes(model.SerializeToString()))


def _traced(network) -> onnx.ModelProto:
    """Return a network as ONNX, for batches of any number and size of images."""
    batch, rows, columns = (torch.export.Dim(name) for name in ('batch', 'rows', 'columns'))
    # it says what of torchvision it misses, which nothing here needs
    logging.getLogger('torch.onnx._internal.exporter._registration').setLevel(logging.ERROR)
    program = torch.onnx.export(
        network, (torch.zeros(2, 64, 96, 3, dtype=torch.uint8),), dynamo=True, verbose=False,
        opset_version=OPSET, input_names=['images'], output_names=['boxes', 'scores', 'labels'],
        dynamic_shapes=({0: batch, 1: 32 * rows, 2: 32 * columns},))
    content = io.BytesIO()
    program.save(content)
    model = onnx.load_model_from_string(content.getvalue())
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input,
                 *model.graph.output):
        del part.metadata_props[:]  # where in which source each was made
    return model


def _halve(graph) -> None:
    """Store large tensors in half precision, each with a node that brings it back."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= LARGE:
            name, half = tensor.name, f'{tensor.name}_half'
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node('Cast', [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _suppress(graph, classes, score_threshold, nms_threshold) -> None:
    """Put non-maximum suppression behind the outputs of a graph, whose names they keep."""
    names = [output.name for output in graph.output]
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name in names:
                node.output[place] = f'all_{name}'
        for place, name in enumerate(node.input):
            if name in names:
                node.input[place] = f'all_{name}'
    constants = {
        'depth': np.array(classes), 'off_on': np.array([0, 1], np.float32),
        'last': np.array([2]), 'most': np.array([200]), 'first_column': np.array(0),
        'second_column': np.array(1), 'image_and_point': np.array([0, 2]),
        'iou': np.array([nms_threshold], np.float32),
        'score': np.array([score_threshold], np.float32)}
    graph.initializer.extend(numpy_helper.from_array(value, f'suppression_{name}')
                             for name, value in constants.items())
    steps = [
        ('OneHot', 'all_labels depth off_on', 'hot', {}),
        ('Unsqueeze', 'all_scores last', 'score_column', {}),
        ('Mul', 'hot score_column', 'by_class', {}),
        ('Transpose', 'by_class', 'class_scores', {'perm': [0, 2, 1]}),
        ('NonMaxSuppression', 'all_boxes class_scores most iou score', 'chosen', {}),
        ('Gather', 'chosen image_and_point', 'places', {'axis': 1}),
        ('GatherND', 'all_boxes places', 'boxes', {}),
        ('GatherND', 'all_scores places', 'scores', {}),
        ('Gather', 'chosen second_column', 'labels', {'axis': 1}),
        ('Gather', 'chosen first_column', 'image', {'axis': 1})]
    kept = {*names, 'image', *(f'all_{name}' for name in names)}
    for kind, inputs, output, attributes in steps:
        named = [name if name in kept else f'suppression_{name}'
                 for name in [*inputs.split(), output]]
        graph.node.append(helper.make_node(kind, named[:-1], named[-1:], **attributes))
    del graph.output[:], graph.value_info[:]
    graph.output.extend([
        helper.make_tensor_value_info('boxes', TensorProto.FLOAT, ['objects', 4]),
        helper.make_tensor_value_info('scores', TensorProto.FLOAT, ['objects']),
        helper.make_tensor_value_info('labels', TensorProto.INT64, ['objects']),
        helper.make_tensor_value_info('image', TensorProto.INT64, ['objects'])])
