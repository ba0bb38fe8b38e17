"""Which contexts a feature's page shows, in which groups and order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gloss.browse.figures import strength, whole
from gloss.browse.heatmap import Palette, Row, paint
from gloss.browse.model import FeaturePage, Mistake, Mistakes
from gloss.records import Contexts, Negative, Score

STRONGEST = 10  # rows in the first group
PER_QUANTILE = 3
PER_MISTAKE = 6
CONTRAST = 3  # silent contexts of each kind


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    contexts: Contexts
    row: int
    held_out: bool

    @property
    def strength(self) -> float:
        return float(np.abs(self.contexts.activations[self.row]).max(initial=0.0))

    @property
    def quantile(self) -> int:
        return int(self.contexts.quantiles[self.row])

    def paint(self, palette: Palette) -> Row:
        return paint(self.contexts, self.row, palette, self.held_out)


def firing(page: FeaturePage, palette: Palette) -> tuple[Group, ...]:
    """The strongest contexts, then some of each quantile; equal ones once, with their number."""
    if page.examples is None:
        return ()
    candidates = [*_each(page.examples.shown, False), *_each(page.examples.held_out, True)]
    candidates.sort(key=lambda candidate: -candidate.strength)
    unique = _without_copies(candidates)
    top, rest = unique[:STRONGEST], unique[STRONGEST:]
    groups = [_group("Strongest", top, palette)] if top else []
    quantiles = sorted({candidate.quantile for candidate, _ in rest})
    last = max((candidate.quantile for candidate in candidates), default=0) + 1
    for quantile in quantiles:
        members = [pair for pair in rest if pair[0].quantile == quantile]
        chosen = [members[i] for i in np.unique(np.linspace(0, len(members) - 1, PER_QUANTILE).astype(int)).tolist()]
        groups.append(_group(f"Quantile {quantile + 1} of {last}" if last > 1 else "More", chosen, palette))
    return tuple(groups)


def silent(page: FeaturePage, palette: Palette) -> tuple[Group, ...]:
    """A few contexts without the feature: first those that hold a token on which it often fires."""
    if page.examples is None:
        return ()
    candidates = [*_each(page.examples.silent_held_out, True), *_each(page.examples.silent_shown, False)]
    titles = {
        Negative.SIBLINGS: ("Silent where a sibling fires", "a near feature fires at one of its tokens, the feature does not"),
        Negative.SIMILAR: ("Silent in similar text", "it says much the same as text in which the feature fires"),
        Negative.NEIGHBOURS: ("Silent where a neighbour fires", "a feature with a near direction fires, this one does not"),
        Negative.SAME_TOKEN: ("Silent at its own token", "a token on which it often fires is there, the feature is not"),
        Negative.RANDOM: ("Silent", "for contrast"),
    }
    groups = ((title, note, [each for each in candidates if each.quantile == kind]) for kind, (title, note) in titles.items())
    return tuple(
        Group(title, note, tuple(candidate.paint(palette) for candidate in chosen[:CONTRAST]))
        for title, note, chosen in groups
        if chosen
    )


def mistakes(found: Mistakes, palette: Palette) -> Group:
    """Held-out contexts that an explanation got wrong."""
    rows = range(min(PER_MISTAKE, len(found.contexts)))
    titles = {Mistake.FALSE_ALARM: "False alarms", Mistake.MISS: "Misses"}
    meanings = {
        Mistake.FALSE_ALARM: "it foretold the feature, which was silent",
        Mistake.MISS: "the feature fired, and it foretold nothing",
    }
    note = meanings[found.kind]
    if found.total is not None:
        note += f"; {whole(len(rows))} of {whole(found.total)}"
    painted = tuple(paint(found.contexts, row, palette, True, found.predicted[row]) for row in rows)
    return Group(titles[found.kind], note, painted)


def judged_wrong(page: FeaturePage, score: Score) -> tuple[Mistakes, ...]:
    """Mistakes of a scorer that judges contexts one by one, looked up by where the contexts start.

    A verdict is looked for among the contexts of its own kind: firing ones where yes was right, silent ones where no was.
    Verdicts on riddles say nothing about a context.
    """
    if page.examples is None or "chance" in score.estimates:
        return ()
    found: list[Mistakes] = []
    for kind, source in ((Mistake.FALSE_ALARM, page.examples.silent_held_out), (Mistake.MISS, page.examples.held_out)):
        fires = kind is Mistake.MISS
        wrong = {v.context for v in score.verdicts if v.truth == fires and v.answer is not None and v.answer != v.truth}
        rows = np.flatnonzero(np.isin(source.starts, sorted(wrong)))
        if len(rows):
            contexts = source[rows]
            nothing = np.zeros(contexts.tokens.shape, np.float32)
            found.append(Mistakes(kind, score.explained_by, contexts, nothing, len(rows)))
    return tuple(found)


def _each(contexts: Contexts, held_out: bool) -> Iterator[_Candidate]:
    return (_Candidate(contexts, row, held_out) for row in range(len(contexts)))


def _without_copies(candidates: list[_Candidate]) -> list[tuple[_Candidate, int]]:
    """Each different run of tokens once, with how often it stands there; the first one speaks for its copies."""
    counted: dict[bytes, tuple[_Candidate, int]] = {}
    for candidate in candidates:
        key = candidate.contexts.tokens[candidate.row].tobytes()
        first, copies = counted.get(key, (candidate, 0))
        counted[key] = first, copies + 1
    return list(counted.values())


def _group(title: str, members: list[tuple[_Candidate, int]], palette: Palette) -> Group:
    least, most = strength(members[-1][0].strength), strength(members[0][0].strength)
    note = f"activation {most}" if least == most else f"activation {least} to {most}"
    return Group(title, note, tuple(replace(candidate.paint(palette), copies=copies) for candidate, copies in members))
