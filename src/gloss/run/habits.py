"""What the judges of a run depend on besides the contexts, out of the verdicts that they left."""

import math
from collections import defaultdict

from gloss.records import Estimate, Verdict
from gloss.run.plan import Plan
from gloss.score.habits import habits, noticed
from gloss.store.results import read, verdict_of


def habits_of(plan: Plan, stage: str) -> dict[str, Estimate]:
    """Each habit of one scorer's judge, over all features, explanations and controls."""
    scores: dict[tuple[int, str, str], list[Verdict]] = defaultdict(list)
    for row in read([plan.place(stage)], "verdicts"):
        if row["place"] is not None:
            scores[row["feature"], row["explained_by"], row["control"]].append(verdict_of(row))
    return habits(scores.values())


def told(plan: Plan, stage: str) -> str:
    """All of them in one line, with what is suspected; nothing where no request held several contexts."""
    found = {name: habit for name, habit in habits_of(plan, stage).items() if not math.isnan(habit.value)}
    if not found:
        return ""
    line = ", ".join(
        f"{spaced(name)} {habit.value:+.3f} ({habit.low:+.3f} to {habit.high:+.3f})" for name, habit in found.items()
    )
    suspected = [spaced(name) for name, habit in found.items() if noticed(habit)]
    return f"the judge's habits: {line}{'; take care: ' + ' and '.join(suspected) if suspected else ''}"


def spaced(name: str) -> str:
    return name.replace("_", " ")
