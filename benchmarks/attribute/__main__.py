"""How attribution compares with shapiq's methods, at equal numbers of masks.

    python -m benchmarks.attribute [kinds games indices] [--peers PYTHON] [--seed N]
        [--kept FOLDER] [--each 4] [--groups G ...] [--draws 1] [--small]

`kinds` are functions of known interactions and `games` those of real models: R2 on fresh masks that
keep half of the players and near the whole. `indices` are the errors of Shapley and Banzhaf values
and interactions of pairs. PYTHON is that of an environment with shapiq 1.8 (`make bench-attribute`
makes one); without it the peers are left out. FOLDER keeps what slow games said and each row that
was measured, so that a run with the same seed goes on where it was killed; rows there are those of
the code that measured them. Without --seed functions, texts, images, examples and masks are new
ones in each run.
"""

import argparse
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import torch

from benchmarks.attribute.indices import BUDGETS, coverage_table, index_rows, index_table
from benchmarks.attribute.peers import Peers
from benchmarks.attribute.predictions import (
    PEERS,
    SPARSE,
    SPARSE_PEERS,
    KnownRows,
    own_methods,
    rows_of,
    tables,
)
from benchmarks.attribute.real_games import GROUPS, real_games
from benchmarks.attribute.synthetic import synthetic_games
from benchmarks.attribute.whole_games import whole_games

PARTS = ("kinds", "games", "indices")


def printed(part: str, asked: argparse.Namespace, kept: Path, peers: Peers | None) -> Iterator[str]:
    """A part's tables."""
    known, seed = KnownRows(kept / "rows.jsonl"), asked.seed
    if part == "kinds":
        players = (20,) if asked.small else (20, 64, 128)
        cases = synthetic_games(seed, asked.each // 2 or 1, players)
        yield from tables(list(rows_of(cases, SPARSE, (peers, SPARSE_PEERS), known, seed)))
    elif part == "games":
        cases = real_games(seed, asked.each, kept, tuple(asked.groups))
        methods = list(own_methods(512))
        yield from tables(list(rows_of(cases, methods, (peers, PEERS), known, seed)))
    else:
        games = {
            f"{game.kind}, {game.name}": game for game in whole_games(seed, kept, small=asked.small)
        }
        budgets = BUDGETS[:1] if asked.small else BUDGETS
        rows = list(index_rows(games, budgets, asked.draws, seed, peers))
        yield f"{len(games)} games of 10 to 14 players: {'; '.join(games)}"
        yield "mean error ± standard error over games; masks, CPU seconds"
        yield from index_table(rows)
        yield ""
        yield from coverage_table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--peers", type=Path, help="python of an environment with shapiq 1.8")
    parser.add_argument("--kept", type=Path, help="a folder for values and rows")
    parser.add_argument("--each", type=int, default=4, help="comments of each length")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--draws", type=int, default=1, help="of masks, for indices")
    parser.add_argument("--small", action="store_true", help="a few quick games")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with ExitStack() as stack:
        kept = asked.kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kept.mkdir(parents=True, exist_ok=True)
        peers = stack.enter_context(Peers(asked.peers)) if asked.peers else None
        print(f"seed {asked.seed}; shapiq {peers.version if peers else 'left out'}")
        for part in asked.parts:
            print(f"\n{part}\n")
            for line in printed(part, asked, kept, peers):
                print(line, flush=True)


if __name__ == "__main__":
    main()
