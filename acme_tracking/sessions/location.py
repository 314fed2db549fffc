"""
What the locator node does: tracks, calibration and depth images in, positions in metres out.

`Locator` computes; this decides what reaches it: which depth image belongs to which tracks, what
is missing or cannot be used, and what is worth saying.  Where something is missing there is no
position, never a guess.
"""
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
import math

from acme_tracking.parameters import parameter
from acme_tracking.positions.camera import Calibration, Camera, Mount
from acme_tracking.positions.locator import Locator, PositionParameters
from acme_tracking.sessions.events import (
    CameraInfoArrived,
    Configured,
    DepthArrived,
    MountFound,
    PublishPositions,
    Refused,
    Report,
    Reset,
    Tick,
    TracksArrived,
    Warn,
)
import numpy as np

SECOND = 1_000_000_000
# Tracks this much older than the last are not late, time itself went back.
TIME_JUMP = SECOND // 10
# Tracks are missed when none came for so long.
SILENCE = 2 * SECOND
# What is missing at the start may still come; then it is said.
PATIENCE = 5 * SECOND
# Tracks wait for their depth image for so long, and so many of either are kept.
DEPTH_PATIENCE, MOST_WAITING = SECOND // 2, 16


@dataclass(frozen=True)
class LocatorParameters(PositionParameters):
    """The parameters of the core, and those of the node."""

    mount_from: str = parameter(
        'parameters', 'Where the pose of the camera comes from: parameters, those that follow, or '
        'tf (which needs tf2_ros), the transform from the frame of the images to base_frame, '
        'whose z = 0 is the ground.', choices=('parameters', 'tf'), applies='configure')
    base_frame: str = parameter('base_link', 'Frame of the vehicle, in which positions are: x '
                                'forward, y left, z up, the ground at z = 0.')
    camera_x: float = parameter(0.0, 'The camera ahead of the origin of base_frame, in metres.',
                                minimum=-100.0, maximum=100.0)
    camera_y: float = parameter(0.0, 'The camera to the left of it, in metres.', minimum=-100.0,
                                maximum=100.0)
    camera_height: float = parameter(1.5, 'The camera above the ground, in metres.', minimum=0.1,
                                     maximum=500.0)
    camera_roll: float = parameter(0.0, 'Clockwise as seen from behind the camera, in degrees.',
                                   minimum=-180.0, maximum=180.0)
    camera_pitch: float = parameter(0.0, 'How far the camera looks down, in degrees.',
                                    minimum=-90.0, maximum=90.0)
    camera_yaw: float = parameter(0.0, 'How far it looks to the left, in degrees.',
                                  minimum=-180.0, maximum=180.0)
    rectified: bool = parameter(False, 'Whether the images that are tracked are rectified: then P '
                                'of camera_info counts, else K and D.')
    depth_tolerance: float = parameter(
        0.005, 'How far the stamps of tracks and their depth image may be apart.', minimum=0.0,
        maximum=1.0)

    def mount(self) -> Mount:
        """Return the mount that the parameters say."""
        return Mount.from_angles(
            self.camera_x, self.camera_y, self.camera_height,
            *map(math.radians, (self.camera_roll, self.camera_pitch, self.camera_yaw)))


class LocationSession:
    """Events in, actions out; see `events`."""

    def __init__(self, parameters: LocatorParameters, time: int):
        """Begin at a time."""
        self.parameters = parameters
        self._counts = Counter()
        self._said: set[str] = set()
        self._begun = self._tracks_at = time
        self._calibration: Calibration | None = None
        self._camera: Camera | None = None
        self._camera_error = ''
        self._found_mount, self._mount_error = None, ''
        self._trouble = ''  # with depth, at present
        self._start_anew()

    def on(self, event) -> list:
        """Take an event; return what is to be done, in this order."""
        return self._HANDLERS[type(event)](self, event)

    def _start_anew(self):
        self._locator = Locator(self.parameters)
        self._newest: int | None = None
        self._waiting, self._depths = deque(maxlen=MOST_WAITING), deque(maxlen=MOST_WAITING)

    # What is known of the camera

    def _camera_info_arrived(self, event):
        if event.calibration == self._calibration:
            return []
        self._calibration = event.calibration
        return self._calibrate()

    def _calibrate(self):
        self._locator = Locator(self.parameters)
        if self._calibration is None:
            return []
        try:
            self._camera = Camera(self._calibration, self.parameters.rectified)
        except ValueError as error:
            self._camera, self._camera_error = None, str(error)
            return self._say('camera_info', f'no positions, as camera_info is no use: {error}')
        return self._fine('camera_info')

    def _mount_found(self, event):
        self._found_mount, self._mount_error = event.mount, event.why
        return [] if event.mount is None else self._fine('mount')

    @property
    def _mount(self):
        return (self.parameters.mount() if self.parameters.mount_from == 'parameters'
                else self._found_mount)

    # Tracks and depth

    def _tracks_arrived(self, event):
        self._tracks_at = event.time
        self._counts['tracks'] += 1
        actions = []
        if self._newest is not None and event.stamp <= self._newest:
            if self._newest - event.stamp < TIME_JUMP:
                self._counts['out_of_order_tracks'] += 1
                return []
            actions.append(Warn(f'time jumped back by {(self._newest - event.stamp) / SECOND:.3f} '
                                's: all positions are forgotten', 'info'))
            self._start_anew()
        self._newest = event.stamp
        if event.tracks.ids is None and len(event.tracks):
            return actions + self._say('ids', 'no positions, as the tracks have no decimal ids')
        if self.parameters.source == 'ground':
            return actions + self._locate(event)
        self._waiting.append(event)
        return actions + self._pair(event.time)

    def _depth_arrived(self, event):
        self._counts['depth_images'] += 1
        self._depths.append(event)
        return self._pair(event.time)

    def _pair(self, time):
        """Locate the tracks whose depth image is there; give up those that waited long enough."""
        actions = []
        tolerance = self.parameters.depth_tolerance * SECOND
        for event in list(self._waiting):
            depth = min(self._depths, key=lambda item: abs(item.stamp - event.stamp), default=None)
            if depth is not None and abs(depth.stamp - event.stamp) <= tolerance:
                while self._waiting[0] is not event:
                    actions += self._give_up(self._waiting.popleft())
                self._waiting.popleft()
                actions += self._locate(event, depth.depth)
        while self._waiting and time - self._waiting[0].time > DEPTH_PATIENCE:
            actions += self._give_up(self._waiting.popleft())
        return actions

    def _give_up(self, event):
        self._counts['tracks_without_depth'] += 1
        nearest = min((abs(item.stamp - event.stamp) for item in self._depths), default=None)
        self._trouble = 'no depth images' if nearest is None else (
            f'no depth image has the stamp of the tracks, the nearest is {nearest / SECOND:.3f} s '
            'off')
        return self._say('depth', f'no positions: {self._trouble}')

    def _locate(self, event, depth=None):
        size = self._size()
        if size is None:
            return []  # nothing can be told, and what is missing is said by and by
        if depth is not None and depth.shape != size[::-1]:
            self._counts['tracks_without_depth'] += 1
            self._trouble = (f'depth images of {depth.shape[1]} x {depth.shape[0]} do not fit '
                             f'camera_info, {size[0]} x {size[1]}')
            return self._say('depth', f'no positions: {self._trouble}')
        tracks = event.tracks
        if tracks.ids is None:
            tracks = replace(tracks, ids=np.empty(0, np.int64))
        positions = self._locator.locate(event.stamp, tracks, size, self._camera, self._mount,
                                         depth)
        self._counts['located'] += int(positions.known.sum())
        self._counts['not_located'] += int((~positions.known).sum())
        located = self._camera is not None and self._mount is not None
        return [PublishPositions(event.stamp, positions, self.parameters.path_width, located),
                *(self._judge(positions) if located and depth is not None else [])]

    def _judge(self, positions):
        """Say when a depth image has no depth where the tracks are."""
        if not len(positions):
            return []
        if positions.known.any():
            self._trouble = ''
            return self._fine('depth')
        self._trouble = 'the depth image has no depth where the tracks are'
        return self._say('depth', f'no positions: {self._trouble} (said once)')

    def _size(self):
        """Return width and height of the images, None while nobody says it."""
        if self._calibration is None or min(self._calibration.width,
                                            self._calibration.height) < 1:
            return None
        return self._calibration.width, self._calibration.height

    # Parameters, and what is said

    def _configured(self, event):
        before, self.parameters = self.parameters, event.parameters
        if before != event.parameters:
            self._trouble = ''
            self._start_anew()
        return self._calibrate()

    def _reset(self, event):
        self._start_anew()
        return []

    def _refused(self, event):
        self._counts[f'refused_{event.what}'] += 1
        return self._say(f'refused {event.what}', f'refused {event.what}: {event.why}')

    def _say(self, what, text):
        if what in self._said:
            return []
        self._said.add(what)
        return [Warn(text)]

    def _fine(self, what):
        """Be ready to say it again, as it is well now."""
        self._said.discard(what)
        return []

    def _tick(self, event):
        actions = self._pair(event.time)
        message = self._what_is_missing(event.time)
        missing = 'no camera_info' if self._calibration is None else 'mount'
        if event.time - self._begun > PATIENCE and (
                self._calibration is None or self._mount is None):
            actions += self._say(missing, f'no positions: {message}')
        return [*actions, Report('warning' if message else 'ok', message or 'locating', {
            'source': self.parameters.source,
            **{name: self._counts[name] for name in (
                'tracks', 'out_of_order_tracks', 'located', 'not_located', 'depth_images',
                'tracks_without_depth', 'refused_tracks', 'refused_camera_info',
                'refused_depth')}})]

    def _what_is_missing(self, time):
        if self._calibration is None:
            return 'no camera_info'
        if self._camera is None:
            return f'camera_info is no use: {self._camera_error}'
        if self._mount is None:
            return f'no transform to base_frame: {self._mount_error}'
        if time - self._tracks_at > SILENCE:
            return 'no tracks'
        return self._trouble if self.parameters.source == 'depth' else ''

    _HANDLERS = {
        TracksArrived: _tracks_arrived, CameraInfoArrived: _camera_info_arrived,
        DepthArrived: _depth_arrived, MountFound: _mount_found, Refused: _refused,
        Configured: _configured, Reset: _reset, Tick: _tick,
    }
