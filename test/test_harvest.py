"""Images to label next: what is doubtful, what is chosen, and a bank that can be trained on."""
from collections import Counter
import json

import numpy as np
import pytest

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking.bags.topics import IMAGE, IMAGE_QOS  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation import harvest, sequence_run  # noqa: E402
from acme_tracking.messages import image_to_msg, ns_to_stamp  # noqa: E402
from acme_tracking.training.data import read  # noqa: E402
import cv2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

LEFT, RIGHT, FAR = [0, 0, 20, 10], [50, 0, 70, 10], [0, 60, 30, 90]
NONE = np.zeros((0, 4))
PERIOD = 100_000_000


def tracks(*rows):
    """Return tracks of (box, score, label, id)."""
    return Detections(*zip(*rows)) if rows else Detections.empty()


def found(*rows):
    """Return detections of (box, score, label)."""
    return Detections(*zip(*rows)) if rows else Detections.empty()


def reasons(*arguments, sure=0.5):
    return dict(harvest.compare(*arguments, sure).reasons)


@pytest.mark.parametrize('one, other, beside, expected', [
    (tracks((LEFT, 0.9, 'car', 1)), found((LEFT, 0.8, 'car')), NONE, {}),
    (tracks((LEFT, 0.9, 'car', 1)), found(), NONE, {'not_detected': 1}),
    (tracks((LEFT, 0.4, 'car', 1)), found(), NONE, {}),
    (tracks((LEFT, 0.9, 'car', 1)), found((RIGHT, 0.4, 'car')), NONE,
     {'not_detected': 1, 'not_tracked': 1}),
    (tracks(), found((RIGHT, 0.4, 'car'), (LEFT, 0.9, 'car')), [[60, 5, 80, 15]],
     {'not_tracked': 1}),
    (tracks((LEFT, 0.9, 'bus', 1)), found((LEFT, 0.8, 'car')), NONE, {'other_class': 1}),
], ids=['agree', 'missed', 'doubtful', 'apart', 'one comes to stay', 'class'])
def test_what_is_doubtful(one, other, beside, expected):
    assert reasons(one, other, Detections.empty(), np.array(beside)) == expected


def test_confidence_that_fell_counts_once():
    sure, doubtful = (tracks((LEFT, score, 'car', 1)) for score in (0.5, 0.49))
    seen = found((LEFT, 0.8, 'car'))
    assert reasons(doubtful, seen, sure, NONE) == {'confidence_fell': 1, 'not_tracked': 1}
    assert reasons(doubtful, seen, doubtful, np.array([LEFT])) == {}
    other = tracks((LEFT, 0.9, 'car', 2))
    assert reasons(doubtful, seen, other, np.array([LEFT])) == {}, 'somebody else was sure'


def test_boxes_are_of_the_detector_and_classes_of_the_tracker():
    shifted = [1, 0, 21, 10]
    boxes = harvest.compare(
        tracks((LEFT, 0.9, 'bus', 1), (FAR, 0.7, 'car', 2), (RIGHT, 0.3, 'car', 3)),
        found((shifted, 0.8, 'car'), (RIGHT, 0.4, 'truck')), Detections.empty(), NONE, 0.5).boxes
    assert [(box.tolist(), label, round(score, 3), who) for box, label, score, who in boxes] == [
        (shifted, 'bus', 0.8, 'both'), (RIGHT, 'truck', 0.4, 'detector'),
        (FAR, 'car', 0.7, 'tracker')]


def test_choice_is_by_doubts_then_look_and_apart_in_time():
    looks = np.array([[0.], [0.], [1.], [3.], [0.], [2.]])
    stamps = np.arange(6) * 10**9
    assert harvest.spread(looks, stamps, [1, 4, 1, 1, 1, 1], 3, 0.0) == [1, 3, 2]
    assert harvest.spread(looks, stamps, [1, 4, 1, 1, 1, 9], 3, 0.0) == [5, 1, 2]
    assert harvest.spread(looks, stamps, [1, 4, 1, 1, 1, 1], 3, 2.0) == [1, 3, 5]
    assert harvest.spread(looks, stamps, [1] * 6, 9, 0.0) == [0, 3, 2, 5], 'no look twice'
    assert harvest.spread(looks[:0], stamps[:0], [], 3, 0.0) == []


def test_looks_differ_by_colour_and_by_direction():
    plain = np.full((90, 160, 3), 120, np.uint8)
    red, upright, level = plain.copy(), plain.copy(), plain.copy()
    red[..., 2], upright[:, ::20], level[::20] = 200, 255, 255
    looks = [harvest.look_of(image) for image in (plain, red, upright, level)]
    assert all(look.shape == (176,) and look.dtype == np.float32 for look in looks)
    apart = [np.linalg.norm(a - b) for i, a in enumerate(looks) for b in looks[:i]]
    assert min(apart) > 0.1
    assert np.allclose(harvest.look_of(plain[..., 0]), looks[0], atol=1e-6), 'grey is read, too'


def write_blocks(path, count):
    """Write a bag in which a bright block moves to the right, and every image has another tone."""
    with BagWriter(path) as writer:
        topic = writer.topic('/image_raw', IMAGE, IMAGE_QOS)
        for index in range(count):
            image = np.full((96, 160, 3), 60 + index, np.uint8)
            cv2.rectangle(image, (10 + index, 30), (50 + index, 60), (20, 200, 240), -1)
            cv2.circle(image, (30 + index, 45), 8, (200, 30, 30), -1)
            stamp = 10**9 + index * PERIOD
            header = Header(stamp=ns_to_stamp(stamp), frame_id='camera')
            writer.write(topic, stamp, image_to_msg(image, header))
    return path


def test_images_on_which_the_detector_misses_a_track_become_a_bank(tmp_path, monkeypatch, capsys):
    blind = {14, 15, 16, 25}

    def make_detector(settings, threads):
        def detect(image):
            index = int(image[0, 0, 0]) - 60
            box = [10 + index, 30, 50 + index, 60]
            return found() if index in blind else found((box, 0.9, 'car'))
        return detect
    monkeypatch.setattr(sequence_run, 'make_detector', make_detector)
    monkeypatch.setattr(harvest, 'make_detector', make_detector)
    words = ['harvest', str(write_blocks(tmp_path / 'drive', 30)), '--out', str(tmp_path / 'out'),
             '--count', '3', '--apart', '0.2']
    assert main(words) == 0
    assert capsys.readouterr().out == ('4 of 30 images are in doubt, 3 of them are in '
                                       f'{tmp_path}/out/harvest.json: not detected 3\n')
    bank = read(tmp_path / 'out' / 'harvest.json')
    assert [image.path.name for image in bank.images] == [
        'drive-000015.jpg', 'drive-000017.jpg', 'drive-000026.jpg']
    for sample, index in zip(bank, (14, 16, 25)):
        assert np.abs(sample.boxes - [10 + index, 30, 50 + index, 60]).max() < 3, 'the tracks'
        assert sample.image[0, 0, 0] == 60 + index and sample.labels.tolist() == ['car']
    content = json.loads((tmp_path / 'out' / 'harvest.json').read_text())
    assert content['images'][2] == {
        'id': 3, 'file_name': 'drive-000026.jpg', 'width': 160, 'height': 96,
        'stamp': 3_500_000_000, 'frame_index': 25, 'seconds': 2.5, 'reasons': {'not_detected': 1}}
    assert Counter(one['from'] for one in content['annotations']) == {'tracker': 3}
    assert main(['data', 'check', str(tmp_path / 'out'), '--out', str(tmp_path / 'check')]) == 0
    capsys.readouterr()
    assert main(words) == 1
    assert 'harvest.json is there already' in capsys.readouterr().err
    assert main([*words[:3], str(tmp_path / 'none'), '--set', 'nothing=1']) == 1
    assert 'tracker has no parameter nothing' in capsys.readouterr().err
