"""The processes of a training: one, or as many as `torchrun` started, one for each GPU."""
from __future__ import annotations

from datetime import timedelta
import os

import torch
from torch import distributed

PATIENCE = timedelta(hours=2)  # the others wait while the first one validates


class Processes:
    """
    What is different when several processes train one network, each on batches of its own.

    rank, count: which process this is, and of how many.
    device: where it computes.
    """

    def __init__(self):
        """Meet the others, if torchrun started any."""
        self.rank, self.count = (int(os.environ.get(name, default))
                                 for name, default in (('RANK', 0), ('WORLD_SIZE', 1)))
        on_gpu = torch.cuda.is_available()
        self.device = torch.device('cuda' if on_gpu else 'cpu')
        if self.count > 1:
            if on_gpu:
                self.device = torch.device('cuda', int(os.environ['LOCAL_RANK']))
                torch.cuda.set_device(self.device)
            distributed.init_process_group('nccl' if on_gpu else 'gloo', timeout=PATIENCE)

    @property
    def first(self) -> bool:
        """Tell whether this is the one process that shows, validates and saves."""
        return self.rank == 0

    def parallel(self, network):
        """Return the network to call in a training step: gradients are averaged."""
        if self.count == 1:
            return network
        return torch.nn.parallel.DistributedDataParallel(network)

    def mean(self, value: float) -> float:
        """Return the mean of a number over all processes; all must ask."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return tensor.item() / self.count

    def close(self) -> None:
        """Part from the others."""
        if self.count > 1:
            distributed.destroy_process_group()
