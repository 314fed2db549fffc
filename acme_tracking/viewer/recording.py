"""What is in a recording, where it is found there, and how the viewer arranges it at first."""
from __future__ import annotations

from pathlib import Path
import warnings

from acme_tracking.detections import Detections
from acme_tracking.drawing import color_of, UNSURE
import cv2
import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from rerun.blueprint.encodings import TextLogColumn
from rerun.chunk import RrdReader

# Time lines: seconds since what was told first, and the stamps of the images.
TIME, STAMP = 'time', 'stamp'
CAMERA, TRACKS = 'camera', 'camera/tracks'
DETECTIONS, TRUTH = 'camera/detections', 'camera/ground_truth'
LATENCY, AGE, REQUESTS, EVENTS = 'cnn/latency_ms', 'age_ms', 'cnn/requests', 'events'
QUALITY = 85  # of the images, JPEG
# Lines, in points of the screen, which Rerun takes as negative radii; a doubtful track is thin and
# dark.
SURE_LINE, THIN_LINE = -1.5, -0.6
DARKER = 0.65
DELIVERED_WITHIN = 60.0  # seconds
COLORS = {DETECTIONS: (255, 200, 60), TRUTH: (255, 255, 255), TRACKS: (120, 200, 255)}


class TrackingRecording:
    """
    One camera and its tracks; all is told by the stamp of an image, integer nanoseconds.

    A track is one entity, so that its box in the image and its curve of confidence are picked
    together.  What belongs to an image may be told in any order.
    """

    def __init__(self, target: str | Path, name: str, follow: bool = False):
        """
        Write to a file, or send to the address of a Rerun server ('rerun+http://...').

        name: shown in the list of recordings.  follow: show the newest image, not the first.
        Raises ValueError for a file that cannot be written.
        """
        self._stream = rr.RecordingStream('acme_tracking')
        send = (self._stream.connect_grpc if str(target).startswith('rerun+')
                else self._stream.save)
        try:
            send(str(target), default_blueprint=arrangement(follow))
        except RuntimeError as error:
            raise ValueError(f'cannot write {target}: {error}') from error
        self._stream.send_recording_name(name)
        self._first = None  # the stamp of what was told first
        self._shown = set()  # ids on the image before
        self._styled = set()  # reasons of requests
        self._style(LATENCY, rr.SeriesPoints(names='latency', colors=(255, 160, 60),
                                             marker_sizes=3))
        self._style(AGE, rr.SeriesLines(names='age', colors=(110, 170, 255)))

    def close(self) -> None:
        """Deliver everything; ValueError when that does not work."""
        try:
            self._stream.flush(timeout_sec=DELIVERED_WITHIN)
        except RuntimeError as error:
            raise ValueError(f'the recording is not complete: {error}') from error
        self._stream.disconnect()

    def image(self, stamp: int, image: np.ndarray | bytes) -> None:
        """Show an image, uint8 (H, W, 3) BGR or (H, W) gray, or a JPEG file."""
        if not isinstance(image, bytes):
            image = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        self._log(stamp, CAMERA, rr.EncodedImage(contents=image, media_type='image/jpeg'))
        for entity in COLORS:  # what was on the image before ends before this one begins
            self._log(stamp - 1, entity, rr.Clear(recursive=False))

    def tracks(self, stamp: int, tracks: Detections, age: float | None = None) -> None:
        """Show the tracks on an image, which came `age` seconds after it."""
        if len(tracks) and tracks.ids is None:
            self._boxes(stamp, TRACKS, tracks)
            tracks = Detections.empty()
        ids = tracks.ids.tolist() if len(tracks) else []
        for identity in self._shown.difference(ids):
            self._log(stamp, f'{TRACKS}/{identity}', rr.Clear(recursive=False))
        for row in zip(ids, tracks.boxes, tracks.labels, tracks.scores.tolist()):
            self._track(stamp, *row)
        self._shown = set(ids)
        if age is not None:
            self._log(stamp, AGE, rr.Scalars(1e3 * age))

    def _track(self, stamp, identity, box, label, score):
        color, sure = np.array(color_of(identity)[::-1]), score >= UNSURE
        self._log(stamp, f'{TRACKS}/{identity}', rr.Boxes2D(
            array=box, array_format=rr.Box2DFormat.XYXY,
            colors=(color if sure else color * DARKER).astype(np.uint8),
            radii=SURE_LINE if sure else THIN_LINE,
            labels=f'{label} #{identity} {score:.2f}{"" if sure else " ?"}'), rr.Scalars(score),
            # Not static, as the style of the other plots: what is static is never forgotten.
            rr.SeriesLines(names=f'{label} #{identity}', colors=color))

    def truth(self, stamp: int, truth: Detections) -> None:
        """Show what is truly on an image, but what scoring is to ignore."""
        self._boxes(stamp, TRUTH, truth.select(truth.scores > 0))

    def run(self, stamp: int, found: Detections | None, latency: float | None = None,
            reason: str = '') -> None:
        """
        Show a run of the CNN on an image: what it found, None for an answer that got lost.

        latency: seconds from the image to the answer.  reason: why it was asked, if that is known.
        """
        what = 'no answer' if found is None else f'{len(found)} found'
        if found is not None:
            self._boxes(stamp, DETECTIONS, found)
        if latency is not None:
            self._log(stamp, LATENCY, rr.Scalars(1e3 * latency))
            what += f' after {1e3 * latency:.0f} ms'
        self.event(stamp, f'CNN, {reason.replace("_", " ")}' if reason else 'CNN', what,
                   'WARN' if found is None else 'INFO')

    def requests(self, stamp: int, counts: dict[str, int]) -> None:
        """Show how often the CNN was asked until now, for each reason that it was asked for."""
        for reason in filter(counts.get, counts):
            entity = f'{REQUESTS}/{reason}'
            if reason not in self._styled:
                self._styled.add(reason)
                self._style(entity, rr.SeriesLines(
                    names=reason.replace('_', ' '), interpolation_mode='StepAfter'))
            self._log(stamp, entity, rr.Scalars(counts[reason]))

    def event(self, stamp: int, who: str, text: str, level: str = 'INFO') -> None:
        """Add a line to the log; `level` is INFO, WARN or ERROR."""
        self._log(stamp, EVENTS, rr.TextLog(f'{who}: {text}', level=level))

    def _boxes(self, stamp, entity, detections):
        self._log(stamp, entity, rr.Boxes2D(
            array=detections.boxes, array_format=rr.Box2DFormat.XYXY, radii=THIN_LINE,
            colors=COLORS[entity], labels=detections.labels.tolist(), show_labels=False))

    def _log(self, stamp, entity, *what):
        if self._first is None:
            self._first = stamp
        self._stream.set_time(TIME, duration=np.timedelta64(stamp - self._first, 'ns'))
        self._stream.set_time(STAMP, timestamp=np.datetime64(stamp, 'ns'))
        self._stream.log(entity, *what)

    def _style(self, entity, what):
        self._stream.log(entity, what, static=True)


def check(path: str | Path) -> None:
    """Raise ValueError unless a file is a whole recording."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            whole = RrdReader(path).recordings()
        except RuntimeError as error:
            raise ValueError(f'{path} is no recording, or is cut short: {error}') from error
    if not whole:
        raise ValueError(f'{path} holds no recording')


def arrangement(follow: bool) -> rrb.Blueprint:
    """Return where the viewer puts what, until its user moves it."""
    plots = rrb.Vertical(
        _plot('confidence of the tracks', f'{TRACKS}/**', axis_y=rrb.ScalarAxis(range=(0, 1.05)),
              plot_legend=rrb.PlotLegend(visible=False)),
        _plot('CNN latency and age of what is shown, ms', [LATENCY, AGE]),
        _plot('requests so far', f'{REQUESTS}/**'))
    picture = rrb.Vertical(
        rrb.Spatial2DView(name='camera', origin=CAMERA),
        rrb.TextLogView(name='CNN and nodes', origin=EVENTS, columns=rrb.TextLogColumns(
            text_log_columns=[TextLogColumn(kind) for kind in ('LogLevel', 'Body')])),
        row_shares=[3, 1])
    return rrb.Blueprint(
        rrb.Horizontal(picture, plots, column_shares=[2, 1]),
        rrb.BlueprintPanel(state='collapsed'), rrb.SelectionPanel(state='collapsed'),
        rrb.TimePanel(state='collapsed', timeline=TIME,
                      play_state='following' if follow else 'playing'))


def _plot(name, contents, **options):
    """Return a plot whose time moves with that of the others."""
    return rrb.TimeSeriesView(name=name, origin='/', contents=contents,
                              axis_x=rrb.TimeAxis(link='LinkToGlobal'), **options)
