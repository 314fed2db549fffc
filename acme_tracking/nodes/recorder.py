"""
The recorder node: watches a running graph, and leaves an annotated video and a summary.

It is what `acme_tracking demo` starts beside the three nodes.
"""
from __future__ import annotations

from dataclasses import dataclass
import itertools
import json
from pathlib import Path
import queue
import sys
import threading
import time

from acme_tracking.drawing import draw_tracks
from acme_tracking.messages import detections_from_msg, image_from_msg, stamp_to_ns
from acme_tracking.nodes.managed import ManagedNode, run
from acme_tracking.nodes.quality import RELIABLE_QOS
from acme_tracking.parameters import parameter
import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

# Deeper than a consumer needs: drawing and encoding must not lose what others received.
IMAGES_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TRACKS_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
# A frame waits so long (seconds) before it is drawn, for the detector to answer about it.
DRAWING_DELAY = 1.0
# After the camera has ended, tracks and counts may still come for so long (seconds).
LAST_ANSWERS = 3.0
VIDEO, SUMMARY = 'tracked.mp4', 'summary.json'


@dataclass(frozen=True)
class RecorderParameters:
    """Where to record."""

    out: str = parameter('out', 'Folder for the video and the summary.', applies='start')


class RecorderNode(ManagedNode):
    """Pairs images with their tracks by stamp; drawing happens on a thread of its own."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('recorder', RecorderParameters)
        self._writer = None

    def configure(self):
        """Make the folder."""
        self._folder = Path(self.parameters.out)
        self._folder.mkdir(parents=True, exist_ok=True)

    def activate(self):
        """Start to listen."""
        self._images, self._tracked, self._detected = {}, {}, set()
        self._image_count = 0
        self._latencies, self._ids = [], set()
        self._health = {}
        self._camera_ended_at = None
        self._progress_at = 0.0
        self._writer = VideoWriter(self._folder / VIDEO)
        self.subscription(Image, 'image_raw', self._on_image, IMAGES_QOS)
        self.subscription(Detection2DArray, 'tracks', self._on_tracks, TRACKS_QOS)
        self.subscription(Detection2DArray, 'detections', self._on_detections, TRACKS_QOS)
        self.subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, RELIABLE_QOS)
        self._timer = self.create_timer(0.1, self._look_for_the_end)

    def deactivate(self):
        """Write what has been recorded; also when the process is interrupted."""
        if self._writer is None:
            return
        self.destroy_timer(self._timer)
        self._draw(before=None)
        self._writer.close()
        self._writer = None
        path = self._folder / SUMMARY
        path.write_text(json.dumps(self.summary(), indent=2) + '\n')

    def summary(self) -> dict:
        """Return the figures of the run; latencies in milliseconds, None before any track."""
        camera, tracker = self._values('camera'), self._values('tracker')
        tracked = len(self._latencies)
        images = max(int(camera.get('images', 0)), self._image_count, tracked)
        p50, p95 = (np.percentile(self._latencies, [50, 95]).round(1).tolist()
                    if tracked else (None, None))
        return {
            'images': images,
            'tracked_images': tracked,
            'image_delivery': round(tracked / images, 4) if images else None,
            'tracks': len(self._ids),
            'detector_runs': len(self._detected),
            'requests': {key.removeprefix('requests.'): int(value)
                         for key, value in tracker.items() if key.startswith('requests.')},
            'latency_ms': {'p50': p50, 'p95': p95},
        }

    def _values(self, node) -> dict:
        """Return what the camera or the tracker beside this node last said on /diagnostics."""
        return self._health.get(f'{self.get_namespace().rstrip("/")}/{node}', {})

    def _on_image(self, message):
        self._image_count += 1
        self._images[stamp_to_ns(message.header.stamp)] = message

    def _on_tracks(self, message):
        stamp = stamp_to_ns(message.header.stamp)
        self._latencies.append((self.get_clock().now().nanoseconds - stamp) * 1e-6)
        tracks = detections_from_msg(message)
        self._ids.update(tracks.ids.tolist() if tracks.ids is not None else ())
        self._tracked[stamp] = tracks
        self._draw(before=stamp - int(DRAWING_DELAY * 1e9))
        self._show_progress()

    def _on_detections(self, message):
        self._detected.add(stamp_to_ns(message.header.stamp))

    def _on_diagnostics(self, message):
        for status in message.status:
            self._health[status.name] = {
                'message': status.message, **{pair.key: pair.value for pair in status.values}}

    def _draw(self, before):
        """Hand the frames up to a stamp (None: all) to the writer, in order."""
        due = sorted(stamp for stamp in self._tracked if before is None or stamp <= before)
        for stamp in due:
            tracks, message = self._tracked.pop(stamp), self._images.pop(stamp, None)
            if message is not None:
                self._writer.write(stamp, message, tracks, stamp in self._detected)
        if due:
            for stamp in [stamp for stamp in self._images if stamp < due[-1]]:
                del self._images[stamp]

    def _look_for_the_end(self):
        if self._values('camera').get('state') != 'ended':
            return
        now = time.monotonic()
        self._camera_ended_at = self._camera_ended_at or now
        expected, tracked = int(self._values('camera')['images']), len(self._latencies)
        complete = tracked >= expected and int(self._values('tracker').get('images', 0)) >= tracked
        if complete or now - self._camera_ended_at > LAST_ANSWERS:
            self.finish()

    def _show_progress(self):
        now = time.monotonic()
        if now - self._progress_at < (0.2 if sys.stderr.isatty() else 5.0):
            return
        self._progress_at = now
        recent = np.median(self._latencies[-30:])
        line = (f'  {len(self._latencies):5} images   {len(self._ids):4} tracks   '
                f'{len(self._detected):4} detector runs   latency {recent:4.0f} ms')
        print(line, end='\r' if sys.stderr.isatty() else '\n', file=sys.stderr, flush=True)


class VideoWriter:
    """Draws and encodes frames in order on a thread, at the mean rate of their stamps."""

    # Frames that the rate is taken from.
    RATE_FRAMES = 20

    def __init__(self, path: Path):
        """Write to `path`, which is made with the first frames."""
        self._path = path
        self._error = None
        self._frames = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, stamp: int, message, tracks, detector_ran: bool) -> None:
        """Append a frame: stamp in nanoseconds, sensor_msgs/Image, its tracks."""
        self._frames.put((stamp, message, tracks, detector_ran))

    def close(self) -> None:
        """Finish the file; returns when it is complete, raises what made writing fail."""
        self._frames.put(None)
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self):
        try:
            self._encode()
        except Exception as error:
            self._error = error

    def _encode(self):
        frames = iter(self._frames.get, None)
        head = list(itertools.islice(frames, self.RATE_FRAMES))
        if not head:
            return
        seconds = (head[-1][0] - head[0][0]) * 1e-9
        rate = (len(head) - 1) / seconds if seconds > 0 else 10.0
        encoder = None
        for _, message, tracks, detector_ran in itertools.chain(head, frames):
            picture = draw_tracks(image_from_msg(message), tracks, 'CNN' if detector_ran else '')
            if encoder is None:
                encoder = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*'mp4v'), rate,
                                          picture.shape[1::-1])
            encoder.write(picture)
        encoder.release()


def main():
    """Run the recorder node."""
    sys.exit(run(RecorderNode))


if __name__ == '__main__':
    main()
