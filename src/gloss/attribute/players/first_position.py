"""What stands in front of a prompt, told to people, and whether what comes to stand right behind it
drives a game's values: an artefact of taking words away, and no reason for an answer.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.attribute.players.prompt_games import PromptGame
from gloss.models.subject import Subject

MASKS = 16  # that keep half, beside three near the whole prompt
ROWS = 2 * (MASKS + 3)  # that the check reads
# of the variation of values; prompts of SmolLM2 had at most .10 behind its neutral token, and up
# to .45 behind the token that opens its turns
MOST_BY_PLACE = 0.15
NOTHING = 1e-9  # variance of values that do not vary


@dataclass(frozen=True)
class FirstPosition:
    """How much of the values' variation changes with a line break behind the front token."""

    share: float
    says: str  # the front token

    @property
    def drives(self) -> bool:
        """Whether that is too much to read the result without it."""
        return self.share > MOST_BY_PLACE

    @property
    def note(self) -> str:
        """What it means, in a sentence."""
        return (
            f"The first position drives this: {self.share:.0%} of how values vary over"
            f" {MASKS + 3} masks changes where a line break stands between {self.says!r} and what"
            " is left of the prompt, so an interaction with the first word may be its place alone;"
            " compare --removal mask."
        )


def first_position_check(
    game: PromptGame,
    rng: np.random.Generator,
    groups: Int64[ndarray, " player"] | None = None,
) -> FirstPosition:
    """Values of a few masks, as they are and with a line break behind the front token. Players of
    the same of the `groups` are kept or removed together.

    The share is Var(v - w) / (Var(v) + Var(w)): 0 where one is the other up to a constant, 1 where
    they have nothing to do with each other. It costs `ROWS` rows.
    """
    subject = game.subject
    own = np.arange(len(game.players)) if groups is None else groups
    n = int(own.max()) + 1
    masks = np.concatenate([rng.random((MASKS, n)) < 0.5, np.tri(3, n, -1) == 0])[:, own]
    front = subject.front_token
    between = (subject.encode("\n") or [front])[-1]
    moved = [[(front, between, *game.prompt.remaining(mask))] for mask in masks]
    plain = [[(front, *game.prompt.remaining(mask))] for mask in masks]
    share = variation_share(game.measured(plain), game.measured(moved))
    return FirstPosition(share, subject.vocabulary().strings[front])


def variation_share(one: Float64[ndarray, " mask"], other: Float64[ndarray, " mask"]) -> float:
    """How much of the variation of two series is in their difference."""
    both = float(one.var() + other.var())
    return float((one - other).var()) / both if both > NOTHING else 0.0


def front_note(subject: Subject) -> str:
    """Why the token in front is not the model's start token, in a sentence; "" where it is."""
    front, start = subject.front_token, subject.start_token
    if front == start:
        return ""
    strings = subject.vocabulary().strings
    why = (
        "the model has no start token"
        if start is None
        else f"what follows the model's own start token {strings[start]!r} is read as a role"
    )
    return f"Every mask, and the whole prompt, is read behind {strings[front]!r}, for {why}."


def shared_token_note(players: tuple[str, ...], unit: str, count: int) -> str:
    """That some of the words, sentences or lines are one player, in a sentence; "" where none are.

    `count` is how many there would be.
    """
    if count == len(players):
        return ""
    example = max(players, key=lambda player: len(player.split()))
    return (
        f"{count:,} {unit} are {len(players):,} players, such as {example!r}, for a token of this"
        " model holds parts of more than one."
    )
