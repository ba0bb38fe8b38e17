"""What the terminal shows of an attribution."""

from io import StringIO

import numpy as np
from rich.console import Console

from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.exact import Exact
from gloss.run.commands.attribution_view import LOWERS, RAISES, shaded_prompt, strongest_sets_table


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
        "lowers −2 … raises +2  (alone, beyond what it does with others)",
    ]


def test_a_text_that_nothing_moves_has_no_legend():
    assert printed(shaded_prompt((("a", 0), ("   ", None), ("b", 1)), {})) == ["a   b"]


def test_the_table_tells_kinds_and_counts_what_it_leaves_out():
    game = FunctionGame(
        ("no", "not", "no", "very"),
        lambda x: 2.0 * (x[:, 0] | x[:, 2]) - x[:, 1] * x[:, 3] + 0.25 * x[:, 1],
    )
    lines = printed(strongest_sets_table(Exact().attribute(game, np.random.default_rng(0)), 4))
    assert lines[0].split() == ["players", "adds", "kind"]
    assert [line.split("  ")[-1].strip() for line in lines[2:6]] == [
        "alone",
        "alone",
        "redundancy",
        "synergy",
    ]
    assert lines[4].strip().startswith("“no” (number 1) + “no” (number 3)")
    assert "−2" in lines[4]
    assert lines[6].strip() == "and 1 weaker"
