"""Somebody who takes every prompt at its word: reads the rule that stands there as the explanation,
runs it, and answers.

It sees the text of the prompt and nothing else, so that it knows no more than a language model
would.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy import ndarray

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt, PromptToken, TokenLogprob
from gloss.models.chat_models.token_marks import Marks
from gloss.records import Failure, Score
from gloss.rules import Passage, execute, parse_rule

T = TypeVar("T")
PIECES = re.compile(r" [^\s.,:()\[\]]+|[.,:()\[\]]|\n| ")  # the tokens of the planted text
EXPLANATION = re.compile(r'(?m)^(?:Explanation|Description): (".*")$')
QUOTED = re.compile(r'(?m)^\d+: (".*"|\[.*\])$')
SET = re.compile(r"(?m)^Set \d+:$")
FOLLOWS, OTHERWISE = -2.0, -6.0  # nats of a token that the explanation names, and of any other


@dataclass(frozen=True)
class Reader:
    """Answers for one score.

    `knows` is the rule of the feature, for questions that come without an explanation.
    """

    ids: dict[str, int]  # of the vocabulary's strings
    rng: np.random.Generator  # breaks ties
    knows: str = ""

    def finish(self, conversation: Conversation[Score | Failure]) -> Score:
        """Hold the conversation to its end. Raises ValueError where there is no score."""
        found = self.hold(conversation)
        if isinstance(found, Failure):
            raise ValueError(found.detail)
        return found

    def hold(self, conversation: Conversation[T]) -> T:
        """What a conversation returns."""
        try:
            prompts = next(conversation)
            while True:
                prompts = conversation.send(self.answers(prompts))
        except StopIteration as over:
            return over.value

    def answers(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """An answer to each prompt, by what it asks for."""
        return [self.answer(prompt) for prompt in prompts]

    def answer(self, prompt: Prompt) -> Answer:
        text = prompt.messages[-1].text
        if prompt.plain is not None:
            return (
                self.predicted(prompt.plain)
                if "\t?\n" in prompt.plain
                else self.surprise(prompt.plain)
            )
        if prompt.needs_logprobs:
            return self.last_token(text)
        if SET.search(text):
            return answers([1 + self.picked(part, text) for part in SET.split(text)[1:]])
        rule, items = explanation(text), [json.loads(found) for found in QUOTED.findall(text)]
        if "\nTokens:\n" in text:
            values = self.strengths(rule, [items])[0]
            scaled = np.round(10 * values / max(values.max(initial=0), 1e-9)).astype(int).tolist()
            return Answer(
                json.dumps(
                    {
                        "activations": {
                            str(at): value for at, value in enumerate(scaled, start=1) if value
                        }
                    }
                )
            )
        shares = self.marked_shares(rule, items, text)
        return answers([int(share > 0.5) for share in shares])

    def strengths(self, rule: str, contexts: Sequence[Sequence[str]]) -> list[ndarray]:
        """What the rule predicts of each token of each context; nothing where it is no rule."""
        lengths = [len(context) for context in contexts]
        try:
            meant = parse_rule(rule)
        except BadInput:
            return [np.zeros(length) for length in lengths]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        tokens = np.array([self.ids[piece] for context in contexts for piece in context], np.int32)
        return np.split(execute(meant, Passage(tokens, offsets, tuple(self.ids))), offsets[1:-1])

    def marked_shares(self, rule: str, texts: Sequence[str], asked: str) -> list[float]:
        """Of the marked tokens of each text the share that the rule names.

        Of an unmarked text, whether it names any at all.
        """
        marks = marks_of(asked)
        read = [pieces(text, marks) for text in texts]
        predicted = self.strengths(rule, [[piece for piece, _ in one] for one in read])
        shares: list[float] = []
        for one, values in zip(read, predicted, strict=True):
            marked = np.array([inside for _, inside in one], bool)
            shares.append(
                float((values[marked] > 0).mean()) if marked.any() else float((values > 0).any())
            )
        return shares

    def picked(self, part: str, asked: str) -> int:
        """Which candidate of a set the explanation fits best.

        Without an explanation, which fits what is known least.
        """
        found = [json.loads(one) for one in QUOTED.findall(part)]
        rule = explanation(asked) or self.knows
        fits = np.array(
            [
                np.mean(self.marked_shares(rule, [one] if isinstance(one, str) else one, asked))
                for one in found
            ]
        )
        wanted = fits.max() if explanation(asked) else fits.min()
        return int(self.rng.choice(np.flatnonzero(fits == wanted)))

    def predicted(self, plain: str) -> Answer:
        """A number for certain at each `?` of the last context."""
        lines = plain[plain.rindex('"\n') + 2 :].removesuffix("\t?\n").split("\t?\n")
        values = self.strengths(
            explanation(plain), [[line.replace("\\n", "\n") for line in lines]]
        )[0]
        at, tokens = len(plain) - sum(len(line) + 3 for line in lines), []
        for line, value in zip(lines, values, strict=True):
            at += len(line) + 1
            tokens.append(PromptToken(at, at + 1, "?", -1.0, ((str(10 * int(value > 0)), 0.0),)))
            at += 2
        return Answer("", prompt_logprobs=tuple(tokens))

    def surprise(self, plain: str) -> Answer:
        """Log-probabilities of the last text: high where the description names the token."""
        start = plain.rindex("\nText:\n") + len("\nText:\n")
        read, told = PIECES.findall(plain[start:]), explanation(plain)
        values = self.strengths(told, [read])[0]
        ends = start + np.cumsum([len(piece) for piece in read])
        return Answer(
            "",
            prompt_logprobs=tuple(
                PromptToken(
                    int(end) - len(piece), int(end), piece, FOLLOWS if value > 0 else OTHERWISE
                )
                for piece, end, value in zip(read, ends, values, strict=True)
            ),
        )

    def last_token(self, asked: str) -> Answer:
        """A number for the last token of a text."""
        [text] = re.findall(r'(?m)^Text: (".*")$', asked)
        value = str(
            10
            * int(self.strengths(explanation(asked), [PIECES.findall(json.loads(text))])[0][-1] > 0)
        )
        return Answer(value, logprobs=(TokenLogprob(value, 0.0, ((value, 0.0),)),))


def answers(values: Sequence[int]) -> Answer:
    """A list of numbers as prompts want it."""
    return Answer(json.dumps({"answers": list(values)}))


def explanation(text: str) -> str:
    """The last one that stands in a text; empty where there is none."""
    found = EXPLANATION.findall(text)
    return json.loads(found[-1]) if found else ""


def marks_of(asked: str) -> Marks | None:
    """The marks that a prompt names."""
    found = re.search(r"(?m)^Marks: (\S+) and (\S+)$", asked)
    return Marks(*found.groups()) if found else None


def pieces(text: str, marks: Marks | None) -> list[tuple[str, bool]]:
    """The tokens of a text, and whether each is marked."""
    stretches = marks.parse(text) if marks else [(text, False)]
    return [(piece, inside) for stretch, inside in stretches for piece in PIECES.findall(stretch)]
