"""How far positions are off, by distance, and whether their covariances say so."""
from __future__ import annotations

import math

import numpy as np

# Seconds of the true time to contact that counts.
CONTACT = 0.5, 4.0
# What the NEES of two numbers is below in 95 % of all cases, if covariances are right.
WITHIN = 5.99
# What is known of a position: whose it is (a number for each track), how far ahead the object
# truly is, the errors along and across the road, metres (NaN where no position was told), the
# NEES of both, and the times to contact that were told and are true, seconds.
SAMPLE = 'object', 'ahead', 'along', 'lateral', 'nees', 'told_s', 'true_s'


def nees(errors, covariances) -> np.ndarray:
    """
    Return the normalised estimation error squared of N errors of D numbers, float64 (N,).

    errors: (N, D).  covariances: (N, D, D).  Where the covariance is right, its mean is D
    (Bar-Shalom, Li and Kirubarajan, 2001, section 5.4).
    """
    errors = np.asarray(errors, float)
    solved = np.linalg.solve(np.asarray(covariances, float), errors[:, :, None])[:, :, 0]
    return (errors * solved).sum(axis=1)


def nees_of_objects(values, objects) -> tuple[float, int]:
    """
    Return the mean of a NEES of D = 2 over objects, each of which counts once, and their number.

    values: (N,).  objects: (N,), whose value each is: those of one object follow each other, so
    that they are no independent trials, but objects are.
    """
    _, which = np.unique(np.asarray(objects), return_inverse=True)
    counts = np.bincount(which)
    return float((np.bincount(which, values) / counts).mean()), len(counts)


def nees_band(count: int, dimensions: int = 2) -> tuple[float, float]:
    """Return what a mean NEES of `count` independent trials is within, in 95 % of all cases."""
    from scipy.stats import chi2

    low, high = chi2.ppf((0.025, 0.975), count * dimensions) / count
    return float(low), float(high)


def figures(samples, low: float = 0.0, high: float = math.inf) -> dict | None:
    """
    Return how good positions are of objects from `low` to `high` metres ahead, None without any.

    samples: (N, 7), the columns of SAMPLE.  Along and lateral are medians and 95th percentiles of
    what positions are off, the first as a share of the distance.  `nees` is the mean over objects,
    which is within `nees_band` in 95 % of all cases if covariances are right; `known` the share of
    samples with a position.
    """
    samples = np.asarray(samples, float).reshape(-1, len(SAMPLE))
    samples = samples[(samples[:, 1] >= low) & (samples[:, 1] < high)]
    known = samples[np.isfinite(samples[:, 2])]
    if not len(known):
        return None
    objects, ahead, along, lateral, values = known[:, :5].T
    mean, count = nees_of_objects(values, objects)
    told, true = samples[:, 5:].T
    due = (true >= CONTACT[0]) & (true <= CONTACT[1])
    return {
        'along_relative_median': round(float(np.median(np.abs(along) / ahead)), 4),
        'along_relative_p95': round(float(np.percentile(np.abs(along) / ahead, 95)), 4),
        'lateral_m_median': round(float(np.median(np.abs(lateral))), 3),
        'lateral_m_p95': round(float(np.percentile(np.abs(lateral), 95)), 3),
        'ttc_relative_median': round(float(np.median(
            np.abs(told[due] - true[due]) / true[due])), 4) if due.any() else None,
        'ttc_samples': int(due.sum()),
        'nees': round(mean, 2), 'nees_band': [round(edge, 2) for edge in nees_band(count)],
        'nees_within': round(float((values < WITHIN).mean()), 3), 'objects': count,
        'known': round(len(known) / len(samples), 3), 'samples': len(known)}
