"""Processor time of searching one feature's rule, by the size of the vocabulary and the length of
the corpus: of planted features, or of a run's.

    python -m benchmarks.speed.rule_search [--run runs/demo] [--features 30] [--repeat 1 10]
        [--vocabulary 0 50000] [--json FILE]

A larger vocabulary has more strings that never occur, among the others by lot. A longer corpus is
the same text again, cut elsewhere. The first feature pays for what is worked out once a vocabulary;
sampling and scoring are no part of the time. F1 is on held-out text, at the true base rate; a
feature without a rule counts as 0.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.speed.rows import Row, add_json, report
from gloss.explain.rule_search.search import RuleSearch
from gloss.models.planted import plant
from gloss.records import Examples, Explanation, FeatureActivations, FeatureId, Score
from gloss.run.planning import read_run
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.execution import Execution
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

SAMPLING = SamplingSettings(train=200, inactive_train=2000)  # as in the demo
SHIFT = 11  # tokens by which each copy of a text is moved, so that its windows are others


@dataclass(frozen=True)
class Subject:
    """A corpus, and where features fire in it."""

    corpus: Corpus
    fires: dict[FeatureId, FeatureActivations]


def main() -> None:
    """Measure every vocabulary and corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a run that has collected; or planted")
    parser.add_argument("--tokens", type=int, default=400_000, help="of the planted text")
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument(
        "--vocabulary", type=int, nargs="+", default=[0, 50_000], help="0: as it is"
    )
    parser.add_argument("--repeat", type=int, nargs="+", default=[1, 10])
    add_json(parser)
    asked = parser.parse_args()
    whole = (
        of_run(asked.run, asked.features) if asked.run else planted(asked.tokens, asked.features)
    )
    rows: list[Row] = []
    for times in asked.repeat:
        for size in asked.vocabulary:
            found = measured(with_vocabulary(repeated(whole, times), size))
            text = f"rule search, {found['tokens']:,} tokens, {found['vocabulary']:,} strings"
            unit = f"CPU ms a feature (mean {found['mean_ms']}, first {found['first_ms']})"
            of = rows[0].name if rows else ""
            ratio = found["median_ms"] / rows[0].value if rows else None
            rows.append(Row(text, found["median_ms"], unit, ratio, of, n=1))
            print(f"{found['rules']} rules of {found['n']} features, mean F1 {found['f1']}")
    report(rows, asked.json)


def planted(tokens: int, number: int) -> Subject:
    """Features that follow a rule each."""
    made = plant(np.random.default_rng(0), tokens, max(number, 40))
    fires = zip((each.feature for each in made.features), made.activations, strict=True)
    return Subject(made.corpus, dict(list(fires)[:number]))


def of_run(folder: Path, number: int) -> Subject:
    """Features that a run treats, evenly spaced."""
    run = read_run(folder)
    step = max(1, len(run.features) // number)
    chosen = run.features[::step][:number]
    return Subject(run.corpus, {each: run.activations.feature(each.index) for each in chosen})


def repeated(subject: Subject, times: int) -> Subject:
    """The same text so many times, each time as other documents and moved by some tokens."""
    if times == 1:
        return subject
    corpus, size = subject.corpus, len(subject.corpus)
    copies = np.arange(times)[:, None]
    moved = copies * SHIFT
    documents, names = len(corpus.hashes), corpus.names * times
    longer = Corpus(
        np.concatenate([np.roll(corpus.tokens, copy * SHIFT) for copy in range(times)]),
        np.append((corpus.offsets[:-1] + copies * size).ravel(), times * size),
        (corpus.documents + copies * documents).ravel(),
        np.tile(corpus.hashes, times),
        names,
        corpus.vocabulary,
        ((corpus.left_out + moved) % size + copies * size).ravel(),
        (corpus.groups + copies * documents).ravel(),
    )
    fires = {}
    for feature, activations in subject.fires.items():
        positions = ((activations.positions + moved) % size + copies * size).ravel()
        order = np.argsort(positions)
        values = np.tile(activations.values, times)
        fires[feature] = FeatureActivations(positions[order], values[order])
    return Subject(longer, fires)


def with_vocabulary(subject: Subject, size: int) -> Subject:
    """The same text in tokens of a vocabulary of at least so many strings."""
    known, rng = subject.corpus.vocabulary, np.random.default_rng(0)
    others: dict[bytes, None] = {}
    pieces = set(known.pieces)
    while len(known) + len(others) < size:
        front, *behind = rng.integers(0, len(known), 4).tolist()
        piece = known.pieces[front] + b"".join(known.pieces[i].strip() for i in behind)
        if piece not in pieces:
            others[piece] = None
    every = np.array([*known.pieces, *others], object)
    ids = rng.permutation(len(every)) if len(others) else np.arange(len(every))
    order = np.argsort(ids)
    alike = known.alike
    if alike is not None:
        wider = np.full((len(every), alike.shape[1]), -1, np.int32)
        wider[: len(alike)] = np.where(alike >= 0, ids[alike], -1)
        alike = wider[order]
    vocabulary = Vocabulary(tuple(every[order]), alike)
    tokens = ids[subject.corpus.tokens].astype(np.int32)
    corpus = replace(subject.corpus, tokens=tokens, vocabulary=vocabulary)
    return Subject(corpus, subject.fires)


def measured(subject: Subject) -> dict[str, float]:
    """One line of the table."""
    corpus, milliseconds, scores = subject.corpus, [], []
    for examples, activations in sampled(subject):
        given = examples.for_explainer()
        begun = time.process_time()
        found = outcome(RuleSearch().explain(given, corpus.vocabulary, np.random.default_rng(0)))
        milliseconds.append(1000 * (time.process_time() - begun))
        if isinstance(found, Explanation):
            evidence = Evidence(examples, corpus, activations)
            score = outcome(
                Execution(resamples=10).score(found, evidence, np.random.default_rng(0))
            )
            scores.append(score.estimates["f1"].value if isinstance(score, Score) else 0.0)
    first, *others = milliseconds
    return {
        "tokens": len(corpus),
        "vocabulary": len(corpus.vocabulary),
        "n": len(milliseconds),
        "rules": len(scores),
        "f1": round(sum(scores) / len(milliseconds), 3),
        "first_ms": round(first, 1),
        "median_ms": round(statistics.median(others), 1),
        "mean_ms": round(statistics.mean(others), 1),
        "max_ms": round(max(others), 1),
    }


def sampled(subject: Subject) -> Iterator[tuple[Examples, FeatureActivations]]:
    """The examples of every feature that fires often enough."""
    for feature, activations in subject.fires.items():
        rng = np.random.default_rng(1)
        found = gather_examples(feature, activations, subject.corpus, Quantiles(), SAMPLING, rng)
        if isinstance(found, Examples):
            yield found, activations


def outcome(conversation: Iterator[Sequence[object]]) -> object:
    """What a conversation that asks nothing returns."""
    try:
        next(conversation)
    except StopIteration as over:
        return over.value
    raise AssertionError("a rule search asks nobody")


if __name__ == "__main__":
    main()
