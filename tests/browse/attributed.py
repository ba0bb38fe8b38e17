"""Pages of attributions whose pictures are known."""

from collections.abc import Mapping
from typing import Any

from gloss.pages.attribution_page import AttributionPage, SetOnPage
from gloss.pages.removal_curves import CurveLine
from gloss.records import Estimate

NASTY = "</script><b>bold</b> <img src=x onerror=alert(1)>"
REVIEW = (
    "The film is not good at all , though the actors are brilliant and the music , which nobody had"
    " asked for , is never dull . I would not watch it again ."
)


def words(text: str) -> tuple[tuple[tuple[str, int | None], ...], tuple[str, ...]]:
    """The stretches of a text whose words are its players, and their names."""
    said = text.split()
    return tuple((f" {word}", number) for number, word in enumerate(said)), tuple(said)


def curve(name: str, drop: float) -> CurveLine:
    counts = tuple(range(0, 31, 3))
    falls = tuple(2.4 * (1 - (count / 30) ** drop) - 0.6 for count in counts)
    return CurveLine(name, counts, falls, tuple(1.8 - value - 0.6 for value in falls))


def page_of(
    title: str,
    text: tuple[tuple[str, int | None], ...],
    players: tuple[str, ...],
    averages: Mapping[tuple[int, ...], float],
    *,
    said: str = "Explained.",
    explained: bool = True,
    **more: Any,
) -> AttributionPage:
    """A page of these averages, each with an interval, of which the strongest were measured."""
    terms = [
        SetOnPage(one, Estimate(value, value - 0.05, value + 0.05), 0.5 * value, 2 * value)
        for one, value in sorted(averages.items(), key=lambda each: -abs(each[1]))
    ]
    missing = [SetOnPage((player,), Estimate(0.0, -0.05, 0.05)) for player in range(len(players))]
    single = [term for term in terms if len(term.players) == 1]
    single += [term for term in missing if term.players not in averages]
    sets = tuple(term for term in terms if len(term.players) > 1)
    told = (f"{title}: 1.2 with everything kept.", "Without “good” it falls by 1.")
    return AttributionPage(
        title,
        more.pop("facts", {}),
        text,
        players,
        tuple(single),
        sets,
        told,
        said,
        explained,
        **more,
    )


def a_review(*, explained: bool = True) -> AttributionPage:
    text, players = words(REVIEW)
    said = (
        "Explained: R2 0.93 [0.90, 0.95] on 200 masks that were not fitted to, from 864"
        " evaluations."
        if explained
        else (
            "Not explained: R2 0.12 [-0.03, 0.24] on 200 masks that were not fitted to. The 864"
            " evaluations may be too few."
        )
    )
    coefficients = {
        (3,): -0.35, (4,): 0.9, (12,): 1.3, (18,): -0.2, (24,): -0.3, (25,): -0.62,
        (29,): -0.4, (1,): -0.05, (3, 4): -1.42, (24, 25): 0.98, (4, 12): -0.31, (29, 30): -0.22,
        (12, 25): 0.18, (5, 6): 0.12, (30, 32): 0.26,
        (3, 4, 6): -0.4, (3, 5, 6): 0.16, (12, 15, 24, 25): 0.21, (29, 30, 32): -0.45,
    }  # fmt: skip
    facts = {
        "value": "log-odds of “positive”",
        "subject": "a-small-model",
        "method": "auto",
        "evaluations": "864 of 1,000",
    }
    curves = (curve("auto", 0.3), curve("lasso", 0.5), curve("random order", 1.0))
    figures = {"with everything kept": "1.2", "R2 on 200 masks that keep half": ".93 (.90–.95)"}
    return page_of(
        "Why “positive”?",
        text,
        players,
        coefficients,
        said=said,
        explained=explained,
        facts=facts,
        figures=figures,
        curves=curves,
    )


def many_players() -> AttributionPage:
    players = tuple(f"MLP {number}" for number in range(1000))
    pairs = {(37 * k % 900, 37 * k % 900 + 40 + k): (-1) ** k * 1.5 / (k + 1) for k in range(14)}
    single = {(61 * k % 1000,): (-1) ** (k // 2) * 2 / (k + 1) for k in range(1, 400)}
    larger = {(5 + k, 100 + 9 * k, 500 + 20 * k): 0.8 / (k + 1) for k in range(9)}
    return page_of("Parts that tell the name", (), players, single | pairs | larger)


def heads() -> AttributionPage:
    players = tuple(f"“head {layer}.{head}”" for layer in (0, 1, 5) for head in range(4))[:-1]
    return page_of("Heads", (), players, {(2,): 1.0, (9,): -0.25, (2, 9): 0.5})


def a_long_text() -> AttributionPage:
    text, players = words(
        " ".join(f"word{number}" if number % 7 else "and" for number in range(1000))
    )
    coefficients = {(3,): 1.0, (5, 9): 0.5, (500, 990): -0.8, (999,): -0.2}
    return page_of("A long one", text, players, coefficients)
