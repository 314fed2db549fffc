"""
Do confidences keep their word?  Reliability, expected calibration error, and a logistic fit.

A confidence is the probability that a box is on its object (IoU of at least 0.5).
"""
from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

ON_TARGET_IOU = 0.5
BINS = 10


def reliability(confidences, correct, bins: int = BINS):
    """
    Return what was promised and what was kept, by bins of equal width of the confidence.

    confidences: float (N,) in [0, 1]; correct: bool (N,).  Returns the mean confidence, the share
    of correct ones (both float (bins,), NaN in an empty bin) and the count, int (bins,).
    """
    confidences, correct = _checked(confidences, correct)
    index = np.minimum((confidences * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid='ignore'):
        return (np.bincount(index, confidences, bins) / counts,
                np.bincount(index, correct, bins) / counts, counts)


def expected_calibration_error(confidences, correct, bins: int = BINS) -> float:
    """
    Return the mean distance of confidence and share of correct ones, weighted by the bins' counts.

    Method: M. Naeini, G. Cooper, M. Hauskrecht, Obtaining Well Calibrated Probabilities Using
    Bayesian Binning, 2015.
    """
    promised, kept, counts = reliability(confidences, correct, bins)
    used = counts > 0
    return float(np.abs(promised - kept)[used] @ counts[used] / counts.sum())


def fit_logistic(quality, correct, weights=None) -> tuple[float, float]:
    """
    Return (center, scale) of ``1 / (1 + exp((center - quality) / scale))`` by maximum likelihood.

    quality: float (N,), the greater the better; correct: bool (N,); weights: float (N,) or None.
    Method: J. Platt, Probabilistic Outputs for Support Vector Machines, 1999.  Raises ValueError
    when all or none are correct.
    """
    quality, correct = np.asarray(quality, dtype=float), np.asarray(correct, dtype=bool)
    if correct.all() or not correct.any():
        raise ValueError('a fit needs correct and wrong boxes, got only one kind')
    weights = np.ones(len(quality)) if weights is None else np.asarray(weights, dtype=float)
    middle, spread = quality.mean(), quality.std()
    signs = np.where(correct, -1, 1)

    def loss(line):
        logit = line[0] + line[1] * (quality - middle) / spread
        return np.average(np.logaddexp(0, signs * logit), weights=weights)

    offset, slope = minimize(loss, (0, 1), method='BFGS').x
    return float(middle - spread * offset / slope), float(spread / slope)


def logit(confidences) -> np.ndarray:
    """Return log(c / (1 - c)), float (N,), of confidences within 1e-9 of 0 and 1 at most."""
    confidences = np.clip(confidences, 1e-9, 1 - 1e-9)
    return np.log(confidences / (1 - confidences))


def _checked(confidences, correct):
    confidences, correct = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    if confidences.shape != correct.shape or not confidences.size:
        raise ValueError(f'expected as many confidences as answers, got {confidences.shape} and '
                         f'{correct.shape}')
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError('confidences must be in [0, 1]')
    return confidences, correct
