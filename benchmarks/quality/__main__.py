"""Every experiment whose answer is known, in one table: make quality, or python -m
benchmarks.quality [--only NAME] [--small].

An experiment is a module beside this one with `run(rng, small) -> list[Row]`. Exits with 1 where a
row does not pass.
"""

import argparse
import sys
import time
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from benchmarks.quality.rows import Row, markdown, print_table

EXPERIMENTS = {  # by number, as the literature review that they come from counts them
    "rules": "1: planted rules, every scorer",
    "sanity": "2: metrics with missing and extra labels",
    "judges": "3: judges with known errors",
    "labels": "13: labels that are wrong in known ways",
    "samplers": "4: held-out text and samplers",
    "dictionaries": "5: planted dictionaries",
    "input_output": "6: features of inputs and of outputs",
    "siblings": "7: siblings and collisions",
    "interactions": "8: functions with known interactions",
    "puzzles": "9: published puzzles",
    "modular_addition": "10: neurons of known frequency",
    "active": "11: conjunctions that text cannot tell apart",
    "superposition": "14: more directions than dimensions, every method of decompose",
    "control": "15: reconstruction is not control",
    "known_truth": "16: planted superposition with rare features, trees and correlations",
    "routes": "12: which explainer a feature wants",
}


def main() -> int:
    """Run what was asked for and print one table; 1 where something did not pass."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS)
    )
    parser.add_argument(
        "--small", action="store_true", help="a version that takes seconds, as in the tests"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--markdown", action="store_true", help="print the table as in docs/quality.md"
    )
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.only or EXPERIMENTS:
        rows += measured(name, asked.seed, asked.small)
    print_table(rows)
    if asked.markdown:
        print(markdown(rows))
    return int(not all(row.passed for row in rows))


def measured(name: str, seed: int, small: bool) -> list[Row]:
    """The rows of one experiment, from a generator of its own.

    A row that does not pass where there is no such module.
    """
    if find_spec(f"benchmarks.quality.{name}") is None:
        return [
            Row.exact(
                EXPERIMENTS[name], f"benchmarks/quality/{name}.py is there", float("nan"), False
            )
        ]
    begun = time.monotonic()
    rows = import_module(f"benchmarks.quality.{name}").run(
        np.random.default_rng([seed, *name.encode()]), small
    )
    if not rows:
        print(
            f"{EXPERIMENTS[name]}: not measured, because its data is not here; set GLOSS_DATA",
            file=sys.stderr,
            flush=True,
        )
    print(
        f"{EXPERIMENTS[name]}: {len(rows)} rows in {time.monotonic() - begun:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return rows


if __name__ == "__main__":
    sys.exit(main())
