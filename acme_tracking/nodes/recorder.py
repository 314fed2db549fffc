"""
The recorder node: watches a running graph, and leaves an annotated video and a summary.

It is what `acme_tracking demo` starts beside the nodes, of one camera or of several.
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
from acme_tracking.nodes.running import exit_with, now, run
from acme_tracking.parameters import parameter
from acme_tracking.sessions.cameras import below
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
    cameras: list[str] = parameter(
        [], 'Namespaces of several cameras; empty for one, in that of the node.', applies='start')


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
        names = self.parameters.cameras or ('',)
        progress_every = 200_000_000 if sys.stderr.isatty() else 5_000_000_000
        self._sessions = {name: RecorderSession(progress_every) for name in names}
        self._names, self._ended = list(names), set()
        self._video = AnnotatedVideo(self._folder / VIDEO, self._on_written, len(names))
        for name in names:
            for message_type, topic, event_of, qos in (
                    (Image, 'image_raw', self._image, IMAGES_QOS),
                    (Detection2DArray, 'tracks', self._tracks, TRACKS_QOS),
                    (Detection2DArray, 'detections', self._detections, TRACKS_QOS)):
                self.subscription(message_type, below(name, topic), self._taker(name, event_of),
                                  qos)
        self.subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, RELIABLE_QOS)

    def deactivate(self):
        """Write what has been recorded; also when the process is interrupted."""
        if self._video is None:
            return
        for name in self._names:
            self._tell(name, Deactivated(now()))
        video, self._video = self._video, None
        summaries = {name: session.summary() for name, session in self._sessions.items()}
        summary = summaries.get('', {'cameras': summaries})
        (self._folder / SUMMARY).write_text(json.dumps(summary, indent=2) + '\n')
        video.close()

    def diagnose(self):
        """Let the sessions report."""
        for name in self._names:
            self._tell(name, Tick(now()))

    # Messages to events

    def _taker(self, name, event_of):
        def take(message):
            self._tell(name, event_of(message, stamp_to_ns(message.header.stamp)))
        return take

    def _image(self, message, stamp):
        return ImageArrived(now(), stamp, message)

    def _tracks(self, message, stamp):
        age = self.get_clock().now().nanoseconds - stamp
        return TracksArrived(now(), stamp, detections_from_msg(message), age)

    def _detections(self, message, stamp):
        return DetectionsArrived(now(), stamp, detections_from_msg(message))

    def _on_diagnostics(self, message):
        for name in self._names:
            for node, _, _, values in diagnostics_from_msg(
                    message, f'{self.get_namespace()}/{name}'):
                if node in ('camera', 'tracker'):
                    self._tell(name, HealthArrived(now(), node, values))

    def _on_written(self, error, index):
        """Tell the session on the thread of the executor; this one is that of the video."""
        executor = self.executor
        if executor is not None:  # it is gone when the node is destroyed
            executor.create_task(
                lambda: self._tell(self._names[index], FrameWritten(now(), error)))

    def _tell(self, name, event):
        if self._video is not None:
            self._name = name  # of whom the actions are
            self.perform(self._sessions[name].on(event))

    # Actions

    def act(self, action):
        """Perform an action of the session of a camera."""
        index = self._names.index(self._name)
        match action:
            case WriteFrame():
                self._video.write(action.stamp, functools.partial(image_from_msg, action.image),
                                  action.tracks, 'CNN' if action.detector_ran else '', index)
            case Progress():
                if index == 0:
                    print(action.text, end='\r' if sys.stderr.isatty() else '\n',
                          file=sys.stderr, flush=True)
            case End():
                self._ended.add(self._name)
                if action.status or len(self._ended) == len(self._names):
                    self.finish(action.status)


def main():
    """Run the recorder node."""
    exit_with(run(RecorderNode))


if __name__ == '__main__':
    main()
