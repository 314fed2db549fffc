"""
One bag from images to scores: modes are driven through it and judged, the worst moments drawn.

Everything is written below the folder of the run (see `run`), so that a report can be made, and
figures of many bags combined, without the bag.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
import itertools
import json
import logging
import os
from pathlib import Path

from acme_tracking.bags.ahead import ahead
from acme_tracking.bags.reading import BagReader
from acme_tracking.detections import Detections
from acme_tracking.evaluation.baselines import Peer, PEERS
from acme_tracking.evaluation.cache import DetectionCache
from acme_tracking.evaluation.live import play, read_outcome
from acme_tracking.evaluation.modes import (
    CONTINUOUS,
    drive,
    EveryNth,
    ON_DEMAND,
    PEER_MODES,
    PeerMode,
    Stopwatch,
    TWO_PHASE,
)
from acme_tracking.evaluation.mot import write_mot
from acme_tracking.evaluation.positions import Judge
from acme_tracking.evaluation.settings import hash_of_weights, Settings
from acme_tracking.evaluation.simulation import Simulation
from acme_tracking.evaluation.truth_files import file_beside, read_truth
from acme_tracking.metrics import tracking as scores
from acme_tracking.metrics.average_precision import Score
from acme_tracking.parameters import with_values
import cv2
import numpy as np

logger = logging.getLogger(__name__)

LIVE = 'live'
# Parameters of the detector that change nothing of what it finds on an image.
WITHOUT_EFFECT = ('mode', 'threads', 'compressed', 'maximum_image_age')
# What `measure_latency` looks at, after some that are slower because they are the first.
WARM_UP, MEASURED_IMAGES = 3, 20
WORST_MOMENTS = 6
# Moments shown are at least so far apart, in seconds.
APART = 1.0
# What the parameter `mode` of the detector is in the modes that simulate it.
DETECTOR_MODES = {ON_DEMAND: 'on_request', CONTINUOUS: 'continuous'}
# Modes whose scores are the probability that a box is on its object.
CALIBRATED = (LIVE, ON_DEMAND, CONTINUOUS)


class Images:
    """
    The images of a bag, in order and ahead of need; counts those that are not later than before.

    size: (width, height) of the last one; stamps: of all; times: of the recording, by stamp,
    nanoseconds, of those that are later.
    """

    def __init__(self, bag: BagReader, topic: str, progress: Callable = lambda: None):
        """Read from an open bag; `progress` is called for every image."""
        self._bag, self._topic, self._progress = bag, topic, progress
        self.times, self.stamps, self.out_of_order, self.size = {}, [], 0, (0, 0)

    def __iter__(self):
        """Yield (time, stamp, image) of all."""
        last, self.stamps, self.out_of_order = None, [], 0
        for stamp, time, image in ahead(self._bag.images(self._topic)):
            self._progress()
            self.stamps.append(stamp)
            if last is not None and stamp <= last:
                self.out_of_order += 1
            else:
                last, self.times[stamp], self.size = stamp, time, image.shape[1::-1]
            yield time, stamp, image


def make_mode(mode: str, settings: Settings, detect: Stopwatch, rate: float, share: Fraction):
    """
    Return the object that `drive` leads through a sequence, for a mode that is not live.

    rate: images per second.  share: of the images, on which a peer has detections that does not
    have them on all.
    """
    if mode == TWO_PHASE:
        return EveryNth(detect, every_nth(settings, rate))
    if mode in DETECTOR_MODES:
        detector = with_values(settings.detector, {'mode': DETECTOR_MODES[mode]})
        return Simulation(settings.tracker, detector, detect, settings.surroundings)
    name, dense, late = PEER_MODES[mode]
    share = Fraction(1) if dense else share
    return PeerMode(detect, Peer(PEERS[name], rate, float(share)), share,
                    settings.surroundings.latency if late else 0.0)


def every_nth(settings: Settings, rate: float) -> int:
    """Return on one of how many images the two-phase script has detections."""
    return max(1, round(settings.every * rate))


def make_detector(settings: Settings, threads: int):
    """Return the CNN with the parameters of the settings."""
    from acme_tracking.detection.detector import Detector
    return Detector.from_parameters(replace(settings.detector, threads=threads))


def detector_settings(settings: Settings) -> dict:
    """Return all that detections depend on: the parameters, and what is in the files they name."""
    known = {name: value for name, value in asdict(settings.detector).items()
             if name not in WITHOUT_EFFECT}
    known['sha256'] = hash_of_weights(settings.detector.weights)
    if settings.detector.classifier:
        known['classifier_sha256'] = hash_of_weights(settings.detector.classifier)
    return known


def measure_latency(path, settings: Settings) -> float:
    """Return the median time of the CNN on the first images of a bag, to a millisecond."""
    detect = Stopwatch(make_detector(settings, len(os.sched_getaffinity(0))))
    with BagReader(path) as bag:
        for _, _, image in itertools.islice(bag.images(bag.image_topic(settings.images)),
                                            WARM_UP + MEASURED_IMAGES):
            detect(image)
    return round(float(np.median(detect.seconds[WARM_UP:] or detect.seconds)), 3)


def run_bag(path, settings: Settings, out: Path, cache: Path, threads: int,
            progress: Callable = lambda: None, recorded=None, view: Path | None = None) -> dict:
    """
    Evaluate one bag and return its result, which is also written to `out`/bags/NAME/result.json.

    cache: folder of the detections.  threads: of the CNN.  recorded: bag with the tracks of the
    live mode; None to play it now.  view: file for a recording of the first mode, to be looked at
    with `acme_tracking view`.  Raises ValueError for a bag that cannot be evaluated, saying why.
    """
    with BagReader(path) as bag:
        topic = bag.image_topic(settings.images)
        count = next(item.count for item in bag.topics if item.name == topic)
        truth_at = _read_truth(bag, topic, settings.truth, count)
        images = Images(bag, topic, progress)
        rate = max(1, count - 1) / bag.seconds if bag.seconds > 0 else 1.0
        with DetectionCache(cache / f'{bag.name}.npz', detector_settings(settings),
                            lambda: make_detector(settings, threads)) as found:
            detect = Stopwatch(found)
            outcomes = _drive(settings, images, detect, rate)
            if LIVE in settings.modes:
                outcomes[LIVE] = _live(path, topic, settings, images, found, out, recorded)
            outcomes = {mode: outcomes[mode] for mode in settings.modes}
            truth = truth_at(images.stamps)
            result = _judge(bag.name, settings, images, truth, outcomes, found)
            _judge_positions(result, Judge(bag, topic, settings.locator), outcomes, truth,
                             settings)
            timings = _timings(outcomes, found.seconds)
        folder = out / 'bags' / bag.name
        folder.mkdir(parents=True, exist_ok=True)
        if truth:
            _show_worst(result, bag, topic, images, truth, outcomes, settings, folder)
        if view:
            from acme_tracking.viewer.outcomes import record_outcome  # not installed everywhere
            record_outcome(view, f'{bag.name}, {settings.modes[0]}', bag.images(topic), truth,
                           outcomes[settings.modes[0]])
    result['every'] = every_nth(settings, rate)
    _write_texts(out, bag.name, images, truth, outcomes)
    (folder / 'timings.json').write_text(json.dumps(timings, indent=2) + '\n')
    partial = folder / 'result.partial'
    partial.write_text(json.dumps(result, default=as_json) + '\n')
    partial.replace(folder / 'result.json')  # last: its presence means that all is done
    return result


def _read_truth(bag, topic, named, count):
    """Return a function of the stamps of the `count` images, which gives the truth by stamp."""
    file = file_beside(bag.path, named)
    if file is None:
        truth_topic = bag.truth_topic(topic, named)
        truth = bag.detections(truth_topic) if truth_topic else {}
        return lambda stamps: truth
    known = read_truth(file, count)
    return lambda stamps: {stamp: one for stamp, one in zip(sorted(stamps), known)
                           if one is not None}


def as_json(value):
    """Return numpy values as JSON has them."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _drive(settings, images, detect, rate):
    """Lead all modes through the images, those that wait for the share of another again."""
    outcomes, share = {}, Fraction(1)
    for modes in passes(settings.modes):
        made = {mode: make_mode(mode, settings, detect, rate, share) for mode in modes}

        def seen():
            for time, stamp, image in images:
                if settings.stand_in:
                    detect(stamp, image)
                yield time, stamp, image
        drive(made, seen(), detect)
        outcomes.update((mode, one.outcome) for mode, one in made.items())
        if ON_DEMAND in outcomes:
            runs = len(outcomes[ON_DEMAND].detected)
            share = Fraction(max(1, runs), max(1, len(images.times)))
    return outcomes


def passes(modes) -> list[list[str]]:
    """Return which modes, but live ones, are led through a bag together, and which after them."""
    modes = [mode for mode in modes if mode != LIVE]
    later = [mode for mode in modes if mode in PEER_MODES and not PEER_MODES[mode][1]]
    return [[mode for mode in modes if mode not in later]] + ([later] if later else [])


def _live(path, topic, settings, images, found, out, recorded):
    """Return what the nodes make of the bag, or made of it when it was recorded."""
    if not recorded:
        found.save()
        recorded = play(path, topic, settings, out / 'live' / Path(path).stem,
                        found.path if settings.stand_in else None)
    return read_outcome(recorded, list(images.times))


def minimum_score(mode: str, settings: Settings) -> float:
    """Return the score from which the tracks of a mode count."""
    return settings.minimum_score if mode in CALIBRATED else 0.0


def _judge(name, settings, images, truth, outcomes, found):
    stamps = list(images.times)
    if not stamps:
        raise ValueError(f'{name} has no images')
    labelled = [stamp for stamp in stamps if stamp in truth]
    if truth and not labelled:
        raise ValueError(f'{name}: no ground truth has the stamp of an image; the headers of '
                         'both must be the same')
    return {
        'name': name, 'images': len(stamps), 'labelled': len(labelled),
        'out_of_order': images.out_of_order, 'size': list(images.size),
        'seconds': (stamps[-1] - stamps[0]) * 1e-9,
        'truth': _describe(truth, labelled) if labelled else None,
        'detector': _detector_scores(truth, labelled, found, settings) if labelled else None,
        'modes': {mode: _judge_mode(outcome, truth, settings, minimum_score(mode, settings))
                  for mode, outcome in outcomes.items()}}


def _describe(truth, labelled):
    boxes = Counter(str(label) for stamp in labelled
                    for label in truth[stamp].labels[truth[stamp].scores > 0])
    ids = {int(one) for stamp in labelled if len(truth[stamp])
           for one in truth[stamp].ids[truth[stamp].scores > 0]}
    return {'objects': len(ids), 'boxes': dict(sorted(boxes.items()))}


def _detector_scores(truth, labelled, found, settings):
    """Return AP50 and the like over the labelled images that the CNN has seen."""
    seen = [stamp for stamp in labelled if stamp in found]
    judged = scores.judge(seen, truth, [found(stamp, None) for stamp in seen], settings.classes)
    score = Score()
    for true, detections in zip(judged.truth, judged.tracks):
        score.add(detections, true.boxes, true.labels)
    return {**score.summary(settings.minimum_score), 'images': len(seen)}


def _judge_mode(outcome, truth, settings, least):
    ids = {int(one) for tracks in outcome.tracks if len(tracks) for one in tracks.ids}
    result = {'detector_runs': len(outcome.detected), 'requests': outcome.requests,
              'tracks': len(ids), 'lost_images': outcome.lost, 'ages': list(outcome.ages.values()),
              'timeline': _timeline(outcome)}
    result['detected'] = [round((stamp - outcome.stamps[0]) * 1e-9, 3)
                          for stamp in outcome.detected]
    judged = scores.judge(outcome.stamps, truth, outcome.tracks, settings.classes, least)
    if not len(judged.stamps):
        return result
    matches = scores.match(judged)
    boxes, true = scores.assigned_boxes(judged)
    everything, all_matches = judged, matches
    if least:
        everything = scores.judge(outcome.stamps, truth, outcome.tracks, settings.classes)
        all_matches = scores.match(everything)
    promises = scores.promised_and_kept(everything, all_matches)
    return {
        **result, 'raw': scores.raw_scores(judged, matches),
        'classes': scores.by_class(outcome.stamps, truth, outcome.tracks, settings.classes, least),
        'losses': scores.losses(judged, matches), 'births': scores.births(judged, matches),
        'calibration': scores.calibration(*promises),
        'single': {**scores.single_object_scores(boxes, true), 'boxes': len(true)},
        'worst': _worst(judged, matches)}


def _judge_positions(result, judge, outcomes, truth, settings):
    """Add to the result how well the locator places the tracks, where that is known."""
    if not judge.exists:
        return
    for mode in outcomes.keys() - PEER_MODES.keys():
        result['modes'][mode]['positions'] = judge.samples(
            outcomes[mode], truth, minimum_score(mode, settings))
    for text in judge.warnings:
        logger.warning('%s: %s', result['name'], text)


def _timeline(outcome):
    """Return for every track its label, spans [first, last, state] and corrections, in seconds."""
    start, tracks = outcome.stamps[0] if outcome.stamps else 0, {}
    for index, (stamp, found, states) in enumerate(
            zip(outcome.stamps, outcome.tracks, outcome.states)):
        now = round((stamp - start) * 1e-9, 3)
        for identity, label, state in zip(found.ids if len(found) else (), found.labels, states):
            track = tracks.setdefault(int(identity), {'spans': [], 'corrected': [], 'last': index})
            track['label'] = str(label)
            spans = track['spans']
            if spans and spans[-1][2] == int(state) and track['last'] >= index - 1:
                spans[-1][1] = now
            else:
                spans.append([now, now, int(state)])
            track['last'] = index
    for stamp, identity in outcome.corrected:
        if identity in tracks:
            tracks[identity]['corrected'].append(round((stamp - start) * 1e-9, 3))
    return {str(identity): {key: track[key] for key in ('label', 'spans', 'corrected')}
            for identity, track in sorted(tracks.items())}


def _worst(judged, matches):
    """Return the moments with most errors, worst first, not too near to each other."""
    moments = []
    for stamp, found, right, switched in zip(judged.stamps.tolist(), matches.found,
                                             matches.on_target, matches.switched):
        missed, false = int((~found).sum()), int((~right).sum())
        moments.append({'stamp': stamp, 'missed': missed, 'false': false, 'switched': switched})
    chosen = []
    for moment in sorted(moments, key=lambda one: (
            -(one['missed'] + one['false'] + 2 * one['switched']), one['stamp'])):
        if all(abs(moment['stamp'] - other['stamp']) >= APART * 1e9 for other in chosen):
            chosen.append(moment)
        if len(chosen) == WORST_MOMENTS:
            break
    return [moment for moment in chosen if moment['missed'] + moment['false'] + moment['switched']]


def _show_worst(result, bag, topic, images, truth, outcomes, settings, folder):
    """Draw the worst moments of the first mode."""
    mode = settings.modes[0]
    tracks = dict(zip(outcomes[mode].stamps, outcomes[mode].tracks))
    for number, moment in enumerate(result['modes'][mode].get('worst', ()), 1):
        stamp, time = moment['stamp'], images.times[moment['stamp']]
        image = next(image for at, _, image in bag.images(topic, time, time + 1) if at == stamp)
        judged = scores.judge([stamp], truth, [tracks[stamp]], settings.classes,
                              minimum_score(mode, settings))
        matches = scores.match(judged)
        picture = _draw_errors(image, judged, matches)
        moment['file'] = f'worst-{number}.jpg'
        moment['seconds'] = (stamp - next(iter(images.times))) * 1e-9
        cv2.imwrite(str(folder / moment['file']), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _draw_errors(image, judged, matches):
    """Return the image with missed objects red, tracks on nothing orange, found ones green."""
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    width = max(2, round(image.shape[0] / 240))
    right, wrong = matches.found[0], ~matches.on_target[0]
    for boxes, color, line in ((judged.truth[0].boxes[right], (80, 200, 80), 1),
                               (judged.tracks[0].boxes[wrong], (0, 150, 255), width),
                               (judged.truth[0].boxes[~right], (40, 40, 230), width)):
        for box in np.rint(boxes).astype(int).tolist():
            cv2.rectangle(canvas, tuple(box[:2]), tuple(box[2:]), color, line, cv2.LINE_AA)
    return canvas


def _write_texts(out, name, images, truth, outcomes):
    """Write tracks and truth in MOTChallenge layout, as TrackEval and others read them."""
    number = {stamp: index for index, stamp in enumerate(images.times, 1)}
    for mode, outcome in outcomes.items():
        write_mot(out / 'tracks' / mode / 'data' / f'{name}.txt',
                  [number[stamp] for stamp in outcome.stamps], outcome.tracks)
    if truth:
        folder = out / 'gt' / name
        write_mot(folder / 'gt' / 'gt.txt', number.values(),
                  [truth.get(stamp, Detections.empty()) for stamp in number], truth=True)
        (folder / 'seqinfo.ini').write_text(
            f'[Sequence]\nname={name}\nseqLength={len(number)}\nimWidth={images.size[0]}\n'
            f'imHeight={images.size[1]}\n')


def _timings(outcomes, cnn):
    """Return what took how long on this machine, in milliseconds; never the same twice."""
    def spread(seconds):
        p50, p95 = np.percentile(seconds, [50, 95]) * 1e3 if seconds else (None, None)
        return {'p50_ms': p50 and round(p50, 2), 'p95_ms': p95 and round(p95, 2)}
    return {'cnn': {**spread(cnn), 'runs': len(cnn)},
            'modes': {mode: spread(outcome.seconds) for mode, outcome in outcomes.items()}}
