"""Puts together what the pages of a run show, from its records alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gloss.browse.model import FeaturePage, Mistake, Mistakes, RunSummary, Statistics
from gloss.browse.pages import write_pages as write
from gloss.records import Examples, Explanation, FeatureActivations, FeatureId, Split, Verdict
from gloss.rules import execute, parse
from gloss.rules.passage import Passage
from gloss.run.experiment import EMBEDDED
from gloss.run.plan import Plan
from gloss.run.progress import bar
from gloss.run.restored import examples_of, rows_of
from gloss.store.contexts import cut
from gloss.store.results import Row, explanation_of, failure_of, score_of, verdict_of

WIDTH = 32
BINS = 24  # of a page's histogram


def write_pages(plan: Plan) -> Path:
    """Write the pages of everything that has been sampled; gives the index."""
    total = len(plan.features)
    with bar("browse", "features") as progress:
        return write(
            plan.folder / "page",
            summary(plan),
            pages(plan),
            plan.corpus.vocabulary,
            lambda done: progress(done, total),
        )


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
    )


def pages(plan: Plan) -> Iterator[FeaturePage]:
    """One page after the other, a shard's records at a time."""
    heldout = HeldOut(plan)
    for shard in range(plan.shards):
        records = {
            table: grouped(row for stage in plan.keys for row in rows_of(plan.place(stage), table, shard))
            for table in ("explanations", "scores", "verdicts", "failures")
        }
        examples = {found.feature: found for found in examples_of(plan, shard)}
        for feature in plan.shard(shard):
            own = {table: rows[feature.index] for table, rows in records.items()}
            yield page(plan, feature, own, heldout, examples.get(feature))


def grouped(rows: Iterator[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["feature"]].append(row)
    return groups


def page(
    plan: Plan, feature: FeatureId, records: dict[str, list[Row]], held_out: "HeldOut", examples: Examples | None
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
        tuple(mistakes for e in explanations if e.rule for mistakes in held_out.mistakes(e, activations)),
        weighted(described["top_tokens"]),
        weighted(described["bottom_tokens"]),
        tuple((FeatureId(feature.dictionary, near["feature"]), near["cosine"]) for near in described["neighbours"]),
    )


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
    return Statistics(len(activations), len(activations) / len(plan.corpus), strongest, edges, counts)


class HeldOut:
    """The held-out text, on which rules are run again to show where they are wrong."""

    def __init__(self, plan: Plan) -> None:
        self.corpus, self.wrong = plan.corpus, plan.experiment.browse.wrong
        self.passage = Passage(self.corpus.tokens, self.corpus.offsets, self.corpus.vocabulary.strings)
        self.held_out = self.corpus.in_split(Split.HELD_OUT)

    def mistakes(self, explanation: Explanation, activations: FeatureActivations) -> Iterator[Mistakes]:
        """False alarms and misses, the worst first: the strongest that was foretold in vain, the strongest that was missed."""
        foretold = execute(parse(explanation.rule or ""), self.passage)
        true = np.zeros(len(self.corpus), np.float32)
        true[activations.positions] = activations.values
        for kind, wrong, by in (
            (Mistake.FALSE_ALARM, (foretold > 0) & (true == 0), foretold),
            (Mistake.MISS, (foretold == 0) & (true != 0), true),
        ):
            positions = np.flatnonzero(wrong & self.held_out)
            worst = positions[np.argsort(-by[positions], kind="stable")[: self.wrong]]
            if len(worst):
                yield self.shown(kind, explanation, worst, foretold, activations, len(positions))

    def shown(
        self,
        kind: Mistake,
        explanation: Explanation,
        at: np.ndarray,
        foretold: np.ndarray,
        activations: FeatureActivations,
        total: int,
    ) -> Mistakes:
        """The contexts around these tokens."""
        sequences = self.corpus.sequences_of(at)
        first, end = self.corpus.offsets[sequences], self.corpus.offsets[sequences + 1]
        starts = np.maximum(first, np.minimum(at - WIDTH // 2, end - WIDTH))
        contexts = cut(self.corpus, activations, starts, WIDTH, np.full(len(at), -1))
        places = np.minimum(starts[:, None] + np.arange(WIDTH), len(foretold) - 1)
        predicted = np.where(contexts.tokens >= 0, foretold[places], 0.0).astype(np.float32)
        return Mistakes(kind, explanation.method, contexts, predicted, total)
