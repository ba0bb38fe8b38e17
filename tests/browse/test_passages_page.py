"""The page of an attribution by levels: what stands where; a browser shows it wide and narrow."""

import pytest
from attributed import NASTY

from gloss.pages.attribution_page import SetOnPage
from gloss.pages.passages_page import LevelOnPage, OpenedPart, PassagesPage, write_passages_page
from gloss.records import Estimate


def a_level(unit: str, *names: str, explained: bool = True, stopped: str = "") -> LevelOnPage:
    players = range(len(names))
    return LevelOnPage(
        unit=unit,
        players=str(len(names)),
        opened="1",
        spent="90 of 100",
        half=".93 (.90–.95)",
        near=".88 (.80–.93)",
        explained=explained,
        said="Explained: well." if explained else "Not explained: R2 0.10. Too few values.",
        stopped=stopped,
        names=names,
        single=tuple(SetOnPage((one,), Estimate(1.0 - one, 0.5, 1.5)) for one in players),
        sets=(SetOnPage((0, 1), Estimate(0.5, 0.4, 0.6), 1.0, kind="only together"),),
    )


def a_page(said: str = "The code is 4812.", *, explained: bool = True) -> PassagesPage:
    word = OpenedPart("word", "4812.", "+0.9", "–", "–", lowers=False, shade=78.0)
    sentence = OpenedPart("sentence", said, "+1.1", "+1", "+2", False, 70.0, (word,))
    passage = OpenedPart("passage", f"7: {said}", "−1.4", "−2", "–", True, 60.0, (sentence,))
    return PassagesPage(
        title=f"log-probability of {said}",
        figures={"with everything kept": "−1.2"},
        told=(f"Without “{said}” it falls by 1.",),
        levels=(
            a_level("passages", f"7: {said}", "8: x", explained=explained),
            a_level("words", "4812.", "code", stopped="The budget is spent."),
        ),
        opened=(passage,),
        average="on average [95 %]",
        facts={"model": "a-small-model", "value": said},
    )


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_levels_and_what_was_opened_stand_on_one_page(visitor_of, tmp_path, width):
    write_passages_page(tmp_path / "page.html", a_page())
    visitor = visitor_of(tmp_path, viewport={"width": width, "height": 900})
    page = visitor.visit("page.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(visitor.requests) == 1
    rows = page.locator("table.levels tbody tr")
    assert rows.first.locator("td").all_inner_texts() == [
        "2", "1", "90 of 100", ".93 (.90–.95)", ".88 (.80–.93)",
    ]  # fmt: skip
    assert rows.count() == 2
    inner = page.locator("ul.parts ul.parts ul.parts .says")
    assert inner.all_inner_texts() == ["4812."]
    outer = page.locator("ul.parts > li > p").first.inner_text()
    assert outer == "7: The code is 4812. −1.4 lost without it −2, alone –"
    colours = page.locator(".says").evaluate_all(
        "parts => parts.map(x => getComputedStyle(x).backgroundColor)"
    )
    assert len(set(colours)) == 3
    assert "The budget is spent." in page.locator("main").inner_text()
    assert page.locator(".banner").count() == 0
    assert not page.locator("details table").first.is_visible()
    page.locator("summary").first.click()
    assert page.locator("details table").first.is_visible()


@pytest.mark.browser
def test_a_level_that_was_not_explained_says_so_first_and_is_grey(visitor_of, tmp_path):
    write_passages_page(tmp_path / "page.html", a_page(explained=False))
    page = visitor_of(tmp_path).visit("page.html")
    first = page.locator("main > *").first.inner_text()
    assert first.startswith("Passages: Not explained: R2 0.10")
    filters = page.locator(".picture table").evaluate_all(
        "parts => parts.map(x => getComputedStyle(x).filter)"
    )
    assert filters == ["grayscale(1)"] * 2 + ["none"] * 2


@pytest.mark.browser
def test_passages_stay_text(visitor_of, tmp_path):
    write_passages_page(tmp_path / "page.html", a_page(NASTY))
    shown = visitor_of(tmp_path).visit("page.html")
    assert shown.locator("img, script, h1 b").count() == 0
    assert NASTY in shown.locator("h1").inner_text()
