"""Bytes a non-zero, and milliseconds to read one feature, against sparse triples in safetensors.

python -m benchmarks.speed.storage [--tokens 1048576] [--features 16384] [--active 30]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from benchmarks.speed.rows import Row, add_json, report
from gloss.collect.code_shards import CodeShards, CodeTriples
from gloss.collect.shard_merge import ShardMerge
from gloss.store.activations import Activations
from gloss.store.parquet import ROWS
from gloss.store.progress import ignore_progress

SEQUENCE, STRETCH, READS, SPLITS = 256, 2**16, 50, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2**20)
    parser.add_argument("--features", type=int, default=2**14)
    parser.add_argument(
        "--active", type=float, default=30, help="features that fire at a token, on average"
    )
    add_json(parser)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.process_time()
        activations = collected(folder, chosen, rng)
        made = time.process_time() - begun
        triples(folder, activations)
        live = rng.choice(np.flatnonzero(activations.counts), READS, replace=False)
        nonzeros = int(activations.counts.sum())
        ours = [folder / "activations" / name for name in ("activations.parquet", "indptr.npy")]
        theirs = sorted(folder.glob("triples-*.safetensors"))
        peer = milliseconds(lambda each: read_triples(theirs, each, chosen.features), live[:10])
        own = milliseconds(lambda each: activations.feature(each), live)
        sizes = (size(theirs) / nonzeros, size(ours) / nonzeros)
    of = "safetensors triples"
    rows = [Row("sorting shards and merging them", made / nonzeros * 1e9, "CPU ns a non-zero")]
    for what, unit, (there, here) in (
        ("bytes", "bytes a non-zero", sizes),
        ("reading one feature", "CPU ms", (peer, own)),
    ):
        rows += [
            Row(f"{what}, {of}", there, unit),
            Row(f"{what}, gloss", here, unit, here / there, of),
        ]
    report(rows, chosen.json)


def collected(folder: Path, chosen: argparse.Namespace, rng: np.random.Generator) -> Activations:
    """Rates by a power law, values log-normal, occurrences in bursts of neighbouring tokens, as
    features have them.
    """
    rates = 1 / (10 + np.arange(chosen.features)) ** 0.9
    rates = rng.permutation(rates * chosen.active / rates.sum()).clip(max=0.5)
    levels = rng.lognormal(0, 0.7, chosen.features)
    shards = CodeShards(folder / "shards", "benchmark")
    number = chosen.tokens // STRETCH
    for shard in range(number):
        counts = rng.binomial(STRETCH, rates)
        features = np.repeat(np.arange(chosen.features), counts)
        fresh = rng.random(len(features)) < 0.6
        positions = rng.integers(0, STRETCH, len(features))
        positions[1:] = np.where(
            fresh[1:],
            positions[1:],
            (positions[:-1] + rng.integers(1, 4, len(features) - 1)) % STRETCH,
        )
        keys = np.unique(features * STRETCH + positions)
        features, positions = (keys // STRETCH).astype(np.int32), (keys % STRETCH).astype(np.uint32)
        values = (levels[features] * rng.lognormal(0, 0.6, len(keys))).astype(np.float32)
        lengths = np.full(STRETCH // SEQUENCE, SEQUENCE)
        shards.write(
            shard,
            shard * STRETCH,
            lengths,
            chosen.features,
            CodeTriples(features, positions, values),
        )
    (folder / "activations").mkdir()
    ShardMerge(shards, number, chosen.tokens, chosen.tokens // SEQUENCE).write_into(
        folder / "activations", ignore_progress
    )
    manifest = {"width": chosen.features, "tokens": chosen.tokens, "rows_per_group": ROWS}
    (folder / "activations" / "manifest.json").write_text(json.dumps(manifest))
    return Activations.open(folder / "activations")


def triples(folder: Path, activations: Activations) -> None:
    """The same in the usual layout: sequence, position and feature in 16 bits each, a 16-bit value,
    five splits by feature.
    """
    edges = np.linspace(0, activations.width, SPLITS + 1).astype(int)
    for split, (first, last) in enumerate(pairwise(edges)):
        read = [activations.feature(index) for index in range(first, last)]
        positions = np.concatenate([feature.positions for feature in read])
        features = np.repeat(np.arange(first, last), [len(feature) for feature in read])
        order = np.argsort(positions, kind="stable")
        located = np.stack([positions // SEQUENCE, positions % SEQUENCE, features], axis=1).astype(
            np.uint16
        )[order]
        values = np.concatenate([feature.values for feature in read]).astype(np.float16)[order]
        save_file(
            {"locations": located, "activations": values}, folder / f"triples-{split}.safetensors"
        )


def read_triples(files: list[Path], feature: int, features: int) -> np.ndarray:
    """One feature's activations out of its split."""
    with safe_open(
        files[min(int(feature * SPLITS / features), SPLITS - 1)], framework="numpy"
    ) as file:
        there = file.get_tensor("locations")[:, 2] == feature
        return file.get_tensor("activations")[there]


def milliseconds(read: Callable[[int], object], features: np.ndarray) -> float:
    """The median processor time of a read."""
    taken: list[float] = []
    for feature in features.tolist():
        begun = time.process_time()
        read(feature)
        taken.append(1000 * (time.process_time() - begun))
    return float(np.median(taken))


def size(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


if __name__ == "__main__":
    main()
