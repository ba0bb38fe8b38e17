"""An attribution in words: every sentence gives numbers that whoever ablates by hand gets too.

After Feldhus et al. (2023, "Saliency Map Verbalization"), but of what was measured.
"""

import math
from collections import Counter
from collections.abc import Sequence

from gloss.attribute.result.interaction_terms import (
    InteractionKind,
    InteractionTerm,
    player_terms,
    set_terms,
    share_of_rest,
    told_players,
    variation_shares,
)
from gloss.attribute.result.interactions import MISSING, Interactions
from gloss.records import Estimate

LONGEST_NAME = 60  # characters of a name
NOTHING = 5e-4  # share of the value's range below which a change is none
HALF_NORMAL = 1.96  # deviations to either side that hold 95 % of a normal distribution
ROUNDING = 1e-6  # share of a value below which an interval is arithmetic


def attribution_paragraph(found: Interactions, value: str, most: int = 3) -> str:
    """What `attribution_sentences` say, and in the end how far all this explains the value."""
    return " ".join([*attribution_sentences(found, value, most), found.summary_sentence()])


def attribution_sentences(found: Interactions, value: str, most: int = 3) -> list[str]:
    """The value with everything and with nothing; of the `most` strongest players what is lost
    without each, what it does alone and on average; of as many sets what their players do together.

    Of a value that is not explained they tell what was measured, and no averages.
    """
    wording, trust = AttributionWording(found), found.faithfulness
    if math.isnan(trust.r2.value):
        return [wording.ends(value)]
    if not trust.explained:
        measured = [term for term in player_terms(found) if math.isfinite(term.lost + term.alone)]
        measured.sort(key=lambda term: -max(abs(term.lost), abs(term.alone)))
        return [wording.ends(value), *(wording.measured(term) for term in measured[:most])]
    told = [wording.player(term) for term in told_players(found)[:most]]
    told += [wording.set(term) for term in set_terms(found)[:most]]
    if not told:
        told = ["No player and no set moves it beyond its interval."]
    return [wording.ends(value), *told, shares_sentence(found)]


class AttributionWording:
    """Says what rows of an attribution hold."""

    def __init__(self, found: Interactions) -> None:
        self.names = distinct_player_names(found.players)
        measured, noise = found.measured, found.faithfulness.noise
        self.over = found.over_prompts
        self.ends_measured = (measured.everybody, measured.nobody) if measured else ()
        self.deviation = noise.deviation if noise else 0.0  # of one value
        self.by = "on average" if found.averages else f"by the account of {found.method}"
        sizes = [abs(term.average.value) for term in player_terms(found)]
        self.scale = max([*sizes, *map(abs, self.ends_measured)], default=0.0)

    def ends(self, value: str) -> str:
        """The value itself."""
        over = (self.over.everybody, self.over.nobody) if self.over else (MISSING, MISSING)
        said = [
            f"{number_or_interval(each, interval)} with {what} kept"
            for each, interval, what in zip(
                self.ends_measured, over, ("everything", "nothing"), strict=False
            )
            if math.isfinite(each)
        ]
        if not said:
            return f"{capitalized(value)}."
        return f"{capitalized(value)}: {', '.join(said)}{self.source(1)}.{self.right_answers()}"

    def right_answers(self) -> str:
        """How many of several prompts are answered rightly, where that is known."""
        if not self.over or self.over.right is None:
            return ""
        n = self.over.prompts
        return f" Above 0, and so answered rightly, in {self.over.right:,} of {n:,} prompts."

    def player(self, term: InteractionTerm) -> str:
        """What one player does: measured, and on average."""
        [name], average = self.said(term), term.average
        half = ", while half of the others are kept,"
        averaged = f"{self.by}{half} {name} {moves(average)} it by {amount(average)}."
        before = self.measured(term)
        return f"{before.removesuffix('.')}; {averaged}" if before else capitalized(averaged)

    def set(self, term: InteractionTerm) -> str:
        """What a set does together beyond its parts, of which kind it is, and what was measured."""
        return " ".join(filter(None, [self.together(term), self.measured(term)]))

    def together(self, term: InteractionTerm) -> str:
        """What a set does beyond its parts."""
        said, average = join_player_names(self.said(term)), term.average
        two = len(term.players) == 2
        opposite = average if len(term.players) % 2 else negated(average)
        by = f"by {amount(average)} {self.by}"
        match term.kind:
            case InteractionKind.ONLY_TOGETHER:
                fewer = "neither does without the other" if two else "fewer of them do not"
                return f"Only together {said} {move(average)} it, {by}: {fewer}."
            case InteractionKind.ANY_ENOUGH:
                anyone = "Either of" if two else "Any one of"
                more = "the other adds" if two else "more of them add"
                return (
                    f"{anyone} {said} is enough to {move(opposite)} it, {by}: {more} hardly"
                    " anything."
                )
            case InteractionKind.REDUNDANCY if two:
                return (
                    f"{said} overlap: {self.by} they {move(opposite)} it by {amount(average)} less"
                    " together than what each does without the other, added up (redundancy)."
                )
            case _:
                parts = "each does" if two else "fewer of them do"
                kind = f" ({term.kind})" if term.kind else ""
                return f"{said} together {move(average)} it {by} beyond what {parts}{kind}."

    def measured(self, term: InteractionTerm) -> str:
        """What is lost without a player or a set, and what it does alone; nothing where that was
        not measured.
        """
        single = len(term.players) == 1
        they = self.said(term)[0] if single else f"these {number_word(len(term.players))}"
        s = "s" if single else ""
        parts: list[str] = []
        if math.isfinite(term.lost):
            moved = self.change(-term.lost, negated(term.lost_interval), "falls", "rises")
            parts.append(f"without {they} it {moved or 'stays as it is'}")
        if math.isfinite(term.alone):
            moved = self.change(term.alone, term.alone_interval, f"lower{s} it", f"raise{s} it")
            parts.append(f"{they} alone {moved or f'leave{s} it as it is'}")
        return f"{capitalized(' and '.join(parts))}{self.source(2)}." if parts else ""

    def change(self, value: float, interval: Estimate, falls: str, rises: str) -> str:
        """A change in words, with its interval where it has one; nothing for next to none."""
        if abs(value) <= NOTHING * self.scale:
            return ""
        much = amount(interval) if interval.low < interval.high else f"{abs(value):.3g}"
        return f"{falls if value < 0 else rises} by {much}"

    def source(self, values: int) -> str:
        """That a number was measured, as the difference of so many values or as one, and how far
        noise may have moved it.
        """
        if not self.deviation:
            over = self.over and self.over.prompts > 1
            return " (measured; intervals over prompts)" if over else " (measured)"
        return f" (measured, ± {HALF_NORMAL * math.sqrt(values) * self.deviation:.2g})"

    def said(self, term: InteractionTerm) -> list[str]:
        """The names of its players."""
        return [self.names[player] for player in term.players]


def shares_sentence(found: Interactions) -> str:
    """How much of what was found single players, pairs and larger sets make up."""
    shares = variation_shares(found)
    each = {
        "single players": shares.get(1, 0.0),
        "pairs": shares.get(2, 0.0),
        "larger sets": sum(share for size, share in shares.items() if size > 2),
        "many sets that do little": share_of_rest(found),
    }
    said = [f"{name} make up {share_in_percent(share)}" for name, share in each.items() if share]
    return f"Of the variation that was found {', '.join(said)}." if said else ""


def moves(effect: Estimate) -> str:
    """What one player does to the value."""
    return "raises" if effect.value > 0 else "lowers"


def move(effect: Estimate) -> str:
    """What several players do to the value."""
    return moves(effect).removesuffix("s")


def negated(effect: Estimate) -> Estimate:
    """The other way round."""
    return Estimate(-effect.value, -effect.high, -effect.low)


def amount(effect: Estimate) -> str:
    """How much, with its interval where it has one that is not a point."""
    size = effect if effect.value > 0 else negated(effect)
    if not size.high - size.low > ROUNDING * size.value:
        return f"{size.value:.3g}"
    places = interval_decimals(size)
    return f"{size.value:.{places}f} [{size.low:.{places}f}, {size.high:.{places}f}]"


def amount_with_sign(effect: Estimate) -> str:
    """A number with its sign, and its interval where it has one that is not a point."""
    if not effect.high - effect.low > ROUNDING * abs(effect.value):
        return f"{effect.value:+.3g}".replace("-", "−")
    places = interval_decimals(effect)
    said = f"{effect.value:+.{places}f} [{effect.low:+.{places}f}, {effect.high:+.{places}f}]"
    return said.replace("-", "−")


def interval_decimals(effect: Estimate) -> int:
    """Decimals that show three figures of the value, or two of the interval's half width where that
    is fewer; one of it at least.
    """
    half, size = ((effect.high - effect.low) / 2, abs(effect.value))
    first = -math.floor(math.log10(half))
    figures = 2 - math.floor(math.log10(size)) if size else first
    return max(0, min(9, max(first, min(first + 1, figures))))


def number_or_interval(value: float, interval: Estimate) -> str:
    """Three figures, or with an interval where there is one."""
    if not interval.low < interval.high:
        return signed_figures(value)
    return amount_with_sign(interval)


def signed_figures(value: float) -> str:
    """Three figures."""
    return f"{value:.3g}".replace("-", "−")


def number_word(number: int) -> str:
    """Of small numbers."""
    words = ("no", "one", "two", "three", "four", "five", "six")
    return words[number] if number < len(words) else str(number)


def capitalized(said: str) -> str:
    """With a large first letter."""
    return said[:1].upper() + said[1:]


def join_player_names(said: Sequence[str]) -> str:
    """Names in a row: a, b and c."""
    return f"{', '.join(said[:-1])} and {said[-1]}"


def share_in_percent(part: float) -> str:
    """In per cent, never all or nothing by rounding."""
    hundredfold = 100 * part
    if 99.5 <= hundredfold < 100 - 1e-9:
        return "over 99 %"
    return "under 1 %" if hundredfold < 0.5 else f"{hundredfold:.0f} %"


def distinct_player_names(players: Sequence[str]) -> tuple[str, ...]:
    """Names in quotes, cut where they are long, numbered where several players have the same."""
    said = [" ".join(name.split()) or repr(name)[1:-1] for name in players]
    cut = [
        (
            name
            if len(name) <= LONGEST_NAME
            else f"{name[: LONGEST_NAME // 2]} … {name[-LONGEST_NAME // 3 :]}"
        )
        for name in said
    ]
    often = Counter(cut)
    return tuple(
        f"“{name}”" + (f" (number {index + 1})" if often[name] > 1 else "")
        for index, name in enumerate(cut)
    )
