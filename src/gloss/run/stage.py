"""A stage of a run is one object: what it reads and writes, where it runs, what it does.

All that a run knows of its stages follows from these objects: order, keys, resuming, `status`,
`query`, pages and report. The entry points `gloss.stage` name them, ours and strangers' alike.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache, cached_property, partial
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from gloss.errors import BadSettings
from gloss.pages.page_records import FeaturePage
from gloss.pages.report_sections import Section
from gloss.records import needs_of
from gloss.run.chat_clients import ChatClient, NoClient
from gloss.run.dependencies import method_content
from gloss.run.execute.executors import Executor
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.execute.team import Team
from gloss.run.experiment import Experiment, method_label
from gloss.run.keys import code_hash, result_key
from gloss.run.methods import (
    SettingsMapping,
    build_method,
    installed_methods,
    load_stage,
    method_asks,
    suggestion,
)
from gloss.run.opened_run import OpenedRun
from gloss.run.reporting.run_data import RunData
from gloss.store.results import Part, table_files, unfinished_parts
from gloss.store.schemas import register_table


class Where(StrEnum):
    """Where the shards of a stage may run."""

    SERIAL = "serial"  # one after the other, in this process
    PROCESSES = "processes"  # by the run's executor, several at a time
    # in threads of this process, several at a time, which wait for a language model's answers
    EVENT_LOOP = "event_loop"
    DEVICE = "device"  # in this process, which holds the subject's weights


@dataclass(frozen=True)
class Step:
    """What one run does in one stage: all of it, or one method of a stage that has several."""

    stage: "Stage"
    settings: SettingsMapping = field(default_factory=dict[str, Any])
    label: str = ""  # of the method; empty where the stage has but one step

    @property
    def name(self) -> str:
        """As in `sample` or `explain.rule`."""
        return f"{self.stage.name}.{self.label}" if self.label else self.stage.name


@dataclass(frozen=True)
class Job:
    """What a stage is given to work with: the run so far, its step, and who answers questions."""

    run: OpenedRun
    step: Step
    client: ChatClient = field(default_factory=NoClient)

    def guard(self, shard: int, size: int = 0) -> FeatureGuard:
        """Treats the features of a shard one by one, and writes what came of it.

        The shard is whole only where all that it reads is. `size`: the number of things in it,
        where these are not the run's features.
        """
        unit = self.step.stage.unit
        # of steps whose shards are of the same things
        own = [
            self.run.part(step.name, shard) for step in self.read_steps if step.stage.unit == unit
        ]
        reads = (*own, *unfinished_parts(self.other_parts))
        return FeatureGuard(self.run, self.step.name, shard, reads, size)

    @cached_property
    def other_parts(self) -> list[Part]:
        """All that it reads of steps whose shards are of other things than its own."""
        unit = self.step.stage.unit
        return [
            part
            for step in self.read_steps
            if step.stage.unit != unit
            for part in step.stage.parts(self.run, step)
        ]

    @cached_property
    def read_steps(self) -> list[Step]:
        """The steps whose results it reads."""
        before = list(takewhile(lambda name: name != self.step.name, self.run.keys))
        names = set(self.step.stage.reads(self.run.experiment, self.step, before))
        return [step for step in run_steps(self.run) if step.name in names]

    @cached_property
    def reads_done(self) -> bool:
        """Whether all that it reads is done, in every shard."""
        return not unfinished_parts(
            part for step in self.read_steps for part in step.stage.parts(self.run, step)
        )


class Stage:
    """Something that a run does once: subclass it, say what it is, and do its work on a shard.

    A shard is some of the run's features (`job.run.shard(number)`). It is done when its part has
    been written whole, and is never done again while its key stays: the key follows from
    `reads`, `content` and the columns of `tables`.

    Example, the whole of a stage that counts the words of explanations::

        class Words(Stage):
            name, after = "words", ("explain",)
            tables = {"words": pa.schema([*FEATURE, ("words", pa.int64())])}

            def work(self, job: Job, shard: int) -> None:
                explained = job.run.rows("explain", "explanations", shard)
                job.guard(shard).write({"words": [count(row) for row in explained]})
    """

    name: ClassVar[str]
    # the stages that come before it; it reads what they made, unless `reads` says otherwise
    after: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[type | None] = None  # the dataclass of its table in an experiment
    optional: ClassVar[bool] = False  # whether it runs only where the experiment has its table
    # by name, which `gloss query` knows them by, too
    tables: ClassVar[Mapping[str, pa.Schema]] = {}
    where: ClassVar[Where] = Where.SERIAL
    # whether processes that each hold weights may share the shards of a stage on a device
    spreads: ClassVar[bool] = True
    unit: ClassVar[str] = "features"  # what its progress counts; empty where it shows its own

    def __init_subclass__(cls) -> None:
        """Make the columns of its tables known, so that parts can be written and read."""
        for table, schema in cls.tables.items():
            register_table(table, schema)

    # what is planned

    def steps(self, asked: Experiment) -> Iterator[Step]:
        """What an experiment wants of this stage; nothing where it does not want it."""
        if not self.optional or self.name in asked.stages:
            yield Step(self, asdict(asked.settings(self.settings)) if self.settings else {})

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        """Those of the steps before that it reads, by name."""
        return (name for name in before if name.partition(".")[0] in self.after)

    def content(self, asked: Experiment, step: Step) -> Any:
        """What its results depend on besides: settings, prompts, weights, as plain values."""
        return step.settings

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        """Where a step's shards run."""
        return self.where

    # what is done

    def check(self, run: OpenedRun, step: Step) -> None:
        """Refuse what cannot work before anything is spent. Raises BadSettings."""

    def sizes(self, run: OpenedRun, step: Step) -> Sequence[int]:
        """How much of its unit each shard holds. Wants a finished `collect`."""
        return run.shard_sizes

    def parts(self, run: OpenedRun, step: Step) -> Sequence[Part]:
        """The parts of its results, one a shard."""
        return [run.part(step.name, shard) for shard in range(len(self.sizes(run, step)))]

    def worker(self, job: Job) -> Callable[[int], None]:
        """What does a shard by its number; made once, where a shard is left to do."""
        return partial(self.work, job)

    def work(self, job: Job, shard: int) -> None:
        """Do one shard and write its part. May be done again after a crash, with the same end."""
        raise NotImplementedError(f"{type(self).__name__} has neither `work` nor a `worker`")

    def work_together(self, job: Job, team: Team, executor: Executor) -> None:
        """Do a stage that is done as one. Of several processes that run it, who leads does it,
        unless it has parts that `executor` can share among them.
        """
        if team.leads:
            self.worker(job)(0)

    def finish(self, job: Job) -> None:
        """Do what wants all shards; called whenever they have been looked at."""

    def lines(self, run: OpenedRun, step: Step) -> Iterable[str]:
        """What people should read of it in the terminal, when it has been done."""
        return ()

    # what is shown

    def summary(self, run: OpenedRun, step: Step) -> str:
        """What `status` says of results that are no rows of tables."""
        return ""

    def table_files(self, run: OpenedRun, step: Step, table: str) -> Iterable[Path]:
        """The Parquet files that hold a table's rows."""
        return table_files(run.place(step.name), table)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        """Its sections of the report, where it has something to say."""
        return ()

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage] | None:
        """What adds to the page of a feature of this shard; None where it adds nothing."""
        return None


class WholeStage(Stage):
    """A stage that is done as one, and not feature by feature; it shows its own progress."""

    unit, spreads = "", False

    def sizes(self, run: OpenedRun, step: Step) -> Sequence[int]:
        return [1]


class MethodStage(Stage):
    """A stage with a step for each method of the experiment's table of the same name."""

    def steps(self, asked: Experiment) -> Iterator[Step]:
        for settings in asked.methods(self.name):
            yield Step(self, settings, method_label(settings))

    def content(self, asked: Experiment, step: Step) -> Any:
        return method_content(asked, self.name, step.settings)

    def check(self, run: OpenedRun, step: Step) -> None:
        method = build_method(self.name, step.settings)
        if needs_of(method).files:
            method.require_files()

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        return where_method_runs(self.name, step.settings)


def where_many_run(asked: Experiment, many: int) -> Where:
    """By the executor where a run has so many features or more, or all there are; fewer are done
    here before another process would be ready.
    """
    wanted = asked.run.features
    number = len(wanted) if isinstance(wanted, tuple) else wanted
    return Where.SERIAL if 0 < number < many else Where.PROCESSES


def where_method_runs(verb: str, settings: SettingsMapping) -> Where:
    """Where the shards of a method run: what asks waits in this process, what computes needs
    others.
    """
    return Where.EVENT_LOOP if method_asks(verb, settings) else Where.PROCESSES


@cache
def installed_stages() -> Mapping[str, Stage]:
    """Every stage there is, in the order of a run: each after those that it comes after.

    Raises BadSettings for one that cannot be used.
    """
    found: dict[str, Stage] = {}
    for name, point in sorted(installed_methods("stage").items()):
        found[name] = load_stage(point)()
    for name, stage in found.items():
        if unknown := [other for other in stage.after if other not in found]:
            raise BadSettings(
                f"the stage {name!r} comes after {unknown[0]!r}, which is not installed"
                f"{suggestion(unknown[0], found)}"
            )
    sorter = TopologicalSorter({name: sorted(stage.after) for name, stage in found.items()})
    try:
        return {name: found[name] for name in sorter.static_order()}
    except CycleError as problem:
        raise BadSettings(f"stages come after each other: {' -> '.join(problem.args[1])}") from None


def stages_up_to(last: str) -> Mapping[str, Stage]:
    """The stage with this name and all that it comes after, in the order of a run.

    Raises BadSettings where there is no such stage.
    """
    every = installed_stages()
    if last not in every:
        raise BadSettings(f"there is no stage {last!r}{suggestion(last, every)}")
    wanted, open_ends = {last}, [last]
    while open_ends:
        more = set(every[open_ends.pop()].after) - wanted
        wanted |= more
        open_ends += more
    return {name: stage for name, stage in every.items() if name in wanted}


def planned_steps(asked: Experiment, stages: Iterable[Stage] | None = None) -> Iterator[Step]:
    """The steps of an experiment, of all stages or of these, in the order of a run."""
    for stage in installed_stages().values() if stages is None else stages:
        yield from stage.steps(asked)


def run_steps(run: OpenedRun) -> list[Step]:
    """The steps that a run has: those of stages that were installed since are none of it."""
    return [step for step in planned_steps(run.experiment) if step.name in run.keys]


def step_keys(asked: Experiment) -> dict[str, str]:
    """The key of every step, on the texts and weights that are there now.

    Equal keys mean that a finished result may be used again.
    """
    keys: dict[str, str] = {}
    for step in planned_steps(asked):
        stage = step.stage
        reads = [keys[name] for name in stage.reads(asked, step, list(keys))]
        code = code_hash(installed_methods("stage")[stage.name])
        keys[step.name] = result_key(
            stage.name, code, table_columns(stage), reads, stage.content(asked, step)
        )
    return keys


def table_columns(stage: Stage) -> str:
    """A hash of the columns of a stage's tables: with others, its results are made anew."""
    columns = {name: str(schema) for name, schema in sorted(stage.tables.items())}
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:12]
