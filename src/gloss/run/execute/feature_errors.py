"""One feature never ends a run: what goes wrong while it is treated is its failure, with the
traceback in a log.
"""

import errno
import os
import socket
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from gloss.errors import BadSettings, Busy, Damaged, Stopped, Unreachable, Unwritable
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Failure, FeatureId, Reason
from gloss.run.opened_run import OpenedRun
from gloss.store.atomic import disk_errors
from gloss.store.results import Part, Row, read_rows

LOGS = "log"  # a folder of the run: one file a stage
# after these no feature can be treated
PASSED_ON = (BadSettings, Busy, Damaged, Stopped, Unreachable, Unwritable, MemoryError)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# the share of a shard's features, and their number, that one error may take before the stage stops
MANY, FEWEST = 0.1, 3
LONGEST = 200  # characters of an error that are printed

T = TypeVar("T")


@dataclass
class FeatureGuard:
    """Treats the features of one shard of a stage one by one.

    An error costs the feature that it comes from, and no other.
    """

    run: OpenedRun
    stage: str
    shard: int
    reads: tuple[Part, ...] = ()  # what the shard is made from
    size: int = 0  # of the shard; 0: as many as the run has
    # features by the kind and location of their error
    taken: dict[tuple[str, str], set[FeatureId]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing is to be tried again: no error here, nor in what is read from here."""
        return not self.taken and all(part.is_done for part in self.reads)

    def attempt(self, feature: FeatureId, work: Callable[[], T]) -> T | Failure:
        """What the work gives, or a failure with its error.

        Raises Stopped where one error takes too many features.
        """
        try:
            return work()
        except Exception as problem:
            return self.failure(feature, problem)

    def conversation(
        self, feature: FeatureId, begin: Callable[[], Conversation[T]]
    ) -> Conversation[T | Failure]:
        """The same for a conversation, from its making on."""
        try:
            return (yield from begin())
        except Exception as problem:
            return self.failure(feature, problem)

    def failure(self, feature: FeatureId, problem: Exception) -> Failure:
        """Log an error. Raises it where it is none of this feature's, and Stopped where it takes
        too many.
        """
        if isinstance(problem, PASSED_ON):
            raise problem
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            with disk_errors(Path(problem.filename or self.run.folder)):
                raise problem
        location = error_location(problem)
        said = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        said = f"{said if len(said) <= LONGEST else said[:LONGEST] + '…'} ({location})"
        path = stage_log(self.run, self.stage)
        append_text(
            path,
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} feature {feature}, shard {self.shard},"
            f" {this_process()}\n{''.join(traceback.format_exception(problem))}\n",
        )
        same = self.taken.setdefault((type(problem).__name__, location), set())
        same.add(feature)
        size = self.size or len(self.run.shard(self.shard))
        if len(same) >= FEWEST and len(same) > MANY * size:
            raise Stopped(
                f"{self.stage} stopped after the same error took {len(same)} of {size} features:"
                f" {said}; its traceback is in {path}. Mend its cause and run the same command"
                " again"
            ) from problem
        return Failure(feature, self.stage, Reason.ERROR, said)

    def summary_lines(self) -> list[str]:
        """One sentence for each error, of a stage that leaves no part."""
        return [
            f"{self.stage}: {len(features)} feature{'s' * (len(features) > 1)} failed with {kind}"
            f" ({location}); see {stage_log(self.run, self.stage).relative_to(self.run.folder)}"
            for (kind, location), features in self.taken.items()
        ]

    def write(
        self,
        records: Mapping[str, Iterable[Row] | pa.Table],
        *,
        whole: bool = True,
        note: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the shard; it is done only if nothing is to be tried again."""
        self.run.part(self.stage, self.shard).write(records, whole=whole and self.whole, note=note)


def error_location(problem: Exception) -> str:
    """The file and line that raised the error, such as `explain/rule.py:224`."""
    frames = traceback.extract_tb(problem.__traceback__)
    if not frames:
        return "unknown location"
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}"


def this_process() -> str:
    """Where something happens, as in `process 812 on node-7`."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def stage_log(run: OpenedRun, stage: str) -> Path:
    return run.folder / LOGS / f"{stage}.log"


def append_text(path: Path, text: str) -> None:
    """Add to a file that several processes may add to, in one piece. Raises Unwritable."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(file, text.encode(errors="backslashreplace"))
        finally:
            os.close(file)


def feature_error_lines(run: OpenedRun, stage: str) -> list[str]:
    """One sentence for each error that features of the stage failed with."""
    rows = read_rows([run.place(stage)], "failures", ["feature", "reason", "detail"])
    features = Counter(
        detail
        for detail, _ in {
            (row["detail"], row["feature"]) for row in rows if row["reason"] == Reason.ERROR
        }
    )
    where = stage_log(run, stage).relative_to(run.folder)
    return [
        f"{stage}: {number} feature{'s' * (number > 1)} failed with {detail}; see {where}; the next"
        " `gloss run` tries again"
        for detail, number in sorted(features.items())
    ]
