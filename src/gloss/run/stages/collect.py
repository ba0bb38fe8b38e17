"""Stage `collect`: the subject reads the texts once, and every feature's activations are kept."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from gloss.run.corpus_texts import open_run_texts, print_split_sizes
from gloss.run.dependencies import text_content
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import print_notes, progress_bar
from gloss.run.reporting.setup import left_out_summary
from gloss.run.stage import Job, Step, Where, WholeStage
from gloss.store.activations import STATISTICS
from gloss.store.corpus_writer import DOCUMENTS, PIECES, SEQUENCES
from gloss.store.mined import STRATA

CORPUS_TABLES: Mapping[str, pa.Schema] = {
    "documents": DOCUMENTS,
    "sequences": SEQUENCES,
    "vocabulary": PIECES,
}


class CollectStage(WholeStage):
    """The corpus, and every feature's activations on it."""

    name, after = "collect", ("decompose",)
    tables = MappingProxyType({**CORPUS_TABLES, "statistics": STATISTICS, "strata": STRATA})
    where = Where.DEVICE

    def content(self, asked: Experiment, step: Step) -> Any:
        # what is read together decides how numbers are rounded
        own = text_content(asked), asked.collect.batch_tokens, asked.collect.shard_tokens
        mining = asked.collect.mining
        return (*own, mining, asked.run.seed) if mining else own

    def work(self, job: Job, shard: int) -> None:
        collect_activations(job.run)

    def summary(self, run: OpenedRun, step: Step) -> str:
        return f"{run.activations.tokens:,} tokens"

    def table_files(self, run: OpenedRun, step: Step, table: str) -> Iterable[Path]:
        folder = "corpus" if table in CORPUS_TABLES else "activations"
        return (run.place(self.name) / folder).glob(f"{table}.parquet")


def collect_activations(run: OpenedRun) -> None:
    """Load the subject and the dictionary, and collect what is not collected yet."""
    from gloss.run.run_dictionary import (
        build_collector,
        load_or_train_dictionary,
        load_run_subject,
    )

    subject = load_run_subject(run)
    dictionary = load_or_train_dictionary(run, subject)
    with progress_bar("collect", "tokens") as progress:
        found = build_collector(run).run(
            subject,
            dictionary,
            open_run_texts(run),
            run.place("collect"),
            progress,
            print_split_sizes,
        )
    if found.left_out:
        print_notes(f"  {left_out_summary(run.activations)}")
    folder = run.place("collect")
    run.part("collect", 0).write(
        {},
        beside=[
            folder / name for name in ("corpus", "activations", "kept") if (folder / name).exists()
        ],
    )
