"""A smaller model that proposes what matters to the one that is asked about."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import Evaluations, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.proxied import Proxied
from gloss.attribute.players.prompt_parts import PromptUnit, Removal
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.values import AttributedValue
from gloss.errors import BadSettings, Mismatch
from gloss.run.keys import result_key
from gloss.run.sources import NamedModel
from gloss.store.lock import sole_writer

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

PROXY_VALUES = 2048  # of the proxy, where nothing else is asked for
GIVEN = "given"  # the name of a proxy that was handed over as an object


def refuse_proxy(question: AttributionQuestion, attributor: Any) -> None:
    """Raises BadSettings where no proxy can play the game of a settled question."""
    why = ""
    if question.prompts or question.players_kind not in map(str, PromptUnit):
        why = "a proxy reads words of the same prompt, and these players are not"
    elif question.unit == PromptUnit.TOKENS or question.removal == Removal.FADE:
        why = "a proxy has other tokens; give --unit words, sentences or lines"
    elif question.kind is AttributedValue.ACTIVATION:
        why = "a proxy has no such feature; give --answer"
    elif not question.answer and question.kind is not AttributedValue.KL:
        why = "a proxy must be asked about the same answer; give --answer"
    elif not isinstance(attributor, Auto):
        why = "it stands beside --method auto alone; choose that"
    if why:
        raise BadSettings(f"--proxy: {why}, or leave --proxy out")


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


@dataclass(frozen=True)
class OpenedProxy:
    """A proxy that reads the same prompt, with its own players."""

    named: NamedGame
    name: str
    values_name: str = field(default="", kw_only=True)  # of the file that keeps its values

    @staticmethod
    def of(question: AttributionQuestion, proxy: "Subject | str | Path") -> "OpenedProxy":
        """The proxy of a settled question, loaded where it is given by name.

        Raises what a model that cannot be loaded raises.
        """
        from gloss.attribute.players.subject_games import build_subject_game

        name = str(proxy) if isinstance(proxy, str | Path) else GIVEN
        its = replace(question, model=name, base_url="", adapter="", value=str(question.kind))
        if not isinstance(proxy, str | Path):
            return OpenedProxy(build_subject_game(its, proxy, load_no_dictionary), name)
        source = NamedModel.of(name, question.device, question.dtype)
        content = result_key(source.content)
        reader = loaded_proxy(name, question.device, question.dtype, content)
        named = build_subject_game(its, reader, load_no_dictionary)
        key = result_key(asdict(its), named.value, named.reading, [source.content])
        return OpenedProxy(named, last_part(name), values_name=f"proxy-{key}")

    def lock(self, folder: Path, *, wait: bool) -> AbstractContextManager[Any]:
        """Held while values are added to its file."""
        return sole_writer(folder, wait=wait, of=self.values_name)

    def beside(
        self,
        auto: Auto,
        asked: NamedGame,
        values: int = PROXY_VALUES,
        folder: Path | None = None,
        counted: Callable[[Game], Game] = lambda game: game,
    ) -> Proxied:
        """`auto` beside the proxy under the players of the game that is asked about.

        Its values are kept in the folder. Raises Mismatch where the players have no text in common.
        """
        path = folder / self.values_name if folder and self.values_name else None
        own = Evaluations(counted(self.named.game), path)
        return Proxied(AlignedGame.of(own, self.named, asked), auto, values, self.name)


@lru_cache(maxsize=1)
def loaded_proxy(name: str, device: str, dtype: str, content: str) -> "Subject":
    """The model of this name and content, loaded once for all prompts of a batch."""
    return NamedModel.of(name, device, dtype).load()


def open_proxy(
    question: AttributionQuestion, attributor: Any, proxy: "Subject | str | Path | None"
) -> OpenedProxy | None:
    """The proxy that is named or handed over; None where there is none.

    Raises BadSettings where it cannot play the game.
    """
    if not proxy:
        return None
    refuse_proxy(question, attributor)
    return OpenedProxy.of(question, proxy)


def planned_of_proxy(name: str, values: int) -> str:
    """What is going to be asked of a proxy."""
    return (
        f"The proxy {last_part(name)} is asked for up to {values:,} values, and for those of the"
        " masks that the model is asked about."
    )


def lock_of(proxy: OpenedProxy | None, folder: Path, *, wait: bool) -> AbstractContextManager[Any]:
    """The proxy's lock; nothing where there is none."""
    return proxy.lock(folder, wait=wait) if proxy else nullcontext()


def load_no_dictionary(source: str) -> "Dictionary":
    """Raises BadSettings: a proxy reads none."""
    raise BadSettings(f"{source}: a proxy reads no dictionary; leave --proxy out")


def last_part(model: str) -> str:
    """The last part of a path or of a name on the hub."""
    return model.rstrip("/").rpartition("/")[2]
