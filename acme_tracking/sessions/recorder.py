"""
What the recorder decides: which image is drawn with which tracks, what is dropped, and the end.

Images wait for their tracks, and then a little longer for the detector to speak about them.  The
room is bounded: when drawing does not keep up, or no tracks come, the oldest images are dropped.
"""
from __future__ import annotations

from array import array

from acme_tracking.sessions.camera import OVER
from acme_tracking.sessions.events import (
    Deactivated,
    DetectionsArrived,
    End,
    FrameWritten,
    HealthArrived,
    ImageArrived,
    Progress,
    Report,
    Tick,
    TracksArrived,
    WriteFrame,
)
import numpy as np

SECOND = 10**9
# A frame waits so long before it is drawn, for the detector to answer about it.
DRAWING_DELAY = SECOND
# After the camera has ended, tracks and counts may still come for so long.
LAST_ANSWERS = 3 * SECOND
MAXIMUM_BYTES = 300_000_000  # of the images that wait: a good second of 1080p at 30 per second
AHEAD = 4  # frames that are handed over before the first of them is written


class RecorderSession:
    """Pairs images with their tracks by stamp, and counts."""

    def __init__(self, progress_every: int, maximum_bytes: int = MAXIMUM_BYTES):
        """Show progress every so many nanoseconds, let images of so many bytes wait."""
        self._progress_every, self._maximum_bytes = progress_every, maximum_bytes
        self._images, self._bytes = {}, 0  # by stamp, in the order of arrival
        self._tracks, self._detected = {}, set()  # by stamp, of images that are not drawn yet
        self._last_tracked = self._last_drawn = None  # stamps
        self._writing = 0
        self._counts = dict.fromkeys(('images', 'tracked', 'runs', 'dropped'), 0)
        self._ages, self._ids = array('f'), set()  # milliseconds
        self._health = {'camera': {}, 'tracker': {}}
        self._progress_at = self._camera_ended_at = None
        self._ended = False

    def on(self, event) -> list:
        """Return the actions that follow from an event."""
        return list(self._HANDLERS[type(event)](self, event))

    # Images, tracks, frames

    def _on_image(self, event):
        self._counts['images'] += 1
        if self._last_drawn is None or event.stamp > self._last_drawn:
            self._forget(event.stamp)  # a repeated one
            self._images[event.stamp] = event.image
            self._bytes += len(event.image.data)
        while self._bytes > self._maximum_bytes and len(self._images) > 1:
            oldest = next(iter(self._images))
            self._forget(oldest)
            self._tracks.pop(oldest, None)
            self._counts['dropped'] += 1
        return []

    def _on_tracks(self, event):
        if self._last_tracked is not None and event.stamp <= self._last_tracked:
            return  # said already
        self._last_tracked = event.stamp
        self._counts['tracked'] += 1
        self._ages.append(event.age * 1e-6)
        if event.tracks.ids is not None:
            self._ids.update(event.tracks.ids.tolist())
        self._tracks[event.stamp] = event.tracks
        yield from self._draw()
        yield from self._show_progress(event.time)
        yield from self._look_for_the_end(event.time)

    def _on_detections(self, event):
        self._counts['runs'] += 1
        if self._last_drawn is None or event.stamp > self._last_drawn:
            self._detected.add(event.stamp)
        return []

    def _on_frame_written(self, event):
        self._writing -= 1
        if event.error:
            yield from self._end(1)
        else:
            yield from self._draw()

    def _on_deactivated(self, _):
        yield from self._draw(everything=True)

    def _draw(self, everything=False):
        """Hand over the frames that are due, in order, but few ahead of the writing."""
        for stamp in sorted(self._tracks):
            due = stamp <= self._last_tracked - DRAWING_DELAY and self._writing < AHEAD
            if not (due or everything):
                return
            tracks, image = self._tracks.pop(stamp), self._images.get(stamp)
            for older in [other for other in self._images if other <= stamp]:
                self._forget(older)
            if image is not None:
                self._writing += 1
                yield WriteFrame(stamp, image, tracks, stamp in self._detected)
            self._last_drawn = stamp
            self._detected = {other for other in self._detected if other > stamp}

    def _forget(self, stamp):
        image = self._images.pop(stamp, None)
        if image is not None:
            self._bytes -= len(image.data)

    # Counts and the end

    def _on_health(self, event):
        self._health[event.node] = event.values
        yield from self._look_for_the_end(event.time)

    def _on_tick(self, event):
        yield Report('ok', 'recording', {'images': self._counts['images'],
                                         'dropped': self._counts['dropped'],
                                         'waiting_bytes': self._bytes})
        yield from self._look_for_the_end(event.time)

    def _look_for_the_end(self, now):
        if self._health['camera'].get('state') not in OVER:
            return
        if self._camera_ended_at is None:
            self._camera_ended_at = now
        tracked = self._counts['tracked']
        complete = self._said('camera', 'images') <= tracked <= self._said('tracker', 'images')
        if complete or now - self._camera_ended_at > LAST_ANSWERS:
            yield from self._end(0)

    def _end(self, status):
        if not self._ended:
            self._ended = True
            yield End(status)

    def _said(self, node, key) -> int:
        """Return a count from /diagnostics; 0 for what is missing there, or no count."""
        value = self._health[node].get(key, '')
        return int(value) if value.isdecimal() else 0

    def _show_progress(self, now):
        if self._progress_at is None or now - self._progress_at >= self._progress_every:
            self._progress_at = now
            yield Progress(
                f'  {self._counts["tracked"]:5} images   {len(self._ids):4} tracks   '
                f'{self._counts["runs"]:4} detector runs   '
                f'latency {np.median(self._ages[-30:]):4.0f} ms')

    def summary(self) -> dict:
        """Return the figures of the run; latencies in milliseconds, None before any track."""
        tracked = self._counts['tracked']
        images = max(self._said('camera', 'images'), self._counts['images'], tracked)
        p50, p95 = (np.percentile(self._ages, [50, 95]).round(1).tolist() if tracked
                    else (None, None))
        return {
            'images': images,
            'tracked_images': tracked,
            'image_delivery': round(tracked / images, 4) if images else None,
            'dropped_frames': self._counts['dropped'],
            'tracks': len(self._ids),
            'detector_runs': self._counts['runs'],
            'requests': {key.removeprefix('requests.'): self._said('tracker', key)
                         for key in self._health['tracker'] if key.startswith('requests.')},
            'latency_ms': {'p50': p50, 'p95': p95},
        }

    _HANDLERS = {
        ImageArrived: _on_image, TracksArrived: _on_tracks, DetectionsArrived: _on_detections,
        HealthArrived: _on_health, FrameWritten: _on_frame_written, Deactivated: _on_deactivated,
        Tick: _on_tick}
