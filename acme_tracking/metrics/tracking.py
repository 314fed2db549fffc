"""
What tracks are worth, against the true boxes of all objects.

HOTA comes from `hota`, success and precision from `success`; CLEAR (K. Bernardin, R. Stiefelhagen,
2008), identity (E. Ristani et al., 2016) and what else a user of detection on demand asks for are
counted here.  Headline scores do not look at the class of a box; scores by class do.  All that
TrackEval scores too is the same there: it was left out because it brings another OpenCV.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from acme_tracking import geometry
from acme_tracking.detections import Detections
from acme_tracking.labels import IGNORED_REGION, OBJECT, VEHICLE, VEHICLES
from acme_tracking.metrics import hota, success
from acme_tracking.metrics.calibration import expected_calibration_error, reliability
import numpy as np
from scipy.optimize import linear_sum_assignment

# Overlap from which a box is on an object.
ON_TARGET_IOU = 0.5
# A box of which more lies in an ignored region is not scored.
INSIDE = 0.5
EPSILON = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Judged:
    """
    The labelled images of a sequence, with what counts in them.

    stamps: int (T,), nanoseconds.  truth and tracks: Detections with ids of each of the T images,
    without what is to be ignored.
    """

    stamps: np.ndarray
    truth: list[Detections]
    tracks: list[Detections]


def is_class(label: str, name: str) -> bool:
    """Tell whether a box with a label counts as one of a class of the truth."""
    return label == name or name == OBJECT or (name == VEHICLE and label in VEHICLES)


def judge(stamps, truth, tracks, classes=(), minimum_score: float = 0.0) -> Judged:
    """
    Return what counts of `tracks`, a list of Detections for each of the `stamps`.

    truth: Detections by stamp; images without an entry are not scored.  classes: names of the
    truth that count, () for all; its other boxes, and those with a score of 0, are ignored, and so
    are the tracks that match them (Hungarian, IoU 0.5, as MOTChallenge does) or lie in an ignored
    region.  Tracks of a class that the truth does not know, and those with a score below
    `minimum_score`, do not count.  Raises ValueError when an object has no id, or twice the same.
    """
    names = classes or sorted({str(label) for one in truth.values()
                               for label in one.labels[one.scores > 0]})
    kept = [], [], []
    for stamp, found in zip(stamps, tracks):
        true = truth.get(int(stamp))
        if true is None:
            continue
        _check_ids(stamp, true)
        counts = (true.scores > 0) & _is_of(true.labels, names)
        found = found.select((found.scores >= minimum_score) & _is_of(found.labels, names))
        found = found.select(~_is_ignored(true, counts, found))
        for column, value in zip(kept, (stamp, true.select(counts), found)):
            column.append(value)
    return Judged(np.array(kept[0], dtype=np.int64), kept[1], kept[2])


def _is_of(labels, names):
    """Return bool (N,): labels of one of the classes; all, when a truth without boxes has none."""
    known = {label: not names or any(is_class(label, name) for name in names)
             for label in set(labels.tolist())}
    return np.array([known[label] for label in labels.tolist()], dtype=bool)


def _check_ids(stamp, truth):
    if len(truth) and truth.ids is None:
        raise ValueError(f'ground truth at {stamp * 1e-9:.3f} s has objects without a decimal id')
    if len(truth) and len(set(truth.ids.tolist())) < len(truth):
        raise ValueError(f'ground truth at {stamp * 1e-9:.3f} s has an id twice: '
                         f'{truth.ids.tolist()}')


def _is_ignored(truth, counts, found):
    """Return bool (N,): tracks that match truth which does not count, or lie in a region."""
    ignored = np.zeros(len(found), dtype=bool)
    if counts.all() or not len(found):
        return ignored
    overlap = geometry.iou(truth.boxes, found.boxes).astype(float)
    overlap[overlap < ON_TARGET_IOU - EPSILON] = 0
    rows, columns = linear_sum_assignment(-overlap)
    matched = overlap[rows, columns] > EPSILON
    ignored[columns[matched & ~counts[rows]]] = True
    region = truth.boxes[(truth.labels == IGNORED_REGION) & ~counts]
    if len(region):
        taken = np.isin(np.arange(len(found)), columns[matched])
        share = np.array([[_shared_area(box, one) for one in region] for box in found.boxes])
        inside = share > INSIDE * geometry.area(found.boxes)[:, np.newaxis]
        ignored |= ~taken & inside.any(axis=1)
    return ignored


def _shared_area(box, other):
    return geometry.area(np.concatenate([np.maximum(box[:2], other[:2]),
                                         np.minimum(box[2:], other[2:])]))[0]


def raw_scores(judged: Judged, matches: Matches | None = None) -> dict:
    """
    Return what the scores count, {metric: {field: number or array}}, to be combined.

    matches: from `match`, where it is known already.
    """
    matches = match(judged) if matches is None else matches
    together = _together(judged)[2]
    rows, columns = linear_sum_assignment(-together)
    boxes, tracks = sum(map(len, judged.truth)), sum(map(len, judged.tracks))
    kept = int(together[rows, columns].sum())
    return {'hota': _hota(judged), 'clear': _clear(judged, matches),
            'identity': {'kept': kept, 'missed': boxes - kept, 'false': tracks - kept}}


def combine(raws: list[dict]) -> dict:
    """Return the counts of many sequences as one."""
    return {name: {field: sum(raw[name][field] for raw in raws) for field in fields}
            for name, fields in raws[0].items()}


def _hota(judged):
    def renumber(images):
        known = sorted({one for image in images for one in _ids(image)})
        return [np.searchsorted(known, _ids(image)).astype(int) for image in images]
    return hota.counts(renumber(judged.truth), renumber(judged.tracks), [
        geometry.iou(true.boxes, found.boxes).astype(float)
        for true, found in zip(judged.truth, judged.tracks)])


def _clear(judged, matches):
    seen, followed = Counter(), Counter()
    for true, found in zip(judged.truth, matches.found):
        seen.update(_ids(true))
        followed.update(np.array(_ids(true), int)[found].tolist())
    share = np.array([followed[one] / times for one, times in seen.items()])
    found = sum(int(one.sum()) for one in matches.found)
    return {'found': found, 'missed': sum(map(len, judged.truth)) - found,
            'false': sum(map(len, judged.tracks)) - found,
            'overlap': float(sum(matches.overlap)), 'switches': sum(matches.switched),
            'fragments': sum(times - 1 for times in matches.spells.values()),
            'mostly_tracked': int((share > 0.8).sum()), 'mostly_lost': int((share < 0.2).sum())}


def _together(judged):
    """Return the ids of objects and tracks, sorted, and in how many images each two overlap."""
    objects, tracks = (sorted({one for image in images for one in _ids(image)})
                       for images in (judged.truth, judged.tracks))
    together = np.zeros((len(objects), len(tracks)))
    for true, found in zip(judged.truth, judged.tracks):
        rows, columns = np.nonzero(geometry.iou(true.boxes, found.boxes) >= ON_TARGET_IOU)
        together[np.searchsorted(objects, np.array(_ids(true), int)[rows]),
                 np.searchsorted(tracks, np.array(_ids(found), int)[columns])] += 1
    return objects, tracks, together


def summary(raw: dict) -> dict:
    """Return the scores that people quote, from `raw_scores` or `combine`."""
    clear, identity = raw['clear'], raw['identity']
    boxes = max(clear['found'] + clear['missed'], 1)
    kept = identity['kept']
    return {**{name: float(np.mean(value)) for name, value in hota.scores(raw['hota']).items()},
            'mota': (clear['found'] - clear['false'] - clear['switches']) / boxes,
            'motp': clear['overlap'] / max(clear['found'], 1),
            'idf1': kept / max(kept + (identity['missed'] + identity['false']) / 2, 1),
            'id_switches': clear['switches'],
            **{name: clear[name] for name in ('fragments', 'mostly_tracked', 'mostly_lost',
                                              'found', 'missed', 'false')}}


def by_class(stamps, truth, tracks, classes=(), minimum_score=0.0) -> dict[str, dict]:
    """Return raw scores of each class that the truth has (of `classes`, if any) by itself."""
    names = {str(label) for one in truth.values() for label in one.labels[one.scores > 0]}
    return {name: raw_scores(judge(*_showing(name, stamps, truth, tracks), (name,),
                                   minimum_score))
            for name in sorted(names & set(classes) if classes else names)}


def _showing(name, stamps, truth, tracks):
    """Return stamps, truth and tracks without the images that have nothing of a class."""
    kept = [(stamp, found) for stamp, found in zip(stamps, tracks) if int(stamp) in truth and any(
        is_class(label, name) for label in {*truth[int(stamp)].labels.tolist(),
                                            *found.labels.tolist()})]
    return [stamp for stamp, _ in kept], truth, [found for _, found in kept]


@dataclass(frozen=True, eq=False)
class Matches:
    """
    Which track is on which object, image by image, as CLEAR decides it.

    found: for every image a bool array that tells which true boxes have a track on them;
    on_target: which tracks are on an object; switched: how many objects have another track than
    before; overlap: the sum of the overlaps.  spells: of all images, how often a track came to be
    on each object.
    """

    found: list[np.ndarray]
    on_target: list[np.ndarray]
    switched: list[int]
    overlap: list[float]
    spells: Counter


def match(judged: Judged) -> Matches:
    """
    Match every image, keeping the pairs of the image before where they still overlap.

    As in TrackEval, images without any object or any track are none of those.
    """
    matches, previous, last = Matches([], [], [], [], Counter()), {}, {}
    for true, tracks in zip(judged.truth, judged.tracks):
        overlap = geometry.iou(true.boxes, tracks.boxes).astype(float)
        goes_on = np.array([[previous.get(a) == b for b in _ids(tracks)] for a in _ids(true)],
                           dtype=float).reshape(overlap.shape)
        value = np.where(overlap >= ON_TARGET_IOU - EPSILON, 1000 * goes_on + overlap, 0)
        rows, columns = linear_sum_assignment(-value)
        real = value[rows, columns] > EPSILON
        rows, columns = rows[real], columns[real]
        pairs = dict(zip(np.array(_ids(true), int)[rows].tolist(),
                         np.array(_ids(tracks), int)[columns].tolist()))
        matches.switched.append(sum(last.get(a, b) != b for a, b in pairs.items()))
        matches.spells.update(pairs.keys() - previous.keys())
        matches.overlap.append(overlap[rows, columns].sum())
        matches.found.append(np.isin(np.arange(len(true)), rows))
        matches.on_target.append(np.isin(np.arange(len(tracks)), columns))
        last.update(pairs)
        previous = pairs if overlap.size else previous
    return matches


def _ids(detections) -> list[int]:
    return detections.ids.tolist() if len(detections) else []


def losses(judged: Judged, matches: Matches) -> dict:
    """
    Return what happens to objects that were followed and then lost while they were still there.

    seconds: float list, from the loss to the recovery of each that was found again, in the order
    of recovery; lost_for_good: how many never were.
    """
    lost_since, seen, seconds = {}, set(), []
    for stamp, true, found in zip(judged.stamps.tolist(), judged.truth, matches.found):
        for identity, is_found in zip(_ids(true), found):
            if is_found:
                if identity in lost_since:
                    seconds.append((stamp - lost_since.pop(identity)) * 1e-9)
                seen.add(identity)
            elif identity in seen:
                lost_since.setdefault(identity, stamp)
    return {'seconds': seconds, 'lost_for_good': len(lost_since)}


def births(judged: Judged, matches: Matches) -> dict:
    """
    Return how long objects were to be seen before the first track was on them.

    seconds: float list, of each object that a track ever was on, in the order of these births;
    never: how many objects no track ever was on.
    """
    since, seconds, born = {}, [], set()
    for stamp, true, found in zip(judged.stamps.tolist(), judged.truth, matches.found):
        for identity, is_found in zip(_ids(true), found):
            since.setdefault(identity, stamp)
            if is_found and identity not in born:
                born.add(identity)
                seconds.append((stamp - since[identity]) * 1e-9)
    return {'seconds': seconds, 'never': len(since) - len(born)}


def median_birth(seconds, never: int) -> float | None:
    """Return the median of births in seconds, late for ever those that `never` were; or None."""
    delays = sorted([*seconds, *[np.inf] * never])
    median = float(np.median(delays)) if delays else np.inf
    return median if np.isfinite(median) else None


def promised_and_kept(judged: Judged, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all tracks, float (N,), and whether each is on an object, bool (N,)."""
    scores = [tracks.scores for tracks in judged.tracks]
    return (np.concatenate(scores or [[]]).astype(float),
            np.concatenate(matches.on_target or [[]]).astype(bool))


def calibration(scores, on_target) -> dict:
    """Return the expected calibration error and the reliability; None without any track."""
    if not len(scores):
        return {'ece': None, 'promised': [], 'kept': [], 'counts': []}
    promised, kept, counts = reliability(scores, on_target)
    return {'ece': expected_calibration_error(scores, on_target),
            'promised': [None if np.isnan(x) else float(x) for x in promised],
            'kept': [None if np.isnan(x) else float(x) for x in kept],
            'counts': counts.tolist()}


def assigned_boxes(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """
    Give every object the one track that is on it in most images; return boxes and truth.

    Both are float32 (N, 4), all objects in one, as `success` takes them; the box is NaN where that
    track is not there.  As for the identity scores, no track has two objects.
    """
    objects, tracks, together = _together(judged)
    track_of = {objects[row]: tracks[column]
                for row, column in zip(*linear_sum_assignment(-together)) if together[row, column]}
    boxes, truth = [], []
    for true, found in zip(judged.truth, judged.tracks):
        place = {identity: index for index, identity in enumerate(_ids(found))}
        for identity, box in zip(_ids(true), true.boxes):
            index = place.get(track_of.get(identity))
            boxes.append(np.full(4, np.nan) if index is None else found.boxes[index])
            truth.append(box)
    return geometry.as_boxes(boxes), geometry.as_boxes(truth)


def single_object_scores(boxes, truth) -> dict:
    """Return the OTB scores of `assigned_boxes`, None without any true box."""
    if not len(truth):
        return {'success_auc': None, 'precision': None, 'normalised_precision': None,
                'success_curve': []}
    curve = success.success_curve(boxes, truth)
    return {'success_auc': float(curve.mean()),
            'precision': success.precision(boxes, truth),
            'normalised_precision': success.normalised_precision(boxes, truth),
            'success_curve': curve.tolist()}
