"""What an experiment will take on this machine: time, disk and memory, from two small runs of it,
the pilots, whose growth is carried on to the whole.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from rich.table import Table as Printed

from gloss.collect.texts import measure_texts
from gloss.errors import GlossError, Stopped
from gloss.run.control_runs import wanted_controls
from gloss.run.corpus_texts import open_run_texts
from gloss.run.execute.stage_times import stage_seconds
from gloss.run.execute.workers import block_interrupts, die_with_parent
from gloss.run.experiment import Experiment, SettingsTable, method_label
from gloss.run.methods import build_method, method_asks
from gloss.run.opened_run import OpenedRun
from gloss.run.pipeline import run_stages
from gloss.run.planning import plan_run
from gloss.run.progress import clock_time, console, out, print_notes
from gloss.run.reporting.feature_pages import write_run_pages
from gloss.run.reporting.report import write_run_report
from gloss.run.stage import Stage, Step, Where, installed_stages, planned_steps
from gloss.run.trained_beside import ALSO, trained_beside

PILOT_TOKENS, PILOT_FEATURES = 2**17, 96  # of the larger pilot, at most
# seconds for which texts are counted; the rest is taken to be like what was counted till then
COUNTING_SECONDS = 20.0
# what a process holds of each token after `collect`: the corpus, its windows, indices of both
BYTES_A_TOKEN = 50
SHARD_BYTES = 8.0  # of a non-zero, until shards are merged
# of a sequence that is mined for a feature; and half octaves in which a feature fires
ENTRY_BYTES, STRENGTHS = 50.0, 16
MARGIN = 1.1  # characters counted beyond those that are wanted
REST = "start, pages, report"
TIME, DISK = "seconds", "disk"


def by_features(step: str) -> bool:
    """Whether the cost of a step, or of REST, goes with the features that are treated."""
    name = step.partition(".")[0]
    return step == REST or installed_stages()[name].unit == "features"


@dataclass(frozen=True)
class Amounts:
    """How large an experiment is."""

    tokens: int
    features: int
    training: int = 0  # tokens that its dictionary is trained on

    def of(self, step: str) -> int:
        """How much there is of what a step's cost follows."""
        if step == "decompose":
            return self.training
        return self.features if by_features(step) else self.tokens


@dataclass(frozen=True)
class Taken:
    """What a run took, and how large it was in the end."""

    amounts: Amounts
    seconds: Mapping[str, float]  # by step, of the wall's clock
    disk: Mapping[str, int]  # bytes, by step
    memory: int  # bytes at the peak, of all processes together
    # tokens at which each feature of the dictionary fires; characters of a token on average
    counts: np.ndarray
    characters: float


@contextmanager
def pilots(asked: Experiment) -> Generator[tuple[Taken, Taken, Experiment]]:
    """Run an experiment twice in small, and ask nobody: what each run took, and the experiment of
    the larger, of which everything that it made is there until the block ends.
    """
    tokens = min(PILOT_TOKENS, asked.collect.max_tokens // 2 or PILOT_TOKENS)
    features, training = pilot_features(asked), trained_tokens(asked)
    batch = getattr(asked_trainer(asked), "batch", 0)  # at least which is trained on
    large = Amounts(tokens, features, min(training, max(tokens, batch)))
    small = Amounts(tokens // 2, max(4, features // 3), min(training, max(tokens // 2, batch)))
    with tempfile.TemporaryDirectory(prefix="gloss-cost-") as folder:
        taken: list[Taken] = []
        for number, amounts in enumerate((small, large), start=1):
            print_notes(
                f"pilot {number} of 2: {amounts.tokens:,} tokens, {amounts.features:,} features"
            )
            taken.append(run_apart(pilot_tables(asked, f"{folder}/{number}", amounts), amounts))
        piloted = Experiment.of(pilot_tables(asked, f"{folder}/2", large))
        yield taken[0], taken[1], replace(piloted, controls=asked.controls)


def pilot_features(asked: Experiment) -> int:
    """How many features the larger pilot treats: half of the experiment's, PILOT_FEATURES at
    most.
    """
    wanted = asked.run.features
    number = len(wanted) if isinstance(wanted, tuple) else wanted
    return max(12, min(PILOT_FEATURES, number // 2 or PILOT_FEATURES))


def trained_tokens(asked: Experiment) -> int:
    """How many tokens the experiment's dictionary is trained on; 0 where it is given, or the
    trainer has no such setting.
    """
    return getattr(asked_trainer(asked), "tokens", 0)


def asked_trainer(asked: Experiment) -> object:
    """What trains the experiment's dictionary; None where it is given."""
    return build_method("decompose", asked.trainer) if "method" in asked.decompose else None


def pilot_tables(asked: Experiment, folder: str, amounts: Amounts) -> SettingsTable:
    """The experiment in small: its own methods, fewer tokens and features, smaller shards."""
    tables = asked.tables()
    tables["run"] |= {
        "folder": folder,
        "features": amounts.features,
        "features_per_shard": max(1, amounts.features // (4 * asked.run.processes)),
        # what is foretold is this machine, whoever else would work for the run
        "executor": "processes",
    }
    tables["collect"] |= {"max_tokens": amounts.tokens, "merge": []}
    tables["controls"] = {}
    if amounts.training:
        beside = tables["decompose"].get(ALSO, ())
        names = [*trained_beside(tables["decompose"])]  # of what differs, which may be `tokens`
        for name, table in zip(names, beside, strict=True):
            table |= {"name": name, "tokens": amounts.training}
        tables["decompose"]["tokens"] = amounts.training
    return tables


def without_asking(tables: SettingsTable) -> SettingsTable:
    """The same without the methods that ask a language model, but for those of a verb of which all
    do.
    """
    free = dict(tables)
    for verb in ("explain", "score"):
        free[verb] = [one for one in tables[verb] if not method_asks(verb, one)] or tables[verb]
    explained = {method_label(one) for one in free["explain"]}
    free["score"] = [
        one if "of" not in one else {**one, "of": [name for name in one["of"] if name in explained]}
        for one in free["score"]
        if "of" not in one or explained & set(one["of"])
    ] or tables["score"]
    return free


def free_stages(asked: Experiment) -> list[Stage]:
    """The stages of which no step asks."""
    return [
        stage
        for stage in installed_stages().values()
        if not any(asks(asked, step) for step in stage.steps(asked))
    ]


def asking_steps(asked: Experiment) -> set[str]:
    """The steps that wait for a language model, by name."""
    return {step.name for step in planned_steps(asked) if asks(asked, step)}


def asks(asked: Experiment, step: Step) -> bool:
    """Whether a step waits for a language model."""
    return step.stage.where_to_run(asked, step) is Where.EVENT_LOOP


def run_apart(tables: SettingsTable, amounts: Amounts) -> Taken:
    """Run the free part of an experiment in a process of its own, whose memory is its alone.

    Raises what it raised, and Stopped where it was ended.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with block_interrupts():
        process = context.Process(target=run_pilot, args=(os.getpid(), tables, amounts, theirs))
        process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        process.join()
        how = (
            "was ended from outside, perhaps for want of memory"
            if (process.exitcode or 0) < 0
            else "ended by the error that it printed above"
        )
        raise Stopped(
            f"a pilot {how}; gloss cost --requests counts requests without pilots"
        ) from None
    finally:
        process.kill() if sys.exc_info()[0] else process.join()
    if isinstance(found, GlossError):
        raise found
    return found


def run_pilot(
    parent: int, tables: SettingsTable, amounts: Amounts, answer: "Connection[object, object]"
) -> None:
    """Run a pilot and send what it took, or the error that it ended by."""
    die_with_parent(parent)
    begun, console.quiet, out.quiet = time.monotonic(), True, True
    try:
        asked = Experiment.of(without_asking(tables))
        run = run_stages(asked, free_stages(asked))
        if run.rows("explain", "explanations"):
            write_run_pages(run)
            write_run_report(run)
        answer.send(taken_by(run, amounts, time.monotonic() - begun))
    except GlossError as problem:
        answer.send(problem)


def taken_by(run: OpenedRun, amounts: Amounts, seconds: float) -> Taken:
    """What this process and those that it started have taken for a run."""
    by_folder = stage_seconds(run)
    folders = {name: str(run.place(name).relative_to(run.folder)) for name in run.keys}
    spent = {name: by_folder[folder] for name, folder in folders.items() if folder in by_folder}
    disk = {name: folder_bytes(run.place(name)) for name in run.keys}
    spent[REST] = max(0.0, seconds - sum(spent.values()))
    disk[REST] = folder_bytes(run.folder) - sum(disk.values())
    own, others = (
        resource.getrusage(whose).ru_maxrss
        for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    unit = 1 if sys.platform == "darwin" else 1024
    corpus = run.corpus
    lengths = np.fromiter(map(len, corpus.vocabulary.strings), float)
    return Taken(
        Amounts(run.activations.tokens, len(run.features), amounts.training),
        spent,
        disk,
        unit * (own + others * run.experiment.run.processes),
        run.activations.counts,
        float(lengths[corpus.tokens].mean()),
    )


def folder_bytes(folder: Path) -> int:
    """The size of all files of a folder; 0 where there is none."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@dataclass(frozen=True)
class Forecast:
    """What a whole experiment will take, its controls included."""

    amounts: Amounts
    at_least: bool  # whether its texts were not counted to their end
    seconds: Mapping[str, float]  # by step
    disk: Mapping[str, float]  # bytes, by step
    shards: float  # bytes that lie beside `collect` until it has ended
    memory: int  # bytes

    @classmethod
    def of(cls, asked: Experiment, small: Taken, large: Taken) -> "Forecast":
        """Carry on what two pilots took: what grew from one to the other goes on growing so."""
        amounts, at_least = whole_amounts(asked, large)
        more = amounts.tokens - large.amounts.tokens
        of_token = float(large.counts.sum()) / max(1, large.amounts.tokens)
        return cls(
            amounts,
            at_least,
            carry_on(asked, amounts, small, large, TIME),
            carry_on(asked, amounts, small, large, DISK),
            min(SHARD_BYTES * of_token * amounts.tokens, part_bytes(asked, len(large.counts))),
            large.memory + BYTES_A_TOKEN * max(0, more) * (1 + asked.run.processes),
        )

    def seconds_until(self, last: str) -> float:
        """How long the steps up to the stage of this name take."""
        stages = list(installed_stages())
        before = stages[: stages.index(last) + 1]
        return sum(
            spent for step, spent in self.seconds.items() if step.partition(".")[0] in before
        )


def part_bytes(asked: Experiment, width: int) -> float:
    """How large the parts of a corpus that is mined become until it is read, at most; without end
    where all is kept.
    """
    mining = asked.collect.mining
    if not mining:
        return float("inf")
    entries = 2 * (mining["strongest"] + STRENGTHS * mining["kept"])
    return 2.0 * ENTRY_BYTES * entries * width


def whole_amounts(asked: Experiment, large: Taken) -> tuple[Amounts, bool]:
    """How large the experiment is, and whether it may be larger, as its texts are too long to
    count.
    """
    most = asked.collect.max_tokens or float("inf")
    texts = open_run_texts(plan_run(asked))
    size = measure_texts(texts, most * large.characters * MARGIN, COUNTING_SECONDS)
    there = size.tokens + size.characters / large.characters
    tokens = round(min(most, there)) if size.whole or most == float("inf") else round(most)
    live = (large.counts * (tokens / large.amounts.tokens) >= asked.run.minimum_activations).sum()
    wanted = asked.run.features
    number = len(wanted) if isinstance(wanted, tuple) else wanted or int(live)
    amounts = Amounts(tokens, min(number, int(live)), trained_tokens(asked))
    return amounts, not size.whole and tokens < most


def carry_on(
    asked: Experiment, amounts: Amounts, small: Taken, large: Taken, of: str
) -> dict[str, float]:
    """What each step will take of TIME or DISK, by what it took in two pilots; the runs of controls
    as much.
    """
    runs = 1 + len(wanted_controls(plan_run(asked)))
    features = asked.controls.features or amounts.features
    treated = 1 + (runs - 1) * min(1.0, features / max(1, amounts.features))
    less, more = getattr(small, of), getattr(large, of)
    found: dict[str, float] = {}
    for step in more:
        first, last = small.amounts.of(step), large.amounts.of(step)
        grown = max(0.0, more[step] - less.get(step, 0.0))
        # pilots of one size differ by chance alone
        growth = grown / (last - first) if last > first else 0.0
        one = max(0.0, more[step] + growth * (amounts.of(step) - last))
        found[step] = one * (treated if by_features(step) else runs)
    return found


def print_forecast(asked: Experiment, forecast: Forecast) -> None:
    """Print what the steps will take, and which of them take as long as others take to answer."""
    amounts = forecast.amounts
    size = f"{amounts.tokens:,} tokens, {amounts.features:,} features"
    table = Printed("step", "time", "disk", title=f"what this machine would take: {size}")
    for step in plan_run(asked).keys:
        if step in forecast.seconds:
            table.add_row(step, clock_time(forecast.seconds[step]), bytes_text(forecast.disk[step]))
        elif step in asking_steps(asked):
            table.add_row(step, "as its answers take", "")
    table.add_row(REST, clock_time(forecast.seconds[REST]), bytes_text(forecast.disk[REST]))
    whole = sum(forecast.seconds.values()), sum(forecast.disk.values())
    table.add_row("all", clock_time(whole[0]), bytes_text(whole[1]), style="bold")
    out.print(table)
    out.print(
        f"Memory at its peak: {bytes_text(forecast.memory)}. Beside the above,"
        f" {bytes_text(forecast.shards)} lie on the disk while it collects.",
        highlight=False,
    )
    if asked.collect.mining:
        out.print(
            "The corpus is mined: what is kept of a feature stops growing, so disk and memory are"
            " at most these.",
            highlight=False,
        )
    if forecast.at_least:
        out.print(
            f"The texts were counted for {COUNTING_SECONDS:.0f} s and go on: all of this is the"
            " least that they take. Set [collect] max_tokens to know.",
            highlight=False,
        )


def bytes_text(size: int | float) -> str:
    """A size for people: 3 KiB, 1.2 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.3g} GiB"
