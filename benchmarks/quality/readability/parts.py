"""What each part of the search for rules does: the features of a run explained anew without it.

    python benchmarks/quality/readability/parts.py RUN [--features 60]

RUN is the folder of a run that has drawn contexts. Prints, for `rule` as it is and without word
fields, alike tokens or a reader's price: F1 on held-out text over all features that can be
explained (0 without a rule), paired with `rule` as it is; how many strings, alternatives and
exceptions a rule has; and how many explanations count strings that they do not list.
"""

import argparse
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

import gloss
from gloss.explain.rule_search import conditions, simplify
from gloss.explain.rule_search.search import RuleSearch
from gloss.records import Examples, Explanation, FeatureActivations
from gloss.rules import Rule, parse_rule
from gloss.rules.lexical_classes import SPELLINGS
from gloss.rules.string_naming import group_variants
from gloss.score.execution import held_out_tokens
from gloss.statistics.intervals import bootstrap
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

PRICES = ("ALTERNATIVE", "TERM", "EXCEPTION", "STRING", "UNSEEN", "FIELD")
WITHOUT = ("", "word fields", "alike tokens", "price", "all three")
COUNTED = re.compile(r"and \d+ more|one of \d+")


@dataclass(frozen=True)
class Found:
    """What was found of one feature."""

    f1: float  # on held-out text; 0 without a rule
    text: str = ""
    rule: Rule | None = None

    @property
    def strings(self) -> int:
        """Of all its sets, each once whatever its blanks and capitals."""
        terms = [term for each in self.rule.alternatives for term in each.terms]
        sets = [simplify.condition_strings(term.condition) for term in terms]
        return sum(len(group_variants(each)) for each in sets)

    @property
    def exceptions(self) -> int:
        return sum(term.negated for each in self.rule.alternatives for term in each.terms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", type=int, default=0, help="the first so many; 0 for all")
    asked = parser.parse_args()
    run = gloss.open(asked.run)
    drawn = {row["feature"] for row in run.table("examples").to_pylist()}
    evidence = [run[index].evidence for index in sorted(drawn)[: asked.features or None]]
    found = {
        name: [
            explained(name, each.examples.for_explainer(), each.activations, each.corpus)
            for each in evidence
        ]
        for name in WITHOUT
    }
    print(
        "| without | a rule | F1 median | F1 mean | less than `rule` | strings | alternatives"
        " | exceptions | counts strings |\n" + "|---" * 9 + "|"
    )
    for name, each in found.items():
        print(row(name, each, found[""]))


def explained(
    without: str, examples: Examples, activations: FeatureActivations, corpus: Corpus
) -> Found:
    """The rule that is found without this part, run over all held-out tokens."""
    with parts_left_out(without, corpus.vocabulary) as vocabulary:
        search = RuleSearch().explain(examples, vocabulary, np.random.default_rng(0))
        try:
            next(search)
        except StopIteration as end:
            said = end.value
    if not isinstance(said, Explanation):
        return Found(0.0)
    rule, held_out = parse_rule(said.rule), held_out_tokens(corpus)
    truth, holds = held_out.fires(activations).positions, held_out.predicted(rule).positions
    f1 = 2 * len(np.intersect1d(truth, holds)) / (len(truth) + len(holds))
    return Found(f1, said.text, rule)


@contextmanager
def parts_left_out(without: str, vocabulary: Vocabulary) -> Iterator[Vocabulary]:
    """The search without a part; the vocabulary as the search then knows it."""
    every, left_out = without == "all three", ExitStack()
    if every or without == "alike tokens":
        vocabulary = replace(vocabulary, alike=None)
    if every or without == "word fields":
        for module in (conditions, simplify):
            left_out.enter_context(patch.object(module, "CLASSES", SPELLINGS))
        simplify.classes_of_most.cache_clear()
        left_out.callback(simplify.classes_of_most.cache_clear)
    if every or without == "price":
        left_out.enter_context(patch.multiple(simplify, **dict.fromkeys(PRICES, 0.0)))
    with left_out:
        yield vocabulary


def row(name: str, found: list[Found], whole: list[Found]) -> str:
    """A line of the table."""
    rng, ruled = np.random.default_rng(0), [each for each in found if each.rule is not None]
    f1 = np.array([each.f1 for each in found])
    change = bootstrap(lambda drawn: drawn.mean(axis=-1), f1 - [each.f1 for each in whole], rng=rng)
    strings = [each.strings for each in ruled]
    return " | ".join(
        [
            f"| {name or 'nothing: `rule`'}",
            f"{len(ruled)} of {len(found)}",
            f"{np.median(f1):.3f}",
            f"{f1.mean():.3f}",
            f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})",
            f"{np.median(strings):.0f} ({np.mean(strings):.1f})",
            f"{np.mean([len(each.rule.alternatives) for each in ruled]):.2f}",
            f"{np.mean([each.exceptions for each in ruled]):.2f}",
            f"{np.mean([bool(COUNTED.search(each.text)) for each in ruled]):.2f} |",
        ]
    )


if __name__ == "__main__":
    main()
