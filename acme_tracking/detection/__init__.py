"""The CNN: network, checkpoint, pre- and post-processing.  It knows no tracks and no ROS."""
from acme_tracking.detection.checkpoint import CheckpointError
from acme_tracking.detection.detector import Detector

__all__ = ['CheckpointError', 'Detector']
