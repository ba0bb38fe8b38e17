"""Puts together what the pages of a run show, from its records alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gloss.browse.model import FeaturePage, Mistake, Mistakes, RunSummary, Statistics
from gloss.browse.pages import write_pages as write
from gloss.records import Contexts, Effect, Examples, Explanation, Failure, FeatureActivations, FeatureId, Verdict
from gloss.rules import parse
from gloss.run.doubts import doubts_of
from gloss.run.experiment import EMBEDDED
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.run.progress import bar, tell
from gloss.run.restored import effects_of, reasons_of, rows_of, stored_examples
from gloss.score.execution import mistakes
from gloss.store.contexts import cut
from gloss.store.corpus import Corpus
from gloss.store.results import Row, explanation_of, failure_of, score_of, verdict_of

WIDTH = 32
BINS = 24  # of a page's histogram


def write_pages(plan: Plan) -> Path:
    """Write the pages of everything that has been sampled; gives the index."""
    total = len(plan.features)
    watch = Watch(plan, "browse", 0, size=total)
    with bar("browse", "features") as progress:
        index = write(
            plan.folder / "page",
            summary(plan),
            pages(plan, watch),
            plan.corpus.vocabulary,
            lambda done: progress(done, total),
            lambda page, problem: bare(plan, watch.failure(page.feature, problem)),
        )
    tell(*(f"  {line}" for line in watch.told()))
    return index


def bare(plan: Plan, failure: Failure) -> FeaturePage:
    """A page that says why there is nothing else on it."""
    counted = statistics(plan, plan.activations.feature(failure.feature.index))
    return FeaturePage(failure.feature, counted, failures=(failure,))


def summary(plan: Plan) -> RunSummary:
    asked = plan.experiment
    given = asked.decompose.get("dictionary", f"{asked.decompose.get('method')} trained by this run")
    return RunSummary(
        name=plan.folder.name,
        subject="the embedded language model" if asked.subject.model == EMBEDDED else asked.subject.model,
        dictionary="the embedded dictionary" if given == EMBEDDED else given,
        site=plan.activations.manifest["made_from"]["site"],
        tokens=len(plan.corpus),
        documents=len(plan.corpus.hashes),
        width=plan.activations.width,
        seeds={"run": asked.run.seed},
        facts={
            "live features": f"{len(plan.live):,}, active at {asked.run.minimum_activations} tokens or more",
            "texts": ", ".join(asked.collect.texts),
            "sampler": asked.sample[0]["method"],
            "explained by": ", ".join(table["method"] for table in asked.explain),
            "scored by": ", ".join(table["method"] for table in asked.score),
        },
        document_names=plan.corpus.names,
        doubts=doubts_of(plan),
    )


def pages(plan: Plan, watch: Watch) -> Iterator[FeaturePage]:
    """One page after the other, a shard's records at a time."""
    for shard in range(plan.shards):
        yield from pages_of(plan, watch, shard)


def pages_of(plan: Plan, watch: Watch, shard: int) -> Iterator[FeaturePage]:
    """The pages of one shard's features; where one cannot be put together, a page that says why."""
    records = {
        table: grouped(row for stage in plan.keys for row in rows_of(plan.place(stage), table, shard))
        for table in ("explanations", "scores", "verdicts", "failures")
    }
    examples, effects, reasons = stored_examples(plan, shard), effects_of(plan, shard), reasons_of(plan, shard)

    def put_together(feature: FeatureId) -> FeaturePage:
        own = {table: rows[feature.index] for table, rows in records.items()}
        seen = examples[feature]() if feature in examples else None
        found = page(plan, feature, own, seen, effects.get(feature.index, ()))
        return replace(found, reasons=reasons.get(feature.index, ()))

    for feature in plan.shard(shard):
        made = watch.treated(feature, partial(put_together, feature))
        yield bare(plan, made) if isinstance(made, Failure) else made


def grouped(rows: Iterator[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["feature"]].append(row)
    return groups


def page(
    plan: Plan, feature: FeatureId, records: dict[str, list[Row]], examples: Examples | None, effects: tuple[Effect, ...]
) -> FeaturePage:
    described = plan.described[feature.index]
    explanations = tuple(explanation_of(row) for row in records["explanations"])
    activations = plan.activations.feature(feature.index)
    return FeaturePage(
        feature,
        statistics(plan, activations),
        explanations,
        tuple(score_of(row, verdicts_of(row, records["verdicts"])) for row in records["scores"]),
        tuple(failure_of(row) for row in records["failures"]),
        examples,
        tuple(wrong for e in explanations if e.rule for wrong in mistakes_of(plan, e, activations)),
        weighted(described["top_tokens"]),
        weighted(described["bottom_tokens"]),
        tuple((FeatureId(feature.dictionary, near["feature"]), near["cosine"]) for near in described["neighbours"]),
        alike(plan, explanations[0]) if explanations else (),
        effects,
    )


def alike(plan: Plan, explanation: Explanation) -> tuple[FeatureId, ...]:
    """The other features that an explanation fits as well."""
    groups = plan.collision_groups.get(explanation.method, {})
    own = groups.get(explanation.feature, ())
    return tuple(other for other in own if other != explanation.feature)


def verdicts_of(score: Row, verdicts: Sequence[Row]) -> tuple[Verdict, ...]:
    """The verdicts that one score was made of."""
    same = ("method", "explained_by", "control")
    return tuple(verdict_of(row) for row in verdicts if all(row[column] == score[column] for column in same))


def weighted(tokens: Sequence[Row]) -> tuple[tuple[str, float], ...]:
    return tuple((entry["token"], entry["value"]) for entry in tokens)


def statistics(plan: Plan, activations: FeatureActivations) -> Statistics:
    """Counts over the whole corpus, with a histogram in equal steps."""
    strongest = float(activations.values.max(initial=0.0))
    counts, edges = np.histogram(activations.values, bins=BINS, range=(0.0, strongest or 1.0))
    share = len(activations) / max(1, int(plan.corpus.counted.sum()))
    return Statistics(len(activations), share, strongest, edges.astype(np.float64), counts)


def mistakes_of(plan: Plan, explanation: Explanation, activations: FeatureActivations) -> Iterator[Mistakes]:
    """The held-out contexts that a rule got wrong, around the token of each mistake."""
    found = mistakes(parse(explanation.rule or ""), plan.corpus, activations, plan.experiment.browse.wrong)
    for kind, at, total in (
        (Mistake.FALSE_ALARM, found.misfires, found.all_misfires),
        (Mistake.MISS, found.misses, found.all_misses),
    ):
        if len(at):
            contexts = around(plan.corpus, at, activations)
            places = np.minimum(contexts.starts[:, None] + np.arange(WIDTH), len(plan.corpus) - 1)
            predicted = np.where(contexts.tokens >= 0, found.foretold[places], 0.0).astype(np.float32)
            yield Mistakes(kind, explanation.method, contexts, predicted, total)


def around(corpus: Corpus, at: np.ndarray, activations: FeatureActivations) -> Contexts:
    """The contexts in whose middle these tokens stand, as far as their sequences reach."""
    sequences = corpus.sequences_of(at)
    first, end = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    starts = np.maximum(first, np.minimum(at - WIDTH // 2, end - WIDTH))
    return cut(corpus, activations, starts, WIDTH, np.full(len(at), -1))
