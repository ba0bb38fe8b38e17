"""Experiment 12: features of which it is known who explains them.

A rule does for planted rules, output tokens for what only writes, a language model that knows a
class of words for what fires on it, and nobody for what fires at random.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.quality.active import finished
from benchmarks.quality.input_output import treated
from benchmarks.quality.reader import Reader
from benchmarks.quality.rows import Row
from gloss.explain.output_tokens import VocabularyProjection
from gloss.explain.route import Route
from gloss.explain.rule_search.search import RuleSearch
from gloss.intervene.settings import InterventionSettings
from gloss.models.compiled_subject import CompiledSide, compile_subject
from gloss.models.planted import Planted, plant
from gloss.models.planted.conditions import Among, PlantedText, RuleCase
from gloss.models.planted.families import PlantedPhrase, WordSupply
from gloss.models.planted.plant import describe_siblings
from gloss.models.planted.text import cut_into_corpus, write_planted_text
from gloss.models.planted.words import fresh_words
from gloss.records import Explanation, Failure, FeatureActivations, FeatureId
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.detection import Detection
from gloss.score.execution import Execution
from gloss.score.intervention_tokens import InterventionTokens
from gloss.score.next_token import NextToken
from gloss.statistics.intervals import wilson_interval
from gloss.store.evidence import Evidence, train_evidence

EXPERIMENT = "12 routes"
RIGHT = 0.95
NOBODY = "nobody"
WRONG = 'token in {" the"}'  # what a language model says that knows no better


@dataclass(frozen=True)
class Told:
    """An explainer that says what it was told."""

    text: str

    def explain(self, examples, vocabulary, rng):
        """As a language model would; yields no prompts."""
        yield from ()
        return Explanation(examples.feature, self.text, "told")


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """The share of features whose route is the right one, in all and of each kind."""
    taken = [
        *planted_routes(rng, small),
        *class_routes(rng, small),
        *compiled_routes(rng, small),
    ]
    counts, right = (
        Counter(kind for kind, _, _ in taken),
        Counter(kind for kind, wanted, got in taken if wanted == got),
    )
    rows = [
        Row.of(
            EXPERIMENT,
            f"{kind}: the route is right (n = {number})",
            share := wilson_interval(right[kind], number),
            share.value >= RIGHT or right[kind] >= number - 1,
        )
        for kind, number in counts.items()
    ]
    share = wilson_interval(right.total(), counts.total())
    known = f"all: the route is right for {RIGHT:.0%} at least (n = {counts.total()})"
    return [*rows, Row.of(EXPERIMENT, known, share, share.value >= RIGHT)]


Taken = tuple[str, str, str]  # the kind of a feature, its route, and the one that was taken


def planted_routes(rng: np.random.Generator, small: bool) -> Iterator[Taken]:
    """Planted rules, and features that fire at two tokens of a thousand, whichever these are."""
    planted = plant(rng, 80_000 if small else 1_000_000, 12 if small else 200)
    for feature, fires in zip(planted.features, planted.activations, strict=True):
        yield from routed("planted rule", "rule", planted, feature.feature, fires, rng)
    for index in range(5 if small else 60):
        positions = np.flatnonzero(rng.random(len(planted.corpus)) < 0.002)
        strengths = rng.uniform(0.5, 2.0, len(positions)).astype(np.float32)
        fires = FeatureActivations(positions, strengths)
        yield from routed("random", NOBODY, planted, FeatureId("random", index), fires, rng)


def class_routes(rng: np.random.Generator, small: bool) -> Iterator[Taken]:
    """Classes of words that each stand there once, among seven times as many that are like them."""
    number, tokens = (2, 60_000) if small else (20, 200_000)
    for _ in range(number):
        words = list(WordSupply(fresh_words()).take(6000))[400:]
        rng.shuffle(words)
        own, others = tuple(words[:700]), tuple(words[700:])
        phrases = [PlantedPhrase((slot,), len(slot) / tokens) for slot in (own, others)]
        text = PlantedText(write_planted_text(phrases, tokens, rng))
        planted = describe_siblings(text, [("class", "class", (RuleCase(Among(own)),))], rng)
        yield from routed(
            "class of words",
            "words",
            planted,
            planted.features[0].feature,
            planted.activations[0],
            rng,
            planted.features[0].rule,
        )


def routed(
    kind: str,
    wanted: str,
    planted: Planted,
    feature: FeatureId,
    fires: FeatureActivations,
    rng: np.random.Generator,
    told: str = WRONG,
) -> Iterator[Taken]:
    """The route of a feature of a planted text; nothing where it fires too seldom."""
    examples = gather_examples(feature, fires, planted.corpus, Quantiles(), SamplingSettings(), rng)
    if isinstance(examples, Failure):
        return
    # of its direction it is known that it writes nothing that follows
    drawn = tuple(rng.choice(planted.corpus.vocabulary.strings, 5).tolist())
    evidence = Evidence(replace(examples, output_tokens=drawn), planted.corpus, fires)
    route = Route(
        RuleSearch(),
        Execution(resamples=100),
        VocabularyProjection(),
        NextToken(resamples=100),
        Told(told),
        Detection(contexts_per_question=5),
    )
    ids = {string: number for number, string in enumerate(planted.corpus.vocabulary.strings)}
    yield kind, wanted, route_taken(route, evidence, Reader(ids, rng), rng)


def compiled_routes(rng: np.random.Generator, small: bool) -> Iterator[Taken]:
    """Features of a transformer written by hand, which read, write, or do both."""
    subject = compile_subject(rng, each=2 if small else 8)
    corpus = cut_into_corpus(
        subject.random_text(25_000 if small else 50_000, rng).astype(np.int32),
        subject.subject.vocabulary(),
        rng,
    )
    asked = InterventionSettings(kl=(1.0,), completions=1, new_tokens=4)
    route = Route(
        RuleSearch(),
        Execution(resamples=100),
        VocabularyProjection(),
        InterventionTokens(),
    )
    fires = subject.activations(corpus)
    for one, activations in zip(treated(subject, corpus, asked, rng), fires, strict=True):
        evidence = Evidence(one.seen, corpus, activations)
        wanted = "output" if one.side is CompiledSide.OUTPUT else "rule"
        got = route_taken(route, evidence, None, rng)
        yield f"compiled, {one.side.name.lower()}", wanted, got


def route_taken(
    route: Route, evidence: Evidence, reader: Reader | None, rng: np.random.Generator
) -> str:
    """The part of the route that made the explanation."""
    conversation = route.investigate(train_evidence(evidence), rng)
    choice = reader.hold(conversation) if reader else finished(conversation)
    if isinstance(choice.explanation, Failure):
        return NOBODY
    makers = {"rule": "rule", "vocabulary_projection": "output", "told": "words"}
    return makers[choice.explanation.method]
