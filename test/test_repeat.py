"""A live run over DDS, done again from its event log and a bag, byte for byte."""
import json

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking.bags.topics import DETECTIONS, IMAGE, IMAGE_QOS, RELIABLE_QOS  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.messages import image_to_msg  # noqa: E402
from acme_tracking.sessions.event_log import digest_of_image  # noqa: E402
import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from test_tracker_node import Harness, header_of, ROAD, stamp_of  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

IMAGES = 70


class Run:
    """A tracker with an event log, a detector whom nothing goes right, and a recorder."""

    def __init__(self, graph, folder):
        self.log, self.bag = folder / 'events.jsonl', folder / 'bag'
        self.harness = Harness(graph, Parameter('event_log', value=str(self.log)),
                               Parameter('request_timeout', value=0.5),
                               Parameter('minimum_interval', value=0.1))
        self.raw = {}
        self.subscription = graph.node.create_subscription(
            Detection2DArray, 'tracks', self._keep, 100, raw=True)
        self.graph = graph

    def _keep(self, data):
        self.raw[len(self.raw)] = bytes(data)

    def play(self):
        """Publish images; the detector is late, lost, twice heard, gone and back."""
        service = self.harness.offer_redetect()
        for index in range(IMAGES):
            self.harness.publish()
            if index % 6 == 5:
                self.harness.publish_detections(index - index % 5)  # late by up to 4 images
            if index % 17 == 16:
                self.harness.publish_detections(index - 3)
            if index == 20:
                self.graph.node.destroy_service(service)
            if index == 30:  # one that takes calls and never answers, as nobody spins it
                silent = rclpy.create_node('silent')
                silent.create_service(Trigger, 'redetect', lambda _, response: response)
            if index == 50:
                silent.destroy_node()
                service = self.harness.offer_redetect()
        self.harness.diagnosis()
        self.graph.wait_until(lambda: len(self.raw) == IMAGES)
        self.harness.tracker.trigger_deactivate()
        self.harness.tracker.trigger_cleanup()

    def record(self):
        with BagWriter(self.bag) as writer:
            images = writer.topic('/image_raw', IMAGE, IMAGE_QOS)
            tracks = writer.topic('/tracks', DETECTIONS, RELIABLE_QOS)
            for index in range(IMAGES):
                writer.write(images, stamp_of(index),
                             image_to_msg(ROAD.render(index), header_of(index)))
                writer.write(tracks, stamp_of(index), self.raw[index])


@pytest.fixture
def run(graph, tmp_path):
    run = Run(graph, tmp_path)
    run.play()
    run.record()
    return run


def test_a_live_run_is_repeated_byte_for_byte(run, capsys):
    rows = [json.loads(line) for line in run.log.read_text().splitlines()]
    events = [row.get('event') for row in rows]
    assert {'ImageArrived', 'DetectionsArrived', 'Answered', 'DetectorSeen', 'Configured',
            'Reset', 'Tick'} <= set(events), 'the run has it all'
    assert events.count('ImageArrived') == sum('published' in row for row in rows) == IMAGES
    assert any(len(data) > 300 for data in run.raw.values()), 'there were tracks'
    assert main(['repeat', str(run.log), str(run.bag)]) == 0
    printed = capsys.readouterr().out
    assert f'{IMAGES} times tracks were published, 0 came out differently' in printed
    assert f'{IMAGES} recorded messages were compared byte for byte, 0 differ' in printed

    # and what is not the same is noticed
    changed = [row for row in rows if row.get('event') != 'DetectionsArrived']
    run.log.write_text('\n'.join(map(json.dumps, changed)))
    assert main(['repeat', str(run.log), str(run.bag)]) == 1
    assert 'the first difference is on the image of' in capsys.readouterr().out
    rows[1:] = [{**row, 'digest': digest_of_image(np.zeros((2, 2), np.uint8))}
                if 'digest' in row else row for row in rows[1:]]
    run.log.write_text('\n'.join(map(json.dumps, rows)))
    assert main(['repeat', str(run.log), str(run.bag)]) == 1
    assert 'is another one than was tracked' in capsys.readouterr().err


def test_what_is_no_log_or_no_bag_is_named(tmp_path, capsys):
    log = tmp_path / 'log'
    log.write_text('{"format": 0}\n')
    bag = tmp_path / 'bag'
    with BagWriter(bag) as writer:
        images = writer.topic('/image_raw', IMAGE, IMAGE_QOS)
        writer.write(images, 1, image_to_msg(ROAD.render(0), header_of(0)))
    for path, words in ((log, 'no event log of format 1'), (tmp_path / 'none', 'No such file')):
        assert main(['repeat', str(path), str(bag)]) == 1
        assert words in capsys.readouterr().err
    assert main(['repeat', str(log), str(tmp_path / 'nowhere')]) == 1
    assert 'there is no bag' in capsys.readouterr().err
