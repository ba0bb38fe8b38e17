"""A report's page: one file that a browser shows by day and by night.

Its distributions are drawn to scale.
"""

import numpy as np
import pytest

from gloss.pages.charts import RIDGE_WIDTH, chart_scale, ridges
from gloss.pages.report_sections import (
    DistributionLine,
    Distributions,
    Facts,
    Grid,
    Link,
    ReportPage,
    Section,
)
from gloss.pages.single_page import write_report_page
from gloss.records import Estimate

HALF = Estimate(0.5, 0.4, 0.6)
NASTY = "</script><b>bold</b> `<img src=x onerror=alert(1)>`"


def line(values: list[float], *, control: bool = False) -> DistributionLine:
    return DistributionLine(
        "its own", np.array(values), Estimate(float(np.median(values)), 0.1, 0.9), control
    )


def a_report() -> ReportPage:
    spread = np.random.default_rng(0).random(200).tolist()
    blocks = (
        Distributions(
            "F1 by execution of rule",
            (line(spread), line([0.0] * 9, control=True)),
            "No item failed.",
        ),
        Grid(
            ("metric", "its own", "sees"),
            (("F1", HALF, "sees it"), (Link("7", ""), Estimate.missing(), NASTY)),
            "By execution.",
        ),
        Facts((("subject", NASTY), ("a long one", "x" * 300))),
    )
    return ReportPage(
        "demo",
        NASTY,
        (Section("Scores", "How to read it.", blocks), Section("Nothing", "At all.", ())),
    )


def test_a_table_refuses_rows_of_another_length():
    with pytest.raises(ValueError, match="a table of 2 columns was given a row of 1"):
        Grid(("a", "b"), (("x",),))


def test_scores_between_0_and_1_are_drawn_from_0_to_1():
    scale, (one,) = ridges([line([0.2, 0.3, 0.25])])
    assert (scale.low, scale.high) == (0.0, 1.0)
    assert one.median == RIDGE_WIDTH / 4
    assert max(float(point.split(",")[0]) for point in one.outline.split()) == RIDGE_WIDTH


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([], (0, 1)),
        ([-0.3, 0.5], (-0.4, 1)),
        ([0.1, 3.2], (0, 4)),
        ([-5.5, -0.2], (-6, 0)),
        ([-0.01], (0, 1)),
    ],
)
def test_a_scale_leaves_nobody_out_and_ends_at_round_numbers(values, ends):
    scale = chart_scale([np.array(values)])
    assert (scale.low, scale.high) == pytest.approx(ends)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_needs_nothing_else_and_fits(visitor_of, tmp_path, scheme, width):
    visitor = visitor_of(
        tmp_path,
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        java_script_enabled=True,
    )
    write_report_page(tmp_path / "report.html", a_report())
    page = visitor.visit("report.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg polygon").count() == 2
    assert page.locator("section b:has-text('bold'), img, script").count() == 0
    assert [url for url in visitor.requests if not url.endswith("report.html")] == []
    dark = (
        sum(
            map(
                int,
                page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)"),
            )
        )
        < 150
    )
    assert dark == (scheme == "dark")


@pytest.mark.browser
def test_estimates_are_drawn_with_their_intervals(visitor_of, tmp_path):
    write_report_page(tmp_path / "report.html", a_report())
    page = visitor_of(tmp_path).visit("report.html")
    cell = page.locator("td.estimate").first
    assert cell.locator(".n").inner_text() == ".50"
    assert cell.locator("small").inner_text() == "(.40–.60)"
    assert cell.locator(".whisker").get_attribute("style") == "left:40.0%;width:20.0%"
