"""A Gaussian process over masks: what a game is likely to be, from the masks that were valued
(Rasmussen & Williams, 2006, "Gaussian Processes for Machine Learning").

Values are alike where masks differ in few players, and in players that matter little. How far that
reaches, and how much small masks vary more than large ones, is what makes the values at hand
likeliest. Four such parts are added: nearly additive, interactions, and two that tilt towards small
and large masks, as a mean over words or a saturated model does. What no smooth part explains is
taken to be of each mask alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

PARTS = 4
MOST_LEARNT = 256  # masks by which the likelihood is judged
STEPS = 30  # of the ascent, at most, for each of the starts and then with a reach for each player
LEAST_OWN = 1e-7  # of the variance, of each mask alone: keeps the system solvable
# Ranges of the logarithms of reach, height and own variance, and of tilts.
REACH, HEIGHT, SCALE, OWN, TILT = (-8.0, 2.5), (-14.0, 8.0), (-7.0, 2.5), (-18.0, 2.0), (-3.0, 3.0)
# Where the ascent begins: heights, tilts and scales of the parts, reach, own variance.
STARTS = (
    ((0.0, -1.0, -2.0, -2.0), (0.0, 0.0, -1.0, 1.0), (-2.5, 0.0, 0.0, 0.0), -1.2, -7.0),
    ((2.0, -1.0, -1.0, -3.0), (-0.5, 0.0, -0.5, 0.5), (-4.0, -0.5, -2.5, -2.5), -1.6, -9.0),
)
USUAL_PLAYERS = 12  # by which sizes and reaches are measured, so that they mean the same for all n


@dataclass(frozen=True, slots=True)
class MaskProcess:
    """The covariance of two masks' values: a sum over parts of
    exp(height + tilt (u + u') / 2 - scale · sum of reach over the players in which they differ).

    u is the size less n / 2, in units of n / 12 players. Of each mask alone comes `own` variance.
    """

    reach: Float64[ndarray, " player"]
    height: Float64[ndarray, " part"]
    tilt: Float64[ndarray, " part"]
    scale: Float64[ndarray, " part"]
    own: float
    own_tilt: float

    @property
    def unit(self) -> float:
        """u of one player."""
        return USUAL_PLAYERS / len(self.reach)

    def sizes(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """u of each mask."""
        return (masks.sum(axis=1) - masks.shape[1] / 2) * self.unit

    def covariance(
        self, masks: Bool[ndarray, "mask player"], others: Bool[ndarray, "other player"]
    ) -> Float64[ndarray, "mask other"]:
        """Without what each mask has alone."""
        apart = distances(masks, others, self.reach)
        first, *more = self.parts(self.sizes(masks), self.sizes(others), apart)
        for part in more:
            first += part
        return first

    def parts(
        self,
        sizes: Float64[ndarray, " mask"],
        others: Float64[ndarray, " other"],
        apart: Float64[ndarray, "mask other"],
    ) -> Iterator[Float64[ndarray, "mask other"]]:
        """The covariance of each part by itself, of masks that differ so much."""
        for height, tilt, scale in zip(self.height, self.tilt, self.scale, strict=True):
            part = apart * -scale
            part += (height + tilt / 2 * sizes)[:, None]
            part += tilt / 2 * others
            yield np.exp(part, out=part)

    def own_variance(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """Of each mask alone."""
        return self.own * np.exp(self.own_tilt * self.sizes(masks)) + LEAST_OWN


def distances(
    masks: Bool[ndarray, "mask player"],
    others: Bool[ndarray, "other player"],
    reach: Float64[ndarray, " player"],
) -> Float64[ndarray, "mask other"]:
    """The sum of reach over the players in which two masks differ."""
    found = ((0.5 - masks) * reach) @ (2.0 * others - 1).T
    found += reach.sum() / 2
    return found


def fit_process(
    masks: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    rng: np.random.Generator,
) -> MaskProcess:
    """The process under which these values, of mean 0 and deviation 1, are likeliest: with one
    reach for all players from each start, then from the better one with a reach for each.
    """
    from scipy.optimize import minimize

    n = masks.shape[1]
    if len(masks) > MOST_LEARNT:
        some = np.sort(rng.permutation(len(masks))[:MOST_LEARNT])
        masks, values = masks[some], values[some]

    def ascend(start: Float64[ndarray, " setting"], reaches: int) -> tuple[float, ndarray]:
        likelihood = partial(negative_log_likelihood, masks=masks, values=values, reaches=reaches)
        found = minimize(
            likelihood,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[REACH] * reaches
            + [HEIGHT] * PARTS
            + [TILT] * PARTS
            + [SCALE] * PARTS
            + [OWN, TILT],
            options={"maxiter": STEPS},
        )
        return float(found.fun), np.asarray(found.x)

    per_player = np.log(USUAL_PLAYERS / n)
    starts = [
        np.array([reach + per_player, *height, *tilt, *scale, own, 0.0])
        for height, tilt, scale, reach, own in STARTS
    ]
    _, alike = min((ascend(start, 1) for start in starts), key=lambda each: each[0])
    _, found = ascend(np.concatenate([np.full(n, alike[0]), alike[1:]]), n)
    return process_of(found, n)


def process_of(settings: Float64[ndarray, " setting"], players: int) -> MaskProcess:
    """What the ascent moves, read as a process: one reach or one for each player, first."""
    reaches = len(settings) - 3 * PARTS - 2
    height, tilt, scale = settings[reaches:-2].reshape(3, PARTS)
    reach = np.broadcast_to(np.exp(settings[:reaches]), (players,))
    return MaskProcess(
        reach, height, tilt, np.exp(scale), float(np.exp(settings[-2])), float(settings[-1])
    )


def negative_log_likelihood(
    settings: Float64[ndarray, " setting"],
    masks: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    reaches: int,
) -> tuple[float, Float64[ndarray, " setting"]]:
    """And its slopes; tilts, and how far players' reaches lie apart, are held back by normal priors
    of deviation 1.
    """
    from scipy.linalg import cholesky

    process = process_of(settings, masks.shape[1])
    apart = distances(masks, masks, process.reach)
    sizes = process.sizes(masks)
    parts = list(process.parts(sizes, sizes, apart))
    own = process.own_variance(masks)
    covariance = np.diag(own)
    for part in parts:
        covariance += part
    try:
        factor = cholesky(covariance, lower=False, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(settings)
    inverse = inverse_of_factor(factor)
    weights = inverse @ values
    value = float(values @ weights) / 2 + float(np.log(np.diag(factor)).sum())
    inverse -= np.outer(weights, weights)
    bend = np.multiply(inverse, 0.5, out=inverse)  # the slope in each covariance
    slopes = np.zeros_like(settings)
    by_part = slopes[reaches:-2].reshape(3, PARTS)
    reached = np.zeros_like(bend)
    for number, part in enumerate(parts):
        bent = np.multiply(part, bend, out=part)
        by_mask, scale = bent.sum(axis=0), process.scale[number]  # bent is symmetric
        by_part[:, number] = by_mask.sum(), by_mask @ sizes, -scale * np.vdot(bent, apart)
        bent *= scale
        reached += bent
    signs = 2.0 * masks - 1
    by_player = (np.einsum("mi,mi->i", signs, reached @ signs) - reached.sum()) / 2 * process.reach
    slopes[:reaches] = by_player if reaches > 1 else by_player.sum()
    own_bend = np.diag(bend) * (own - LEAST_OWN)
    slopes[-2:] = own_bend.sum(), (own_bend * sizes).sum()
    apart_in_reach = settings[:reaches] - settings[:reaches].mean()
    tilts = settings[reaches + PARTS : reaches + 2 * PARTS]
    value += float((apart_in_reach**2).sum() + (tilts**2).sum() + settings[-1] ** 2) / 2
    slopes[:reaches] += apart_in_reach
    slopes[reaches + PARTS : reaches + 2 * PARTS] += tilts
    slopes[-1] += settings[-1]
    return value, slopes


def inverse_of_factor(factor: Float64[ndarray, "mask mask"]) -> Float64[ndarray, "mask mask"]:
    """The inverse of the matrix whose upper Cholesky factor this is."""
    from scipy.linalg import get_lapack_funcs

    (invert,) = get_lapack_funcs(("potri",), (factor,))
    upper, _ = invert(factor)  # half of it, beside zeros
    inverse = np.add(upper, upper.T, order="C")
    inverse[np.diag_indices(len(factor))] /= 2
    return inverse
