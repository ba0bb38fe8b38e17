"""Processor time and memory of finding neighbours by co-occurrence, on synthetic activations.

    python benchmarks/speed/cooccurrence.py [--width 65536] [--tokens 400000] [--active 32]
        [--most 33554432]

Activations lie on disk as `collect` leaves them. Rates of features follow Zipf's law.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from gloss.sample.cooccurrence import FeaturesByToken
from gloss.store.activations import Activations
from gloss.store.parquet import ROWS, GroupWriter

FEATURES_AT_ONCE = 4096
ENCODINGS = {"token": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=65_536)
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--active", type=int, default=32, help="features that fire at a token")
    parser.add_argument("--most", type=int, default=2**25, help="activations that are counted")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), asked, rng)
        activations = Activations.open(Path(name))
        activations.scales  # noqa: B018 read once, as a run has it
        before, begun = peak(), time.process_time()
        counted = FeaturesByToken.of(
            activations.feature, asked.width, np.ones(asked.tokens, bool), asked.most, rng
        )
        turned = time.process_time()
        found = sum(
            len(counted.nearest(activations.feature(feature), feature))
            for feature in range(asked.width)
        )
        ended = time.process_time()
    told = vars(asked) | {
        "nonzeros": int(activations.indptr[-1]),
        "counted_activations": len(counted.features),
        "neighbours": found,
        "seconds_to_turn": round(turned - begun, 1),
        "seconds_to_find": round(ended - turned, 1),
        "peak_mib": peak(),
        "before_mib": before,
        "dense_counts_mib": asked.width**2 * 4 // 2**20,
    }
    print(json.dumps(told, indent=1))


def write(folder: Path, asked: argparse.Namespace, rng: np.random.Generator) -> None:
    """Lay activations down feature by feature, as a finished `collect` has them."""
    rates = 1 / np.sqrt(np.arange(1, asked.width + 1))
    rates = rng.permutation(np.minimum(rates * asked.active / rates.sum(), 0.5))
    counts = np.zeros(asked.width, np.int64)
    schema = pa.schema([("token", pa.uint32()), ("value", pa.float16())])
    with GroupWriter(folder / "activations.parquet", schema, ENCODINGS) as activations:
        for begin in range(0, asked.width, FEATURES_AT_ONCE):
            drawn = [
                np.unique(rng.integers(0, asked.tokens, rng.poisson(rate * asked.tokens)))
                for rate in rates[begin : begin + FEATURES_AT_ONCE]
            ]
            counts[begin : begin + FEATURES_AT_ONCE] = [len(places) for places in drawn]
            places = np.concatenate(drawn).astype(np.uint32)
            activations.add(token=places, value=np.ones(len(places), np.float16))
    with GroupWriter(
        folder / "statistics.parquet", pa.schema([("scale", pa.float32())])
    ) as statistics:
        statistics.add(scale=np.ones(asked.width, np.float32))
    np.save(folder / "indptr.npy", np.concatenate([[0], np.cumsum(counts)]))
    manifest = {"width": asked.width, "tokens": asked.tokens, "rows_per_group": ROWS}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
