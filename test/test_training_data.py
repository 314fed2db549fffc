"""Image banks: a reader for each layout, mapping of classes, crops, and the rendered road."""
import json

from acme_tracking.labels import CLASSES
from acme_tracking.training.data import (
    Bank,
    crops,
    LabelledImage,
    read,
    read_mapping,
    RenderedScenes,
    Sample,
)
from acme_tracking.training.data.images import decode, image_size
import banks
from banks import annotation
import cv2
import numpy as np
from PIL import Image
import pytest


def rows(image):
    """Return (box, label, ignored) of a LabelledImage as plain values."""
    return [(box.tolist(), str(label), bool(flag))
            for box, label, flag in zip(image.boxes, image.labels, image.ignored)]


# COCO

def test_coco_gives_images_boxes_and_names(tmp_path):
    bank = read(banks.coco(tmp_path, [annotation([4, 5, 10, 20]), annotation([1, 2, 3, 4], 6)]))
    assert (bank.layout, len(bank)) == ('COCO', 1)
    sample, = bank
    assert sample.image.shape == (30, 40, 3)
    assert sample.boxes.tolist() == [[4, 5, 14, 25], [1, 2, 4, 6]]
    assert sample.labels.tolist() == ['car', 'vehicle']


def test_an_image_without_boxes_is_a_sample_too(tmp_path):
    sample, = read(banks.coco(tmp_path, []))
    assert sample.boxes.shape == (0, 4)
    assert len(sample.labels) == 0


def test_boxes_are_clipped_and_empty_ones_dropped_and_crowds_ignored(tmp_path):
    image, = read(banks.coco(tmp_path, [
        annotation([-5, 20, 20, 30]), annotation([50, 5, 9, 9]), annotation([5, 5, 0, 9]),
        annotation([5, 5, 9, 9], iscrowd=1)])).images
    assert image.boxes.tolist()[0] == [-5, 20, 15, 50]
    sample = image.load()
    assert sample.boxes.tolist() == [[0, 20, 15, 30], [5, 5, 14, 14]]
    assert sample.ignored.tolist() == [False, True]


def test_coco_says_which_classes_were_labelled_on_an_image(tmp_path):
    path = banks.coco(tmp_path, [annotation([5, 5, 9, 9])])
    content = json.loads(path.read_text())
    assert read(path).images[0].labelled is None
    content['images'][0]['labelled'] = [1, 6]
    path.write_text(json.dumps(content))
    bank = read(path).mapped({'vehicle': 'lorry', 'car': 'car'})
    assert bank.images[0].load().labelled == ('car', 'lorry')
    assert bank.only(['car']).images[0].labelled == ('car',)
    content['images'][0]['labelled'] = [1, 99]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"images\[0\]: 'labelled' must be .*99"):
        read(path)


@pytest.mark.parametrize('place', ['bank', '.', 'images', '../val2017'])
def test_coco_images_are_found_where_tools_put_them(tmp_path, place):
    folder = tmp_path / 'annotations'
    folder.mkdir()
    path = banks.coco(folder, [], name='instances_val2017')
    (folder / 'instances_val2017' / 'one.png').unlink()
    if place == 'bank':
        place = 'instances_val2017'
    picture = banks.picture(folder / place / 'one.png')
    assert read(path).images[0].path.resolve() == picture.resolve()


def test_a_folder_with_one_json_is_coco(tmp_path):
    banks.coco(tmp_path, [annotation([4, 5, 10, 20])])
    assert read(tmp_path).images[0].labels.tolist() == ['car']


def test_coco_agrees_with_the_reference_reader(data, capsys):
    reference = pytest.importorskip('pycocotools.coco')
    path = data / 'detection' / 'street_val.json'
    expected = reference.COCO(str(path))
    capsys.readouterr()
    bank = read(path)
    assert len(bank) == len(expected.imgs)
    for image, key in zip(bank.images, expected.imgs):
        entry = expected.imgs[key]
        assert image.path.name == entry['file_name']
        assert image.size == (entry['width'], entry['height'])
        objects = expected.loadAnns(expected.getAnnIds(imgIds=[key]))
        assert image.labels.tolist() == [
            expected.cats[each['category_id']]['name'] for each in objects]
        np.testing.assert_allclose(
            image.boxes, [[x, y, x + w, y + h] for x, y, w, h in (o['bbox'] for o in objects)]
            or np.zeros((0, 4)), rtol=1e-6)


IMAGE = {'id': 7, 'file_name': 'one.png'}


@pytest.mark.parametrize(('content', 'reason'), [
    ('', r'odd.json:1: not JSON'),
    ('{\n"images": [}', r'odd.json:2: not JSON'),
    ('[]', "no list 'images'"),
    ({'images': []}, "no list 'annotations'"),
    ({'images': [{'id': 1}]}, r"images\[0\]: 'file_name' must be a str, got None"),
    ({'images': [3]}, r'images\[0\]: must be an object, got 3'),
    ({'images': [IMAGE, IMAGE]}, r'images\[1\]: id 7 was there before'),
    ({'annotations': [annotation([1, 1, 2, 2], 3)]}, r'annotations\[0\]: category_id 3'),
    ({'annotations': [{**annotation([1, 1, 2, 2]), 'image_id': 8}]},
     r'annotations\[0\]: image_id 8'),
    ({'annotations': [annotation([1, 1, 2])]}, r'annotations\[0\]: bbox must be four numbers'),
    ({'annotations': [annotation([1, 1, 2, 'x'])]}, 'bbox must be four numbers'),
    ({'annotations': [annotation([1, 1, 2, 10 ** 400])]}, 'bbox must be four numbers'),
    ('[' * 100_000, 'odd.json: not JSON'),
    ({'annotations': [annotation(None)]}, 'bbox must be four numbers .* got None'),
    ({'categories': [{'id': 1, 'name': ''}]}, r"categories\[0\]: 'name' must not be empty"),
])
def test_a_malformed_coco_file_is_named_with_line_or_entry(tmp_path, content, reason):
    path = tmp_path / 'odd.json'
    if isinstance(content, dict):
        good = {'images': [IMAGE], 'annotations': [], 'categories': [{'id': 1, 'name': 'car'}]}
        content = json.dumps(content if list(content) == ['images'] and content['images'] == []
                             else {**good, **content})
    path.write_text(content)
    with pytest.raises(ValueError, match='odd.json') as error:
        read(path)
    assert error.match(reason)


# KITTI

KITTI_ROWS = """\
Car 0.00 0 1.85 10.50 5.25 30.00 25.75 1.50 1.60 3.70 -16.53 2.39 58.49 1.57
DontCare -1 -1 -10 0.00 0.00 8.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10
"""


def test_kitti_rows_become_boxes_and_dont_care_is_ignored(tmp_path):
    bank = read(banks.kitti(tmp_path, KITTI_ROWS))
    assert bank.layout == 'KITTI'
    assert bank.images[0].size == (40, 30)
    assert rows(bank.images[0]) == [([10.5, 5.25, 30, 25.75], 'Car', False),
                                    ([0, 0, 8, 9], 'DontCare', True)]
    assert bank.counts() == {'Car': 1}


def test_kitti_in_folders_images_and_labels(tmp_path):
    banks.kitti(tmp_path, KITTI_ROWS)
    (tmp_path / 'image_2').rename(tmp_path / 'images')
    (tmp_path / 'label_2').rename(tmp_path / 'labels')
    assert read(tmp_path).layout == 'KITTI'


@pytest.mark.parametrize(('row', 'reason'), [
    ('Car 0 0 1', r'000000.txt:2: expected 15 columns .*, got 4'),
    ('Car 0 0 1 10 x 30 25 1 1 3 0 0 5 1', r'000000.txt:2: the box .* got 10 x 30 25'),
    ('Car 0 0 1 10 nan 30 25 1 1 3 0 0 5 1', r'000000.txt:2: the box'),
])
def test_a_malformed_kitti_row_is_named(tmp_path, row, reason):
    with pytest.raises(ValueError, match=reason):
        read(banks.kitti(tmp_path, KITTI_ROWS.splitlines()[0] + '\n' + row + '\n'))


# Pascal VOC

VOC = """\
<annotation>
  <filename>other.jpg</filename>
  <size><width>40</width><height>30</height><depth>3</depth></size>
  <object><name>car</name><difficult>0</difficult>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>
  </object>
  <object>
    <name>person</name><difficult>1</difficult>
    <bndbox><xmin>5</xmin><ymin>6</ymin><xmax>9</xmax><ymax>12</ymax></bndbox>
    <part><name>head</name>
      <bndbox><xmin>5</xmin><ymin>6</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></part>
  </object>
</annotation>
"""


def test_voc_counts_pixels_from_one_and_ignores_difficult_objects(tmp_path):
    bank = read(banks.voc(tmp_path, VOC))
    assert bank.layout == 'Pascal VOC'
    assert rows(bank.images[0]) == [([0, 0, 40, 30], 'car', False),
                                    ([4, 5, 9, 12], 'person', True)]
    assert bank.images[0].load().image.shape == (30, 40, 3)


def test_voc_beside_its_images_and_without_a_size(tmp_path):
    banks.picture(tmp_path / 'one.png')
    (tmp_path / 'one.xml').write_text(VOC.replace('<size>', '<!-- ').replace('</size>', ' -->'))
    assert read(tmp_path).images[0].size == (40, 30)


@pytest.mark.parametrize(('old', 'new', 'reason'), [
    ('</annotation>', '', r'one.xml:\d+: not XML'),
    ('annotation>', 'notes>', r'one.xml:1: expected <annotation>, got <notes>'),
    ('<name>car</name>', '', r'one.xml:4: an object without a name'),
    ('<xmax>40</xmax>', '', r'one.xml:4: bndbox/xmax of this object must be a number, got None'),
    ('<ymin>6</ymin>', '<ymin>six</ymin>', r"one.xml:7: bndbox/ymin .* got 'six'"),
])
def test_a_malformed_voc_file_is_named_with_its_line(tmp_path, old, new, reason):
    with pytest.raises(ValueError, match=reason):
        read(banks.voc(tmp_path, VOC.replace(old, new)))


# YOLO

def test_yolo_rows_become_boxes(tmp_path):
    bank = read(banks.yolo(tmp_path, '1 0.5 0.5 0.25 0.2\n\n0 0.1 0.2 0.2 0.4\n'))
    assert bank.layout == 'YOLO'
    one, two = bank.images
    assert [(label, flag) for _, label, flag in rows(one)] == [('bus', False), ('car', False)]
    np.testing.assert_allclose(one.boxes, [[15, 12, 25, 18], [0, 0, 8, 12]], atol=1e-5)
    assert rows(two) == []


@pytest.mark.parametrize('place', ['labelled', 'split', 'flat'])
def test_yolo_folders_as_tools_write_them(tmp_path, place):
    root = tmp_path / 'labelled'
    if place == 'split':  # images/train beside labels/train, names above both
        banks.picture(root / 'images' / 'train' / 'one.png')
        label, path, names = root / 'labels' / 'train', root / 'images' / 'train', root
    elif place == 'flat':  # all in one folder
        banks.picture(root / 'one.png')
        label = path = names = root
    else:
        banks.picture(root / 'train' / 'images' / 'one.png')
        label, path, names = root / 'train' / 'labels', root / 'train', root
    label.mkdir(parents=True, exist_ok=True)
    (label / 'one.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    (names / 'classes.txt').write_text('tram\n')
    image, = read(path).images
    assert rows(image) == [([10, 7.5, 30, 22.5], 'tram', False)]


@pytest.mark.parametrize(('row', 'reason'), [
    ('0 0.5 0.5 0.5', r'one.txt:2: expected after the class 4 numbers .* got 3'),
    ('2 0.5 0.5 0.5 0.5', r'one.txt:2: class 2 has no name; there are 0 car, 1 bus'),
    ('car 0.5 0.5 0.5 0.5', r'one.txt:2: class car has no name'),
    ('0 120 80 20 20', r'one.txt:2: the box must be shares of the image'),
    ('0 0.5 nan 0.5 0.5', r'one.txt:2: the box must be shares'),
])
def test_a_malformed_yolo_row_is_named(tmp_path, row, reason):
    with pytest.raises(ValueError, match=reason):
        read(banks.yolo(tmp_path, f'0 0.5 0.5 0.5 0.5\n{row}\n'))


@pytest.mark.parametrize(('names', 'reason'), [
    (None, r'names of the classes are missing'),
    ('names: [\n', r'data.yaml:2: not YAML'),
    ('train: x\n', r'data.yaml: expected an entry `names`'),
    ('names: [car, ""]\n', r'data.yaml: the name of class 1 must not be empty'),
    ('names: [car, , bus]\n', r'data.yaml'),
    ('names: {0: car, 1: }\n', r'data.yaml: the name of class 1 must not be empty'),
])
def test_yolo_needs_names(tmp_path, names, reason):
    with pytest.raises(ValueError, match=reason):
        read(banks.yolo(tmp_path, '0 0.5 0.5 0.5 0.5\n', names))


def test_an_empty_line_among_names_shifts_no_class(tmp_path):
    folder = banks.yolo(tmp_path, '0 0.5 0.5 0.5 0.5\n', None)
    (tmp_path / 'classes.txt').write_text('car\n\nbus\n\n')
    with pytest.raises(ValueError, match='classes.txt: the name of class 1 must not be empty'):
        read(folder)


# Class folders

def test_class_folders_give_whole_images(tmp_path):
    bank = read(banks.class_folders(tmp_path))
    assert bank.layout == 'class folders'
    assert bank.counts() == {'cat': 2, 'dog': 2}
    assert rows(bank.images[0]) == [([0, 0, 40, 30], 'cat', False)]


def test_synset_folders_take_their_names_from_the_file_of_imagenet(tmp_path):
    folder = tmp_path / 'Data' / 'CLS-LOC' / 'train'
    banks.class_folders(folder, ('n01440764', 'n02012849', 'n03126707', 'n09999999'), 1)
    (tmp_path / 'LOC_synset_mapping.txt').write_text(
        'n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n')
    labels = [image.labels[0] for image in read(folder).images]
    assert labels == ['tench', 'crane (n02012849)', 'crane (n03126707)', 'n09999999']


@pytest.mark.parametrize('line', ['tench', 'n01440764\t, Tinca tinca'])
def test_a_malformed_file_of_synsets_is_named(tmp_path, line):
    banks.class_folders(tmp_path, ('n01440764',), 1)
    (tmp_path / 'words.txt').write_text(f'n01440764\ttench\n{line}\n')
    with pytest.raises(ValueError, match='words.txt:2: expected a synset ') as error:
        read(tmp_path)
    assert repr(line) in str(error.value)


# All layouts

def test_what_is_no_bank_is_told_with_all_that_would_be(tmp_path):
    with pytest.raises(ValueError, match='no such file'):
        read(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='COCO.*KITTI.*VOC.*YOLO.*class folders'):
        read(tmp_path)
    (tmp_path / 'empty.json').write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(ValueError, match='holds no image'):
        read(tmp_path / 'empty.json')


def test_broken_images_are_reported_and_skipped(tmp_path, caplog):
    folder = banks.class_folders(tmp_path, count=4)
    whole = folder / 'cat' / '0.png'
    (folder / 'cat' / '1.png').write_bytes(b'no picture')
    (folder / 'cat' / '2.png').write_bytes(whole.read_bytes()[:-2000])
    bank = read(folder)
    (folder / 'cat' / '3.png').unlink()
    assert [sample.labels[0] for sample in bank] == ['cat'] + ['dog'] * 4
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    for message, name in zip(told, ('1.png', '2.png', '3.png')):
        assert message.startswith('skipped') and name in message
    assert 'truncated' in told[1]
    assert 'no such file' in told[2]


def test_an_image_of_another_size_than_labelled_is_skipped(tmp_path, caplog):
    images = [{'id': 7, 'file_name': 'one.png', 'width': 30, 'height': 40}]
    assert list(read(banks.coco(tmp_path, [], images=images))) == []
    assert '40 x 30 pixels, but was labelled as 30 x 40' in caplog.text


def test_images_are_decoded_upright_in_the_order_of_opencv(tmp_path):
    path = banks.picture(tmp_path / 'one.png')
    assert np.array_equal(decode(path), cv2.imread(str(path)))
    turned = Image.open(path)
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    turned.save(tmp_path / 'turned.png', exif=exif)
    assert decode(tmp_path / 'turned.png').shape == (40, 30, 3)
    assert image_size(tmp_path / 'turned.png') == (30, 40)


def test_every_cut_of_an_image_file_is_an_error_and_no_crash(tmp_path):
    rng = np.random.default_rng(0)
    content = cv2.imencode('.jpg', rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    for length in range(0, len(content) - 200, 97):
        (tmp_path / 'cut.jpg').write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'cut\.jpg'):
            decode(tmp_path / 'cut.jpg')


# Classes

def bank_of(*labels):
    objects = [((0, 0, 9, 9), label, label == 'DontCare') for label in labels]
    return Bank('bank', 'COCO', [LabelledImage.of('one.png', (40, 30), objects)])


def test_mapping_renames_and_leaves_out(tmp_path):
    (tmp_path / 'map.yaml').write_text('van: car\ntram: null\n')
    bank = bank_of('van', 'tram', 'bus').mapped(read_mapping(tmp_path / 'map.yaml'))
    assert bank.images[0].labels.tolist() == ['car', 'bus']
    assert len(bank.images[0].boxes) == 2


@pytest.mark.parametrize(('content', 'reason'), [
    ('van car', r"map.yaml: expected lines such as `van: car`, got 'van car'"),
    ('a: b\nc: [', r'map.yaml:\d: not YAML'),
    ('van: 3', r"map.yaml: entry 'van': 3 must map a name to a name"),
    ('3: van', r'map.yaml: entry 3'),
    ("van: ''", "entry 'van'"),
])
def test_a_malformed_mapping_is_named(tmp_path, content, reason):
    (tmp_path / 'map.yaml').write_text(content)
    with pytest.raises(ValueError, match=reason):
        read_mapping(tmp_path / 'map.yaml')


def test_chosen_classes_keep_vehicles_of_unknown_kind_and_what_is_ignored():
    bank = bank_of('car', 'dog', 'vehicle', 'DontCare')
    assert bank.only(CLASSES).images[0].labels.tolist() == ['car', 'vehicle', 'DontCare']
    # a network that does not know trucks would learn them as its classes
    assert bank.only(['car', 'dog']).images[0].labels.tolist() == ['car', 'dog', 'DontCare']


def test_unknown_classes_are_named():
    with pytest.raises(ValueError, match=r"unknown classes \['zebra'\], expected some of car"):
        bank_of('car', 'vehicle', 'zebra').require(CLASSES)
    bank_of('car', 'vehicle', 'DontCare').require(CLASSES)


# Samples

def test_shrinking_scales_boxes_and_never_enlarges():
    sample = Sample(np.zeros((200, 400, 3), np.uint8), np.array([[40, 20, 80, 60]], np.float32),
                    np.array(['car']), np.array([True]))
    small = sample.shrunk(100)
    assert small.image.shape == (71, 141, 3)
    np.testing.assert_allclose(small.boxes, [[14.1, 7.1, 28.2, 21.3]], rtol=1e-4)
    assert small.ignored.tolist() == [True]
    assert sample.shrunk(1000) is sample


def test_crops_are_the_objects_with_a_margin():
    image = np.arange(30 * 40 * 3, dtype=np.uint32).reshape(30, 40, 3).astype(np.uint8)
    boxes = [[10, 10, 20, 30], [0, 0, 40, 30], [1, 1, 3, 20], [0, 0, 9, 9]]
    sample = Sample(image, np.array(boxes, np.float32),
                    np.array(['car', 'bus', 'car', 'car']), np.array([False] * 3 + [True]))
    first, second = crops([sample], margin=0.1)
    assert np.array_equal(first.image, image[8:30, 9:21])
    assert first.labels.tolist() == ['car']
    assert first.boxes.tolist() == [[0, 0, 12, 22]]
    assert np.array_equal(second.image, image)


def test_rendered_scenes_repeat_and_have_boxes():
    first, second = (list(RenderedScenes(2, seed=5)) for _ in range(2))
    for a, b in zip(first, second):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.boxes, b.boxes)
    assert sum(len(sample.boxes) for sample in first) > 3
    assert set(np.concatenate([sample.labels for sample in first])) <= set(CLASSES)


def test_the_training_set_reads_as_its_readme_says(data):
    bank = read(data / 'detection' / 'highway_train.json')
    assert len(bank) == 740
    sample = next(iter(bank))
    assert sample.image.shape == (640, 640, 3)
    assert sample.boxes[0].tolist() == [322.0, 201.5, 362.0, 257.5]
    assert sample.labels[0] == 'bus'
