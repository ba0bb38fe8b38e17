"""How well each judge finds contexts of every strength: a label may hold for the strongest contexts alone."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from gloss.browse.sections import Cell, Grid, Section
from gloss.models.planted.judge import Judge
from gloss.records import Control, Examples, Failure
from gloss.run.reporting.material import Material, Values
from gloss.run.restored import stored_examples
from gloss.store.results import Row, read
from gloss.store.vocabulary import Vocabulary

Shares = dict[int, Values]  # by quantile: of each feature's firing contexts there, the share that was found


def deciles(found: Material) -> Section | None:
    """The share of firing held-out contexts that is found, by the quantile of their strength."""
    columns = {name: shares for name, shares in judged(found) if len(shares) > 1}
    columns |= {name: shares for name, shares in by_rule(found) if len(shares) > 1}
    if not columns:
        return None
    quantiles = sorted(set[int]().union(*columns.values()))
    rows = tuple((label(quantile, quantiles), *cells(found, columns.values(), quantile)) for quantile in quantiles)
    lead = (
        "Of the held-out contexts in which a feature fires, the share that is found with the explanation, by how strongly it "
        "fires there: means over features. An answer that could not be read finds nothing."
    )
    return Section("Sensitivity by strength", lead, (Grid(("quantile", *columns), rows),))


def label(quantile: int, quantiles: Sequence[int]) -> str:
    ends = {quantiles[0]: ", the strongest", quantiles[-1]: ", the weakest"}
    return f"{quantile + 1} of {quantiles[-1] + 1}{ends.get(quantile, '')}"


def cells(found: Material, columns: Iterable[Shares], quantile: int) -> Iterator[Cell]:
    for shares in columns:
        yield found.mean(shares[quantile]) if quantile in shares else "–"


def judged(found: Material) -> Iterator[tuple[str, Shares]]:
    """What the verdicts of each scorer say; those on riddles are of no single context."""
    places = {
        (row["feature"], row["context"]): row["quantile"]
        for row in read([found.plan.place("sample")], "examples")
        if row["role"] == "held_out"
    }
    said: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read(found.plan.places("score"), "verdicts"):
        if row["control"] == Control.NONE and row["truth"]:
            said[row["method"], row["explained_by"]].append(row)
    for scored, rows in sorted(said.items()):
        if scored in found.scores and not any(each["metric"] == "chance" for each in found.scores[scored][0]["estimates"]):
            hits: dict[tuple[int, int], list[bool]] = defaultdict(list)
            for row in rows:
                if (place := places.get((row["feature"], row["context"]))) is not None:
                    hits[place, row["feature"]].append(row["answer"] is True)
            yield f"{scored[0]} of {scored[1]}", shares_of(hits)


def by_rule(found: Material) -> Iterator[tuple[str, Shares]]:
    """Where the rules of explanations fire, read in each context alone as a judge would."""
    rules: dict[int, dict[str, str]] = defaultdict(dict)
    for row in read(found.plan.places("explain"), "explanations"):
        if row["rule"]:
            rules[row["feature"]][row["method"]] = row["rule"]
    hits: dict[str, dict[tuple[int, int], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for shard in range(found.plan.shards if rules else 0):
        for feature, restore in stored_examples(found.plan, shard).items():
            if feature.index not in rules:
                continue
            said = found.watch.treated(feature, partial(fired, found.plan.corpus.vocabulary, rules[feature.index], restore))
            for method, quantile, hit in [] if isinstance(said, Failure) else said:
                hits[method][quantile, feature.index].append(hit)
    for method, of_method in sorted(hits.items()):
        yield f"the rule of {method}", shares_of(of_method)


def fired(vocabulary: Vocabulary, rules: Mapping[str, str], restore: Callable[[], Examples]) -> list[tuple[str, int, bool]]:
    """By method: the quantile of each firing held-out context of a feature, and whether the method's rule fires in it."""
    held_out = restore().held_out
    quantiles = held_out.quantiles.tolist()
    return [
        (method, quantile, hit)
        for method, rule in rules.items()
        for quantile, hit in zip(quantiles, Judge(rule, vocabulary.strings).fires_in(held_out).tolist(), strict=True)
    ]


def shares_of(hits: dict[tuple[int, int], list[bool]]) -> Shares:
    """Each feature's share, by quantile."""
    found: dict[int, list[float]] = defaultdict(list)
    for (quantile, _), each in hits.items():
        found[quantile].append(float(np.mean(each)))
    return {quantile: np.array(shares) for quantile, shares in found.items()}
