"""What is kept of a corpus that was mined: for each feature a sample of the sequences in which it
fires, what each stands for, and exact counts of all.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.records import FeatureActivations, SequenceWeights
from gloss.store.activations import Activations
from gloss.store.parquet import open_parquet, parquet_errors, read_table

KEPT = pa.schema(
    [
        ("sequence", pa.uint32()),  # of the corpus that is kept
        ("weight", pa.float64()),  # how many sequences it stands for
    ]
)
STRATA = pa.schema(
    [
        ("feature", pa.int64()),
        ("split", pa.string()),
        ("strength", pa.float32()),  # the least of the stratum's half octave
        ("sequences", pa.int64()),  # whose strongest activation lies there: all of the corpus
        ("tokens", pa.int64()),  # at which the feature fires in them
        ("kept", pa.int64()),  # of these sequences
    ]
)


class MinedActivations(Activations):
    """The activations of a sample of sequences, with what each of these stands for.

    Positions are those of the corpus that is kept. Counts and statistics are of the whole corpus.
    """

    def __init__(
        self, folder: Path, manifest: dict[str, Any], indptr: Int64[ndarray, " feature_and_end"]
    ) -> None:
        super().__init__(folder, manifest, indptr)
        self.kept_indptr: Int64[ndarray, " feature_and_end"] = np.load(folder / "kept_indptr.npy")
        self.last_kept: tuple[int, ndarray, ndarray] | None = None

    @property
    def counts(self) -> Int64[ndarray, " feature"]:
        """The number of tokens of the whole corpus at which each feature fires."""
        return self.all_counts

    @cached_property
    def all_counts(self) -> Int64[ndarray, " feature"]:
        """The same, read once, without the other columns."""
        path = self.folder / "statistics.parquet"
        return read_table(path, path, ["count"])["count"].to_numpy()

    @cached_property
    def silent(self) -> Float64[ndarray, "feature 2"]:
        """How many sequences a sequence of the background stands for where the feature is silent:
        held out, and in the train split.
        """
        return np.load(self.folder / "silent.npy")

    def feature(self, index: int) -> FeatureActivations:
        """Where this feature fires in the sequences that are kept, and what these stand for.

        Raises IndexError for a feature that does not exist.
        """
        found = super().feature(index)
        sequences, weights = self.kept_rows(
            int(self.kept_indptr[index]), int(self.kept_indptr[index + 1])
        )
        held_out, train = self.silent[index].tolist()
        background: int = self.manifest["background"]
        known = SequenceWeights(sequences, weights, background, train, held_out)
        return FeatureActivations(found.positions, found.values, known)

    def kept_rows(self, begin: int, end: int) -> tuple[ndarray, ndarray]:
        """Sequences and weights of these rows. The last row group stays in memory."""
        rows: int = self.manifest["rows_per_group"]
        parts = [(np.empty(0, np.int64), np.empty(0, np.float64))]
        for group in range(begin // rows, -(-end // rows) if end > begin else begin // rows):
            if self.last_kept is None or self.last_kept[0] != group:
                with parquet_errors(self.folder / "kept.parquet"):
                    table = self.kept_file.read_row_group(group, use_threads=False)
                sequences = table["sequence"].to_numpy().astype(np.int64)
                self.last_kept = (group, sequences, table["weight"].to_numpy())
            own = slice(max(begin - group * rows, 0), end - group * rows)
            parts.append((self.last_kept[1][own], self.last_kept[2][own]))
        sequences, weights = zip(*parts, strict=True)
        return np.concatenate(sequences), np.concatenate(weights)

    @cached_property
    def kept_file(self) -> Any:
        """The open file of what is kept, whose metadata is read once."""
        return open_parquet(self.folder / "kept.parquet")

    def __getstate__(self) -> dict[str, Any]:
        """Without open files, so that another process can have a copy."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "kept_file"} | {
            "last_kept": None
        }
