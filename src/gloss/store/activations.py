"""Where each feature fires, and how strongly: one Parquet file sorted by feature, of which a reader
opens only what it needs.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import FeatureActivations
from gloss.store.digests import file_digest
from gloss.store.parquet import open_parquet, parquet_errors, read_table, require_footers
from gloss.store.remote import url_of
from gloss.store.sealed_json import CHANGED_CONTENT, damage_error, read_sealed_json

ACTIVATIONS = "activations.parquet"
KEPT_GROUPS = 64  # of rows, 800 KB each, that stay in memory
QUANTILES = np.linspace(0.0, 1.0, 11)  # of a feature's non-zero values
BINS_PER_OCTAVE, LOWEST_OCTAVE, OCTAVES = 4, -12, 32
BINS = BINS_PER_OCTAVE * OCTAVES
# the outermost bins take what lies beyond
HISTOGRAM_EDGES = 2.0 ** (LOWEST_OCTAVE + np.arange(BINS + 1) / BINS_PER_OCTAVE)

STATISTICS = pa.schema(
    [
        ("feature", pa.int64()),
        ("count", pa.int64()),  # tokens at which it fires
        ("dead", pa.bool_()),  # fires nowhere
        ("min", pa.float32()),  # of its non-zero values, as the next three
        ("max", pa.float32()),
        ("mean", pa.float64()),
        ("token_share", pa.float64()),
        ("sequence_share", pa.float64()),
        ("scale", pa.float32()),  # stored values times this are the activations
        ("quantiles", pa.list_(pa.float32(), len(QUANTILES))),
        ("histogram", pa.list_(pa.int64(), BINS)),  # of magnitudes, between HISTOGRAM_EDGES
    ]
)


def histogram_bins(values: Float32[ndarray, " value"]) -> Int64[ndarray, " value"]:
    """The histogram bin of each value's magnitude."""
    octaves = np.log2(np.abs(values).astype(np.float64)) - LOWEST_OCTAVE
    return np.clip(np.floor(octaves * BINS_PER_OCTAVE), 0, BINS - 1).astype(np.int64)


class Activations:
    """The activations of every feature of one dictionary over one corpus.

    Open them with `Activations.open(folder)`.
    """

    def __init__(
        self, folder: Path, manifest: dict[str, Any], indptr: Int64[ndarray, " feature_and_end"]
    ) -> None:
        self.folder, self.manifest, self.indptr = folder, manifest, indptr
        self.width: int = manifest["width"]  # features
        self.tokens: int = manifest["tokens"]  # of the corpus
        self.groups: dict[int, tuple[ndarray, ndarray]] = {}  # that stay in memory

    @staticmethod
    def open(folder: Path) -> "Activations":
        """What `collect` wrote. Raises BadInput where there is none, and Damaged."""
        if not (folder / "manifest.json").is_file():
            raise BadInput(
                f"{folder} holds no activations; collect them first, or give the folder"
                " `activations` of a finished collect"
            )
        manifest = read_sealed_json(folder / "manifest.json")
        footers = manifest.get("footers", {})
        if url_of(folder) is not None:  # what no one has asked for yet is not here
            footers = {name: said for name, said in footers.items() if (folder / name).exists()}
        require_footers(folder, footers)
        for name, content in manifest.get("arrays", {}).items():
            if not (folder / name).exists() or file_digest(folder / name) != content:
                raise damage_error(folder / name, CHANGED_CONTENT)
        indptr = np.load(folder / "indptr.npy")
        if manifest.get("store") == "mined":
            from gloss.store.mined import MinedActivations

            return MinedActivations(folder, manifest, indptr)
        return Activations(folder, manifest, indptr)

    @property
    def is_mined(self) -> bool:
        """Whether a sample of the sequences in which each feature fires is kept, and not all."""
        return self.manifest.get("store") == "mined"

    @property
    def counted_tokens(self) -> int:
        """How many tokens of the corpus count: all that are not left out, and 1 at least."""
        left_out = self.manifest.get("left_out", len(self.left_out))
        return max(1, self.tokens - left_out)

    @property
    def counts(self) -> Int64[ndarray, " feature"]:
        """The number of tokens at which each feature fires."""
        return np.diff(self.indptr)

    @cached_property
    def left_out(self) -> Int64[ndarray, " left_out"]:
        """Global indices of the tokens at which nothing is stored, ascending: special and massive
        ones.
        """
        return np.load(self.folder / "left_out.npy")

    @cached_property
    def statistics(self) -> pa.Table:
        """One row a feature, in order, with the columns of STATISTICS."""
        path = self.folder / "statistics.parquet"
        return read_table(path, path, schema=STATISTICS)

    @cached_property
    def scales(self) -> Float32[ndarray, " feature"]:
        """What each feature's stored values are multiplied with."""
        path = self.folder / "statistics.parquet"
        scales = read_table(path, path, ["scale"])["scale"]
        return scales.to_numpy().astype(np.float32, copy=False)

    def feature(self, index: int) -> FeatureActivations:
        """Every place where this feature fires.

        Raises IndexError for a feature that does not exist.
        """
        if not 0 <= index < self.width:
            raise IndexError(
                f"feature {index}: the dictionary has {self.width}, 0 to {self.width - 1}"
            )
        begin, end = int(self.indptr[index]), int(self.indptr[index + 1])
        rows: int = self.manifest["rows_per_group"]
        positions, values = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for group in range(begin // rows, -(-end // rows) if end > begin else begin // rows):
            tokens, stored = self.group(group)
            part = slice(max(begin - group * rows, 0), end - group * rows)
            positions.append(tokens[part].astype(np.int64))
            values.append(stored[part].astype(np.float32) * self.scales[index])
        return FeatureActivations(np.concatenate(positions), np.concatenate(values))

    def group(self, number: int) -> tuple[ndarray, ndarray]:
        """Tokens and stored values of one row group.

        The first ones that are asked for stay in memory, because every step of a run reads them all
        in the same order; of the others the last one, because neighbours share it.
        """
        if (found := self.groups.get(number)) is None:
            with parquet_errors(self.folder / ACTIVATIONS):
                table = self.file.read_row_group(number, use_threads=False)
            found = table["token"].to_numpy(), table["value"].to_numpy()
            if len(self.groups) > KEPT_GROUPS:
                self.groups.popitem()
            self.groups[number] = found
        return found

    @cached_property
    def file(self) -> pq.ParquetFile:
        """The open file, whose metadata is read once."""
        return open_parquet(self.folder / ACTIVATIONS)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file, so that another process can have a copy."""
        return {
            name: value for name, value in vars(self).items() if name not in ("file", "groups")
        } | {"groups": {}}
