"""How numbers are written for people: .84 (.80–.88), 0.43 %, 1 in 233, 131,072."""

import math
import re

from gloss.records import Estimate

THIN = "\u202f"  # narrow no-break space, before a per-cent sign
MINUS = "\u2212"


def format_decimal(value: float, places: int = 2) -> str:
    """A score without its leading zero; a dash where there is no number."""
    if not math.isfinite(value):
        return "–"
    text = f"{abs(value):.{places}f}".removeprefix("0")
    return MINUS + text if value < 0 and float(f"{value:.{places}f}") != 0 else text


def format_interval(estimate: Estimate) -> str:
    """Its 95 % interval, in brackets; nothing where it is unknown."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    return f"({format_decimal(estimate.low)}–{format_decimal(estimate.high)})"


def format_nats(value: float) -> str:
    """A KL that was asked for: 1 nat, 0.33 nats."""
    return f"{value:g} nat{'' if value == 1 else 's'}"


def format_percent(share: float) -> str:
    """Two significant figures below 10 %, whole ones above.

    Never rounded up to all or down to nothing.
    """
    if not math.isfinite(share):
        return "–"
    hundredfold = 100 * share
    if hundredfold in (0, 100):
        return f"{hundredfold:.0f}{THIN}%"
    if hundredfold > 99.5:
        return f"{min(hundredfold, 99.9):.1f}{THIN}%"
    if hundredfold >= 10:
        return f"{hundredfold:.0f}{THIN}%"
    places = max(1, 1 - math.floor(math.log10(hundredfold)))
    text = f"{hundredfold:.{places}f}".rstrip("0").rstrip(".")
    return f"{text}{THIN}%"


def format_one_in(share: float) -> str:
    """A share as the distance between cases: 0.0043 is "1 in 233"; nothing above a half."""
    return f"1 in {round(1 / share):,}" if 0 < share <= 0.5 else ""


def short_name(name: str) -> str:
    """The last part of a path or of an organisation's name for a model."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name


def format_whole(number: int) -> str:
    """A count with thousands apart."""
    return f"{number:,}"


def format_strength(value: float) -> str:
    """An activation, to three significant figures."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    return text.replace("-", MINUS)


def format_signed(value: float, largest: float) -> str:
    """A number with its sign.

    It gets as many decimals as give three figures to the largest value that stands beside it.
    """
    if not 1e-4 <= largest < 1e6:
        return "+" * (value > 0) + format_strength(value)
    text = f"{abs(value):,.{max(0, 2 - math.floor(math.log10(largest)))}f}"
    return (MINUS if value < 0 else "+") + text
