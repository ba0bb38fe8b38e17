"""One feature never ends a run: what goes wrong while it is treated is its failure, with the traceback in a log."""

import errno
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from gloss.errors import BadSettings, Busy, Damaged, Stopped, Unreachable, Unwritable
from gloss.models.prompts import Conversation
from gloss.records import Failure, FeatureId, Reason
from gloss.run.plan import Plan
from gloss.store.atomic import disk
from gloss.store.results import Row, read

LOGS = "log"  # a folder of the run: one file a stage
PASSED_ON = (BadSettings, Busy, Damaged, Stopped, Unreachable, Unwritable, MemoryError)  # after these no feature can be treated
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
MANY, FEWEST = 0.1, 3  # the share of a shard's features, and their number, that one error may take before the stage stops
LONGEST = 200  # characters of an error that are told

T = TypeVar("T")


@dataclass
class Watch:
    """Treats the features of one shard of a stage one by one; an error costs the feature that it comes from, and no other."""

    plan: Plan
    stage: str
    shard: int
    after: tuple[str, ...] = ("sample",)  # stages whose shard this one reads
    size: int = 0  # of the shard; 0: as many as the plan has
    taken: dict[tuple[str, str], set[FeatureId]] = field(default_factory=dict)  # features by the kind and place of their error

    @property
    def whole(self) -> bool:
        """Whether nothing is to be tried again: no error here, nor in what is read from here."""
        read_from = (self.plan.part(stage, self.shard) for stage in self.after if stage in self.plan.keys)
        return not self.taken and all(part.is_done for part in read_from)

    def treated(self, feature: FeatureId, work: Callable[[], T]) -> T | Failure:
        """What the work gives, or a failure with its error. Raises Stopped where one error takes too many features."""
        try:
            return work()
        except Exception as problem:
            return self.failure(feature, problem)

    def talk(self, feature: FeatureId, begin: Callable[[], Conversation[T]]) -> Conversation[T | Failure]:
        """The same for a conversation, from its making on."""
        try:
            return (yield from begin())
        except Exception as problem:
            return self.failure(feature, problem)

    def failure(self, feature: FeatureId, problem: Exception) -> Failure:
        """Log an error. Raises it where it is none of this feature's, and Stopped where it takes too many."""
        if isinstance(problem, PASSED_ON):
            raise problem
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            with disk(Path(problem.filename or self.plan.folder)):
                raise problem
        place = place_of(problem)
        said = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        said = f"{said if len(said) <= LONGEST else said[:LONGEST] + '…'} ({place})"
        path = log_of(self.plan, self.stage)
        append(path, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} feature {feature}\n{''.join(traceback.format_exception(problem))}\n")
        same = self.taken.setdefault((type(problem).__name__, place), set())
        same.add(feature)
        size = self.size or len(self.plan.shard(self.shard))
        if len(same) >= FEWEST and len(same) > MANY * size:
            raise Stopped(
                f"{self.stage} stopped after the same error took {len(same)} of {size} features: {said}; its traceback is in "
                f"{path}. Mend its cause and run the same command again"
            ) from problem
        return Failure(feature, self.stage, Reason.ERROR, said)

    def told(self) -> list[str]:
        """One sentence for each error, of a stage that leaves no part."""
        return [
            f"{self.stage}: {len(features)} feature{'s' * (len(features) > 1)} failed with {kind} ({place}); see "
            f"{log_of(self.plan, self.stage).relative_to(self.plan.folder)}"
            for (kind, place), features in self.taken.items()
        ]

    def write(self, records: Mapping[str, Iterable[Row]], *, whole: bool = True, note: Mapping[str, Any] | None = None) -> None:
        """Write the shard; it is done only if nothing is to be tried again."""
        self.plan.part(self.stage, self.shard).write(records, whole=whole and self.whole, note=note)


def place_of(problem: Exception) -> str:
    """The file and line that raised the error, such as `explain/rule.py:224`."""
    frames = traceback.extract_tb(problem.__traceback__)
    if not frames:
        return "unknown place"
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}"


def log_of(plan: Plan, stage: str) -> Path:
    return plan.folder / LOGS / f"{stage}.log"


def append(path: Path, text: str) -> None:
    """Add to a file that several processes may add to, in one piece. Raises Unwritable."""
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(file, text.encode(errors="backslashreplace"))
        finally:
            os.close(file)


def told(plan: Plan, stage: str) -> list[str]:
    """One sentence for each error that features of the stage failed with."""
    rows = read([plan.place(stage)], "failures")
    features = Counter(detail for detail, _ in {(row["detail"], row["feature"]) for row in rows if row["reason"] == Reason.ERROR})
    where = log_of(plan, stage).relative_to(plan.folder)
    return [
        f"{stage}: {number} feature{'s' * (number > 1)} failed with {detail}; see {where}; the next `gloss run` tries again"
        for detail, number in sorted(features.items())
    ]
