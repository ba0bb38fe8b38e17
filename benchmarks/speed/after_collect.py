"""Processor time of a feature after `collect`, on a text and on one that is many times as long, at
the same firings.

    python -m benchmarks.speed.after_collect [--tokens 400000] [--times 25] [--features 32]
        [--rounds 3] [--json FILE]

The text is planted, its features and their rules with it. The longer one goes on with copies of it
in other tokens, which no rule names, in other documents; so whatever a feature costs more there, it
costs for text that has nothing to do with it. Both texts are measured in one process, by turns.
What is worked out once for all features is told by itself.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.rows import Row, add_json, report
from gloss.models.planted import Planted, plant
from gloss.records import Examples, Explanation, Failure, FeatureActivations, FeatureId, Split
from gloss.rules import parse_rule
from gloss.sample.examples import Draws, FeatureWindows, SamplingSettings
from gloss.sample.samplers import Quantiles
from gloss.score.execution import Execution, find_rule_mistakes
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.feature_facts import FeatureFacts, feature_facts
from gloss.store.record_rows import feature_columns
from gloss.store.results import Part
from gloss.store.stored_examples import (
    READ,
    ContextReferences,
    reference_table,
    references_by_feature,
    restore_examples,
)
from gloss.store.vocabulary import Vocabulary

SAMPLING, SAMPLER, WRONG = SamplingSettings(), Quantiles(), 8
UNIT = "CPU ms a feature"
STEPS = ("sample", "restore", "execution", "mistakes")


class Text:
    """A corpus, the features that are measured on it, and the milliseconds that each step took."""

    def __init__(self, corpus: Corpus, planted: Planted, most: int) -> None:
        self.corpus = corpus
        self.features: dict[FeatureId, tuple[str, FeatureActivations]] = {
            feature.feature: (feature.rule, activations)
            for feature, activations in zip(planted.features, planted.activations, strict=True)
            if feature.kind != "positional"
            and isinstance(self.windows(activations), FeatureWindows)
        }
        self.features = dict(list(self.features.items())[:most])
        self.taken: dict[str, list[float]] = {step: [] for step in STEPS}

    def windows(self, activations: FeatureActivations) -> FeatureWindows | Failure:
        return FeatureWindows.of(FeatureId("planted", 0), activations, self.corpus, SAMPLING)

    def round(self) -> None:
        """Do what a run does with a shard of these features, which is written once."""
        with tempfile.TemporaryDirectory() as folder:
            common, shown = Part(Path(folder) / "common", 0), Part(Path(folder) / "shown", 0)
            self.time("sample", lambda: self.sample(common, shown))
            examples = self.time("restore", lambda: self.restore(common, shown))
        self.time("execution", lambda: [self.score(each) for each in examples])
        self.time("mistakes", lambda: [self.mistakes(each.feature) for each in examples])

    def time(self, step: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        found = work()
        spent = 1000 * (time.process_time() - begun)
        self.taken[step].append(spent / len(self.features))
        return found

    def sample(self, common: Part, shown: Part) -> None:
        """Both steps of `sample`: draw, and write what was drawn."""
        held: dict[FeatureId, ContextReferences] = {}
        train: dict[FeatureId, ContextReferences] = {}
        facts = []
        for feature, (_, activations) in self.features.items():
            found = self.windows(activations)
            assert isinstance(found, FeatureWindows)
            chosen = found.common(SAMPLING, SAMPLER, draws(feature))._asdict()
            held[feature] = references(chosen)
            known = feature_facts(self.corpus, activations, SAMPLING.context_length)
            facts.append(feature_columns(feature) | known._asdict())
        for feature, (_, activations) in self.features.items():
            found = self.windows(activations)
            assert isinstance(found, FeatureWindows)
            rng = draws(feature).stream("train")
            own = found.chosen(Split.TRAIN, SAMPLER, SAMPLING.train, rng)
            train[feature] = references({"train": own})
        common.write({"examples": reference_table(held), "feature_facts": facts})
        shown.write({"examples": reference_table(train, "quantiles")})

    def restore(self, common: Part, shown: Part) -> list[Examples]:
        """Read them again."""
        held, train = (
            references_by_feature(each.read("examples", READ)) for each in (common, shown)
        )
        facts = [FeatureFacts.of_row(row) for row in common.rows("feature_facts")]
        return [
            restore_examples(
                feature,
                ContextReferences.joined([train[feature], held[feature]]),
                self.corpus,
                activations,
                facts=known,
            )
            for (feature, (_, activations)), known in zip(self.features.items(), facts, strict=True)
        ]

    def score(self, examples: Examples) -> float:
        """The F1 of the feature's own rule."""
        rule, activations = self.features[examples.feature]
        said = Explanation(examples.feature, rule, "planted", rule)
        evidence = Evidence(examples, self.corpus, activations)
        try:
            next(Execution().score(said, evidence, np.random.default_rng(0)))
        except StopIteration as ended:
            return ended.value.estimates["f1"].value
        raise AssertionError("execution asks nobody")

    def mistakes(self, feature: FeatureId) -> int:
        rule, activations = self.features[feature]
        found = find_rule_mistakes(parse_rule(rule), self.corpus, activations, WRONG)
        return found.all_false_positives


def draws(feature: FeatureId) -> Draws:
    return Draws(str(feature).encode())


def references(windows: dict[str, Any]) -> ContextReferences:
    chosen = {role: (found.starts, found.quantiles) for role, found in windows.items()}
    return ContextReferences.of(chosen, SAMPLING.context_length)


def longer(corpus: Corpus, times: int, rng: np.random.Generator) -> Corpus:
    """The corpus and copies of it whose tokens are signs that no rule knows."""
    size, tokens, documents = len(corpus.vocabulary), len(corpus), len(corpus.hashes)
    signs = [f"\u00a4{n}.{i}".encode() for n in range(1, times) for i in range(size)]
    drawn = rng.integers(2**64, size=documents * (times - 1), dtype=np.uint64)

    def copied(values: np.ndarray, step: int) -> np.ndarray:
        return np.concatenate([values + number * step for number in range(times)])

    return Corpus(
        tokens=copied(corpus.tokens, size).astype(np.int32),
        offsets=np.append(copied(corpus.offsets[:-1], tokens), times * tokens),
        documents=copied(corpus.documents, documents),
        hashes=np.concatenate([corpus.hashes, drawn]),
        names=tuple(map(str, range(times * documents))),
        vocabulary=Vocabulary((*corpus.vocabulary.pieces, *signs)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    add_json(parser)
    asked = parser.parse_args()
    planted = plant(np.random.default_rng(0), asked.tokens, 2 * asked.features)
    more = longer(planted.corpus, asked.times, np.random.default_rng(1))
    texts = [Text(each, planted, asked.features) for each in (planted.corpus, more)]
    once: list[float] = []
    for text in texts:
        begun = time.process_time()
        text.round()
        once.append(time.process_time() - begun)
        text.taken = {step: [] for step in STEPS}
    for _ in range(asked.rounds):
        for text in texts:
            text.round()
    number = len(texts[0].features)
    firings = np.median([len(fires) for _, fires in texts[0].features.values()])
    print(f"{number} features that fire {firings:.0f} times (median)")
    rows: list[Row] = []
    for step in STEPS:
        short, long = (statistics.median(text.taken[step]) for text in texts)
        name = f"{step}, {len(texts[0].corpus):,} tokens"
        rows.append(Row(name, short, UNIT, n=asked.rounds))
        ratio = long / short
        rows.append(Row(f"{step}, {len(more):,} tokens", long, UNIT, ratio, name))
    for text, seconds in zip(texts, once, strict=True):
        rows.append(Row(f"first round, {len(text.corpus):,} tokens", seconds, "CPU s"))
    report(rows, asked.json)


if __name__ == "__main__":
    main()
