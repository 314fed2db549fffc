"""
The locator node: tracks, camera_info and depth images in, positions in metres out.

What it decides is in `sessions.location`.  An image costs it some milliseconds, so all happens on
the executor's one thread.
"""
from __future__ import annotations

from acme_tracking.messages import (
    calibration_from_msg,
    depth_from_msg,
    detections_from_msg,
    motions_to_msg,
    ns_to_stamp,
    positions_to_msg,
    range_to_msg,
    stamp_to_ns,
)
from acme_tracking.nodes.managed import ManagedNode
from acme_tracking.nodes.quality import IMAGE_QOS, RELIABLE_QOS
from acme_tracking.nodes.running import exit_with, now, run
from acme_tracking.positions.camera import Mount
from acme_tracking.sessions.events import (
    CameraInfoArrived,
    Configured,
    DepthArrived,
    MountFound,
    Refused,
    Reset,
    Tick,
    TracksArrived,
)
from acme_tracking.sessions.location import LocationSession, LocatorParameters
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, Range
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray


class LocatorNode(ManagedNode):
    """Publishes `tracks_3d`, `track_motions` and `nearest_in_path`, each while someone listens."""

    def __init__(self, **options):
        """Declare the parameters; `options` are those of `ManagedNode`."""
        super().__init__('locator', LocatorParameters, **options)
        self._session = self._transforms = None

    def configure(self):
        """Begin a session; make the publishers; listen to tf if it is to be used."""
        self._session = LocationSession(self.parameters, now())
        self._tracks_3d = self.publisher(Detection3DArray, 'tracks_3d', RELIABLE_QOS)
        self._motions = self.publisher(PointCloud2, 'track_motions', RELIABLE_QOS)
        self._nearest = self.publisher(Range, 'nearest_in_path', RELIABLE_QOS)
        if self.parameters.mount_from == 'tf':
            self._transforms = Transforms(self)

    def activate(self):
        """Start to listen."""
        self._handle(Configured(now(), self.parameters))
        self.subscription(CameraInfo, 'camera_info', self._on_camera_info, IMAGE_QOS)
        self.subscription(Image, 'depth_image', self._on_depth, IMAGE_QOS)
        self.subscription(Detection2DArray, 'tracks', self._on_tracks, RELIABLE_QOS)

    def deactivate(self):
        """Forget the objects: by the next activation they are elsewhere."""
        if self._session is not None:
            self._handle(Reset(now()))

    def cleanup(self):
        """End the session."""
        if self._transforms is not None:
            self._transforms.close()
        self._session = self._transforms = None

    def parameters_changed(self, previous):
        """Use the new values from the next event on."""
        self._handle(Configured(now(), self.parameters))

    def diagnose(self):
        """Let the session report."""
        self._handle(Tick(now()))

    def _on_camera_info(self, message):
        self._take('camera_info', lambda: CameraInfoArrived(now(), calibration_from_msg(message)))

    def _on_depth(self, message):
        if self.parameters.source == 'depth':
            self._take('depth', lambda: DepthArrived(
                now(), stamp_to_ns(message.header.stamp), depth_from_msg(message)))

    def _on_tracks(self, message):
        if self._transforms is not None:
            self._handle(self._transforms.mount(self.parameters.base_frame,
                                                message.header.frame_id))
        self._take('tracks', lambda: TracksArrived(
            now(), stamp_to_ns(message.header.stamp), detections_from_msg(message)))

    def _take(self, what, event):
        try:
            event = event()
        except ValueError as error:
            event = Refused(now(), what, str(error))
        self._handle(event)

    def _handle(self, event):
        self.perform(self._session.on(event))

    def act(self, action):
        """Publish positions where someone listens."""
        header = Header(stamp=ns_to_stamp(action.stamp), frame_id=self.parameters.base_frame)
        positions, width = action.positions, action.path_width
        if action.located and self._tracks_3d.get_subscription_count():
            self._tracks_3d.publish(positions_to_msg(positions, header))
        if action.located and self._nearest.get_subscription_count():
            self._nearest.publish(range_to_msg(positions.nearest_in_path(width), header))
        if self._motions.get_subscription_count():
            self._motions.publish(motions_to_msg(positions, width, header))


class Transforms:
    """Where tf says that a camera is."""

    def __init__(self, node):
        """Listen to tf; raises ValueError where tf2_ros is not installed."""
        try:
            import tf2_ros
        except ImportError:
            raise ValueError('mount_from: tf needs tf2_ros, which is not installed: set the '
                             'camera_* parameters instead') from None
        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def mount(self, base: str, camera: str) -> MountFound:
        """Return the newest pose of a camera's optical frame."""
        try:
            found = self._buffer.lookup_transform(base, camera, Time()).transform
            place, turn = found.translation, found.rotation
            return MountFound(now(), Mount.from_quaternion(
                (place.x, place.y, place.z), turn.x, turn.y, turn.z, turn.w))
        except (self._error, ValueError) as error:
            return MountFound(now(), None, str(error))

    def close(self) -> None:
        """Listen no more."""
        self._listener.unregister()


def main():
    """Run the locator node."""
    exit_with(run(LocatorNode))


if __name__ == '__main__':
    main()
