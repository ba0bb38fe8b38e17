"""A cheap proxy proposes, the game that is asked about disposes.

The proxy plays the same game with many masks. What it says is a column, and the sets that matter to
it are the ones that count for most, in decoders that stand beside those of `auto`: all are fitted
to values of the game itself, and how far each counts is decided by masks that it was not fitted to
(stacking). So a proxy that is a stranger to the game gets no share. Both accounts, with and without
it, are judged on the same values (cf. AttriBoT: Liu et al., 2024, which ranks by a proxy alone).
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.methods.auto import Auto, finish
from gloss.attribute.result.faithfulness import FEWEST_VALUES
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.proxy_screen import ProxyScreen
from gloss.attribute.solve.cross_fit import DECODERS, Decoder, Sample
from gloss.attribute.solve.sparse_regression import Fit, parity_products
from gloss.errors import BadInput, BadSettings
from gloss.records import Estimate

MOST_SETS = 500  # of the proxy, the strongest
LARGEST_ALONE = 3  # sets from this size on share a column
PENALTIES = np.logspace(-4, 4, 17)  # of a ridge, in units of the kernel's mean diagonal
# of what is left unexplained without the proxy, the share that it must take away to be used: less
# is what chance gives to a choice among more decoders
LEAST_GAIN = 0.15
# decoders that are also fitted to what the proxy leaves over
BESIDE = ("conjunctions", "lasso")


@dataclass(frozen=True)
class SpectrumFit:
    """A function that is known by its Fourier coefficients."""

    coefficients: Mapping[PlayerSet, float]

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        return evaluate_coefficients(dict(self.coefficients), Basis.FOURIER, masks)

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function."""
        return {one: share * value for one, value in self.coefficients.items()}


@dataclass(frozen=True)
class ProxyAccount:
    """The strongest sets of a proxy, with their Fourier coefficients there."""

    series: Mapping[PlayerSet, float]

    @staticmethod
    def of(found: Interactions) -> "ProxyAccount":
        """Of what was found of the proxy."""
        strongest = found.into(Basis.FOURIER).strongest(MOST_SETS)
        return ProxyAccount({one: value for one, value in strongest if value})

    def scaled(self, sample: Sample) -> SpectrumFit:
        """What the proxy says, its sets of each size multiplied by what suits the values best: by
        little more than nothing where they say nothing.
        """
        sizes = sorted({min(len(one), LARGEST_ALONE) for one in self.series})
        parts = [
            {one: v for one, v in self.series.items() if min(len(one), LARGEST_ALONE) == size}
            for size in sizes
        ]
        masks, scale = sample.masks, np.sqrt(sample.weights)
        columns = [np.ones(len(masks.values))]
        columns += [evaluate_coefficients(each, Basis.FOURIER, masks.masks) for each in parts]
        rows = np.stack(columns, axis=1) * scale[:, None]
        found = np.linalg.lstsq(rows, masks.values * scale, rcond=1e-9)[0].tolist()
        series: dict[PlayerSet, float] = {(): found[0]}
        for times, part in zip(found[1:], parts, strict=True):
            series |= {one: times * value for one, value in part.items()}
        return SpectrumFit(series)

    def refitted(self, sample: Sample) -> list[Fit]:
        """The proxy's sets with weights of their own, those that matter most to it shrunk least:
        ridge regression, its penalty that which leaves least of each value unpredicted by the
        others.
        """
        begun = self.scaled(sample)
        masks, scale = sample.masks, np.sqrt(sample.weights)
        sets = list(self.series)
        sizes = np.abs(np.array([self.series[one] for one in sets]))
        columns = parity_products(sets, masks.masks) * sizes * scale[:, None]
        left = (masks.values - begun.predict(masks.masks)) * scale
        values, vectors = np.linalg.eigh(columns @ columns.T)
        rotated, mean = vectors.T @ left, float(np.abs(values).mean()) or 1.0

        def missed(penalty: float) -> float:
            shrunk = penalty * mean / (np.maximum(values, 0) + penalty * mean)
            kept = np.square(vectors) @ shrunk  # 1 less each mask's leverage
            return float(np.square((vectors @ (shrunk * rotated)) / np.maximum(kept, 1e-9)).sum())

        best = min(PENALTIES.tolist(), key=missed) * mean
        weights = columns.T @ (vectors @ (rotated / (np.maximum(values, 0) + best))) * sizes
        return [begun, SpectrumFit(dict(zip(sets, weights.tolist(), strict=True)))]

    def decoders(self) -> dict[str, Decoder]:
        """What stands beside the decoders that know nothing of the proxy."""
        if not self.series:
            return {}

        def scaled(
            sample: Sample, order: int, operations: float, rng: np.random.Generator
        ) -> list[Fit]:
            return [self.scaled(sample)]

        def refitted(
            sample: Sample, order: int, operations: float, rng: np.random.Generator
        ) -> list[Fit]:
            return self.refitted(sample)

        found: dict[str, Decoder] = {"proxy": scaled, "proxy's sets": refitted}
        return found | {f"{name} beside the proxy": self.beside(name) for name in BESIDE}

    def beside(self, name: str) -> Decoder:
        """A decoder of what the proxy leaves over."""

        def decode(
            sample: Sample, order: int, operations: float, rng: np.random.Generator
        ) -> list[Fit]:
            begun = self.refitted(sample)
            said = sum(each.predict(sample.masks.masks) for each in begun)
            rest = ValuedMasks(sample.masks.masks, sample.masks.values - said)
            return [*begun, *DECODERS[name](Sample(rest, sample.kinds), order, operations, rng)]

        return decode


@dataclass(frozen=True)
class Proxied:
    """`auto` on a game with few masks, beside a proxy of the same players with many."""

    proxy: Game
    auto: Auto = field(default_factory=Auto)
    proxy_budget: int = 2048  # values of the proxy
    name: str = "proxy"

    def __post_init__(self) -> None:
        if self.proxy_budget < FEWEST_VALUES:
            raise BadSettings(
                f"the proxy's budget is {self.proxy_budget}; give {FEWEST_VALUES} values or more"
            )

    @property
    def budget(self) -> int:
        """Values of the game that is asked about, at most."""
        return self.auto.budget

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients, judged by values of the game itself alone.

        Raises BadInput for too few values, or a proxy of other players.
        """
        known, proxy = as_evaluations(game), as_evaluations(self.proxy)
        if proxy.players != known.players:
            raise BadInput(
                f"the proxy has {len(proxy.players)} players and the game {len(known.players)}, or"
                " they have other names; give a proxy that plays the same game"
            )
        explored = self.auto.explore(known, rng)
        begun = deepcopy(rng)
        without = self.auto.cross(explored, rng)
        if explored.split is None:
            return finish(without, explored.masks)
        own = replace(self.auto, budget=self.proxy_budget).attribute(
            proxy, np.random.default_rng(0)
        )
        decoders = ProxyAccount.of(own).decoders()
        beside = self.auto.cross(explored, begun, decoders)
        used = unexplained(beside) <= (1 - LEAST_GAIN) * unexplained(without)
        screen = ProxyScreen(
            self.name,
            proxy.used().numbers,
            own.faithfulness.r2.value,
            correlation(explored.masks.uniform, proxy),
            correlation(explored.masks.near, proxy),
            r2s(beside),
            r2s(without),
            used,
        )
        return replace(
            finish(beside if used else without, explored.masks), proxy=screen
        )  # fmt: skip


def r2s(found: Interactions) -> tuple[Estimate, Estimate]:
    """Half kept and near the whole."""
    return found.faithfulness.r2, found.faithfulness.near


def unexplained(found: Interactions) -> float:
    """What R2 lacks, of both kinds of masks, as far as there are numbers."""
    return sum(1 - each.value for each in r2s(found) if each.value == each.value)


def correlation(asked: ValuedMasks, proxy: Evaluations) -> float:
    """Pearson's, of the values of masks with those of the proxy; not a number where one of them
    does not vary.
    """
    if len(asked.values) < 2:
        return float("nan")
    values = proxy.values(asked.masks)
    had = np.isfinite(values)
    one, other = asked.values[had], values[had]
    if had.sum() < 2 or not min(float(one.std()), float(other.std())) > 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
