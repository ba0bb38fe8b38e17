"""One feature's page: what the template is handed."""

from dataclasses import dataclass

from gloss.pages import charts, context_groups, page_text
from gloss.pages.charts import HistogramBar, Whisker
from gloss.pages.effect_views import EffectView, effect_views
from gloss.pages.heatmap import Palette, spell_characters
from gloss.pages.number_format import format_decimal, format_interval
from gloss.pages.page_records import FeaturePage
from gloss.pages.token_attribution_view import TokenAttributionView, token_attribution_view
from gloss.records import NOBODY, Control, Explanation, Failure, Score

LOGITS = 10  # tokens of each list


@dataclass(frozen=True, slots=True)
class MetricLine:
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
    score_summary: str
    meaning: str
    trust: str
    lines: tuple[MetricLine, ...]
    wrong: tuple[context_groups.ContextGroup, ...]
    tally: str


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """One explanation with its scores, and held-out contexts that it got wrong."""

    explanation: Explanation
    scores: tuple[ScoreView, ...]
    mistakes: tuple[context_groups.ContextGroup, ...]


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
    histogram: tuple[HistogramBar, ...]
    groups: tuple[context_groups.ContextGroup, ...]
    inactive: tuple[context_groups.ContextGroup, ...]
    raised: tuple[LogitBar, ...]
    lowered: tuple[LogitBar, ...]
    effects: tuple[EffectView, ...]
    token_attributions: tuple[TokenAttributionView, ...]


def feature_view(page: FeaturePage, palette: Palette) -> FeatureView:
    """The page's records, put into the words and pictures that it shows."""
    longest = max(
        (abs(value) for _, value in (*page.promoted_tokens, *page.suppressed_tokens)), default=0.0
    )
    return FeatureView(
        explanations=tuple(
            _explanation_view(page, explanation, palette) for explanation in page.explanations
        ),
        failures=tuple((failure, page_text.REASONS[failure.reason]) for failure in page.failures),
        histogram=charts.histogram(page.statistics),
        groups=context_groups.firing_groups(page, palette),
        inactive=context_groups.inactive_groups(page, palette),
        raised=_logit_bars(page.promoted_tokens, longest),
        lowered=_logit_bars(page.suppressed_tokens, longest),
        effects=effect_views(page),
        token_attributions=tuple(
            token_attribution_view(found) for found in page.token_attributions
        ),
    )


def control_scores(page: FeaturePage, score: Score) -> tuple[Score, ...]:
    """The same scorer on the same explainer's words, exchanged for others."""
    return tuple(
        other
        for other in page.scores
        if other.control is not Control.NONE
        and (other.method, other.explained_by) == (score.method, score.explained_by)
    )


def real_scores(page: FeaturePage, explained_by: str) -> tuple[Score, ...]:
    """The scores of one explainer's words, without controls.

    Those of the feature itself, which need no words, are among them.
    """
    wanted = (explained_by, NOBODY)
    return tuple(
        score
        for score in page.scores
        if score.control is Control.NONE and score.explained_by in wanted
    )


def _explanation_view(
    page: FeaturePage, explanation: Explanation, palette: Palette
) -> ExplanationView:
    scores = real_scores(page, explanation.method)
    return ExplanationView(
        explanation=explanation,
        scores=tuple(score_view(page, score, palette) for score in scores),
        mistakes=tuple(
            context_groups.mistake_group(found, palette)
            for found in page.mistakes
            if found.explained_by == explanation.method and len(found.contexts)
        ),
    )


def score_view(page: FeaturePage, score: Score, palette: Palette) -> ScoreView:
    """A score of the page, with its controls, written out."""
    controls = control_scores(page, score)
    names = sorted(score.estimates, key=lambda name: name != score.headline)
    return ScoreView(
        method=score.method,
        help=page_text.METHODS.get(score.method, ""),
        score_summary=page_text.score_summary(score, controls),
        meaning=page_text.score_meaning(score),
        trust=page_text.trust_sentence(score, controls),
        lines=tuple(_metric_line(name, score, controls) for name in names),
        wrong=tuple(
            context_groups.mistake_group(found, palette)
            for found in context_groups.judge_mistakes(page, score)
        ),
        tally=page_text.verdict_tally(score),
    )


def _metric_line(name: str, score: Score, controls: tuple[Score, ...]) -> MetricLine:
    estimate = score.estimates[name]
    signed = charts.falls_below_zero(estimate)
    under_control = [
        charts.whisker(control.estimates[name], signed=signed)
        for control in controls
        if name in control.estimates
    ]
    known = [whisker for whisker in under_control if whisker]
    return MetricLine(
        name=page_text.metric_label(name),
        help=page_text.metric_help(name),
        value=format_decimal(estimate.value),
        interval=format_interval(estimate),
        whisker=charts.whisker(estimate, signed=signed),
        control=max(known, key=lambda whisker: whisker.value, default=None),
        headline=name == score.headline,
        bounded=page_text.is_bounded_metric(name),
    )


def _logit_bars(tokens: tuple[tuple[str, float], ...], longest: float) -> tuple[LogitBar, ...]:
    return tuple(
        LogitBar(
            spell_characters(token),
            format_decimal(value),
            round(100 * abs(value) / longest, 1) if longest else 0.0,
        )
        for token, value in tokens[:LOGITS]
    )
