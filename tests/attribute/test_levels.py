"""Attribution by levels: planted sets of passages are found within the budget, and their sentences
and words; effects that are spread, or cancel within a block, open nothing.
"""

import numpy as np
import pytest

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.levels.by_levels import (
    FEWEST_MASKS,
    ByLevels,
    told_parts,
    variation_of_players,
)
from gloss.attribute.levels.part_tree import EVERYTHING_ELSE, GroupedGame, Level, PartTree, TextPart
from gloss.attribute.question import NamedGame
from gloss.attribute.result.interaction_terms import InteractionKind, set_terms
from gloss.attribute.result.levels_record import levels_record
from gloss.errors import BadInput, BadSettings

SENTENCES, WORDS = 3, 4
A_PASSAGE = SENTENCES * WORDS


def tree_of(passages: int, sentences: int = SENTENCES) -> PartTree:
    leaf = np.arange(passages * sentences * WORDS)
    owners = {
        "passages": leaf // (sentences * WORDS), "sentences": leaf // WORDS, "words": leaf
    }  # fmt: skip
    return PartTree(
        tuple(
            Level(unit, tuple(f"{unit[:-1]} {one}" for one in range(own[-1] + 1)), own)
            for unit, own in owners.items()
        )
    )


def game_of(tree: PartTree, function) -> FunctionGame:
    return FunctionGame(tuple(map(str, range(tree.count))), function)


def planted(masks):
    """Two words of passages 5 and 90 together; either of two words of passages 30 and 31."""
    both = masks[:, A_PASSAGE * 5 + 2] & masks[:, A_PASSAGE * 90 + 7]
    either = masks[:, A_PASSAGE * 30] | masks[:, A_PASSAGE * 31 + 11]
    return 2.0 * both - 1.5 * either


def numbers(parts) -> list[int]:
    return [part.number for part in parts]


def test_planted_passages_their_sentences_and_words_are_found_within_the_budget():
    tree, asked = tree_of(100), []

    def count(masks):
        asked.append(len(masks))
        return planted(masks)

    found = ByLevels(budget=600).attribute(game_of(tree, count), tree, seed=1)
    passages, sentences, words = found.levels
    assert numbers(passages.opened) == [5, 30, 31, 90]
    assert numbers(sentences.opened) == [15, 90, 95, 271]
    assert numbers(told_parts(words)) == [62, 360, 383, 1087]
    sets = {
        tuple(passages.parts[one].number for one in term.players): term.kind
        for term in set_terms(passages.found)
    }
    assert sets == {
        (5, 90): InteractionKind.ONLY_TOGETHER,
        (30, 31): InteractionKind.ANY_ENOUGH,
    }
    assert sum(asked) <= found.spent <= 600
    for level in found.levels:
        trust = level.found.faithfulness
        assert level.spent <= level.budget
        assert trust.whole or (trust.r2.value > 0.95 and trust.near.value > 0.9)


def test_a_game_of_parts_of_several_levels_is_the_game_of_their_leaves(rng):
    tree = tree_of(4)
    parts = [TextPart(1, 4), TextPart(2, 20), TextPart(0, 3)]
    weights = rng.normal(size=tree.count)
    grouped = GroupedGame.of_parts(game_of(tree, lambda masks: masks @ weights), tree, parts)
    assert grouped.players == ("sentence 4", "word 20", "passage 3", EVERYTHING_ELSE)
    leaves = [list(range(16, 20)), [20], list(range(36, 48))]
    leaves.append(sorted(set(range(48)) - {one for each in leaves for one in each}))
    for mask in rng.random((20, 4)) < 0.5:
        wanted = sum(weights[own].sum() for kept, own in zip(mask, leaves, strict=True) if kept)
        assert grouped.values(mask[None])[0] == pytest.approx(wanted)


def test_an_effect_that_is_spread_evenly_over_all_passages_opens_none():
    tree = tree_of(24)
    even = np.repeat(1.0, tree.count)
    found = ByLevels(budget=600).attribute(game_of(tree, lambda masks: masks @ even), tree)
    [level] = found.levels
    assert level.opened == ()
    assert "spread over some 24 of 24 players" in level.stopped
    assert variation_of_players(level.found) == pytest.approx(np.full(24, 1 / 24), abs=0.01)


def test_pairs_of_neighbours_that_cancel_are_missed_by_blocks_and_found_without():
    tree = tree_of(32)

    def cancelling(masks):
        return masks[:, A_PASSAGE * 8] * 1.0 - masks[:, A_PASSAGE * 9]

    blocks = ByLevels(budget=400, block=2).attribute(game_of(tree, cancelling), tree)
    assert [level.unit for level in blocks.levels] == ["blocks of passages"]
    assert blocks.levels[0].stopped
    single = ByLevels(budget=400).attribute(game_of(tree, cancelling), tree)
    assert numbers(single.levels[0].opened) == [8, 9]
    assert numbers(told_parts(single.levels[-1])) == [A_PASSAGE * 8, A_PASSAGE * 9]


def test_blocks_lead_to_passages_with_few_masks():
    tree = tree_of(64)
    words = (A_PASSAGE * 3 + 1, A_PASSAGE * 40 + 2)

    def both(masks):
        return 3.0 * masks[:, list(words)].all(1)

    found = ByLevels(budget=170, block=8).attribute(game_of(tree, both), tree, seed=3)
    assert [level.unit for level in found.levels][:2] == ["blocks of passages", "passages"]
    assert numbers(found.levels[0].opened) == [0, 5]
    assert numbers(told_parts(found.levels[1])) == [3, 40]
    assert found.spent <= 170


def test_a_level_of_single_parts_is_passed_over_and_a_spent_budget_is_said():
    tree = tree_of(40, sentences=1)

    def one(masks):
        return masks[:, 9] * 1.0

    found = ByLevels(budget=400).attribute(game_of(tree, one), tree)
    assert [level.unit for level in found.levels] == ["passages", "words"]
    assert found.told_inside(TextPart(0, 2), 0) == [TextPart(2, 9)]
    found = ByLevels(budget=FEWEST_MASKS).attribute(game_of(tree, one), tree)
    assert [level.stopped for level in found.levels] == ["The budget is spent."]
    assert found.levels[0].opened == ()


def test_what_never_changes_opens_nothing():
    tree = tree_of(20)
    found = ByLevels(budget=200).attribute(game_of(tree, lambda masks: np.ones(len(masks))), tree)
    [level] = found.levels
    assert level.opened == ()
    assert "None of the passages moves it" in level.stopped


def test_a_killed_run_pays_for_nothing_twice_and_finds_the_same(tmp_path):
    tree, asked = tree_of(100), []

    def run(folder, stop_after=None):
        def count(masks):
            if stop_after is not None and sum(asked) + len(masks) > stop_after:
                raise KeyboardInterrupt
            asked.append(len(masks))
            return planted(masks)

        def keep(grouped, level):
            return Evaluations(grouped, folder / level, batch=16)

        found = ByLevels(budget=600).attribute(game_of(tree, count), tree, 1, keep)
        return levels_record({}, {}, NamedGame(game_of(tree, count), "v"), found)

    whole, paid = run(tmp_path / "one"), sum(asked)
    for stop in (100, 350, paid - 5):
        asked.clear()
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"{stop}", stop)
        assert run(tmp_path / f"{stop}") == whole
        assert sum(asked) == paid
    asked.clear()
    assert run(tmp_path / "one") == whole
    assert asked == []


def test_levels_of_few_players_are_the_same_when_their_values_are_known(tmp_path):
    tree, asked = tree_of(3), []

    def count(masks):
        asked.append(len(masks))
        return 1.0 * masks[:, 5] * masks[:, 30]

    def run():
        found = ByLevels(budget=200).attribute(
            game_of(tree, count),
            tree,
            0,
            lambda grouped, level: Evaluations(grouped, tmp_path / level),
        )
        return levels_record({}, {}, NamedGame(game_of(tree, count), "v"), found)

    first = run()
    assert first["spent"] == sum(asked)
    assert first["levels"][0]["spent"] == 12  # all 8 masks, and four of them twice
    asked.clear()
    assert run() == first
    assert asked == []


def test_noisy_values_stay_within_the_budget():
    whole, draws = tree_of(12, sentences=1), np.random.default_rng(5)
    tree = PartTree((whole.levels[0], whole.levels[2]))

    def noisy(masks):
        return 3.0 * masks[:, 30] + draws.normal(0, 0.3, len(masks))

    found = ByLevels(budget=220).attribute(game_of(tree, noisy), tree)
    assert found.spent <= 220
    assert all(level.found.faithfulness.noise.deviation > 0 for level in found.levels)
    assert numbers(told_parts(found.levels[-1])) == [30]


def test_bad_trees_and_budgets_are_refused():
    leaf = np.arange(4)
    with pytest.raises(BadInput, match="lie in several passages"):
        PartTree((Level("passages", ("a", "b"), leaf // 2), Level("x", ("c",), leaf * 0)))
    with pytest.raises(BadSettings, match="budget"):
        ByLevels(budget=10)
    with pytest.raises(BadSettings, match="the tree 24 leaves"):
        ByLevels().attribute(FunctionGame(("a",), lambda masks: masks[:, 0]), tree_of(2))
