"""Are sets of training examples found that stand in for each other, or work only together, and do
the sets that are found do so when they are left out by hand?

    python -m benchmarks.attribute.planted_examples [--points 6] [--budget 1000]

Logistic regression on words learns from 40 comments of GoEmotions and four more. Two say what the
test point says, with other words between: either is nearly enough (copies). One says that two words
together are happy, and one that the other of them is sad: only with both is it the first word that
is happy, and the test point has that word (company).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.attribute.datamodels import LABELS, comments_of_two_kinds
from benchmarks.quality.data import found
from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import Game
from gloss.attribute.learners import Logistic
from gloss.attribute.methods.auto import Auto
from gloss.attribute.players.example_file import Example, word_vectors
from gloss.attribute.players.example_games import classical_game
from gloss.attribute.result.interaction_terms import set_terms
from gloss.statistics.intervals import student_interval, wilson_interval

REAL = 40
COPIES, COMPANY = (REAL, REAL + 1), (REAL + 2, REAL + 3)
PENALTY = 0.1
RESTS = 300  # random masks of the other players, over which a set's own effect is taken by hand
FOUND_SETS = 3  # the strongest that are told, of real examples alone


def game_of(examples: Sequence[Example], text: str, label: str) -> Game:
    """The log-odds of a label at a test point."""
    x = word_vectors([one.text for one in examples], [text])
    return classical_game(Logistic(penalty=PENALTY), tuple(examples), x, label)[0]


def planted(real: Sequence[Example], text: str, label: str) -> Game:
    """The game of a test point with the last four examples planted."""
    other = LABELS[1 - LABELS.index(label)]
    examples = (
        *real,
        Example(f"well {text}", label),
        Example(f"{text} then", label),
        Example("zorp quux", label),
        Example("quux", other),
    )
    return game_of(examples, f"{text} zorp", label)


def by_hand(game: Game, pair: PlayerSet, rng: np.random.Generator) -> float:
    """What a pair does together beyond what each does, as the mean over random rests that are
    trained on with both, either and neither.
    """
    rests = rng.random((RESTS, len(game.players))) < 0.5
    total = np.zeros(RESTS)
    for one in (True, False):
        for other in (True, False):
            rests[:, pair[0]], rests[:, pair[1]] = one, other
            total += game.values(rests) * (1 if one == other else -1)
    return float(total.mean())


@dataclass(frozen=True)
class FoundPair:
    """A pair at one test point: what is told of it, and what leaving it out by hand says."""

    told: float  # 0 where it is not told
    kind: str
    hand: float


class Told(NamedTuple):
    """What `auto` tells of pairs in a game."""

    pairs: list[FoundPair]
    random: list[float]  # what as many random pairs do, by hand
    r2: float


def told_pairs(
    game: Game, budget: int, rng: np.random.Generator, wanted: Sequence[PlayerSet] = ()
) -> Told:
    """What is told of these pairs, or else of the strongest that are told; and what holds."""
    attribution = Auto(budget=budget).attribute(game, rng)
    told = {term.players: term for term in set_terms(attribution) if len(term.players) == 2}
    pairs = []
    for players in wanted or list(told)[:FOUND_SETS]:
        term = told.get(players)
        value, kind = (term.average.value, str(term.kind or "")) if term else (0.0, "")
        pairs.append(FoundPair(value, kind, by_hand(game, players, rng)))
    n = len(game.players)
    drawn = [tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in pairs]
    chance = [by_hand(game, players, rng) for players in drawn]
    return Told(pairs, chance, attribution.faithfulness.r2.value)


def table(rows: dict[str, list[FoundPair]]) -> Iterator[str]:
    """A row for each kind of pair."""
    yield "| pairs | told, with the sign it has by hand | told | by hand | kinds told |"
    yield "|---|---|---|---|---|"
    for name, pairs in rows.items():
        right = wilson_interval(sum(pair.told * pair.hand > 0 for pair in pairs), len(pairs))
        said = [
            student_interval(np.array([getattr(pair, what) for pair in pairs]))
            for what in ("told", "hand")
        ]
        kinds = sorted({pair.kind for pair in pairs if pair.kind})
        counted = ", ".join(f"{kind} {sum(p.kind == kind for p in pairs)}" for kind in kinds)
        means = " | ".join(f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for one in said)
        yield (
            f"| {name}, {len(pairs)} | {right.value:.2f} [{right.low:.2f}, {right.high:.2f}] |"
            f" {means} | {counted} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = found("goemotions")
    if folder is None:
        raise SystemExit("GLOSS_DATA has no folder goemotions")
    rng = np.random.default_rng(given.seed)
    train, test = (comments_of_two_kinds(folder, split) for split in ("train", "test"))
    with_planted, without = list[Told](), list[Told]()
    for number in rng.choice(len(test), given.points, replace=False):
        first = 2 * int(rng.integers((len(train) - REAL) // 2))
        real, (text, label, _) = train[first : first + REAL], test[number]
        game = planted(real, text, label)
        with_planted.append(told_pairs(game, given.budget, rng, (COPIES, COMPANY)))
        without.append(told_pairs(game_of(real, text, label), given.budget, rng))
    print(f"seed {given.seed}, {given.points} test points, {given.budget:,} values each")
    for kind, every in (("planted", with_planted), ("real alone", without)):
        r2 = student_interval(np.array([each.r2 for each in every]))
        print(f"{kind}: held-out R2 {r2.value:.3f} [{r2.low:.3f}, {r2.high:.3f}]")
    rows = {
        "copies": [each.pairs[0] for each in with_planted],
        "company": [each.pairs[1] for each in with_planted],
        "real, the strongest told": [pair for each in without for pair in each.pairs],
    }
    for line in table(rows):
        print(line)
    sizes = [abs(pair.hand) for each in without for pair in each.pairs]
    chance = [abs(value) for each in without for value in each.random]
    print(f"mean size by hand: {np.mean(sizes):.3f}, of as many random pairs {np.mean(chance):.3f}")


if __name__ == "__main__":
    main()
