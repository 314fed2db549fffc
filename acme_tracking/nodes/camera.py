"""
The camera node: publishes the images of a device, file, folder, stream or rendered scene.

What it decides is in `sessions.camera`; here events become from what ROS and the source say, and
messages from images.  The session is asked on one thread, and the source is read on another one,
which can be left behind when it hangs.
"""
from __future__ import annotations

import functools
import threading

from acme_tracking.messages import ns_to_stamp
from acme_tracking.nodes.image_publishers import ImagePublishers, wait_until_delivered
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.reading import SourceThread
from acme_tracking.nodes.running import exit_with, now, run
from acme_tracking.sessions.camera import CameraParameters, CameraSession
from acme_tracking.sessions.events import (
    Activated,
    CloseSource,
    Configured,
    Deactivated,
    End,
    Listeners,
    OpenSource,
    Publish,
    ReadNext,
    Tick,
    WaitUntil,
    Woken,
)
from acme_tracking.sources import check_support, is_live, open_source
from acme_tracking.transport import largest_message
from std_msgs.msg import Header

# Seconds between two looks for what changed: subscriptions, parameters, the end of the process.
LOOK = 0.05
# Seconds that the process stays after its last message: shared memory goes away with it, and who
# listens must have read it.
LINGER = 0.5


class CameraNode(ManagedNode):
    """Publishes `image_raw`, `camera_info` and, when asked for, `image_raw/compressed`."""

    def __init__(self, **options):
        """Declare the parameters; `options` are those of `ManagedNode`."""
        super().__init__('camera', CameraParameters, **options)
        self._source = self._thread = None
        self._stopped, self._health_due = threading.Event(), threading.Event()

    # Lifecycle

    def configure(self):
        """Create the publishers; open a recorded source, so that a wrong one is known now."""
        wanted = self.parameters
        check_support(wanted.source)
        recording = None if is_live(wanted.source) else open_configured(wanted)
        if recording is not None:
            self._source = SourceThread(lambda: recording, self._clock_ns)
        self._session = CameraSession(
            wanted, recording.rate if recording else 0.0, largest_message())
        self._images = ImagePublishers(self, recording and recording.calibration)

    def activate(self):
        """Begin to publish; a recorded source goes on where it was stopped."""
        self._told = self._listening = self._wake = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name='camera', daemon=True)
        self._thread.start()

    def deactivate(self):
        """Stop publishing."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None
            self._tell(Deactivated(now()))

    def cleanup(self):
        """Close a recorded source."""
        self._leave_source()

    def diagnose(self):
        """Let the worker report."""
        self._health_due.set()

    # The worker

    def _work(self):
        self.guarded(self._begin)()
        turn = self.guarded(self._turn)
        while not self._stopped.is_set():
            turn()

    def _begin(self):
        self._look()
        self._tell(Activated(now()))

    def _look(self):
        """Tell the session what is not as it was when it was told."""
        if self._told is not self.parameters:
            self._told = self.parameters
            self._tell(Configured(now(), self._told))
        if (count := self._images.listeners()) != self._listening:
            self._listening = count
            self._tell(Listeners(now(), count))

    def _turn(self):
        """Tell the session what has happened, and wait for the source."""
        self._look()
        if self._health_due.is_set():
            self._health_due.clear()
            self._tell(Tick(now()))
        if self._wake is not None and now() >= self._wake:
            self._wake = None
            self._tell(Woken(now()))
        wait = LOOK if self._wake is None else min(max(self._wake - now(), 0) * 1e-9, LOOK)
        if self._source is None:
            self._stopped.wait(wait)
        elif (news := self._source.take(wait)) is not None:
            event, *values = news
            self._tell(event(now(), *values))

    def _tell(self, event):
        self.perform(self._session.on(event))

    def act(self, action):
        """Perform an action of the session."""
        match action:
            case Publish():
                self._publish(action)
            case ReadNext():
                self._source.read(action.restart)
            case WaitUntil():
                self._wake = action.time
            case OpenSource():
                self._source = SourceThread(functools.partial(
                    open_configured, action.parameters), self._clock_ns)
            case CloseSource():
                self._leave_source()
            case End():
                self._end(action.status)

    def _leave_source(self):
        if self._source is not None:
            self._source.leave()
            self._source = None

    def _publish(self, action):
        stamp = self._clock_ns() if action.stamp is None else action.stamp
        header = Header(stamp=ns_to_stamp(stamp), frame_id=self.parameters.frame_id)
        self._images.publish(action.image, header, self.parameters.jpeg_quality)
        self.count()

    def _end(self, status):
        """Let the last images leave, say on /diagnostics that it was all, and end the process."""
        wait_until_delivered(self._stopped, *self._images.all)
        self._tell(Tick(now()))
        wait_until_delivered(self._stopped, self._health.publisher)
        if not self._stopped.wait(LINGER):
            self.finish(status)

    def _clock_ns(self):
        return self.get_clock().now().nanoseconds


def open_configured(parameters: CameraParameters):
    """Return the source that the parameters name, opened; raises as `open_source` does."""
    return open_source(parameters.source, **parameters.source_options())


def main():
    """Run the camera node."""
    exit_with(run(CameraNode))


if __name__ == '__main__':
    main()
