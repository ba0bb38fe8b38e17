"""A subject whose features are known: generated text, and hundreds of features that follow rules we
wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from gloss.models.planted.conditions import PlantedText, RuleCase, source_of_cases
from gloss.models.planted.families import PlantedFamily, WordSupply, family_kinds, positional_family
from gloss.models.planted.text import write_planted_text
from gloss.models.planted.words import fresh_words
from gloss.records import FeatureActivations, FeatureId
from gloss.store.corpus import Corpus

DICTIONARY = "planted"
JITTER = 0.2  # an activation lies this share around the strength of its rule


@dataclass(frozen=True, slots=True)
class PlantedFeature:
    """A feature and the rule that it follows exactly."""

    feature: FeatureId
    rule: str  # source text in the rule language
    kind: str  # of its family: token_set, preceded, unless, ...
    family: str  # which it shares with its siblings alone
    rate: float  # of firings for each token


@dataclass(frozen=True, eq=False)
class Planted:
    """The text, the features by index, and where each fires."""

    corpus: Corpus
    features: tuple[PlantedFeature, ...]
    activations: tuple[FeatureActivations, ...]


def plant(rng: np.random.Generator, tokens: int = 1_000_000, features: int = 200) -> Planted:
    """Write a text and the activations of so many features over it, at rates from about 1e-4 to
    1e-2.

    An activation is the strength that the rule predicts, up to 20 % more or less.
    Raises ValueError where the features leave no room for other text.
    """
    families = dict(make_families(features, rng))
    phrases = [phrase for _, family in families.values() for phrase in family.phrases]
    text = PlantedText(write_planted_text(phrases, tokens, rng))
    siblings = [
        (name, kind, cases)
        for name, (kind, family) in families.items()
        for cases in family.siblings
    ]
    return describe_siblings(text, siblings[:features], rng)


def describe_siblings(
    text: PlantedText,
    siblings: Sequence[tuple[str, str, tuple[RuleCase, ...]]],
    rng: np.random.Generator,
) -> Planted:
    """The features with these families, kinds and cases, and where each fires in the text."""
    described: list[PlantedFeature] = []
    activations: list[FeatureActivations] = []
    for index, (name, kind, cases) in enumerate(siblings):
        fired = planted_activations(text, cases, rng)
        rate = len(fired) / len(text.corpus)
        described.append(
            PlantedFeature(FeatureId(DICTIONARY, index), source_of_cases(cases), kind, name, rate)
        )
        activations.append(fired)
    return Planted(text.corpus, tuple(described), tuple(activations))


def planted_activations(
    text: PlantedText, cases: tuple[RuleCase, ...], rng: np.random.Generator
) -> FeatureActivations:
    """Where a feature with these cases fires, and how strongly."""
    positions, strengths = text.strengths(cases)
    jitter = rng.uniform(1 - JITTER, 1 + JITTER, len(positions))
    return FeatureActivations(positions, (strengths * jitter).astype(np.float32))


def make_families(
    features: int, rng: np.random.Generator
) -> Sequence[tuple[str, tuple[str, PlantedFamily]]]:
    """Families by name, with their kind, until they have so many members: every kind in turn, at
    rates spread on a log scale.
    """
    words, known = WordSupply(fresh_words()), family_kinds()
    found = [("positional 0", ("positional", positional_family()))]
    members = len(found[0][1][1].siblings)
    rounds = max(1, -(-(features - members) // SIBLINGS_A_ROUND))
    rates = {
        name: rng.permutation(log_spaced_rates(kind.rarest, kind.commonest, rounds))
        for name, kind in known.items()
    }
    for turn in range(rounds):
        for name, kind in known.items():
            if members < features:
                family = kind.make(words, float(rates[name][turn]))
                found.append((f"{name} {turn}", (name, family)))
                members += len(family.siblings)
    return found


SIBLINGS_A_ROUND = sum(
    len(kind.make(WordSupply(fresh_words()), kind.rarest).siblings)
    for kind in family_kinds().values()
)


def log_spaced_rates(rarest: float, commonest: float, number: int) -> ndarray:
    """Rates at equal ratios; their geometric mean where there is one only."""
    return (
        np.geomspace(rarest, commonest, number)
        if number > 1
        else np.array([np.sqrt(rarest * commonest)])
    )
