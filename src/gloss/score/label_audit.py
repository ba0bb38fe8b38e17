"""Is a label to be believed? What its scores say of it, held against bounds and against controls.

A label is precise where the feature fires where the label holds, and complete where the label holds
where the feature fires. Which of the two it is follows from the bounds of 95 % intervals, at the
true base rate; what they leave open cannot be told.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np

from gloss.errors import BadInput
from gloss.records import Control, Estimate, Explanation, FeatureActivations, Score
from gloss.rules import Rule, parse_rule
from gloss.rules.language import PredicateUnit
from gloss.score.execution import held_out_tokens
from gloss.statistics.intervals import wilson_interval
from gloss.store.corpus import Corpus

LINE = 0.5  # of precision and of recall: more than half
LEAST_SHARE = 0.1  # of precision or recall, below which a label is not about the feature in part
LEAST_LIFT = 2.0  # times the base rate, the same
EXACT = "execution"  # it sees every token, where others see a sample of contexts
ORDER = (EXACT, "detection", "fuzzing")  # who decides, where several could
AT_BASE_RATE = "precision_at_base_rate"
# between quotation marks, backticks among them; an apostrophe inside a word is none
QUOTED = re.compile(
    r'"([^"\n]+)"|“([^”\n]+)”|`([^`\n]+)`|«([^»\n]+)»|(?<!\w)[\'‘]([^\'’\n]+)[\'’](?!\w)'
)
NOBODY_SAYS = "it has no rule to run, and no judge said how often it is right"


class Trust(StrEnum):
    """How far a label is to be believed."""

    BELIEVE = "believe"
    TOO_BROAD = "too broad"
    TOO_NARROW = "too narrow"
    SOMETHING_ELSE = "about something else"
    CANNOT_BE_TOLD = "cannot be told"


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """What one scorer found of a label: how often it is right, how much it finds, and the best that
    other features' labels got in its place.
    """

    scorer: str
    precision: Estimate  # at the true base rate
    recall: Estimate
    headline: Estimate
    control: float  # the highest upper bound among the controls; not a number without one
    base_rate: float  # of what was judged, the share in which the feature fires
    n: int
    failed: int
    exact: bool  # whether all held-out text was seen, and not a sample of it

    @property
    def clears_controls(self) -> bool:
        """Whether the label does better than every control, beyond both intervals."""
        return math.isnan(self.control) or self.headline.low > self.control


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """A verdict with what it rests on."""

    trust: Trust
    reason: str  # in one sentence
    evidence: LabelEvidence | None = None  # that decided
    beside: tuple[str, ...] = ()  # what other scores say
    flags: tuple[str, ...] = ()  # what the label names and no text holds


def audit_label(
    explanation: Explanation,
    scores: Sequence[tuple[str, Score]],
    corpus: Corpus,
    activations: FeatureActivations,
    line: float = LINE,
) -> LabelAudit:
    """What these scores, each with its scorer's method, say of a label; controls are among them.

    Scores of judges that tell nothing are left out by the caller.
    """
    own = {name: score for name, score in scores if score.control is Control.NONE}
    found: list[LabelEvidence] = []
    for name, score in own.items():
        controls = [
            each.estimates[each.headline].high
            for other, each in scores
            if other == name and each.control is not Control.NONE
        ]
        evidence = label_evidence(name, score, controls, explanation, (corpus, activations))
        found += [evidence] if evidence else []
    found.sort(key=lambda each: ORDER.index(each.scorer) if each.scorer in ORDER else len(ORDER))
    beside = tuple(
        score_words(name, score, [each for other, each in scores if other == name])
        for name, score in own.items()
        if not found or name != found[0].scorer
    )
    flags = tuple(missing_text_flags(explanation, corpus))
    if not found:
        return LabelAudit(Trust.CANNOT_BE_TOLD, NOBODY_SAYS, None, beside, flags)
    trust, why = trust_of_evidence(found[0], line)
    return LabelAudit(trust, why, found[0], beside, flags)


def label_evidence(
    name: str,
    score: Score,
    controls: Sequence[float],
    explanation: Explanation,
    fires: tuple[Corpus, FeatureActivations],
) -> LabelEvidence | None:
    """Precision and recall at the true base rate; None for a score that states neither.

    Where a judge's errors are known, they are taken out. Intervals of what was run on all text are
    as wide as those of as many documents, so that a few documents are no certainty.
    """
    stated, exact = score.estimates, name == EXACT
    if exact:
        precision, recall, base_rate = widened_by_documents(explanation, stated, *fires)
    elif f"{AT_BASE_RATE}_corrected" in stated:
        precision = stated[f"{AT_BASE_RATE}_corrected"]
        recall, base_rate = stated["true_positive_rate_corrected"], math.nan
    elif AT_BASE_RATE in stated:
        precision, recall, base_rate = stated[AT_BASE_RATE], stated["recall"], math.nan
    else:
        return None
    highest = max((high for high in controls if math.isfinite(high)), default=math.nan)
    headline = stated[score.headline]
    return LabelEvidence(
        name, precision, recall, headline, highest, base_rate, score.n, score.failed, exact
    )


def widened_by_documents(
    explanation: Explanation,
    stated: Mapping[str, Estimate],
    corpus: Corpus,
    activations: FeatureActivations,
) -> tuple[Estimate, Estimate, float]:
    """Precision and recall of a rule, with intervals not narrower than Wilson's for so many
    documents; and the share of tokens at which the feature fires.
    """
    held_out = held_out_tokens(corpus)
    holds = held_out.predicted(parse_rule(explanation.rule or "")) > 0
    fires = held_out.dense(activations) > 0
    widened: list[Estimate] = []
    for name, where in (("precision", holds), ("recall", fires)):
        documents = len(np.unique(held_out.documents[where]))
        found = stated[name]
        if documents == 0 or math.isnan(found.value):
            widened.append(Estimate.missing())
            continue
        bound = wilson_interval(round(found.value * documents), documents)
        low, high = np.nanmin([found.low, bound.low]), np.nanmax([found.high, bound.high])
        widened.append(Estimate(found.value, float(low), float(high)))
    return widened[0], widened[1], float(fires.mean()) if len(fires) else math.nan


def trust_of_evidence(found: LabelEvidence, line: float = LINE) -> tuple[Trust, str]:
    """The verdict that precision, recall and controls bear, and why."""
    precise, complete = beyond(found.precision, line), beyond(found.recall, line)
    if not found.exact and precise is None and found.precision.value >= line:
        precise = True  # a sample of contexts without the feature bounds no rare false positive
    told = (
        f"{estimate_words('precision', found.precision)}, {estimate_words('recall', found.recall)}"
    )
    if complete and precise:
        if found.clears_controls:
            alone = math.isnan(found.control)
            beside = "there is no other label to compare" if alone else "other labels do worse"
            return Trust.BELIEVE, f"{told}; {beside}"
        return Trust.CANNOT_BE_TOLD, f"{told}, but another feature's label does as well"
    if complete and precise is False:
        return Trust.TOO_BROAD, f"it holds where the feature fires, and far beyond: {told}"
    if precise and complete is False:
        return Trust.TOO_NARROW, f"it holds only where the feature fires, and there seldom: {told}"
    if complete is False and precise is False:
        if not is_in_part(found):
            return Trust.SOMETHING_ELSE, f"the feature fires elsewhere: {told}"
        broad = found.precision.value < found.recall.value
        said = "it is about the feature in part, and holds mostly " + (
            "beyond it" if broad else "too seldom"
        )
        return Trust.TOO_BROAD if broad else Trust.TOO_NARROW, f"{said}: {told}"
    if complete is False and math.isnan(found.precision.value) and found.recall.value == 0:
        return Trust.SOMETHING_ELSE, f"it holds nowhere, and the feature fires: {told}"
    return Trust.CANNOT_BE_TOLD, f"the bounds leave it open: {told}"


def beyond(estimate: Estimate, line: float) -> bool | None:
    """Whether the whole interval lies at or above the line, or below it; None where it does not
    say.
    """
    if estimate.low >= line:
        return True
    return False if estimate.high < line else None


def is_in_part(found: LabelEvidence) -> bool:
    """Whether a label that is neither precise nor complete is about the feature all the same."""
    share = max(found.precision.low, found.recall.low) >= LEAST_SHARE
    lift = math.isnan(found.base_rate) or found.precision.low >= LEAST_LIFT * found.base_rate
    return share and lift and found.clears_controls


def estimate_words(name: str, estimate: Estimate) -> str:
    """A number with its interval, in words."""
    if math.isnan(estimate.value):
        return f"{name} unknown"
    return f"{name} {estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def score_words(name: str, own: Score, every: Sequence[Score]) -> str:
    """A score beside the one that decides: its headline, what controls reached, and how much of it
    was never answered.
    """
    if 0 < own.n == own.failed:
        return f"{name}: not one of {own.n:,} questions had an answer"
    controls = [
        each.estimates[each.headline].value for each in every if each.control is not Control.NONE
    ]
    told = estimate_words(f"{name} {own.headline}", own.estimates[own.headline])
    against = f", under controls {np.mean(controls):.2f}" if controls else ""
    lost = f", {own.failed:,} of {own.n:,} questions without an answer" if own.failed else ""
    return told + against + lost


def missing_text_flags(explanation: Explanation, corpus: Corpus) -> list[str]:
    """What a label quotes, or names as tokens, and the subject never read."""
    flags = [
        f"quotes {quoted!r}, which stands nowhere in the texts"
        for quoted in quoted_texts(explanation.text if explanation.rule is None else "")
        if quoted.strip().lower() not in corpus_text(corpus)
    ]
    try:
        rule = parse_rule(explanation.rule) if explanation.rule else None
    except BadInput:
        rule = None
    seen = seen_tokens(corpus)
    never = [string for string in tokens_of_rule(rule) if string not in seen] if rule else []
    shown = ", ".join(map(repr, never[:5])) + (", ..." if len(never) > 5 else "")
    return flags + ([f"names tokens that never occur: {shown}"] if never else [])


def quoted_texts(text: str) -> list[str]:
    """What stands between quotation marks.

    >>> quoted_texts("the word 'raise' in code, as in `raise X`")
    ['raise', 'raise X']
    """
    found = ("".join(groups) for groups in QUOTED.findall(text))
    return list(dict.fromkeys(each for each in found if each.strip()))


def tokens_of_rule(rule: Rule) -> list[str]:
    """The strings of every `token in {...}` of a rule, wherever it looks for them."""
    found: list[str] = []
    for term in (term for alternative in rule.alternatives for term in alternative.terms):
        named: Any = getattr(term.condition, "predicate", term.condition)
        if getattr(named, "unit", "") == PredicateUnit.TOKEN and not term.negated:
            found += getattr(named, "strings", ())
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def corpus_text(corpus: Corpus) -> str:
    """All that the subject read, in small letters."""
    return corpus.vocabulary.text(corpus.tokens.tolist()).lower()


@lru_cache(maxsize=1)
def seen_tokens(corpus: Corpus) -> frozenset[str]:
    """Every token that occurs, as rules see it."""
    strings = corpus.vocabulary.strings
    return frozenset(strings[token] for token in np.unique(corpus.tokens).tolist())
