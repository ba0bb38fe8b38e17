"""Scores under several conditions beside each other: paired by feature where they treat the same
features, over seeds or over features where they do not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from typing import Any

import numpy as np

from gloss.pages import page_text
from gloss.pages.report_sections import (
    Cell,
    DistributionLine,
    Distributions,
    Grid,
    ReportBlock,
    Section,
)
from gloss.records import NOBODY, Estimate
from gloss.run.experiment import method_label
from gloss.run.reporting.differing_settings import (
    SEED,
    Settings,
    differing_names,
    label_settings,
    run_settings,
)
from gloss.run.reporting.run_data import RunData, Values, most_common_headline, own_values
from gloss.run.reporting.score_rows import NO_SCORES
from gloss.statistics.intervals import (
    bootstrap,
    bootstrap_difference,
    student_interval,
    welch_interval,
)

FEWEST = 2  # seeds of each side: the fewest that have a spread
ALL_PAIRS = 4  # conditions; of more, each is held against the first alone
MEDIAN, MEAN = partial(np.median, axis=-1), partial(np.mean, axis=-1)

Item = tuple[str, int]  # a dictionary and one of its features


@dataclass(frozen=True)
class Condition:
    """One way of doing it: an explainer and a scorer, in runs that differ by their seeds alone."""

    name: str
    runs: tuple[RunData, ...]
    scorer: str
    explainer: str

    @cached_property
    def settings(self) -> Settings:
        """All that its scores depend on, besides the seed."""
        run = self.runs[0].run
        of_methods = {
            f"{verb}.{name}": each
            for verb, label in (("explain", self.explainer), ("score", self.scorer))
            for name, each in label_settings(run, verb, label).items()
        }
        settings = run_settings(run) | of_methods
        return {name: each for name, each in settings.items() if name != SEED}

    def values_by_run(self, metric: str) -> list[dict[Item, float]]:
        """The score of each feature in each run, 0 where it has none."""
        return [
            {
                (data.dictionary_identity, feature): value
                for feature, value in scores_or_0(data, (self.scorer, self.explainer), metric)
            }
            for data in self.runs
        ]


def scores_or_0(data: RunData, scored: tuple[str, str], metric: str) -> Iterator[tuple[int, float]]:
    """Each feature's score; 0 where it has no explanation, or none that could be scored."""
    own = own_values(data.scores.get(scored, NO_SCORES), metric)
    yield from own.items()
    if scored[1] != NOBODY:
        yield from ((feature, 0.0) for feature in data.examined_features if feature not in own)


@dataclass(frozen=True)
class Difference:
    """One condition less another, in medians and in means over features."""

    one: str
    other: str
    over: str  # what the intervals are over
    medians: Estimate
    means: Estimate
    settings: tuple[str, ...]  # that differ
    doubted: bool  # whether a judge of either is seen to measure nothing

    @property
    def shown(self) -> bool:
        """Whether the interval of the difference of means leaves 0 out, by a judge who measures."""
        return not self.doubted and self.means.low * self.means.high > 0


@dataclass(frozen=True)
class Contest:
    """Conditions under one metric; the first's generator draws all resamples."""

    title: str
    metric: str
    conditions: tuple[Condition, ...]

    @cached_property
    def by_run(self) -> tuple[list[dict[Item, float]], ...]:
        return tuple(condition.values_by_run(self.metric) for condition in self.conditions)

    @cached_property
    def items(self) -> tuple[dict[Item, float], ...]:
        """Of each condition, each feature's score: the mean over runs that treat the same one."""
        return tuple(map(mean_over_runs, self.by_run))

    @property
    def rng(self) -> np.random.Generator:
        return self.conditions[0].runs[0].run.generator("report")

    @cached_property
    def medians(self) -> tuple[Estimate, ...]:
        """Each condition's: over seeds where there are several, or else over features."""
        return tuple(
            student_interval(run_medians(runs))
            if len(runs) >= FEWEST
            else bootstrap(MEDIAN, as_values(items), rng=self.rng)
            for runs, items in zip(self.by_run, self.items, strict=True)
        )

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Between all pairs, or of many conditions from the first."""
        number = len(self.conditions)
        pairs = (
            combinations(range(number), 2)
            if number <= ALL_PAIRS
            else ((later, 0) for later in range(1, number))
        )
        return tuple(self.difference(*pair) for pair in pairs)

    def difference(self, one: int, other: int) -> Difference:
        """Of two conditions, by their numbers."""
        left, right = self.items[one], self.items[other]
        both = sorted(left.keys() & right.keys())
        runs = self.by_run[one], self.by_run[other]
        if len(both) >= FEWEST:
            x, y = (np.array([side[item] for item in both]) for side in (left, right))
            medians, means = (
                bootstrap(lambda a, b, of=of: of(a) - of(b), x, y, rng=self.rng)
                for of in (MEDIAN, MEAN)
            )
            over = f"{len(both):,} features, paired"
        elif min(map(len, runs)) >= FEWEST:
            medians, means = (
                welch_interval(*(statistic_of_runs(side, of) for side in runs))
                for of in (MEDIAN, MEAN)
            )
            over = f"{len(runs[0])} and {len(runs[1])} seeds"
        else:
            medians, means = (
                bootstrap_difference(of, as_values(left), as_values(right), rng=self.rng)
                for of in (MEDIAN, MEAN)
            )
            over = f"{len(left):,} and {len(right):,} features, not the same; one seed"
        sides = self.conditions[one], self.conditions[other]
        settings = differing_names([side.settings for side in sides])
        doubted = any(side.scorer in data.doubted for side in sides for data in side.runs)
        return Difference(sides[0].name, sides[1].name, over, medians, means, settings, doubted)

    def blocks(self) -> tuple[ReportBlock, ...]:
        """The distributions of all conditions, and their differences, where there are several."""
        lines = tuple(
            DistributionLine(named_with_seeds(condition), as_values(items), median)
            for condition, items, median in zip(
                self.conditions, self.items, self.medians, strict=True
            )
        )
        grids = (self.grid(),) if self.differences else ()
        return Distributions(self.title, lines), *grids

    def grid(self) -> Grid:
        """The differences."""
        columns = ("difference", "over", "of medians", "of means", "they differ in")
        return Grid(columns, tuple(map(difference_row, self.differences)), self.title)


def named_with_seeds(condition: Condition) -> str:
    """A condition, with how many seeds its interval is over, where it is over seeds."""
    number = len(condition.runs)
    return condition.name + (f" ({number} seeds)" if number >= FEWEST else "")


def difference_row(found: Difference) -> tuple[Cell, ...]:
    why = "the judge is doubted, so " * found.doubted
    verdict = "" if found.shown else f"; {why}no difference is shown"
    return (
        f"{found.one} − {found.other}{verdict}",
        found.over,
        found.medians,
        found.means,
        ", ".join(found.settings) or "nothing that is known",
    )


def as_values(items: dict[Item, float]) -> Values:
    return np.array(list(items.values()), dtype=np.float64)


def mean_over_runs(runs: Sequence[dict[Item, float]]) -> dict[Item, float]:
    found: dict[Item, list[float]] = {}
    for run in runs:
        for item, value in run.items():
            found.setdefault(item, []).append(value)
    return {item: float(np.mean(each)) for item, each in found.items()}


def run_medians(runs: Sequence[dict[Item, float]]) -> Values:
    return statistic_of_runs(runs, MEDIAN)


def statistic_of_runs(runs: Sequence[dict[Item, float]], statistic: Callable[..., Any]) -> Values:
    """A statistic of each run's scores; not a number where it has none."""
    return np.array([float(statistic(as_values(run))) if run else math.nan for run in runs])


def explainers_section(found: RunData) -> Section | None:
    """Differences inside one run: between explainers under the same score, and between scorers
    that are the same method with other settings. None where there is one of each.
    """
    contests = [*explainer_contests(found), *scorer_contests(found)]
    lead = (
        "Differences over the same features of this run, paired, with an explanation that is"
        " missing as 0. Whether one is shown goes by the interval of means; of many that are none,"
        " one in twenty is shown by chance."
    )
    grids = tuple(contest.grid() for contest in contests)
    return Section("Methods beside each other", lead, grids, brief=True) if grids else None


def explainer_contests(found: RunData) -> Iterator[Contest]:
    """The explainers of a run, under each of its scorers."""
    for scorer in dict.fromkeys(scorer for scorer, _ in found.scored):
        explainers = found.explainers(scorer)
        rows = [own for by in explainers if (own := found.scores.get((scorer, by)))]
        if len(explainers) > 1 and rows:
            metric = most_common_headline(*rows)
            yield Contest(
                f"{page_text.metric_label(metric)} by {scorer}",
                metric,
                tuple(Condition(by, (found,), scorer, by) for by in explainers),
            )


def scorer_contests(found: RunData) -> Iterator[Contest]:
    """Scorers of a run that are one method by several names, on each explainer's explanations."""
    methods = {method_label(table): table["method"] for table in found.run.experiment.score}
    groups: dict[tuple[str, str], list[str]] = {}
    for scorer, by in found.scores:
        groups.setdefault((methods.get(scorer, scorer), by), []).append(scorer)
    for (method, by), scorers in groups.items():
        if len(scorers) > 1:
            metric = most_common_headline(found.scores[scorers[0], by])
            yield Contest(
                f"{page_text.metric_label(metric)} by {method}, of {by}",
                metric,
                tuple(Condition(scorer, (found,), scorer, by) for scorer in scorers),
            )
