"""Data sets as tools write them: layout and splits found, every shape a box, never a guess."""
import codecs
import json

from acme_tracking.cli import main, train_detector
from acme_tracking.training.data import read, read_all
from acme_tracking.training.data.masks import box_of_mask
from acme_tracking.training.data.splits import SPLITS
import banks
from banks import annotation
import exports
from exports import BOX, EXPORTS, YOLO_BOX, YOLO_CORNERS, YOLO_POLYGON, YOLO_POSE
import numpy as np
import pytest

# Exports of tools

@pytest.mark.parametrize('name', EXPORTS)
def test_an_export_is_read_from_its_root(tmp_path, name):
    layout, splits, files = EXPORTS[name]
    found, _ = read_all(exports.write(tmp_path / 'export', files))
    assert {bank.layout for bank in found} == {layout}
    assert {bank.part: len(bank) for bank in found} == splits
    for bank in found:
        samples = list(bank)
        assert len(samples) == len(bank)
        if layout == 'class folders':
            continue
        for sample in samples:
            np.testing.assert_allclose(sample.boxes, [BOX], atol=1e-4)
            assert sample.labels.tolist() == ['Car' if layout == 'KITTI' else 'car']


@pytest.mark.parametrize(('name', 'expected'), [
    ('Roboflow YOLO', {}),
    ('Roboflow YOLO OBB', {'rotated boxes turned into boxes': 1}),
    ('Roboflow YOLO polygons', {'polygons turned into boxes': 1}),
    ('Roboflow YOLO keypoints', {'keypoints left out, their boxes kept': 1}),
])
def test_what_was_turned_into_boxes_is_counted_and_said(tmp_path, name, expected, caplog):
    root = exports.write(tmp_path / 'export', EXPORTS[name][2])
    assert read(root, 'train').notes == expected
    assert caplog.messages == [f'{root}: {note}: {number}' for note, number in expected.items()]


def test_images_of_kitti_without_labels_are_told_of(tmp_path):
    _, remarks = read_all(exports.write(tmp_path, EXPORTS['KITTI'][2]))
    assert remarks == ['testing/ left out: its images have no labels']


# Splits

def test_a_split_is_asked_for_by_use_or_by_name(tmp_path, monkeypatch):
    root = exports.write(tmp_path / 'export', EXPORTS['Roboflow COCO'][2])
    for asked, wanted, part in (('', 'train', 'train'), ('', 'val', 'val'),
                                (':valid', None, 'val'), (':test', 'val', 'test')):
        bank = read(f'{root}{asked}', wanted)
        assert bank.part == part
        assert bank.name == f'export:{part}'
        assert bank.images[0].path.parent.name == {'val': 'valid'}.get(part, part)
    root = root.rename(tmp_path / 'coco')
    monkeypatch.chdir(tmp_path)
    assert read('coco:val').part == 'val'  # and coco: is no layout here
    assert read('coco:coco:val').part == 'val'
    bank = read(root / 'valid', 'train')  # the folder of a split is a bank of its own
    assert (bank.part, len(bank)) == ('', 1)


@pytest.mark.parametrize(('spec', 'wanted', 'reason'), [
    ('export', 'val', 'export: has no split val; give .*export:train or .*export:test'),
    ('export:nonsense', 'train', 'export: has no split nonsense; give .*export:train'),
    ('export', None, 'export: has several splits; give .*export:train or .*export:test'),
])
def test_another_split_is_never_taken_instead(tmp_path, spec, wanted, reason):
    files = EXPORTS['Roboflow COCO'][2]
    exports.write(tmp_path / 'export', {
        name: content for name, content in files.items() if not name.startswith('valid/')})
    with pytest.raises(ValueError, match=reason):
        read(f'{tmp_path}/{spec}', wanted)


def test_a_bank_for_training_alone_validates_nothing(tmp_path):
    root = exports.write(tmp_path, EXPORTS['CVAT Ultralytics YOLO 1.0'][2])
    assert len(read(root)) == 1
    with pytest.raises(ValueError, match='has no split val; give .*:train'):
        read(root, 'val')


def test_two_parts_of_one_split_are_no_guess(tmp_path):
    exports.write(tmp_path, {f'{folder}/{name}': content for folder in ('val', 'valid')
                             for name, content in {'a.png': None, 'a.txt': YOLO_BOX}.items()})
    with pytest.raises(ValueError, match="/val and .*/valid are both the split 'val'"):
        read_all(tmp_path)


def test_all_splits_of_a_folder_of_images_are_told_apart(tmp_path):
    files = {**exports.ULTRALYTICS, 'classes.txt': 'bus\ncar\n', 'images/test/a.png': None}
    found, remarks = read_all(exports.write(tmp_path, files))
    assert {bank.part: len(bank) for bank in found} == {'train': 1, 'val': 1}
    assert remarks == ['test/ left out: its images have no labels']


# Layouts

BOTH = {'a.png': None, 'a.txt': YOLO_BOX, 'a.xml': exports.voc('a.png'), 'classes.txt': 'bus\ncar'}


def test_a_layout_that_two_readers_accept_is_asked_for(tmp_path):
    root = exports.write(tmp_path / 'both', BOTH)
    with pytest.raises(ValueError, match='both: may be Pascal VOC or YOLO; say which, as in '
                                         'voc:.*both or yolo:.*both'):
        read(root)
    assert read(f'yolo:{root}').layout == 'YOLO'
    assert read(f'voc:{root}').layout == 'Pascal VOC'
    with pytest.raises(ValueError, match='both: no image bank .* expected KITTI: '):
        read(f'kitti:{root}')


def test_boxes_for_class_folders_are_asked_for(tmp_path):
    root = exports.write(tmp_path / 'animals', {
        'bus/1.png': None, 'car/2.png': None,
        'boxes.json': exports.coco('bus/1.png', 'car/2.png')})
    with pytest.raises(ValueError, match='may be COCO or class folders'):
        read(root)
    assert read(f'folders:{root}').counts() == {'bus': 1, 'car': 1}
    assert read(root / 'boxes.json').counts() == {'car': 2}


@pytest.mark.parametrize('name', ['Roboflow COCO', 'Roboflow YOLO', 'CVAT YOLO 1.1', 'COCO 2017',
                                  'CVAT COCO 1.0', 'VOC2012', 'KITTI'])
def test_an_export_without_its_labels_is_no_class_folder(tmp_path, name):
    root = exports.write(tmp_path / 'export', {
        path: content for path, content in EXPORTS[name][2].items() if content is None})
    with pytest.raises(ValueError, match='no image bank that is known'):
        read_all(root)


def test_two_descriptions_are_no_guess(tmp_path):
    root = exports.write(tmp_path, {**exports.roboflow_yolo(YOLO_BOX),
                                    'old.yaml': exports.ROBOFLOW_YAML, 'map.yaml': 'van: car\n'})
    with pytest.raises(ValueError, match=r'several banks; give one of .*/data.yaml, .*/old.yaml'):
        read_all(root)
    assert len(read(root / 'data.yaml', 'train')) == 1


def test_a_description_may_not_mean_two_folders(tmp_path):
    root = exports.write(tmp_path / 'export', exports.roboflow_yolo(YOLO_BOX))
    banks.picture(tmp_path / 'train' / 'images' / 'other.png')
    with pytest.raises(ValueError, match=r'data.yaml: train: ../train/images may be '
                                         r'.*/export/train/images or .*/train/images'):
        read(root, 'train')
    (root / 'data.yaml').write_text(exports.ROBOFLOW_YAML.replace('..', str(root)))
    assert len(read(root, 'train')) == 1


def test_labels_are_looked_for_beside_a_link_to_images(tmp_path):
    root = exports.write(tmp_path / 'export', exports.roboflow_yolo(YOLO_BOX))
    (root / 'train' / 'images').rename(tmp_path / 'elsewhere')
    (root / 'train' / 'images').symlink_to(tmp_path / 'elsewhere')
    assert read(root, 'train').counts() == {'car': 1}


def test_a_list_may_not_mean_two_images(tmp_path):
    root = exports.write(tmp_path, {
        'data.yaml': 'train: lists/train.txt\nnames: [bus, car]\n', 'images/a.png': None,
        'lists/train.txt': '\nimages/a.png\n', 'labels/a.txt': YOLO_BOX})
    assert len(read(root)) == 1
    banks.picture(tmp_path / 'lists' / 'images' / 'a.png')
    with pytest.raises(ValueError, match=r'train.txt:2: images/a.png may be .* or .*/lists/'):
        read(root)


def test_images_of_a_list_that_are_missing_are_told(tmp_path, caplog):
    root = exports.write(tmp_path, {
        'data.yaml': 'train: train.txt\nnames: [bus, car]\n', 'images/a.png': None,
        'train.txt': 'images/a.png\nimages/gone.png\n', 'labels/a.txt': YOLO_BOX})
    assert len(list(read(root))) == 1
    assert 'images/gone.png: cannot be read as an image (no such file)' in caplog.text


@pytest.mark.parametrize(('description', 'reason'), [
    ('train: nowhere\nval:\nnames: [bus]\n', r'data.yaml: .*train: nowhere is not there'),
    ('train: 3\nnames: [bus]\n', r'data.yaml: train must be a path or a list of paths, got 3'),
    ('train: [images, 4]\nnames: [bus]\n', r'data.yaml: train must be .*, got 4'),
    ('names: [bus]\ntrain: a: b\n', r'data.yaml:2: not YAML'),
    ('names: &a [bus]\ntrain: *a\n', r'data.yaml:2: not YAML .aliases are not read'),
    (f'train: a\nnames: {"[" * 5000}', r'data.yaml: not YAML'),
    ('train: images\nnames: 5\n', r'data.yaml: expected an entry `names`.*got 5'),
    ('train: images\nnames: {bus: 0}\n', r"data.yaml: names: 'bus' must be the index"),
    ('train: images\nnames: [bus]\n', r'a.txt:1: class 1 has no name; there are 0 bus'),
    ('train: images\nnames: [bus, car]\nkpt_shape: 17\n', r'data.yaml: kpt_shape .* got 17'),
])
def test_a_malformed_description_is_named(tmp_path, description, reason):
    root = exports.write(tmp_path, {'data.yaml': description, 'images/a.png': None,
                                    'labels/a.txt': YOLO_BOX})
    with pytest.raises(ValueError, match=reason):
        read(root)


def test_what_a_description_names_and_is_not_there_is_told(tmp_path):
    files = exports.roboflow_yolo(YOLO_BOX)
    root = exports.write(tmp_path, {name: content for name, content in files.items()
                                    if not name.startswith(('test/', 'valid/labels'))})
    found, remarks = read_all(root)
    assert [bank.part for bank in found] == ['train']
    assert remarks == ['data.yaml: val: its 1 images have no labels',
                       'data.yaml: test: ../test/images is not there']
    with pytest.raises(ValueError, match='no split val; .*val: its 1 images have no labels'):
        read(root, 'val')


# YOLO rows

def one_image(folder, rows, description='train: images\nnames: [bus, car]\n'):
    return exports.write(folder, {'data.yaml': description, 'images/a.png': None,
                                  'labels/a.txt': rows})


def test_rows_of_every_kind_may_be_mixed(tmp_path):
    bank = read(one_image(tmp_path, YOLO_BOX + YOLO_CORNERS + '\n' + YOLO_POLYGON))
    np.testing.assert_allclose(bank.images[0].boxes, [BOX] * 3, atol=1e-4)
    assert bank.notes == {'rotated boxes turned into boxes': 1, 'polygons turned into boxes': 1}


def test_a_rotated_box_may_reach_over_the_edge(tmp_path):
    image, = read(one_image(tmp_path, '1 -0.1 0.5 0.5 -0.1 1.1 0.5 0.5 1.1\n')).images
    np.testing.assert_allclose(image.boxes, [[-4, -3, 44, 33]], atol=1e-4)
    np.testing.assert_allclose(image.load().boxes, [[0, 0, 40, 30]])


@pytest.mark.parametrize(('rows', 'shape', 'reason'), [
    (YOLO_POSE, '', r'a.txt:1: .*polygon \(keypoints need kpt_shape in data.yaml\)|shares'),
    ('1 0.5 0.4 0.5 0.4 0.9\n', '', r'a.txt:1: expected after the class 4 .*, got 5'),
    ('1 0.5 0.4 0.5 0.4 0.3 0.3 2\n', '', r'a.txt:1: .*kpt_shape in data.yaml\), got 7'),
    (YOLO_BOX + YOLO_CORNERS, 'kpt_shape: [2, 3]\n', r'a.txt:2: .*and 6 of keypoints, got 8'),
    ('1 10 6 30 6 30 18\n', '', r'a.txt:1: the box must be shares .* got 10 6 30 6 30 18'),
    ('1 0.1 0.1 x 0.1 0.3 0.3\n', '', r'a.txt:1: the box must be shares .* got 0.1 0.1 x'),
])
def test_a_row_that_may_be_read_in_two_ways_is_refused(tmp_path, rows, shape, reason):
    with pytest.raises(ValueError, match=reason):
        read(one_image(tmp_path, rows, f'train: images\nnames: [bus, car]\n{shape}'))


# Text of any system

def as_windows(content):
    return codecs.BOM_UTF8 + content.replace('\n', '\r\n').encode()


def as_utf16(content):
    return content.replace('\n', '\r\n').encode('utf-16')


@pytest.mark.parametrize('written', [as_windows, as_utf16])
@pytest.mark.parametrize('name', [
    'Roboflow COCO', 'Roboflow YOLO', 'Roboflow Darknet', 'Roboflow VOC', 'Ultralytics, lists',
    'CVAT YOLO 1.1', 'CVAT VOC 1.1', 'Label Studio YOLO', 'KITTI'])
def test_byte_order_marks_and_windows_lines_change_nothing(tmp_path, name, written):
    _, splits, files = EXPORTS[name]
    found, _ = read_all(exports.write(tmp_path, {
        path: content and written(content) for path, content in files.items()}))
    assert {bank.part: len(bank) for bank in found} == splits
    for bank in found:
        assert {label.lower(): number for label, number in bank.counts().items()} == {
            'car': len(bank)}


def test_windows_paths_in_lists_are_found(tmp_path):
    root = exports.write(tmp_path, {
        'data.yaml': 'train: lists\\train.txt\nnames: [bus, car]\n',
        'lists/train.txt': 'images\\a.png\r\n', 'images/a.png': None, 'labels/a.txt': YOLO_BOX})
    assert [len(sample.boxes) for sample in read(root)] == [1]


def test_what_is_no_text_is_named(tmp_path):
    root = one_image(tmp_path, YOLO_BOX)
    (root / 'labels' / 'a.txt').write_bytes(b'1 0.5 \xff\n')
    with pytest.raises(ValueError, match=r'a.txt: is no text'):
        read(root)


# COCO

POLYGON = [[10, 6, 30, 10, 20, 18], [12, 8, 14, 9, 13, 10]]
MASK = np.zeros((30, 40), np.uint8, order='F')
MASK[6:18, 10:30] = 1


def packed():
    encoded = pytest.importorskip('pycocotools.mask').encode(MASK)
    return {**encoded, 'counts': encoded['counts'].decode()}


def runs():
    changes = np.flatnonzero(np.diff(MASK.ravel(order='F'), prepend=0, append=0))
    return {'size': [30, 40], 'counts': np.diff(changes, prepend=0).tolist()}


@pytest.mark.parametrize(('segmentation', 'note'), [
    (POLYGON, 'polygons'), (packed, 'masks'), (runs, 'masks')])
def test_an_annotation_without_a_box_has_the_one_around_its_outline(tmp_path, segmentation, note):
    outline = segmentation() if callable(segmentation) else segmentation
    entry = annotation(None, segmentation=outline)
    bank = read(banks.coco(tmp_path, [entry, {key: value for key, value in entry.items()
                                              if key != 'bbox'}]))
    assert bank.images[0].boxes.tolist() == [BOX, BOX]
    assert bank.notes == {f'{note} turned into boxes': 2}


def test_the_box_of_a_mask_is_that_of_its_pixels():
    reference = pytest.importorskip('pycocotools.mask')
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.01, 0.5, 1) * 40:
        picture = np.asfortranarray(rng.random(rng.integers(1, 60, 2)) < share).astype(np.uint8)
        rows, columns = np.nonzero(picture)
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(
            rows) else (0, 0, 0, 0)
        encoded = reference.encode(picture)
        assert box_of_mask(encoded['counts'].decode(), encoded['size']) == expected


@pytest.mark.parametrize('outline', [
    {'size': [30, 40], 'counts': [1200, 1]}, {'size': [30], 'counts': [5, 5]},
    {'size': [30, 40], 'counts': [5, -5]}, {'size': [30, 40], 'counts': 'oooooooooooooooooooo'},
    {'size': [30, 40]}, [[1, 2, 3]], [[1, 2, 3, 4, 5, 'x']], 'outline'])
def test_a_malformed_outline_is_named(tmp_path, outline):
    with pytest.raises(ValueError, match=r'bank.json: annotations\[0\]: without a bbox'):
        read(banks.coco(tmp_path, [annotation(None, segmentation=outline)]))


def test_turned_boxes_of_cvat_become_the_boxes_around_them(tmp_path):
    turned = annotation([10, 6, 20, 12], attributes={'occluded': False, 'rotation': 90.0})
    bank = read(banks.coco(tmp_path / 'coco', [turned]))
    np.testing.assert_allclose(bank.images[0].boxes, [[14, 2, 26, 22]], atol=1e-5)
    assert bank.notes == {'rotated boxes turned into boxes': 1}
    rotation = ('<attributes><attribute><name>rotation</name><value>90.0</value></attribute>'
                '</attributes><bndbox>')
    bank = read(banks.voc(tmp_path / 'voc', exports.voc('one.jpg').replace('<bndbox>', rotation)))
    np.testing.assert_allclose(bank.images[0].boxes, [[14, 2, 26, 22]], atol=1e-5)
    assert bank.notes == {'rotated boxes turned into boxes': 1}
    turned['attributes']['rotation'] = 'right'
    with pytest.raises(ValueError, match=r"annotations\[0\]: 'rotation' .* got 'right'"):
        read(banks.coco(tmp_path / 'odd', [turned]))


def test_areas_may_be_missing_and_flat_boxes_go_and_crowds_are_ignored(tmp_path):
    crowd = annotation([1, 1, 9, 9], iscrowd=1, segmentation=runs())
    image, = read(banks.coco(tmp_path, [annotation([5, 5, 9, 0]), annotation([5, 5, 9, 9]),
                                        crowd])).images
    sample = image.load()
    assert sample.boxes.tolist() == [[5, 5, 14, 14], [1, 1, 10, 10]]
    assert sample.ignored.tolist() == [False, True]


def test_a_crowd_is_said_by_a_number(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\[0\]: 'iscrowd' must be 0 or 1, got '0'"):
        read(banks.coco(tmp_path, [annotation([5, 5, 9, 9], iscrowd='0')]))


# Verbs

def test_check_tells_what_was_found(tmp_path, capsys):
    files = exports.roboflow_yolo(YOLO_BOX + YOLO_POLYGON)
    del files[f'test/labels/{exports.NAME}test.txt']
    root = exports.write(tmp_path / 'export', files)
    (root / 'valid' / 'images' / f'{exports.NAME}valid.jpg').write_bytes(
        (root / 'train' / 'images' / f'{exports.NAME}train.jpg').read_bytes())
    assert main(['data', 'check', str(root), '--out', str(tmp_path / 'out')]) == 1
    said = capsys.readouterr().out
    for line in (f'{root}: YOLO, 2 images', 'train          1 images; boxes: car 2',
                 'val            1 images; boxes: car 2', 'polygons turned into boxes: 2',
                 'data.yaml: test: its 1 images have no labels', 'duplicate images: 1'):
        assert line in said
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['splits'] == {'train': {'images': 1, 'boxes': {'car': 2}},
                                'val': {'images': 1, 'boxes': {'car': 2}}}
    main(['data', 'check', f'{root}:val', '--out', str(tmp_path / 'out')])
    assert f'{root}: YOLO, 1 images' in capsys.readouterr().out


def test_training_takes_the_splits_of_a_root(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(train_detector, 'train',
                        lambda banks, validation, *_, **__: taken.extend([banks, validation]))
    root = exports.write(tmp_path / 'export', EXPORTS['Roboflow COCO'][2])
    main(['train', 'detector', '--data', str(root), '--val', str(root), '--val', f'{root}:test',
          '--epochs', '1', '--out', str(tmp_path / 'run')])
    (trained,), validation = taken
    images = {split: read(root, split).images[0].load().image for split in SPLITS}
    assert np.array_equal(trained[0].image, images['train'])
    for name, split in (('export:val', 'val'), ('export:test', 'test')):
        assert np.array_equal(validation[name][0].image, images[split])


def test_evaluation_takes_the_split_of_a_root(tmp_path, capsys):
    pytest.importorskip('pycocotools')
    root = exports.write(tmp_path / 'export', EXPORTS['Roboflow COCO'][2])
    for spec, split in ((root, 'val'), (f'{root}:test', 'test')):
        assert main(['evaluate', 'detector', '--val', str(spec), '--input-size', '64', '--threads',
                     '1', '--out', str(tmp_path / 'out')]) == 0
        metrics = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
        assert (metrics['split'], metrics['images']) == (split, 1)
