"""An attribution in words, faithful by design: every sentence is a coefficient.

After Feldhus et al. (2023, "Saliency Map Verbalization"); the share that the named sets make up is their coverage, of sets.
"""

from collections import Counter
from collections.abc import Sequence

from gloss.attribute.interactions import Interactions
from gloss.attribute.kinds import NOTHING, Term
from gloss.attribute.reading import Reading, reading

LONGEST = 60  # characters of a name


def in_words(found: Interactions, value: str, most: int = 5) -> str:
    """A paragraph on the `most` strongest sets: whether they raise or lower the `value`, by how much, alone or together.

    Sets are as large as they need be (`reading`). It ends with the share of all terms, by size, that the sentences name, and with
    the held-out R2. Where that is below 0.5 it says only that nothing was explained.
    """
    if not found.faithfulness.explained:
        return found.plainly()
    told = reading(found, most)
    if not told.terms:
        return f"No player moves {value}. {found.plainly()}"
    if not told.explains:
        small = "Players alone" if told.order == 1 else f"Sets of up to {told.order} players"
        few = f"{small} are {share(told.share)} of what was found, too little to tell, and larger sets are too many."
        return f"{few} {found.plainly()}"
    named = told.terms[:most]
    names = told_apart(found.players)
    mass = sum(abs(term.weight) for term in told.terms)
    sentences = [sentence(term, told.terms, names, value, abs(term.weight) / mass) for term in named]
    return " ".join([*sentences, covered(told, len(named)), found.plainly()])


def covered(told: Reading, named: int) -> str:
    """What the sentences leave out: weaker terms, and larger sets."""
    rest = len(told.terms) - named
    others = f"; {rest:,} weaker {'ones are' if rest > 1 else 'one is'} not named" if rest else ""
    counted = "These make" if named > 1 else "This makes"
    if told.share > 1 - 1e-9:
        return f"{counted} up {share(told.coverage(named))} of all that was found{others}."
    what = "players add alone" if told.order == 1 else f"sets of up to {told.order} players add"
    larger = f"larger sets, over which this is the mean, are {share(1 - told.share)} of what was found"
    return f"{counted} up {share(told.coverage(named))} of all that {what}{others}; {larger}."


def sentence(term: Term, everything: Sequence[Term], names: Sequence[str], value: str, part: float) -> str:
    """What one term says; whether it comes on top of others is read from all of them."""
    said = [names[player] for player in term.players]
    moves = "raises" if term.weight > 0 else "lowers"
    amount = f"{value} by {abs(term.weight):.3g} ({share(part)})"
    verb = moves if len(said) == 1 else moves.removesuffix("s")
    if term.either:
        anyone, others = ("Either of", "the other adds") if len(said) == 2 else ("Any one of", "the others add")
        return f"{anyone} {listed(said)} is enough to {verb} {amount}; {others} nothing to that."
    inner = [other for other in everything if inside(other, term) and abs(other.weight) > NOTHING * abs(term.weight)]
    if len(said) == 1:
        return f"{said[0]} {moves} {amount}{' beyond what it shares with others' if inner else ''}."
    if not inner:
        return f"Only together, {listed(said)} {verb} {amount}."
    parts = "each does" if len(said) == 2 else "fewer of them do"
    return f"{listed(said)} together {verb} {amount}, on top of what {parts}."


def inside(other: Term, term: Term) -> bool:
    """Whether another term already speaks where this one does: of some of its players, or of any one of more."""
    if other == term:
        return False
    return bool(set(other.players) & set(term.players)) if other.either else set(other.players) < set(term.players)


def listed(said: Sequence[str]) -> str:
    """Names in a row: a, b and c."""
    return f"{', '.join(said[:-1])} and {said[-1]}"


def share(part: float) -> str:
    """In per cent, never all or nothing by rounding."""
    hundredfold = 100 * part
    if 99.5 <= hundredfold < 100 - 1e-9:
        return "over 99 %"
    return "under 1 %" if hundredfold < 0.5 else f"{hundredfold:.0f} %"


def told_apart(players: Sequence[str]) -> tuple[str, ...]:
    """Names in quotes, cut where they are long, numbered where several players have the same."""
    said = [" ".join(name.split()) or repr(name)[1:-1] for name in players]
    cut = [name if len(name) <= LONGEST else f"{name[: LONGEST // 2]} … {name[-LONGEST // 3 :]}" for name in said]
    often = Counter(cut)
    return tuple(f"“{name}”" + (f" (number {place + 1})" if often[name] > 1 else "") for place, name in enumerate(cut))
