"""Sequences with ground truth, read from the two layouts and rendered."""
from acme_tracking import geometry
from acme_tracking.evaluation.sequences import (
    FAMILIES,
    read_folder,
    read_mot,
    read_otb,
    rendered,
    roughly_started,
    traffic,
)
import cv2
import numpy as np
import pytest


def write_images(folder, count):
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f'{number:04}.png'), np.full((8, 8, 3), number % 256, np.uint8))


@pytest.fixture
def otb(tmp_path):
    """Give a function that writes an OTB sequence and returns its ground truth file."""
    def write(text, images=3, name='Car'):
        write_images(tmp_path / name / 'img', images)
        truth = tmp_path / name / 'groundtruth_rect.txt'
        truth.write_text(text)
        return truth
    return write


@pytest.fixture
def mot(tmp_path):
    """Give a function that writes a MOTChallenge sequence and returns its folder."""
    def write(text, images=4):
        write_images(tmp_path / 'road' / 'img1', images)
        (tmp_path / 'road' / 'gt').mkdir()
        (tmp_path / 'road' / 'gt' / 'gt.txt').write_text(text)
        return tmp_path / 'road'
    return write


@pytest.mark.parametrize('separator', [',', '\t', '  ', ', '])
def test_otb_rows_may_be_parted_by_commas_tabs_and_spaces(otb, separator):
    sequence = read_otb(otb('\n'.join(separator.join(row) for row in ('1234', '2234', '3254'))))
    assert sequence.name == 'Car' and len(sequence) == 3
    np.testing.assert_array_equal(
        sequence.boxes, [[1, 2, 4, 6], [2, 2, 5, 6], [3, 2, 8, 6]])
    assert [sequence.image(index)[0, 0, 0] for index in range(3)] == [1, 2, 3]


def test_an_absent_object_has_an_empty_box(otb):
    sequence = read_otb(otb('1 2 3 4\n0 0 0 0\nNaN NaN NaN NaN\n'))
    np.testing.assert_array_equal(sequence.boxes, [[1, 2, 4, 6], [0] * 4, [0] * 4])


def test_images_beyond_the_last_box_are_left_out(otb):
    assert len(read_otb(otb('1 2 3 4\n1 2 3 4\n'))) == 2


def test_the_boxes_of_david_begin_at_its_300th_image(otb):
    sequence = read_otb(otb('1 2 3 4\n', images=301, name='David'))
    assert sequence.image(0)[0, 0, 0] == 300 - 256


def test_two_objects_of_one_otb_folder(otb, tmp_path):
    otb('1 2 3 4\n').rename(tmp_path / 'Car' / 'groundtruth_rect.1.txt')
    (tmp_path / 'Car' / 'groundtruth_rect.2.txt').write_text('5 6 7 8\n')
    assert [sequence.name for sequence in read_folder(tmp_path)] == ['Car.1', 'Car.2']


@pytest.mark.parametrize('text, complaint', [
    ('1 2 3 4\n1 2 3\n', r'groundtruth_rect.txt, line 2: expected at least 4 numbers, got 3'),
    ('1 2 3 4\n\n1 2 x 4\n', r'groundtruth_rect.txt, line 3: could not convert .*x'),
    ('\n', r'groundtruth_rect.txt is empty'),
    ('0 0 0 0\n', r'groundtruth_rect.txt must begin with a box of the object'),
    ('1 2 3 4\n' * 4, r'groundtruth_rect.txt has 4 boxes for 3 images')])
def test_malformed_otb_is_refused_by_file_and_line(otb, text, complaint):
    truth = otb(text)
    with pytest.raises(ValueError, match=complaint):
        read_otb(truth)


def test_missing_and_broken_images_are_named(otb):
    truth = otb('1 2 3 4\n')
    (truth.parent / 'img' / '0001.png').write_text('no image')
    with pytest.raises(ValueError, match='0001.png cannot be read'):
        read_otb(truth).image(0)
    (truth.parent / 'img').rename(truth.parent / 'images')
    with pytest.raises(ValueError, match='img is missing'):
        read_otb(truth)


def test_mot_identities_become_sequences(mot):
    folder = mot('2,7,1,2,3,4,1,1,1\n4,7,3,2,3,4,1,1,1\n'    # a frame without a box between
                 '1,8,1,1,2,2,1,1,1\n'                       # too short
                 '1,9,1,1,2,2,0,1,1\n2,9,1,1,2,2,0,1,1\n'    # to be ignored
                 '1,5,1,1,2,2\n3,5,1,1,2,2\n2,5,1,1,2,2,1,1,0.1\n')  # short rows, hidden once
    five, seven = read_mot(folder, 2)
    assert (seven.name, five.name) == ('road-7', 'road-5')
    np.testing.assert_array_equal(seven.boxes, [[1, 2, 4, 6], [np.nan] * 4, [3, 2, 6, 6]])
    assert [seven.image(index)[0, 0, 0] for index in range(3)] == [2, 3, 4]
    np.testing.assert_array_equal(five.boxes, [[1, 1, 3, 3], [0] * 4, [1, 1, 3, 3]])


def test_the_image_folder_of_mot_may_have_another_name(mot):
    folder = mot('1,7,1,2,3,4\n2,7,1,2,3,4\n')
    (folder / 'img1').rename(folder / 'frames')
    (folder / 'seqinfo.ini').write_text('[Sequence]\nimDir=frames\n')
    assert len(read_mot(folder, 2)) == 1


def test_a_frame_beyond_the_images_is_refused(mot):
    with pytest.raises(ValueError, match=r'gt.txt, line 2: frame must be from 1 to 4, got 5'):
        read_mot(mot('1,7,1,2,3,4\n5,7,1,2,3,4\n'), 1)


def test_a_folder_without_sequences_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match='no sequence below .*OTB.*MOTChallenge'):
        read_folder(tmp_path)


def test_the_highway(data):
    sequences = read_folder(data / 'clips' / 'highway-day')
    assert len(sequences) == 51 and min(map(len, sequences)) >= 40
    assert sequences[0].image(0).shape == (640, 640, 3)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_rendered_sequence_follows_from_its_arguments(family):
    sequence, again = (rendered(family, seed=3, length=12) for _ in range(2))
    assert len(sequence) == len(sequence.boxes) and sequence.name == f'{family}-3'
    assert geometry.is_proper(sequence.boxes[[0, -1]]).all()
    assert sequence.boxes.min() >= 0 and sequence.boxes[:, 2].max() <= 640
    image = sequence.image(5)
    assert image.shape == (360, 640, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, again.image(5))
    np.testing.assert_array_equal(sequence.boxes, again.boxes)


@pytest.mark.parametrize('family', ['scale', 'blur'])
def test_the_boxes_move_with_the_camera(family):
    """The looks inside the true box stay the same, though the whole image moves."""
    sequence = rendered(family, seed=6, length=10)  # seed 6: a car is no deforming walker

    def looks(index):
        x1, y1, x2, y2 = sequence.boxes[index].round().astype(int)
        return cv2.resize(sequence.image(index)[y1:y2, x1:x2], (32, 16)).astype(float).ravel()

    for index in range(1, 10):
        assert np.corrcoef(looks(index - 1), looks(index))[0, 1] > 0.8


def test_the_families_differ_as_they_say():
    assert not geometry.is_proper(rendered('occlusion', seed=6).boxes).all()
    heights = np.diff(rendered('scale', seed=6).boxes[:, [1, 3]], axis=1)
    assert heights.max() > 1.6 * heights[heights > 0].min()
    light = rendered('illumination', seed=6, length=40)
    brightness = [light.image(index).mean() for index in (0, 10, 20, 30)]
    assert max(brightness) > 1.4 * min(brightness)


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(ValueError, match="one of occlusion, scale.*, got 'fog'"):
        rendered('fog', 1)


@pytest.mark.parametrize('camera', ['fixed', 'turning'])
def test_traffic_is_clear_at_first_and_seen_for_a_while(camera):
    found = traffic(seed=1, length=20, rate=10, camera=camera)
    assert 2 <= len(found) <= 5 and len({sequence.name for sequence in found}) == len(found)
    for sequence in found:
        assert geometry.is_proper(sequence.boxes[[0, -1]]).all()
        assert geometry.is_proper(sequence.boxes).sum() >= 15
    assert found[0].image(0).shape == (360, 640, 3)


def test_a_rough_start_still_overlaps_and_changes_nothing_else():
    sequence = rendered('blur', seed=6, length=5)
    rough = roughly_started(sequence, 1)
    assert 0.4 < geometry.iou(rough.boxes[0], sequence.boxes[0])[0, 0] < 1
    np.testing.assert_array_equal(rough.boxes[1:], sequence.boxes[1:])
