"""How close explanations come to the rules that were planted: held-out F1 of every family, with
both controls.

    python benchmarks/quality/planted.py [--tokens 1000000] [--features 200] [--seed 0] [--true]
    [--at-random 20]

With `--true` the planted rule itself is scored, which shows what the ceiling is. Features that fire
at random have no rule to find: every rule that is given for one of them is a mistake.
"""

import argparse
import time
from collections import defaultdict

import numpy as np

from gloss.explain.rule_search.search import RuleSearch
from gloss.models.planted import Planted, plant
from gloss.records import Estimate, Examples, Explanation, FeatureActivations, FeatureId
from gloss.rules import Passage, execute, parse_rule
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.statistics.intervals import bootstrap, wilson_interval

FOUND = 0.95  # held-out F1 from which on a rule counts as found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--true", action="store_true")
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--inactive", type=int, default=2000)
    parser.add_argument("--at-random", type=int, default=20, help="features that fire at random")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    planted = plant(rng, asked.tokens, asked.features)
    sampling = SamplingSettings(train=asked.train, inactive_train=asked.inactive)
    started = time.process_time()
    rules = (
        [feature.rule for feature in planted.features]
        if asked.true
        else found_rules(planted, sampling, rng)
    )
    seconds = time.process_time() - started
    own = held_out_f1(planted, rules)
    shuffled = held_out_f1(planted, shifted(rules, int(rng.integers(1, len(rules)))))
    others = held_out_f1(planted, [rules[int(i)] for i in rng.integers(0, len(rules), len(rules))])
    report(planted, rules, own, shuffled)
    print(
        f"held-out F1 >= {FOUND}:"
        f" {told(wilson_interval(int(np.count_nonzero(own >= FOUND)), len(own)))} of {len(own)}"
        " features"
    )
    for name, scores in (
        ("F1", own),
        ("F1, rules shuffled", shuffled),
        ("F1, rules drawn at random", others),
    ):
        print(
            f"{name}: median {told(bootstrap(median, scores, rng=rng))}, mean"
            f" {told(bootstrap(mean, scores, rng=rng))}"
        )
    print(f"{seconds / len(rules) * 1000:.0f} ms of processor time a feature")
    given = sum(rule is not None for rule in at_random(planted, sampling, asked.at_random, rng))
    print(f"rules given for {asked.at_random} features that fire at random: {given}")


def median(scores: np.ndarray) -> np.ndarray:
    return np.median(scores, axis=-1)


def mean(scores: np.ndarray) -> np.ndarray:
    return scores.mean(axis=-1)


def told(estimate: Estimate) -> str:
    """The value with its 95 % interval."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def shifted(rules: list[str | None], by: int) -> list[str | None]:
    """Every rule serves exactly one other feature."""
    return rules[by:] + rules[:by]


def at_random(
    planted: Planted, sampling: SamplingSettings, features: int, rng: np.random.Generator
) -> list[str | None]:
    """The rules that are given for features that fire at two tokens of a thousand, whichever these
    are.
    """
    rules: list[str | None] = []
    for index in range(features):
        positions = np.flatnonzero(rng.random(len(planted.corpus)) < 0.002)
        activations = FeatureActivations(
            positions, rng.uniform(0.5, 2.0, len(positions)).astype(np.float32)
        )
        examples = gather_examples(
            FeatureId("random", index), activations, planted.corpus, Quantiles(), sampling, rng
        )
        rules.append(explained(examples, planted, rng) if isinstance(examples, Examples) else None)
    return rules


def found_rules(
    planted: Planted, sampling: SamplingSettings, rng: np.random.Generator
) -> list[str | None]:
    """The rule that is found for each feature from its train contexts; None where there is none."""
    rules: list[str | None] = []
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature, activations, planted.corpus, Quantiles(), sampling, rng
        )
        rules.append(explained(examples, planted, rng) if isinstance(examples, Examples) else None)
    return rules


def explained(examples: Examples, planted: Planted, rng: np.random.Generator) -> str | None:
    """The source of the rule that the search finds; it asks nobody anything."""
    conversation = RuleSearch().explain(examples.for_explainer(), planted.corpus.vocabulary, rng)
    try:
        while True:
            conversation.send(None)
    except StopIteration as done:
        return done.value.rule if isinstance(done.value, Explanation) else None


def held_out_f1(planted: Planted, rules: list[str | None]) -> np.ndarray:
    """F1 of each rule over every held-out token, against the activations of the feature in its
    place.
    """
    corpus = planted.corpus
    passage, held_out = (
        Passage(corpus.tokens, corpus.offsets, corpus.vocabulary.strings),
        ~corpus.in_train,
    )
    scores = np.zeros(len(rules))
    for i, (rule, activations) in enumerate(zip(rules, planted.activations, strict=True)):
        truth = np.zeros(len(corpus), bool)
        truth[activations.positions] = True
        predicted = execute(parse_rule(rule), passage) > 0 if rule else np.zeros(len(corpus), bool)
        hits = np.count_nonzero(truth & predicted & held_out)
        scores[i] = (
            2
            * hits
            / max(np.count_nonzero(truth & held_out) + np.count_nonzero(predicted & held_out), 1)
        )
    return scores


def report(
    planted: Planted, rules: list[str | None], own: np.ndarray, shuffled: np.ndarray
) -> None:
    """Print each kind's share of rules that were found, and every rule that was not."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, feature in enumerate(planted.features):
        kinds[feature.kind].append(i)
    print(f"{'kind':20} {'features':>8} {'found':>6} {'F1':>6} {'shuffled':>8}")
    for kind, rows in kinds.items():
        print(
            f"{kind:20} {len(rows):8} {np.mean(own[rows] >= FOUND):6.0%} {own[rows].mean():6.3f}"
            f" {shuffled[rows].mean():8.3f}"
        )
    for i in np.flatnonzero(own < FOUND):
        print(
            f"  {planted.features[i].family}, rate {planted.features[i].rate:.1e}, F1 {own[i]:.2f}"
        )
        print(f"    planted  {planted.features[i].rule}\n    found    {rules[i]}")


if __name__ == "__main__":
    main()
