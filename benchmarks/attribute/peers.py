"""shapiq's approximators, in a process of another Python that asks this one for values."""

import os
import pickle
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute.shapiq_peer import unpacked
from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import Game

PEER = Path(__file__).with_name("shapiq_peer.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class Answer(NamedTuple):
    """What a peer found, from how many different masks, in how many processor seconds."""

    numbers: Float64[ndarray, " number"]
    masks: int
    seconds: float


class Refused(Exception):
    """A peer cannot do this; says why."""


class Peers:
    """The process; ends with the block."""

    def __init__(self, python: Path) -> None:
        self.process = subprocess.Popen(
            [str(python), str(PEER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ONE_THREAD,
        )
        (self.version,) = self._heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def predict(
        self, method: str, game: Game, asked: tuple[int, int], masks: Bool[ndarray, "mask player"]
    ) -> Answer:
        """What a method says of masks; `asked` are the budget and the seed. Raises Refused."""
        return self._ask(game, asked, index="predict", method=method, masks=packed(masks))

    def estimate(
        self,
        index: str,
        method: str,
        game: Game,
        asked: tuple[int, int],
        sets: Sequence[PlayerSet],
    ) -> Answer:
        """What a method says an index of sets is. Raises Refused."""
        return self._ask(game, asked, index=index, method=method, sets=list(sets))

    def _ask(self, game: Game, asked: tuple[int, int], **question: object) -> Answer:
        budget, seed = asked
        self._tell(question | {"players": len(game.players), "budget": budget, "seed": seed})
        while True:
            kind, *said = self._heard()
            if kind == "refused":
                raise Refused(said[0])
            if kind == "found":
                return Answer(np.frombuffer(said[0]), *said[1:])
            self._tell(np.asarray(game.values(unpacked(said[0])), np.float64).tobytes())

    def _tell(self, message: object) -> None:
        assert self.process.stdin
        pickle.dump(message, self.process.stdin)
        self.process.stdin.flush()

    def _heard(self) -> tuple:
        assert self.process.stdout
        try:
            return pickle.load(self.process.stdout)
        except EOFError:
            raise SystemExit(
                f"{self.process.args[0]} ended; does it have shapiq 1.8 and what it needs?"
            ) from None


def packed(masks: Bool[ndarray, "mask player"]) -> tuple[int, int, bytes]:
    """Rows, players and bits."""
    return (*masks.shape, np.packbits(masks, axis=1).tobytes())
