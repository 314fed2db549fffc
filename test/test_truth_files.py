"""Files of ground truth, laid out as the tools of each data set write them."""
import json

from acme_tracking.detections import Detections
from acme_tracking.evaluation.truth_files import file_beside, read_truth
import numpy as np
import pytest

# image: rows of left, top, width, height, identity, class; a score of 0 is to be ignored
TRUTH = [[(1, 2, 10, 8, 7, 'car', 1.0), (20, 4, 6, 12, 9, 'person', 1.0)], [],
         [(3, 2, 10, 8, 7, 'car', 1.0), (0, 0, 30, 9, 3, 'truck', 0.0)]]


def check(found, truth=TRUTH):
    """Check that exactly these objects were read."""
    assert len(found) == len(truth)
    for objects, rows in zip(found, truth):
        if rows is None:
            assert objects is None
            continue
        assert isinstance(objects, Detections) and len(objects) == len(rows)
        for index, (left, top, width, height, identity, label, score) in enumerate(rows):
            np.testing.assert_allclose(objects.boxes[index],
                                       [left, top, left + width, top + height])
            assert objects.ids[index] == identity and objects.labels[index] == label
            assert objects.scores[index] == score


@pytest.mark.parametrize('parting, end', [(',', '\n'), (', ', '\r\n'), (' ', '\n')])
def test_motchallenge(tmp_path, parting, end):
    numbers = {'car': 1, 'truck': 2, 'person': 5}
    rows = [parting.join(map(str, (frame, row[4], *row[:4], int(row[6]), numbers[row[5]], 1)))
            for frame, objects in enumerate(TRUTH, 1) for row in objects]
    (tmp_path / 'gt.txt').write_bytes(b'\xef\xbb\xbf' + end.join(rows).encode())
    check(read_truth(tmp_path / 'gt.txt', 3))
    with pytest.raises(ValueError, match='frame must be from 1 to 2, got 3'):
        read_truth(tmp_path / 'gt.txt', 2)
    (tmp_path / 'seqinfo.ini').write_text('[Sequence]\nclasses=bike lorry\n')
    with pytest.raises(ValueError, match='gt.txt, line 2: class must be from 1 to 2'):
        read_truth(tmp_path / 'gt.txt', 3)


def test_kitti(tmp_path):
    names = {'car': 'Car', 'person': 'Pedestrian', 'truck': 'Truck'}
    rows = [f'{frame} {row[4]} {names[row[5]]} 0 0 -1.5 {row[0]} {row[1]} {row[0] + row[2]} '
            f'{row[1] + row[3]} 1.5 1.6 4.0 0 0 10 0'
            for frame, objects in enumerate(TRUTH) for row in objects]
    file = tmp_path / '0003.txt'
    file.write_text('\n'.join([*rows[:-1], rows[-1].replace('3 Truck', '3 Van')]))
    check(read_truth(file, 3), [*TRUTH[:2], [TRUTH[2][0], (*TRUTH[2][1][:5], 'van', 0.0)]])
    with pytest.raises(ValueError, match='0003.txt, line 3: expected a frame from 0 to 1'):
        read_truth(file, 2)


def coco(identity=lambda number: {'track_id': number}, **image):
    """Return a COCO file whose images are not in order, each with these entries of its index."""
    images = [{'id': 50 - index, 'file_name': f'{9 + index}.jpg', 'width': 32, 'height': 24,
               **{key: function(index) for key, function in image.items()}} for index in range(3)]
    annotations = [
        {'id': 10 * index + place, 'image_id': 50 - index, 'bbox': list(row[:4]), 'area': 1,
         'category_id': {'car': 4, 'person': 2, 'truck': 8}[row[5]], 'iscrowd': int(not row[6]),
         **identity(row[4])}
        for index, objects in enumerate(TRUTH) for place, row in enumerate(objects)]
    categories = [{'id': number, 'name': name}
                  for number, name in ((8, 'truck'), (2, 'person'), (4, 'car'))]
    return {'images': images[::-1], 'annotations': annotations, 'categories': categories}


def written(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('identity', [
    lambda number: {'track_id': number}, lambda number: {'instance_id': number},
    lambda number: {'attributes': {'track_id': number, 'occluded': False}}])
def test_coco_with_identities(tmp_path, identity):
    check(read_truth(written(tmp_path / 'truth.json', coco(identity)), 3))


@pytest.mark.parametrize('key', ['frame_id', 'frame_index'])
def test_coco_of_some_of_the_images(tmp_path, key):
    content = coco(**{key: lambda index: 2 * index})
    file = written(tmp_path / 'truth.json', content)
    check(read_truth(file, 5), [TRUTH[0], None, TRUTH[1], None, TRUTH[2]])
    for length in 2, 4:
        with pytest.raises(ValueError, match=f'lists 3 images, expected {length}, or a frame_id'):
            read_truth(file, length)


@pytest.mark.parametrize('change, words', [
    (lambda content: content['annotations'][1].pop('track_id'), 'annotation 1 has no track_id'),
    (lambda content: content['annotations'][1].update(bbox=[1, 2, 0, 4]), 'annotation 1: a box'),
    (lambda content: content['annotations'][1].update(image_id=7), 'no COCO file.*7'),
    (lambda content: content['images'][0].update(video_id=3), 'holds 2 videos'),
    (lambda content: content.pop('images'), "no COCO file of boxes: KeyError.'images'"),
    (lambda content: content.update(annotations=[5]), 'no COCO file')])
def test_a_coco_file_that_does_not_fit_is_refused(tmp_path, change, words):
    content = coco()
    change(content)
    with pytest.raises(ValueError, match=f'truth.json.*{words}'):
        read_truth(written(tmp_path / 'truth.json', content), 3)


@pytest.mark.parametrize('data, words', [
    (b'{"images": [', 'truth.json is not JSON'), (b'\xff\xfe\x00', 'truth.json is no text'),
    (b'', 'truth.json is empty'), (b'a b c', 'truth.json, line 1')])
def test_what_is_no_truth_is_refused(tmp_path, data, words):
    (tmp_path / 'truth.json').write_bytes(data)
    with pytest.raises(ValueError, match=words):
        read_truth(tmp_path / 'truth.json', 3)


def test_a_file_is_looked_for_beside_the_bag_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bag').mkdir()
    assert file_beside(tmp_path / 'bag', 'gt.txt') is None
    (tmp_path / 'gt.txt').touch()
    assert file_beside(tmp_path / 'bag', 'gt.txt').resolve() == tmp_path / 'gt.txt'
    (tmp_path / 'bag' / 'gt.txt').touch()
    (tmp_path / 'bag' / 'bag.mcap').touch()
    for bag in 'bag', 'bag/bag.mcap':
        assert file_beside(tmp_path / bag, 'gt.txt') == tmp_path / 'bag' / 'gt.txt'
    assert file_beside(tmp_path / 'bag', '') is file_beside(tmp_path / 'bag', '/truth') is None
