"""
A run of a tracking session as a text file: what happened, and what it published.

JSON, an object a line: first how the session began, then every event, with the digest of the
tracks that the session published for it.  Images are named by stamp and digest; they are in the
bag that was recorded beside the log.  `repeat` does the run again.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
import hashlib
import json
from pathlib import Path

from acme_tracking.detections import Detections
from acme_tracking.parameters import with_values
from acme_tracking.sessions import events
from acme_tracking.sessions.events import Configured, ImageArrived, ImageSkipped, PublishTracks
from acme_tracking.sessions.tracking import TrackerParameters, TrackingSession
import numpy as np

FORMAT = 1
EVENTS = {kind.__name__: kind for kind in (
    events.Answered, Configured, events.DetectionsArrived, events.DetectorSeen, ImageArrived,
    events.ImagesDropped, ImageSkipped, events.Refused, events.Reset, events.Tick,
    events.TracksPublished)}


def digest_of_image(image: np.ndarray) -> str:
    """Return a digest of the pixels and the shape of an image."""
    found = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    found.update(np.ascontiguousarray(image))
    return found.hexdigest()


def digest_of_tracks(published: PublishTracks) -> str:
    """Return a digest of every bit that is published about an image."""
    found = hashlib.blake2b(str(published.stamp).encode(), digest_size=16)
    for tracks in (published.confirmed, published.tentative):
        for column in (tracks.boxes, tracks.scores, tracks.ids):
            found.update(np.ascontiguousarray(column))
        found.update('\n'.join(tracks.labels).encode())
    return found.hexdigest()


class EventLog:
    """Writes a log; its calls belong to the thread that drives the session."""

    def __init__(self, path, parameters: TrackerParameters, time: int, first_id: int):
        """Begin a log, over an older one; raises OSError where `path` cannot be written."""
        self._file = Path(path).open('w')
        self._write({'format': FORMAT, 'parameters': asdict(parameters), 'time': time,
                     'first_id': first_id})

    def note(self, event, actions) -> None:
        """Append an event and what the session published for it."""
        row = {'event': type(event).__name__}
        for item in fields(event):
            row.update(_as_json(item.name, getattr(event, item.name)))
        published = _published(actions)
        self._write({**row, 'published': digest_of_tracks(published)} if published else row)
        if isinstance(event, events.Tick):  # once a second, so that little is lost in a crash
            self._file.flush()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    def _write(self, row):
        self._file.write(json.dumps(row) + '\n')


def _as_json(name, value):
    """Return the entries that stand for one field of an event."""
    if name == 'image':
        return {'digest': digest_of_image(value)}
    if isinstance(value, Detections):
        return {name: {'boxes': value.boxes.tolist(), 'scores': value.scores.tolist(),
                       'labels': value.labels.tolist()}}
    return {name: asdict(value) if isinstance(value, TrackerParameters) else value}


@dataclass
class Repetition:
    """How far a log could be repeated: images published, and those that came out differently."""

    published: int = 0
    different: int = 0
    first_difference: int | None = None  # the stamp


def repeat(path, image_of: Callable[[int], np.ndarray],
           publish: Callable[[PublishTracks], None] = lambda _: None) -> Repetition:
    """
    Drive a session with a log, and compare what it publishes with what was published then.

    image_of: returns the image of a stamp (asked for in the order of the log), KeyError where
    there is none.  publish: gets all that is published.  Raises ValueError, naming the line, for
    a file that is no log or an image that is another one than was tracked.
    """
    lines = _rows(path)
    begin = next(lines, (1, {}))[1]
    if begin.get('format') != FORMAT:
        raise ValueError(f'{path} is no event log of format {FORMAT}')
    session = TrackingSession(_parameters(begin['parameters']), begin['time'], begin['first_id'])
    found = Repetition()
    for line, row in lines:
        digest = row.pop('published', None)
        try:
            event = _event(row, image_of)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path}, line {line}: {error}') from error
        published = _published(session.on(event))
        if published is not None:
            found.published += 1
            publish(published)
        if digest != (published and digest_of_tracks(published)):
            found.different += 1
            found.first_difference = found.first_difference or event.stamp
    return found


def _published(actions) -> PublishTracks | None:
    """Return the one action that publishes, if there is one."""
    return next((action for action in actions if isinstance(action, PublishTracks)), None)


def _rows(path) -> Iterator[tuple[int, dict]]:
    with Path(path).open() as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError:
                return  # the last line of a run that was cut off
            if not isinstance(row, dict):
                raise ValueError(f'{path}, line {number}: expected an object, got {line[:40]!r}')
            yield number, row


def _parameters(values):
    return with_values(TrackerParameters(), values)


def _event(row, image_of):
    row = dict(row)
    kind = EVENTS[row.pop('event')]
    if kind in (ImageArrived, ImageSkipped):
        digest, stamp = row.pop('digest'), row['stamp']
        row['image'] = image_of(stamp)
        if digest_of_image(row['image']) != digest:
            raise ValueError(f'the image of {stamp} is another one than was tracked')
    if 'detections' in row:
        row['detections'] = Detections(**row['detections'])
    if kind is Configured:
        row['parameters'] = _parameters(row['parameters'])
    return kind(**row)
