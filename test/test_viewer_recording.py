"""What the viewer is given: recordings read back, and live messages in any order, exactly."""
import pytest

pytest.importorskip('rerun', reason='needs acme_tracking[view]')
pytest.importorskip('vision_msgs', reason='needs the message packages')

from acme_tracking.bags import topics  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.drawing import color_of  # noqa: E402
from acme_tracking.evaluation.outcome import CnnRun, Outcome  # noqa: E402
from acme_tracking.messages import (  # noqa: E402
    detections_to_msg,
    image_to_compressed,
    image_to_msg,
    ns_to_stamp,
)
from acme_tracking.viewer.bags import show_bag  # noqa: E402
from acme_tracking.viewer.live import LiveRecording, WAITING  # noqa: E402
from acme_tracking.viewer.outcomes import record_outcome  # noqa: E402
from acme_tracking.viewer.recording import (  # noqa: E402
    AGE,
    CAMERA,
    DETECTIONS,
    EVENTS,
    LATENCY,
    REQUESTS,
    TrackingRecording,
    TRACKS,
    TRUTH,
)
import cv2  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
import numpy as np  # noqa: E402
from rerun.chunk import RrdReader  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from test_evaluate import find_what_is_there, write_scene  # noqa: E402

SECOND = 10**9
START = 1_700_000_000 * SECOND
IMAGE = np.full((24, 32, 3), (10, 120, 230), np.uint8)


def read(path):
    """Return {entity: {stamp: {component: list of values}}} of a recording; a Clear is {}."""
    rows = []
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        if chunk.is_static or 'stamp' not in batch.schema.names:
            continue
        values = {name.partition(':')[2]: batch.column(name).to_pylist()
                  for name in batch.schema.names
                  if ':' in name and not name.startswith('Series')}
        for index, (stamp, key) in enumerate(zip(
                batch.column('stamp').cast('int64').to_pylist(),
                batch.column('rerun.controls.RowId').to_pylist())):
            rows.append((key, chunk.entity_path.strip('/'), stamp, {
                name: column[index] for name, column in values.items()
                if column[index] is not None}))
    entities = {}
    for _, entity, stamp, row in sorted(rows, key=lambda item: item[0]):
        row = {} if row.pop('is_recursive', None) else row
        stamps = entities.setdefault(entity, {})
        stamps[stamp] = {**stamps.get(stamp, {}), **row}
    return entities


def tracks(*rows):
    """Return tracks of (id, score), boxes as far to the right as the id says."""
    return Detections([[10 * one, 20, 10 * one + 8, 60] for one, _ in rows],
                      [score for _, score in rows], ['car'] * len(rows), [one for one, _ in rows])


def rgba(color):
    blue, green, red = color
    return (red << 24) + (green << 16) + (blue << 8) + 255


def test_a_track_is_one_entity_from_its_birth_to_its_end(tmp_path):
    recording = TrackingRecording(tmp_path / 'a.rrd', 'a')
    for index, rows in enumerate(([(7, 0.9), (8, 0.4)], [(7, 0.3)], [])):
        recording.image(START + index, IMAGE)
        recording.tracks(START + index, tracks(*rows), age=0.001 * index)
    recording.close()
    found = read(tmp_path / 'a.rrd')
    first, second = found[f'{TRACKS}/7'][START], found[f'{TRACKS}/7'][START + 1]
    assert first['centers'] == [[74, 40]] and first['half_sizes'] == [[4, 20]]
    assert first['labels'] + second['labels'] == ['car #7 0.90', 'car #7 0.30 ?']
    assert first['scalars'] == pytest.approx([0.9]) and second['scalars'] == pytest.approx([0.3])
    assert first['colors'] == [rgba(color_of(7))] != second['colors']
    assert abs(first['radii'][0]) > 2 * abs(second['radii'][0]), 'a doubtful one is thin'
    assert found[f'{TRACKS}/7'][START + 2] == {}, 'and ends where it is told no more'
    assert list(found[f'{TRACKS}/8']) == [START, START + 1]
    assert [row['scalars'] for row in found[AGE].values()] == [[0], [1], [2]]


def test_an_image_is_a_jpeg_of_its_stamp(tmp_path):
    recording = TrackingRecording(tmp_path / 'a.rrd', 'a')
    recording.image(START, IMAGE)
    recording.image(START + 5, IMAGE[..., 0])
    recording.close()
    found = read(tmp_path / 'a.rrd')[CAMERA]
    colored, gray = (cv2.imdecode(np.array(row['blob'][0], np.uint8), cv2.IMREAD_UNCHANGED)
                     for row in found.values())
    assert list(found) == [START, START + 5]
    assert np.abs(colored.astype(int) - IMAGE).max() <= 2
    assert gray.shape == (24, 32) and np.abs(gray.astype(int) - 10).max() <= 2


def test_detections_and_truth_are_seen_on_their_image_alone(tmp_path):
    recording = TrackingRecording(tmp_path / 'a.rrd', 'a')
    recording.run(START + 10, tracks((1, 0.5), (2, 0.5)), 0.12, 'low_confidence')
    recording.truth(START + 10, tracks((1, 1.0), (2, 0.0)))
    for stamp in START, START + 10, START + 20:
        recording.image(stamp, IMAGE)
    recording.run(START + 20, None)
    recording.close()
    found = read(tmp_path / 'a.rrd')
    assert [stamp - START for stamp, row in found[DETECTIONS].items() if row] == [10]
    assert found[DETECTIONS][START + 19] == {}, 'whichever is told first'
    assert len(found[DETECTIONS][START + 10]['centers']) == 2
    assert len(found[TRUTH][START + 10]['centers']) == 1, 'what is to be ignored is left out'
    assert found[LATENCY] == {START + 10: {'scalars': [120]}}
    assert [(row['text'], row['level']) for row in found[EVENTS].values()] == [
        (['CNN, low confidence: 2 found after 120 ms'], ['INFO']),
        (['CNN: no answer'], ['WARN'])]


def test_tracks_without_ids_are_seen_too(tmp_path):
    recording = TrackingRecording(tmp_path / 'a.rrd', 'a')
    recording.tracks(START, Detections([[0, 0, 8, 8]], [0.5], ['car']))
    recording.image(START + 10, IMAGE)
    recording.tracks(START + 10, Detections.empty())
    recording.close()
    found = read(tmp_path / 'a.rrd')[TRACKS]
    assert found[START]['centers'] == [[4, 4]] and found[START + 9] == {}


def test_an_outcome_has_reasons_and_leaves_out_what_was_skipped(tmp_path):
    outcome = Outcome(runs=[CnnRun(1, 'nothing_to_track', tracks((1, 0.9)), 0.1), CnnRun(1),
                            CnnRun(3, 'low_confidence', tracks(), 0.2)], ages={1: 0.01, 3: 0.03})
    for stamp, found in ((1, tracks((1, 0.9))), (2, None), (3, tracks((1, 0.8)))):
        outcome.add(stamp, found)
    images = [(stamp, stamp, IMAGE) for stamp in (1, 1, 2, 3)]
    record_outcome(tmp_path / 'a.rrd', 'a', images, {2: tracks((1, 1.0))}, outcome)
    found = read(tmp_path / 'a.rrd')
    assert list(found[CAMERA]) == [1, 3] and list(found[TRUTH][2])
    assert list(found[f'{TRACKS}/1']) == [1, 3]
    assert [row['text'] for row in found[EVENTS].values()][-1] == [
        'CNN, low confidence: 0 found after 200 ms']
    assert {stamp: row['scalars'] for stamp, row in found[f'{REQUESTS}/low_confidence'].items()
            } == {3: [1]}


class Notes:
    """Stands for a recording: notes what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        def note(*arguments):
            kept = [len(one) if isinstance(one, Detections) else
                    type(one).__name__ if isinstance(one, np.ndarray) else one
                    for one in arguments]
            self.told.append((name, *kept))
        return note


@pytest.fixture
def live():
    """Give a LiveRecording of the namespace /front; `live.notes` has all that was recorded."""
    notes = []

    def begin():
        notes.append(Notes())
        return notes[-1]
    made = LiveRecording(begin, 'front')
    made.notes = notes
    return made


def picture(stamp):
    return image_to_msg(IMAGE, Header(stamp=ns_to_stamp(stamp)))


def boxes(stamp, found):
    return detections_to_msg(found, Header(stamp=ns_to_stamp(stamp)))


def health(name='front/tracker: state', message='tracking', **values):
    return DiagnosticArray(status=[DiagnosticStatus(
        name=name, message=message, level=DiagnosticStatus.WARN,
        values=[KeyValue(key=f'requests.{key}', value=value) for key, value in values.items()])])


def test_an_image_waits_for_its_tracks(live):
    for stamp in 1, 2, 3, 4:
        live.image(10 * stamp, picture(stamp))
    live.tracks(25 + SECOND, boxes(2, tracks((1, 0.9))))
    live.detections(2 * SECOND, boxes(1, tracks()))
    live.image(50, picture(2))  # a late double: too late to be shown
    live.close()
    assert live.notes[0].told == [
        ('image', 2, 'ndarray'), ('tracks', 2, 1, 1.000000005), ('run', 1, 0, 1.99999999),
        ('image', 3, 'ndarray'), ('image', 4, 'ndarray'), ('close',)]


def test_without_a_tracker_images_are_shown_all_the_same(live):
    for stamp in range(1, WAITING + 4):
        live.image(stamp, picture(stamp))
    assert live.notes[0].told == [('image', stamp, 'ndarray') for stamp in (1, 2, 3)]


def test_time_that_jumps_back_begins_another_recording(live):
    live.image(1, picture(5 * SECOND))
    live.tracks(2, boxes(5 * SECOND, tracks()))
    live.image(3, picture(5 * SECOND - 1))
    assert len(live.notes) == 1, 'images may overtake each other'
    live.image(4, picture(SECOND))
    live.tracks(5, boxes(SECOND, tracks()))
    assert live.notes[0].told[-1] == ('close',)
    assert [told[0] for told in live.notes[1].told] == ['image', 'tracks']


def test_a_bag_is_shown_as_if_it_ran_now(tmp_path):
    serialization = pytest.importorskip('rclpy.serialization', reason='needs ROS 2')
    with BagWriter(tmp_path / 'bag') as writer:
        images, tracked, truth, found, nodes = (
            writer.topic(name, kind, topics.RELIABLE_QOS) for name, kind in (
                ('/front/image_raw', topics.IMAGE), ('/front/tracks', topics.DETECTIONS),
                ('/front/ground_truth', topics.DETECTIONS),
                ('/front/detections', topics.DETECTIONS),
                (topics.DIAGNOSTICS, 'diagnostic_msgs/msg/DiagnosticArray')))
        for time, topic, message in (
                (10, images, picture(1)), (15, truth, boxes(1, tracks((7, 1.0)))),
                (260, tracked, boxes(1, tracks((7, 0.9)))), (300, images, picture(2)),
                (400, nodes, health(low_confidence='2')), (510, found, boxes(1, tracks()))):
            writer.write(topic, time * 10**6, serialization.serialize_message(message))
    assert show_bag(tmp_path / 'bag', '', lambda: TrackingRecording(
        tmp_path / 'a.rrd', 'a')) == 2
    shown = read(tmp_path / 'a.rrd')
    assert list(shown[CAMERA]) == [1, 2] and shown[AGE] == {1: {'scalars': [250]}}
    assert len(shown[f'{TRACKS}/7']) == 1 and len(shown[TRUTH][1]['centers']) == 1
    assert shown[LATENCY] == {1: {'scalars': [500]}}
    assert shown[f'{REQUESTS}/low_confidence'] == {2: {'scalars': [2]}}


def test_jpeg_files_go_on_as_they_are(live):
    jpeg = image_to_compressed(IMAGE, Header(stamp=ns_to_stamp(1)))
    live.image(1, jpeg)
    live.image(2, image_to_compressed(IMAGE, Header(stamp=ns_to_stamp(2)), 'png'))
    live.close()
    (_, _, first), (_, _, second), _ = live.notes[0].told
    assert first == bytes(jpeg.data) and second == 'ndarray'


def test_the_counts_of_the_tracker_tell_why_it_asks(live):
    live.diagnostics(1, health(low_confidence='3'))
    assert live.notes[0].told == [], 'there is no image yet, and so no time'
    live.image(2, picture(7))
    for name, count in (('/front', '3'), ('/rear', '9'), ('/front', '5'), ('/front', 'many')):
        live.diagnostics(3, health(f'{name[1:]}/tracker: state', low_confidence=count))
    assert live.notes[0].told == [
        ('event', 7, 'tracker', 'tracking', 'WARN'), ('requests', 7, {'low_confidence': 3}),
        ('event', 7, 'tracker', 'asked 2 x: low confidence'),
        ('requests', 7, {'low_confidence': 5})]


def test_a_recording_of_an_evaluation(tmp_path, monkeypatch, capsys):
    bag, run, file = (str(tmp_path / name) for name in ('bag', 'run', 'new/a.rrd'))
    write_scene(bag, count=12)
    find_what_is_there(monkeypatch)
    words = ['evaluate', bag, '--out', run, '--modes', 'on_demand', '--view', file]
    assert main(words) == 0 and main(words) == 0, 'also of what was evaluated already'
    found = read(file)
    assert len(found[CAMERA]) == 12 and set(found[CAMERA]) <= set(found[TRUTH])
    assert found[EVENTS][min(found[EVENTS])]['text'][0].startswith('CNN, nothing to track: ')
    assert all(abs(row['scalars'][0] - 100) < 1e-6 for row in found[LATENCY].values())
    capsys.readouterr()
    assert main([*words[:-1], str(tmp_path / 'all')]) == 0
    assert read(tmp_path / 'all' / 'bag.rrd').keys() == found.keys()
    assert 'href="../all/bag.rrd"' in (tmp_path / 'run' / 'report.html').read_text()
    assert main([*words[:-1], str(tmp_path / 'a.txt')]) == 1
    assert 'ends in .rrd, or a folder, got' in capsys.readouterr().err
    assert main([words[0], bag, bag, *words[2:]]) == 1
    assert 'twice' in capsys.readouterr().err
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    for verb in words, ['view']:
        assert main(verb) == 1
        assert capsys.readouterr().err == (
            f'acme_tracking {verb[0]}: the viewer is not installed: '
            'pip install "acme_tracking[view]"\n')


def test_a_recording_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match='cannot write .*a.rrd'):
        TrackingRecording(tmp_path / 'none' / 'a.rrd', 'a')
    with pytest.raises(ValueError, match='cannot write /dev/full'):
        TrackingRecording('/dev/full', 'a')
