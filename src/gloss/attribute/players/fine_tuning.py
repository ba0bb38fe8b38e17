"""The game of what a language model was fine-tuned on: it is trained on the examples that are kept,
and what it then says after a prompt is the value.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor, nn

from gloss.attribute.game import packed_masks
from gloss.attribute.learners import FineTune
from gloss.attribute.measures import Measure, measure_rows, pad_token_rows
from gloss.attribute.players.example_file import Example, GroupedExamples
from gloss.attribute.players.prompt_parts import spaced_answer
from gloss.attribute.players.subject_games import answer_tokens, build_measure, prompt_behind_front
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import PADDING


class LearnedText(NamedTuple):
    """Tokens that are trained on, the front token first, and from where on they are predicted."""

    tokens: tuple[int, ...]
    begin: int


@contextmanager
def fine_tuned(
    subject: Subject, learner: FineTune, texts: Sequence[LearnedText], rng: np.random.Generator
) -> Generator[Subject]:
    """The subject with the weights that training on these texts gives it; its own come back at the
    end.

    Raises BadSettings for weights of fewer than 32 bits, which small steps do not move.
    """
    weights = trained_weights(subject, learner)
    before = [(each.detach().clone(), each.requires_grad) for each in weights]
    try:
        for each in weights:
            each.requires_grad_()
        descent = torch.optim.AdamW(weights, lr=learner.rate, weight_decay=0.0)
        for _ in range(learner.epochs):
            for some in batches(texts, learner.batch, rng):
                descent.zero_grad()
                learning_loss(subject, some).mean().backward()
                descent.step()
        yield subject
    finally:
        with torch.no_grad():
            for each, (start, needed) in zip(weights, before, strict=True):
                each.copy_(start)
                each.requires_grad_(needed).grad = None


def trained_weights(subject: Subject, learner: FineTune) -> list[nn.Parameter]:
    """What is trained. Raises BadSettings for weights of fewer than 32 bits."""
    part = subject.model if learner.weights == "all" else subject.anatomy.layers[-1]
    weights = list(part.parameters())
    if weights[0].dtype not in (torch.float32, torch.float64):
        raise BadSettings(
            f"the model has weights of {weights[0].dtype}, which small steps do not move; give"
            " --dtype float32"
        )
    return weights


def batches(
    texts: Sequence[LearnedText], size: int, rng: np.random.Generator
) -> Iterator[list[LearnedText]]:
    """All of them once, in an order that is drawn."""
    order = rng.permutation(len(texts)).tolist()
    for begin in range(0, len(order), size):
        yield [texts[number] for number in order[begin : begin + size]]


def learning_loss(subject: Subject, texts: Sequence[LearnedText]) -> Float[Tensor, " text"]:
    """The mean cross-entropy of each text's predicted tokens, in nats, with its graph."""
    rows = pad_token_rows([text.tokens for text in texts])
    place = torch.arange(1, rows.shape[1]).expand(len(texts), -1)
    begin = torch.tensor([text.begin for text in texts])[:, None]
    counted = (place >= begin) & (rows[:, 1:] != PADDING)
    logits = subject.logits_at(rows, place - 1, grad=True)
    wanted = torch.where(counted, rows[:, 1:], PADDING)
    missed = nn.functional.cross_entropy(
        logits.transpose(1, 2), wanted, ignore_index=PADDING, reduction="none"
    )
    return missed.sum(1) / counted.sum(1)


@dataclass(frozen=True)
class FineTuningGame:
    """The value of training on the texts of some players: a measure of the trained subject after a
    prompt.

    Every mask is trained on in an order of its own, drawn from the seed and the mask, so that
    values differ by what they would if somebody else trained; asked again it is another order.
    """

    players: tuple[str, ...]
    subject: Subject
    texts: tuple[LearnedText, ...]
    owners: Int64[ndarray, " text"]  # the player that each text belongs to
    prompt: tuple[int, ...]  # front token first
    measure: Measure
    learner: FineTune
    seed: int = 0

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One training a mask."""
        return self.values_again(masks, 0)

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """One training a mask, each in the `time`-th other order."""
        with one_thread():
            return np.array([self._value(mask, time) for mask in masks], dtype=np.float64)

    def _value(self, mask: Bool[ndarray, " player"], time: int) -> float:
        kept = np.flatnonzero(mask[self.owners]).tolist()
        texts = [self.texts[number] for number in kept]
        rng = self.order_of(mask, time)
        with fine_tuned(self.subject, self.learner, texts, rng) as trained:
            return float(measure_rows(trained, [self.prompt], self.measure)[0])

    def order_of(self, mask: Bool[ndarray, " player"], time: int) -> np.random.Generator:
        """What the orders of a mask's texts are drawn from."""
        [key] = packed_masks(mask[None])
        drawn = hashlib.sha256(f"{self.seed} {time} ".encode() + key).digest()
        return np.random.default_rng(int.from_bytes(drawn[:16]))


@contextmanager
def one_thread() -> Generator[None]:
    """Sums are of the same order whatever the machine, and small models are quickest so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def build_fine_tuning_game(
    question: AttributionQuestion, subject: Subject, learner: FineTune, grouped: GroupedExamples
) -> NamedGame:
    """The game of a settled question.

    Raises BadInput for an example that the model cannot read, and what `build_measure` raises.
    """
    asked = replace(
        question,
        answer=spaced_answer(question.prompt, question.answer),
        other=spaced_answer(question.prompt, question.other),
    )
    measure, value = build_measure(asked, subject, refuse_dictionaries)
    texts = tuple(learned_text(subject, each) for each in grouped.examples)
    trained_weights(subject, learner)
    prompt = tuple(prompt_behind_front(subject, question.prompt)[0].tolist())
    game = FineTuningGame(
        grouped.players, subject, texts, grouped.owners, prompt, measure, learner, question.seed
    )
    how = f"epochs {learner.epochs}, texts a step {learner.batch}, rate {learner.rate:g}"
    what = "all weights" if learner.weights == "all" else "the last layer's weights"
    note = f"The model is fine-tuned on what is kept ({how}, {what}), each mask in an order drawn."
    return NamedGame(game, value, reading="examples are not trained on", notes=(note,))


def learned_text(subject: Subject, example: Example) -> LearnedText:
    """What is trained on: the label behind its text, or the text itself where it has none.

    Raises BadInput where that is no token, or too many.
    """
    text, front = subject.encode(example.text), (subject.front_token,)
    label = spaced_answer(example.text, example.label)
    said = answer_tokens(subject, label, example.text) if label else ()
    found = LearnedText((*front, *text, *said), 1 + len(text) if said else 1)
    most = subject.context or len(found.tokens)
    if not found.begin < len(found.tokens) <= most:
        raise BadInput(
            f"the example {example.name[:60]!r} has {len(found.tokens) - 1} tokens, and the model"
            f" reads 1 to {most - 1}; cut it or leave it out"
        )
    return found


def refuse_dictionaries(name: str) -> Dictionary:
    """No value of an answer reads one."""
    raise AssertionError(name)
