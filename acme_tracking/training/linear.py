"""
Linear classifiers on features: logistic regression and a linear support vector machine.

With fewer rows than columns, as thousands of crops with 25,088 features each, the solution of a
problem with a squared penalty lies in the span of the rows (the representer theorem, Schoelkopf,
Herbrich and Smola, 2001).  Rows that have the same products with each other then serve as well:
the Cholesky factor of all products is N x N in place of N x D and, computed once, makes the many
fits of a cross-validation fast.
"""
from __future__ import annotations

from dataclasses import dataclass
import warnings

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_val_score, StratifiedGroupKFold
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

MODELS = ('logistic_regression', 'linear_svm')
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
FOLDS = 3
JITTER = 1e-5  # of the mean squared length of a row: rows may be equal
CHUNK = 1024  # rows of features that are in memory at a time when they do not fit
PASSES = 20  # over features that do not fit


@dataclass(frozen=True, eq=False)
class Linear:
    """
    A trained linear classifier: logits = features @ weights.T + biases.

    weights: float32 (C, D); biases: float32 (C,).
    penalty: the inverse strength C of the regularisation that was chosen.
    scores: {C: mean accuracy over the folds}, empty when there was nothing to choose.
    """

    weights: np.ndarray
    biases: np.ndarray
    penalty: float
    scores: dict

    def logits(self, features) -> np.ndarray:
        """Return float32 (N, C) for features (N, D), which may be memory-mapped."""
        return np.concatenate([features[start:start + CHUNK] @ self.weights.T + self.biases
                               for start in range(0, len(features), CHUNK)])

    def calibrated(self, features, truth) -> Linear:
        """
        Return the classifier with logits times a factor that makes their softmax likely.

        A support vector machine has no probabilities; one factor, fitted on data that it has not
        seen, gives it some (temperature scaling, Guo et al., 2017).
        """
        logits, rows = self.logits(features), np.arange(len(truth))
        best = minimize_scalar(
            lambda log: -log_softmax(np.exp(log) * logits, axis=1)[rows, truth].mean(),
            bounds=(-5, 5), method='bounded')
        factor = np.float32(np.exp(best.x))
        return Linear(factor * self.weights, factor * self.biases, self.penalty, self.scores)


def fit(features, truth, model: str, grid=GRID, groups=None, memory=None, seed=0) -> Linear:
    """
    Train a linear classifier; the C of `grid` that is best in a cross-validation is taken.

    features: float32 (N, D), an array or memory-mapped; truth: int (N,) from 0.  C is for
    features whose rows have a mean squared length of 1.  groups: rows of one group are in one
    fold.  memory: bytes that the features may take; larger ones are learned from in pieces, by
    stochastic gradient descent.  Raises ValueError for an unknown model, or a single class.
    """
    if model not in MODELS:
        raise ValueError(f'model must be one of {", ".join(MODELS)}, got {model!r}')
    if not grid or not all(penalty > 0 for penalty in grid):
        raise ValueError(f'C must be above 0, got {list(grid)}')
    if len(set(np.asarray(truth).tolist())) < 2:
        raise ValueError('there is only one class: nothing to tell apart')
    scale = np.float32(1 / np.sqrt(max(_mean_square(features), 1e-12)))
    if memory is not None and features.nbytes > memory:
        return _incremental(features, truth, model, grid, scale, seed)
    return _in_memory(features * scale, truth, model, grid, groups, scale, seed)


def _mean_square(features) -> float:
    """Return the mean squared length of a row."""
    pieces = (features[start:start + CHUNK] for start in range(0, len(features), CHUNK))
    return sum(float(np.vdot(piece, piece)) for piece in pieces) / len(features)


def _estimator(model, penalty):
    """Return an untrained estimator of scikit-learn."""
    if model == 'logistic_regression':
        return LogisticRegression(C=penalty, max_iter=300)
    return LinearSVC(C=penalty)


def _in_memory(features, truth, model, grid, groups, scale, seed) -> Linear:
    """Choose C by cross-validation, if there is a choice, and train on all."""
    # One logistic regression is done before the products are; liblinear wants doubles of it all.
    pays = len(grid) > 1 or model == 'linear_svm'
    rows = _factor(features) if pays and len(features) < features.shape[1] else features
    # Products of a tall matrix with a few columns: a second thread waits more than it works.
    with threadpool_limits(1, 'blas'):
        scores = _scores(rows, truth, model, grid, groups, seed) if len(grid) > 1 else {}
        # the first, most regularised, of equal ones
        penalty = max(scores, key=scores.get) if scores else grid[0]
        estimator = _estimator(model, penalty).fit(rows, truth)
    weights = estimator.coef_
    if rows is not features:  # from the span of the rows back to the features
        weights = solve_triangular(rows, weights.T, lower=True, trans='T').T
        weights = np.float32(weights) @ features  # as doubles these would be copied
    return _linear(weights * scale, estimator.intercept_, penalty, scores)


def _scores(rows, truth, model, grid, groups, seed) -> dict:
    """Return {C: mean accuracy over the folds}."""
    groups = np.arange(len(truth)) if groups is None else groups
    fewest = min(len(set(groups[truth == place].tolist())) for place in np.unique(truth))
    if fewest < FOLDS:
        raise ValueError(f'a class is in {fewest} images, too few to choose among {len(grid)} '
                         f'values of C: expected at least {FOLDS}, or give one C')
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # a hopeless C is not chosen
        return {penalty: float(cross_val_score(_estimator(model, penalty), rows, truth,
                                               groups=groups, cv=folds).mean())
                for penalty in grid}


def _factor(rows) -> np.ndarray:
    """Return float32 (N, N) rows with the same products with each other as rows (N, D)."""
    products = rows @ rows.T
    products[np.diag_indices_from(products)] += JITTER
    return np.ascontiguousarray(cholesky(products, lower=True, overwrite_a=True))


def _linear(weights, biases, penalty, scores) -> Linear:
    """Return a Linear with one row per class also for two, for which scikit-learn has one."""
    weights, biases = np.atleast_2d(weights), np.atleast_1d(biases)
    if len(weights) == 1:
        weights = np.concatenate([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
    return Linear(np.float32(weights), np.float32(biases), penalty, scores)


def _incremental(features, truth, model, grid, scale, seed) -> Linear:
    """
    Learn from pieces of features that do not fit into memory.

    The last tenth of the pieces chooses C: its rows are not learned from until it is chosen.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))  # files are sorted by bank, and banks by class
    pieces = [np.sort(piece) for piece in np.array_split(order, max(2, len(order) // CHUNK))]
    held = pieces[-max(1, len(pieces) // 10):]
    scores = {}
    if len(grid) > 1:
        for penalty in grid:
            estimator = _descend(features, truth, model, penalty, scale, pieces[:-len(held)], rng)
            hits = [estimator.predict(features[piece] * scale) == truth[piece] for piece in held]
            scores[penalty] = float(np.concatenate(hits).mean())
    penalty = max(scores, key=scores.get) if scores else grid[0]
    estimator = _descend(features, truth, model, penalty, scale, pieces, rng)
    return _linear(estimator.coef_ * scale, estimator.intercept_, penalty, scores)


def _descend(features, truth, model, penalty, scale, pieces, rng) -> SGDClassifier:
    """Return an estimator after some passes over pieces of the features."""
    loss = 'log_loss' if model == 'logistic_regression' else 'squared_hinge'
    rows = sum(map(len, pieces))
    estimator = SGDClassifier(loss=loss, alpha=1 / (penalty * rows), average=True, random_state=0,
                              learning_rate='invscaling', eta0=1.0, power_t=0.5)
    classes = np.unique(truth)
    for _ in range(PASSES):
        for index in rng.permutation(len(pieces)):
            rows = features[pieces[index]] * scale  # read in the order of the file, then mixed
            mixed = rng.permutation(len(rows))
            estimator.partial_fit(rows[mixed], truth[pieces[index]][mixed], classes=classes)
    return estimator
