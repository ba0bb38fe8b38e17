"""How far the scores of the same explanations agree: correlations of every two scorers, over all
that both scored.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from gloss.pages import page_text
from gloss.pages.report_sections import Cell, Grid, Matrix, Section
from gloss.records import NOBODY, Estimate
from gloss.run.reporting.run_data import RunData, most_common_headline, own_values
from gloss.run.reporting.score_rows import ScoreRows
from gloss.statistics.correlation import correlations

FEWEST = 10  # features: below that a correlation says nothing
# by explainer and feature; a score of the feature itself stands under NOBODY
ScoredValues = dict[tuple[str, int], float]
Correlated = tuple[Estimate | str, Estimate | str, int, int]


def agreement_section(found: RunData) -> Section | None:
    """Spearman's and Pearson's correlation between all scores, after tables A1 and A2 of Paulo et
    al. (2024); None where there is one score.
    """
    values = scores_by_scorer(found)
    if len(values) < 2:
        return None
    pairs = {
        (one, other): correlate(found, values[one], values[other])
        for one, other in combinations(values, 2)
    }
    lead = (
        "Correlations over the same explanations of the same features, of the headlines on"
        " held-out text; intervals are of the bootstrap over features. Scores that hardly agree"
        " measure different things; that two agree says of neither that it is right."
    )
    rows = tuple(correlation_row(pair, found_) for pair, found_ in pairs.items())
    columns = ("scores", "explanations", "features", "Spearman", "Pearson")
    return Section(
        "How scores agree",
        lead,
        (correlation_matrix(tuple(values), pairs), Grid(columns, rows, metrics_note(found))),
        brief=True,
    )


def scores_by_scorer(found: RunData) -> dict[str, ScoredValues]:
    """What each scorer gave each explanation, as far as it could."""
    values: dict[str, ScoredValues] = {}
    metrics = scorer_metrics(found)
    for (scorer, explainer), rows in found.scores.items():
        own = own_values(rows, metrics[scorer])
        values.setdefault(scorer, {}).update(
            ((explainer, feature), value) for feature, value in own.items()
        )
    return values


def scorer_metrics(found: RunData) -> dict[str, str]:
    """The metric that each scorer is taken by."""
    rows: dict[str, list[ScoreRows]] = {}
    for (scorer, _), each in found.scores.items():
        rows.setdefault(scorer, []).append(each)
    return {scorer: most_common_headline(*all_) for scorer, all_ in rows.items()}


def correlate(found: RunData, one: ScoredValues, other: ScoredValues) -> Correlated:
    """Spearman's and Pearson's correlation, or why there is none, with how many explanations and
    features they are over.
    """
    keys = shared_explanations(one, other)
    features = np.array([feature for _, feature in keys], dtype=np.int64)
    number = len(np.unique(features))
    if number < FEWEST:
        reason = f"{number} features have both, and {FEWEST} are the fewest"
        return reason, reason, len(keys), number
    x, y = (np.array([value_of(side, key) for key in keys]) for side in (one, other))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        reason = "one of the two is the same everywhere"
        return reason, reason, len(keys), number
    return *correlations(x, y, features, found.run.generator("report")), len(keys), number


def shared_explanations(one: ScoredValues, other: ScoredValues) -> list[tuple[str, int]]:
    """The explanations that both scored; a score of features goes with every explanation of
    them.
    """
    wide, narrow = (one, other) if any(by != NOBODY for by, _ in one) else (other, one)
    return sorted(key for key in wide if key in narrow or (NOBODY, key[1]) in narrow)


def value_of(values: ScoredValues, key: tuple[str, int]) -> float:
    return values[key] if key in values else values[NOBODY, key[1]]


def correlation_row(pair: tuple[str, str], correlated: Correlated) -> tuple[Cell, ...]:
    spearman, pearson, explanations, features = correlated
    again = pearson if isinstance(pearson, Estimate) else "–"
    return " and ".join(pair), f"{explanations:,}", f"{features:,}", spearman, again


def correlation_matrix(names: Sequence[str], pairs: dict[tuple[str, str], Correlated]) -> Matrix:
    """Spearman's above the diagonal, Pearson's below it."""

    def cell(row: str, column: str) -> Estimate | str:
        if row == column:
            return ""
        above = (row, column) in pairs
        return pairs[row, column][0] if above else pairs[column, row][1]

    cells = tuple(tuple(cell(row, column) for column in names) for row in names)
    return Matrix(tuple(names), cells, "Spearman’s above the diagonal, Pearson’s below it.")


def metrics_note(found: RunData) -> str:
    """Which number of each scorer is compared, and whose judge is seen to measure nothing."""
    named = (
        f"{scorer}: {page_text.metric_label(metric)}"
        for scorer, metric in scorer_metrics(found).items()
    )
    doubted = sorted(found.doubted & scorer_metrics(found).keys())
    doubt = f" The judge of {' and of '.join(doubted)} is doubted." if doubted else ""
    return f"{'; '.join(named)}.{doubt}"
