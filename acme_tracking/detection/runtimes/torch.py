"""torch, which runs checkpoints: on CUDA, and on CPUs for training and for who did not export."""
from __future__ import annotations

from acme_tracking.detection import checkpoint
from acme_tracking.detection.network import EndToEnd, fuse
from acme_tracking.detection.runtimes.processor import has_bfloat16
from acme_tracking.detection.views import input_size
import torch

# A GPU takes hardly longer for a few small images than for one, a CPU so many times as long.
TOGETHER = 4
# Shapes of a batch that are kept ready on CUDA; each holds the memory of a run.
GRAPHS = 2 * TOGETHER


class Torch:
    """A network of torch; see `Runtime`."""

    def __init__(self, network, specification, device='cpu', half=False, threads=None):
        """
        Take a network for inference.

        half: float16 on CUDA, bfloat16 on CPUs that have it.  threads: of torch, from now on in
        the calling thread; None leaves them.
        """
        if threads:
            torch.set_num_threads(threads)
        self.classes, self.input_size = specification.classes, specification.input_size
        self.device, self.together = device, 1 if device == 'cpu' else TOGETHER
        self._dtype = fast_type(device) if half else torch.float32
        self.network = network.eval().to(device, self._dtype, memory_format=torch.channels_last)
        self._whole = EndToEnd(self.network, specification, self._dtype).to(device)
        self._graphs = {}

    @classmethod
    def load(cls, path, device='cpu', half=True, threads=None) -> Torch:
        """Return the runtime of a checkpoint; CheckpointError for a bad one."""
        network, specification = checkpoint.load(path)
        return cls(fuse(network), specification, device, half, threads)

    def __str__(self):
        """Say what runs it, where and how exactly."""
        where = f'{torch.get_num_threads()} CPU threads' if self.device == 'cpu' \
            else torch.cuda.get_device_name(self.device)
        return f'torch {torch.__version__} in {str(self._dtype).partition(".")[2]} on {where}'

    def size(self, width, height, side):
        """Return the size that keeps the aspect of an image; see `Runtime`."""
        return input_size(width, height, side)

    @torch.inference_mode()
    def __call__(self, images):
        """Look at images; see `Runtime`."""
        batch = torch.from_numpy(images)
        found = self._whole(batch) if self.device == 'cpu' else self._replay(batch)
        return zip(*(tensor.cpu().numpy() for tensor in found))

    def _replay(self, batch):
        """
        Run the kernels that a run of this size once started, without starting each.

        An image of 1280 x 720 took 7.4 ms, of which 3.7 ms were spent waiting for starts.
        """
        shape = tuple(batch.shape)
        if shape not in self._graphs:
            while len(self._graphs) >= GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[shape] = self._capture(shape)
        graph, images, found = self._graphs[shape]
        images.copy_(batch)
        graph.replay()
        return found

    def _capture(self, shape):
        """Return a CUDA graph, and the tensors that it reads and writes."""
        images = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        stream = torch.cuda.Stream()  # the first runs, which choose algorithms, are not captured
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._whole(images)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = self._whole(images)
        return graph, images, found


def fast_type(device) -> torch.dtype:
    """Return the type that is quicker than float32 on a device."""
    if device != 'cpu':
        return torch.float16
    return torch.bfloat16 if has_bfloat16() else torch.float32
