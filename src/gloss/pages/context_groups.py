"""Which contexts a feature's page shows, in which groups and order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gloss.pages.heatmap import ContextRow, Palette, paint_context
from gloss.pages.number_format import format_strength, format_whole
from gloss.pages.page_records import FeaturePage, MistakeKind, MistakenContexts
from gloss.records import Contexts, Negative, Score

STRONGEST = 10  # rows in the first group
PER_QUANTILE = 3
PER_MISTAKE = 6
CONTRAST = 3  # inactive contexts of each kind


@dataclass(frozen=True, slots=True)
class ContextGroup:
    """Rows under one heading."""

    title: str
    note: str
    rows: tuple[ContextRow, ...]


@dataclass(frozen=True, slots=True)
class _ContextCandidate:
    contexts: Contexts
    row: int
    held_out: bool

    @property
    def strength(self) -> float:
        return float(np.abs(self.contexts.activations[self.row]).max(initial=0.0))

    @property
    def quantile(self) -> int:
        return int(self.contexts.quantiles[self.row])

    def paint(self, palette: Palette) -> ContextRow:
        return paint_context(self.contexts, self.row, palette, self.held_out)


def firing_groups(page: FeaturePage, palette: Palette) -> tuple[ContextGroup, ...]:
    """The strongest contexts, then some of each quantile; equal ones once, with their number."""
    if page.examples is None:
        return ()
    candidates = [*_each(page.examples.train, False), *_each(page.examples.held_out, True)]
    candidates.sort(key=lambda candidate: -candidate.strength)
    unique = _distinct_contexts(candidates)
    top, rest = unique[:STRONGEST], unique[STRONGEST:]
    groups = [_group("Strongest", top, palette)] if top else []
    quantiles = sorted({candidate.quantile for candidate, _ in rest})
    last = max((candidate.quantile for candidate in candidates), default=0) + 1
    for quantile in quantiles:
        members = [pair for pair in rest if pair[0].quantile == quantile]
        chosen = [
            members[i]
            for i in np.unique(np.linspace(0, len(members) - 1, PER_QUANTILE).astype(int)).tolist()
        ]
        groups.append(
            _group(f"Quantile {quantile + 1} of {last}" if last > 1 else "More", chosen, palette)
        )
    return tuple(groups)


def inactive_groups(page: FeaturePage, palette: Palette) -> tuple[ContextGroup, ...]:
    """A few contexts without the feature: first those that hold a token on which it often fires."""
    if page.examples is None:
        return ()
    candidates = [
        *_each(page.examples.inactive_held_out, True),
        *_each(page.examples.inactive_train, False),
    ]
    titles = {
        Negative.SIBLINGS: (
            "Inactive where a sibling fires",
            "a near feature fires at one of its tokens, the feature does not",
        ),
        Negative.SIMILAR: (
            "Inactive in similar text",
            "it says much the same as text in which the feature fires",
        ),
        Negative.NEIGHBOURS: (
            "Inactive where a neighbour fires",
            "a feature with a near direction fires, this one does not",
        ),
        Negative.SAME_TOKEN: (
            "Inactive at its own token",
            "a token on which it often fires is there, the feature is not",
        ),
        Negative.RANDOM: ("Inactive", "for contrast"),
    }
    groups = (
        (title, note, [each for each in candidates if each.quantile == kind])
        for kind, (title, note) in titles.items()
    )
    return tuple(
        ContextGroup(
            title, note, tuple(candidate.paint(palette) for candidate in chosen[:CONTRAST])
        )
        for title, note, chosen in groups
        if chosen
    )


def mistake_group(found: MistakenContexts, palette: Palette) -> ContextGroup:
    """Held-out contexts that an explanation got wrong."""
    rows = range(min(PER_MISTAKE, len(found.contexts)))
    titles = {
        MistakeKind.FALSE_POSITIVE: "False positives",
        MistakeKind.FALSE_NEGATIVE: "False negatives",
    }
    meanings = {
        MistakeKind.FALSE_POSITIVE: "it predicted the feature, which was inactive",
        MistakeKind.FALSE_NEGATIVE: "the feature fired, and it predicted nothing",
    }
    note = meanings[found.kind]
    if found.total is not None:
        note += f"; {format_whole(len(rows))} of {format_whole(found.total)}"
    painted = tuple(
        paint_context(found.contexts, row, palette, True, found.predicted[row]) for row in rows
    )
    return ContextGroup(titles[found.kind], note, painted)


def judge_mistakes(page: FeaturePage, score: Score) -> tuple[MistakenContexts, ...]:
    """Mistakes of a scorer that judges contexts one by one, looked up by where the contexts start.

    A verdict is looked for among the contexts of its own kind: firing ones where yes was right,
    inactive ones where no was. Verdicts on multiple choice say nothing about a context.
    """
    if page.examples is None or "chance" in score.estimates:
        return ()
    found: list[MistakenContexts] = []
    for kind, source in (
        (MistakeKind.FALSE_POSITIVE, page.examples.inactive_held_out),
        (MistakeKind.FALSE_NEGATIVE, page.examples.held_out),
    ):
        fires = kind is MistakeKind.FALSE_NEGATIVE
        wrong = {
            v.context
            for v in score.verdicts
            if v.truth == fires and v.answer is not None and v.answer != v.truth
        }
        rows = np.flatnonzero(np.isin(source.starts, sorted(wrong)))
        if len(rows):
            contexts = source[rows]
            nothing = np.zeros(contexts.tokens.shape, np.float32)
            found.append(MistakenContexts(kind, score.explained_by, contexts, nothing, len(rows)))
    return tuple(found)


def _each(contexts: Contexts, held_out: bool) -> Iterator[_ContextCandidate]:
    return (_ContextCandidate(contexts, row, held_out) for row in range(len(contexts)))


def _distinct_contexts(candidates: list[_ContextCandidate]) -> list[tuple[_ContextCandidate, int]]:
    """Each different run of tokens once, with how often it stands there.

    The first one speaks for its copies.
    """
    counted: dict[bytes, tuple[_ContextCandidate, int]] = {}
    for candidate in candidates:
        key = candidate.contexts.tokens[candidate.row].tobytes()
        first, copies = counted.get(key, (candidate, 0))
        counted[key] = first, copies + 1
    return list(counted.values())


def _group(
    title: str, members: list[tuple[_ContextCandidate, int]], palette: Palette
) -> ContextGroup:
    least, most = format_strength(members[-1][0].strength), format_strength(members[0][0].strength)
    note = f"activation {most}" if least == most else f"activation {least} to {most}"
    return ContextGroup(
        title,
        note,
        tuple(replace(candidate.paint(palette), copies=copies) for candidate, copies in members),
    )
