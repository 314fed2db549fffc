"""
The detector node without a CNN: it answers with detections that were made before.

It takes the time it is told to, so that `acme_tracking evaluate --live` can be compared with the
same latency offline, on a machine of any speed.
"""
from __future__ import annotations

from dataclasses import dataclass
import time

from acme_tracking.evaluation.cache import read_detections
from acme_tracking.messages import stamp_to_ns
from acme_tracking.nodes.detector import DetectorNode
from acme_tracking.nodes.running import exit_with, run
from acme_tracking.parameters import parameter
from acme_tracking.sessions.detection import DetectorParameters


@dataclass(frozen=True)
class StandInParameters(DetectorParameters):
    """The parameters of the detector, of which most are no use here, and two more."""

    detections: str = parameter('', 'File of what was found before.', applies='configure',
                                opens=True)
    latency: float = parameter(0.1, 'How long an answer takes.', minimum=0.0, maximum=3600.0)


class Known:
    """A network that found everything before."""

    device, together = 'file', 1

    def __init__(self, parameters):
        """Read the file."""
        self._detections = read_detections(parameters.detections)

    @staticmethod
    def check(parameters) -> None:
        """Take all that is meant for a CNN."""

    def __call__(self, messages, parameters):
        """Return what was found on the images of these stamps, after the latency."""
        stamps = [stamp_to_ns(message.header.stamp) for message in messages]
        for stamp in stamps:
            if stamp not in self._detections:
                raise ValueError(f'no detections of the image at {stamp}')
        time.sleep(parameters.latency)
        return [self._detections[stamp] for stamp in stamps]

    def __str__(self):
        """Say how much it is."""
        return f'knows the detections of {len(self._detections)} images'


class StandInNode(DetectorNode):
    """Serves and publishes as `DetectorNode` does; only what is found comes from a file."""

    def __init__(self, **options):
        """Declare the parameters; `options` are those of `ManagedNode`."""
        super().__init__(StandInParameters, Known, **options)


def main():
    """Run the node until it is asked to end."""
    exit_with(run(StandInNode))


if __name__ == '__main__':
    main()
