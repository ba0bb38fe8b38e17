"""Experiment 7: families of features that share a parent's label.

What sees that the label is not the feature's own?
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from benchmarks.quality.reader import Reader
from benchmarks.quality.rows import Row
from gloss.decompose.direction_description import describe_directions
from gloss.models.planted import Planted, plant
from gloss.records import Examples, Explanation, FeatureId, Negative, Neighbour, Split
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.negatives import NegativeSources, NeighbourNegatives, SearchContext
from gloss.sample.samplers import Quantiles
from gloss.sample.windows import Aligned
from gloss.score.collisions import RuleClaims, compare_by_rule, group_collisions
from gloss.score.detection import Detection
from gloss.score.discrimination import Discrimination
from gloss.statistics.intervals import bootstrap, wilson_interval
from gloss.store.contexts import cut_contexts
from gloss.store.evidence import Evidence

EXPERIMENT = "7 siblings"
# firings of a family's phrases for each token; of commoner ones, windows drawn at random hold a
# sibling by chance
RARE = 2e-3
WIDTH = 32
Family = Sequence[int]
WHAT = {
    "random": "detection, random negatives",
    "neighbours": "detection, negatives in which a sibling fires",
    "discrimination": "discrimination, above 1/k",
}


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """What detection and discrimination say of parents' labels, what the miner finds, what the
    collision report lists.
    """
    planted = plant(rng, tokens=200_000 if small else 1_000_000, features=92 if small else 200)
    near = nearest(planted, rng)
    families: dict[str, list[int]] = {}
    for index, feature in enumerate(planted.features):
        families.setdefault(feature.family, []).append(index)
    rare = [
        f
        for name, f in families.items()
        if name.startswith("token_set") and max(planted.features[i].rate for i in f) < RARE
    ]
    return [
        *judged(planted, rare, near, rng),
        mined(planted, families, near, rng),
        *collided(planted, families, rng),
    ]


def nearest(planted: Planted, rng: np.random.Generator) -> list[tuple[Neighbour, ...]]:
    """Each feature's neighbours, by a dictionary whose siblings share half of their direction."""
    shared = {
        name: rng.normal(size=64)
        for name in sorted({feature.family for feature in planted.features})
    }
    decoder_directions = np.stack(
        [shared[feature.family] + rng.normal(size=64) for feature in planted.features]
    )
    return [
        tuple(
            Neighbour(FeatureId("planted", i), cosine, planted.activations[i])
            for i, cosine in found.neighbours
        )
        for found in describe_directions(
            torch.tensor(decoder_directions, dtype=torch.float32), None
        )
    ]


def parent(planted: Planted, family: Family) -> str:
    """The label that fits every sibling: any of their rules."""
    return " or ".join(planted.features[index].rule for index in family)


def judged(
    planted: Planted,
    families: Sequence[Family],
    near: Sequence[tuple[Neighbour, ...]],
    rng: np.random.Generator,
) -> Iterator[Row]:
    """Detection against both kinds of negatives, and discrimination, by a reader who executes the
    label.
    """
    values: dict[tuple[str, str], list[float]] = {}
    reader = Reader({string: i for i, string in enumerate(planted.corpus.vocabulary.strings)}, rng)
    for family in families:
        for index in family:
            feature, fires = planted.features[index].feature, planted.activations[index]
            siblings = tuple(each for each in near[index] if each.feature.index in family)
            for label, rule in (
                ("parent", parent(planted, family)),
                ("true", planted.features[index].rule),
            ):
                said = Explanation(feature, rule, label, rule)
                for negatives in (
                    "random",
                    "neighbours",
                ):  # a set of tokens is never inactive at its own, so `siblings` finds none
                    sampling = SamplingSettings(negatives=negatives)
                    found = gather_examples(
                        feature,
                        fires,
                        planted.corpus,
                        Quantiles(),
                        sampling,
                        rng,
                        NegativeSources(siblings),
                    )
                    if not isinstance(found, Examples) or not len(found.inactive_held_out):
                        continue
                    evidence = Evidence(found, planted.corpus, fires, siblings)
                    score = reader.finish(Detection().score(said, evidence, rng))
                    values.setdefault((label, negatives), []).append(
                        score.estimates["balanced_accuracy"].value
                    )
                if isinstance(found, Examples):
                    evidence = Evidence(found, planted.corpus, fires, siblings)
                    if len(Discrimination().pools(evidence)) < 2:
                        continue
                    told = reader.finish(Discrimination(trials=40).score(said, evidence, rng))
                    values.setdefault((label, "discrimination"), []).append(
                        told.estimates["accuracy_above_chance"].value
                    )
    yield from answers(values, rng)


def answers(
    values: Mapping[tuple[str, str], list[float]], rng: np.random.Generator
) -> Iterator[Row]:
    """What each label must get, and the mean of what it got over features."""
    for label, kind, known, within in (
        ("parent", "random", 1.0, 0.03),
        ("parent", "neighbours", 0.5, 0.01),
        ("parent", "discrimination", 0.0, 0.1),
        ("true", "random", 1.0, 0.001),
        ("true", "neighbours", 1.0, 0.001),
        ("true", "discrimination", 1.0, 0.001),
    ):
        mean = bootstrap(
            lambda x: x.mean(axis=-1), np.array(values.get((label, kind), [np.nan])), rng=rng
        )
        what = WHAT[kind]
        name = f"{what}, {label} label, {len(values.get((label, kind), []))} features"
        yield Row.of(EXPERIMENT, f"{name}: {known:g}", mean, abs(mean.value - known) <= within)


def mined(
    planted: Planted,
    families: Mapping[str, Family],
    near: Sequence[tuple[Neighbour, ...]],
    rng: np.random.Generator,
) -> Row:
    """Of all siblings that ever fire in held-out windows where a feature is inactive, the share
    that its hard negatives hold.
    """
    wanted = met = 0
    for index, feature in enumerate(planted.features):
        search = SearchContext(
            planted.corpus,
            planted.activations[index],
            Aligned(),
            WIDTH,
            NegativeSources(near[index]),
        )
        starts = NeighbourNegatives().choose(search, Split.HELD_OUT, 100, rng).starts
        assert search.is_inactive(starts).all()
        for other in families[feature.family]:
            windows = search.windows.starts[search.windows.firing(planted.activations[other])]
            if (
                other == index
                or not (search.is_inactive(windows) & ~planted.corpus.in_train[windows]).any()
            ):
                continue
            wanted += 1
            labels = np.full(len(starts), int(Negative.NEIGHBOURS))
            met += bool(
                (
                    cut_contexts(
                        planted.corpus, planted.activations[other], starts, WIDTH, labels
                    ).maxima
                    > 0
                ).any()
            )
    recall = wilson_interval(met, wanted)
    return Row.of(
        EXPERIMENT,
        f"miner finds planted siblings: >= .95 of {wanted}",
        recall,
        recall.value >= 0.95,
    )


def collided(
    planted: Planted, families: Mapping[str, Family], rng: np.random.Generator
) -> Iterator[Row]:
    """Two families bear their parent's label, all others their own: exactly these two are to be
    listed.
    """
    chosen = [name for name in families if name.startswith(("token_set 0", "preceded 0"))]
    labels = [feature.rule for feature in planted.features]
    for name in chosen:
        labels = [
            parent(planted, families[name]) if i in families[name] else label
            for i, label in enumerate(labels)
        ]
    claims = [
        RuleClaims.of(Explanation(feature.feature, label, "test", label), planted.corpus, fires)
        for feature, label, fires in zip(planted.features, labels, planted.activations, strict=True)
    ]
    pairs = [
        compare_by_rule(claims[one], claims[other], planted.corpus, rng)
        for family in families.values()
        for place, one in enumerate(family)
        for other in family[place + 1 :]
    ]
    wanted = {tuple(planted.features[i].feature for i in families[name]) for name in chosen}
    listed = set(group_collisions(pairs))
    missing, extra = len(wanted - listed), len(listed - wanted)
    yield Row.exact(
        EXPERIMENT,
        f"groups of the {len(wanted)} planted that the collision report lacks: 0",
        missing,
        missing == 0,
    )
    yield Row.exact(EXPERIMENT, "groups that it lists and nobody planted: 0", extra, extra == 0)
