"""The same prompt in two games whose models cut it differently."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import Game
from gloss.attribute.question import NamedGame
from gloss.errors import Mismatch


@dataclass(frozen=True)
class AlignedGame:
    """A game under the players of another: one of its own is kept where all of theirs that share
    text with it are.
    """

    game: Game
    players: tuple[str, ...]  # the other's
    shares: Bool[ndarray, "own other"]  # whether the two have characters in common

    @staticmethod
    def of(game: Game, own: NamedGame, other: NamedGame) -> "AlignedGame":
        """Players of `own`, which `game` values, under those of `other`.

        Raises Mismatch where one of them has no text.
        """
        mine, theirs = players_of_characters(own), players_of_characters(other)
        shares = np.zeros((len(own.game.players), len(other.game.players)), np.bool_)
        for one, another in zip(mine, theirs, strict=False):
            if one is not None and another is not None:
                shares[one, another] = True
        if not (shares.any(axis=0).all() and shares.any(axis=1).all()):
            raise Mismatch(
                "the proxy cuts this prompt into other players than the model, some of which share"
                " no text; give --unit words, sentences or lines, or leave --proxy out"
            )
        return AlignedGame(game, other.game.players, shares)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The game's own, of its players that are left whole."""
        return self.game.values(~((~masks) @ self.shares.T))


def players_of_characters(named: NamedGame) -> list[int | None]:
    """The player of each character of the prompt; None where it is no player's."""
    return [player for text, player in named.text for _ in text]
