"""Whether attribution by levels finds which of many passages act together.

    python -m benchmarks.attribute.passages [--seeds 10] [--masks 1500]

The planted text has 1,000 passages of 5 sentences of 10 words. Of ten passages, drawn at random,
one counts by itself, two pairs count where both are kept, one pair where either is, and three where
any one is. Each of these five sets weighs 1 to 2, up or down. What a passage says is said by one of
its sentences, and stands where all its deciding words are kept: one of them or, as often, two. A
value has normal noise of 0.05. So 19 of 50,000 words or so decide. A set is found if it is told as
just that set; parts that are told and decide nothing are counted as false. R2 is stated twice: as
claimed, and on 2,000 fresh masks of each kind.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import FunctionGame
from gloss.attribute.levels.by_levels import ByLevels, LevelFound, LevelsFound
from gloss.attribute.levels.part_tree import GroupedGame, Level, PartTree
from gloss.attribute.result.interaction_terms import set_terms, told_players

PASSAGES, SENTENCES, WORDS = 1000, 5, 10
SIZES = {"one": 1, "both": 2, "both again": 2, "either": 2, "any of three": 3}
NOISE = 0.05
FRESH = 2000


@dataclass(frozen=True)
class PlantedPassages:
    """Sets of passages that count, and the words of each that must be kept."""

    sets: dict[str, PlayerSet]
    weights: dict[str, float]
    words: dict[int, tuple[int, ...]]  # of each deciding passage
    noise: np.random.Generator

    @staticmethod
    def drawn(rng: np.random.Generator) -> "PlantedPassages":
        """The law above."""
        passages = rng.choice(PASSAGES, sum(SIZES.values()), replace=False).tolist()
        sets = {
            name: tuple(sorted(passages.pop() for _ in range(size))) for name, size in SIZES.items()
        }
        weights = {name: rng.uniform(1, 2) * rng.choice([-1, 1]) for name in SIZES}
        words: dict[int, tuple[int, ...]] = {}
        for passage in (one for each in sets.values() for one in each):
            sentence = SENTENCES * passage + int(rng.integers(SENTENCES))
            deciding = rng.choice(WORDS, int(rng.integers(1, 3)), replace=False)
            words[passage] = tuple(sorted((WORDS * sentence + deciding).tolist()))
        return PlantedPassages(sets, weights, words, rng)

    def values(self, masks: ndarray) -> ndarray:
        """The sum of what the sets add, and noise."""
        total = self.noise.normal(0, NOISE, len(masks))
        for name, passages in self.sets.items():
            stands = np.stack([masks[:, list(self.words[one])].all(1) for one in passages])
            together = stands.all(0) if "both" in name else stands.any(0)
            total += self.weights[name] * together
        return total

    @property
    def tree(self) -> PartTree:
        """Passages, sentences, words."""
        leaf = np.arange(PASSAGES * SENTENCES * WORDS)
        owners = {
            "passages": leaf // (SENTENCES * WORDS),
            "sentences": leaf // WORDS,
            "words": leaf,
        }
        return PartTree(
            tuple(
                Level(unit, tuple(f"{unit} {one}" for one in range(own[-1] + 1)), own)
                for unit, own in owners.items()
            )
        )

    def deciding(self, unit: str) -> set[int]:
        """The parts of a level that decide."""
        size = {"passages": SENTENCES * WORDS, "sentences": WORDS, "words": 1}[unit]
        return {word // size for words in self.words.values() for word in words}

    def game(self) -> FunctionGame:
        """Words as players."""
        return FunctionGame(
            tuple(map(str, range(PASSAGES * SENTENCES * WORDS))), lambda masks: self.values(masks)
        )


def told_numbers(level: LevelFound) -> tuple[set[int], set[tuple[int, ...]]]:
    """The parts that are told, and the sets of passages; everything else counts as -1."""
    number = {player: part.number for player, part in enumerate(level.parts)}
    terms = [*told_players(level.found), *set_terms(level.found)]
    sets = [tuple(sorted(number.get(player, -1) for player in term.players)) for term in terms]
    return {one for each in sets for one in each}, set(sets)


def level_line(planted: PlantedPassages, found: LevelsFound, level: LevelFound) -> str:
    """What was found at one level, and at what cost."""
    told, sets = told_numbers(level)
    wanted = (
        planted.deciding(level.unit) if level.unit in ("passages", "sentences", "words") else set()
    )
    trust = level.found.faithfulness
    rng = np.random.default_rng(1)
    grouped = GroupedGame.of_parts(planted.game(), found.tree, level.parts)
    fresh: list[str] = []
    for kept in (0.5, 0.9):
        masks = rng.random((FRESH, len(grouped.players))) < kept
        values = grouped.values(masks)
        error = ((values - level.found.predict(masks)) ** 2).mean()
        fresh.append(f"{1 - error / values.var():.3f}")
    said = f"{level.unit}: {len(level.found.players)} players, {level.spent} of {level.budget}"
    said += f", R2 {trust.r2.value:.3f} ({fresh[0]}), near {trust.near.value:.3f} ({fresh[1]})"
    said += f", deciding {len(wanted & told)}/{len(wanted)}, false {len(told - wanted)}"
    if level.unit == "passages":
        right = [name for name, each in planted.sets.items() if each in sets]
        said += f", sets {len(right)}/{len(SIZES)}"
    return said


def is_found(planted: PlantedPassages, found: LevelsFound) -> bool:
    """All sets of passages, deciding sentences and words are told."""
    by_unit = {level.unit: told_numbers(level) for level in found.levels}
    if not {"passages", "sentences", "words"} <= by_unit.keys():
        return False
    if not set(planted.sets.values()) <= by_unit["passages"][1]:
        return False
    return all(
        planted.deciding(unit) <= by_unit[unit][0] for unit in ("passages", "sentences", "words")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--masks", type=int, default=1500)
    parser.add_argument("--block", type=int, default=1)
    asked = parser.parse_args()
    right = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        planted = PlantedPassages.drawn(np.random.default_rng(seed))
        begin = time.process_time()
        by_levels = ByLevels(budget=asked.masks, block=asked.block)
        found = by_levels.attribute(planted.game(), planted.tree, seed)
        used = time.process_time() - begin
        right += is_found(planted, found)
        verdict = "found" if is_found(planted, found) else "MISSED"
        print(f"seed {seed}: {found.spent} masks, {used:.0f} s, {verdict}")
        for level in found.levels:
            print(f"    {level_line(planted, found, level)} {level.stopped}", flush=True)
    print(f"found in {right} of {asked.seeds} seeds")


if __name__ == "__main__":
    main()
