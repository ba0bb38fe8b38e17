"""Makes the game that a question about training examples means."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.attribute.game import Game
from gloss.attribute.learners import FineTune, Logistic, Neighbours, Ridge, parse_learner
from gloss.attribute.players.example_file import (
    Example,
    group_examples,
    principal,
    read_examples,
    word_vectors,
)
from gloss.attribute.players.training_examples import (
    LogisticGame,
    NearestNeighbourGame,
    RidgeGame,
    TrainingExamples,
)
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.errors import BadInput

if TYPE_CHECKING:
    from gloss.models.subject import Subject

LoadSubject = Callable[[], "Subject"]


@dataclass(frozen=True)
class GroupGame:
    """A game of examples, whose players are groups of them."""

    of_examples: Game
    owners: Int64[ndarray, " example"]  # the player that each example belongs to
    players: tuple[str, ...]

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """Of training on all examples of the players that are kept."""
        return self.of_examples.values(masks[:, self.owners])


@dataclass(frozen=True)
class GroupSlopes(GroupGame):
    """The same where examples may count in part: the group's slope is the sum of theirs."""

    of_examples: RidgeGame | LogisticGame

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """How fast the value grows with each group's weight."""
        found = np.zeros(masks.shape)
        own = self.of_examples.gradients(masks[:, self.owners])
        for example, group in enumerate(self.owners.tolist()):
            found[:, group] += own[:, example]
        return found


def build_examples_game(question: AttributionQuestion, load: LoadSubject) -> NamedGame:
    """The game of a settled question about training examples; `load` gives the subject, where it is
    read.

    Raises BadInput, BadSettings or Mismatch for what cannot be read or does not fit.
    """
    learner = parse_learner(question.learner)
    grouped = group_examples(read_examples(Path(question.examples)), question.groups)
    if isinstance(learner, FineTune):
        from gloss.attribute.players.fine_tuning import build_fine_tuning_game

        return build_fine_tuning_game(question, load(), learner, grouped)
    examples = grouped.examples
    texts, prompt = [each.text for each in examples], question.prompt
    x = (
        word_vectors(texts, [prompt])
        if learner.reads == "words"
        else state_vectors(load(), [*texts, prompt])
    )
    own, value = classical_game(learner, examples, x, question.answer)
    game = (
        GroupSlopes(own, grouped.owners, grouped.players)
        if isinstance(own, RidgeGame | LogisticGame)
        else GroupGame(own, grouped.owners, grouped.players)
    )
    read = "its words, rare ones more" if learner.reads == "words" else "the model's mean state"
    how = ", ".join(
        f"{field.name} {getattr(learner, field.name)}"
        for field in fields(learner)
        if field.name != "reads"
    )
    fitted = f"{question.learner.split()[0]} ({how}) is fitted to what is kept"
    return NamedGame(
        game,
        value,
        reading="examples are not learnt from",
        notes=(f"{fitted}; what stands for a text is {read}.",),
    )


def classical_game(
    learner: Ridge | Logistic | Neighbours,
    examples: tuple[Example, ...],
    x: Float64[ndarray, "text d"],
    answer: str,
) -> tuple[Game, str]:
    """The game on single examples, and what its value is; the last row is the test point."""
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    if isinstance(learner, Ridge):
        y, wanted = [number_of(each.label) for each in examples], number_of(answer)
        told = TrainingExamples(x[:-1], np.array(y), x[-1], wanted)
        said = f"how near the prediction comes to {answer} (minus the squared error)"
        return RidgeGame(told, learner.penalty), said
    require_labels(examples, answer)
    y = np.array([1.0 if each.label == answer else -1.0 for each in examples])
    told = TrainingExamples(x[:-1], y, x[-1], 1.0)
    if isinstance(learner, Logistic):
        said = f"log-odds of {answer!r} against other labels"
        return LogisticGame(told, learner.penalty), said
    said = f"share of the {learner.k} nearest examples whose label is {answer!r}"
    return NearestNeighbourGame(told, learner.k), said


def require_labels(examples: tuple[Example, ...], answer: str) -> None:
    """Raises BadInput where no example has the answer for a label, or all have."""
    labels = list(dict.fromkeys(each.label for each in examples))
    if answer not in labels or len(labels) == 1:
        raise BadInput(
            f"the labels of the examples are {', '.join(map(repr, labels[:8]))}; a classifier needs"
            f" the answer {answer!r} among them, and another"
        )


def number_of(label: str) -> float:
    """A label as a number. Raises BadInput for one that is none."""
    try:
        found = float(label)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise BadInput(
            f"ridge predicts numbers, and {label!r} is none; give labels and an --answer that are"
            " numbers, or --learner logistic"
        )
    return found


def state_vectors(subject: "Subject", texts: list[str]) -> Float64[ndarray, "text direction"]:
    """The mean of the residual stream over each text's tokens, in the middle of the model, in units
    of its deviation over the texts, and of length 1 in the mean.
    """
    import torch

    site = subject.site(f"resid_post.{(subject.layers - 1) // 2}")
    states = list[ndarray]()
    for text in texts:
        tokens = torch.tensor([[subject.front_token, *subject.encode(text)]])
        state = subject.run(tokens, [site]).activations[site][0]
        states.append(state[1:].double().mean(0).cpu().numpy())
    x = np.array(states)
    own = x[:-1]
    deviation = np.where(own.std(0) > 0, own.std(0), 1.0)
    return principal((x - own.mean(0)) / deviation / np.sqrt(x.shape[1]), len(own))
