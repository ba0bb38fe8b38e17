"""One feature's page: what the template is handed."""

from dataclasses import dataclass

from gloss.browse import contexts, drawings, words
from gloss.browse.drawings import Bar, Whisker
from gloss.browse.effects import EffectView, effects
from gloss.browse.figures import decimal, interval
from gloss.browse.heatmap import Palette, spelled
from gloss.browse.model import FeaturePage
from gloss.browse.reasons import ReasonsView, reasons_view
from gloss.records import NOBODY, Control, Explanation, Failure, Score

LOGITS = 10  # tokens of each list


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of a score, written out."""

    name: str
    help: str
    value: str
    interval: str
    whisker: Whisker | None
    control: Whisker | None  # the same metric under the strongest control
    headline: bool
    bounded: bool  # so that a scale which ends at 1 can hold it


@dataclass(frozen=True, slots=True)
class ScoreView:
    """One scorer's result on one explanation, with its controls."""

    method: str
    help: str
    told: str
    meaning: str
    trust: str
    lines: tuple[Line, ...]
    wrong: tuple[contexts.Group, ...]
    tally: str


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """One explanation with its scores, and held-out contexts that it got wrong."""

    explanation: Explanation
    scores: tuple[ScoreView, ...]
    mistakes: tuple[contexts.Group, ...]


@dataclass(frozen=True, slots=True)
class LogitBar:
    """A token whose logit the feature moves."""

    token: str
    value: str
    length: float  # in per cent of the longest


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Everything on one page but its neighbours, who may not have been written yet."""

    explanations: tuple[ExplanationView, ...]
    failures: tuple[tuple[Failure, str], ...]
    histogram: tuple[Bar, ...]
    groups: tuple[contexts.Group, ...]
    silent: tuple[contexts.Group, ...]
    raised: tuple[LogitBar, ...]
    lowered: tuple[LogitBar, ...]
    effects: tuple[EffectView, ...]
    reasons: tuple[ReasonsView, ...]


def view(page: FeaturePage, palette: Palette) -> FeatureView:
    """The page's records, put into the words and pictures that it shows."""
    longest = max((abs(value) for _, value in (*page.top_tokens, *page.bottom_tokens)), default=0.0)
    return FeatureView(
        explanations=tuple(_explanation(page, explanation, palette) for explanation in page.explanations),
        failures=tuple((failure, words.REASONS[failure.reason]) for failure in page.failures),
        histogram=drawings.histogram(page.statistics),
        groups=contexts.firing(page, palette),
        silent=contexts.silent(page, palette),
        raised=_logits(page.top_tokens, longest),
        lowered=_logits(page.bottom_tokens, longest),
        effects=effects(page),
        reasons=tuple(reasons_view(found) for found in page.reasons),
    )


def controls_of(page: FeaturePage, score: Score) -> tuple[Score, ...]:
    """The same scorer on the same explainer's words, exchanged for others."""
    return tuple(
        other
        for other in page.scores
        if other.control is not Control.NONE and (other.method, other.explained_by) == (score.method, score.explained_by)
    )


def real_scores(page: FeaturePage, explained_by: str) -> tuple[Score, ...]:
    """The scores of one explainer's words, without controls, and those of the feature itself, which need no words."""
    wanted = (explained_by, NOBODY)
    return tuple(score for score in page.scores if score.control is Control.NONE and score.explained_by in wanted)


def _explanation(page: FeaturePage, explanation: Explanation, palette: Palette) -> ExplanationView:
    scores = real_scores(page, explanation.method)
    return ExplanationView(
        explanation=explanation,
        scores=tuple(_score(page, score, palette) for score in scores),
        mistakes=tuple(
            contexts.mistakes(found, palette)
            for found in page.mistakes
            if found.explained_by == explanation.method and len(found.contexts)
        ),
    )


def _score(page: FeaturePage, score: Score, palette: Palette) -> ScoreView:
    controls = controls_of(page, score)
    names = sorted(score.estimates, key=lambda name: name != score.headline)
    return ScoreView(
        method=score.method,
        help=words.METHODS.get(score.method, ""),
        told=words.told(score, controls),
        meaning=words.meaning(score),
        trust=words.trust(score, controls),
        lines=tuple(_line(name, score, controls) for name in names),
        wrong=tuple(contexts.mistakes(found, palette) for found in contexts.judged_wrong(page, score)),
        tally=words.tally(score),
    )


def _line(name: str, score: Score, controls: tuple[Score, ...]) -> Line:
    estimate = score.estimates[name]
    signed = drawings.falls_below_zero(estimate)
    under_control = [
        drawings.whisker(control.estimates[name], signed=signed) for control in controls if name in control.estimates
    ]
    known = [whisker for whisker in under_control if whisker]
    return Line(
        name=words.metric(name),
        help=words.metric_help(name),
        value=decimal(estimate.value),
        interval=interval(estimate),
        whisker=drawings.whisker(estimate, signed=signed),
        control=max(known, key=lambda whisker: whisker.value, default=None),
        headline=name == score.headline,
        bounded=words.bounded(name),
    )


def _logits(tokens: tuple[tuple[str, float], ...], longest: float) -> tuple[LogitBar, ...]:
    return tuple(
        LogitBar(spelled(token), decimal(value), round(100 * abs(value) / longest, 1) if longest else 0.0)
        for token, value in tokens[:LOGITS]
    )
