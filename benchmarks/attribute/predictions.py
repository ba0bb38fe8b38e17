"""How well each method predicts games at equal numbers of masks: R2 among masks that keep half of
the players and near the whole (90 % kept), on fresh masks; gloss' methods and shapiq's.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute.peers import Peers, Refused
from gloss.attribute.game import Evaluations, FunctionGame, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.methods.spex import Spex
from gloss.attribute.result.interactions import Interactions
from gloss.errors import GlossError

KEPT = {"half": 0.5, "near": 0.9}
FAR_OFF = -10  # mean R2 below which only that is said
KINDS_OF_MASKS = {"half": "masks that keep half", "near": "masks near the whole"}
SPARSE = ("auto", "lasso, order 1", "lasso, order 2", "spex", "proxy_spex")
SPARSE_PEERS = ("SPEX", "ProxySPEX", "ProxySPEX, no search")
PEERS = (
    *SPARSE_PEERS,
    "ProxySHAP, its trees",
    "RegressionFBII, order 1",
    "RegressionFBII, order 2",
    "RegressionFSII, order 2",
    "KernelSHAP-IQ, k-SII",
    "KernelSHAP",
)


class Case(NamedTuple):
    """A game of a group, the masks that methods may use, and how many judge."""

    group: str
    name: str
    game: Game
    budget: int
    fresh: int = 2000


class Row(NamedTuple):
    """How well a method predicts a game; why it does not, where it refuses."""

    seed: int
    group: str
    game: str
    method: str
    budget: int
    half: float = np.nan
    near: float = np.nan
    masks: int = 0
    seconds: float = np.nan
    refused: str = ""


class Attributor(NamedTuple):
    """Anything that attributes."""

    attribute: Callable[[Game, np.random.Generator], Interactions]


class Truth(NamedTuple):
    """Fresh masks of both kinds and their values."""

    masks: Bool[ndarray, "mask player"]
    values: Float64[ndarray, " mask"]

    @staticmethod
    def of(case: Case, seed: int) -> "Truth":
        """Half of them of each kind."""
        rng = np.random.default_rng([seed, crc32(case.name.encode())])
        size = (case.fresh, len(case.game.players))
        masks = np.concatenate([rng.random(size) < kept for kept in KEPT.values()])
        return Truth(masks, case.game.values(masks))

    def r2(self, predicted: Float64[ndarray, " mask"]) -> tuple[float, ...]:
        """Of each kind."""
        missed = np.square(self.values - predicted).reshape(2, -1).mean(axis=1)
        return tuple((1 - missed / self.values.reshape(2, -1).var(axis=1)).tolist())


def own_methods(budget: int) -> dict[str, Attributor]:
    """Every method with so many masks, what it holds out included. `auto` may not stop early."""
    out = budget // 8
    each = {
        "auto": Auto(budget, enough=1.0),
        "lasso, order 1": Lasso(budget, 1),
        "lasso, order 2": Lasso(budget, 2),
        "proxy_spex": ProxySpex(budget=budget - out, held_out=out),
        "spex": Spex(budget=budget - out, held_out=out),
        "faithful": Faithful(budget),
        "faithful, Shapley's weights": Faithful(budget, 2, "shapley"),
        "banzhaf": Banzhaf(budget),
        "banzhaf, order 2": Banzhaf(budget, order=2),
        "shapley": Shapley(budget),
        "shapley, order 2": Shapley(budget, order=2),
        "occlusion": Occlusion(held_out=out),
    }
    return {name: Attributor(method.attribute) for name, method in each.items()}


def own_row(case: Case, method: str, truth: Callable[[], Truth], seed: int) -> Row:
    """One of gloss' methods, which pays for its own masks; seconds are without the game's."""
    spent = [0.0]

    def values(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        begun = time.process_time()
        found = case.game.values(masks)
        spent[0] += time.process_time() - begun
        return found

    asked, truths = Evaluations(FunctionGame(case.game.players, values)), truth()
    about, begun = (seed, case.group, case.name, method, case.budget), time.process_time()
    try:
        found = own_methods(case.budget)[method].attribute(asked, np.random.default_rng(seed))
    except GlossError as refused:
        return Row(*about, refused=str(refused))
    seconds = time.process_time() - begun - spent[0]
    return Row(*about, *truths.r2(found.predict(truths.masks)), asked.paid, seconds)


def peer_row(case: Case, method: str, truth: Callable[[], Truth], seed: int, peers: Peers) -> Row:
    """One of shapiq's."""
    about = (seed, case.group, case.name, f"shapiq {method}", case.budget)
    try:
        answer = peers.predict(method, case.game, (case.budget, seed), truth().masks)
    except Refused as refused:
        return Row(*about, refused=str(refused))
    return Row(*about, *truth().r2(answer.numbers), answer.masks, answer.seconds)


class KnownRows:
    """Rows of earlier runs with the same seed, so that a killed run goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        if lines and not lines[-1].endswith("\n"):  # a kill tore it
            path.write_text("".join(lines[:-1]))
        rows = [Row(*json.loads(line)) for line in lines if line.endswith("\n")]
        self.rows = {row[:5]: row for row in rows}

    def row(self, about: tuple[int, str, str, str, int], measured: Callable[[], Row]) -> Row:
        """One that is known, or is measured and written down."""
        if about not in self.rows:
            self.rows[about] = measured()
            with self.path.open("a") as file:
                file.write(json.dumps(self.rows[about]) + "\n")
            print(*self.rows[about], file=sys.stderr, flush=True)
        return self.rows[about]


def rows_of(
    cases: Iterator[Case],
    methods: Sequence[str],
    asked: tuple[Peers | None, Sequence[str]],
    known: KnownRows,
    seed: int,
) -> Iterator[Row]:
    """Of each case every method, then those of the peers that are asked."""
    peers, names = asked
    for case in cases:
        truth = cache(partial(Truth.of, case, seed))
        about = (seed, case.group, case.name)
        for name in methods:
            measure = partial(own_row, case, name, truth, seed)
            yield known.row((*about, name, case.budget), measure)
        for name in names if peers else ():
            measure = partial(peer_row, case, name, truth, seed, peers)
            yield known.row((*about, f"shapiq {name}", case.budget), measure)


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """A table for each kind of masks: a line a method, a column a group. In brackets by how much
    `auto` is better, with its standard error over games; bold where it is worse by more than one.
    """
    groups = list(dict.fromkeys(row.group for row in rows))
    found = {(row.group, row.game, row.method): row for row in rows}
    games = {group: len({row.game for row in rows if row.group == group}) for group in groups}
    for kind, words in KINDS_OF_MASKS.items():
        heads = []
        for group in groups:
            some = [row for row in rows if row.group == group]
            budgets = sorted({row.budget for row in some})
            heads.append(f"{group} ({games[group]}; {', '.join(f'{each:,}' for each in budgets)})")
        yield ""
        yield f"| {words} | {' | '.join(heads)} | masks, share | CPU s |"
        yield "|---|" + "---|" * (len(groups) + 2)
        for method in dict.fromkeys(row.method for row in rows):
            own = [row for row in rows if row.method == method]
            cells = [
                cell(kind, [row for row in own if row.group == g], found, games[g]) for g in groups
            ]
            did = [row for row in own if not row.refused]
            used = np.mean([row.masks / row.budget for row in did]) if did else np.nan
            seconds = np.median([row.seconds for row in did]) if did else np.nan
            yield f"| {method} | {' | '.join(cells)} | {used:.2f} | {seconds:.2g} |"


def cell(kind: str, rows: Sequence[Row], found: dict[tuple[str, str, str], Row], games: int) -> str:
    """Mean R2 of the games that the method does not refuse, and by how much `auto` is better."""
    did = [row for row in rows if not row.refused]
    if not did:
        return "refused" if rows else ""
    values = np.array([getattr(row, kind) for row in did])
    if values.mean() < FAR_OFF:
        return f"below {FAR_OFF}"
    name = f"{values.mean():.3f}"
    if len(did) < games:
        name += f" of {len(did)}"
    if did[0].method == "auto":
        return name
    ahead = np.array([getattr(found[r.group, r.game, "auto"], kind) for r in did]) - values
    if len(did) < 2:
        return f"{name} ({ahead[0]:+.3f})"
    error = ahead.std(ddof=1) / np.sqrt(len(ahead))
    text = f"{name} ({ahead.mean():+.3f} ± {error:.3f})"
    return f"**{text}**" if ahead.mean() < -error else text
