"""The game of the embedded subject's heads: which of them copy the name of an argument?

Each prompt is the head of a Python method that has stored its first argument and is about to store
the second; the value is the mean logit of the second argument's name minus that of the first. Heads
are ablated to their mean over the prompts.
"""

from importlib.resources import files
from itertools import permutations
from pathlib import Path

import numpy as np

from gloss.attribute.measures import LogitDifference, pad_token_rows
from gloss.attribute.players.model_components import AblationGame, Heads
from gloss.models.subject import Subject

NAMES = ("name", "value", "path", "data", "key", "size", "text", "code", "mode", "line")
THREE_LAYERS = (0, 1, 2)


def embedded() -> Subject:
    """The subject that comes with the package."""
    return Subject.load(Path(str(files("gloss.models"))) / "embedded" / "subject", device="cpu")


def prompt(first: str, second: str) -> str:
    """What is said before the name that is to be copied."""
    return f"(self, {first}, {second}):\n    self.{first} = {first}\n    self.{second} ="


def drawn() -> list[tuple[str, str]]:
    """All ordered pairs of names, in an order that is always the same."""
    pairs = list(permutations(NAMES, 2))
    return [pairs[number] for number in np.random.default_rng(0).permutation(len(pairs)).tolist()]


def fixed_prompts() -> list[tuple[str, str]]:
    """The four whose game is attributed."""
    return drawn()[:4]


def other_prompts() -> list[tuple[str, str]]:
    """Twelve more, by which nothing is chosen."""
    return drawn()[4:16]


def game(
    subject: Subject, pairs: list[tuple[str, str]], layers: tuple[int, ...] = ()
) -> AblationGame:
    """Heads of some layers, or all, as players.

    The value is the mean logit difference over the prompts.
    """
    rows = [[subject.start_token, *subject.encode(prompt(*pair))] for pair in pairs]
    right, wrong = (
        tuple((subject.encode(" " + pair[index])[0],) for pair in pairs) for index in (1, 0)
    )
    measure = LogitDifference(right, wrong)
    return AblationGame(subject, Heads.of(subject, layers), pad_token_rows(rows), measure)
