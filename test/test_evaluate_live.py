"""A bag played into the real nodes, in real time; the figures are those of the lock-step."""
import json

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking.bags.reading import BagReader  # noqa: E402
from acme_tracking.bags.topics import DETECTIONS, RELIABLE_QOS  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation import live  # noqa: E402
from acme_tracking.evaluation.live import PUBLISHED, read_outcome  # noqa: E402
from acme_tracking.evaluation.outcome import COASTING, FOLLOWED  # noqa: E402
from acme_tracking.evaluation.settings import read_parameters, Settings  # noqa: E402
from acme_tracking.messages import detections_to_msg, ns_to_stamp  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from test_evaluate import evaluate, perfect, write_scene  # noqa: E402, F401


def test_the_nodes_are_played_to_and_scored_and_what_they_did_can_be_repeated(
        tmp_path, perfect):  # noqa: F811
    """When a message comes is chance; what follows from it is not."""
    bag, log = write_scene(tmp_path / 'road', count=25), tmp_path / 'events'
    options = '--stand-in', '--latency', '0.15', '--rate', '0.5', '--set', f'event_log={log}'
    assert evaluate(bag, tmp_path / 'run', '--live', '--modes', 'live', 'on_demand', *options) == 0
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    live = metrics['modes']['live']
    assert metrics['mode'] == 'live' and live['detector_runs'] >= 1 and live['tracks'] >= 1
    timings = json.loads((tmp_path / 'run' / 'timings.json').read_text())
    assert 0 < timings['road']['modes']['live']['p50_ms'] <= timings[
        'road']['modes']['live']['p95_ms']
    with BagReader(tmp_path / 'run' / 'live' / 'road') as recorded:
        assert {topic.name for topic in recorded.topics} == {'tracks', 'detections', PUBLISHED}
    assert main(['repeat', str(log), str(bag)]) == 0
    # what was recorded can be scored without playing it again
    assert evaluate(bag, tmp_path / 'again', '--recorded', tmp_path / 'run' / 'live' / 'road',
                    *options) == 0
    again = json.loads((tmp_path / 'again' / 'metrics.json').read_text())
    assert again['modes']['live'] == live


def test_the_nodes_get_all_parameters_of_the_run(tmp_path, monkeypatch):
    started = {}
    monkeypatch.setattr(live.Processes, 'start',
                        lambda _, node, **given: started.update({node: given}))
    monkeypatch.setattr(live.Processes, 'wait_for', lambda *_: None)
    nodes = read_parameters(changes=[
        'max_tracks=7', 'detector.mode=continuous', 'detector.threads=3',
        'detector.classes=[car, bus]'])
    live.play(tmp_path / 'bag', '/image_raw', Settings(**nodes._asdict()), tmp_path / 'out')
    assert started['tracker']['max_tracks'] == 7
    detector = started['detector']
    assert (detector['mode'], detector['threads'], detector['classes']) == (
        'continuous', 3, ('car', 'bus'))
    assert 'weights' not in detector, 'an empty value is the default'


def record(path, topics):
    """Write {topic: [(stamp, score)]} as recorded tracks."""
    with BagWriter(path) as writer:
        for name, rows in topics.items():
            topic = writer.topic(name, DETECTIONS, RELIABLE_QOS)
            for stamp, score in rows:
                writer.write(topic, stamp, detections_to_msg(
                    Detections([[0, 0, 9, 9]], [score], ['car'], [4]),
                    Header(stamp=ns_to_stamp(stamp))))
    return path


def test_recorded_tracks_of_any_graph(tmp_path):
    bag = record(tmp_path / 'a', {'/front/tracks': [(1, 0.9), (3, 0.2)],
                                  '/front/detections': [(3, 0.8), (77, 0.8)]})
    outcome = read_outcome(bag, [1, 2, 3])
    assert [len(tracks) for tracks in outcome.tracks] == [1, 0, 1] and outcome.lost == 1
    assert [states.tolist() for states in outcome.states] == [[FOLLOWED], [], [COASTING]]
    assert outcome.detected == [3] and outcome.seconds == []


def test_recordings_that_do_not_fit(tmp_path, capsys):
    with pytest.raises(ValueError, match='another bag'):
        read_outcome(record(tmp_path / 'a', {'/tracks': [(1, 0.9)]}), [5])
    with pytest.raises(ValueError, match='expected one topic tracks .* got none'):
        read_outcome(record(tmp_path / 'b', {'/detections': [(1, 0.9)]}), [1])
    with pytest.raises(ValueError, match='/a/tracks, /b/tracks'):
        read_outcome(record(tmp_path / 'c', {'/a/tracks': [(1, 1)], '/b/tracks': [(1, 1)]}), [1])
    bags = [str(write_scene(tmp_path / name, count=2)) for name in ('one', 'two')]
    assert main(['evaluate', *bags, '--recorded', str(tmp_path / 'a'), '--out',
                 str(tmp_path / 'run')]) == 1
    assert 'a recording belongs to one bag' in capsys.readouterr().err
