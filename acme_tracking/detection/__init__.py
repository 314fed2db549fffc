"""The CNN: network, checkpoint, pre- and post-processing.  It knows no tracks and no ROS."""
import os

# Threads of torch that wait shall sleep, not spin: camera and trackers need the core, and beside
# a busy process a spinning half of a team keeps the other half from moving to the core that it
# could have (measured on two cores: a training step took 8 s instead of 2.4).  Read by the OpenMP
# library when torch loads it.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from acme_tracking.detection.checkpoint import CheckpointError  # noqa: E402
from acme_tracking.detection.detector import Detector  # noqa: E402

__all__ = ['CheckpointError', 'Detector']
