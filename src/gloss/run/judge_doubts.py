"""What a run says against its own judges: answers that are no better than chance, and position
biases.
"""

import math
from collections import defaultdict

from gloss.records import Estimate, Verdict
from gloss.run.dependencies import packing_step
from gloss.run.experiment import method_label, stage_name
from gloss.run.methods import SettingsMapping
from gloss.run.opened_run import OpenedRun
from gloss.score.judge.doubts import Tally, doubts_about_judge, sum_tallies, tallied_answers
from gloss.score.judge.position_bias import is_noticeable, measure_position_bias
from gloss.store.record_rows import verdict_from_row
from gloss.store.results import read_columns

TALLY_NOTE = "answers"  # in the notes of a scorer's parts
NO_BETTER_THAN_CHANCE = (
    "is seen no better than chance on contexts of known truth, one at a time or many; its scores"
    " say little"
)


def stage_answer_tally(run: OpenedRun, stage: str) -> Tally:
    """The answers of one scorer's judge, over the shards that are done.

    Empty for a scorer that gives no verdicts.
    """
    return sum_tallies(note.get(TALLY_NOTE, {}) for note in run.notes(stage))


def judge_doubts(run: OpenedRun) -> tuple[str, ...]:
    """A sentence for everything that speaks against a judge; none where nothing does."""
    found: list[str] = []
    for settings in run.experiment.score:
        label = method_label(settings)
        if is_without_controls(run, label):
            found.append(
                f"{label} has no controls (controls = 0): nobody knows what another feature's"
                " words would have got."
            )
        found += [f"The judge of {label} {doubt}." for doubt in judge_faults(run, settings)]
    return tuple(found)


def doubted_scores(run: OpenedRun) -> set[str]:
    """The scores whose judge is seen to measure nothing, or little."""
    return {method_label(each) for each in run.experiment.score if judge_faults(run, each)}


def judge_faults(run: OpenedRun, settings: SettingsMapping) -> list[str]:
    """What speaks against the judge of one score, each as the end of a sentence."""
    stage = stage_name("score", settings)
    if stage not in run.keys or not (tally := stage_answer_tally(run, stage)):
        return []
    tells = judge_beats_chance(run, settings)
    said = list(doubts_about_judge(tally, tells=tells is True))
    # which is no better than chance anyway
    constant = any(doubt.startswith("said ") for doubt in said)
    return ([NO_BETTER_THAN_CHANCE] if tells is False and not constant else []) + said


def is_without_controls(run: OpenedRun, label: str) -> bool:
    """Whether the score of this name was asked for without controls."""
    return any(
        method_label(settings) == label and settings.get("controls") == 0
        for settings in run.experiment.score
    )


def judge_beats_chance(run: OpenedRun, settings: SettingsMapping) -> bool | None:
    """Whether the judge was seen to tell right from wrong on contexts of known truth; None where
    that was not measured.
    """
    stage = packing_step(run.experiment, settings["method"], settings)
    if stage not in run.keys or not run.part(stage, 0).is_done:
        return None
    return run.part(stage, 0).note().get("tells")


def yes_share_line(run: OpenedRun, stage: str) -> str:
    """The share of yes in one line; nothing where nobody was asked for yes or no."""
    said = tallied_answers(stage_answer_tally(run, stage))
    if not said.yes + said.no:
        return ""
    return (
        f"the judge said yes to {said.yes:,} of {said.yes + said.no:,} contexts"
        f" ({100 * said.yes_share:.0f} %)"
    )


def judge_position_biases(run: OpenedRun, stage: str) -> dict[str, Estimate]:
    """Each position bias of one scorer's judge, over all features, explanations and controls."""
    scores: dict[tuple[int, str, str], list[Verdict]] = defaultdict(list)
    rows = read_columns([run.place(stage)], "verdicts")
    for row in rows.filter(rows["position"].is_valid()).to_pylist():
        scores[row["feature"], row["explained_by"], row["control"]].append(verdict_from_row(row))
    return measure_position_bias(scores.values())


def position_bias_line(run: OpenedRun, stage: str) -> str:
    """All of them in one line, with what is suspected.

    Nothing where no request held several contexts.
    """
    found = {
        name: bias
        for name, bias in judge_position_biases(run, stage).items()
        if not math.isnan(bias.value)
    }
    if not found:
        return ""
    line = ", ".join(
        f"{spaced_name(name)} {bias.value:+.3f} ({bias.low:+.3f} to {bias.high:+.3f})"
        for name, bias in found.items()
    )
    suspected = [spaced_name(name) for name, bias in found.items() if is_noticeable(bias)]
    return (
        "the judge's position biases:"
        f" {line}{'; take care: ' + ' and '.join(suspected) if suspected else ''}"
    )


def spaced_name(name: str) -> str:
    return name.replace("_", " ")
