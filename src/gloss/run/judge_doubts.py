"""What a run says against its own judges: answers that are no better than chance, and position
biases.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Estimate
from gloss.run.dependencies import packing_step
from gloss.run.experiment import method_label, stage_name
from gloss.run.methods import SettingsMapping
from gloss.run.opened_run import OpenedRun
from gloss.score.judge.doubts import Tally, doubts_about_judge, sum_tallies, tallied_answers
from gloss.score.judge.position_bias import (
    FEWEST,
    OrderedAnswers,
    bias_of_answers,
    is_noticeable,
)
from gloss.store.results import no_rows, read_pieces

TALLY_NOTE = "answers"  # in the notes of a scorer's parts
NO_BETTER_THAN_CHANCE = (
    "is seen no better than chance on contexts of known truth, one at a time or many; its scores"
    " say little"
)


def stage_answer_tally(run: OpenedRun, stage: str) -> Tally:
    """The answers of one scorer's judge, over the shards that are done.

    Empty for a scorer that gives no verdicts.
    """
    return noted_answers(run.notes(stage))


def noted_answers(notes: Iterable[Mapping[str, Any]]) -> Tally:
    """The same by the notes of its parts."""
    return sum_tallies(note.get(TALLY_NOTE, {}) for note in notes)


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


def yes_share_line(notes: Iterable[Mapping[str, Any]]) -> str:
    """The share of yes in one line; nothing where nobody was asked for yes or no."""
    said = tallied_answers(noted_answers(notes))
    if not said.yes + said.no:
        return ""
    return (
        f"the judge said yes to {said.yes:,} of {said.yes + said.no:,} contexts"
        f" ({100 * said.yes_share:.0f} %)"
    )


def judge_position_biases(run: OpenedRun, stage: str) -> dict[str, Estimate]:
    """Each position bias of one scorer's judge, over all features, explanations and controls."""
    columns = ("feature", "explained_by", "control", "question", "position", "answer", "truth")
    pieces = read_pieces([run.place(stage)], "verdicts", columns)
    placed = [piece.filter(piece["position"].is_valid()) for piece in pieces]
    rows = pa.concat_tables([no_rows("verdicts", columns), *placed], promote_options="permissive")
    score = numbered_in_order(rows.select(columns[:3]))
    answered = np.flatnonzero(rows["answer"].is_valid().to_numpy())
    answered = answered[np.argsort(score[answered], kind="stable")]
    ends = np.flatnonzero(np.diff(score[answered])) + 1
    question, position, yes, truth = (
        np.split(rows[name].take(answered).to_numpy(), ends) for name in columns[3:]
    )
    return bias_of_answers(
        [
            OrderedAnswers(numbers, places, said.astype(np.float64), right)
            for numbers, places, said, right in zip(question, position, yes, truth, strict=True)
            if len(said) >= FEWEST
        ]
    )


def numbered_in_order(rows: pa.Table) -> Int64[ndarray, " row"]:
    """A number for each row, the same for equal ones, in the order in which they first come.

    >>> numbered_in_order(pa.table({"a": ["y", "y", "x", "y"], "b": [1, 2, 1, 1]})).tolist()
    [0, 1, 2, 0]
    """
    whole = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        kinds = column.combine_chunks().dictionary_encode()
        whole = whole * len(kinds.dictionary) + kinds.indices.to_numpy()
    _, first, numbers = np.unique(whole, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]


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
