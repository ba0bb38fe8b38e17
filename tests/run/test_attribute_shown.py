"""What the terminal shows of an attribution."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.judged import attribute_game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.exact import Exact
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.measured import measure_sets
from gloss.run.commands.attribute import page_curves
from gloss.run.commands.attribution_values import PlannedValues, new_values_sentence
from gloss.run.commands.attribution_view import (
    LOWERS,
    RAISES,
    player_table,
    set_table,
    shaded_prompt,
)
from gloss.run.commands.counted_game import Spent, count_masks


def printed(what) -> list[str]:
    console = Console(file=StringIO(), width=100)
    console.print(what)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_players_are_shaded_by_size_and_sign_and_the_space_around_them_is_not():
    text = shaded_prompt(
        (("Say: ", None), ("[bold]", 0), (" bad\n", 1), (" so", 2), (" what", 3)),
        {0: 2.0, 1: -1.0, 2: 0.05},
    )
    styled = {text.plain[span.start : span.end]: span.style for span in text.spans if span.style}
    assert styled["[bold]"] == RAISES[2]
    assert styled["bad"] == LOWERS[1]
    assert "so" not in styled
    assert printed(text) == [
        "Say: [bold] bad",
        " so what",
        "lowers −2 … raises +2  (on average, while half of the others are kept)",
    ]


def test_a_text_that_nothing_moves_has_no_legend():
    assert printed(shaded_prompt((("a", 0), ("   ", None), ("b", 1)), {})) == ["a   b"]


def test_shades_say_what_they_are():
    shown = printed(shaded_prompt((("a", 0),), {0: 1.0}, "by lasso"))
    assert shown[1] == "lowers −1 … raises +1  (by lasso)"


def game() -> FunctionGame:
    return FunctionGame(
        ("no", "not", "no", "very"),
        lambda x: 2.0 * (x[:, 0] | x[:, 2]) - x[:, 1] * x[:, 3] + 0.25 * x[:, 1],
    )


def measured() -> Interactions:
    found = Exact().attribute(game(), np.random.default_rng(0))
    sets = [(0,), (0, 2)]
    return replace(found, measured=measure_sets(Evaluations(game()), sets, sets))


def test_players_have_a_table_of_what_they_do_on_average_and_what_was_measured():
    lines = printed(player_table(measured(), 3))
    assert lines[1].split() == ["player", "on", "average", "[95", "%]", "without", "it", "alone"]
    assert [line.split()[-3:] for line in lines[3:6]] == [
        ["+1", "0", "+2"],
        ["+1", "–", "–"],
        ["−0.5", "–", "–"],
    ]
    assert "“no” (number 1)" in lines[3]
    assert lines[6].strip() == "and 1 weaker"


def test_sets_have_a_table_of_their_own_that_tells_kinds_where_they_are_sure():
    table = set_table(measured())
    assert table is not None
    lines = printed(table)
    assert [line.split("  ")[-1].strip() for line in lines[3:5]] == [
        "any is enough",
        "synergy",
    ]
    assert "“no” (number 1) + “no” (number 3)" in lines[3]
    assert [line.split()[-6:-3] for line in lines[3:4]] == [["−2", "+2", "+2"]]
    additive = FunctionGame(("a", "b"), lambda x: x @ np.array([1.0, 2.0]))
    assert set_table(Exact().attribute(additive, np.random.default_rng(0))) is None


def test_the_bar_has_a_total():
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        seen.append((done, total))

    counted = count_masks(game(), progress, Spent(), 16)
    Exact().attribute(counted, np.random.default_rng(0))
    assert seen[0] == (16, 16)


class Paid(FunctionGame):
    """A game whose values cost money."""

    costs_money = True


def twelve(x: np.ndarray) -> np.ndarray:
    """Of twelve players, with a set of three."""
    return x @ np.arange(12.0) + 8.0 * x[:, 0] * x[:, 1] * x[:, 2]


@pytest.mark.parametrize(
    "attributor",
    [
        Auto(budget=128),
        Auto(budget=5000),
        Lasso(budget=200),
        Occlusion(order=2, held_out=64),
        Occlusion(held_out=64),
        Shapley(budget=100),
        Banzhaf(budget=128, approach="sampling"),
        ProxySpex(budget=100, held_out=50),
        Exact(),
    ],
)
@pytest.mark.parametrize("kind", [FunctionGame, Paid])
def test_no_more_values_are_asked_for_than_was_said_before(attributor, kind):
    game = kind(tuple("abcdefghijkl"), twelve)
    planned = PlannedValues.of(attributor, game)
    known = Evaluations(game)
    found = attribute_game(attributor, known, np.random.default_rng(0))
    assert found.evaluations == len(known) <= planned.attribution
    own = len(known)
    page_curves(known, found, np.random.default_rng(0))
    assert len(known) - own <= planned.curves
    assert (planned.curves == 0) == (kind is Paid)


@pytest.mark.parametrize("budget", [64, 100, 128, 256])
def test_auto_pays_no_more_than_its_budget_where_values_are_noisy(budget):
    noise = np.random.default_rng(1)
    game = FunctionGame(tuple("abcdefghijkl"), lambda x: twelve(x) + noise.normal(size=len(x)))
    known = Evaluations(game)
    found = Auto(budget=budget).attribute(known, np.random.default_rng(0))
    assert found.evaluations == known.paid <= budget
    assert budget - known.paid <= 8


def test_what_values_were_for_is_said():
    assert new_values_sentence(0, 0, 0) == "0 values were new"
    said = new_values_sentence(1252, 4, 62)
    assert said == (
        "1,314 values were new: 1,252 for the attribution, 4 of them of masks that were asked"
        " about again and 62 for the curves of the page"
    )
    game = FunctionGame(tuple("abcdefghijkl"), twelve)
    said = PlannedValues.of(Auto(budget=256), game).sentence("auto", 38)
    assert said == (
        "auto asks for up to 256 values, and the curves of the page for 56 more; 38 rows were read"
        " already, to check the prompt."
    )
