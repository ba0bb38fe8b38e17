"""Attributions in words: what is known of a game is said of it, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from known import all_masks, game_of

from gloss.attribute.exact import Exact
from gloss.attribute.game import Function
from gloss.attribute.interactions import Faithfulness, Interactions
from gloss.attribute.kinds import Kind, Term, either, kind, terms
from gloss.attribute.reading import reading
from gloss.attribute.transforms import Basis, evaluated
from gloss.attribute.wording import in_words, told_apart
from gloss.records import Estimate

CERTAIN = " Known whole: all {} masks were valued, so that nothing is left to foretell."


def told(players: str, function, most: int = 5) -> str:
    game = Function(tuple(players.split()), function)
    text = in_words(Exact().attribute(game, np.random.default_rng(0)), "the score", most)
    masks = 2 ** len(game.players)
    assert text.endswith(CERTAIN.format(masks, masks))
    return text.removesuffix(CERTAIN.format(masks, masks))


def test_and_acts_only_together():
    assert told("never dull", lambda x: 2.0 * x.all(axis=1)) == (
        "Only together, “never” and “dull” raise the score by 2 (100 %). This makes up 100 % of all that was found."
    )


@pytest.mark.parametrize(
    ("players", "said"),
    [
        ("good great", "Either of “good” and “great” is enough to lower the score by 3 (100 %); the other adds nothing to that."),
        ("a b c", "Any one of “a”, “b” and “c” is enough to lower the score by 3 (100 %); the others add nothing to that."),
    ],
)
def test_or_is_enough_with_any_one(players, said):
    assert told(players, lambda x: -3.0 * x.any(axis=1)) == f"{said} This makes up 100 % of all that was found."


def test_xor_takes_back_together_what_either_adds():
    assert told("a b", lambda x: x[:, 0] ^ x[:, 1]) == (
        "Either of “a” and “b” is enough to raise the score by 1 (50 %); the other adds nothing to that. "
        "“a” and “b” together lower the score by 1 (50 %), on top of what each does. These make up 100 % of all that was found."
    )


def test_additive_players_are_named_one_by_one_and_the_weak_are_counted():
    assert told("a b c d", lambda x: x @ np.array([5.0, -3.0, 1.0, 1.0]), most=2) == (
        "“a” raises the score by 5 (50 %). “b” lowers the score by 3 (30 %). "
        "These make up 80 % of all that was found; 2 weaker ones are not named."
    )


def test_one_of_two_that_overlap_can_add_more():
    assert told("a b", lambda x: np.maximum(3.0 * x[:, 0], x[:, 1])) == (
        "“a” raises the score by 2 (67 %) beyond what it shares with others. "
        "Either of “a” and “b” is enough to raise the score by 1 (33 %); the other adds nothing to that. "
        "These make up 100 % of all that was found."
    )


def test_a_negation_comes_on_top_of_what_it_negates():
    assert "“not” and “good” together lower the score by 2 (67 %), on top of what each does." in told(
        "not good", lambda x: x[:, 1] * (1.0 - 2 * x[:, 0])
    )


def test_what_was_not_explained_is_not_told(rng):
    found = Exact().attribute(game_of({(0,): 5.0}, 2), rng)
    for r2 in (Estimate(0.49, 0.3, 0.6), Estimate.missing()):
        text = in_words(replace(found, faithfulness=Faithfulness(r2, 200)), "the score")
        assert text.startswith(("Not explained: R2 0.49", "Nothing to explain"))
        assert "p0" not in text
        assert "raises" not in text


def test_no_more_is_claimed_than_the_held_out_r2(rng):
    found = replace(Exact().attribute(game_of({(0,): 5.0}, 2), rng), faithfulness=Faithfulness(Estimate(0.6, 0.5, 0.7), 50))
    assert in_words(found, "it").endswith("R2 0.60 [0.50, 0.70] on 50 masks that were not fitted to, from 4 evaluations.")


def test_a_constant_is_moved_by_nobody():
    found = Interactions(("a",), {(): 2.0}, Basis.MOBIUS, "given", Faithfulness(Estimate(0.9, 0.8, 1.0), 9), 9)
    assert in_words(found, "it").startswith("No player moves it.")


@pytest.mark.parametrize("seed", range(20))
def test_terms_are_the_same_function(seed):
    rng = np.random.default_rng(seed)
    game = Function(tuple("abcd"), lambda x: 2.0 * x[:, :3].any(axis=1) - x[:, 1:].all(axis=1) + x @ weights)
    weights = rng.integers(-2, 3, 4) * 0.5
    mobius = Exact().attribute(game, rng).into(Basis.MOBIUS).coefficients
    masks = all_masks(4)
    said = sum(value_of(term, masks) for term in terms(mobius)) + mobius.get((), 0.0)
    assert said == pytest.approx(evaluated(dict(mobius), Basis.MOBIUS, masks))


def value_of(term: Term, masks: np.ndarray) -> np.ndarray:
    kept = masks[:, list(term.players)]
    return term.weight * (kept.any(axis=1) if term.either else kept.all(axis=1))


def test_kinds_tell_redundancy_from_synergy():
    mobius = {(0,): 1.0, (1,): 1.0, (2,): -1.0, (0, 1): -0.3, (0, 2): -1.0, (1, 2): 0.5}
    assert [kind(one, mobius) for one in mobius] == [*[Kind.ALONE] * 3, Kind.REDUNDANCY, Kind.SYNERGY, Kind.SYNERGY]
    assert either((0, 1), mobius) == 0.3
    assert all(not term.either for term in terms(mobius))


def test_a_conjunction_of_many_is_read_whole(rng):
    game = Function(tuple("abcdefg"), lambda x: x.all(axis=1))
    told = reading(Exact().attribute(game, rng))
    assert (told.order, told.share) == (7, pytest.approx(1.0))
    [term] = told.terms
    assert (term.players, term.weight) == (tuple(range(7)), pytest.approx(1.0))


def test_a_game_of_all_orders_is_read_at_the_low_ones_and_the_rest_is_told(rng):
    noise = rng.normal(size=256) * 0.5
    game = Function(tuple("abcdefgh"), lambda x: 4.0 * x[:, 0] - 3 * x[:, 1] + noise[x @ (1 << np.arange(8))])
    found = Exact().attribute(game, rng)
    told = reading(found)
    assert told.order == 1
    assert told.share == pytest.approx(found.up_to(1)[1])
    text = in_words(found, "it", most=2)
    assert text.startswith("“a” raises it by")
    assert "6 weaker ones are not named; larger sets, over which this is the mean, are 4 % of what was found" in text


def test_sets_too_large_to_be_gone_through_are_not_told():
    players = tuple(f"p{place}" for place in range(20))
    trust = Faithfulness(Estimate(0.9, 0.8, 1.0), 99)
    found = Interactions(players, {(0,): 1.0, tuple(range(20)): 2.0}, Basis.FOURIER, "given", trust, 99)
    text = in_words(found, "it")
    assert text.startswith(
        "Players alone are 20 % of what was found, too little to tell, and larger sets are too many. Explained:"
    )
    assert "raises" not in text


def test_players_of_the_same_name_are_numbered():
    assert told_apart([" the", "cat", "the "]) == ("“the” (number 1)", "“cat”", "“the” (number 3)")
    assert told_apart(["\n", "x" * 99])[0] == "“\\n”"
    assert len(told_apart(["x" * 99])[0]) < 65
