"""Image banks: the COCO reader and the rendered road."""
import json

from acme_tracking.training.data import CLASSES, CocoFile, RenderedScenes, Sample
import cv2
import numpy as np
import pytest


def write_bank(folder, annotations, categories=None, name='bank', images=None):
    """Write a COCO file with one 40 x 30 image and return its path."""
    (folder / name).mkdir()
    image = np.full((30, 40, 3), 90, dtype=np.uint8)
    cv2.imwrite(str(folder / name / 'one.png'), image)
    images = images or [{'id': 7, 'file_name': 'one.png', 'width': 40, 'height': 30}]
    categories = categories or [{'id': 1, 'name': 'car'}, {'id': 6, 'name': 'vehicle'}]
    path = folder / f'{name}.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations,
                                'categories': categories}))
    return path


def annotation(box, category=1, **more):
    return {'id': 1, 'image_id': 7, 'bbox': box, 'category_id': category, **more}


def test_reads_images_boxes_and_names(tmp_path):
    bank = CocoFile(write_bank(tmp_path, [annotation([4, 5, 10, 20]),
                                          annotation([1, 2, 3, 4], 6)]))
    assert len(bank) == 1
    sample, = bank
    assert sample.image.shape == (30, 40, 3)
    assert sample.boxes.tolist() == [[4, 5, 14, 25], [1, 2, 4, 6]]
    assert sample.labels.tolist() == ['car', 'vehicle']


def test_an_image_without_boxes_is_a_sample_too(tmp_path):
    sample, = CocoFile(write_bank(tmp_path, []))
    assert sample.boxes.shape == (0, 4)
    assert len(sample.labels) == 0


def test_boxes_are_clipped_and_empty_or_crowd_ones_dropped(tmp_path):
    bank = CocoFile(write_bank(tmp_path, [
        annotation([-5, 20, 20, 30]), annotation([50, 5, 9, 9]), annotation([5, 5, 0, 9]),
        annotation([5, 5, 9, 9], iscrowd=1)]))
    sample, = bank
    assert sample.boxes.tolist() == [[0, 20, 15, 30]]


@pytest.mark.parametrize('content', ['', '[]', '{"images": []}', '{"images": [{"id": 1}], '
                                     '"annotations": [], "categories": []}'])
def test_a_file_that_is_not_coco_is_named(tmp_path, content):
    path = tmp_path / 'odd.json'
    path.write_text(content)
    with pytest.raises(ValueError, match='odd.json: not a COCO detection file'):
        CocoFile(path)


def test_an_annotation_of_an_unknown_image_is_refused(tmp_path):
    path = write_bank(tmp_path, [{**annotation([1, 1, 2, 2]), 'image_id': 8}])
    with pytest.raises(ValueError, match='KeyError 8'):
        CocoFile(path)


def test_an_unknown_category_is_named(tmp_path):
    path = write_bank(tmp_path, [annotation([1, 1, 2, 2], 3)], [{'id': 3, 'name': 'zebra'}])
    with pytest.raises(ValueError, match=r"unknown categories \['zebra'\], expected some of car"):
        CocoFile(path)


def test_a_broken_image_is_named(tmp_path):
    path = write_bank(tmp_path, [])
    (tmp_path / 'bank' / 'one.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'one\.png cannot be read'):
        list(CocoFile(path))


def test_shrinking_scales_boxes_and_never_enlarges():
    sample = Sample(np.zeros((200, 400, 3), np.uint8), np.array([[40, 20, 80, 60]], np.float32),
                    np.array(['car']))
    small = sample.shrunk(100)
    assert small.image.shape == (71, 141, 3)
    np.testing.assert_allclose(small.boxes, [[14.1, 7.1, 28.2, 21.3]], rtol=1e-4)
    assert sample.shrunk(1000) is sample


def test_rendered_scenes_repeat_and_have_boxes():
    first, second = (list(RenderedScenes(2, seed=5)) for _ in range(2))
    for a, b in zip(first, second):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.boxes, b.boxes)
    assert sum(len(sample.boxes) for sample in first) > 3
    assert set(np.concatenate([sample.labels for sample in first])) <= set(CLASSES)


def test_the_training_set_reads_as_its_readme_says(data):
    bank = CocoFile(data / 'detection' / 'highway_train.json')
    assert len(bank) == 740
    sample = next(iter(bank))
    assert sample.image.shape == (640, 640, 3)
    assert sample.boxes[0].tolist() == [322.0, 201.5, 362.0, 257.5]
    assert sample.labels[0] == 'bus'
