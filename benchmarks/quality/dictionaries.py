"""Experiment 5: planted features in superposition, dictionaries trained on them, and what scores
and comparisons say of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy import ndarray

from benchmarks.quality.reader import Reader
from benchmarks.quality.rows import Row
from gloss.decompose.feature_matching import FeaturePartners, UnitDirections, match_features
from gloss.decompose.topk import TopK
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.planted import Planted, plant
from gloss.models.sites import Site
from gloss.records import Estimate, Examples, Explanation, FeatureActivations, FeatureId
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.detection import Detection
from gloss.score.held_out_text import held_out_tokens
from gloss.statistics.intervals import bootstrap, wilson_interval
from gloss.store.evidence import Evidence

EXPERIMENT = "5 dictionaries"
SITE = Site("resid_post", 0)
K = 4  # active features a token
AT_RANDOM = 2  # of them, those that have no rule
CORRELATED = 0.8


@dataclass(frozen=True)
class Toy:
    """A text whose tokens are sums of their features' directions, and of some that have no rule.

    Without these nearly every token would have one direction alone, and random dictionaries would
    name tokens too.
    """

    planted: Planted
    vectors: torch.Tensor  # one row a token
    directions: ndarray  # of the planted features, and then of those without a rule

    @staticmethod
    def of(
        rng: np.random.Generator, tokens: int, features: int, without_rule: int, d: int
    ) -> "Toy":
        planted = plant(rng, tokens, features)
        directions = rng.standard_normal((features + without_rule, d)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        vectors = np.zeros((len(planted.corpus), d), np.float32)
        for _ in range(AT_RANDOM):
            strengths = rng.uniform(0.5, 1.5, (len(vectors), 1)).astype(np.float32)
            vectors += (
                strengths * directions[features + rng.integers(0, without_rule, len(vectors))]
            )
        for direction, fires in zip(directions[:features], planted.activations, strict=True):
            vectors[fires.positions] += fires.values[:, None] * direction
        return Toy(planted, torch.from_numpy(vectors), directions)


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Scores against true F1, controls, and shared features over seeds and widths."""
    toy = Toy.of(rng, 60_000 if small else 240_000, 40 if small else 120, 24 if small else 72, 64)
    coder = trained(toy, 64 if small else 192, 100 if small else 25, rng)
    return [
        *scored(toy, coder, rng, 25 if small else 80),
        *shared(UnitDirections.of(coder), rng),
        *over_widths(rng, small),
    ]


def trained(toy: Toy, width: int, epochs: int, rng: np.random.Generator) -> SparseCoder:
    """A dictionary of the tokens at which some feature fires; the others hold none."""
    firing = np.unique(np.concatenate([fires.positions for fires in toy.planted.activations]))
    rows = toy.vectors[torch.from_numpy(firing)]
    batch = 512
    method = TopK(
        width,
        K,
        len(rows) * epochs // batch * batch,
        batch,
        auxiliary_k=32,
        dead_after_tokens=20_000,
    )
    orders = (rows[torch.from_numpy(rng.permutation(len(rows)))] for _ in range(epochs + 2))
    return method.fit(orders, SITE, rng)


def scored(toy: Toy, coder: SparseCoder, rng: np.random.Generator, most: int) -> Iterator[Row]:
    """What detection says of each latent with the rule of the planted feature that fires most like
    it, beside the truth.

    The label is chosen on the train split; the true F1 is the label's over all held-out tokens.
    Latents whose decoder direction lies nearest to a feature without a rule have no true label,
    and are left out; a random dictionary's are not.
    """
    random = replace(coder, weights=random_weights(coder.weights, rng))
    latents = np.flatnonzero(
        (UnitDirections.of(coder).writes @ toy.directions.T).argmax(axis=1)
        < len(toy.planted.features)
    )
    headline, truth, shuffled = np.array(list(judged(toy, coder, latents, rng, most))).T
    of_random = np.array(list(judged(toy, random, np.arange(coder.width), rng, most)))[:, 0]
    rank = spearman(headline, truth)
    draws = rng.integers(0, len(truth), (1000, len(truth)))
    low, high = np.quantile(
        [spearman(headline[rows], truth[rows]) for rows in draws], (0.025, 0.975)
    )
    estimate = Estimate(rank, float(low), float(high))
    told = (
        f"Spearman ≥ .8 of detection's headline with true F1, {len(truth)} latents of features with"
        " a rule"
    )
    yield Row.of(f"{EXPERIMENT}: score", told, estimate, rank >= CORRELATED)
    own = mean(headline, rng)
    for name, values in (("shuffled explanations", shuffled), ("random dictionary", of_random)):
        control = mean(values, rng)
        told = f"low: the interval ends below .25, and below that of its own ({own.value:.3f})"
        yield Row.of(f"{EXPERIMENT}: {name}", told, control, control.high < min(own.low, 0.25))


def judged(
    toy: Toy, coder: SparseCoder, latents: ndarray, rng: np.random.Generator, most: int
) -> Iterator[tuple[float, float, float]]:
    """Of these latents, where they fire often: the headline with the label, the label's true F1,
    the headline with another's.
    """
    planted, corpus = toy.planted, toy.planted.corpus
    codes = coder.encode(toy.vectors)
    held_out = held_out_tokens(corpus)
    truths = np.stack([held_out.dense(fires) > 0 for fires in planted.activations])
    reader = Reader({piece: number for number, piece in enumerate(corpus.vocabulary.strings)}, rng)
    labelled = [
        index for index, feature in enumerate(planted.features) if feature.kind != "positional"
    ]
    shown = np.zeros((len(labelled), len(corpus)), bool)
    for row, index in enumerate(labelled):
        shown[row, planted.activations[index].positions] = True
    shown &= corpus.in_train
    done = 0
    for latent in rng.permutation(latents).tolist():
        fires = fires_of(codes, latent)
        sampling = SamplingSettings(held_out=50, inactive_held_out=100, inactive_train=0, train=1)
        examples = gather_examples(
            FeatureId("toy", latent), fires, corpus, Quantiles(), sampling, rng
        )
        if isinstance(examples, Examples):
            done += 1
            label = labelled[
                int(np.argmax(overlaps(fires.positions[corpus.in_train[fires.positions]], shown)))
            ]
            other = labelled[int(rng.integers(len(labelled)))]
            evidence = Evidence(examples, corpus, fires)
            said = (
                Explanation(examples.feature, planted.features[index].rule, "toy")
                for index in (label, other)
            )
            own, another = (
                reader.finish(Detection().score(words, evidence, rng)) for words in said
            )
            mine = held_out.dense(fires) > 0
            f1 = (
                2
                * float((mine & truths[label]).sum())
                / max(1.0, float(mine.sum() + truths[label].sum()))
            )
            yield own.estimates[own.headline].value, f1, another.estimates[another.headline].value
        if done == most:
            return


def fires_of(codes, latent: int) -> FeatureActivations:
    """Where a latent is active."""
    where = ((codes.indices == latent) & (codes.values > 0.1)).nonzero()
    return FeatureActivations(where[:, 0].numpy(), codes.values[where[:, 0], where[:, 1]].numpy())


def overlaps(positions: ndarray, others: ndarray) -> ndarray:
    """F1 of where a feature fires with where each of the others does."""
    return 2 * others[:, positions].sum(axis=1) / np.maximum(1, len(positions) + others.sum(axis=1))


def random_weights(weights: Weights, rng: np.random.Generator) -> Weights:
    """Random directions of the same length, that read where they write."""
    decoder_directions = torch.from_numpy(
        rng.standard_normal(tuple(weights.decoder_directions.shape), dtype=np.float32)
    )
    decoder_directions /= decoder_directions.norm(dim=1, keepdim=True)
    return replace(
        weights, encoder=decoder_directions.clone(), decoder_directions=decoder_directions
    )


def spearman(left: ndarray, right: ndarray) -> float:
    """Correlation of ranks, ties in the middle."""
    ranks = [
        np.searchsorted(np.sort(side), side) + np.searchsorted(np.sort(side), side, side="right")
        for side in (left, right)
    ]
    return float(np.corrcoef(*ranks)[0, 1])


def mean(values: ndarray, rng: np.random.Generator) -> Estimate:
    return bootstrap(lambda x: x.mean(axis=-1), values, rng=rng)


def share(found: FeaturePartners) -> Estimate:
    """The share of features that are in both, at the cosine of the paper."""
    return wilson_interval(int(found.shared().sum()), int((found.by_writing >= 0).sum()))


def shared(own: UnitDirections, rng: np.random.Generator) -> Iterator[Row]:
    """A permuted copy shares everything, a random dictionary nothing."""
    order = rng.permutation(len(own))
    copy = share(match_features(own, UnitDirections(own.reads[order], own.writes[order])))
    yield Row.of(f"{EXPERIMENT}: shared with a permuted copy", "1", copy, copy.value == 1)
    chance = share(match_features(own, own.random_twin(rng)))
    yield Row.of(f"{EXPERIMENT}: shared with a random dictionary", "0", chance, chance.value == 0)


def over_widths(rng: np.random.Generator, small: bool) -> Iterator[Row]:
    """Two seeds share less when they are wider than there are features to find."""
    features, d = (48, 24) if small else (96, 32)
    directions = torch.from_numpy(rng.standard_normal((features, d)).astype(np.float32))
    directions /= directions.norm(dim=1, keepdim=True)

    def batches(tokens: int) -> Iterator[torch.Tensor]:
        for _ in range(-(-tokens // 2048)):
            places = torch.from_numpy(rng.integers(0, features, (2048, K)))
            values = torch.from_numpy(rng.uniform(0.5, 1.5, (2048, K)).astype(np.float32))
            yield (values[..., None] * directions[places]).sum(1)

    tokens = 300_000 if small else 600_000
    found: list[Estimate] = []
    for width in (features, 2 * features):
        method = TopK(width, K, tokens, 1024, auxiliary_k=32, dead_after_tokens=20_000)
        pair = [
            UnitDirections.of(method.fit(batches(tokens + 20_000), SITE, rng)) for _ in range(2)
        ]
        found.append(share(match_features(*pair)))
    narrow, wide = found
    told = f"less than the {narrow.value:.3f} of {features} latents"
    yield Row.of(
        f"{EXPERIMENT}: two seeds share, {2 * features} latents",
        told,
        wide,
        wide.high < narrow.value,
    )
