"""OpenVINO, which runs ONNX files on CPUs (x86-64 and ARM)."""
from __future__ import annotations

import contextlib

from acme_tracking.detection import onnx_files
from acme_tracking.detection.description import description_of
from acme_tracking.detection.runtimes.processor import has_bfloat16
from acme_tracking.detection.specification import check_entries, MAXIMUM_BYTES, Specification
from acme_tracking.detection.views import input_size
from acme_tracking.weights_files import header, KEY, reading, specified
import numpy as np
import openvino

# The outputs of what `export` writes.
OUTPUTS = ['boxes', 'scores', 'labels']
TRIAL = 1, 64, 64, 3  # images that a file is tried with

# One for the whole process: the part for CPUs of each gives its thread a stack for signals, and
# when several end in the order in which they began, the thread is left with one that is no more.
# The next signal that Python hears of then ends the process, be it Ctrl-C or the end of a child.
_core = openvino.Core()


class OpenVino:
    """A network that was exported from a checkpoint; see `Runtime`."""

    device, together = 'cpu', 1

    def __init__(self, model, specification: Specification, half=True, threads=None):
        """Compile a model of OpenVINO; ValueError when it gives something else."""
        names = [output.any_name for output in model.outputs]
        if names != OUTPUTS or len(model.inputs) != 1:
            raise ValueError(f'its outputs are {", ".join(names)}, expected {", ".join(OUTPUTS)}; '
                             'suppression is left to the detector')
        self.classes, self.input_size = specification.classes, specification.input_size
        self._compiled = Compiled(model, half, threads)
        shapes = [each.shape for each in self._compiled(np.zeros(TRIAL, np.uint8))]
        points = shapes[1][1:]
        if shapes != [(1, *points, 4), (1, *points), (1, *points)]:
            raise ValueError(f'boxes, scores and labels of one image have the shapes {shapes}, '
                             'expected (1, P, 4), (1, P) and (1, P)')

    @classmethod
    def load(cls, path, half=True, threads=None) -> OpenVino:
        """Return the runtime of a file; CheckpointError for one that `export` did not write."""
        with reading(path, MAXIMUM_BYTES):
            content = onnx_files.read(path)
            specification = _specification(path, content)
            return cls(read_model(content), specification, half, threads)

    @staticmethod
    def inspect(path) -> tuple[str, ...]:
        """Return the classes of a file; raises as `load`, as far as its header shows."""
        with reading(path, MAXIMUM_BYTES):
            return _specification(path, onnx_files.read(path)).classes

    def __str__(self):
        """Say what runs it, where and how exactly."""
        return str(self._compiled)

    def size(self, width, height, side):
        """Return the size that keeps the aspect of an image; see `Runtime`."""
        return input_size(width, height, side)

    def __call__(self, images):
        """Look at images; see `Runtime`."""
        return zip(*self._compiled(images))


class Compiled:
    """A model on this machine's CPU: inputs in, outputs out, as arrays in their order."""

    def __init__(self, model, half, threads):
        """
        Compile a model of OpenVINO.

        half: compute in bfloat16 where the processor can.  Threads are bound to no core, as
        others want to work too.
        """
        half = half and has_bfloat16()
        options = {'PERFORMANCE_HINT': 'LATENCY', 'ENABLE_CPU_PINNING': False,
                   'INFERENCE_PRECISION_HINT': 'bf16' if half else 'f32'}
        if threads:
            options['INFERENCE_NUM_THREADS'] = threads
        with readable_errors():
            compiled = _core.compile_model(model, 'CPU', options)
        self._request = compiled.create_infer_request()
        numbers = ['8-bit integers'] * _is_quantized(model) + ['bfloat16' if half else 'float32']
        self._name = (f'OpenVINO {openvino.__version__.partition("-")[0]} in '
                      f'{" and ".join(numbers)} on '
                      f'{compiled.get_property("INFERENCE_NUM_THREADS")} CPU threads')

    def __str__(self):
        """Say what runs it, where and how exactly."""
        return self._name

    def __call__(self, *inputs) -> list:
        """Return the outputs for the inputs; ValueError when they do not fit."""
        with readable_errors():
            return list(self._request.infer(inputs).values())


def read_model(content: bytes):
    """Return the content of an ONNX file as a model; ValueError when it is none."""
    with readable_errors():
        return _core.read_model(content)


def _is_quantized(model):
    return any(part.get_type_name() == 'FakeQuantize' for part in model.get_ops())


@contextlib.contextmanager
def readable_errors():
    """Turn the exceptions of OpenVINO, pages long, into a ValueError of a line."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        said = [line for line in lines if line and not line.startswith('Exception from')]
        raise ValueError(f'OpenVINO cannot use it: {"; ".join(said)[:300]}') from error


def _specification(path, content) -> Specification:
    """Return what an exported file says of itself."""
    metadata = onnx_files.metadata(content)
    if KEY not in metadata:
        raise ValueError('an ONNX file of others, expected a description beside it: '
                         f'{description_of(path)}')
    return specified(header(metadata), Specification, check_entries)
