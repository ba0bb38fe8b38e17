"""A judge by itself: asked about texts of which somebody said whether an explanation fits them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Conversation, PromptFile, prompt_file
from gloss.models.chat_models.token_marks import Marks, json_string, numbered_lines
from gloss.records import Estimate, Verdict
from gloss.score.judge.calibration_items import CalibrationCounts
from gloss.score.judge.position_bias import measure_position_bias
from gloss.score.judge.questions import FillQuestion, JudgedItem, QuestionSettings, ask_judge
from gloss.statistics.intervals import draw_rates, estimate_from_draws
from gloss.statistics.ranking import ranking_estimates
from gloss.store.labels.label_records import SkippedRow
from gloss.store.labels.label_rows import first_of, plain_text
from gloss.store.labels.tables import table_values

MARKS = Marks("<<", ">>")
YES, NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")
BINS = 10  # of probabilities, in calibration


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, and whether the explanation fits it, or the tokens that are marked in it."""

    explanation: str
    text: str
    fits: bool
    marked: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The text as a judge reads it, with marks around the first of each marked string."""
        text, at = "", 0
        for each in self.marked:
            place = self.text.find(each, at)
            if place < 0:
                continue
            text += self.text[at:place] + MARKS.open + each + MARKS.close
            at = place + len(each)
        return text + self.text[at:]


def read_labelled_texts(path: Path) -> tuple[list[LabelledText], int]:
    """The labelled texts of a file, and how many rows could not be used.

    A table with `explanation`, `text`, `label` and perhaps `marked`, or OpenAI's puzzles, where a
    sentence fits the true explanation if any token is active. Raises BadInput where there is none.
    """
    if not path.is_file():
        raise BadInput(f"{path} is no file; give rows of explanation, text and label")
    found: list[LabelledText] = []
    skipped = 0
    for each in table_values(path):
        row: Any = {} if isinstance(each, SkippedRow) else each[1]
        made = list(labelled_rows(row)) if isinstance(row, Mapping) else []
        found += made
        skipped += not made
    sides = {each.fits for each in found}
    if len(sides) < 2:
        raise BadInput(
            f"{path} holds {len(found)} labelled texts, and not both kinds; give rows with"
            " explanation, text and label, some 1 and some 0"
        )
    return found, skipped


def labelled_rows(row: Mapping[str, Any]) -> Iterator[LabelledText]:
    """The text of a row; of an object of puzzles, every sentence of each."""
    if row and all(isinstance(one, Mapping) and "sentences" in one for one in row.values()):
        for puzzle in row.values():
            yield from puzzle_texts(puzzle)
        return
    explanation, text = (plain_text(first_of(row, name)) for name in ("explanation", "text"))
    label = str(first_of(row, "label", "activating", "truth")).strip().lower()
    marked = first_of(row, "marked", "marks")
    if explanation and text and label in (*YES, *NO):
        strings = marked if isinstance(marked, list) else [marked] if marked else []
        yield LabelledText(explanation, text, label in YES, tuple(map(str, strings)))


def puzzle_texts(puzzle: Mapping[str, Any]) -> Iterator[LabelledText]:
    """The sentences of a puzzle, each with whether the neuron fires in it."""
    for sentence in puzzle["sentences"]:
        pieces = [(one, 0.0) if isinstance(one, str) else (one[0], one[1]) for one in sentence]
        fires = any(value > 0 for _, value in pieces)
        text = "".join(piece for piece, _ in pieces)
        yield LabelledText(str(puzzle["explanation"]), text, fires)


@dataclass(frozen=True)
class JudgeQuestion:
    """One explanation with its labelled texts, of one kind: marked, or not."""

    explanation: str
    items: tuple[JudgedItem, ...]
    marked: bool

    def conversation(
        self, contexts: int, alternatives: int, rng: np.random.Generator
    ) -> Conversation[tuple[Verdict, ...]]:
        """What the judge says, asked as detection asks, or as fuzzing where texts are marked."""
        method = "fuzzing" if self.marked else "detection"
        asked = QuestionSettings(method, contexts, "auto", alternatives, 0.0)
        fill = question_of(prompt_file("gloss.score", method), self.explanation, self.marked)
        return (yield from ask_judge(self.items, fill, asked, rng)).verdicts


def question_of(file: PromptFile, explanation: str, marked: bool) -> FillQuestion:
    """Makes a question about texts, as `detection` or `fuzzing` does."""
    marks = {"open": MARKS.open, "close": MARKS.close} if marked else {}
    return lambda texts, form, again: file.fill(
        explanation=json_string(explanation),
        contexts=numbered_lines(texts),
        form=form,
        again=again,
        **marks,
    )


def judge_questions(texts: Sequence[LabelledText]) -> list[JudgeQuestion]:
    """The texts by explanation, those with marks apart; items are numbered over all."""
    groups: dict[tuple[str, bool], list[JudgedItem]] = {}
    for number, each in enumerate(texts):
        item = JudgedItem(number, each.fits, each.shown)
        groups.setdefault((each.explanation, bool(each.marked)), []).append(item)
    return [
        JudgeQuestion(explanation, tuple(items), marked)
        for (explanation, marked), items in groups.items()
    ]


@dataclass(frozen=True)
class JudgeQuality:
    """How good a judge is, from its verdicts on labelled texts."""

    counts: CalibrationCounts
    estimates: Mapping[str, Estimate]
    biases: Mapping[str, Estimate]

    @staticmethod
    def of(found: Sequence[Sequence[Verdict]], rng: np.random.Generator) -> "JudgeQuality":
        """What the verdicts add up to; each list is of one explanation."""
        every = [verdict for verdicts in found for verdict in verdicts]
        counts = CalibrationCounts.of(every)
        estimates = {
            "sensitivity": counts.sensitivity,
            "false positive rate": counts.false_positive_rate,
            "balanced accuracy": balanced_accuracy(counts, rng),
            **probability_quality(every, rng),
        }
        return JudgeQuality(counts, estimates, measure_position_bias(found))

    @property
    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        balanced, said = self.estimates["balanced accuracy"], self.counts
        yes, no = said.covered.yes + said.others.yes, said.covered.no + said.others.no
        told = f"balanced accuracy {balanced.value:.2f} ({balanced.low:.2f} to {balanced.high:.2f})"
        if not yes + no:
            return "gives no answer that can be read; its scores would measure nothing"
        if not (yes and no):
            same = "yes" if yes else "no"
            return f"says {same} whatever it is shown; its scores would measure nothing"
        if not balanced.low > 0.5:
            return f"is seen no better than chance: {told}; its scores would say little"
        if balanced.value < 0.7:
            return f"is better than chance, and often wrong: {told}"
        return f"tells right from wrong: {told}"


def balanced_accuracy(said: CalibrationCounts, rng: np.random.Generator) -> Estimate:
    """The mean of both sides' shares of right answers; a missing answer is wrong."""
    covered, others = said.covered, said.others
    if not (covered.items and others.items):
        return Estimate.missing()
    value = (covered.yes / covered.items + others.no / others.items) / 2
    sides = ((covered.yes, covered.items), (others.no, others.items))
    first, second = (draw_rates(right, items, rng=rng) for right, items in sides)
    return estimate_from_draws(value, (first + second) / 2)


def probability_quality(
    verdicts: Sequence[Verdict], rng: np.random.Generator
) -> dict[str, Estimate]:
    """Of probabilities, where every answer has one: how they rank, their squared error, and how far
    they lie from the share that is right.
    """
    answered = [each for each in verdicts if each.answer is not None]
    if not answered or any(each.probability is None for each in answered):
        return {}
    likely = np.array([each.probability for each in answered], dtype=np.float64)
    truth = np.array([each.truth for each in answered])
    none = np.zeros(int((~truth).sum()), dtype=bool)
    ranked = ranking_estimates(likely[truth], likely[~truth], none, float(truth.mean()), rng)
    pairs = np.stack([likely, truth.astype(np.float64)], axis=1)
    return {
        "AUROC of its probabilities": ranked["auroc"],
        "Brier score": resampled(squared_error, pairs, rng),
        "calibration error": resampled(calibration_error, pairs, rng),
    }


def resampled(
    measure: Callable[[Float64[ndarray, "item 2"]], float],
    pairs: Float64[ndarray, "item 2"],
    rng: np.random.Generator,
    draws: int = 500,
) -> Estimate:
    """A measure of probabilities and truths, with its interval over texts."""
    drawn = rng.integers(0, len(pairs), (draws, len(pairs)))
    values = np.array([measure(pairs[rows]) for rows in drawn])
    return estimate_from_draws(measure(pairs), values)


def squared_error(pairs: Float64[ndarray, "item 2"]) -> float:
    """The mean squared distance of probabilities from truth (Brier, 1950)."""
    return float(np.mean((pairs[:, 0] - pairs[:, 1]) ** 2))


def calibration_error(pairs: Float64[ndarray, "item 2"]) -> float:
    """How far probabilities lie from the share that is right, in bins of equal width, weighed by
    how many fall into each (Naeini et al., 2015).

    >>> calibration_error(np.array([[0.9, 1.0], [0.9, 1.0], [0.1, 0.0]]))
    0.1
    """
    bins = np.minimum((pairs[:, 0] * BINS).astype(int), BINS - 1)
    sums = np.stack([np.bincount(bins, pairs[:, side], BINS) for side in (0, 1)])
    return round(float(np.abs(sums[0] - sums[1]).sum() / len(pairs)), 12)
