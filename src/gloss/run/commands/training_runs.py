"""Games whose every value is a training: kept in small batches, and trained in several processes
where that is asked for.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import Game
from gloss.attribute.learners import FineTune, parse_learner
from gloss.attribute.players.example_games import build_examples_game
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.errors import BadSettings
from gloss.run.execute.workers import WorkerPool, worker_processes
from gloss.run.sources import NamedModel

if TYPE_CHECKING:
    from gloss.models.subject import Subject

TRAININGS, OTHERS = 16, 256  # values that are written down together
Training = tuple[Bool[ndarray, " player"], int]  # which players are kept, and which drawing


@dataclass
class TrainingRuns:
    """A game of fine-tuning: each mask is one training, here or in a process of a pool.

    The values do not depend on where they come from.
    """

    game: Game
    question: AttributionQuestion
    pool: WorkerPool[Training, float] | None = None

    @property
    def players(self) -> tuple[str, ...]:
        """The game's own."""
        return self.game.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One training a mask."""
        return self.values_again(masks, 0)

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """One training a mask, each in the `time`-th other order."""
        if self.pool is None:
            return trained_values(self.game, masks, time)
        trainings = [(mask, time) for mask in masks]
        found = dict(self.pool.results(trainings, lambda _: "a training"))
        return np.array([found[place] for place in range(len(masks))])

    @contextmanager
    def processes(self, jobs: int) -> Generator[None]:
        """Train in so many processes at a time, each with a model of its own, while this lasts."""
        with worker_processes(jobs, partial(value_in_worker, self.question)) as self.pool:
            try:
                yield
            finally:
                self.pool = None


def trained_values(
    game: Game, masks: Bool[ndarray, "mask player"], time: int
) -> Float64[ndarray, " mask"]:
    """The game's, of the `time`-th drawing."""
    from gloss.attribute.players.fine_tuning import FineTuningGame

    assert isinstance(game, FineTuningGame)
    return game.values_again(masks, time)


def value_in_worker(question: AttributionQuestion, training: Training) -> float:
    """One of these in a process of its own, which reads the model and the examples once."""
    mask, time = training
    return float(trained_values(worker_game(question), mask[None], time)[0])


@lru_cache(maxsize=1)
def worker_game(question: AttributionQuestion) -> Game:
    """The game of a settled question, built here."""
    return build_examples_game(question, lambda: example_model(question).load()).game


def example_model(question: AttributionQuestion) -> NamedModel:
    """The model that is trained, or that reads the examples."""
    return NamedModel.of(question.model, question.device, question.dtype, question.adapter)


def named_training_game(
    question: AttributionQuestion, subject: "Subject | None" = None
) -> NamedGame:
    """The game of a settled question about training examples.

    Without a subject the one that the question names is loaded, where one is read.
    """
    built = build_examples_game(question, lambda: subject or example_model(question).load())
    if not isinstance(parse_learner(question.learner), FineTune):
        return built
    return NamedGame(
        TrainingRuns(built.game, question), built.value, built.text, built.reading, built.notes
    )


def training_processes(game: Game, jobs: int) -> AbstractContextManager[None]:
    """While this lasts the game trains in so many processes.

    Raises BadSettings for more than one where nothing is trained.
    """
    if jobs == 1:
        return nullcontext()
    if not isinstance(game, TrainingRuns):
        raise BadSettings(
            f"--jobs {jobs}: only --learner fine_tune trains in several processes; leave it out"
        )
    return game.processes(jobs)


def values_in_batch(game: Game) -> int:
    """How many are written down together: a killed command loses no more, and each may be long."""
    return TRAININGS if isinstance(game, TrainingRuns) else OTHERS
