"""Scores against hand-made cases and against TrackEval's own reading of the files we write."""
import contextlib
import io

from acme_tracking.detections import Detections
from acme_tracking.evaluation.mot import write_mot
from acme_tracking.metrics import success
from acme_tracking.metrics import tracking as scores
import numpy as np
import pytest

BOX = np.array([10.0, 10, 50, 40])


def objects(*rows, score=1.0, label='car'):
    """Return detections of (id, x) or (id, x, score, label): BOX, moved to the right by x."""
    rows = [(*row, *(score, label)[len(row) - 2:]) for row in rows]
    if not rows:
        return Detections([], [], [], [])
    ids, shifts, values, labels = zip(*rows)
    return Detections([BOX + [x, 0, x, 0] for x in shifts], values, labels, ids)


def judged(truth, tracks, **options):
    stamps = [index * 10**9 for index in range(len(tracks))]
    return scores.judge(stamps, dict(zip(stamps, truth)), tracks, **options)


def summary(truth, tracks, **options):
    return scores.summary(scores.raw_scores(judged(truth, tracks, **options)))


def test_perfect_tracks():
    sequence = [objects((1, x), (2, 100 + x)) for x in range(5)]
    figures = summary(sequence, sequence)
    assert figures['hota'] == figures['mota'] == figures['idf1'] == figures['deta'] == 1
    assert (figures['id_switches'], figures['fragments'], figures['missed'], figures['false']) == (
        0, 0, 0, 0)
    assert figures['mostly_tracked'] == 2


def test_one_identity_switch_by_hand():
    truth = [objects((1, x)) for x in range(10)]
    tracks = [objects((7 if x < 5 else 8, x)) for x in range(10)]
    figures = summary(truth, tracks)
    assert figures['id_switches'] == 1 and figures['mota'] == pytest.approx(0.9)
    assert figures['idf1'] == pytest.approx(0.5)
    # DetA 1; every match has 5 TPA, 5 FNA and no FPA: AssA 0.5
    assert figures['assa'] == pytest.approx(0.5) and figures['deta'] == 1
    assert figures['hota'] == pytest.approx(np.sqrt(0.5))


def test_misses_and_false_tracks_by_hand():
    truth = [objects((1, x)) for x in range(4)]
    tracks = [objects((1, 0)), objects((9, 300)), objects((1, 2)), objects((1, 3))]
    figures = summary(truth, tracks)
    assert (figures['found'], figures['missed'], figures['false']) == (3, 1, 1)
    assert figures['mota'] == pytest.approx(1 - 2 / 4) and figures['fragments'] == 1


def test_nothing_at_all_and_only_one_side():
    assert summary([objects()] * 2, [objects()] * 2)['hota'] == 0
    assert summary([objects((1, 0))] * 2, [objects()] * 2)['missed'] == 2
    assert summary([objects()] * 2, [objects((1, 0))] * 2)['false'] == 2


def test_ignored_objects_count_neither_way():
    truth = [objects((1, 0), (2, 100, 0.0, 'car'))]
    assert summary(truth, [objects((5, 0), (6, 100))])['mota'] == 1
    assert summary(truth, [objects((5, 0))])['mota'] == 1
    assert summary(truth, [objects((5, 0), (6, 200))])['false'] == 1


def test_ignored_regions():
    region = Detections([[0, 0, 500, 500]], [0.0], ['dontcare'], [1_000_000])
    assert summary([region], [objects((6, 100))])['false'] == 0
    small = Detections([[0, 0, 15, 500]], [0.0], ['dontcare'], [1_000_000])
    assert summary([small], [objects((6, 0))])['false'] == 1, 'an eighth of it is inside'


def test_classes():
    truth = [objects((1, 0, 1.0, 'car'), (2, 100, 1.0, 'bus'))]
    tracks = [objects((5, 0, 0.9, 'bus'), (6, 100, 0.9, 'bus'), (7, 200, 0.9, 'person'))]
    assert summary(truth, tracks)['mota'] == 1, 'the class of a box is not asked, persons no class'
    assert summary(truth, tracks, classes=('car',))['found'] == 0
    assert summary(truth, tracks, classes=('bus',))['found'] == 1
    assert summary(truth, tracks, classes=('bus',))['false'] == 0, 'it lies on an ignored car'
    raw = scores.by_class([0], {0: truth[0]}, tracks)
    assert {name: scores.summary(one)['found'] for name, one in raw.items()} == {
        'bus': 1, 'car': 0}
    vehicles = [objects((1, 0, 1.0, 'vehicle'))]
    assert summary(vehicles, [objects((5, 0, 0.9, 'truck'))])['found'] == 1
    assert summary([objects((1, 0, 1.0, 'object'))], [objects((5, 0))])['found'] == 1


def test_images_without_a_class_do_not_change_its_scores():
    rng = np.random.default_rng(0)
    stamps = [index * 10**9 for index in range(30)]
    truth, tracks = ({stamp: objects(*((index, 60 * index + rng.integers(0, 9), 1.0, label)
                                       for index, label in enumerate(('car', 'bus', 'person'))
                                       if rng.random() < 0.4)) for stamp in stamps}
                     for _ in range(2))
    found = scores.by_class(stamps, truth, list(tracks.values()))
    assert sorted(found) == ['bus', 'car', 'person']
    for name, raw in found.items():
        every_image = scores.judge(stamps, truth, list(tracks.values()), (name,))
        assert len(every_image.stamps) == 30
        assert scores.summary(raw) == scores.summary(scores.raw_scores(every_image))


def test_minimum_score_and_unlabelled_images():
    truth = [objects((1, 0))] * 3
    tracks = [objects((1, 0, 0.2, 'car'))] * 3
    assert summary(truth, tracks, minimum_score=0.5)['missed'] == 3
    two = scores.judge([0, 1, 2], {0: truth[0], 2: truth[0]}, tracks)
    assert two.stamps.tolist() == [0, 2], 'an image without a message of truth is not scored'


@pytest.mark.parametrize('truth, words', [
    (objects((1, 0), (1, 100)), 'an id twice'),
    (Detections([BOX], [1], ['car']), 'without a decimal id')])
def test_truth_without_proper_ids(truth, words):
    with pytest.raises(ValueError, match=words):
        judged([truth], [objects()])


def random_sequences(seed):
    """Return truth and tracks of 40 images: noise, misses, ghosts, switches, ignored objects."""
    rng = np.random.default_rng(seed)
    truth, tracks = [], []
    for index in range(40):
        rows = [(k, 60 * k + index, float(k != 3), 'car') for k in range(1, 7)
                if (index + 5 * k) % 30 > 5]
        truth.append(objects(*rows))
        found = [((k + (10 if index > 20 and k == 2 else 0)), x + rng.normal(0, 6), rng.random(),
                  'car') for k, x, _, _ in rows if rng.random() > 0.15]
        found += [(90 + index // 10, rng.uniform(0, 500), 0.5, 'car')] * int(rng.random() < 0.3)
        tracks.append(objects(*found))
    return truth, tracks


@pytest.mark.parametrize('seed', range(3))
def test_parity_with_trackeval_on_the_files_written(tmp_path, seed):
    pytest.importorskip('trackeval', reason='needs requirements/peers.txt')
    names, all_raw = ['one', 'two'], []
    for number, name in enumerate(names):
        truth, tracks = random_sequences(10 * seed + number)
        truth[3], tracks[25], tracks[26] = objects(), objects(), objects()
        all_raw.append(scores.raw_scores(judged(truth, tracks)))
        frames = range(1, 1 + len(truth))
        write_mot(tmp_path / 'gt' / name / 'gt' / 'gt.txt', frames, truth, truth=True)
        (tmp_path / 'gt' / name / 'seqinfo.ini').write_text(
            f'[Sequence]\nname={name}\nseqLength={len(truth)}\n')
        write_mot(tmp_path / 'tracks' / 'ours' / 'data' / f'{name}.txt', frames, tracks)
    theirs = trackeval_figures(tmp_path, names)
    ours = scores.summary(scores.combine(all_raw))
    assert 0.2 < ours['hota'] < 0.9 and ours['id_switches'] >= 2 and ours['false'] > 5
    assert ours['fragments'] > 5
    for key, metric, field in (
            *((name.lower(), 'HOTA', name) for name in ('HOTA', 'DetA', 'AssA', 'LocA', 'DetRe',
                                                        'DetPr')),
            ('mota', 'CLEAR', 'MOTA'), ('motp', 'CLEAR', 'MOTP'), ('idf1', 'Identity', 'IDF1')):
        # equal up to the three digits of the boxes in the files
        assert ours[key] == pytest.approx(np.mean(theirs[metric][field]), abs=2e-4), key
    for key, field in (('id_switches', 'IDSW'), ('fragments', 'Frag'), ('missed', 'CLR_FN'),
                       ('false', 'CLR_FP'), ('mostly_tracked', 'MT'), ('mostly_lost', 'ML')):
        assert ours[key] == theirs['CLEAR'][field], key


def trackeval_figures(folder, names):
    """Return TrackEval's figures of all sequences; its import says what else it could do."""
    with contextlib.redirect_stdout(io.StringIO()):
        import trackeval
    quiet = {'PRINT_CONFIG': False}
    dataset = trackeval.datasets.MotChallenge2DBox({
        **quiet, 'GT_FOLDER': str(folder / 'gt'), 'TRACKERS_FOLDER': str(folder / 'tracks'),
        'SKIP_SPLIT_FOL': True, 'BENCHMARK': 'MOT17', 'SEQ_INFO': dict.fromkeys(names)})
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet),
               trackeval.metrics.Identity(quiet)]
    evaluator = trackeval.Evaluator({
        'PRINT_CONFIG': False, 'PRINT_RESULTS': False, 'OUTPUT_SUMMARY': False,
        'OUTPUT_DETAILED': False, 'PLOT_CURVES': False, 'TIME_PROGRESS': False,
        'PRINT_ONLY_COMBINED': True, 'BREAK_ON_ERROR': True})
    with contextlib.redirect_stdout(io.StringIO()):
        results, _ = evaluator.evaluate([dataset], metrics)
    return results['MotChallenge2DBox']['ours']['COMBINED_SEQ']['pedestrian']


def test_our_matching_counts_what_clear_counts():
    for seed in range(3):
        one = judged(*random_sequences(seed))
        matches, clear = scores.match(one), scores.raw_scores(one)['clear']
        assert sum(found.sum() for found in matches.found) == clear['found']
        assert sum((~right).sum() for right in matches.on_target) == clear['false']


def test_losses_by_hand():
    truth = [objects((1, 0), (2, 200)) for _ in range(8)]
    found = [(1, 2), (1, 2), (2,), (2,), (1, 2), (1,), (1,), (1,)]
    tracks = [objects(*((k, 200 * (k - 1)) for k in row)) for row in found]
    one = judged(truth, tracks)
    lost = scores.losses(one, scores.match(one))
    assert lost == {'seconds': [pytest.approx(2.0)], 'lost_for_good': 1}


def test_an_object_never_followed_is_not_lost():
    one = judged([objects((1, 0))] * 3, [objects()] * 3)
    assert scores.losses(one, scores.match(one)) == {'seconds': [], 'lost_for_good': 0}


def test_births_by_hand():
    truth = [objects((1, 0)), objects((1, 0), (2, 100)), objects((1, 0), (2, 100)),
             objects((2, 100), (3, 200)), objects((1, 0), (2, 100))]
    tracks = [objects((5, 0)), objects((6, 0)), objects(), objects((7, 102)), objects((7, 100))]
    one = judged(truth, tracks)
    born = scores.births(one, scores.match(one))
    assert born == {'seconds': [0.0, 2.0], 'never': 1}, 'a second track on an object is no birth'
    assert scores.median_birth(**born) == 2.0, 'who is never followed is late for ever'
    assert scores.median_birth([0.5, 1.0], 0) == 0.75
    assert scores.median_birth([0.5], 1) is None and scores.median_birth([], 0) is None


def test_births_of_objects_that_do_not_count():
    truth = [objects((1, 0, 0.0, 'car'))] * 2 + [objects((1, 0))] * 2
    one = judged(truth, [objects(), objects(), objects(), objects((5, 0))])
    assert scores.births(one, scores.match(one))['seconds'] == [1.0], 'since it counts'


def test_single_object_scores_by_hand():
    truth = [objects((1, 0))] * 4
    tracks = [objects((5, 0)), objects((5, 0)), objects((6, 0)), objects((5, 20))]
    boxes, true = scores.assigned_boxes(judged(truth, tracks))
    # 5 is on it in two images; in the third another one is, and in the fourth IoU is 1 / 3
    assert np.isnan(boxes[2]).all() and len(true) == 4
    figures = scores.single_object_scores(boxes, true)
    overlaps = np.array([1, 1, 0, 1 / 3])
    assert figures['success_curve'] == pytest.approx(
        [(overlaps > threshold).mean() for threshold in np.linspace(0, 1, 21)])
    assert figures['precision'] == 0.75, 'the last is 20 pixels off, the limit'
    assert scores.single_object_scores(np.zeros((0, 4)), np.zeros((0, 4)))['success_auc'] is None


def test_normalised_precision_by_hand():
    truth = [[0, 0, 40, 20]] * 3
    boxes = [[0, 0, 40, 20], [10, 0, 50, 20], [30, 0, 70, 20]]  # off by 0, 1/4 and 3/4 widths
    expected = (1 + 26 / 51 + 0) / 3  # of the thresholds 0, 0.01 ... 0.5
    assert success.normalised_precision(boxes, truth) == pytest.approx(expected)
    assert success.normalised_precision([[np.nan] * 4] * 3, truth) == 0


def test_calibration_of_certain_tracks():
    scores_given, right = np.array([0.9] * 10), np.array([True] * 5 + [False] * 5)
    assert scores.calibration(scores_given, right)['ece'] == pytest.approx(0.4)
    assert scores.calibration([], [])['ece'] is None


def test_mot_rows(tmp_path):
    path = tmp_path / 'data' / 'a.txt'
    write_mot(path, [3], [objects((7, 0, 0.25, 'car'))])
    assert path.read_text() == '3,7,10.000,10.000,40.000,30.000,0.2500,-1,-1,-1\n'
    write_mot(path, [1], [objects((7, 0), (8, 0, 0.0, 'car'))], truth=True)
    assert [line.split(',')[6:] for line in path.read_text().splitlines()] == [
        ['1', '1', '1'], ['0', '8', '1']]
