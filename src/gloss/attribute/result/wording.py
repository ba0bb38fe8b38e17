"""An attribution in words, faithful by design: every sentence is a coefficient.

After Feldhus et al. (2023, "Saliency Map Verbalization"); the share that the named sets make up is
their coverage, of sets.
"""

from collections import Counter
from collections.abc import Sequence

from gloss.attribute.result.interaction_terms import (
    NEGLIGIBLE_SHARE,
    InteractionTerm,
    Truncation,
    choose_truncation,
)
from gloss.attribute.result.interactions import Interactions

LONGEST_NAME = 60  # characters of a name


def attribution_paragraph(found: Interactions, value: str, most: int = 5) -> str:
    """A paragraph on the `most` strongest sets: whether they raise or lower the `value`, by how
    much, alone or together.

    Sets are as large as they need be (`choose_truncation`). It ends with the share of all terms, by
    size, that the sentences name, and with the held-out R2. Where that is below 0.5 it says only
    that nothing was explained.
    """
    if not found.faithfulness.explained:
        return found.summary_sentence()
    truncation = choose_truncation(found, most)
    if not truncation.terms:
        return f"No player moves {value}. {found.summary_sentence()}"
    if not truncation.explains:
        small = (
            "Players alone"
            if truncation.order == 1
            else f"Sets of up to {truncation.order} players"
        )
        few = (
            f"{small} are {share_in_percent(truncation.share)} of what was found, too little to"
            " tell, and larger sets are too many."
        )
        return f"{few} {found.summary_sentence()}"
    named = truncation.terms[:most]
    names = distinct_player_names(found.players)
    mass = sum(abs(term.weight) for term in truncation.terms)
    sentences = [
        term_sentence(term, truncation.terms, names, value, abs(term.weight) / mass)
        for term in named
    ]
    return " ".join(
        [*sentences, coverage_sentence(truncation, len(named)), found.summary_sentence()]
    )


def coverage_sentence(truncation: Truncation, named: int) -> str:
    """What the sentences leave out: weaker terms, and larger sets."""
    rest = len(truncation.terms) - named
    others = f"; {rest:,} weaker {'ones are' if rest > 1 else 'one is'} not named" if rest else ""
    counted = "These make" if named > 1 else "This makes"
    if truncation.share > 1 - 1e-9:
        return (
            f"{counted} up {share_in_percent(truncation.coverage(named))} of all that was"
            f" found{others}."
        )
    what = (
        "players add alone"
        if truncation.order == 1
        else f"sets of up to {truncation.order} players add"
    )
    larger = (
        f"larger sets, over which this is the mean, are {share_in_percent(1 - truncation.share)} of"
        " what was found"
    )
    return (
        f"{counted} up {share_in_percent(truncation.coverage(named))} of all that {what}{others};"
        f" {larger}."
    )


def term_sentence(
    term: InteractionTerm,
    everything: Sequence[InteractionTerm],
    names: Sequence[str],
    value: str,
    part: float,
) -> str:
    """What one term says; whether it comes on top of others is read from all of them."""
    said = [names[player] for player in term.players]
    moves = "raises" if term.weight > 0 else "lowers"
    amount = f"{value} by {abs(term.weight):.3g} ({share_in_percent(part)})"
    verb = moves if len(said) == 1 else moves.removesuffix("s")
    if term.any_one:
        anyone, others = (
            ("Either of", "the other adds") if len(said) == 2 else ("Any one of", "the others add")
        )
        return (
            f"{anyone} {join_player_names(said)} is enough to {verb} {amount}; {others} nothing to"
            " that."
        )
    inner = [
        other
        for other in everything
        if covers_term(other, term) and abs(other.weight) > NEGLIGIBLE_SHARE * abs(term.weight)
    ]
    if len(said) == 1:
        return f"{said[0]} {moves} {amount}{' beyond what it shares with others' if inner else ''}."
    if not inner:
        return f"Only together, {join_player_names(said)} {verb} {amount}."
    parts = "each does" if len(said) == 2 else "fewer of them do"
    return f"{join_player_names(said)} together {verb} {amount}, on top of what {parts}."


def covers_term(other: InteractionTerm, term: InteractionTerm) -> bool:
    """Whether another term already speaks where this one does: of some of its players, or of any
    one of more.
    """
    if other == term:
        return False
    return (
        bool(set(other.players) & set(term.players))
        if other.any_one
        else set(other.players) < set(term.players)
    )


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
