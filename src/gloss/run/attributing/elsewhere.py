"""Games whose values come from elsewhere: from an endpoint, or from a table that somebody has measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from gloss.attribute.game import Table
from gloss.attribute.games.asked import Asked, Reading
from gloss.attribute.games.parts import Unit
from gloss.errors import BadInput
from gloss.models.capabilities import Capabilities
from gloss.models.chat import Chat
from gloss.models.prompts import Conversation
from gloss.run.attributing.question import Question, Way
from gloss.run.capabilities import tell_key

T = TypeVar("T")
VALUE = "value"  # the column that is no player


@dataclass(frozen=True)
class Endpoint:
    """An endpoint with the ledger of its answers, so that none is paid for twice."""

    chat: Chat
    ledger: Path
    known: Capabilities

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """What each conversation returned."""
        return self.chat.hold(conversations, np.random.default_rng(0), ledger=self.ledger, capabilities=self.known)


def behind_an_endpoint(question: Question, way: Way) -> Asked:
    """The game of a prompt whose answer an endpoint gives, read as exactly as it allows."""
    chat = Chat(question.model, question.base_url)
    tell_key(chat.base_url, chat.api_key_env)
    known = chat.capabilities(np.random.default_rng(way.seed))
    partner = Endpoint(chat, way.folder / "answers.sqlite", known)
    return Asked(partner, question.prompt, question.answer, Unit(question.players.unit), reading_of(known))


def reading_of(can: Capabilities) -> Reading:
    """The best that an endpoint allows."""
    if can.own_text.missing is None:
        return Reading.OWN_TEXT
    return Reading.LOGPROBS if can.logprobs else Reading.SAMPLES


def table_of(path: Path) -> Table:
    """A game from a file: `.npz` with `masks`, `values` and perhaps `players`, or `.csv` or `.parquet` with a column a player.

    The columns of players hold 0 and 1; the column `value` holds the values. Raises BadInput where it is none of these.
    """
    try:
        if path.suffix == ".npz":
            return of_arrays(path)
        content = pq.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
        if VALUE not in content.column_names:
            raise BadInput(f"{path} has no column {VALUE!r}; it has {', '.join(content.column_names[:8])}")
        players = tuple(name for name in content.column_names if name != VALUE)
        masks = np.stack([content[name].to_numpy() for name in players], axis=1)
        return checked(path, players, masks, content[VALUE].to_numpy())
    except (OSError, ValueError, KeyError, pa.ArrowInvalid) as problem:
        raise BadInput(f"{path} cannot be read as a table of masks and values: {problem}") from problem


def of_arrays(path: Path) -> Table:
    """The arrays of a `.npz` file."""
    with np.load(path, allow_pickle=False) as arrays:
        masks, values = arrays["masks"], arrays["values"]
        names = arrays["players"].tolist() if "players" in arrays else range(masks.shape[1])
        return checked(path, tuple(map(str, names)), masks, values)


def checked(path: Path, players: tuple[str, ...], masks: np.ndarray, values: np.ndarray) -> Table:
    """Raises BadInput for masks that are not made of 0 and 1."""
    if len(wrong := masks[~np.isin(masks, (0, 1))]):
        raise BadInput(f"{path}: masks hold {float(wrong[0]):g}; write 1 for a player that is kept and 0 for one that is not")
    return Table(players, masks.astype(np.bool_), values.astype(np.float64))
