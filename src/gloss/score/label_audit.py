"""Is a label to be believed? What its scores say of it, held against bounds and against controls.

A label is precise where the feature fires where the label holds, and complete where the label holds
where the feature fires. Which of the two it is follows from the bounds of 95 % intervals, at the
true base rate; what they leave open cannot be told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import Control, Estimate, Explanation, FeatureActivations, Score
from gloss.rules import Rule, parse_rule
from gloss.rules.language import PredicateUnit
from gloss.rules.reading import QUOTED, Reading
from gloss.score.embedding import ABOVE_RIVALS
from gloss.score.held_out_text import RunnableLabel, runnable_label
from gloss.score.weighted_sums import KnownText
from gloss.statistics.intervals import wilson_interval
from gloss.store.corpus import Corpus

LINE = 0.5  # of precision and of recall: more than half
LEAST_SHARE = 0.1  # of precision or recall, below which a label is not about the feature in part
FEW = 0.2  # of the contexts in which a feature fires: not told from none, it is something else
LEAST_LIFT = 2.0  # times the base rate, the same
BESIDE = 5  # words after those that a label means, at which a feature may fire instead
EXACT = "execution"  # it sees every token, where others see a sample of contexts
ORDER = (EXACT, "detection", "fuzzing")  # who decides, where several could
EMBEDDING = "embedding"  # where none of these could
NEARER_THAN = 0.9  # of other labels, by the lower bound, is about the right thing
NEARER_LABELS = 0.99  # of other labels that are not nearer: with fewer, it is about something else
AT_BASE_RATE = "precision_at_base_rate"
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
    reading: Reading | None = None  # how plain words were read that were run
    beside: bool = False  # whether the feature fires near such words, where it does not at them
    # of contexts in which the feature is silent, those in which a judge says that the label holds;
    # his known errors are taken out, so that it may lie below 0
    silent: Estimate | None = None

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
    near: bool = False  # whether it is about the right thing, where more cannot be told

    @property
    def scorer(self) -> str:
        """Who decided; nobody where nothing could be told."""
        if self.evidence:
            return self.evidence.scorer
        return EMBEDDING if self.near or self.trust is Trust.SOMETHING_ELSE else ""


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
            each for other, each in scores if other == name and each.control is not Control.NONE
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
        trust, why, near = trust_of_closeness(own.get(EMBEDDING))
        return LabelAudit(trust, why, None, beside, flags, near)
    trust, why = trust_of_evidence(found[0], line)
    if is_only_within_words(found[0], corpus):
        trust, why = Trust.CANNOT_BE_TOLD, "no word of the text is it, and some have it inside"
    return LabelAudit(trust, why, found[0], beside, flags)


def label_evidence(
    name: str,
    score: Score,
    controls: Sequence[Score],
    explanation: Explanation,
    fires: tuple[Corpus, FeatureActivations],
) -> LabelEvidence | None:
    """Precision and recall at the true base rate; None for a score that states neither.

    Where a judge's errors are known, they are taken out. Intervals of what was run on all text are
    as wide as those of as many documents, so that a few documents are no certainty.
    """
    stated, corrected = score.estimates, f"{AT_BASE_RATE}_corrected" in score.estimates
    compared = "balanced_accuracy_corrected" if corrected else score.headline
    beaten = (each.estimates[compared].high for each in controls if compared in each.estimates)
    highest = max(filter(math.isfinite, beaten), default=math.nan)
    if name == EXACT and (label := runnable_label(explanation, fires[0])):
        known = KnownText.of(label.text, *fires)
        return executed_evidence(label, score, highest, fires[1], known)
    if AT_BASE_RATE not in stated:
        return None
    precision, recall, silent = stated[AT_BASE_RATE], stated["recall"], None
    if corrected:
        precision = stated[f"{AT_BASE_RATE}_corrected"]
        recall, right = (stated[f"true_{side}_rate_corrected"] for side in ("positive", "negative"))
        silent = Estimate(1 - right.value, 1 - right.high, 1 - right.low)
    found = (name, precision, recall, stated[compared], highest, math.nan, score.n, score.failed)
    return LabelEvidence(*found, exact=False, silent=silent)


def executed_evidence(
    label: RunnableLabel,
    score: Score,
    highest: float,
    activations: FeatureActivations,
    known: KnownText | None = None,
) -> LabelEvidence:
    """Precision and recall of what was run, with intervals not narrower than Wilson's for so many
    documents; and the share of tokens, or words, at which the feature fires.
    """
    stated, text = score.estimates, label.text
    firing = text.fires(activations)
    said = text.predicted(label.rule)
    said = said if known is None else known.known(said)
    holds, fires = said.positions, firing.positions[firing.values > 0]
    widened: list[Estimate] = []
    for name, where in (("precision", holds), ("recall", fires)):
        documents = len(np.unique(text.documents[where]))
        found = stated[name]
        if documents == 0 or math.isnan(found.value):
            widened.append(Estimate.missing())
            continue
        bound = wilson_interval(round(found.value * documents), documents)
        low, high = np.nanmin([found.low, bound.low]), np.nanmax([found.high, bound.high])
        widened.append(Estimate(found.value, float(low), float(high)))
    number = len(text) if known is None else known.tokens
    base_rate = len(fires) / number if number else math.nan
    if known is not None and number:
        base_rate = known.counted(fires) / known.total
    beside = label.reading is not None and fires_beside(holds, fires, number)
    headline, counts = stated[score.headline], (score.n, score.failed)
    found = (EXACT, widened[0], widened[1], headline, highest, base_rate, *counts)
    return LabelEvidence(*found, True, label.reading, beside)


def fires_beside(
    holds: Int64[ndarray, " held"], fires: Int64[ndarray, " fired"], words: int
) -> bool:
    """Whether a feature fires within a few words after those that are meant, more than twice as
    often as any of so many words stands there.
    """
    after = np.unique(holds[:, None] + np.arange(1, BESIDE + 1))
    after = after[after < words]
    least = max(LEAST_SHARE, LEAST_LIFT * len(after) / words) if words else 1.0
    found = len(np.intersect1d(after, fires, assume_unique=True))
    return len(fires) > 0 and wilson_interval(found, len(fires)).low >= least


def trust_of_evidence(found: LabelEvidence, line: float = LINE) -> tuple[Trust, str]:
    """The verdict that precision, recall and controls bear, and why."""
    if found.silent is not None:
        return trust_of_judged(found, found.silent, line)
    precise, complete = beyond(found.precision, line), beyond(found.recall, line)
    lacks = found.reading is not None and not found.reading.complete
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
    if complete is False and lacks:
        return Trust.CANNOT_BE_TOLD, f"the words that it is read as may lack some: {told}"
    if complete and precise is False:
        return Trust.TOO_BROAD, f"it holds where the feature fires, and far beyond: {told}"
    if precise and complete is False:
        return Trust.TOO_NARROW, f"it holds only where the feature fires, and there seldom: {told}"
    if complete is False and precise is False:
        if found.beside and not is_in_part(found):
            return Trust.CANNOT_BE_TOLD, f"the feature fires beside such words, not at them: {told}"
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


def trust_of_judged(found: LabelEvidence, silent: Estimate, line: float) -> tuple[Trust, str]:
    """The same of a judge whose errors are known.

    A sample of silent contexts bounds no rare false positive: a label is taken for precise where
    none are seen beyond the judge's own errors, and the reason says how many there may be.
    """
    precise, complete = beyond(found.precision, line), beyond(found.recall, line)
    seen = estimate_words("of silent contexts", silent)
    told = f"{estimate_words('recall', found.recall)}, {seen}"
    most = f"at most {max(0.0, silent.high):.0%} of silent contexts, as far as this judge sees"
    clean = precise is not False and silent.low <= 0
    if complete and (precise or clean):
        if not found.clears_controls:
            return Trust.CANNOT_BE_TOLD, f"{told}, but another feature's label does as well"
        return Trust.BELIEVE, f"{told}; it holds in {most}"
    if complete and precise is False:
        return Trust.TOO_BROAD, f"it holds where the feature fires, and far beyond: {told}"
    if complete is False and found.recall.low > max(0.0, silent.high):
        if precise or clean:
            return (
                Trust.TOO_NARROW,
                f"it holds seldom where the feature fires: {told}; and in {most}",
            )
        if precise is False and found.clears_controls:
            return Trust.TOO_BROAD, f"it is about the feature in part, and holds beyond it: {told}"
    elif complete is False and (found.recall.high < FEW or silent.low > 0):
        return Trust.SOMETHING_ELSE, f"it holds no more often where the feature fires: {told}"
    return Trust.CANNOT_BE_TOLD, f"the bounds leave it open: {told}"


def trust_of_closeness(score: Score | None) -> tuple[Trust, str, bool]:
    """What an embedding bears of a label that nobody could run or judge, why, and whether it is
    about the right thing.

    It knows what a text is about, and not how often a label is right: it may be about the right
    thing, which makes it neither precise nor complete, or about something else.
    """
    missing = Estimate.missing()
    above = score.estimates.get(ABOVE_RIVALS, missing) if score else missing
    if score is None or math.isnan(above.value):
        return Trust.CANNOT_BE_TOLD, NOBODY_SAYS, False
    area = score.estimates["auroc"]
    told = f"{estimate_words('AUROC', area)}, above {above.value:.0%} of other features' labels"
    if area.low > 0.5 and above.low >= NEARER_THAN:
        said = "it is about the right thing, and how often it is right cannot be told"
        return Trust.CANNOT_BE_TOLD, f"{said}: {told}", True
    if area.low <= 0.5 and above.high < NEARER_LABELS:
        said = "contexts in which the feature fires lie no nearer to it than others"
        return Trust.SOMETHING_ELSE, f"{said}, and nearer to another label: {told}", False
    return Trust.CANNOT_BE_TOLD, f"{NOBODY_SAYS}; an embedding leaves it open: {told}", False


def is_only_within_words(found: LabelEvidence, corpus: Corpus) -> bool:
    """Whether words that a label names stand nowhere by themselves, and inside other words."""
    if found.reading is None or not math.isnan(found.precision.value):
        return False
    text = corpus_text(corpus)
    return any(string.lower() in text for string in strings_of_rule(found.reading.rule))


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
        return f"{name}: not one of {own.n:,} items has an answer that can be read"
    controls = [
        each.estimates[each.headline].value for each in every if each.control is not Control.NONE
    ]
    told = estimate_words(f"{name} {own.headline}", own.estimates[own.headline])
    against = f", under controls {np.mean(controls):.2f}" if controls else ""
    lost = f", {own.failed:,} of {own.n:,} items without an answer" if own.failed else ""
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
    never = (
        [string for string in strings_of_rule(rule, PredicateUnit.TOKEN) if string not in seen]
        if rule
        else []
    )
    shown = ", ".join(map(repr, never[:5])) + (", ..." if len(never) > 5 else "")
    return flags + ([f"names tokens that never occur: {shown}"] if never else [])


def quoted_texts(text: str) -> list[str]:
    """What stands between quotation marks.

    >>> quoted_texts("the word 'raise' in code, as in `raise X`")
    ['raise', 'raise X']
    """
    found = ("".join(groups) for groups in QUOTED.findall(text))
    return list(dict.fromkeys(each for each in found if each.strip()))


def strings_of_rule(rule: Rule, unit: PredicateUnit = PredicateUnit.WORD) -> list[str]:
    """The strings of every `word in {...}`, or `token in {...}`, of a rule, wherever it looks for
    them.
    """
    found: list[str] = []
    for term in (term for alternative in rule.alternatives for term in alternative.terms):
        named: Any = getattr(term.condition, "predicate", term.condition)
        if getattr(named, "unit", "") == unit and not term.negated:
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
