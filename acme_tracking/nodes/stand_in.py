"""
The detector node without a CNN: it answers with detections that were made before.

It takes the time it is told to, so that `acme_tracking evaluate --live` can be compared with the
same latency offline, on a machine of any speed.
"""
from __future__ import annotations

import time

from acme_tracking.detection.detector import Detector
from acme_tracking.evaluation.cache import read_detections
from acme_tracking.messages import stamp_to_ns
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.managed import run


class StandInNode(DetectorNode):
    """Serves and publishes as `DetectorNode` does; only what is found comes from a file."""

    def __init__(self):
        """Declare the parameters: the file, and how long an answer takes in seconds."""
        super().__init__()
        self._known = read_detections(self.declare_parameter('detections', '').value)
        self._seconds = self.declare_parameter('latency', 0.1).value

    def _infer(self, run, detector: Detector):
        stamp = stamp_to_ns(run.message.header.stamp)
        if stamp in self._known:
            run.detections = self._known[stamp]
            time.sleep(max(0.0, run.started + self._seconds - time.monotonic()))
        else:
            run.error = KeyError(f'no detections of the image at {stamp}')
        self._finished.put(run)
        self._wake.trigger()


def main():
    """Run the node until it is asked to end."""
    raise SystemExit(run(StandInNode))


if __name__ == '__main__':
    main()
