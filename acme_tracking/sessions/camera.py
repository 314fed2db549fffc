"""
What the camera decides: when which image is published, when a source is opened again, and the end.

    inactive --Activated--> waiting    (a recording, for its subscribers)   --> running
             --Activated--> opening    (a live source)          --ImageRead-->  running
    opening, running --SourceFailed, silence--> lost --a while--> opening
    running --SourceEnded, duration--> ended, ended early or failed
    ended --Activated--> as above, from the first image
    any --Deactivated--> inactive

A recording is read one image ahead, and goes on after a pause where it stopped.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from acme_tracking.confinement import ConfinedParameters
from acme_tracking.parameters import parameter
from acme_tracking.scene import CAMERAS
from acme_tracking.sessions.events import (
    Activated,
    CloseSource,
    Configured,
    Deactivated,
    End,
    ImageRead,
    Listeners,
    OpenSource,
    Publish,
    ReadNext,
    Report,
    SourceEnded,
    SourceFailed,
    Tick,
    WaitUntil,
    Warn,
    Woken,
)
from acme_tracking.sources import DEFAULT_RATE, HIGHEST_RATE, is_live, LOWEST_RATE
from acme_tracking.sources.pacing import next_due, period_ns, thinned

SECOND = 10**9
# Between the arrival of the last awaited subscription and the first image: the publisher knows of
# the match before the other side does, and only then are images received.
SETTLE = SECOND // 2
RATE_WINDOW = 5 * SECOND  # of the published images that the reported rate is taken from
LEVELS = {'running': 'ok', 'waiting': 'warning', 'opening': 'warning', 'ended': 'ok',
          'ended early': 'warning', 'failed': 'error'}
OVER = 'ended', 'ended early', 'failed'


@dataclass(frozen=True)
class CameraParameters(ConfinedParameters):
    """The parameters of the camera node."""

    source: str = parameter(
        'synthetic', "'synthetic' (a rendered road), a video file, a folder of images, the index "
        'or path of a device, a URL (rtsp://, http:// ...), or gstreamer: and a pipeline that '
        'ends in appsink.', applies='configure', opens=True)
    rate: float = parameter(
        0.0, f'Images per second, at least {LOWEST_RATE:g}; 0 for the rate of the source, or the '
        'times that a video has of its own. A live source is thinned to it.', minimum=0.0,
        maximum=HIGHEST_RATE)
    loop: bool = parameter(False, 'Begin again at the end of a recorded source.')
    on_end: str = parameter(
        'exit', 'At the end of the source end the process (with exit status 1 when images are '
        'missing), or stay and publish nothing.', choices=('exit', 'hold'))
    duration: float = parameter(
        0.0, 'End after so many seconds of the source, pauses not counted; 0 for its own end.',
        minimum=0.0, maximum=1e6)
    width: int = parameter(
        0, 'Width to resize images to; 0 to keep it, or in proportion to the height.', minimum=0,
        maximum=8192, applies='configure')
    height: int = parameter(
        0, 'Height to resize images to; 0 to keep it, or in proportion to the width.', minimum=0,
        maximum=8192, applies='configure')
    frame_id: str = parameter(
        'camera_optical_frame', 'Frame of the headers: the optical frame of the camera.')
    camera_info_url: str = parameter(
        '', 'Calibration file (YAML of camera_calibration, a path or file://) for camera_info, '
        'scaled to the size of the images; empty for what the source knows (synthetic '
        'does), or their size and zeros.', applies='configure',
        opens=True)
    compressed: bool = parameter(
        False, 'Publish image_raw/compressed (JPEG) too.', applies='configure')
    jpeg_quality: int = parameter(80, 'Quality of compressed images.', minimum=1, maximum=100)
    wait_for_subscribers: int = parameter(
        0, 'A recorded source begins when its images have so many subscriptions, so that they get '
        'all of it.', minimum=0, maximum=1000)
    stream_timeout: float = parameter(
        5.0, 'A live source without an image for so many seconds is opened again.', minimum=0.1,
        maximum=600.0, applies='configure')
    reconnect_initial: float = parameter(
        0.5, 'Seconds until a source that dropped is opened again; doubled after each failure.',
        minimum=0.01, maximum=600.0)
    reconnect_maximum: float = parameter(
        10.0, 'Longest time in seconds between two attempts.', minimum=0.01, maximum=3600.0)
    scene_width: int = parameter(640, 'Width of the rendered road.', minimum=64, maximum=8192,
                                 applies='configure')
    scene_height: int = parameter(360, 'Height of the rendered road.', minimum=64, maximum=8192,
                                  applies='configure')
    scene_seed: int = parameter(0, 'Chooses road, light and traffic of the rendered road.',
                                minimum=0, applies='configure')
    scene_density: float = parameter(0.2, 'Traffic on the rendered road.', minimum=0.0,
                                     maximum=1.0, applies='configure')
    scene_camera: str = parameter(
        'fixed', 'How the rendered road is seen: by a fixed camera, by one in a car (driving, '
        'turning in tight bends, braking before people who cross), handheld on the pavement, or '
        'from a drone. Only a fixed one knows scene_target and scene_occlusion.',
        choices=CAMERAS, applies='configure')
    scene_target: str = parameter(
        '', 'One more object on the rendered road, which goes to and fro across the picture: car, '
        'truck, bus, motorcycle or person; empty for none.',
        choices=('', 'car', 'truck', 'bus', 'motorcycle', 'person'), applies='configure')
    scene_target_speed: float = parameter(
        4.0, 'Metres per second of scene_target.', minimum=0.01, maximum=50.0,
        applies='configure')
    scene_occlusion: list[float] = parameter(
        [], 'When a board hides scene_target (or else the object nearest to the middle) on the '
        'rendered road: [start, duration] in seconds; empty for never.', applies='configure')

    def source_options(self) -> dict:
        """Return the keyword arguments of `open_source`."""
        return {
            'timeout': self.stream_timeout, 'size': (self.width, self.height),
            'width': self.scene_width, 'height': self.scene_height, 'seed': self.scene_seed,
            'rate': self.rate or DEFAULT_RATE, 'density': self.scene_density,
            'camera': self.scene_camera,
            'target': self.scene_target or None, 'target_speed': self.scene_target_speed,
            'occlusion': self.scene_occlusion or None}

    def __post_init__(self):
        """Refuse a rate that is not 0 but so low that it can only be a mistake."""
        if isinstance(self.rate, float) and 0 < self.rate < LOWEST_RATE:
            raise ValueError(f"parameter 'rate' must be 0 or at least {LOWEST_RATE:g}, got "
                             f'{self.rate!r}')


class CameraSession:
    """One source, from the configuration of the node on; see the head of this file."""

    def __init__(self, parameters: CameraParameters, rate: float = 0.0, largest: int = 0):
        """
        Begin inactive; `rate` is that of an opened recording, images per second.

        largest: bytes of an image that the transport has room for, 0 for unknown.
        """
        self._largest, self._too_large = largest, ''
        self._configured = self._parameters = parameters
        self._live, self._source_rate = is_live(parameters.source), rate
        self._state, self._why = 'inactive', ''
        self._alarm = self._told = None  # when this state is over, and the latest `WaitUntil`
        self._listening = 0
        self._image = None  # of a recording: read, and not due yet
        self._offset = self._shown = None  # of it, and of the latest that was published
        self._reading = self._restart = False  # under way; and whether it is the first image
        self._due = None  # of the latest published image, for pacing; of the next, for thinning
        self._delay = None  # before the next attempt to open a source
        self._images = self._reconnects = 0
        self._broken = False  # lost while it ran
        self._spent, self._since = 0, None  # of `duration`; since when a live source adds to it
        self._times = deque(maxlen=100)  # of the latest published images

    def on(self, event) -> list:
        """Return the actions that follow from an event."""
        actions = list(self._HANDLERS[type(event)](self, event))
        wake = self._wake()
        if wake != self._told:
            self._told = wake
            actions.append(WaitUntil(wake))
        return actions

    def _wake(self):
        if self._state in ('inactive', *OVER):
            return None
        times = [self._alarm]
        if self._since is not None and self._parameters.duration:
            times.append(self._since + self._duration() - self._spent)
        return min((time for time in times if time is not None), default=None)

    # The node

    def _on_configured(self, event):
        self._parameters = event.parameters
        if self._state == 'waiting':
            yield from self._await_listeners(event.time)
        elif self._image is not None and self._state == 'running':
            yield from self._show(event.time)  # which the rate may have made due

    def _on_activated(self, event):
        if self._state in OVER:
            self._images = self._spent = 0
            self._restart, self._image = True, None
        self._delay, self._broken = None, False
        self._times.clear()
        if self._live:
            yield from self._open(event.time)
        else:
            self._state, self._why, self._alarm = 'waiting', '', None
            yield from self._await_listeners(event.time)
            if self._alarm is None and self._state == 'waiting':
                yield Warn(f'waiting for {self._parameters.wait_for_subscribers} subscription(s) '
                           'of the images', 'info')

    def _on_deactivated(self, event):
        self._stop_counting(event.time)
        if self._live:
            yield CloseSource()
        self._alarm = None
        if self._state not in OVER:
            self._state = 'inactive'

    def _on_woken(self, event):
        self._told = None
        if self._live and self._is_over(event.time):
            yield from self._end(event.time)
        elif self._alarm is not None and event.time >= self._alarm:
            self._alarm = None
            yield from {'waiting': self._run, 'opening': self._miss, 'lost': self._open,
                        'running': self._miss if self._live else self._show,
                        }[self._state](event.time)

    def _on_listeners(self, event):
        self._listening = event.count
        if self._state == 'waiting':
            yield from self._await_listeners(event.time)

    def _await_listeners(self, now):
        if not self._parameters.wait_for_subscribers:
            yield from self._run(now)
        elif self._listening < self._parameters.wait_for_subscribers:
            self._alarm = None
        elif self._alarm is None:
            self._alarm = now + SETTLE

    def _run(self, now):
        self._state, self._alarm = 'running', None
        if self._image is not None:
            yield from self._show(now)
        elif not self._reading:
            yield self._read()

    # The source

    def _read(self):
        self._reading = True
        return ReadNext(self._restart)

    def _on_image_read(self, event):
        self._reading = self._restart = False
        self._delay = None
        if self._state == 'opening':
            self._state, self._why = 'running', ''
            self._reconnects += self._broken
            self._broken = False
        if not self._live:
            self._image, self._offset = event.image, event.stamp
            if self._state == 'running':
                yield from self._show(event.time)
        elif self._state == 'running':
            yield from self._forward(event)

    def _show(self, now):
        """Publish the image that was read as soon as it is due, and read the next meanwhile."""
        usual = period_ns(self._parameters.rate or self._source_rate)
        period = self._own_period() or usual
        due = next_due(self._due, period, now)
        passed = period if self._images else 0
        if self._is_over(now, passed + usual // 10):  # periods are rounded
            yield from self._end(now)
        elif now < due:
            self._alarm = due
        else:
            self._due, self._alarm, self._shown = due, None, self._offset
            self._spent += passed
            image, self._image = self._image, None
            yield self._read()
            yield from self._publish(now, image, None)

    def _own_period(self):
        """Return the time between this image and the one before in the recording; 0 if unknown."""
        if self._parameters.rate or None in (self._offset, self._shown):
            return 0
        return max(0, self._offset - self._shown)  # the first image follows the last in a loop

    def _forward(self, event):
        """Publish an image of a live source unless it is thinned out."""
        now, rate = event.time, self._parameters.rate
        self._alarm = now + self._silence()
        if self._since is None:
            self._since = now
        due = thinned(self._due, period_ns(rate), now) if rate else now
        if self._is_over(now):
            yield from self._end(now)
        elif due is not None:
            self._due = due
            yield from self._publish(now, event.image, event.stamp)

    def _publish(self, now, image, stamp):
        self._images += 1
        self._times.append(now)
        yield Publish(image, stamp)
        if self._largest and image.nbytes > self._largest and not self._too_large:
            self._too_large = (
                f'images of {image.nbytes / 1e6:.1f} MB: the transport has room for '
                f'{self._largest / 1e6:.1f} MB, and of larger ones many are lost')
            yield Warn(f'{self._too_large}; set width, or compressed, or a profile with a larger '
                       'segment (config/fastdds_shared_memory.xml)')

    def _on_source_ended(self, event):
        self._reading = False
        if self._state == 'inactive':
            return
        if self._live:
            yield from self._lose(event.time, 'the stream ended')
        elif not self._parameters.loop:
            yield from self._end(event.time, 'ended early' if event.early else 'ended',
                                 event.early)
        elif self._restart:
            yield from self._lose(event.time, 'it holds no images any more')
        else:
            self._restart = True
            self._why = f'ended early: {event.early}' if event.early else ''
            yield self._read()

    def _on_source_failed(self, event):
        self._reading, self._restart = False, True
        if self._state == 'inactive':
            return
        if self._live or self._parameters.loop:
            yield from self._lose(event.time, event.why)
        else:
            yield from self._end(event.time, 'failed', event.why)

    def _open(self, now):
        self._state, self._why = 'opening', ''
        if self._live:
            self._alarm = now + self._silence()
            yield OpenSource(self._configured)
        else:
            yield self._read()

    def _miss(self, now):
        yield from self._lose(now, f'no image for {self._configured.stream_timeout:g} s')

    def _lose(self, now, why):
        """Try again after a delay that doubles with each failure in a row."""
        longest = self._parameters.reconnect_maximum
        self._delay = min(2 * self._delay if self._delay else self._parameters.reconnect_initial,
                          longest)
        self._broken = self._broken or self._state == 'running'
        self._state, self._why = 'lost', why
        self._alarm = now + round(self._delay * SECOND)
        if self._live:
            yield CloseSource()
        yield Warn(f'source lost ({why}); next attempt in {self._delay:g} s')

    def _end(self, now, state='ended', why=''):
        self._state, self._why = state, why
        self._stop_counting(now)
        if self._live:
            yield CloseSource()
        yield Warn(f'the source {state}: {why}' if why
                   else f'the source {state} after {self._images} images',
                   'info' if state == 'ended' else LEVELS[state])
        if self._parameters.on_end == 'exit':
            yield End(0 if state == 'ended' else 1)

    # Time

    def _silence(self):
        return round(self._configured.stream_timeout * SECOND)

    def _duration(self):
        return round(self._parameters.duration * SECOND)

    def _is_over(self, now, further=0):
        if not self._parameters.duration:
            return False
        running = now - self._since if self._since is not None else 0
        return self._spent + running + further >= self._duration()

    def _stop_counting(self, now):
        if self._since is not None:
            self._spent, self._since = self._spent + now - self._since, None

    # Health

    def _on_tick(self, event):
        state, why = self._state, self._why
        level = LEVELS.get(state, 'error' if self._live else 'warning')
        why = why or self._too_large
        if why and level == 'ok':
            level = 'warning'
        yield Report(level, f'{state}: {why}' if why else state, {
            'source': self._configured.source, 'state': state, 'images': self._images,
            'rate': round(self._rate(event.time), 2), 'reconnects': self._reconnects,
            'subscriptions': self._listening})

    def _rate(self, now):
        """Return the images per second of the last seconds; 0 when none came lately."""
        times = [time for time in self._times if time > now - RATE_WINDOW]
        return (len(times) - 1) * SECOND / (times[-1] - times[0]) if len(times) > 1 else 0.0

    _HANDLERS = {
        Configured: _on_configured, Activated: _on_activated, Deactivated: _on_deactivated,
        Listeners: _on_listeners, ImageRead: _on_image_read, SourceEnded: _on_source_ended,
        SourceFailed: _on_source_failed, Woken: _on_woken, Tick: _on_tick}
