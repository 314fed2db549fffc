"""`acme_tracking data check` and `data convert`, on banks with every kind of fault."""
import json

from acme_tracking.cli import main
from acme_tracking.training.data import read, read_all
from acme_tracking.training.data.checking import check, TILE
import banks
from banks import annotation
import cv2
import numpy as np
import pytest


def test_check_counts_what_is_there(tmp_path, capsys):
    path = banks.coco(tmp_path, [annotation([4, 5, 10, 20]), annotation([4, 5, 12, 10]),
                                 annotation([1, 2, 3, 4], 6), annotation([1, 1, 2, 2], iscrowd=1)])
    assert main(['data', 'check', str(path), '--out', str(tmp_path / 'out')]) == 0
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['layout'] == 'COCO'
    assert report['sizes'] == {'40 x 30': 1}
    assert report['classes'] == {
        'car': {'boxes': 2, 'images': 1, 'median_size': [11.0, 15.0]},
        'vehicle': {'boxes': 1, 'images': 1, 'median_size': [3.0, 4.0]}}
    assert report['ignored_boxes'] == 1
    assert 'car' in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'out' / 'contact_sheet.jpg'))
    assert sheet.shape == (TILE[1], TILE[0], 3)


def test_check_finds_every_fault(tmp_path, capsys):
    names = ['one.png', 'same.png', 'broken.png', 'missing.png', 'wide.png']
    images = [{'id': number, 'file_name': name, 'width': 40, 'height': 30}
              for number, name in enumerate(names)]
    boxes = [(0, [30, 5, 20, 5]), (0, [5, 5, 0, 4]), (1, [5, 5, 9, 9]), (1, [5, 5, 9, 9])]
    path = banks.coco(tmp_path, [{'image_id': image, 'bbox': box, 'category_id': 1}
                                 for image, box in boxes], images=images)
    folder = tmp_path / 'bank'
    banks.picture(folder / 'same.png')
    banks.picture(folder / 'wide.png', 60, 30)
    (folder / 'broken.png').write_bytes((folder / 'one.png').read_bytes()[:900])
    report, sheet = check(*read_all(path))
    assert [len(report[name]) for name in (
        'broken', 'boxes_outside', 'boxes_empty', 'duplicate_boxes', 'duplicate_images')] \
        == [3, 1, 1, 1, 1]
    assert 'one.png: car at 30 5 50 10' in report['boxes_outside'][0]
    assert report['images_without_boxes'] == 3
    assert sheet.shape == (TILE[1], 2 * TILE[0], 3)
    assert main(['data', 'check', str(path), '--out', str(tmp_path / 'out')]) == 1
    assert 'missing.png: cannot be read as an image (no such file)' in capsys.readouterr().out


def test_a_bank_of_which_nothing_can_be_read_has_a_sheet_too(tmp_path):
    folder = banks.class_folders(tmp_path, ('cat',), 1)
    (folder / 'cat' / '0.png').write_bytes(b'')
    report, sheet = check(*read_all(folder))
    assert len(report['broken']) == 1
    assert sheet.shape[2] == 3


def convert(*arguments):
    assert main(['data', 'convert', *map(str, arguments)]) == 0


def test_kitti_becomes_coco_and_reads_the_same(tmp_path):
    rows = ('Van 0 0 1 10.5 5.25 30 25.75 1 1 3 0 0 5 1\n'
            'DontCare -1 -1 -10 0 0 8 9 -1 -1 -1 -1000 -1000 -1000 -10\n')
    folder = banks.kitti(tmp_path / 'kitti', rows)
    (tmp_path / 'map.yaml').write_text('Van: car\n')
    convert(folder, '--to', 'coco', '--out', tmp_path / 'new.json', '--map', tmp_path / 'map.yaml')
    before, = read(folder).images
    after, = read(tmp_path / 'new.json').images
    assert after.path == tmp_path / 'new' / '000000.png'
    assert np.array_equal(after.load().image, before.load().image)
    assert after.boxes.tolist() == before.boxes.tolist()
    assert after.labels.tolist() == ['car', 'DontCare']
    assert after.ignored.tolist() == [False, True]


def test_images_of_the_same_name_stay_apart(tmp_path):
    folder = banks.class_folders(tmp_path / 'bank')
    for image in folder.rglob('*.png'):
        image.rename(image.with_name('same' + str(int(image.stem) % 2) + '.png'))
    convert(folder, '--to', 'coco', '--out', tmp_path / 'new.json')
    bank = read(tmp_path / 'new.json')
    assert len({image.path for image in bank.images}) == 4
    assert bank.counts() == {'cat': 2, 'dog': 2}


def test_boxes_become_class_folders_of_crops(tmp_path):
    path = banks.coco(tmp_path, [annotation([4, 5, 10, 20]), annotation([10, 2, 20, 20]),
                                 annotation([0, 0, 30, 30], 6)])
    convert(path, '--to', 'folders', '--out', tmp_path / 'crops', '--classes', 'car')
    bank = read(tmp_path / 'crops')
    assert bank.layout == 'class folders'
    assert bank.counts() == {'car': 2}
    assert [image.size for image in bank.images] == [(20, 20), (10, 20)]


def test_broken_images_are_left_out(tmp_path, caplog):
    folder = banks.class_folders(tmp_path / 'bank')
    (folder / 'cat' / '0.png').write_bytes(b'')
    for layout, out in (('coco', tmp_path / 'new.json'), ('folders', tmp_path / 'crops')):
        convert(folder, '--to', layout, '--out', out)
        assert read(out).counts() == {'cat': 1, 'dog': 2}
    assert [record.getMessage().startswith('skipped') for record in caplog.records] == [True] * 2


@pytest.mark.parametrize(('layout', 'out', 'reason'), [
    ('coco', 'new', 'new: a COCO bank is written to a .json file'),
    ('coco', 'bank.json', 'bank: is there already'),
    ('folders', 'bank', 'bank: is there already'),
])
def test_a_conversion_never_mixes_banks(tmp_path, layout, out, reason, capsys):
    path = banks.coco(tmp_path, [annotation([4, 5, 10, 20])])
    assert main(['data', 'convert', str(path), '--to', layout, '--out', str(tmp_path / out)]) != 0
    assert reason in capsys.readouterr().err


def test_an_empty_class_name_is_said(tmp_path, capsys):
    path = banks.coco(tmp_path, [annotation([4, 5, 10, 20])], [{'id': 1, 'name': ''}])
    words = ['data', 'convert', str(path), '--to', 'folders', '--out', str(tmp_path / 'x')]
    assert main(words) == 1
    assert "categories[0]: 'name' must not be empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, '--classes', 'car', ''])
    assert 'the name of a class must not be empty' in capsys.readouterr().err


def test_a_class_must_be_able_to_name_a_folder(tmp_path, capsys):
    path = banks.coco(tmp_path, [annotation([4, 5, 10, 20])], [{'id': 1, 'name': '../car'}])
    assert main(['data', 'convert', str(path), '--to', 'folders', '--out',
                 str(tmp_path / 'x')]) != 0
    assert "classes ['../car'] cannot be names of folders" in capsys.readouterr().err
