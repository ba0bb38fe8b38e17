"""What the scores say: distributions beside their controls, metrics with what they cannot see, failures, both ends."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from gloss.browse import words
from gloss.browse.sections import Cell, Distributions, Facts, Grid, Line, Section
from gloss.records import NOBODY, Control, Estimate, Reason
from gloss.run.reporting.material import Material, Scored, headline, metric
from gloss.score.sanity import Sanity, sanity
from gloss.store.results import Row

ENDS = 8  # features at either end
CONTROLS = {Control.RANDOM_EXPLANATION: "of a random feature", Control.SHUFFLED_EXPLANATION: "shuffled"}


def distributions(found: Material) -> Section | None:
    """Each headline over features: the explanation's own, the same with failures as 0, and under each control."""
    blocks = tuple(Distributions(called(rows, scored), tuple(lines(found, rows, scored)), trouble(found, rows, scored))
                   for scored, rows in found.scores.items())  # fmt: skip
    lead = (
        "On held-out text. “Or 0” counts a feature without an explanation as 0. Controls exchange the explanation for another "
        "feature’s: what they earn is not owed to the words."
    )
    return Section("Scores", lead, blocks, brief=True) if blocks else None


def called(rows: Sequence[Row], scored: Scored) -> str:
    """A headline's metric with its scorer and explainer."""
    method, explained_by = scored
    name = f"{words.metric(rows[0]['headline'])} by {method}"
    return name if explained_by == NOBODY else f"{name} of {explained_by}"


def lines(found: Material, rows: Sequence[Row], scored: Scored) -> Iterator[Line]:
    own = headline(rows, Control.NONE)
    yield Line("none is needed" if scored[1] == NOBODY else "its own", own, found.median(own))
    if scored[1] == NOBODY:
        return
    padded = np.concatenate([own, np.zeros(max(0, found.examined - len(own)))])
    yield Line("its own, or 0", padded, found.median(padded))
    for control, label in CONTROLS.items():
        values = headline(rows, control)
        if len(values):
            yield Line(label, values, found.median(values), control=True)


def trouble(found: Material, rows: Sequence[Row], scored: Scored) -> str:
    """What could not be scored, and why."""
    own = [row for row in rows if row["control"] == Control.NONE]
    items, failed = sum(row["n"] for row in own), sum(row["failed"] for row in own)
    said = [f"{items:,} items judged, {failed:,} of them without an answer that could be read"]
    stage, by = f"score.{scored[0]}", scored[1]
    reasons = Counter(row["reason"] for row in found.failures if (row["stage"], row["explained_by"] or by) == (stage, by))
    said += [f"{number} features not scored: {reason.replace('_', ' ')}" for reason, number in sorted(reasons.items())]
    return "; ".join(said) + "."


def metrics(found: Material) -> Section | None:
    """Every metric beside its control, and whether it can see explanations that claim too little or too much."""
    columns = ("metric", "its own", "shuffled", "claims too little", "claims too much")
    blocks = tuple(Grid(columns, tuple(measured(found, rows)), called_by(scored)) for scored, rows in found.scores.items())
    lead = (
        "Medians over features. A metric that passes falls when half of the right claims are taken away (“too little”) and when "
        "as many again are made at random (“too much”), on features that fire rarely. One that fails a test cannot stand alone: "
        "a label 100 times too broad may still earn a balanced accuracy of .95. After Oikarinen et al. (2025)."
    )
    return Section("What each metric can see", lead, blocks) if blocks else None


def called_by(scored: Scored) -> str:
    return f"By {scored[0]}." if scored[1] == NOBODY else f"By {scored[0]}, of {scored[1]}."


def measured(found: Material, rows: Sequence[Row]) -> Iterator[tuple[Cell, ...]]:
    """One line a metric, sound ones first; what is no claim about a feature's places has no tests."""
    names = {e["metric"]: sanity(e["metric"], {e["metric"] for e in rows[0]["estimates"]}) for e in rows[0]["estimates"]}
    for name, passes in sorted(names.items(), key=lambda item: order(item[1])):
        own, shuffled = metric(rows, name, Control.NONE), metric(rows, name, Control.SHUFFLED_EXPLANATION)
        label = words.metric(name) + (", the headline" if name == rows[0]["headline"] else "")
        yield label, shown(found, own), shown(found, shuffled), *marks(passes)


def order(passes: Sanity | None) -> int:
    return 3 if passes is None else 2 - passes.missing - passes.extra


def shown(found: Material, values: np.ndarray) -> Estimate | str:
    return found.median(values) if len(values) else "–"


def marks(passes: Sanity | None) -> tuple[str, str]:
    if passes is None:
        return "no such test", "no such test"
    return "sees it" if passes.missing else "cannot see it", "sees it" if passes.extra else "cannot see it"


def failures(found: Material) -> Section | None:
    """What was not treated, by stage and reason."""
    reasons = Counter(
        (stage, reason) for stage, reason, _ in {(row["stage"], row["reason"], row["feature"]) for row in found.failures}
    )
    lines = tuple(
        (
            f"{stage}: {reason.replace('_', ' ')}",
            f"{number:,} of {len(found.plan.features):,} features. {words.REASONS[Reason(reason)]}",
        )
        for (stage, reason), number in sorted(reasons.items())
    )
    lead = "A failure is a state with a reason, never a number."
    return Section("Failures", lead, (Facts(lines),), brief=True) if lines else None


def ends(found: Material) -> Section | None:
    """The best and the worst features by the first score that reads an explanation."""
    of_words = {scored: rows for scored, rows in found.scores.items() if scored[1] != NOBODY}
    if not of_words:
        return None
    scored, rows = next(iter(of_words.items()))
    own = sorted(
        (row for row in rows if row["control"] == Control.NONE and np.isfinite(row["value"])), key=lambda row: -row["value"]
    )
    best = own[:ENDS]
    worst = own[len(best) :][-ENDS:][::-1]
    columns = ("feature", called(rows, scored), "explanation")
    grids = (
        Grid(columns, tuple(end(found, row) for row in rows_), note)
        for rows_, note in ((best, "The best."), (worst, "The worst."))
        if rows_
    )
    return Section("The best and the worst", "Chosen by their scores, so that these are extremes and no sample.", tuple(grids))


def end(found: Material, row: Row) -> tuple[Cell, ...]:
    said = found.texts.get((row["explained_by"], row["feature"]), "")
    return found.link(row["feature"]), Estimate(row["value"], row["low"], row["high"]), said
