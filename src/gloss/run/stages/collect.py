"""Stage `collect`: the subject reads the texts once, and every feature's activations are kept."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from gloss.run.dependencies import text_content
from gloss.run.execute.executors import Executor
from gloss.run.execute.team import Team
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
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
    spreads = True

    def content(self, asked: Experiment, step: Step) -> Any:
        # what is read together decides how numbers are rounded
        own = text_content(asked), asked.collect.batch_tokens, asked.collect.shard_tokens
        mining = asked.collect.mining
        return (*own, mining, asked.run.seed) if mining else own

    def check(self, run: OpenedRun, step: Step) -> None:
        if run.experiment.collect.merge:
            from gloss.run.merged_collects import require_mergeable

            require_mergeable(run)

    def work_together(self, job: Job, team: Team, executor: Executor) -> None:
        from gloss.run.collecting import collect_activations

        collect_activations(job, team, executor)

    def summary(self, run: OpenedRun, step: Step) -> str:
        return f"{run.activations.tokens:,} tokens"

    def table_files(self, run: OpenedRun, step: Step, table: str) -> Iterable[Path]:
        folder = "corpus" if table in CORPUS_TABLES else "activations"
        return (run.place(self.name) / folder).glob(f"{table}.parquet")
