"""Riddles: which one of k candidates is it? Asked many at a time; a judge who guesses finds one in k."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gloss.models.prompts import Answer, Conversation, Message, Prompt, list_schema, numbered_schema
from gloss.records import Estimate, Reason, Verdict
from gloss.score.answers import mentioned, read
from gloss.score.asking import TOKENS_AN_ANSWER, TOKENS_AROUND
from gloss.score.intervals import wilson


@dataclass(frozen=True, slots=True)
class Riddle:
    """One question: the context that its verdict stands for, which candidate is right, and what the judge reads of each."""

    context: int
    place: int  # of the right candidate, from 0
    candidates: tuple[str, ...]


Fill = Callable[[list[tuple[str, ...]], bool], tuple[Message, ...]]
"""Makes the turns of a question from the candidates of its riddles, and from whether it is asked once more."""


def solve(riddles: Sequence[Riddle], fill: Fill, riddles_per_question: int) -> Conversation[tuple[Verdict, ...]]:
    """Ask which candidate each riddle means, in questions of nearly equal size; a verdict says whether it was found.

    Riddles that an answer leaves out, or leaves in doubt, are asked once more, by number.
    """
    rows = np.array_split(np.arange(len(riddles)), max(1, -(-len(riddles) // riddles_per_question)))
    groups = [[riddles[row] for row in one] for one in rows]
    answers = yield [prompt(group, fill) for group in groups]
    verdicts = [verdict for group, answer in zip(groups, answers, strict=True) for verdict in verdicts_of(group, answer)]
    read_in_part = [
        [row for row in one if verdicts[row].answer is None] for one, answer in zip(rows, answers, strict=True) if answer.text
    ]
    if left := [one for one in read_in_part if one]:
        answers = yield [prompt([riddles[row] for row in one], fill, again=True) for one in left]
        for one, answer in zip(left, answers, strict=True):
            for row, verdict in zip(one, verdicts_of([riddles[row] for row in one], answer), strict=True):
                verdicts[row] = verdict
    return tuple(verdicts)


def prompt(group: Sequence[Riddle], fill: Fill, *, again: bool = False) -> Prompt:
    """A question about these riddles."""
    schema, sizes = numbered_schema if again else list_schema, [len(riddle.candidates) for riddle in group]
    return Prompt(
        fill([riddle.candidates for riddle in group], again),
        max_tokens=TOKENS_AROUND + TOKENS_AN_ANSWER * len(group),
        schema=schema(len(group), range(1, max(sizes) + 1)),
        reads=lambda text: picks(text, sizes) or (None if again else mentioned(text, number_up_to(max(sizes)))),
    )


def verdicts_of(group: Sequence[Riddle], answer: Answer) -> list[Verdict]:
    """Whether each riddle of a question was solved; those whose answer cannot be had or read carry the reason."""
    picked = {} if answer.text is None else picks(answer.text, [len(riddle.candidates) for riddle in group])
    reason = answer.reason or Reason.UNPARSABLE
    return [
        Verdict(riddle.context, True, picked[place] == riddle.place)
        if place in picked
        else Verdict(riddle.context, True, None, reason)
        for place, riddle in enumerate(group)
    ]


def picks(text: str, sizes: Sequence[int]) -> dict[int, int]:
    """The candidate, counted from 0, that an answer gives for each riddle; numbers that no candidate has are no answers."""
    said = read(text, len(sizes), number_up_to(max(sizes, default=0)))
    return {place: pick - 1 for place, (pick, _) in said.items() if pick <= sizes[place]}


def number_up_to(most: int) -> Callable[[str], int | None]:
    """Reads a candidate's number, counted from 1."""
    return lambda word: int(word) if word.isascii() and word.isdecimal() and 1 <= int(word) <= most else None


def estimates(verdicts: Sequence[Verdict], k: int) -> dict[str, Estimate]:
    """Accuracy, with its Wilson interval, what guessing gets, and how much of the way from there to 1 the judge went."""
    accuracy, chance = wilson(sum(verdict.answer is True for verdict in verdicts), len(verdicts)), 1 / k
    above = Estimate(*((x - chance) / (1 - chance) for x in (accuracy.value, accuracy.low, accuracy.high)))
    return {"accuracy": accuracy, "chance": Estimate(chance, chance, chance), "accuracy_above_chance": above}


def lost(verdicts: Sequence[Verdict]) -> int:
    """How many riddles have no answer."""
    return sum(verdict.answer is None for verdict in verdicts)
