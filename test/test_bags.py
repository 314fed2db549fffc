"""Bags: written, read back by this package and by other readers, and in every broken state."""
import sqlite3
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip('vision_msgs.msg', reason='needs the ROS message packages')
pytest.importorskip('rosbags', reason='needs acme_tracking[evaluate]')

from acme_tracking import geometry  # noqa: E402
from acme_tracking.bags.reading import BagReader  # noqa: E402
from acme_tracking.bags.topics import (  # noqa: E402
    DETECTIONS,
    IMAGE,
    IMAGE_QOS,
    RELIABLE_QOS,
    typestore,
)
from acme_tracking.bags.writing import BagWriter, serialize  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.cli.bag import START  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.evaluation.recordings import open_recording  # noqa: E402
from acme_tracking.messages import (  # noqa: E402
    detections_to_msg,
    image_to_msg,
    ns_to_stamp,
)
from acme_tracking.scene import Scene  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from mp4_files import lasting, write_mp4  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from test_sources import write_video  # noqa: E402

# Of vision_msgs 4.1, as a ROS 2 Jazzy installation says.
HASHES = {
    'Detection2DArray': '214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    'Detection2D': '0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'BoundingBox2D': '008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f',
}
RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(6)]


@pytest.fixture
def mot(tmp_path):
    """Give a MOTChallenge sequence: two objects, one of them to be ignored in image 2."""
    folder = tmp_path / 'mot'
    (folder / 'img1').mkdir(parents=True)
    (folder / 'gt').mkdir()
    for number, image in enumerate(IMAGES, 1):
        cv2.imwrite(str(folder / 'img1' / f'{number:06}.png'), image)
    (folder / 'seqinfo.ini').write_text('[Sequence]\nimDir=img1\nframeRate=5\n')
    (folder / 'gt' / 'gt.txt').write_text(
        '1,7,2,3,10,8,1,1,1\n2,7,3,3,10,8,1,1,1\n2,9,15,5,6,6,0,2,1\n')
    return folder


def write(path, topics, storage='mcap'):
    """Write {topic: (type, qos, [(stamp, message)])} as a bag."""
    with BagWriter(path, storage) as writer:
        for name, (kind, qos, messages) in topics.items():
            topic = writer.topic(name, kind, qos)
            for stamp, message in messages:
                writer.write(topic, stamp, message)
    return path


def images(stamps, frame='camera'):
    """Return a topic of images with these stamps."""
    return IMAGE, IMAGE_QOS, [
        (10**9 + index, image_to_msg(IMAGES[index % 6], Header(stamp=ns_to_stamp(stamp),
                                                               frame_id=frame)))
        for index, stamp in enumerate(stamps)]


@pytest.mark.parametrize('name', HASHES)
def test_type_hashes_are_those_of_upstream(name):
    assert typestore().hash_rihs01(f'vision_msgs/msg/{name}') == f'RIHS01_{HASHES[name]}'


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_make_and_read_back(mot, tmp_path, storage, capsys):
    bag = tmp_path / 'bag'
    assert main(['bag', 'make', str(mot), str(bag), '--storage', storage, '--namespace', 'front',
                 '--images', 'both']) == 0
    with BagReader(bag) as reader:
        assert reader.name == 'bag'
        topic = reader.image_topic()
        assert topic == '/front/image_raw', 'raw images are preferred to compressed ones'
        read = list(reader.images(topic))
        truth = reader.detections(reader.truth_topic(topic))
        compressed = list(reader.images('/front/image_raw/compressed'))
    assert [stamp for stamp, _, _ in read] == [START + index * 200_000_000 for index in range(6)]
    assert all((image == IMAGES[index]).all() for index, (_, _, image) in enumerate(read))
    assert len(compressed) == 6 and compressed[0][2].shape == (24, 32, 3)
    assert [len(truth[stamp]) for stamp, _, _ in read] == [1, 2, 0, 0, 0, 0]
    second = truth[read[1][0]]
    assert second.ids.tolist() == [7, 9] and second.labels.tolist() == ['car', 'truck']
    assert second.scores.tolist() == [1, 0], 'the second is to be ignored'
    assert geometry.to_xywh(second.boxes)[0].tolist() == [3, 3, 10, 8]
    capsys.readouterr()
    assert main(['bag', 'info', str(bag)]) == 0
    printed = capsys.readouterr().out
    assert '6 on /front/image_raw, 32 x 24, 5 Hz' in printed and '2 objects' in printed


def test_a_drive_on_the_rendered_road_becomes_a_bag(tmp_path):
    bag = tmp_path / 'bag'
    assert main(['bag', 'make', 'scene:braking:4:3', str(bag), '--rate', '10']) == 0
    scene = Scene(seed=4, rate=10, density=0.3, camera='braking')
    with BagReader(bag) as reader:
        read = list(reader.images('/image_raw'))
        truth = reader.detections('/ground_truth')
    assert [stamp for stamp, _, _ in read] == [START, START + 10**8, START + 2 * 10**8]
    np.testing.assert_array_equal(read[2][2], scene.render(2))
    there, labelled = scene.truth(2), truth[read[2][0]]
    assert labelled.ids.tolist() == there.ids.tolist()
    np.testing.assert_array_equal(labelled.boxes, there.boxes)
    judged = (there.visibility >= 0.3) & (there.boxes[:, 3] - there.boxes[:, 1] >= 12)
    assert labelled.scores.tolist() == judged.tolist() and 0 < judged.sum() < len(judged)


@pytest.mark.parametrize('spec', ['scene:boat', 'scene:drone:one', 'scene:drone:1:2:3'])
def test_a_scene_that_is_not_there_is_said(tmp_path, spec, capsys):
    assert main(['bag', 'make', spec, str(tmp_path / 'bag')]) == 1
    assert 'scene:CAMERA:SEED:IMAGES' in capsys.readouterr().err


def test_a_class_without_a_name_is_said(mot, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['bag', 'make', str(mot), str(tmp_path / 'bag'), '--classes', 'car', ''])
    assert 'the name of a class must not be empty' in capsys.readouterr().err
    (mot / 'seqinfo.ini').write_text('[Sequence]\nimDir=img1\nclasses=\n')
    assert main(['bag', 'make', str(mot), str(tmp_path / 'bag')]) == 1
    assert 'seqinfo.ini: classes must name at least one' in capsys.readouterr().err


def test_other_readers_agree_on_mcap(mot, tmp_path):
    reader = pytest.importorskip('mcap.reader')
    decoder = pytest.importorskip('mcap_ros2.decoder')
    bag = tmp_path / 'bag'
    assert main(['bag', 'make', str(mot), str(bag)]) == 0
    with open(bag / 'bag.mcap', 'rb') as file:
        made = reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        found = list(made.iter_decoded_messages())
        summary = made.get_summary()
        assert made.get_header().profile == 'ros2'
    assert summary.statistics.message_count == len(found) == 18
    assert {channel.topic: summary.schemas[channel.schema_id].name
            for channel in summary.channels.values()} == {
        '/image_raw': IMAGE, '/camera_info': 'sensor_msgs/msg/CameraInfo',
        '/ground_truth': DETECTIONS}
    assert all('offered_qos_profiles' in channel.metadata for channel in summary.channels.values())
    pictures = [message for _, channel, _, message in found if channel.topic == '/image_raw']
    assert bytes(pictures[3].data) == IMAGES[3].tobytes() and pictures[3].encoding == 'bgr8'
    first = [message for _, channel, _, message in found if channel.topic == '/ground_truth'][0]
    assert first.detections[0].id == '7' and first.detections[0].bbox.size_x == 10
    assert first.detections[0].results[0].hypothesis.class_id == 'car'
    info = [message for _, channel, _, message in found if channel.topic == '/camera_info'][0]
    assert (info.width, info.height) == (32, 24)


def test_sqlite_has_the_tables_of_rosbag2(mot, tmp_path):
    bag = tmp_path / 'bag'
    assert main(['bag', 'make', str(mot), str(bag), '--storage', 'sqlite3']) == 0
    with sqlite3.connect(bag / 'bag.db3') as database:
        topics = {name: (kind, form, digest) for name, kind, form, digest in database.execute(
            'SELECT name, type, serialization_format, type_description_hash FROM topics')}
        counts = dict(database.execute(
            'SELECT topics.name, COUNT(*) FROM messages JOIN topics '
            'ON topics.id = messages.topic_id GROUP BY topics.name'))
        schema, = database.execute('SELECT schema_version FROM schema').fetchone()
    assert topics['/ground_truth'] == (
        DETECTIONS, 'cdr', f'RIHS01_{HASHES["Detection2DArray"]}')
    assert counts == {'/image_raw': 6, '/camera_info': 6, '/ground_truth': 6} and schema == 4


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_is_what_rosbag2_play_expects(mot, tmp_path, storage):
    bag = tmp_path / 'bag'
    assert main(['bag', 'make', str(mot), str(bag), '--storage', storage]) == 0
    metadata = yaml.safe_load((bag / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert metadata['version'] == 9 and metadata['storage_identifier'] == storage
    assert metadata['message_count'] == 18 and metadata['duration']['nanoseconds'] == 10**9
    assert [(bag / name).is_file() for name in metadata['relative_file_paths']] == [True]
    topics = {item['topic_metadata']['name']: item['topic_metadata']
              for item in metadata['topics_with_message_count']}
    qos, = topics['/image_raw']['offered_qos_profiles']
    assert (qos['reliability'], qos['durability'], qos['history'], qos['depth']) == (
        'reliable', 'volatile', 'keep_last', 5)
    assert qos['deadline'] == {'sec': 9223372036, 'nsec': 854775807}
    assert topics['/ground_truth']['type_description_hash'] == (
        f'RIHS01_{HASHES["Detection2DArray"]}')


def test_same_images_make_the_same_bytes(mot, tmp_path):
    for name in 'a', 'b':
        (tmp_path / name).mkdir()
        assert main(['bag', 'make', str(mot), str(tmp_path / name / 'bag')]) == 0
    assert len({(tmp_path / name / 'bag' / 'bag.mcap').read_bytes() for name in 'ab'}) == 1


def test_kitti(tmp_path):
    folder = tmp_path / 'image_02' / '0003'
    folder.mkdir(parents=True)
    for index in range(2):
        cv2.imwrite(str(folder / f'{index:06}.png'), IMAGES[index])
    (tmp_path / 'label_02').mkdir()
    labels = tmp_path / 'label_02' / '0003.txt'
    rest = '1.5 1.6 4.0 0 0 10 0'
    labels.write_text(f'0 4 Car 0 0 0 1 2 11 12 {rest}\n0 5 Pedestrian 0 0 0 3 3 6 9 {rest}\n'
                      '1 -1 DontCare -1 -1 -10 0 0 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n')
    recording = open_recording(folder)
    assert recording.rate == 10 and recording.length == len(list(recording.images)) == 2
    first, second = recording.truth
    assert first.labels.tolist() == ['car', 'person'] and first.ids.tolist() == [4, 5]
    assert first.boxes[0].tolist() == [1, 2, 11, 12]
    assert second.scores.tolist() == [0] and second.labels.tolist() == ['dontcare']
    assert main(['bag', 'make', str(folder), str(tmp_path / 'bag')]) == 0
    with BagReader(tmp_path / 'bag') as bag:
        truth = bag.detections('/ground_truth')
    assert [one.ids.tolist() for one in truth.values()] == [[4, 5], second.ids.tolist()]
    labels.write_text('7 4 Car 0 0 0 1 2 11 12\n')
    with pytest.raises(ValueError, match='0003.txt, line 1: expected a frame from 0 to 1'):
        open_recording(folder)
    labels.write_text('0 4 Car 0 0 0 1 2\n')
    with pytest.raises(ValueError, match='0003.txt, line 1'):
        open_recording(folder)


def test_otb_with_absent_object(tmp_path):
    (tmp_path / 'img').mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / 'img' / f'{index}.jpg'), IMAGES[index])
    (tmp_path / 'groundtruth_rect.txt').write_text('1,2,10,10\nNaN,NaN,NaN,NaN\n3,2,10,10\n')
    recording = open_recording(tmp_path, label='car')
    assert [len(truth) for truth in recording.truth] == [1, 0, 1]
    assert recording.truth[2].labels.tolist() == ['car'] and recording.rate == 30
    assert recording.truth[2].boxes[0].tolist() == [3, 2, 13, 12]


def test_video_without_truth(tmp_path):
    path = tmp_path / 'drive.mp4'
    encoder = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (64, 48))
    for index in range(5):
        encoder.write(np.full((48, 64, 3), 40 * index, np.uint8))
    encoder.release()
    assert main(['bag', 'make', str(path), str(tmp_path / 'bag'), '--count', '4']) == 0
    with BagReader(tmp_path / 'bag') as bag:
        topic = bag.image_topic()
        assert bag.truth_topic(topic) is None
        assert len(list(bag.images(topic))) == 4 and bag.seconds == pytest.approx(0.3)


def test_the_bag_of_a_video_has_its_times(tmp_path):
    path = write_mp4(tmp_path / 'clip.mp4')
    lasting(path, [0.1, 1, 0.2, 0.2, 0.2, 0.2])
    for name, options, offsets in (('own', (), [0, 0.1, 1.1, 1.3, 1.5, 1.7]),
                                   ('given', ('--rate', '5'), [0, 0.2, 0.4, 0.6, 0.8, 1.0])):
        assert main(['bag', 'make', str(path), str(tmp_path / name), *options]) == 0
        with BagReader(tmp_path / name) as bag:
            stamps = [stamp for stamp, _, _ in bag.images('/image_raw')]
        assert [(stamp - START) / 1e9 for stamp in stamps] == offsets


def test_a_broken_video_is_one_line(tmp_path, caplog):
    path = write_mp4(tmp_path / 'clip.mp4')
    path.write_bytes(path.read_bytes()[:300])
    # in a process of its own, as FFmpeg asks only once whether it shall be quiet
    result = subprocess.run([sys.executable, '-m', 'acme_tracking', 'bag', 'make', path,
                             tmp_path / 'bag'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr == f'acme_tracking bag: {path} is not a video that OpenCV reads\n'
    whole = write_video(tmp_path / 'clip.avi', count=50).read_bytes()
    (tmp_path / 'clip.avi').write_bytes(whole[:len(whole) // 2])
    assert main(['bag', 'make', str(tmp_path / 'clip.avi'), str(tmp_path / 'bag')]) == 0
    said, = caplog.messages
    assert 'clip.avi ended early: ' in said and 'of 50 images' in said


@pytest.mark.parametrize('row, words', [
    ('9,1,1,1,5,5,1,1,1', 'frame must be from 1 to 6, got 9'),
    ('1,1,1,1,0,5,1,1,1', 'width and a height'),
    ('1,1,1,1,5,5,1,12,1', 'class must be from 1 to 6'),
    ('1,1,x,1,5,5,1,1,1', "'x'")])
def test_malformed_labels_are_named_by_file_and_line(mot, tmp_path, row, words, capsys):
    with (mot / 'gt' / 'gt.txt').open('a') as file:
        file.write(row + '\n')
    assert main(['bag', 'make', str(mot), str(tmp_path / 'bag')]) == 1
    errors = capsys.readouterr().err
    assert 'gt.txt, line 4' in errors and words in errors and errors.count('\n') == 1
    assert not (tmp_path / 'bag').exists()


def test_a_broken_image_leaves_no_half_a_bag(mot, tmp_path, capsys):
    (mot / 'img1' / '000004.png').write_bytes(b'no image')
    assert main(['bag', 'make', str(mot), str(tmp_path / 'bag')]) == 1
    assert '000004.png' in capsys.readouterr().err
    assert not (tmp_path / 'bag').exists()


def test_a_bag_is_never_overwritten(mot, tmp_path, capsys):
    bag = tmp_path / 'bag'
    bag.mkdir()
    (bag / 'mine').touch()
    assert main(['bag', 'make', str(mot), str(bag)]) == 1
    assert 'exists already' in capsys.readouterr().err and (bag / 'mine').exists()


def test_missing_bag_and_no_bag(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        BagReader(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='metadata.yaml'):
        BagReader(tmp_path)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('kept', [0.0, 0.3, 0.7, 0.97])
def test_truncated_bag(tmp_path, storage, kept, capsys):
    bag = write(tmp_path / 'bag', {'/image_raw': images(range(1, 200))}, storage)
    file, = (path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    whole = file.read_bytes()
    file.write_bytes(whole[:int(kept * len(whole))])
    with pytest.raises(ValueError, match='truncated or damaged'):
        with BagReader(bag) as reader:
            list(reader.images('/image_raw'))
    assert main(['bag', 'info', str(bag)]) == 1
    assert 'truncated or damaged' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', 'nonsense', '{', 'rosbag2_bagfile_information: {}'])
def test_damaged_metadata(tmp_path, text):
    bag = write(tmp_path / 'bag', {'/image_raw': images([1, 2])})
    (bag / 'metadata.yaml').write_text(text)
    with pytest.raises(ValueError, match='bag is truncated or damaged'):
        with BagReader(bag):
            pass


def test_no_images(tmp_path):
    bag = write(tmp_path / 'bag', {'/chatter': (
        'std_msgs/msg/String', RELIABLE_QOS, [(1, String(data='hello'))])})
    with BagReader(bag) as reader, pytest.raises(ValueError, match='no images.*/chatter'):
        reader.image_topic()
    empty = write(tmp_path / 'empty', {})
    with BagReader(empty) as reader, pytest.raises(ValueError, match='it has nothing'):
        reader.image_topic()


def test_two_cameras(tmp_path):
    bag = write(tmp_path / 'bag', {'/front/image_raw': images([1, 2]),
                                   '/rear/image_raw': images([1, 2, 3])})
    with BagReader(bag) as reader:
        with pytest.raises(ValueError, match='2 cameras: /front/image_raw, /rear/image_raw'):
            reader.image_topic()
        assert reader.image_topic('rear/image_raw') == '/rear/image_raw'
        with pytest.raises(ValueError, match='no images on /left'):
            reader.image_topic('/left')


def test_truth_belongs_to_the_camera_beside_it(tmp_path):
    def truth(identity):
        return DETECTIONS, RELIABLE_QOS, [(1, detections_to_msg(
            Detections([[0, 0, 5, 5]], [1], ['car'], [identity]), Header()))]

    bag = write(tmp_path / 'bag', {
        '/front/image_raw': images([1]), '/rear/image_raw': images([1]),
        '/left/image_raw': images([1]),
        '/front/ground_truth': truth(1), '/rear/ground_truth': truth(2)})
    with BagReader(bag) as reader:
        assert reader.truth_topic('/rear/image_raw') == '/rear/ground_truth'
        with pytest.raises(ValueError, match='none on /left/ground_truth'):
            reader.truth_topic('/left/image_raw')


def test_truth_of_another_type(tmp_path):
    bag = write(tmp_path / 'bag', {
        '/image_raw': images([1]),
        '/ground_truth': ('std_msgs/msg/String', RELIABLE_QOS, [(1, String(data='a car'))])})
    with BagReader(bag) as reader, pytest.raises(ValueError, match='must have the type vision'):
        reader.truth_topic('/image_raw')


def test_unknown_types_are_no_hindrance(tmp_path, capsys):
    bag = write(tmp_path / 'bag', {'/image_raw': images([1, 2]), '/chatter': (
        'std_msgs/msg/String', RELIABLE_QOS, [(1, String(data='hello'))])})
    for file in bag.iterdir():  # names of the same length, so that every offset stays right
        file.write_bytes(file.read_bytes().replace(b'std_msgs/msg/String', b'my_stuff/msg/Things'))
    assert main(['bag', 'info', str(bag)]) == 0
    printed = capsys.readouterr().out
    assert 'my_stuff/msg/Things' in printed and 'unknown type' in printed
    assert 'images: 2 on /image_raw' in printed


def test_another_definition_of_a_type_is_refused(tmp_path):
    bag = write(tmp_path / 'bag', {'/image_raw': images([1])}, 'sqlite3')
    metadata = bag / 'metadata.yaml'
    ours = typestore().hash_rihs01(IMAGE)
    metadata.write_text(metadata.read_text().replace(ours, ours[:-4] + '0000'))
    with sqlite3.connect(bag / 'bag.db3') as database:
        database.execute('UPDATE topics SET type_description_hash = ?', (ours[:-4] + '0000',))
    with BagReader(bag) as reader, pytest.raises(ValueError, match='type hashes differ'):
        list(reader.images('/image_raw'))


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    kind, qos, messages = images([1])
    messages[0][1].encoding = '32FC1'
    bag = write(tmp_path / 'bag', {'/image_raw': (kind, qos, messages)})
    with BagReader(bag) as reader, pytest.raises(ValueError, match='bag, /image_raw: .*32FC1'):
        list(reader.images('/image_raw'))


def recorded(path):
    """Return (stamp, brightness of the first pixel) of all images of a bag, in their order."""
    with BagReader(path) as bag:
        read = [(stamp, int(image[0, 0, 0])) for stamp, _, image in bag.images(bag.image_topic())]
        assert bag.topics[0].count == len(read)
        assert bag.seconds == pytest.approx((len(read) - 1) * 1e-9, abs=1.5e-9)
    return read


EXPECTED = [(number, int(IMAGES[number][0, 0, 0])) for number in range(6)]


@pytest.mark.parametrize('storage, suffix', [('mcap', '.mcap'), ('sqlite3', '.db3')])
def test_files_are_a_bag_without_metadata(tmp_path, storage, suffix):
    bag = write(tmp_path / 'bag', {'/image_raw': images(range(6))}, storage)
    (bag / 'metadata.yaml').unlink()
    assert recorded(bag) == recorded(bag / f'bag{suffix}') == EXPECTED
    with BagReader(bag / f'bag{suffix}') as alone:
        assert alone.name == 'bag'


@pytest.fixture(params=['mcap', 'sqlite3'])
def split(request, tmp_path):
    """Give a recording in three files, the last without messages, and its metadata."""
    kind, qos, messages = images(range(6))
    parts = [write(tmp_path / f'part_{number}', {'/image_raw': (kind, qos, piece)}, request.param)
             for number, piece in enumerate((messages[:4], messages[4:], []))]
    (tmp_path / 'bag').mkdir()
    for number, part in zip((9, 10, 11), parts):  # in the order of numbers, not of letters
        file, = (path for path in part.iterdir() if path.suffix != '.yaml')
        file.rename(tmp_path / 'bag' / f'bag_{number}{file.suffix}')
    metadata = yaml.safe_load((parts[0] / 'metadata.yaml').read_text())
    information = metadata['rosbag2_bagfile_information']
    information['relative_file_paths'] = [f'bag_{number}{file.suffix}' for number in (9, 10, 11)]
    information['message_count'] = 6
    information['duration']['nanoseconds'] = 5
    information['topics_with_message_count'][0]['message_count'] = 6
    return tmp_path / 'bag', metadata


@pytest.mark.parametrize('described', [False, True])
def test_a_recording_in_several_files(split, described):
    bag, metadata = split
    if described:
        (bag / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    assert recorded(bag) == EXPECTED


def test_metadata_of_other_topics_is_said(tmp_path):
    bag = write(tmp_path / 'bag', {'/image_raw': images(range(6))})
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('reliability: reliable',
                                                     'reliability: best_effort'))
    with pytest.raises(ValueError, match='announces 6 messages, but its topics are not those'):
        recorded(bag)
    assert recorded(bag / 'bag.mcap') == EXPECTED


def test_messages_that_are_announced_and_missing_are_counted(tmp_path, caplog):
    bag = write(tmp_path / 'bag', {'/image_raw': images(range(6))})
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 6', 'message_count: 9'))
    with BagReader(bag) as reader:
        assert len(list(reader.images('/image_raw'))) == 6
    assert '/image_raw: 3 of 9 messages could not be read' in caplog.text


def test_rubbish_inside_a_file_is_noticed(tmp_path):
    mcap = pytest.importorskip('mcap.writer')
    kind, _, messages = images(range(6))
    path, store = tmp_path / 'drive.mcap', typestore()
    with path.open('wb') as file:  # with checksums, as ros2 bag record writes them
        writer = mcap.Writer(file, chunk_size=20_000)
        writer.start(profile='ros2')
        schema = writer.register_schema(kind, 'ros2msg', store.generate_msgdef(
            kind, ros_version=2)[0].encode())
        channel = writer.register_channel('/image_raw', 'cdr', schema)
        for stamp, message in messages:
            writer.add_message(channel, stamp, serialize(message, kind), stamp)
        writer.finish()
    whole = path.read_bytes()
    assert len(recorded(path)) == 6
    path.write_bytes(whole[:3000] + RNG.bytes(400) + whole[3400:])
    with pytest.raises(ValueError, match='drive.mcap is truncated or damaged'):
        recorded(path)


def test_recordings_that_are_not_one_are_not_mixed(tmp_path, capsys):
    for name in 'monday_0', 'monday_1', 'tuesday_0':
        bag = write(tmp_path / name, {'/image_raw': images([1])})
        (bag / f'{name}.mcap').rename(tmp_path / f'{name}.mcap')
    assert main(['bag', 'info', str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert 'holds 2 recordings (monday.mcap, tuesday.mcap)' in said and said.count('\n') == 1
    (tmp_path / 'drive.bag').touch()
    assert main(['bag', 'info', str(tmp_path / 'drive.bag')]) == 1
    assert 'drive.bag is no bag: expected a folder, or' in capsys.readouterr().err


@pytest.mark.parametrize('mode, described', [
    ('message', True), ('message', False), ('file', True), ('storage', True), ('storage', False)])
def test_compressed_recordings(tmp_path, mode, described):
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    kind, qos, messages = images(range(6))
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        topic = writer.add_connection('/image_raw', kind, typestore=typestore(),
                                      offered_qos_profiles=[qos])
        for time, message in messages:
            writer.write(topic, time, serialize(message, kind))
    if not described:
        (tmp_path / 'bag' / 'metadata.yaml').unlink()
    assert recorded(tmp_path / 'bag') == EXPECTED


def written_by_others(path, compression, indexed=True):
    """Write images as Foxglove and others do: without what rosbag2 adds, or without an index."""
    mcap = pytest.importorskip('mcap.writer')
    kind, _, messages = images(range(6))
    with open(path, 'wb') as file:
        writer = mcap.Writer(file, compression=mcap.CompressionType[compression],
                             use_statistics=indexed, use_summary_offsets=indexed,
                             index_types=mcap.IndexType.ALL if indexed else mcap.IndexType.NONE,
                             repeat_channels=indexed, repeat_schemas=indexed)
        writer.start('ros2', 'some tool')
        schema = writer.register_schema(
            kind, 'ros2msg', typestore().generate_msgdef(kind, ros_version=2)[0].encode())
        channel = writer.register_channel('/image_raw', 'cdr', schema)
        for number, (time, message) in enumerate(messages):
            writer.add_message(channel, time, serialize(message, kind), time, number)
        writer.finish()


@pytest.mark.parametrize('compression', ['NONE', 'LZ4', 'ZSTD'])
@pytest.mark.parametrize('indexed', [True, False])
def test_recordings_of_other_tools(tmp_path, compression, indexed):
    written_by_others(tmp_path / 'drive.mcap', compression, indexed)
    assert recorded(tmp_path) == recorded(tmp_path / 'drive.mcap') == EXPECTED


@pytest.fixture(scope='module', params=['LZ4', 'ZSTD', 'mcap', 'sqlite3'])
def whole(request, tmp_path_factory):
    """Give a file with a recording."""
    folder = tmp_path_factory.mktemp('whole')
    if request.param.isupper():
        written_by_others(folder / 'bag.mcap', request.param)
    else:
        write(folder / 'bag', {'/image_raw': images(range(6))}, request.param)
    file, = (path for path in folder.rglob('bag.*') if path.is_file())
    return file


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(place=st.integers(0, 2**15), end=st.booleans(), rubbish=st.binary(min_size=1, max_size=9))
def test_a_damaged_recording_is_read_or_refused(whole, place, end, rubbish):
    content, file = whole.read_bytes(), whole.with_stem('damaged')
    place = len(content) - 1 - place % 900 if end else place % len(content)  # the index, or all
    file.write_bytes(content[:place] + rubbish + content[place + len(rubbish):])
    try:
        with BagReader(file) as bag:
            assert all(image.ndim == 3 for _, _, image in bag.images(bag.image_topic()))
    except ValueError as error:
        assert str(file) in str(error)


@pytest.mark.parametrize('option, value', [('--quality', '0'), ('--rate', '-1')])
def test_options_out_of_range(mot, tmp_path, option, value, capsys):
    assert main(['bag', 'make', str(mot), str(tmp_path / 'bag'), option, value]) == 1
    assert f'{option} must be from' in capsys.readouterr().err


def test_highway_clip(data, tmp_path):
    clip = data / 'clips' / 'highway-day'
    assert main(['bag', 'make', str(clip), str(tmp_path / 'bag'), '--count', '30', '--images',
                 'compressed']) == 0
    rows = [line.split(',') for line in (clip / 'gt' / 'gt.txt').read_text().splitlines()]
    with BagReader(tmp_path / 'bag') as bag:
        topic = bag.image_topic()
        assert topic == '/image_raw/compressed'
        truth = bag.detections(bag.truth_topic(topic))
    counts = [len(truth[stamp]) for stamp in sorted(truth)]
    assert counts == [sum(int(row[0]) == number for row in rows) for number in range(1, 31)]
