"""
A run: settings and bags in, a folder with figures out, the same bytes every time.

    RUN/metrics.json      all figures, of all bags together and of each; no times of the machine
    RUN/timings.json      what took how long here
    RUN/report.html       both, to be read
    RUN/tracks/MODE/data/BAG.txt, RUN/gt/BAG/   MOTChallenge format, for TrackEval and others
    RUN/bags/BAG/         result of one bag, with pictures of its worst moments
    RUN/live/BAG/         the bag that was recorded of the nodes, in live mode
    RUN/detections/       what the CNN found, so that it need not look again

A run that was stopped goes on where it was: bags with a result are not evaluated again.
"""
from __future__ import annotations

from collections import Counter
from concurrent.futures import as_completed, ProcessPoolExecutor
import contextlib
import json
import multiprocessing
import os
from pathlib import Path

from acme_tracking.bags.reading import BagReader
from acme_tracking.evaluation.sequence_run import LIVE, passes, run_bag
from acme_tracking.evaluation.settings import differences, hash_of_weights, Settings, versions
from acme_tracking.evaluation.truth_files import file_beside
from acme_tracking.metrics import hota
from acme_tracking.metrics import tracking as scores
import numpy as np
from tqdm import tqdm

FORMAT = 1
METRICS, TIMINGS, SETTINGS = 'metrics.json', 'timings.json', 'settings.json'
# Digits of the figures in metrics.json.
DIGITS = 6


def evaluate(bags, settings: Settings, out, jobs: int = 0, cache=None, recorded=None,
             view: Path | None = None) -> dict:
    """
    Evaluate the bags, `jobs` at a time (0: one per core), and return what metrics.json holds.

    cache: folder of the detections, to be shared among runs; RUN/detections if not given.
    recorded: bag with the tracks that a graph published while the one bag was played.  view: file
    for a recording of the first mode on the one bag, for which it is evaluated again.  Raises
    ValueError when two bags have one name, when `out` holds a run with other settings, or naming
    the bag that cannot be evaluated.
    """
    out, bags = Path(out), [Path(bag) for bag in bags]
    names = [BagReader(bag).name for bag in bags]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'bags must have different names, got {twice[0]} twice')
    files = [file for bag in bags if (file := file_beside(bag, settings.truth))]
    if len(set(files)) < len(files):
        raise ValueError(f'{files[0]} is the truth about one bag, got {len(files)} bags: name a '
                         'file that lies beside what is recorded in each of them')
    _claim(out, settings)
    todo = [bag for bag, name in zip(bags, names)
            if view or not (out / 'bags' / name / 'result.json').is_file()]
    if (recorded or view) and len(bags) != 1:
        raise ValueError(f'a recording belongs to one bag, got {len(bags)}')
    if todo:
        _run_all(todo, settings, out, 1 if LIVE in settings.modes else jobs,
                 Path(cache) if cache else out / 'detections', recorded, view)
    results = [json.loads((out / 'bags' / name / 'result.json').read_text()) for name in names]
    timings = {name: json.loads((out / 'bags' / name / TIMINGS).read_text()) for name in names}
    metrics = rounded(summarize(results, settings))
    (out / METRICS).write_text(json.dumps(metrics, indent=1) + '\n')
    (out / TIMINGS).write_text(json.dumps(timings, indent=1) + '\n')
    return metrics


def _claim(out, settings):
    """Note the settings of a run, or check that those of an earlier part are the same."""
    ours = {**settings.as_dict(), 'weights': hash_of_weights(settings.detector.weights)}
    path = out / SETTINGS
    if path.is_file():
        theirs = json.loads(path.read_text())
        if theirs != ours:
            raise ValueError(f'{out} holds a run with other settings ('
                             f'{"; ".join(differences(ours, theirs)[:3])}): choose another --out')
    else:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ours, indent=1) + '\n')


def _run_all(bags, settings, out, jobs, cache, recorded, view):
    cores = len(os.sched_getaffinity(0))
    jobs = min(jobs or cores, len(bags))
    if jobs == 1:
        for bag in bags:
            _run_one(bag, settings, out, cache, cores, 0, recorded, view)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=tqdm.set_lock,
                             initargs=(context.RLock(),)) as pool:
        running = [pool.submit(_run_one, bag, settings, out, cache, max(1, cores // jobs),
                               index) for index, bag in enumerate(bags)]
        try:
            for job in as_completed(running):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_one(bag, settings, out, cache, threads, position, recorded=None, view=None):
    """Evaluate one bag behind a progress bar."""
    with BagReader(bag) as reader:
        topic = reader.image_topic(settings.images)
        count = next(item.count for item in reader.topics if item.name == topic)
    steps = count * len(passes(settings.modes))
    with tqdm(total=steps, unit='image', desc=reader.name, position=position) as bar:
        run_bag(bag, settings, out, cache, threads, bar.update, recorded, view)


def summarize(results: list[dict], settings: Settings) -> dict:
    """Return metrics.json: the first mode's scores at the top, then all modes, bags, settings."""
    modes = {mode: _combined([result['modes'][mode] for result in results], results)
             for mode in settings.modes}
    headline = {key: value for key, value in modes[settings.modes[0]].items()
                if not isinstance(value, dict) and not key.endswith('curve')}
    return {
        'format': FORMAT, 'mode': settings.modes[0], **headline,
        'modes': modes,
        'bags': {result['name']: {
            **{key: result[key] for key in ('images', 'labelled', 'out_of_order', 'size',
                                            'seconds', 'every', 'truth', 'detector')},
            'modes': {mode: _combined([result['modes'][mode]], [result])
                      for mode in settings.modes}} for result in results},
        'settings': settings.as_dict(),
        'weights_sha256': hash_of_weights(settings.detector.weights),
        'versions': versions()}


def _combined(modes, results):
    """Return the figures of one mode in some bags as one."""
    images = sum(result['images'] for result in results)
    runs = sum(mode['detector_runs'] for mode in modes)
    found = {'images': images, 'detector_runs': runs, 'detector_share': runs / images,
             'tracks': sum(mode['tracks'] for mode in modes),
             'lost_images': sum(mode['lost_images'] for mode in modes),
             **_ages([age for mode in modes for age in mode['ages']]),
             'requests': dict(sorted(sum((Counter(mode['requests']) for mode in modes),
                                         Counter()).items()))}
    judged = [mode for mode in modes if 'raw' in mode]
    if not judged:
        return {'hota': None, 'mota': None, 'idf1': None, **found}
    raw = scores.combine([_arrays(mode['raw']) for mode in judged])
    classes = sorted({name for mode in judged for name in mode['classes']})
    seconds = sum((mode['losses']['seconds'] for mode in judged), [])
    born = sum((mode['births']['seconds'] for mode in judged), [])
    never = sum(mode['births']['never'] for mode in judged)
    return {
        **scores.summary(raw), **found,
        'losses': sum(mode['losses']['lost_for_good'] for mode in judged) + len(seconds),
        'lost_for_good': sum(mode['losses']['lost_for_good'] for mode in judged),
        'recovery_s': float(np.mean(seconds)) if seconds else None,
        'birth_s': scores.median_birth(born, never),
        'never_followed': never / max(never + len(born), 1),
        'ece': _calibration([mode['calibration'] for mode in judged])['ece'],
        **_single([mode['single'] for mode in judged]),
        'hota_curve': hota.scores(raw['hota'])['hota'].tolist(),
        'reliability': _calibration([mode['calibration'] for mode in judged]),
        'classes': {name: scores.summary(scores.combine([
            _arrays(mode['classes'][name]) for mode in judged if name in mode['classes']]))
            for name in classes}}


def _ages(seconds):
    """Return how old images were when their tracks were published, in milliseconds."""
    p50, p95 = np.percentile(seconds, [50, 95]) * 1e3 if seconds else (None, None)
    return {'age_p50_ms': p50, 'age_p95_ms': p95}


def _arrays(raw):
    return {metric: {field: np.array(value) if isinstance(value, list) else value
                     for field, value in fields.items()} for metric, fields in raw.items()}


def _single(parts):
    """Return the mean of single-object scores, weighted by their boxes."""
    weights = [part['boxes'] for part in parts]
    return {key: np.average([part[key] for part in parts if part['boxes']], axis=0,
                            weights=[weight for weight in weights if weight]).tolist()
            if any(weights) else None
            for key in ('success_auc', 'precision', 'normalised_precision', 'success_curve')}


def _calibration(parts):
    """Return the reliability of all bags, and its expected calibration error."""
    parts = [part for part in parts if part['counts']]
    if not parts:
        return {'ece': None, 'promised': [], 'kept': [], 'counts': []}
    counts = np.array([part['counts'] for part in parts])
    total = counts.sum(axis=0)
    promised, kept = (np.nansum(np.array([part[key] for part in parts], dtype=float) * counts,
                                axis=0) / np.maximum(total, 1) for key in ('promised', 'kept'))
    return {'ece': float(np.abs(promised - kept) @ total / total.sum()),
            'promised': promised.tolist(), 'kept': kept.tolist(), 'counts': total.tolist()}


def rounded(value):
    """Return nested figures with DIGITS digits, so that they are easy to read and to compare."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    with contextlib.suppress(AttributeError):
        value = value.item()
    return round(value, DIGITS) if isinstance(value, float) else value
