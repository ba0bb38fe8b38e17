"""Riddles: which one of k candidates is it? Asked many at a time, read as JSON; a judge who guesses finds one in k."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gloss.models.prompts import Answer, Conversation, Message, Prompt, list_schema
from gloss.records import Estimate, Reason, Verdict
from gloss.score.intervals import wilson
from gloss.score.verdicts import BRACKETS, TOKENS_AN_ANSWER, TOKENS_AROUND


@dataclass(frozen=True, slots=True)
class Riddle:
    """One question: the context that its verdict stands for, which candidate is right, and what the judge reads of each."""

    context: int
    place: int  # of the right candidate, from 0
    candidates: tuple[str, ...]


def solve(
    riddles: Sequence[Riddle],
    fill: Callable[[list[tuple[str, ...]]], tuple[Message, ...]],
    riddles_per_question: int,
) -> Conversation[tuple[Verdict, ...]]:
    """Ask which candidate each riddle means, in questions of nearly equal size; a verdict says whether it was found.

    `fill` makes the turns of a question from the candidates of its riddles.
    """
    questions = np.array_split(np.arange(len(riddles)), max(1, -(-len(riddles) // riddles_per_question)))
    groups = [[riddles[row] for row in rows] for rows in questions]
    answers = yield [
        Prompt(
            fill([riddle.candidates for riddle in group]),
            max_tokens=TOKENS_AROUND + TOKENS_AN_ANSWER * len(group),
            schema=list_schema(len(group), range(1, max(len(riddle.candidates) for riddle in group) + 1)),
        )
        for group in groups
    ]
    return tuple(verdict for group, answer in zip(groups, answers, strict=True) for verdict in verdicts_of(group, answer))


def verdicts_of(group: Sequence[Riddle], answer: Answer) -> list[Verdict]:
    """Whether each riddle of a question was solved; all carry the reason where the answer cannot be had or read."""
    picked = None if answer.text is None else picks(answer.text, [len(riddle.candidates) for riddle in group])
    if picked is None:
        reason = answer.reason or Reason.UNPARSABLE
        return [Verdict(riddle.context, True, None, reason) for riddle in group]
    return [Verdict(riddle.context, True, pick == riddle.place) for riddle, pick in zip(group, picked, strict=True)]


def picks(text: str, sizes: Sequence[int]) -> list[int] | None:
    """The last list of a candidate's number for each riddle, counted from 0; None where there is none."""
    for found in reversed(BRACKETS.findall(text)):
        try:
            values = [str(value).strip() for value in json.loads(found)]
        except json.JSONDecodeError:
            continue
        if len(values) != len(sizes) or not all(value.isascii() and value.isdecimal() for value in values):
            continue
        if all(1 <= int(value) <= size for value, size in zip(values, sizes, strict=True)):
            return [int(value) - 1 for value in values]
    return None


def estimates(verdicts: Sequence[Verdict], k: int) -> dict[str, Estimate]:
    """Accuracy, with its Wilson interval, what guessing gets, and how much of the way from there to 1 the judge went."""
    accuracy, chance = wilson(sum(verdict.answer is True for verdict in verdicts), len(verdicts)), 1 / k
    above = Estimate(*((x - chance) / (1 - chance) for x in (accuracy.value, accuracy.low, accuracy.high)))
    return {"accuracy": accuracy, "chance": Estimate(chance, chance, chance), "accuracy_above_chance": above}


def lost(verdicts: Sequence[Verdict]) -> int:
    """How many riddles have no answer."""
    return sum(verdict.answer is None for verdict in verdicts)
