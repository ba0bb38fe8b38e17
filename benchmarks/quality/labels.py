"""Experiment 13: labels of planted features, right and wrong in known ways. Are they sorted right?

Each feature gets a label of each kind in turn, among labels of other kinds of the others, from
which the controls are drawn as in a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.quality.judged_labels import judged_rows
from benchmarks.quality.planted_labels import KINDS, planted_label, words_of_label
from benchmarks.quality.rows import Row
from gloss.models.planted.plant import Planted, plant
from gloss.records import Contexts, Control, Examples, Explanation, Score
from gloss.score.execution import Execution
from gloss.score.label_audit import LabelAudit, Trust, audit_label
from gloss.statistics.intervals import wilson_interval
from gloss.store.evidence import Evidence
from gloss.store.labels.label_rows import rule_source

EXPERIMENT = "13 labels"
Sorted = list[tuple[str, LabelAudit]]
MakeLabel = Callable[[str, int, Planted, np.random.Generator], str]


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """The share of labels that get the verdict that they should, by kind and in all."""
    tokens, features = (400_000, 20) if small else (1_000_000, 200)
    planted = plant(rng, tokens, features)
    found = sorted_labels(planted, rng)
    rows = [
        kind_row(kind, [audit for name, audit in found if name == kind], wanted)
        for kind, wanted in KINDS.items()
    ]
    in_words = sorted_labels(plant(rng, tokens, 60), rng, words_of_label)
    return [
        *rows,
        all_row("all", found),
        all_row("in words that are read", in_words),
        *judged_rows(rng, small),
    ]


def all_row(name: str, found: Sorted) -> Row:
    share = wilson_interval(sum(audit.trust == KINDS[kind] for kind, audit in found), len(found))
    known = f"95 % of {len(found)} labels are sorted right"
    return Row.of(f"{EXPERIMENT}: {name}", known, share, share.high >= 0.95)


def kind_row(kind: str, found: Sequence[LabelAudit], wanted: Trust) -> Row:
    share = wilson_interval(sum(audit.trust == wanted for audit in found), len(found))
    return Row.of(f"{EXPERIMENT}: {kind}", f"called “{wanted}”", share, share.high >= 0.95)


def sorted_labels(
    planted: Planted, rng: np.random.Generator, make: MakeLabel = planted_label
) -> Sorted:
    """Every label that can be made with its kind and what the audit says of it."""
    found: Sorted = []
    names = list(KINDS)
    for turn in range(len(names)):
        kinds = [names[(turn + index) % len(names)] for index in range(len(planted.features))]
        made = [make(kind, index, planted, rng) for index, kind in enumerate(kinds)]
        labels = {index: text for index, text in enumerate(made) if text}
        for index, text in labels.items():
            others = rng.choice([each for each in labels if each != index], 2, replace=False)
            tried = {
                Control.NONE: text,
                Control.RANDOM_EXPLANATION: labels[others[0]],
                Control.SHUFFLED_EXPLANATION: labels[others[1]],
            }
            found.append((kinds[index], audited(index, tried, planted, rng)))
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
        (control, executed(Explanation(feature, text, "given", rule_source(text)), evidence, rng))
        for control, text in tried.items()
    ]
    text = tried[Control.NONE]
    own = Explanation(feature, text, "given", rule_source(text))
    return audit_label(
        own,
        [("execution", with_control(score, control)) for control, score in scores if score],
        planted.corpus,
        activations,
    )


def executed(label: Explanation, evidence: Evidence, rng: np.random.Generator) -> Score | None:
    try:
        next(Execution(resamples=200, read_text=True).score(label, evidence, rng))
    except StopIteration as done:
        return done.value if isinstance(done.value, Score) else None
    raise AssertionError("execution asked somebody")


def with_control(score: Score, control: Control) -> Score:
    return replace(score, control=control)
