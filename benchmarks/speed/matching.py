"""What it costs to find the partners of two dictionaries' features, each width in a process of its
own: CPU seconds, peak memory, and how far the partners may fall short of the best.

    python -m benchmarks.speed.matching [--exact 16384] [--wide 131072] [--d 128] [--json FILE]
    python -m benchmarks.speed.matching --dictionaries FOLDER FOLDER

Planted: half of the features of one are those of the other with noise, in another order, at a
cosine of .96 or so; the rest point anywhere. How many of them are found is told, too.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed.rows import Row, add_json, report
from gloss.decompose.all_pairs import AllPairs, Partners
from gloss.decompose.feature_matching import SHARED_COSINE, UnitDirections
from gloss.decompose.partner_search import assign, mutual_nearest

NOISE = 0.3  # the length of what is added to a direction of length 1
WAYS = ("hungarian, all pairs", "hungarian, candidates", "mutual_nearest")


@dataclass(frozen=True)
class Planted:
    """Directions of two dictionaries, and who goes with whom; -1 for nobody."""

    left: np.ndarray
    right: np.ndarray
    partner: np.ndarray

    @staticmethod
    def of(width: int, d: int, rng: np.random.Generator) -> "Planted":
        left, right = (unit(rng.standard_normal((width, d), dtype=np.float32)) for _ in range(2))
        half = width // 2
        right[:half] = unit(left[:half] + NOISE * right[:half])
        order = rng.permutation(width)
        partner = np.full(width, -1)
        partner[order[order < half]] = np.flatnonzero(order < half)
        return Planted(left, right[order], partner)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exact", type=int, default=16_384)
    parser.add_argument("--wide", type=int, default=131_072)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--dictionaries", type=Path, nargs=2)
    parser.add_argument("--here", choices=WAYS, help="measure this in this process")
    parser.add_argument("--width", type=int)
    add_json(parser)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(measured(asked)))
        return
    tasks = [
        ("hungarian, all pairs", asked.exact),
        ("hungarian, candidates", asked.exact),
        ("hungarian, candidates", asked.wide),
        ("mutual_nearest", asked.wide),
    ]
    if asked.dictionaries:
        tasks = [("hungarian, candidates", 0)]
    report([row for way, width in tasks for row in rows_of(way, width, asked)], asked.json)


def rows_of(way: str, width: int, asked: argparse.Namespace) -> list[Row]:
    """What one way takes at one width, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.matching", f"--here={way}"]
    command += [f"--width={width}", f"--d={asked.d}"]
    command += ["--dictionaries", *map(str, asked.dictionaries)] if asked.dictionaries else []
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    name = f"{way}, {told['width']:,} features"
    units = {
        "seconds": "s of CPU",
        "peak": "GiB at the peak",
        "gap": "of the most, at most lacking",
        "found": "of those planted found",
        "shared": f"of features with a partner at {SHARED_COSINE}",
    }
    return [Row(name, told[key], units[key]) for key in units if told[key] is not None]


def measured(asked: argparse.Namespace) -> dict[str, float | None]:
    if asked.dictionaries:
        left, right = (directions_in(folder) for folder in asked.dictionaries)
        planted = None
    else:
        planted = Planted.of(asked.width, asked.d, np.random.default_rng(0))
        left, right = planted.left, planted.right
    begun = time.process_time()
    found = partners(asked.here, AllPairs.of_directions(left, right))
    seconds = time.process_time() - begun
    right_ones = found.of_left == planted.partner if planted else None
    return {
        "width": len(left),
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "gap": found.gap,
        "found": float(right_ones[planted.partner >= 0].mean()) if planted else None,
        "shared": float((found.closeness >= SHARED_COSINE).mean()),
    }


def partners(way: str, pairs: AllPairs) -> Partners:
    if way == "mutual_nearest":
        return mutual_nearest(pairs)
    return assign(pairs, exact=max(pairs.shape) if way == "hungarian, all pairs" else 0)


def directions_in(folder: Path) -> np.ndarray:
    from gloss.models.formats import load_dictionary

    return UnitDirections.of(load_dictionary(folder)).writes


if __name__ == "__main__":
    main()
