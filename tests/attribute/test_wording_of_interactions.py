"""What is said of an attribution: what is known of a game, every number of which is found again by
ablating by hand, and nothing else.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from known import all_masks, game_of

from gloss.attribute.bases import Basis
from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.interaction_terms import (
    InteractionKind,
    KnownAverages,
    bonferroni_widening,
    interaction_kind,
    player_terms,
    set_terms,
    told_players,
    variation_shares,
)
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.measured import measure_sets
from gloss.attribute.result.wording import (
    amount,
    amount_with_sign,
    attribution_paragraph,
    attribution_sentences,
    distinct_player_names,
)
from gloss.records import Estimate


def attributed(function, players: str, attributor=None, seed: int = 0) -> Interactions:
    game = Evaluations(FunctionGame(tuple(players.split()), function))
    found = (attributor or Exact()).attribute(game, np.random.default_rng(seed))
    if found.measured is None:
        sets = [term.players for term in [*player_terms(found), *set_terms(found)]]
        found = replace(found, measured=measure_sets(game, sets, sets))
    return found


def sentences(function, players: str, **options) -> list[str]:
    return attribution_sentences(attributed(function, players), "the score", **options)


def of_both(x):
    """2 a b - 1.5 (c or d) + 0.3 e."""
    return 2.0 * x[:, 0] * x[:, 1] - 1.5 * (x[:, 2] | x[:, 3]) + 0.3 * x[:, 4]


def test_and_acts_only_together():
    said = sentences(lambda x: 2.0 * x.all(axis=1), "never dull")
    assert said[0] == "The score: 2 with everything kept, 0 with nothing kept (measured)."
    assert said[1] == (
        "Without “never” it falls by 2 and “never” alone leaves it as it is (measured); on average,"
        " while half of the others are kept, “never” raises it by 1."
    )
    assert said[3] == (
        "Only together “never” and “dull” raise it, by 2 on average: neither does without the"
        " other. Without these two it falls by 2 and these two alone raise it by 2 (measured)."
    )


@pytest.mark.parametrize(
    ("players", "said"),
    [
        (
            "good great",
            "Either of “good” and “great” is enough to lower it, by 3 on average: the other adds",
        ),
        (
            "a b c",
            "Any one of “a”, “b” and “c” is enough to lower it, by 3 on average: more of them add",
        ),
    ],
)
def test_or_is_enough_with_any_one(players, said):
    number = len(players.split())
    found = attributed(lambda x: -3.0 * x.any(axis=1), players)
    [term] = [term for term in set_terms(found) if len(term.players) == number]
    assert term.kind is InteractionKind.ANY_ENOUGH
    assert said in attribution_paragraph(found, "it", most=7)


def test_one_of_two_that_overlap_can_add_more():
    said = sentences(lambda x: np.maximum(3.0 * x[:, 0], 1.5 * x[:, 1]), "a b")
    assert said[3] == (
        "“a” and “b” overlap: on average they raise it by 1.5 less together than what each does"
        " without the other, added up (redundancy). Without these two it falls by 3 and these two"
        " alone raise it by 3 (measured)."
    )


def test_what_pulls_one_way_and_together_more_is_synergy():
    said = sentences(lambda x: x @ np.array([1.0, 1.0]) + 2.0 * x.all(axis=1), "a b")
    assert said[3].startswith(
        "“a” and “b” together raise it by 2 on average beyond what each does (synergy)."
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 0] ^ x[:, 1],  # neither does anything on average
        lambda x: x[:, 1] * (1.0 - 2 * x[:, 0]),  # a negation
        lambda x: 2.0 * x.all(axis=1) - 3.0 * x[:, 0],  # they pull to different sides
    ],
)
def test_no_kind_is_called_where_players_do_not_pull_one_way(function):
    [term] = set_terms(attributed(function, "a b"))
    assert term.kind is None
    assert "together" in attribution_paragraph(attributed(function, "a b"), "it")


@pytest.mark.parametrize("seed", range(20))
def test_a_pure_pair_with_rounding_noise_is_never_redundancy(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=64) * 10.0 ** rng.integers(-14, -1)
    found = attributed(
        lambda x: 2.0 * x[:, 0] * x[:, 3] + noise[x @ (1 << np.arange(6))], "a b c d e f"
    )
    kinds = {term.players: term.kind for term in set_terms(found)}
    assert kinds[0, 3] is InteractionKind.ONLY_TOGETHER
    mobius = {(0,): -0.001, (1,): -0.002, (0, 1): 2.0}
    known = KnownAverages.of(Exact().attribute(game_of(mobius, 2, Basis.MOBIUS), rng))
    assert interaction_kind((0, 1), known) is InteractionKind.ONLY_TOGETHER


@pytest.mark.parametrize("attributor", [Exact(), Auto(budget=160)])
def test_planted_players_and_sets_are_told_with_their_kinds_and_nothing_else(attributor):
    found = attributed(
        lambda x: of_both(x) + 1e-9 * (x @ np.arange(8.0)), "a b c d e f g h", attributor
    )
    told = {term.players: term.average.value for term in told_players(found)}
    assert told == pytest.approx({(0,): 1, (1,): 1, (2,): -0.75, (3,): -0.75, (4,): 0.3}, rel=1e-4)
    kinds = {term.players: term.kind for term in set_terms(found)}
    assert kinds == {
        (0, 1): InteractionKind.ONLY_TOGETHER,
        (2, 3): InteractionKind.ANY_ENOUGH,
    }
    assert variation_shares(found) == pytest.approx({1: 0.673, 2: 0.327}, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_game_of_sampled_replies_the_pair_is_told_and_no_noise(seed):
    rng = np.random.default_rng(seed)
    found = attributed(
        lambda x: rng.binomial(8, 1 / (1 + np.exp(1.0 - 2 * x[:, 0] * x[:, 1]))) / 8,
        "a b c d e f g h",
        Auto(),
        seed,
    )
    assert [term.players for term in set_terms(found)] == [(0, 1)]
    assert {(0,), (1,)} <= {term.players for term in told_players(found)}
    [pair] = set_terms(found)
    assert pair.average.low < pair.average.value < pair.average.high
    assert "(measured, ± 0." in attribution_sentences(found, "the share")[1]


def test_every_number_in_the_paragraph_is_found_again_by_ablating(rng):
    noise = rng.normal(size=2**12) * 0.1

    def value(x):
        return of_both(x) + noise[x @ (1 << np.arange(12))]

    found = attributed(value, "a b c d e f g h i j k l", Auto(budget=1024))
    text = attribution_paragraph(found, "the score")
    masks = all_masks(12)
    truth = value(masks)
    ends = re.search(r"^The score: (\S+) with everything kept, (\S+) with nothing", text)
    assert ends is not None
    told = [float(each.replace("−", "-")) for each in ends.groups()]
    assert told == pytest.approx([truth[-1], truth[0]], rel=5e-3)
    stretches = re.split(r"(?=Without “|Only together|Either of|These two)", text)
    checked = 0
    for said in stretches[1:]:
        named = sorted({found.players.index(name) for name in re.findall(r"“(\w)”", said)})
        checked += check_by_hand(said, named, masks, truth)
    assert checked == 3 * 3 + 2 * 3


def check_by_hand(said: str, players: list[int], masks: np.ndarray, truth: np.ndarray) -> int:
    """How many numbers were checked."""
    bits = sum(1 << player for player in players)
    lost, alone = truth[-1] - truth[-1 - bits], truth[bits] - truth[0]
    signs = (2.0 * masks[:, players] - 1).prod(axis=1)
    average = 2 ** len(players) * (truth * signs).mean()
    numbers = 0
    number = r"([\d.]+)"
    for pattern, true, up in (
        (rf"it (falls|rises) by {number}", -lost, "rises"),
        (rf"alone (lowers?|raises?) it by {number}", alone, "raise"),
    ):
        if found := re.search(pattern, said):
            sign = 1 if found[1].startswith(up) else -1
            assert sign * float(found[2].rstrip(".")) == pytest.approx(true, rel=5e-3)
            numbers += 1
        elif "Without" in said:  # next to nothing is said without a number
            assert abs(true) <= 0.3
    pattern = rf"(lowers?|raises?) it,? by {number} \[{number}, {number}\]"
    averaged = re.search(pattern, said)
    assert averaged is not None
    low, high = float(averaged[3]), float(averaged[4])
    size = abs(average)
    assert low - 0.01 <= size <= high + 0.01
    enough = -1 if "enough" in said else 1
    assert averaged[1].startswith("raise" if enough * average > 0 else "lower")
    return numbers + 1


def test_what_was_not_explained_is_told_as_measured_only(rng):
    found = attributed(of_both, "a b c d e")
    unsure = replace(found, faithfulness=Faithfulness(Estimate(0.49, 0.3, 0.6), 200))
    text = attribution_paragraph(unsure, "the score")
    assert "Not explained: R2 0.49" in text
    assert "Without “a” it falls by 2" in text
    assert "on average" not in text
    assert "together" not in text
    same = replace(found, faithfulness=Faithfulness(Estimate.missing(), 200))
    assert "Without" not in attribution_paragraph(same, "the score")


def test_a_constant_is_moved_by_nobody():
    found = attributed(lambda x: 2.0 + 0.0 * x[:, 0], "a b")
    said = attribution_paragraph(found, "it")
    assert said.startswith("It: 2 with everything kept, 2 with nothing kept (measured). Nothing")
    none = Interactions(
        ("a",), {(): 2.0}, Basis.MOBIUS, "given", Faithfulness(Estimate(0.9, 0.8, 1.0), 9), 9
    )
    assert "No player and no set moves it" in attribution_paragraph(none, "it")


def test_an_account_without_averages_of_the_game_says_whose_they_are():
    trust = Faithfulness(Estimate(0.9, 0.8, 1.0), 99)
    found = Interactions(("a", "b"), {(0,): 1.0, (0, 1): -3.0}, Basis.MOBIUS, "lasso", trust, 99)
    text = attribution_paragraph(found, "the score")
    assert text.startswith(
        "The score. By the account of lasso, while half of the others are kept, “b” lowers it by"
        " 1.5."
    )
    assert [(term.players, term.average.value) for term in player_terms(found)] == [
        ((1,), -1.5),
        ((0,), -0.5),
    ]
    [pair] = set_terms(found)
    assert (pair.kind, pair.average.value) == (None, -3.0)
    own = {(0, 1): Estimate(-3.0, -3.5, -2.5)}
    [pair] = set_terms(replace(found, stability=own))
    # wide enough to hold for both players and the pair together
    wide = 0.5 * bonferroni_widening(2, 2)
    assert pair.average == Estimate(-3.0, -3.0 - wide, -3.0 + wide)


def test_one_set_of_many_needs_more_than_its_own_interval():
    assert bonferroni_widening(1, 1) == 1.0
    assert (
        1.4
        < bonferroni_widening(1, 14)
        < bonferroni_widening(2, 14)
        < bonferroni_widening(2, 1000)
        < 3
    )
    trust = Faithfulness(Estimate(0.9, 0.8, 1.0), 99)
    players = tuple(map(str, range(30)))
    averages = {
        (0,): Estimate(1.0, 0.9, 1.1),
        (0, 1): Estimate(0.3, 0.05, 0.55),  # beyond its own, not beyond that of 465 sets
        (0, 2): Estimate(0.9, 0.65, 1.15),
    } | {(player,): Estimate(0.01, -0.09, 0.11) for player in range(1, 30)}
    fourier = {one: each.value / 2 ** len(one) for one, each in averages.items()}
    found = Interactions(players, fourier, Basis.FOURIER, "auto", trust, 9, averages=averages)
    assert [term.players for term in told_players(found)] == [(0,)]
    assert [term.players for term in set_terms(found)] == [(0, 2)]


@pytest.mark.parametrize(
    ("estimate", "said", "signed"),
    [
        (Estimate(-1.634, -1.87, -1.41), "1.63 [1.41, 1.87]", "−1.63 [−1.87, −1.41]"),
        (Estimate(123.4, 123.1, 123.7), "123.4 [123.1, 123.7]", "+123.4 [+123.1, +123.7]"),
        (Estimate(0.00123, 0.0012, 0.00126), "0.00123 [0.00120, 0.00126]", None),
        (Estimate(2.0, 2.0, 2.0), "2", "+2"),
        (Estimate(5.0, float("nan"), float("nan")), "5", "+5"),
    ],
)
def test_a_number_has_the_figures_that_its_interval_bears(estimate, said, signed):
    assert amount(estimate) == said
    if signed:
        assert amount_with_sign(estimate) == signed


def test_players_of_the_same_name_are_numbered():
    assert distinct_player_names([" the", "cat", "the "]) == (
        "“the” (number 1)",
        "“cat”",
        "“the” (number 3)",
    )
    assert distinct_player_names(["\n", "x" * 99])[0] == "“\\n”"
    assert len(distinct_player_names(["x" * 99])[0]) < 65
