"""Which labels can be trusted, by which route they came, and what one of them costs."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import numpy as np

from gloss.models.chat_models.prices import Prices
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import NOBODY, Aspect, Control, Reason, needs_of
from gloss.run.chat_tables import prices_of
from gloss.run.experiment import method_label
from gloss.run.methods import build_method
from gloss.run.reporting.run_data import RunData, Scored
from gloss.statistics.intervals import wilson_interval
from gloss.store.results import Row, read_rows

UNPRICED = Prices()
COUNTED = ("requests", "prompt_tokens", "answer_tokens")  # in the markers of explainers that ask


def trusted_section(found: RunData) -> Section | None:
    """For each score and explainer, how many labels are trusted, and what one costs."""
    rows = tuple(
        row for scored in found.scores if scored[1] != NOBODY for row in trusted_rows(found, scored)
    )
    if not rows:
        return None
    columns = ("labels", "by", "scored", "trusted", "median of these", "what one cost")
    lead = (
        "A label is trusted where the lower end of its score’s interval lies above the upper ends"
        " of all of its controls: no other feature’s label would have earned as much. That"
        " does not make it a good one: the median score of these stands beside. Its cost is what"
        " its explainer asked for each label, divided by the share that is trusted; scores are not"
        " counted."
    )
    routes = tuple(route_rows(found))
    blocks = [Grid(columns, rows)]
    if routes:
        heads = ("labels", "made by", "features", "share", "trusted", "of a score")
        blocks.append(Grid(heads, routes, "Chosen on the train split, counted on held-out text."))
    return Section("Labels to trust", lead, tuple(blocks), brief=True)


def trusted_rows(found: RunData, scored: Scored) -> Iterator[tuple[Cell, ...]]:
    """One line: an explainer under a score."""
    verdicts = judged_features(found, scored)
    if not verdicts:
        return
    method, explained_by = scored
    trusted = sum(verdicts.values())
    rows = found.scores[scored]
    own = rows.under(Control.NONE)
    trusts = [verdicts.get(feature, False) for feature in rows.features[own].tolist()]
    values = rows.numbers("value")[own][np.array(trusts, bool)]
    spent = explaining_cost(found, explained_by)
    prices = explaining_prices(found, explained_by) if spent["requests"] else UNPRICED
    yield (
        explained_by,
        method,
        f"{len(verdicts):,}",
        wilson_interval(trusted, len(verdicts)),
        found.median(values) if len(values) else "none is",
        cost_of_one(spent, trusted, len(verdicts) / len(trusts), prices),
    )


def cost_of_one(
    spent: Mapping[str, int], trusted: int, share: float, prices: Prices = UNPRICED
) -> str:
    """Requests, tokens and money for each trusted label, where a share of the labels has controls
    and can be found to be trusted.
    """
    if not trusted:
        return "none is"
    if not spent["requests"]:
        return "nothing asked"
    each = share / trusted
    prompts, answers = spent["prompt_tokens"], spent["answer_tokens"]
    money = prices.money(prompts, answers)
    return (
        f"{each * spent['requests']:,.1f} requests, {each * (prompts + answers):,.0f} tokens,"
        f" {'unknown' if money is None else f'{each * money:,.4f}'} money"
    )


def explaining_prices(found: RunData, explained_by: str) -> Prices:
    """What the language model of an explainer costs, as far as that is known."""
    asked = found.run.experiment
    settings = next(each for each in asked.explain if method_label(each) == explained_by)
    chat = asked.chat_of(settings)
    return prices_of(chat.build()) if chat else UNPRICED


def judged_features(found: RunData, scored: Scored) -> Mapping[int, bool]:
    """Whether the label of each feature is trusted by a score that is about what it says."""
    scorer, explained_by = scored
    settings = next(each for each in found.run.experiment.score if method_label(each) == scorer)
    rules = {
        feature
        for (by, feature), row in found.explanations.items()
        if by == explained_by and row["rule"]
    }
    about = needs_of(build_method("score", settings)).about
    bounds = found.scores[scored].rows("feature", "control", "low", "high")
    return as_far_as_about(trusted_features(bounds), about, rules)


def as_far_as_about(
    verdicts: Mapping[int, bool], about: Sequence[Aspect], rules: Container[int]
) -> Mapping[int, bool]:
    """The verdicts without those of rules, where a score is of what features say alone: a rule says
    what its feature reads, and is neither right nor wrong there.
    """
    if tuple(about) != (Aspect.OUTPUT,):
        return verdicts
    return {feature: fine for feature, fine in verdicts.items() if feature not in rules}


def trusted_features(rows: Iterable[Row]) -> Mapping[int, bool]:
    """Whether the label of each feature is trusted; features without a control are left out."""
    own: dict[int, float] = {}
    controls: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row["control"] == Control.NONE:
            own[row["feature"]] = row["low"]
        else:
            controls[row["feature"]].append(row["high"])
    # what is not a number clears nothing, and nothing clears it
    return {
        feature: all(low > high for high in controls[feature])
        for feature, low in own.items()
        if controls[feature]
    }


def explaining_cost(found: RunData, explained_by: str) -> Counter[str]:
    """What an explainer asked, by the markers of its shards."""
    total: Counter[str] = Counter()
    for note in found.run.notes(f"explain.{explained_by}"):
        total.update({name: note.get(name, 0) for name in COUNTED})
    return total


def route_rows(found: RunData) -> Iterator[tuple[Cell, ...]]:
    """For each explainer that takes routes: how many features went each way, and how many of their
    labels are trusted.
    """
    ways: dict[str, dict[int, str]] = defaultdict(dict)
    columns = ["feature", "method", "explained_by", "chosen"]
    for row in read_rows(found.run.places("explain"), "candidates", columns):
        if row["chosen"]:
            ways[row["method"]][row["feature"]] = row["explained_by"]
    for failure in found.failures:
        verb, _, label = failure["stage"].partition(".")
        if verb == "explain" and failure["reason"] == Reason.NOBODY_KNOWS:
            ways[label][failure["feature"]] = "nobody knows"
    for label, taken in sorted(ways.items()):
        if len({*taken.values()}) < 2:
            continue
        for way, number in Counter(taken.values()).most_common():
            share = wilson_interval(number, len(taken))
            scores = [one for one in found.scores if one[1] == label]
            told = [
                (
                    scored[0],
                    [fine for feature, fine in verdicts.items() if taken.get(feature) == way],
                )
                for scored in scores
                if (verdicts := judged_features(found, scored))
            ]
            known = [(scorer, verdicts) for scorer, verdicts in told if verdicts]
            for scorer, verdicts in known or [("", [])]:
                trusted: Cell = wilson_interval(sum(verdicts), len(verdicts)) if verdicts else ""
                yield label, way, f"{number:,}", share, trusted, scorer
