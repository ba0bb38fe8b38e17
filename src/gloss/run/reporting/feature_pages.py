"""Puts together what the pages of a run show, from its records alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gloss.collect.split_counts import SplitCounts
from gloss.pages.page_folder import write_feature_pages
from gloss.pages.page_records import (
    FeaturePage,
    MistakeKind,
    MistakenContexts,
    RunSummary,
    Statistics,
)
from gloss.records import (
    Contexts,
    Examples,
    Explanation,
    Failure,
    FeatureActivations,
    FeatureId,
    Verdict,
)
from gloss.rules import parse_rule
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import EMBEDDED
from gloss.run.judge_doubts import judge_doubts
from gloss.run.opened_run import (
    OpenedRun,
    shard_rows,
    stored_examples,
)
from gloss.run.progress import print_notes, progress_bar
from gloss.run.reporting.setup import mined_summary
from gloss.run.stage import Step, run_steps
from gloss.score.execution import find_rule_mistakes
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.record_rows import (
    explanation_from_row,
    failure_from_row,
    score_from_row,
    verdict_from_row,
)
from gloss.store.results import Row

WIDTH = 32
BINS = 24  # of a page's histogram


def write_run_pages(run: OpenedRun) -> Path:
    """Write the pages of everything that has been sampled; gives the index."""
    total = len(run.features)
    guard = FeatureGuard(run, "browse", 0, size=total)
    with progress_bar("browse", "features") as progress:
        index = write_feature_pages(
            run.folder / "page",
            compose_run_summary(run),
            compose_pages(run, guard),
            run.corpus.vocabulary,
            lambda done: progress(done, total),
            lambda page, problem: compose_failure_page(run, guard.failure(page.feature, problem)),
        )
    print_notes(*(f"  {line}" for line in guard.summary_lines()))
    return index


def compose_failure_page(run: OpenedRun, failure: Failure) -> FeaturePage:
    """A page that says why there is nothing else on it."""
    counted = activation_statistics(run, failure.feature.index)
    return FeaturePage(failure.feature, counted, failures=(failure,))


def compose_run_summary(run: OpenedRun) -> RunSummary:
    asked = run.experiment
    given = asked.decompose.get(
        "dictionary", f"{asked.decompose.get('method')} trained by this run"
    )
    return RunSummary(
        name=run.folder.name,
        subject=(
            "the embedded language model"
            if asked.subject.model == EMBEDDED
            else asked.subject.model
        ),
        dictionary="the embedded dictionary" if given == EMBEDDED else given,
        site=run.activations.manifest["made_from"]["site"],
        tokens=run.activations.tokens,
        documents=SplitCounts.of(run.place("collect") / "corpus").documents,
        width=run.activations.width,
        seeds={"run": asked.run.seed},
        facts={
            "live features": (
                f"{len(run.live):,}, active at {asked.run.minimum_activations} tokens or more"
            ),
            "texts": ", ".join(asked.collect.texts),
            **({"kept": mined_summary(run)} if run.activations.is_mined else {}),
            "sampler": asked.sample[0]["method"],
            "explained by": ", ".join(table["method"] for table in asked.explain),
            "scored by": ", ".join(table["method"] for table in asked.score),
        },
        document_names=run.corpus.names,
        doubts=judge_doubts(run),
    )


def compose_pages(run: OpenedRun, guard: FeatureGuard) -> Iterator[FeaturePage]:
    """One page after the other, a shard's records at a time."""
    steps = run_steps(run)
    for shard in range(run.shards):
        yield from compose_shard_pages(run, guard, steps, shard)


def compose_shard_pages(
    run: OpenedRun, guard: FeatureGuard, steps: Sequence[Step], shard: int
) -> Iterator[FeaturePage]:
    """The pages of one shard's features; where one cannot be put together, a page that says why."""
    records = {
        table: rows_by_feature(
            row for stage in run.keys for row in shard_rows(run.place(stage), table, shard)
        )
        for table in ("explanations", "scores", "verdicts", "failures")
    }
    examples = stored_examples(run, shard)
    fragments = [step.stage.page_fragment(run, step, shard) for step in steps]

    def put_together(feature: FeatureId) -> FeaturePage:
        own = {table: rows[feature.index] for table, rows in records.items()}
        seen = examples[feature]() if feature in examples else None
        page = compose_feature_page(run, feature, own, seen)
        page = replace(page, mistakes=feature_mistakes(run, page.explanations))
        for fragment in fragments:
            page = fragment(page) if fragment else page
        return page

    for feature in run.shard(shard):
        made = guard.attempt(feature, partial(put_together, feature))
        yield compose_failure_page(run, made) if isinstance(made, Failure) else made


def rows_by_feature(rows: Iterator[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["feature"]].append(row)
    return groups


def compose_feature_page(
    run: OpenedRun,
    feature: FeatureId,
    records: dict[str, list[Row]],
    examples: Examples | None,
) -> FeaturePage:
    """What a feature's records say; nothing is worked out anew."""
    described = run.described[feature.index]
    explanations = tuple(explanation_from_row(row) for row in records["explanations"])
    return FeaturePage(
        feature,
        activation_statistics(run, feature.index),
        explanations,
        tuple(
            score_from_row(row, score_verdicts(row, records["verdicts"]))
            for row in records["scores"]
        ),
        tuple(failure_from_row(row) for row in records["failures"]),
        examples,
        promoted_tokens=weighted_tokens(described["promoted_tokens"]),
        suppressed_tokens=weighted_tokens(described["suppressed_tokens"]),
        neighbours=tuple(
            (FeatureId(feature.dictionary, near["feature"]), near["cosine"])
            for near in described["neighbours"]
        ),
    )


def feature_mistakes(
    run: OpenedRun, explanations: Sequence[Explanation]
) -> tuple[MistakenContexts, ...]:
    """The held-out contexts that the rules among a feature's explanations get wrong."""
    return tuple(
        wrong
        for e in explanations
        if e.rule
        for wrong in rule_mistakes(run, e, run.activations.feature(e.feature.index))
    )


def score_verdicts(score: Row, verdicts: Sequence[Row]) -> tuple[Verdict, ...]:
    """The verdicts that one score was made of."""
    same = ("method", "explained_by", "control")
    return tuple(
        verdict_from_row(row)
        for row in verdicts
        if all(row[column] == score[column] for column in same)
    )


def weighted_tokens(tokens: Sequence[Row]) -> tuple[tuple[str, float], ...]:
    return tuple((entry["token"], entry["value"]) for entry in tokens)


def activation_statistics(run: OpenedRun, index: int) -> Statistics:
    """Counts over the whole corpus, with a histogram in equal steps, which is estimated where the
    corpus was mined.
    """
    activations, number = run.activations.feature(index), int(run.activations.counts[index])
    strongest = float(activations.values.max(initial=0.0))
    weights = run.corpus.weights(activations)
    if weights is not None:
        weights = weights[run.corpus.sequences_of(activations.positions)]
    reach = (0.0, strongest or 1.0)
    counts, edges = np.histogram(activations.values, bins=BINS, range=reach, weights=weights)
    share = number / run.activations.counted_tokens
    heights = np.rint(counts).astype(np.int64)
    return Statistics(number, share, strongest, edges.astype(np.float64), heights)


def rule_mistakes(
    run: OpenedRun, explanation: Explanation, activations: FeatureActivations
) -> Iterator[MistakenContexts]:
    """The held-out contexts that a rule got wrong, around the token of each mistake."""
    found = find_rule_mistakes(
        parse_rule(explanation.rule or ""), run.corpus, activations, run.experiment.browse.wrong
    )
    for kind, at, total in (
        (MistakeKind.FALSE_POSITIVE, found.false_positives, found.all_false_positives),
        (MistakeKind.FALSE_NEGATIVE, found.false_negatives, found.all_false_negatives),
    ):
        if len(at):
            contexts = contexts_around(run.corpus, at, activations)
            positions = np.minimum(contexts.starts[:, None] + np.arange(WIDTH), len(run.corpus) - 1)
            predicted = found.predicted.at(positions) * (contexts.tokens >= 0)
            yield MistakenContexts(kind, explanation.method, contexts, predicted, total)


def contexts_around(corpus: Corpus, at: np.ndarray, activations: FeatureActivations) -> Contexts:
    """The contexts in whose middle these tokens stand, as far as their sequences reach."""
    sequences = corpus.sequences_of(at)
    first, end = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    starts = np.maximum(first, np.minimum(at - WIDTH // 2, end - WIDTH))
    return cut_contexts(corpus, activations, starts, WIDTH, np.full(len(at), -1))
