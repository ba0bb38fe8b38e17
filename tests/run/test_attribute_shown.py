"""What the terminal shows of an attribution."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.result.interaction_terms import player_terms, set_terms
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.measured import measure_sets
from gloss.run.commands.attribute import count_masks, masks_to_value, with_measured
from gloss.run.commands.attribution_view import (
    LOWERS,
    RAISES,
    player_table,
    set_table,
    shaded_prompt,
)


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
    return replace(found, measured=measure_sets(Evaluations(game()), [(0,), (0, 2)]))


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


def test_the_bar_has_a_total_where_the_method_has_a_budget():
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        seen.append((done, total))

    assert masks_to_value(Auto(budget=100), 20) == 100
    assert masks_to_value(Auto(), 5) == masks_to_value(Exact(), 5) == 32
    assert masks_to_value(Occlusion(), 5) is None
    counted = count_masks(game(), progress, 16)
    Exact().attribute(counted, np.random.default_rng(0))
    assert seen[0] == (16, 16)


@pytest.mark.parametrize("attributor", [Lasso(budget=200), Occlusion(held_out=64)])
def test_other_methods_are_given_measured_values_of_their_strongest(attributor):
    wide = FunctionGame(
        tuple("abcdefghij"), lambda x: x @ np.arange(10.0) + 3.0 * x[:, 8] * x[:, 9]
    )
    known = Evaluations(wide)
    found = with_measured(known, attributor.attribute(known, np.random.default_rng(0)))
    assert found.measured is not None
    assert (found.measured.everybody, found.measured.nobody) == (48.0, 0.0)
    assert found.measured.lost[9,] == 12.0
    assert found.measured.alone[9,] == 9.0
    assert len(found.measured.lost) < 10
    assert with_measured(known, found) is found


def test_where_every_value_is_known_nothing_is_left_unmeasured():
    wide = FunctionGame(tuple("abcdef"), lambda x: x @ np.arange(6.0) + 2.0 * x[:, 0] * x[:, 1])
    known = Evaluations(wide)
    found = Auto().attribute(known, np.random.default_rng(0))
    paid = known.paid
    found = with_measured(known, found)
    terms = [*player_terms(found), *set_terms(found)]
    assert len(terms) == 7
    assert all(np.isfinite([term.lost, term.alone]).all() for term in terms)
    assert known.paid == paid
