"""Every benchmark of speed, one after the other: a table and a JSON file of all rows.

    python -m benchmarks.speed [--only collect storage] [--json speed.json] [--short]

Each runs in a process of its own, in one thread. What is compared takes turns in one process, so
that ratios bear a busy machine, and times do not. `--short` takes a tenth of the work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

# the arguments of each: usual, and short
BENCHMARKS: dict[str, tuple[list[str], list[str]]] = {
    "collect_ratio": (["--typed", "--tokens=65536"], ["--tokens=8192", "--rounds=2"]),
    "collect_memory": (["--tokens=250000"], ["--tokens=20000"]),
    "storage": ([], ["--tokens=65536"]),
    "wide_dictionary": (["measure"], ["measure", "--widths=8192", "--rounds=2"]),
    "matching": (["--wide=65536"], ["--exact=1024", "--wide=4096"]),
    "topk_train": ([], ["--steps=1", "--rounds=1"]),
    "after_collect": (
        ["--rounds=2"],
        ["--tokens=40000", "--times=4", "--features=6", "--rounds=1"],
    ),
    "rule_search": (["--repeat", "1", "10"], ["--tokens=40000", "--features=5", "--repeat=1"]),
    "two_workers": (["--features=800"], ["--features=12", "--tokens=20000"]),
    "chat_requests": ([], ["--requests=100", "--rounds=2"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--json", type=Path, default=Path("speed.json"))
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    found = {name: run(name, short=asked.short) for name in asked.only}
    asked.json.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=150).print(table(found))
    if lacking := [name for name, told in found.items() if told is None]:
        sys.exit(f"these failed: {', '.join(lacking)}")


def run(name: str, *, short: bool) -> dict[str, object] | None:
    """What a benchmark measured; None where it failed, which it then has said."""
    print(f"{name} …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.speed.{name}", *BENCHMARKS[name][short]]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ended = subprocess.run([*command, f"--json={file}"], env=environment, stdout=sys.stderr)
        return json.loads(file.read_text()) if ended.returncode == 0 else None


def table(found: dict[str, dict[str, object] | None]) -> Table:
    """All rows, a section a benchmark."""
    made = Table("what", "median", "unit", "ratio", "least to most", "of", "rounds", "load")
    for told in found.values():
        for row in told["rows"] if told else ():
            ratio, spread = "", ""
            if row["ratio"] is not None:
                ratio = f"{row['ratio']:.3g}"
                spread = f"{row['least']:.3g} to {row['most']:.3g}" if row["n"] > 1 else ""
            shown = (row["unit"], ratio, spread, row["of"], str(row["n"]), f"{told['load']:.1f}")
            made.add_row(row["name"], f"{row['value']:,.4g}", *shown)
        made.add_section()
    return made


if __name__ == "__main__":
    main()
