"""
A run: settings and bags in, a folder with figures out, the same bytes every time.

    RUN/metrics.json      all figures, of all bags together and of each; no times of the machine
    RUN/timings.json      what took how long here
    RUN/report.html       both, to be read
    RUN/tracks/MODE/data/BAG.txt, RUN/gt/BAG/   MOTChallenge format, for TrackEval and others
    RUN/bags/BAG/         result of one bag, with pictures of its worst moments
    RUN/live/BAG/         the bag that was recorded of the nodes, in live mode
    RUN/detections/       what the CNN found, so that it need not look again

A run that was stopped goes on where it was: bags with a result are not evaluated again.  Bags are
evaluated by processes here, or by the workers of a cluster (see `workers`), to which RUN must be
the same folder.
"""
from __future__ import annotations

from collections import Counter
import contextlib
import functools
import json
import os
from pathlib import Path
import platform
import time

from acme_tracking.bags.reading import BagReader, name_of
from acme_tracking.bags.remote import is_remote, local_bag
from acme_tracking.evaluation.positions import by_distance
from acme_tracking.evaluation.sequence_run import LIVE, passes, run_bag
from acme_tracking.evaluation.settings import differences, hash_of_weights, Settings, versions
from acme_tracking.evaluation.truth_files import file_beside
from acme_tracking.evaluation.workers import cluster, processes, run_all
from acme_tracking.metrics import hota
from acme_tracking.metrics import tracking as scores
from acme_tracking.viewer import SUFFIX
import numpy as np
from tqdm import tqdm

FORMAT = 1
METRICS, TIMINGS, SETTINGS = 'metrics.json', 'timings.json', 'settings.json'
# Digits of the figures in metrics.json.
DIGITS = 6
# How often a worker says how far it is, in seconds.
PROGRESS_EVERY = 0.5


def evaluate(bags, settings: Settings, out, jobs: int = 0, cache=None, recorded=None,
             view: Path | None = None, dask: str = '') -> dict:
    """
    Evaluate the bags, `jobs` at a time (0: one per core), and return what metrics.json holds.

    bags: paths, or URLs (see `bags.remote`).  cache: folder of the detections, to be shared among
    runs; RUN/detections if not given.  recorded: bag with the tracks that a graph published while
    the one bag was played.  view: file for a recording of the first mode on the one bag, or folder
    for those of all, for which they are evaluated again.  dask: address of the scheduler whose
    workers do it.  Raises ValueError when two bags have one name, when `out` holds a run with
    other settings, or naming the bag that cannot be evaluated.
    """
    out, bags = Path(out).absolute(), {
        name_of(bag): str(bag) if is_remote(bag) else str(BagReader(bag).path.absolute())
        for bag in _once(bags)}
    _check(bags, settings, recorded, view, dask)
    _claim(out, settings)
    todo = {name: bag for name, bag in bags.items()
            if view or not (out / 'bags' / name / 'result.json').is_file()}
    if todo:
        _run_all(todo, settings, out, 1 if LIVE in settings.modes else jobs,
                 Path(cache).absolute() if cache else out / 'detections', recorded, view, dask)
    results = [json.loads((out / 'bags' / name / 'result.json').read_text()) for name in bags]
    timings = {name: json.loads((out / 'bags' / name / TIMINGS).read_text()) for name in bags}
    metrics = rounded(summarize(results, settings))
    (out / METRICS).write_text(json.dumps(metrics, indent=1) + '\n')
    (out / TIMINGS).write_text(json.dumps(timings, indent=1) + '\n')
    return metrics


def _once(bags):
    """Return the bags; ValueError when two have one name."""
    twice = [name for name, count in Counter(map(name_of, bags)).items() if count > 1]
    if twice:
        raise ValueError(f'bags must have different names, got {twice[0]} twice')
    return bags


def _check(bags, settings, recorded, view, dask):
    """Raise ValueError for what does not go together."""
    files = [file for bag in bags.values()
             if not is_remote(bag) and (file := file_beside(bag, settings.truth))]
    if len(set(files)) < len(files):
        raise ValueError(f'{files[0]} is the truth about one bag, got {len(files)} bags: name a '
                         'file that lies beside what is recorded in each of them')
    if (recorded or is_one_recording(view)) and len(bags) != 1:
        raise ValueError(f'a recording belongs to one bag, got {len(bags)}')
    if dask and LIVE in settings.modes:
        raise ValueError('bags are played to nodes of this machine alone, not to those of workers')


def is_one_recording(view: Path | None) -> bool:
    """Tell whether recordings go into a file, and not into a folder."""
    return view is not None and view.suffix == SUFFIX


def recording_of(view: Path, name: str) -> Path:
    """Return the file of the recording of one bag."""
    return view if is_one_recording(view) else view / f'{name}{SUFFIX}'


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


def _run_all(bags, settings, out, jobs, cache, recorded, view, dask):
    """Evaluate bags, by name, behind one bar of what all of them have to do."""
    cores = len(os.sched_getaffinity(0))
    jobs = 1 if dask else min(jobs or cores, len(bags))
    common = settings, out, cache, 1 if dask else max(1, cores // jobs), recorded
    progress = {}  # (steps done, steps in all) of each bag

    with tqdm(unit='image') as bar:
        def tell(name, *steps):
            progress[name] = steps
            done, bar.total = map(sum, zip(*progress.values()))
            bar.set_description(f'{len(progress)} of {len(bags)} bags', refresh=False)
            bar.update(done - bar.n)

        arguments = {name: (bag, *common, view and recording_of(view.absolute(), name))
                     for name, bag in bags.items()}
        if jobs == 1 and not dask:
            for one in arguments.values():
                _run_one(tell, *one)
        elif dask:
            run_all(functools.partial(cluster, dask), _run_there, {
                name: (versions(), *one) for name, one in arguments.items()}, tell)
        else:
            run_all(functools.partial(processes, jobs), _run_here, arguments, tell)


def _run_here(messages, *arguments):
    """Evaluate one bag in a process of its own."""
    _run_one(lambda *progress: messages.put(progress), *arguments)


def _run_there(messages, known, bag, settings, out, *others):
    """Evaluate one bag on a worker that may lack what it takes: then ValueError."""
    if not (out / SETTINGS).is_file():
        raise ValueError(f'{out} is not there on {platform.node()}: --out must be a folder that '
                         'all workers share')
    _claim(out, settings)
    differ = differences(versions(), known)
    if differ:
        raise ValueError(f'{platform.node()} would compute other figures: '
                         f'{"; ".join(differ[:3])}')
    _run_here(messages, bag, settings, out, *others)


def _run_one(tell, bag, settings, out, cache, threads, recorded, view):
    """Evaluate one bag, and `tell(name, steps done, steps in all)` now and then."""
    with BagReader(local_bag(bag)) as reader:
        topic = reader.image_topic(settings.images)
        count = next(item.count for item in reader.topics if item.name == topic)
    total, done, told = count * len(passes(settings.modes)), 0, 0.0

    def step():
        nonlocal done, told
        done += 1
        if time.monotonic() - told > PROGRESS_EVERY:
            told = time.monotonic()
            tell(reader.name, done, total)
    run_bag(reader.path, settings, out, cache, threads, step, recorded, view)
    tell(reader.name, done, total)


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
                                         Counter()).items())),
             **_positions([mode['positions'] for mode in modes if 'positions' in mode])}
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


def _positions(parts):
    """Return how well the objects of all bags are located, whose numbers begin anew in each."""
    rows, begin = [], 0
    for part in parts:
        rows += [(begin + row[0], *row[1:]) for row in part]
        begin = 1 + max((row[0] for row in rows), default=-1)
    return {'positions': by_distance(rows)} if rows else {}


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
