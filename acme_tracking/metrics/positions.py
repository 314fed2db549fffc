"""How far positions are off, by distance, and whether their covariances say so."""
from __future__ import annotations

import numpy as np


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
