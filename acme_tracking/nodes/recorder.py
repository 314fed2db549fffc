"""
The recorder node: watches a running graph, and leaves an annotated video and a summary.

It is what `acme_tracking demo` starts beside the three nodes.
"""
from __future__ import annotations

from dataclasses import dataclass
import functools
import json
from pathlib import Path
import sys

from acme_tracking.annotated_video import AnnotatedVideo
from acme_tracking.messages import (
    detections_from_msg,
    diagnostics_from_msg,
    image_from_msg,
    stamp_to_ns,
)
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.quality import RELIABLE_QOS
from acme_tracking.nodes.running import now, run
from acme_tracking.parameters import parameter
from acme_tracking.sessions.events import (
    Deactivated,
    DetectionsArrived,
    End,
    FrameWritten,
    HealthArrived,
    ImageArrived,
    Progress,
    Tick,
    TracksArrived,
    WriteFrame,
)
from acme_tracking.sessions.recorder import RecorderSession
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

# Deeper than a consumer needs: the recorder must not lose what others received.
IMAGES_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TRACKS_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
VIDEO, SUMMARY = 'tracked.mp4', 'summary.json'


@dataclass(frozen=True)
class RecorderParameters:
    """Where to record."""

    out: str = parameter('out', 'Folder for the video and the summary.', applies='start')


class RecorderNode(ManagedNode):
    """Turns messages into events of a `RecorderSession`, and its frames into a video."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('recorder', RecorderParameters)
        self._video = None

    def configure(self):
        """Make the folder."""
        self._folder = Path(self.parameters.out)
        self._folder.mkdir(parents=True, exist_ok=True)

    def activate(self):
        """Start to listen."""
        self._session = RecorderSession(200_000_000 if sys.stderr.isatty() else 5_000_000_000)
        self._video = AnnotatedVideo(self._folder / VIDEO, self._on_written)
        self.subscription(Image, 'image_raw', self._on_image, IMAGES_QOS)
        self.subscription(Detection2DArray, 'tracks', self._on_tracks, TRACKS_QOS)
        self.subscription(Detection2DArray, 'detections', self._on_detections, TRACKS_QOS)
        self.subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, RELIABLE_QOS)

    def deactivate(self):
        """Write what has been recorded; also when the process is interrupted."""
        if self._video is None:
            return
        self._tell(Deactivated(now()))
        video, self._video = self._video, None
        path = self._folder / SUMMARY
        path.write_text(json.dumps(self._session.summary(), indent=2) + '\n')
        video.close()

    def diagnose(self):
        """Let the session report."""
        self._tell(Tick(now()))

    # Messages to events

    def _on_image(self, message):
        self._tell(ImageArrived(now(), stamp_to_ns(message.header.stamp), message))

    def _on_tracks(self, message):
        stamp = stamp_to_ns(message.header.stamp)
        age = self.get_clock().now().nanoseconds - stamp
        self._tell(TracksArrived(now(), stamp, detections_from_msg(message), age))

    def _on_detections(self, message):
        self._tell(DetectionsArrived(now(), stamp_to_ns(message.header.stamp),
                                     detections_from_msg(message)))

    def _on_diagnostics(self, message):
        for node, _, _, values in diagnostics_from_msg(message, self.get_namespace()):
            if node in ('camera', 'tracker'):
                self._tell(HealthArrived(now(), node, values))

    def _on_written(self, error):
        """Tell the session on the thread of the executor; this one is that of the video."""
        executor = self.executor
        if executor is not None:  # it is gone when the node is destroyed
            executor.create_task(lambda: self._tell(FrameWritten(now(), error)))

    def _tell(self, event):
        if self._video is not None:
            self.perform(self._session.on(event))

    # Actions

    def act(self, action):
        """Perform an action of the session."""
        match action:
            case WriteFrame():
                self._video.write(action.stamp, functools.partial(image_from_msg, action.image),
                                  action.tracks, 'CNN' if action.detector_ran else '')
            case Progress():
                print(action.text, end='\r' if sys.stderr.isatty() else '\n', file=sys.stderr,
                      flush=True)
            case End():
                self.finish(action.status)


def main():
    """Run the recorder node."""
    sys.exit(run(RecorderNode))


if __name__ == '__main__':
    main()
