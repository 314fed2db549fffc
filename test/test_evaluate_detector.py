"""`acme_tracking evaluate detector` with the shipped weights on a small bank of rendered roads."""
import argparse
import json

from acme_tracking.cli import evaluate_detector
from acme_tracking.training.data import RenderedScenes
import banks
import cv2
import pytest


@pytest.fixture(scope='module')
def bank(tmp_path_factory):
    """Give a COCO file of six rendered images, and one that is broken."""
    folder = tmp_path_factory.mktemp('bank')
    images, annotations, names = [], [], ['car', 'truck', 'bus', 'motorcycle', 'person']
    (folder / 'roads').mkdir()
    for number, sample in enumerate(RenderedScenes(6, seed=77)):
        height, width = sample.image.shape[:2]
        images.append({'id': number, 'file_name': f'{number}.png', 'width': width,
                       'height': height})
        cv2.imwrite(str(folder / 'roads' / f'{number}.png'), sample.image)
        for (x1, y1, x2, y2), label in zip(sample.boxes.tolist(), sample.labels):
            annotations.append({'image_id': number, 'category_id': names.index(label),
                                'bbox': [x1, y1, x2 - x1, y2 - y1]})
    images.append({'id': 6, 'file_name': 'missing.png', 'width': 640, 'height': 360})
    path = folder / 'roads.json'
    path.write_text(json.dumps({
        'images': images, 'annotations': annotations,
        'categories': [{'id': index, 'name': name} for index, name in enumerate(names)]}))
    return path


def evaluate(*arguments):
    parser = argparse.ArgumentParser()
    evaluate_detector.add_arguments(parser)
    return evaluate_detector.run(parser.parse_args([*map(str, arguments), '--threads', '1']))


def test_writes_figures_and_a_report(bank, tmp_path, capsys, caplog):
    assert evaluate('--val', bank, '--out', tmp_path) == 0
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['images'] == 6
    assert 'missing.png' in caplog.text
    assert 0.4 < metrics['ap50'] <= 1
    assert metrics['ap'] < metrics['ap50']
    per_class = metrics['per_class']
    assert metrics['ap50'] == pytest.approx(sum(each['ap50'] for each in per_class.values())
                                            / len(per_class))
    assert metrics['bytes'] <= 12e6 and 'CPU' in metrics['machine']
    assert ('int8' in metrics['weights']) == ('8-bit integers' in metrics['machine'])
    latency = metrics['latency_ms']
    assert list(latency) == ['decode', 'resize', 'network', 'nms', 'all']
    parts = sum(each['p50'] for stage, each in latency.items() if stage != 'all')
    assert parts == pytest.approx(latency['all']['p50'], rel=0.5)
    confusion = metrics['confusion']
    rows = dict(zip(confusion['classes'], confusion['rows_are_truth']))
    assert all(sum(rows[name]) == each['boxes'] for name, each in per_class.items())
    for name, each in per_class.items():
        assert sum(size['boxes'] for size in each['sizes'].values()) == each['boxes']
        bins = metrics['reliability'][name]
        sure = [part for part in bins if part['count'] and part['score'] > 0.8]
        assert all(part['precision'] > 0.5 for part in sure)
        assert len(bins) == 10 and any(part['count'] for part in bins)
    page = (tmp_path / 'report.html').read_text()
    assert 'class and size' in page
    assert page.count('data:image/jpeg') == 6 and 'missed' in page
    assert 'AP50' in capsys.readouterr().out


def test_vehicles_of_unknown_kind_are_scored_as_such(bank, tmp_path):
    (tmp_path / 'map.yaml').write_text('car: vehicle\nmotorcycle: null\nperson: null\n')
    assert evaluate('--val', bank, '--out', tmp_path, '--map', tmp_path / 'map.yaml') == 0
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert list(metrics['per_class']) == ['vehicle']
    assert (metrics['input_size'], metrics['tiles']) == (448, 1)


def test_kinds_of_vehicles_can_be_counted_as_one(bank, tmp_path):
    assert evaluate('--val', bank, '--out', tmp_path, '--any') == 0
    per_class = json.loads((tmp_path / 'metrics.json').read_text())['per_class']
    assert 'vehicle' in per_class and 'person' in per_class and 'car' not in per_class


def test_input_size_and_tiles_are_those_asked_for(bank, tmp_path):
    options = '--input-size', 160, '--tiles', 2
    assert evaluate('--val', bank, '--out', tmp_path, *options) == 0
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert (metrics['input_size'], metrics['tiles']) == (160, 2) and metrics['ap50'] > 0.2
    with pytest.raises(ValueError, match='tiles must be from 1 to 8, got 0'):
        evaluate('--val', bank, '--out', tmp_path, '--tiles', 0)


def test_a_class_that_the_weights_do_not_know_is_refused(tmp_path):
    path = banks.coco(tmp_path, [banks.annotation([1, 1, 9, 9])], [{'id': 1, 'name': 'zebra'}])
    with pytest.raises(ValueError, match=r"unknown classes \['zebra'\]"):
        evaluate('--val', path, '--out', tmp_path)


def test_a_bank_without_a_readable_image_is_refused(tmp_path):
    path = banks.coco(tmp_path, [banks.annotation([1, 1, 9, 9])])
    (tmp_path / 'bank' / 'one.png').write_bytes(b'')
    with pytest.raises(ValueError, match='no image could be read'):
        evaluate('--val', path, '--out', tmp_path)


def test_bad_weights_are_refused(bank, tmp_path):
    (tmp_path / 'bad.safetensors').write_bytes(b'rubbish')
    with pytest.raises(ValueError, match='bad.safetensors: not a safetensors file'):
        evaluate('--val', bank, '--out', tmp_path, '--weights', tmp_path / 'bad.safetensors')
