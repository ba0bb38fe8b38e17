"""Puts together what the pages of a run show, from its records alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gloss.collect.split_counts import SplitCounts
from gloss.installed import __version__
from gloss.models.bundled import describe_dictionary, describe_model
from gloss.pages.packed_folder import (
    PackedWriting,
    PageLink,
    chunk_record,
    finish_packed,
    packed_pages,
)
from gloss.pages.page_folder import packed_path, write_feature_pages
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
from gloss.run.execute.executors import Executor, SerialExecutor
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.explained_features import ExplainedFeatures
from gloss.run.judge_doubts import judge_doubts
from gloss.run.keys import result_key
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
CHUNK, MOST_CHUNKS = 64, 500  # features in a file of packed pages, at least; and such files


def write_run_pages(run: OpenedRun, executor: Executor | None = None) -> Path:
    """Write the pages of everything that has been sampled; gives the index.

    Of more features than `[browse] packed_above`, packed, by the executor's processes.
    """
    if len(run.features) > run.experiment.browse.packed_above:
        return write_packed_run_pages(run, executor or SerialExecutor())
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


def write_packed_run_pages(run: OpenedRun, executor: Executor) -> Path:
    """Write the pages packed, chunk by chunk; what a killed writing has left is kept, while the
    results are the same.
    """
    folder, together = run.folder / "page", shards_in_chunk(run)
    chunks = -(-run.shards // together)
    size, total = together * run.experiment.run.features_per_shard, len(run.features)
    with (
        progress_bar("browse", "features") as progress,
        packed_pages(folder, state_of_results(run)) as staging,
    ):
        left = [number for number in range(chunks) if not chunk_record(staging, number).exists()]
        done = set(range(chunks)) - set(left)

        def one_more(number: int) -> None:
            done.add(number)
            progress(min(len(done) * size, total), total)

        executor.run(ChunkWriter(run, staging, together), left, one_more)
        taken: dict[tuple[str, str], set[FeatureId]] = defaultdict(set)
        for kind, location, indices in finish_packed(staging, compose_run_summary(run), chunks):
            taken[kind, location] |= {FeatureId(run.dictionary_name, each) for each in indices}
    guard = FeatureGuard(run, "browse", 0, taken=dict(taken))
    print_notes(*(f"  {line}" for line in guard.summary_lines()))
    return folder / "index.html"


def shards_in_chunk(run: OpenedRun) -> int:
    """How many shards' features lie in one file: the more there are, so that these stay few."""
    features = max(CHUNK, len(run.features) // MOST_CHUNKS)
    return -(-features // run.experiment.run.features_per_shard)


@dataclass(frozen=True)
class ChunkWriter:
    """Writes the pages of one chunk after the other; what is the same for all is made once."""

    run: OpenedRun
    folder: Path
    together: int  # shards in a chunk

    @cached_property
    def summary(self) -> RunSummary:
        return compose_run_summary(self.run)

    @cached_property
    def links(self) -> "RunLinks":
        return RunLinks(self.run)

    def __call__(self, number: int) -> None:
        run, steps = self.run, run_steps(self.run)
        first = number * self.together
        shards = range(first, min(run.shards, first + self.together))
        size = sum(len(run.shard(shard)) for shard in shards)
        guard = FeatureGuard(run, "browse", shards[0], size=size)

        def instead(page: FeaturePage, problem: Exception) -> FeaturePage:
            return compose_failure_page(run, guard.failure(page.feature, problem))

        def noted() -> list[Any]:
            return [
                (*error, sorted(each.index for each in features))
                for error, features in guard.taken.items()
            ]

        pages = (page for shard in shards for page in compose_shard_pages(run, guard, steps, shard))
        writing = PackedWriting(self.folder, self.summary, run.corpus.vocabulary, self.links)
        writing.write_chunk(number, pages, instead, noted)


class RunLinks:
    """What the pages of a run say of other features: their first explanation, held as columns."""

    def __init__(self, run: OpenedRun) -> None:
        self.name = run.dictionary_name
        self.features = np.array([feature.index for feature in run.features], np.int64)
        self.explained = [ExplainedFeatures.read(run, step) for step in run.stages("explain")]

    def __call__(self, feature: FeatureId) -> PageLink | None:
        at = int(np.searchsorted(self.features, feature.index))
        if at == len(self.features) or self.features[at] != feature.index:
            return None
        for said in self.explained:
            if (place := said.place(feature.index)) is not None:
                return PageLink(packed_path(feature.index), said[place].text)
        return PageLink(packed_path(feature.index), "Without an explanation.")


def state_of_results(run: OpenedRun) -> str:
    """A hash of which results there are, and of what is asked of the pages: while it is the same,
    pages need not be written again.
    """
    made = [
        (str(path.relative_to(run.folder)), path.stat().st_mtime_ns, path.stat().st_size)
        for step in run.keys
        for folder in (run.place(step), *sorted(run.place(step).glob("*/")))
        for path in sorted(folder.glob("*"))
        if path.is_file()
    ]
    return result_key(__version__, run.experiment.tables(), run.keys, made)


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
        subject=describe_model(asked.subject.model),
        dictionary=describe_dictionary(given),
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
