"""A run in one table: what each method of scoring says of each method of explaining, beside its controls."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from gloss.records import NOBODY, Control, Estimate
from gloss.run.plan import Plan
from gloss.run.progress import out
from gloss.score.intervals import bootstrap
from gloss.store.results import Row, read


def print_report(plan: Plan) -> None:
    """Print medians over features, with bootstrap intervals over features, for explanations and their controls."""
    scores = read(plan.places("score"), "scores")
    failures = read([plan.place(stage) for stage in plan.keys], "failures")
    examined = len(plan.features) - sum(row["stage"] == "sample" for row in failures)
    table = Table(
        "score",
        "explanation",
        "features",
        "median",
        "95 % interval",
        title="on held-out text",
        caption="or 0: a feature without an explanation counts as 0",
    )
    for (method, explained_by), rows in sorted(grouped(scores).items()):
        own = values(rows, Control.NONE)
        lines = {
            "its own": own,
            "its own, or 0": np.concatenate([own, np.zeros(max(0, examined - len(own)))]),
            "of a random feature": values(rows, Control.RANDOM_EXPLANATION),
            "shuffled": values(rows, Control.SHUFFLED_EXPLANATION),
        }
        if explained_by == NOBODY:
            lines = {"none is needed": own}
        for number, (name, numbers) in enumerate(lines.items()):
            first = f"{rows[0]['headline'].replace('_', ' ')} by {method}\nof {explained_by}" if number == 0 else ""
            table.add_row(first, name, str(len(numbers)), *shown(plan, numbers))
    out.print(table)
    for (stage, reason), number in sorted(Counter((row["stage"], row["reason"]) for row in failures).items()):
        out.print(f"{stage}: {number} features {reason.replace('_', ' ')}", highlight=False)


def grouped(scores: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in scores:
        groups[row["method"], row["explained_by"]].append(row)
    return groups


def values(rows: Sequence[Row], control: Control) -> np.ndarray:
    """The headline numbers of one control; a score that could not be made counts as 0, as a failed one would."""
    return np.nan_to_num(np.array([row["value"] for row in rows if row["control"] == control], dtype=float))


def median_of(plan: Plan, numbers: np.ndarray) -> Estimate:
    return bootstrap(lambda x: np.median(x, axis=-1), numbers, rng=plan.generator("report"))


def shown(plan: Plan, numbers: np.ndarray) -> tuple[str, str]:
    if not len(numbers):
        return "-", "-"
    estimate = median_of(plan, numbers)
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"
