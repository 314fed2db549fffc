"""
HOTA: whether objects are found, kept apart, and located.

J. Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, 2020.  A
sequence gives counts for every overlap that may be demanded; those of many sequences are added.
"""
from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

# The overlaps from which a box is on an object; scores are means over them.
THRESHOLDS = np.arange(1, 20) / 20
EPSILON = np.finfo(float).eps


def counts(objects, tracks, overlaps) -> dict[str, np.ndarray]:
    """
    Return what is counted in a sequence, each float (19,), one for each of THRESHOLDS.

    objects, tracks: for every image the numbers, from 0, of what is there, int (N,) and (M,);
    overlaps: their IoU, float (N, M).

    >>> one = np.array([0])
    >>> counts([one, one], [one, one], [np.eye(1), np.eye(1) * 0.5])['found'][[9, 10]].tolist()
    [2.0, 1.0]
    """
    alike, lengths, track_lengths = _alike(objects, tracks, overlaps)
    pairs, overlap = [np.zeros((0, 2), int)], [np.zeros(0)]
    for ours, theirs, shared in zip(objects, tracks, overlaps):
        rows, columns = linear_sum_assignment(-alike[np.ix_(ours, theirs)] * shared)
        pairs.append(np.stack([ours[rows], theirs[columns]], axis=1).astype(int))
        overlap.append(shared[rows, columns])
    pairs, overlap = np.concatenate(pairs), np.concatenate(overlap)
    counted = np.zeros((len(THRESHOLDS), 3))
    for row, threshold in zip(counted, THRESHOLDS):
        good = overlap >= threshold - EPSILON
        together, times = np.unique(pairs[good], axis=0, return_counts=True)
        either = lengths[together[:, 0]] + track_lengths[together[:, 1]] - times
        row[:] = good.sum(), overlap[good].sum(), (times**2 / either).sum()
    found, located, associated = counted.T
    return {'found': found, 'missed': lengths.sum() - found,
            'false': track_lengths.sum() - found, 'located': located, 'associated': associated}


def _alike(objects, tracks, overlaps):
    """Return how alike objects and tracks are as a whole, (O, T), and how many images each has."""
    lengths = np.bincount(np.concatenate([*objects, [0]]).astype(int)) * 1.0
    track_lengths = np.bincount(np.concatenate([*tracks, [0]]).astype(int)) * 1.0
    lengths[0] -= 1  # that of the added 0, for sequences without any
    track_lengths[0] -= 1
    together = np.zeros((len(lengths), len(track_lengths)))
    for ours, theirs, shared in zip(objects, tracks, overlaps):
        either = shared.sum(axis=0) + shared.sum(axis=1)[:, np.newaxis] - shared
        together[np.ix_(ours, theirs)] += shared / np.maximum(either, EPSILON)
    either = lengths[:, np.newaxis] + track_lengths - together
    return together / np.maximum(either, EPSILON), lengths, track_lengths


def scores(counted) -> dict[str, np.ndarray]:
    """Return HOTA and its parts, in [0, 1], float (19,), from the counts of one or many."""
    found, missed, false = (np.asarray(counted[key]) for key in ('found', 'missed', 'false'))
    deta = found / np.maximum(found + missed + false, 1)
    assa = counted['associated'] / np.maximum(found, 1)
    return {'hota': np.sqrt(deta * assa), 'deta': deta, 'assa': assa,
            'detre': found / np.maximum(found + missed, 1),
            'detpr': found / np.maximum(found + false, 1),
            'loca': np.where(found > 0, counted['located'] / np.maximum(found, 1), 1.0)}
