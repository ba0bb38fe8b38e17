"""Attributions in words: what is known of a game is said of it, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from known import all_masks, game_of

from gloss.attribute.bases import Basis, evaluate_coefficients
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.interaction_terms import (
    InteractionKind,
    InteractionTerm,
    any_one_weight,
    choose_truncation,
    compact_terms,
    interaction_kind,
)
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.wording import attribution_paragraph, distinct_player_names
from gloss.records import Estimate

CERTAIN = " Known whole: all {} masks were valued, so that nothing is left to predict."


def paragraph(players: str, function, most: int = 5) -> str:
    game = FunctionGame(tuple(players.split()), function)
    text = attribution_paragraph(
        Exact().attribute(game, np.random.default_rng(0)), "the score", most
    )
    masks = 2 ** len(game.players)
    assert text.endswith(CERTAIN.format(masks, masks))
    return text.removesuffix(CERTAIN.format(masks, masks))


def test_and_acts_only_together():
    assert (
        paragraph("never dull", lambda x: 2.0 * x.all(axis=1))
        == "Only together, “never” and “dull” raise the score by 2 (100 %). This makes up 100 % of"
        " all that was found."
    )


@pytest.mark.parametrize(
    ("players", "said"),
    [
        (
            "good great",
            (
                "Either of “good” and “great” is enough to lower the score by 3 (100 %); the other"
                " adds nothing to that."
            ),
        ),
        (
            "a b c",
            (
                "Any one of “a”, “b” and “c” is enough to lower the score by 3 (100 %); the others"
                " add nothing to that."
            ),
        ),
    ],
)
def test_or_is_enough_with_any_one(players, said):
    assert (
        paragraph(players, lambda x: -3.0 * x.any(axis=1))
        == f"{said} This makes up 100 % of all that was found."
    )


def test_xor_takes_back_together_what_either_adds():
    assert (
        paragraph("a b", lambda x: x[:, 0] ^ x[:, 1])
        == "Either of “a” and “b” is enough to raise the score by 1 (50 %); the other adds nothing"
        " to that. “a” and “b” together lower the score by 1 (50 %), on top of what each does."
        " These make up 100 % of all that was found."
    )


def test_additive_players_are_named_one_by_one_and_the_weak_are_counted():
    assert (
        paragraph("a b c d", lambda x: x @ np.array([5.0, -3.0, 1.0, 1.0]), most=2)
        == "“a” raises the score by 5 (50 %). “b” lowers the score by 3 (30 %). "
        "These make up 80 % of all that was found; 2 weaker ones are not named."
    )


def test_one_of_two_that_overlap_can_add_more():
    assert (
        paragraph("a b", lambda x: np.maximum(3.0 * x[:, 0], x[:, 1]))
        == "“a” raises the score by 2 (67 %) beyond what it shares with others. Either of “a” and"
        " “b” is enough to raise the score by 1 (33 %); the other adds nothing to that. These"
        " make up 100 % of all that was found."
    )


def test_a_negation_comes_on_top_of_what_it_negates():
    assert (
        "“not” and “good” together lower the score by 2 (67 %), on top of what each does."
        in paragraph("not good", lambda x: x[:, 1] * (1.0 - 2 * x[:, 0]))
    )


def test_what_was_not_explained_is_not_told(rng):
    found = Exact().attribute(game_of({(0,): 5.0}, 2), rng)
    for r2 in (Estimate(0.49, 0.3, 0.6), Estimate.missing()):
        text = attribution_paragraph(
            replace(found, faithfulness=Faithfulness(r2, 200)), "the score"
        )
        assert text.startswith(("Not explained: R2 0.49", "Nothing to explain"))
        assert "p0" not in text
        assert "raises" not in text


def test_no_more_is_claimed_than_the_held_out_r2(rng):
    found = replace(
        Exact().attribute(game_of({(0,): 5.0}, 2), rng),
        faithfulness=Faithfulness(Estimate(0.6, 0.5, 0.7), 50),
    )
    assert attribution_paragraph(found, "it").endswith(
        "R2 0.60 [0.50, 0.70] on 50 unseen masks that keep half, from 4 values."
    )


def test_a_constant_is_moved_by_nobody():
    found = Interactions(
        ("a",), {(): 2.0}, Basis.MOBIUS, "given", Faithfulness(Estimate(0.9, 0.8, 1.0), 9), 9
    )
    assert attribution_paragraph(found, "it").startswith("No player moves it.")


@pytest.mark.parametrize("seed", range(20))
def test_terms_are_the_same_function(seed):
    rng = np.random.default_rng(seed)
    game = FunctionGame(
        tuple("abcd"), lambda x: 2.0 * x[:, :3].any(axis=1) - x[:, 1:].all(axis=1) + x @ weights
    )
    weights = rng.integers(-2, 3, 4) * 0.5
    mobius = Exact().attribute(game, rng).into(Basis.MOBIUS).coefficients
    masks = all_masks(4)
    said = sum(value_of(term, masks) for term in compact_terms(mobius)) + mobius.get((), 0.0)
    assert said == pytest.approx(evaluate_coefficients(dict(mobius), Basis.MOBIUS, masks))


def value_of(term: InteractionTerm, masks: np.ndarray) -> np.ndarray:
    kept = masks[:, list(term.players)]
    return term.weight * (kept.any(axis=1) if term.any_one else kept.all(axis=1))


def test_kinds_tell_redundancy_from_synergy():
    mobius = {(0,): 1.0, (1,): 1.0, (2,): -1.0, (0, 1): -0.3, (0, 2): -1.0, (1, 2): 0.5}
    assert [interaction_kind(one, mobius) for one in mobius] == [
        *[InteractionKind.ALONE] * 3,
        InteractionKind.REDUNDANCY,
        InteractionKind.SYNERGY,
        InteractionKind.SYNERGY,
    ]
    assert any_one_weight((0, 1), mobius) == 0.3
    assert all(not term.any_one for term in compact_terms(mobius))


def test_a_conjunction_of_many_is_read_whole(rng):
    game = FunctionGame(tuple("abcdefg"), lambda x: x.all(axis=1))
    truncation = choose_truncation(Exact().attribute(game, rng))
    assert (truncation.order, truncation.share) == (7, pytest.approx(1.0))
    [term] = truncation.terms
    assert (term.players, term.weight) == (tuple(range(7)), pytest.approx(1.0))


def test_a_game_of_all_orders_is_read_at_the_low_ones_and_the_rest_is_told(rng):
    noise = rng.normal(size=256) * 0.5
    game = FunctionGame(
        tuple("abcdefgh"), lambda x: 4.0 * x[:, 0] - 3 * x[:, 1] + noise[x @ (1 << np.arange(8))]
    )
    found = Exact().attribute(game, rng)
    truncation = choose_truncation(found)
    assert truncation.order == 1
    assert truncation.share == pytest.approx(found.truncate(1)[1])
    text = attribution_paragraph(found, "it", most=2)
    assert text.startswith("“a” raises it by")
    assert (
        "6 weaker ones are not named; larger sets, over which this is the mean, are 4 % of what was"
        " found" in text
    )


def test_sets_too_large_to_be_gone_through_are_not_told():
    players = tuple(f"p{index}" for index in range(20))
    trust = Faithfulness(Estimate(0.9, 0.8, 1.0), 99)
    found = Interactions(
        players, {(0,): 1.0, tuple(range(20)): 2.0}, Basis.FOURIER, "given", trust, 99
    )
    text = attribution_paragraph(found, "it")
    assert text.startswith(
        "Players alone are 20 % of what was found, too little to tell, and larger sets are too"
        " many. Explained:"
    )
    assert "raises" not in text


def test_players_of_the_same_name_are_numbered():
    assert distinct_player_names([" the", "cat", "the "]) == (
        "“the” (number 1)",
        "“cat”",
        "“the” (number 3)",
    )
    assert distinct_player_names(["\n", "x" * 99])[0] == "“\\n”"
    assert len(distinct_player_names(["x" * 99])[0]) < 65
