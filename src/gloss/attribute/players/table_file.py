"""A game from a file: a table of masks and values that somebody has measured."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from gloss.attribute.game import TableGame
from gloss.errors import BadInput

VALUE_COLUMN = "value"  # the column that is no player


def load_table_game(path: Path) -> TableGame:
    """A game from a file: `.npz` with `masks`, `values` and perhaps `players`, or `.csv` or
    `.parquet` with a column a player.

    The columns of players hold 0 and 1; the column `value` holds the values. Raises BadInput where
    it is none of these.
    """
    try:
        if path.suffix == ".npz":
            return table_game_from_arrays(path)
        content = pq.ParquetFile(path).read() if path.suffix == ".parquet" else csv.read_csv(path)
        if VALUE_COLUMN not in content.column_names:
            raise BadInput(
                f"{path} has no column {VALUE_COLUMN!r}; it has"
                f" {', '.join(content.column_names[:8])}"
            )
        players = tuple(name for name in content.column_names if name != VALUE_COLUMN)
        masks = np.stack([content[name].to_numpy() for name in players], axis=1)
        return checked_table_game(path, players, masks, content[VALUE_COLUMN].to_numpy())
    except (OSError, ValueError, KeyError, pa.ArrowInvalid) as problem:
        raise BadInput(
            f"{path} cannot be read as a table of masks and values: {problem}"
        ) from problem


def table_game_from_arrays(path: Path) -> TableGame:
    """The arrays of a `.npz` file."""
    with np.load(path, allow_pickle=False) as arrays:
        masks, values = arrays["masks"], arrays["values"]
        names = arrays["players"].tolist() if "players" in arrays else range(masks.shape[1])
        return checked_table_game(path, tuple(map(str, names)), masks, values)


def checked_table_game(
    path: Path, players: tuple[str, ...], masks: np.ndarray, values: np.ndarray
) -> TableGame:
    """Raises BadInput for masks that are not made of 0 and 1."""
    if len(wrong := masks[~np.isin(masks, (0, 1))]):
        raise BadInput(
            f"{path}: masks hold {float(wrong[0]):g}; write 1 for a player that is kept and 0 for"
            " one that is not"
        )
    return TableGame(players, masks.astype(np.bool_), values.astype(np.float64))
