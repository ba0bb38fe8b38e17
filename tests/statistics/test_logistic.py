"""Logistic regression against its own optimality conditions, a known line, and scikit-learn."""

import numpy as np
import pytest

from gloss.statistics.logistic import fit_logistic, fit_validated


def drawn(rng: np.random.Generator, items: int = 400, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of different scales, and sides by a known plane with noise."""
    z = rng.normal(size=(items, d))
    positive = z @ np.array([2.0, -1.0, 0, 0, 0, 0.5])[:d] + rng.logistic(size=items) > 0.3
    return z * np.logspace(-2, 2, d) + 5, positive


def test_the_slope_is_zero_at_what_is_found(rng: np.random.Generator) -> None:
    x, positive = drawn(rng)
    probe, spread = fit_logistic(x, positive, penalty=3.0), x.std(0)
    y = np.where(positive, 1.0, -1.0)
    pull = -y / (1 + np.exp(y * probe.margins(x)))
    slope = pull @ ((x - x.mean(0)) / spread) + 3.0 * probe.weights * spread
    assert np.abs(slope).max() < 1e-3
    assert abs(pull.sum()) < 1e-3


def test_it_is_scikit_learns(rng: np.random.Generator) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, positive = drawn(rng)
    z = (x - x.mean(0)) / x.std(0)
    theirs = linear.LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(z, positive)
    ours = fit_logistic(x, positive, penalty=2.0)
    assert ours.margins(x) == pytest.approx(theirs.decision_function(z), abs=1e-4)


def test_a_known_plane_is_found_and_the_scale_of_numbers_does_not_matter(
    rng: np.random.Generator,
) -> None:
    x, positive = drawn(rng)
    probe, scaled = fit_logistic(x, positive), fit_logistic(x * 1000, positive)
    assert probe.correct(x, positive).mean() > 0.7
    assert scaled.margins(x * 1000) == pytest.approx(probe.margins(x), abs=1e-3)


def test_the_penalty_is_the_one_that_held_back_items_speak_for(rng: np.random.Generator) -> None:
    """300 numbers with 300 items to learn from: every number tells a little, or one tells all."""
    z = rng.normal(size=(300, 300))
    for truth, best in ((z.sum(1) / 300**0.5, 300.0), (10 * z[:, 0], 1e-3)):
        positive = truth + rng.logistic(size=300) * 0.3 > 0
        chosen = fit_validated(z, positive, (best, 1e9 if best < 1 else 1e-6))
        assert chosen.weights == pytest.approx(fit_logistic(z, positive, best).weights)


def test_noise_is_not_learned(rng: np.random.Generator) -> None:
    x, positive = rng.normal(size=(600, 5)), rng.integers(0, 2, 600) == 1
    probe = fit_logistic(x[:300], positive[:300])
    assert 0.4 < probe.correct(x[300:], positive[300:]).mean() < 0.6


def test_one_side_alone_is_no_regression() -> None:
    with pytest.raises(ValueError, match="both sides"):
        fit_logistic(np.zeros((3, 1)), np.array([True, True, True]))
