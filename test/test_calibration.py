"""Reliability, calibration error and the logistic fit."""
from acme_tracking.metrics import calibration
import numpy as np
import pytest


def test_reliability_by_hand():
    promised, kept, counts = calibration.reliability(
        [0.0, 0.05, 0.55, 0.95, 1.0], [False, True, True, True, False])
    assert counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    np.testing.assert_allclose(promised[[0, 5, 9]], [0.025, 0.55, 0.975])
    np.testing.assert_allclose(kept[[0, 5, 9]], [0.5, 1, 0.5])
    assert np.isnan(promised[1]) and np.isnan(kept[1])


def test_the_error_by_hand():
    # the bins above are off by 0.475, 0.45 and 0.475, of 2, 1 and 2 boxes
    error = calibration.expected_calibration_error(
        [0.0, 0.05, 0.55, 0.95, 1.0], [False, True, True, True, False])
    assert error == pytest.approx((2 * 0.475 + 0.45 + 2 * 0.475) / 5)


def test_kept_promises_have_no_error_and_broken_ones_all():
    assert calibration.expected_calibration_error([1, 1, 0], [True, True, False]) == 0
    assert calibration.expected_calibration_error([1, 0], [False, True]) == 1


def test_the_fit_finds_the_curve_that_made_the_data():
    rng = np.random.default_rng(0)
    quality = rng.uniform(0, 20, 200_000)
    correct = rng.random(200_000) < 1 / (1 + np.exp((8 - quality) / 1.2))
    center, scale = calibration.fit_logistic(quality, correct)
    assert center == pytest.approx(8, abs=0.05) and scale == pytest.approx(1.2, abs=0.03)


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(0)
    quality, correct = rng.normal(0, 1, 200), rng.random(200) < 0.5
    weights = rng.integers(1, 4, 200)
    np.testing.assert_allclose(
        calibration.fit_logistic(quality, correct, weights),
        calibration.fit_logistic(quality.repeat(weights), correct.repeat(weights)), rtol=1e-3)


def test_logit_undoes_the_logistic_and_stays_finite():
    assert calibration.logit(1 / (1 + np.exp(-3.0))) == pytest.approx(3)
    assert np.isfinite(calibration.logit([0, 1])).all()


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ValueError, match='only one kind'):
        calibration.fit_logistic([1, 2], [True, True])
    with pytest.raises(ValueError, match=r'in \[0, 1\]'):
        calibration.reliability([1.1], [True])
    with pytest.raises(ValueError, match='as many confidences as answers'):
        calibration.expected_calibration_error([], [])
