"""Experiment 13: labels of planted features, right and wrong in known ways. Are they sorted right?

Each feature gets a label of each kind in turn, among labels of other kinds of the others, from
which the controls are drawn as in a run.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.quality.rows import Row
from gloss.models.planted.plant import Planted, plant
from gloss.records import Contexts, Control, Examples, Explanation, Score
from gloss.rules import parse_rule
from gloss.score.execution import Execution
from gloss.score.label_audit import LabelAudit, Trust, audit_label
from gloss.statistics.intervals import wilson_interval
from gloss.store.evidence import Evidence

EXPERIMENT = "13 labels"
BROADER, MOST = 100, 0.5  # times as often as the feature fires, or half of all tokens
NARROW = 0.1  # of the tokens at which the feature fires
KINDS = {
    "right": Trust.BELIEVE,
    "100 times too broad": Trust.TOO_BROAD,
    "too narrow": Trust.TOO_NARROW,
    "another feature's": Trust.SOMETHING_ELSE,
    "invented": Trust.SOMETHING_ELSE,
}
Sorted = list[tuple[str, LabelAudit]]


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """The share of labels that get the verdict that they should, by kind and in all."""
    tokens, features = (400_000, 20) if small else (1_000_000, 200)
    found = sorted_labels(plant(rng, tokens, features), rng)
    rows = [
        kind_row(kind, [audit for name, audit in found if name == kind], wanted)
        for kind, wanted in KINDS.items()
    ]
    right = sum(audit.trust == KINDS[kind] for kind, audit in found)
    share = wilson_interval(right, len(found))
    known = f"95 % of {len(found)} labels are sorted right"
    return [*rows, Row.of(f"{EXPERIMENT}: all", known, share, share.value >= 0.95)]


def kind_row(kind: str, found: Sequence[LabelAudit], wanted: Trust) -> Row:
    share = wilson_interval(sum(audit.trust == wanted for audit in found), len(found))
    return Row.of(f"{EXPERIMENT}: {kind}", f"called “{wanted}”", share, share.high >= 0.95)


def sorted_labels(planted: Planted, rng: np.random.Generator) -> Sorted:
    """Every label with its kind and what the audit says of it."""
    found: Sorted = []
    names = list(KINDS)
    for turn in range(len(names)):
        kinds = [names[(turn + index) % len(names)] for index in range(len(planted.features))]
        labels = [planted_label(kind, index, planted, rng) for index, kind in enumerate(kinds)]
        for index, kind in enumerate(kinds):
            others = rng.choice(np.delete(np.arange(len(labels)), index), 2, replace=False)
            tried = {
                Control.NONE: labels[index],
                Control.RANDOM_EXPLANATION: labels[others[0]],
                Control.SHUFFLED_EXPLANATION: labels[others[1]],
            }
            found.append((kind, audited(index, tried, planted, rng)))
    return found


def audited(
    index: int, tried: dict[Control, str], planted: Planted, rng: np.random.Generator
) -> LabelAudit:
    """What the audit says of one label, executed as a run executes it, with two others in its
    place.
    """
    feature, activations = planted.features[index].feature, planted.activations[index]
    none = Contexts.empty(32)
    strongest = float(activations.values.max())
    share = planted.features[index].rate
    examples = Examples(feature, none, none, none, none, strongest, share, share)
    evidence = Evidence(examples, planted.corpus, activations)
    scores = [
        (control, executed(Explanation(feature, rule, "given", rule), evidence, rng))
        for control, rule in tried.items()
    ]
    own = Explanation(feature, tried[Control.NONE], "given", tried[Control.NONE])
    return audit_label(
        own,
        [("execution", with_control(score, control)) for control, score in scores if score],
        planted.corpus,
        activations,
    )


def executed(label: Explanation, evidence: Evidence, rng: np.random.Generator) -> Score | None:
    try:
        next(Execution(resamples=200).score(label, evidence, rng))
    except StopIteration as done:
        return done.value if isinstance(done.value, Score) else None
    raise AssertionError("execution asked somebody")


def with_control(score: Score, control: Control) -> Score:
    return replace(score, control=control)


def planted_label(kind: str, index: int, planted: Planted, rng: np.random.Generator) -> str:
    """A label of this kind for a feature, as a rule."""
    feature = planted.features[index]
    if kind == "right":
        return feature.rule
    if kind == "100 times too broad":
        return f"{feature.rule} or {common_tokens(planted, min(BROADER * feature.rate, MOST))}"
    if kind == "too narrow":
        return narrowed(feature.rule, index, planted)
    if kind == "another feature's":
        others = [one for one in planted.features if one.family != feature.family]
        return others[int(rng.integers(len(others)))].rule
    return f'token in {{" invented{index}"}}'


def common_tokens(planted: Planted, share: float) -> str:
    """A rule for so many of the commonest tokens that together they are this share of the text."""
    corpus = planted.corpus
    counts = np.bincount(corpus.tokens, minlength=len(corpus.vocabulary))
    order = np.argsort(-counts, kind="stable")
    number = int(np.searchsorted(np.cumsum(counts[order]), share * len(corpus))) + 1
    strings = [corpus.vocabulary.strings[token] for token in order[:number].tolist()]
    return f"token in {{{', '.join(json.dumps(each, ensure_ascii=False) for each in strings)}}}"


def narrowed(rule: str, index: int, planted: Planted) -> str:
    """The rule, early in each sequence alone, so that it finds about a tenth of its tokens."""
    corpus, fires = planted.corpus, planted.activations[index].positions
    places = fires - corpus.offsets[corpus.sequences_of(fires)]
    early = int(np.quantile(places, NARROW)) + 1
    alternatives = (
        " and ".join([*map(str, each.terms), f"position < {early}"])
        for each in parse_rule(rule).alternatives
    )
    return " or ".join(alternatives)
