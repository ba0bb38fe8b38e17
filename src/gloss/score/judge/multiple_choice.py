"""Multiple choice: which one of k candidates is it?

Asked many at a time; a judge who guesses finds one in k.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gloss.models.chat_models.prompts import (
    Answer,
    Conversation,
    Message,
    Prompt,
    list_schema,
    numbered_schema,
)
from gloss.records import Estimate, Reason, Verdict
from gloss.score.judge.answer_parsing import first_answer_word, parse_answers
from gloss.score.judge.questions import TOKENS_AN_ANSWER, TOKENS_AROUND
from gloss.statistics.intervals import wilson_interval


@dataclass(frozen=True, slots=True)
class ChoiceItem:
    """One question: the context that its verdict stands for, which candidate is right, and what the
    judge reads of each.
    """

    context: int
    position: int  # of the right candidate, from 0
    candidates: tuple[str, ...]


FillChoices = Callable[[list[tuple[str, ...]], bool], tuple[Message, ...]]
"""Makes the turns of a question from the candidates of its items and whether it is asked again."""


def ask_choices(
    choice_items: Sequence[ChoiceItem], fill: FillChoices, items_per_question: int
) -> Conversation[tuple[Verdict, ...]]:
    """Ask which candidate each item means, in questions of nearly equal size.

    A verdict says whether it was found.

    Items that an answer leaves out, or leaves in doubt, are asked once more, by number.
    """
    rows = np.array_split(
        np.arange(len(choice_items)), max(1, -(-len(choice_items) // items_per_question))
    )
    groups = [[choice_items[row] for row in one] for one in rows]
    answers = yield [choice_prompt(group, fill) for group in groups]
    verdicts = [
        verdict
        for group, answer in zip(groups, answers, strict=True)
        for verdict in choice_verdicts(group, answer)
    ]
    read_in_part = [
        [row for row in one if verdicts[row].answer is None]
        for one, answer in zip(rows, answers, strict=True)
        if answer.text
    ]
    if left := [one for one in read_in_part if one]:
        answers = yield [
            choice_prompt([choice_items[row] for row in one], fill, again=True) for one in left
        ]
        for one, answer in zip(left, answers, strict=True):
            for row, verdict in zip(
                one, choice_verdicts([choice_items[row] for row in one], answer), strict=True
            ):
                verdicts[row] = verdict
    return tuple(verdicts)


def choice_prompt(group: Sequence[ChoiceItem], fill: FillChoices, *, again: bool = False) -> Prompt:
    """A question about these items."""
    schema, sizes = (
        numbered_schema if again else list_schema,
        [len(item.candidates) for item in group],
    )
    return Prompt(
        fill([item.candidates for item in group], again),
        max_tokens=TOKENS_AROUND + TOKENS_AN_ANSWER * len(group),
        schema=schema(len(group), tuple(range(1, max(sizes) + 1))),
        reads=lambda text: (
            parse_picks(text, sizes)
            or (None if again else first_answer_word(text, number_up_to(max(sizes))))
        ),
    )


def choice_verdicts(group: Sequence[ChoiceItem], answer: Answer) -> list[Verdict]:
    """Whether each item of a question was answered rightly.

    Those whose answer cannot be had or read carry the reason.
    """
    picked = (
        {}
        if answer.text is None
        else parse_picks(answer.text, [len(item.candidates) for item in group])
    )
    reason = answer.reason or Reason.UNPARSABLE
    return [
        (
            Verdict(item.context, True, picked[position] == item.position)
            if position in picked
            else Verdict(item.context, True, None, reason)
        )
        for position, item in enumerate(group)
    ]


def parse_picks(text: str, sizes: Sequence[int]) -> dict[int, int]:
    """The candidate, counted from 0, that an answer gives for each item.

    Numbers that no candidate has are no answers.
    """
    said = parse_answers(text, len(sizes), number_up_to(max(sizes, default=0)))
    return {position: pick - 1 for position, (pick, _) in said.items() if pick <= sizes[position]}


def number_up_to(most: int) -> Callable[[str], int | None]:
    """Reads a candidate's number, counted from 1."""
    return lambda word: (
        int(word) if word.isascii() and word.isdecimal() and 1 <= int(word) <= most else None
    )


def accuracy_estimates(verdicts: Sequence[Verdict], k: int) -> dict[str, Estimate]:
    """Accuracy, with its Wilson interval, what guessing gets, and how much of the way from there to
    1 the judge went.
    """
    accuracy, chance = (
        wilson_interval(sum(verdict.answer is True for verdict in verdicts), len(verdicts)),
        1 / k,
    )
    above = Estimate(
        *((x - chance) / (1 - chance) for x in (accuracy.value, accuracy.low, accuracy.high))
    )
    return {
        "accuracy": accuracy,
        "chance": Estimate(chance, chance, chance),
        "accuracy_above_chance": above,
    }


def count_unanswered(verdicts: Sequence[Verdict]) -> int:
    """How many items have no answer."""
    return sum(verdict.answer is None for verdict in verdicts)
