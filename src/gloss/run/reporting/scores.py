"""What the scores say: distributions beside controls, what each metric can see, sensitivity by
strength, failures, extremes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

from gloss.models.planted.judges import RuleJudge
from gloss.pages import page_text
from gloss.pages.report_sections import Cell, DistributionLine, Distributions, Facts, Grid, Section
from gloss.records import NOBODY, Control, Estimate, Examples, Failure, Reason
from gloss.run.judge_doubts import is_without_controls
from gloss.run.opened_run import stored_examples
from gloss.run.reporting.run_data import RunData, Scored, Values, headline_values, metric_values
from gloss.run.reporting.score_rows import ScoreRows
from gloss.score.metric_sanity import MetricSanity, sanity_of_metric
from gloss.store.results import Row, read_rows
from gloss.store.vocabulary import Vocabulary

ENDS = 8  # features at either end
CONTROLS = {
    Control.RANDOM_EXPLANATION: "of a random feature",
    Control.SHUFFLED_EXPLANATION: "shuffled",
}


def scores_section(found: RunData) -> Section | None:
    """Each headline over features: the explanation's own, the same with failures as 0, and under
    each control.
    """
    blocks = tuple(
        Distributions(
            headline_label(rows, scored),
            tuple(distribution_lines(found, rows, scored)),
            unscored_note(found, rows, scored),
        )
        for scored, rows in found.scores.items()
    )
    lead = (
        "On held-out text. “Or 0” counts a feature without an explanation as 0. Controls exchange"
        " the explanation for another feature’s: what they earn is not owed to the words."
    )
    return Section("Scores", lead, blocks, brief=True) if blocks else None


def headline_label(rows: ScoreRows, scored: Scored) -> str:
    """A headline's metric with its scorer and explainer."""
    method, explained_by = scored
    name = f"{page_text.metric_label(rows[0]['headline'])} by {method}"
    return name if explained_by == NOBODY else f"{name} of {explained_by}"


def distribution_lines(
    found: RunData, rows: ScoreRows, scored: Scored
) -> Iterator[DistributionLine]:
    own = headline_values(rows, Control.NONE)
    yield DistributionLine(
        "none is needed" if scored[1] == NOBODY else "its own", own, found.median(own)
    )
    if scored[1] == NOBODY:
        return
    padded = np.concatenate([own, np.zeros(max(0, found.examined - len(own)))])
    yield DistributionLine("its own, or 0", padded, found.median(padded))
    for control, label in CONTROLS.items():
        values = headline_values(rows, control)
        if len(values):
            some = f" ({len(values):,} features)" if len(values) < len(own) else ""
            yield DistributionLine(f"{label}{some}", values, found.median(values), control=True)


def unscored_note(found: RunData, rows: ScoreRows, scored: Scored) -> str:
    """What could not be scored, and why."""
    own = rows.under(Control.NONE)
    items, failed = (int(rows.numbers(name)[own].sum()) for name in ("n", "failed"))
    said = [f"{items:,} items judged, {failed:,} of them without an answer that could be read"]
    if is_without_controls(found.run, scored[0]):
        said.append("no controls, so that nobody knows what other words would have got")
    stage, by = f"score.{scored[0]}", scored[1]
    reasons = Counter(
        row["reason"]
        for row in found.failures
        if (row["stage"], row["explained_by"] or by) == (stage, by)
    )
    said += [
        f"{number} features not scored: {reason.replace('_', ' ')}"
        for reason, number in sorted(reasons.items())
    ]
    return "; ".join(said) + "."


def metrics_section(found: RunData) -> Section | None:
    """Every metric beside its control, and whether it can see explanations that claim too little or
    too much.
    """
    columns = ("metric", "its own", "shuffled", "claims too little", "claims too much")
    blocks = tuple(
        Grid(columns, tuple(metric_rows(found, rows)), scorer_note(scored))
        for scored, rows in found.scores.items()
    )
    lead = (
        "Medians over features. A metric that passes falls when half of the right claims are taken"
        " away (“too little”) and when as many again are made at random (“too much”), on features"
        " that fire rarely. One that fails a test cannot stand alone: a label 100 times too broad"
        " may still earn a balanced accuracy of .95. After Oikarinen et al. (2025)."
    )
    return Section("What each metric can see", lead, blocks) if blocks else None


def scorer_note(scored: Scored) -> str:
    return f"By {scored[0]}." if scored[1] == NOBODY else f"By {scored[0]}, of {scored[1]}."


def metric_rows(found: RunData, rows: ScoreRows) -> Iterator[tuple[Cell, ...]]:
    """One line a metric, sound ones first.

    What is no claim about where a feature fires has no tests.
    """
    names = {
        e["metric"]: sanity_of_metric(e["metric"], {e["metric"] for e in rows[0]["estimates"]})
        for e in rows[0]["estimates"]
    }
    for name, passes in sorted(names.items(), key=lambda item: sanity_rank(item[1])):
        own, shuffled = (
            metric_values(rows, name, Control.NONE),
            metric_values(rows, name, Control.SHUFFLED_EXPLANATION),
        )
        label = page_text.metric_label(name) + (
            ", the headline" if name == rows[0]["headline"] else ""
        )
        yield label, median_cell(found, own), median_cell(found, shuffled), *sanity_cells(passes)


def sanity_rank(passes: MetricSanity | None) -> int:
    return 3 if passes is None else 2 - passes.missing - passes.extra


def median_cell(found: RunData, values: np.ndarray) -> Estimate | str:
    return found.median(values) if len(values) else "–"


def sanity_cells(passes: MetricSanity | None) -> tuple[str, str]:
    if passes is None:
        return "no such test", "no such test"
    return "sees it" if passes.missing else "cannot see it", (
        "sees it" if passes.extra else "cannot see it"
    )


def failures_section(found: RunData) -> Section | None:
    """What was not treated, by stage and reason."""
    reasons = Counter(
        (stage, reason)
        for stage, reason, _ in {
            (row["stage"], row["reason"], row["feature"]) for row in found.failures
        }
    )
    lines = tuple(
        (
            f"{stage}: {reason.replace('_', ' ')}",
            (
                f"{number:,} of {len(found.run.features):,} features."
                f" {page_text.REASONS[Reason(reason)]}"
            ),
        )
        for (stage, reason), number in sorted(reasons.items())
    )
    lead = "A failure is a state with a reason, never a number."
    return Section("Failures", lead, (Facts(lines),), brief=True) if lines else None


def extremes_section(found: RunData) -> Section | None:
    """The best and the worst features by the first score that reads an explanation."""
    of_words = {scored: rows for scored, rows in found.scores.items() if scored[1] != NOBODY}
    if not of_words:
        return None
    scored, rows = next(iter(of_words.items()))
    values = rows.numbers("value")
    there = np.flatnonzero(rows.under(Control.NONE) & np.isfinite(values))
    own = there[np.argsort(-values[there], kind="stable")].tolist()
    best = own[:ENDS]
    worst = own[len(best) :][-ENDS:][::-1]
    columns = ("feature", headline_label(rows, scored), "explanation")
    grids = (
        Grid(columns, tuple(extreme_row(found, rows[place]) for place in end), note)
        for end, note in ((best, "The best."), (worst, "The worst."))
        if end
    )
    return Section(
        "The best and the worst",
        "Chosen by their scores, so that these are extremes and no sample.",
        tuple(grids),
    )


def extreme_row(found: RunData, row: Row) -> tuple[Cell, ...]:
    said = found.texts.get((row["explained_by"], row["feature"]), "")
    return found.link(row["feature"]), Estimate(row["value"], row["low"], row["high"]), said


# by quantile: of each feature's firing contexts there, the share that was found
Shares = dict[int, Values]


def sensitivity_section(found: RunData) -> Section | None:
    """The share of firing held-out contexts that is found, by the quantile of their strength."""
    columns = {name: shares for name, shares in verdict_shares(found) if len(shares) > 1}
    columns |= {name: shares for name, shares in rule_shares(found) if len(shares) > 1}
    if not columns:
        return None
    quantiles = sorted(set[int]().union(*columns.values()))
    rows = tuple(
        (quantile_label(quantile, quantiles), *quantile_cells(found, columns.values(), quantile))
        for quantile in quantiles
    )
    lead = (
        "Of the held-out contexts in which a feature fires, the share that is found with the"
        " explanation, by how strongly it fires there: means over features. An answer that could"
        " not be read finds nothing."
    )
    return Section("Sensitivity by strength", lead, (Grid(("quantile", *columns), rows),))


def quantile_label(quantile: int, quantiles: Sequence[int]) -> str:
    ends = {quantiles[0]: ", the strongest", quantiles[-1]: ", the weakest"}
    return f"{quantile + 1} of {quantiles[-1] + 1}{ends.get(quantile, '')}"


def quantile_cells(found: RunData, columns: Iterable[Shares], quantile: int) -> Iterator[Cell]:
    for shares in columns:
        yield found.mean(shares[quantile]) if quantile in shares else "–"


def verdict_shares(found: RunData) -> Iterator[tuple[str, Shares]]:
    """What the verdicts of each scorer say; those on multiple choices are of no single context."""
    run, steps = found.run, found.run.stages("score")
    parts: dict[Scored, dict[int, list[Values]]] = defaultdict(lambda: defaultdict(list))
    columns = ["method", "explained_by", "control", "truth", "feature", "context", "answer"]
    for shard, step in product(range(run.shards), steps):
        said = run.part(step, shard).read("verdicts", columns)
        if not said.num_rows:
            continue
        drawn = run.part("sample", shard).read(
            "examples", ["feature", "context", "quantile", "role"]
        )
        drawn = drawn.filter(pc.field("role") == "held_out")
        (methods, method), (explainers, explainer), (controls, control) = (
            coded_texts(said[name]) for name in columns[:3]
        )
        kept = control == (controls.index(Control.NONE) if Control.NONE in controls else -1)
        own = kept & said["truth"].fill_null(False).to_numpy()
        for m, e in np.unique(np.stack([method[own], explainer[own]], axis=1), axis=0).tolist():
            same = own & (method == m) & (explainer == e)
            for quantile, shares in shares_of_verdicts(said.filter(same), drawn).items():
                parts[methods[m], explainers[e]][quantile].append(shares)
    for (one, other), shares in sorted(parts.items()):
        scores = found.scores.get((one, other))
        if scores and all(e["metric"] != "chance" for e in scores[0]["estimates"]):
            yield f"{one} of {other}", {q: np.concatenate(each) for q, each in shares.items()}


def coded_texts(column: pa.ChunkedArray) -> tuple[list[str], Int64[ndarray, " row"]]:
    """Each text of a column once, and which of them each row has."""
    found = column.combine_chunks().dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.to_numpy().astype(np.int64)


def shares_of_verdicts(said: pa.Table, drawn: pa.Table) -> Shares:
    """Each feature's share of yes by the quantile of the context, features in the order in which
    they come first; what is said of contexts that were not drawn counts nowhere.
    """
    contexts = [table["context"].fill_null(-1).to_numpy() for table in (said, drawn)]
    span = 2 + max(int(each.max(initial=0)) for each in contexts)
    asked, known = (
        table["feature"].to_numpy() * span + each + 1
        for table, each in zip((said, drawn), contexts, strict=True)
    )
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known, asked, side="right", sorter=order) - 1
    place = order[np.maximum(at, 0)]
    met = known[place] == asked
    quantiles = drawn["quantile"].to_numpy()[place[met]]
    features, yes = said["feature"].to_numpy()[met], said["answer"].fill_null(False).to_numpy()[met]
    found: Shares = {}
    for quantile in dict.fromkeys(quantiles.tolist()):
        here = quantiles == quantile
        _, first, own = np.unique(features[here], return_index=True, return_inverse=True)
        shares = np.bincount(own, yes[here]) / np.bincount(own)
        found[quantile] = shares[np.argsort(first)]
    return found


def rule_shares(found: RunData) -> Iterator[tuple[str, Shares]]:
    """Where the rules of explanations fire, read in each context alone as a judge would."""
    rules: dict[int, dict[str, str]] = defaultdict(dict)
    columns = ["feature", "method", "rule"]
    for row in read_rows(found.run.places("explain"), "explanations", columns):
        if row["rule"]:
            rules[row["feature"]][row["method"]] = row["rule"]
    hits: dict[str, dict[tuple[int, int], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for shard in range(found.run.shards if rules else 0):
        for feature, restore in stored_examples(found.run, shard).items():
            if feature.index not in rules:
                continue
            said = found.guard.attempt(
                feature,
                partial(rule_hits, found.run.corpus.vocabulary, rules[feature.index], restore),
            )
            for method, quantile, hit in [] if isinstance(said, Failure) else said:
                hits[method][quantile, feature.index].append(hit)
    for method, of_method in sorted(hits.items()):
        yield f"the rule of {method}", quantile_shares(of_method)


def rule_hits(
    vocabulary: Vocabulary, rules: Mapping[str, str], restore: Callable[[], Examples]
) -> list[tuple[str, int, bool]]:
    """By method: the quantile of each firing held-out context of a feature, and whether the
    method's rule fires in it.
    """
    held_out = restore().held_out
    quantiles = held_out.quantiles.tolist()
    return [
        (method, quantile, hit)
        for method, rule in rules.items()
        for quantile, hit in zip(
            quantiles, RuleJudge(rule, vocabulary.strings).fires_in(held_out).tolist(), strict=True
        )
    ]


def quantile_shares(hits: dict[tuple[int, int], list[bool]]) -> Shares:
    """Each feature's share, by quantile."""
    found: dict[int, list[float]] = defaultdict(list)
    for (quantile, _), each in hits.items():
        found[quantile].append(float(np.mean(each)))
    return {quantile: np.array(shares) for quantile, shares in found.items()}
