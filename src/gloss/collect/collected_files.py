"""From what was found in each stretch to the folders that later stages read, each sealed by hashes
of its files.
"""

from pathlib import Path
from typing import Any

import numpy as np

from gloss.collect.code_shards import CodeShards
from gloss.collect.mined_shards import MinedShards
from gloss.collect.mined_store import MinedStore
from gloss.collect.shard_merge import ShardMerge, ShardSource
from gloss.errors import Stopped
from gloss.store.atomic import disk_errors, new_folder, write_array
from gloss.store.digests import file_digest
from gloss.store.parquet import ROWS, footer_digests
from gloss.store.progress import ignore_progress
from gloss.store.sealed_json import read_sealed_json, seal_json


def merge_all_shards(
    folder: Path, made_from: dict[str, Any], shards: CodeShards, width: int, number: int
) -> None:
    """Merge so many shards into `activations/`. Raises Stopped where one of them is not there."""
    if missing := [each for each in range(number) if not shards.path(each).exists()]:
        raise Stopped(
            f"{shards.path(missing[0])} went away while gloss worked, {len(missing)} of {number}"
            " shards in all; run the same command again, which makes them again"
        )
    write_full(folder, made_from, shards, width, number)


def write_full(
    folder: Path, made_from: dict[str, Any], shards: ShardSource, width: int, number: int
) -> None:
    """Put together so many shards that are there: `activations/`."""
    corpus = read_sealed_json(folder / "corpus" / "manifest.json")
    positions, massive = left_out_positions(shards, number)
    with new_folder(folder / "activations") as partial:
        write_array(partial / "left_out.npy", positions)
        totals = ShardMerge(
            shards, number, corpus["tokens"], corpus["sequences"], left_out=len(positions)
        ).write_into(partial, ignore_progress)
        counts = {
            "tokens": corpus["tokens"],
            "width": width,
            "nonzeros": int(totals.counts.sum()),
            "rows_per_group": ROWS,
        }
        counts |= {
            "live": int((totals.counts > 0).sum()),
            "left_out": len(positions),
            "massive": massive,
        }
        seal_activations(folder, partial, made_from, counts)


def write_mined(folder: Path, made_from: dict[str, Any], shards: MinedShards, number: int) -> None:
    """Put together what so many stretches keep: `kept/`, a corpus, and `activations/` on it.

    Raises Stopped where a part of it is not there.
    """
    store = MinedStore(shards, shards.all(number), folder / "corpus")
    with new_folder(folder / "kept") as partial:
        store.write_corpus(partial)
    with new_folder(folder / "activations") as partial:
        counts = {**store.write_activations(partial), "rows_per_group": ROWS, "store": "mined"}
        seal_activations(folder, partial, made_from, counts)


def seal_activations(
    folder: Path, partial: Path, made_from: dict[str, Any], counts: dict[str, Any]
) -> None:
    """Write the manifest of activations that are whole: what they are made from and how many there
    are, with hashes of their files.
    """
    median = read_sealed_json(folder / "shards" / "manifest.json")["median_length"]
    with disk_errors(partial):
        files = sorted(path.name for path in partial.iterdir())
        tables = [name for name in files if name.endswith(".parquet")]
        arrays = [name for name in files if name.endswith(".npy")]
        counts = {
            **counts,
            "footers": footer_digests(partial, tables),
            "arrays": {name: file_digest(partial / name) for name in arrays},
        }
        (partial / "manifest.json").write_bytes(
            seal_json({"made_from": made_from, "median_length": median, **counts})
        )


def left_out_positions(shards: ShardSource, number: int) -> tuple[np.ndarray, int]:
    """The global indices of all tokens at which nothing is stored, ascending, and how many of them
    are massive.
    """
    positions, massive = [np.empty(0, np.int64)], 0
    for each in range(number):
        with shards.open_shard(each) as shard:
            positions.append(shard.left_out)
            massive += shard.massive
    return np.concatenate(positions), massive
