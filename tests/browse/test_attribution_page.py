"""The page of an attribution: what stands where.

A browser shows it by day and by night, wide and narrow.
"""

import math

import pytest
from attributed import NASTY, a_long_text, a_review, heads, many_players, page_of, words

from gloss.errors import Unwritable
from gloss.pages.attribution_page import (
    NARROW,
    WIDE,
    draw_players,
    write_attribution_page,
)
from gloss.pages.head_grid import head_grid
from gloss.pages.number_format import format_signed
from gloss.pages.removal_curves import CurveLine, axis_ticks, curve_panels
from gloss.pages.set_diagram import set_diagram
from gloss.pages.text_arcs import SetValues, stack_spans, text_picture
from gloss.pages.typeset import typeset


def said(lines) -> list[str]:
    return [" ".join(one.said for one in line.fragments) for line in lines]


def test_lines_break_between_players_and_where_the_text_does():
    text = (("Say: ", None), ("one two", 0), (" three", 1), (" and\nfour", None))
    assert said(typeset(text, 12, ())) == ["Say: one two", "three and↵", "four"]
    assert said(typeset((("a b " * 5, 0),), 8, ())) == ["a b a b", "a b a b", "a b"]
    assert said(typeset((("x" * 9, 0),), 4, ())) == ["xxxx", "xxxx", "x"]


def test_lines_of_code_stay_indented_and_a_line_break_before_a_player_is_none_of_it():
    first, second = typeset((("def f():", 0), ("\n    return", 1)), 40, ())
    assert [(one.said, one.player) for one in first.fragments] == [("def f():", 0), ("↵", None)]
    assert [(one.column, one.said, one.player) for one in second.fragments] == [(4, "return", 1)]


def test_tokens_of_one_word_stand_beside_each_other_and_wide_characters_take_two_columns():
    [line] = typeset(((" un", 0), ("kind", 1), (" 東京", 2), (" is", None)), 40, ())
    assert [(one.column, one.columns) for one in line.fragments] == [
        (0, 2),
        (2, 4),
        (7, 4),
        (12, 2),
    ]


def test_lines_without_anything_of_interest_are_folded_and_their_players_counted():
    text = tuple((f" word{number:02}", number) for number in range(12))
    assert [line.folded for line in typeset(text, 6, {0, 11})] == [0, 10, 0]
    assert sum(line.folded == 0 for line in typeset(text, 6, {0, 4, 8, 11})) == 12


def test_shades_grow_with_the_value_and_hues_follow_its_sign():
    values = SetValues({(0,): 1.0, (1,): -0.25, (): 7.0}, ("a", "b", "c"))
    shades = {
        one.said: (one.shade, one.lowers)
        for one in text_picture(
            typeset((("a", 0), (" b", 1), (" c", 2)), 40, ()), [], values
        ).stretches
    }
    assert shades == {"a": (78.0, False), "b": (39.0, True), "c": (0.0, False)}


def test_arcs_of_one_line_never_touch_and_those_of_two_run_to_the_edge():
    page = a_review()
    wide, narrow = (draw_players(page, columns) for columns in (WIDE, NARROW))
    assert len(narrow.arcs) > len(wide.arcs) >= 7
    assert [arc.lowers for arc in wide.arcs if arc.tooltip == "not + good: −1.42 together"] == [
        True
    ]
    open_ended = [
        arc.path for arc in narrow.arcs if arc.tooltip == "good + brilliant: −0.31 together"
    ]
    assert [("V" in path.split("H")[0], "V" in path.split("H")[1]) for path in open_ended] == [
        (True, False),
        (False, True),
    ]


def test_a_pair_inside_another_lies_below_it():
    page = many_players()
    values = SetValues({(0, 3): 1.0, (1, 2): 1.0}, page.players)
    outer, inner = text_picture(
        typeset(tuple((f" player{i}", i) for i in range(4)), 80, ()), [(0, 3), (1, 2)], values
    ).arcs
    assert outer.y < inner.y
    assert stack_spans([]) == {}


def test_sets_of_three_and_more_have_a_mark_for_each_player():
    found = set_diagram(
        [(0, 2, 5), (2, 5, 7)], SetValues({(0, 2, 5): 0.5, (2, 5, 7): -1.0}, tuple("abcdefgh"))
    )
    assert [column.name for column in found.columns] == ["a", "c", "f", "h"]
    assert [row.marks for row in found.rows] == [(76.0, 100.0, 124.0), (100.0, 124.0, 148.0)]
    assert [(row.label, row.lowers) for row in found.rows] == [("+0.50", False), ("−1.00", True)]


def test_both_panels_share_their_scales_and_leave_out_what_is_no_number():
    auto = CurveLine("auto", (0, 2, 4), (4.0, math.nan, 0.0), (0.0, 3.0, 4.0))
    chance = CurveLine("random order", (0, 4), (4.0, 0.0), (0.0, 4.0))
    removal, insertion = curve_panels([auto, chance])
    assert removal.up == insertion.up
    assert len(removal.traces[0].points.split()) == 2
    assert [trace.kind for trace in insertion.traces] == ["line0", "random"]
    assert curve_panels([]) == ()


@pytest.mark.parametrize(
    ("ends", "marks"),
    [
        ((0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((-3.2, 0.4), [-4, -3, -2, -1, 0, 1]),
        ((2.0, 2.0), []),
    ],
)
def test_marks_are_round_numbers_around_all_values(ends, marks):
    found = axis_ticks(*ends)
    assert found[0] <= ends[0] <= ends[1] <= found[-1]
    if ends[0] != ends[1]:
        assert found == pytest.approx(marks)


def test_values_that_stand_together_have_as_many_decimals():
    assert [format_signed(value, 1.42) for value in (-1.42, 0.4, 0.001)] == [
        "−1.42",
        "+0.40",
        "+0.00",
    ]
    assert format_signed(123.4, 123.4) == "+123"
    assert format_signed(2e-9, 2e-9) == "+2e−09"


def test_players_without_a_name_and_curves_of_unequal_length_are_refused():
    with pytest.raises(
        ValueError, match="was given player 3, but has names of players 0 to 1 only"
    ):
        page_of("t", (), ("a", "b"), {(0, 3): 1.0})
    with pytest.raises(ValueError, match="they need as many each"):
        CurveLine("auto", (0, 1), (1.0,), (1.0, 2.0))


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot write"):
        write_attribution_page(tmp_path / "file" / "page.html", a_review())


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_needs_nothing_else(visitor_of, tmp_path, scheme, width):
    write_attribution_page(tmp_path / "page.html", a_review())
    visitor = visitor_of(tmp_path, color_scheme=scheme, viewport={"width": width, "height": 900})
    page = visitor.visit("page.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.text:visible").count() == 1
    assert page.locator(".panels polyline").count() == 6
    assert page.locator(".banner").count() == 0
    assert len(visitor.requests) == 1
    boxes = [box.bounding_box() for box in page.locator("svg.text:visible text.label").all()]
    apart = [(a, b) for a in boxes for b in boxes if a != b and overlapping(a, b)]
    assert apart == []


def overlapping(a, b, halo: float = 5.0) -> bool:
    sides = (("x", "width"), ("y", "height"))
    return all(
        a[at] + halo < b[at] + b[size] and b[at] + halo < a[at] + a[size] for at, size in sides
    )


@pytest.mark.browser
def test_what_was_not_explained_says_so_first_and_is_grey(visitor_of, tmp_path):
    write_attribution_page(tmp_path / "page.html", a_review(explained=False))
    page = visitor_of(tmp_path).visit("page.html")
    assert page.locator("main > *").first.inner_text().startswith("Not explained: R2 0.12")
    filters = page.locator(".picture").evaluate_all(
        "parts => parts.map(x => getComputedStyle(x).filter)"
    )
    assert filters == ["grayscale(1)"] * 4
    assert "averages are no reasons here" in page.locator("main").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("text", [True, False])
def test_text_stays_text(visitor_of, tmp_path, text):
    stretches = ((NASTY, 0), (NASTY, None)) if text else ()
    sets = {(0,): 1.0, (0, 1): 1.0, (0, 1, 2): -1.0}
    curves = (CurveLine(NASTY, (0, 1), (0.0, 1.0), (1.0, 0.0)),)
    page = page_of(
        NASTY,
        stretches,
        (NASTY, "b", "c"),
        sets,
        said=NASTY,
        explained=text,
        facts={"value": NASTY},
        figures={NASTY: NASTY},
        meaning=NASTY,
        curves=curves,
    )
    write_attribution_page(tmp_path / "page.html", page)
    shown = visitor_of(tmp_path).visit("page.html")
    assert shown.locator("img, script, h1 b, text b").count() == 0
    assert NASTY in shown.locator("h1").inner_text()


@pytest.mark.browser
def test_of_a_thousand_players_those_that_matter_are_shown_and_the_others_counted(
    visitor_of, tmp_path
):
    write_attribution_page(tmp_path / "heads.html", many_players())
    write_attribution_page(tmp_path / "long.html", a_long_text())
    page = visitor_of(tmp_path).visit("heads.html")
    assert page.locator("svg.wide text:not(.label)").count() == len(many_players().shown) < 60
    assert (
        f"And {1000 - len(many_players().shown)} others of 1,000"
        in page.locator(".note").first.inner_text()
    )
    page = visitor_of(tmp_path).visit("long.html")
    assert page.locator("svg.wide .fold").all_text_contents() == ["⋯ 475 weaker players ⋯"] * 2


@pytest.mark.browser
def test_nothing_found_is_still_a_page(visitor_of, tmp_path):
    page = page_of("Nothing", words("a b c")[0], ("a", "b", "c"), {})
    write_attribution_page(tmp_path / "page.html", page)
    shown = visitor_of(tmp_path).visit("page.html")
    assert shown.locator("svg.wide rect, .panels").count() == 0
    assert "No set of two or more acts together" in shown.locator("main").inner_text()


@pytest.mark.browser
def test_heads_are_a_grid_of_layers_whose_shades_are_averages(visitor_of, tmp_path):
    write_attribution_page(tmp_path / "page.html", heads())
    page = visitor_of(tmp_path).visit("page.html")
    grid = page.locator("table.heads")
    assert [row.inner_text() for row in grid.locator("tbody th").all()] == ["0", "1", "5"]
    cells = grid.locator("td")
    assert cells.count() == 12
    assert grid.locator("td.none").count() == 1
    assert cells.nth(2).get_attribute("style") == "--shade:78.0%"
    assert (cells.nth(9).get_attribute("title") or "").startswith("“head 5.1”: −0.25")
    assert page.locator("svg.wide path").count() == 1


def test_a_grid_is_of_heads_alone():
    page = many_players()
    assert page.grid is None
    assert head_grid(("head 0.1", "head 0.2", "head 1.1", "MLP 1"), page.values) is None
    found = heads().grid
    assert found is not None
    assert found.heads == (0, 1, 2, 3)
    assert [sum(cell is None for cell in cells) for _, cells in found.rows] == [0, 0, 1]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_tables_hold_what_was_measured_and_all_players(visitor_of, tmp_path, width):
    write_attribution_page(tmp_path / "page.html", a_review())
    visitor = visitor_of(tmp_path, viewport={"width": width, "height": 900})
    page = visitor.visit("page.html")
    sets, strongest, weaker = (page.locator("table.grid").nth(number) for number in range(3))
    first = sets.locator("tbody tr").first
    assert first.locator("td.n").all_inner_texts() == ["−1.42 [−1.47, −1.37]", "−0.71", "−2.84"]
    assert first.locator("th").inner_text() == "not + good"
    assert strongest.locator("tbody tr").count() == 12
    assert strongest.locator("tbody tr").count() + weaker.locator("tbody tr").count() == 34
    assert weaker.locator("tbody tr").last.locator("td.n").all_text_contents()[1:] == ["–", "–"]
    assert not weaker.is_visible()
    page.locator("summary").click()
    assert weaker.is_visible()
    large = page.locator(".figures").inner_text().split("\n")
    assert [each for each in large if each] == [
        "with everything kept",
        "1.2",
        "R2 on 200 masks that keep half",
        ".93 (.90–.95)",
    ]
    assert "Without “good” it falls by 1." in page.locator(".told").inner_text()
