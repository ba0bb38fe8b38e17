"""Several runs beside each other: what differs between them, and what it does to their scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from gloss.errors import BadSettings, Mismatch
from gloss.pages import page_text
from gloss.pages.report_sections import Cell, Grid, ReportPage, Section
from gloss.records import NOBODY
from gloss.run.experiment import method_label
from gloss.run.planning import read_run
from gloss.run.reporting.differing_settings import (
    SEED,
    differing,
    label_settings,
    run_settings,
    shown_values,
)
from gloss.run.reporting.paired_scores import Condition, Contest
from gloss.run.reporting.run_data import RunData, most_common_headline
from gloss.run.reporting.score_rows import NO_SCORES, ScoreRows

NAMED_SETTINGS, LONGEST_NAME = 2, 44  # what a condition is called by; or else by a letter
EXPLAINERS = "explainers"
FILES = "files behind the names"  # or the version of gloss: keys that differ where no setting does


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ by their seeds alone."""

    name: str
    runs: tuple[RunData, ...]
    values: Mapping[str, Any]  # of the settings that differ between groups


@dataclass(frozen=True)
class RunComparison:
    """What differs between runs, and their scores beside each other."""

    groups: tuple[RunGroup, ...]
    contests: tuple[Contest, ...]
    left_out: tuple[str, ...]  # what could not be compared, and why

    def page(self) -> ReportPage:
        """Everything, as a page."""
        names = [data.run.folder.resolve().name for group in self.groups for data in group.runs]
        title = f"{len(names)} runs beside each other"
        sentence = (
            f"{', '.join(names)}: what differs between them, and what it does to their scores."
        )
        medians = [self.medians_section()] if len(self.contests) > 1 else []
        sections = (self.settings_section(), *medians, self.scores_section())
        return ReportPage(title, sentence, tuple(filter(None, sections)))

    def settings_section(self) -> Section:
        """Which settings differ, and what they are."""
        names = tuple(group.name for group in self.groups)
        settings = list(self.groups[0].values)
        rows: list[tuple[Cell, ...]] = []
        for setting in settings:
            values = [group.values[setting] for group in self.groups]
            rows.append((setting, *shown_values(values)))
        seeds = (
            ", ".join(str(data.run.experiment.run.seed) for data in g.runs) for g in self.groups
        )
        folders = (", ".join(str(data.run.folder) for data in group.runs) for group in self.groups)
        rows += [("seeds", *seeds), ("runs", *folders)]
        lead = {
            0: "Nothing but the seed differs between these runs.",
            1: f"One setting differs between these runs: {', '.join(settings)}.",
        }.get(
            len(settings),
            f"{len(settings)} settings differ between these runs: {', '.join(settings)}. Where two"
            " sides differ in more than one, their difference cannot be laid to one of them.",
        )
        return Section("What differs", lead, (Grid(("", *names), tuple(rows)),), brief=True)

    def medians_section(self) -> Section | None:
        """Conditions by scores."""
        first = [condition.name for condition in self.contests[0].conditions]
        if any([each.name for each in one.conditions] != first for one in self.contests):
            return None
        rows = tuple(
            (name, *(contest.medians[number] for contest in self.contests))
            for number, name in enumerate(first)
        )
        columns = ("", *(contest.title for contest in self.contests))
        lead = "Medians over features, with an explanation that is missing as 0."
        return Section("Medians", lead, (Grid(columns, rows),))

    def scores_section(self) -> Section:
        """Each score under each condition, and the differences."""
        lead = (
            "Medians and means are over features, with an explanation that is missing as 0."
            " Differences are paired where both sides treat the same features of the same"
            " dictionary; where they do not, intervals are over seeds, by Student’s and Welch’s"
            " distribution, or over features where a side has one seed: these hold for these"
            " dictionaries alone, and say nothing of what another seed would give. Whether a"
            " difference is shown goes by the interval of means; of many that are none, one in"
            " twenty is shown by chance. Where two sides differ in several settings, their"
            " difference cannot be laid to one of them."
        )
        blocks = tuple(block for contest in self.contests for block in contest.blocks())
        if self.left_out:
            lead += f" Left out: {'; '.join(self.left_out)}."
        return Section("Scores beside each other", lead, blocks, brief=True)

    def record(self) -> dict[str, Any]:
        """The same as plain values, for a file."""
        return {
            "groups": [
                {
                    "name": group.name,
                    "runs": [str(data.run.folder) for data in group.runs],
                    "seeds": [data.run.experiment.run.seed for data in group.runs],
                    "settings": dict(group.values),
                }
                for group in self.groups
            ],
            "scores": [
                {
                    "score": contest.title,
                    "metric": contest.metric,
                    "conditions": [
                        {"name": condition.name, "features": len(items), **asdict(median)}
                        for condition, items, median in zip(
                            contest.conditions, contest.items, contest.medians, strict=True
                        )
                    ],
                    "differences": [asdict(each) for each in contest.differences],
                }
                for contest in self.contests
            ],
            "left_out": list(self.left_out),
        }


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """What differs between runs, whatever it is, and every score that they share.

    Raises BadSettings for the same run twice, and Mismatch for runs that share no finished score.
    """
    groups = group_runs([RunData(read_run(folder)) for folder in folders])
    left_out: list[str] = []
    contests = tuple(run_contests(groups, left_out))
    if not contests:
        why = f" ({'; '.join(left_out)})" if left_out else ""
        raise Mismatch(
            f"the runs have no score in common{why}; run the same [[score]] methods in each to its"
            " end"
        )
    return RunComparison(groups, contests, tuple(left_out))


def group_runs(runs: Sequence[RunData]) -> tuple[RunGroup, ...]:
    """The runs by what differs but the seed, in the order of their first."""
    settings = [comparable_settings(data, runs) for data in runs]
    seeds = [each.pop(SEED) for each in settings]
    for number, data in enumerate(runs):
        for before in range(number):
            if (settings[before], seeds[before]) == (settings[number], seeds[number]):
                require_other_keys(runs[before], data)
                settings[number][FILES] = f"{number + 1}"
    names = list(differing(settings))
    members: dict[str, list[int]] = {}
    for number, own in enumerate(settings):
        members.setdefault(repr([own.get(name) for name in names]), []).append(number)
    firsts = [numbers[0] for numbers in members.values()]
    values = differing([settings[number] for number in firsts])
    return tuple(
        RunGroup(
            group_name(values, position),
            tuple(runs[number] for number in numbers),
            {name: each[position] for name, each in values.items()},
        )
        for position, numbers in enumerate(members.values())
    )


def require_other_keys(one: RunData, other: RunData) -> None:
    """Raise BadSettings where everything that two runs of the same settings have is the same."""
    shared = one.run.keys.keys() & other.run.keys.keys()
    if all(one.run.keys[step] == other.run.keys[step] for step in shared):
        raise BadSettings(
            f"{one.run.folder} and {other.run.folder} are runs of the same settings with the same"
            f" seed, {one.run.experiment.run.seed}; give one another `seed` in [run], or change"
            " what you want to compare"
        )


def comparable_settings(data: RunData, runs: Sequence[RunData]) -> dict[str, Any]:
    """A run's settings, with those of the explainers and scorers that all runs have; where they
    share no explainer, with what its explainers are called.
    """
    found = run_settings(data.run)
    for verb in ("explain", "score"):
        for label in shared_labels(verb, runs):
            own = label_settings(data.run, verb, label)
            found |= {f"{verb}.{label}.{name}": each for name, each in own.items()}
    if not shared_labels("explain", runs):
        found[EXPLAINERS] = ", ".join(map(method_label, data.run.experiment.explain))
    return found


def shared_labels(verb: str, runs: Sequence[RunData]) -> list[str]:
    """What all runs call a method of this verb, in the order of the first."""
    labels = [[method_label(table) for table in data.run.experiment.methods(verb)] for data in runs]
    return [label for label in labels[0] if all(label in each for each in labels)]


def group_name(values: Mapping[str, Sequence[Any]], position: int) -> str:
    """What a group is called: by its settings where they are few and short, or else a letter."""
    if not values:
        return "all"
    # an address tells nothing that the model's name does not
    settings = [name for name in values if not name.endswith(".base_url")] or list(values)
    shown = [shown_values(values[name]) for name in settings]
    names = [
        ", ".join(
            value if name == EXPLAINERS else f"{name.rpartition('.')[2]} = {value}"
            for name, value in zip(settings, of, strict=True)
        )
        for of in zip(*shown, strict=True)
    ]
    short = len(settings) <= NAMED_SETTINGS and max(map(len, names)) <= LONGEST_NAME
    letter = ascii_uppercase[position % 26] + (str(position // 26) if position >= 26 else "")
    return names[position] if short and len(set(names)) == len(names) else letter


def run_contests(groups: Sequence[RunGroup], left_out: list[str]) -> Iterator[Contest]:
    """Every score that all groups have: of each explainer that all have, or of all explainers
    together where they share none.
    """
    runs = [data for group in groups for data in group.runs]
    scored = [
        {key: None for key in data.scored if is_whole(data, key[0], left_out)} for data in runs
    ]
    shared = [
        key
        for key in scored[0]
        if all(key in each for each in scored) and any(key in data.scores for data in runs)
    ]
    for scorer, explainer in shared:
        of = "" if explainer == NOBODY else f" of {explainer}"
        conditions = [Condition(group.name, group.runs, scorer, explainer) for group in groups]
        alike = not differing([condition.settings for condition in conditions])
        if alike and len(groups) > 1 and FILES not in groups[0].values:
            left_out.append(f"{scorer}{of}, on which nothing that differs has a bearing")
        else:
            yield from contest_of(conditions, of, left_out)
    if any(explainer != NOBODY for _, explainer in shared):
        return
    whole = {id(data): each for data, each in zip(runs, scored, strict=True)}
    for scorer in dict.fromkeys(scorer for scorer, by in scored[0] if by != NOBODY):
        conditions = [
            Condition(explainer_name(group, by), group.runs, scorer, by)
            for group in groups
            for by in group.runs[0].explainers(scorer)
            if all((scorer, by) in whole[id(data)] for data in group.runs)
        ]
        if {id(one.runs) for one in conditions} == {id(group.runs) for group in groups}:
            yield from contest_of(conditions, "", left_out)


def explainer_name(group: RunGroup, explainer: str) -> str:
    """A condition that is one of the explainers of a group."""
    return group.name if group.name == explainer else f"{group.name}: {explainer}"


def is_whole(data: RunData, scorer: str, left_out: list[str]) -> bool:
    """Whether a run has scored all its features; what it has not is told."""
    whole = data.has_scored(scorer)
    said = f"{scorer} of {data.run.folder}, which is not finished"
    if not whole and said not in left_out:
        left_out.append(said)
    return whole


def contest_of(conditions: Sequence[Condition], of: str, left_out: list[str]) -> Iterator[Contest]:
    """The conditions under the metric that the first shows, where all have it."""
    scorer = conditions[0].scorer
    tables = [rows for each in conditions if (rows := rows_of(each))]  # none: nothing is explained
    if not tables:
        return
    metric = most_common_headline(tables[0])
    others = {most_common_headline(rows) for rows in tables if not len(rows.metric(metric)[0])}
    if others:
        left_out.append(
            f"{scorer}{of}, which is {page_text.metric_label(metric)} here and"
            f" {page_text.metric_label(min(others))} there"
        )
        return
    yield Contest(f"{page_text.metric_label(metric)} by {scorer}{of}", metric, tuple(conditions))


def rows_of(condition: Condition) -> ScoreRows:
    key = condition.scorer, condition.explainer
    return ScoreRows.joined(data.scores.get(key, NO_SCORES) for data in condition.runs)
