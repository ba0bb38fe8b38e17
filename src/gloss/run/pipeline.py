"""The stages in their order; each runs the shards that are not done and says how far it is."""

import platform
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from itertools import count
from pathlib import Path
from types import MappingProxyType

from rich.markup import escape

from gloss.errors import BadSettings, GlossError, Stopped
from gloss.installed import __version__
from gloss.models.chat_models.account import Capped
from gloss.models.chat_models.batch_session import AwaitsBatch
from gloss.models.model_settings import AUTO
from gloss.pages.single_page import write_report_page
from gloss.run.batch_desk import BatchDesk
from gloss.run.chat_capabilities import require_capabilities
from gloss.run.chat_clients import ChatClient, EndpointClient, NoClient
from gloss.run.control_runs import control_experiment, wanted_controls
from gloss.run.corpus_texts import open_run_texts
from gloss.run.damage import find_damage
from gloss.run.execute.executors import (
    BatchExecutor,
    Executor,
    SerialExecutor,
    ThreadExecutor,
    end_kept_workers,
    keeping_workers,
)
from gloss.run.execute.feature_errors import feature_error_lines
from gloss.run.execute.ranks import ALONE, RankExecutor
from gloss.run.execute.shard_work import log_losses, shard_work
from gloss.run.execute.stage_times import time_stage
from gloss.run.execute.status_file import tell_step, telling_status
from gloss.run.execute.team import NOBODY_ELSE, Team
from gloss.run.experiment import Experiment, RunSettings, executor_method
from gloss.run.judge_doubts import judge_doubts
from gloss.run.keys import result_key
from gloss.run.methods import SettingsMapping
from gloss.run.opened_run import OpenedRun
from gloss.run.plan import RESOLVED
from gloss.run.planning import plan_run, read_run, tables_of
from gloss.run.progress import (
    EVERY_WATCHED,
    console,
    out,
    print_notes,
    progress_bar,
    repeat_in_thread,
)
from gloss.run.remote_run import fetch_results, publish_soon, publishing, put_beside
from gloss.run.reporting.feature_pages import write_run_pages
from gloss.run.reporting.report import REPORT, print_report, write_run_report
from gloss.run.reporting.run_comparison import compare_runs
from gloss.run.reporting.setup import held_out_copies
from gloss.run.stage import Job, Stage, Step, Where, installed_stages, planned_steps, stages_up_to
from gloss.store.atomic import write_bytes, write_json
from gloss.store.compaction import compact_parts, settle_parts
from gloss.store.lock import sole_writer
from gloss.store.progress import Progress
from gloss.store.results import done_shards
from gloss.store.sealed_json import seal_json

COMPARISON = "comparison.html"  # of the runs of one file, beside them
COMPACTED_EVERY = 64  # shards; so few files lie about while a step runs
VERSIONED_PACKAGES = ("numpy", "pyarrow", "torch", "transformers")


def run_each(experiments: Sequence[Experiment], *, wait: bool = False) -> None:
    """Run all of these, then compare those that ended, where there are several.

    Raises as `do_each`.
    """

    def compare(folders: Sequence[Path]) -> None:
        if len(folders) > 1:
            write_and_print_report(folders, folders[0].parent / COMPARISON)

    do_each(experiments, lambda experiment: run_all(experiment, wait=wait), compare)


def do_each(
    experiments: Sequence[Experiment],
    work: Callable[[Experiment], object],
    then: Callable[[Sequence[Path]], object] = len,
) -> None:
    """Do the same with each experiment of a file, then something with the folders of all with which
    it was done.

    What one of several is refused for ends none of the others. It is raised in the end, as Stopped.
    """
    if len(experiments) == 1:
        work(experiments[0])
        return
    failed: dict[Path, GlossError] = {}
    for number, experiment in enumerate(experiments, start=1):
        console.rule(f"{number} of {len(experiments)}: {experiment.run.folder}")
        try:
            work(experiment)
        except GlossError as problem:
            failed[experiment.folder] = problem
            print_notes(f"  failed: {problem}")
    then([each.folder for each in experiments if each.folder not in failed])
    if failed:
        reasons = "; ".join(f"{folder} ({problem})" for folder, problem in failed.items())
        raise Stopped(
            f"{len(failed)} of {len(experiments)} runs failed: {reasons}; the same command tries"
            " them again, and does nothing of the others twice"
        )


def run_all(experiment: Experiment, *, wait: bool = False) -> None:
    """Every stage, the same for the controls, then the pages, the report, and the report's scores
    in the terminal.

    Raises Busy where another process writes into the run's folder; with `wait`, waits for it to
    end.
    """
    begun, team = time.monotonic(), run_team(experiment, "run")
    with (
        team.writing(wait=wait),
        publishing(experiment.folder, team.leads, wait=wait),
        telling_status(experiment.folder, team.leads),
    ):
        run = run_stages(experiment, installed_stages().values())
        for name in wanted_controls(run):
            console.print(f"control: {name.replace('_', ' ')}")
            if team.leads:  # its dictionary is made once, and read by all
                control_experiment(run, name)
            team.follow(f"control {name}")
            run_until(control_experiment(run, name), "score")
        team.leave()
        if not team.leads:
            print_notes(f"done in {time.monotonic() - begun:.0f} s; rank 0 writes the pages")
            return
        index = write_run_pages(run, page_executor(run.experiment.run))
        print_report(write_run_report(run))
        out.print(f"{held_out_copies(run)}", highlight=False)
    print_judge_doubts(run)
    print_notes(*(line for stage in run.keys for line in feature_error_lines(run, stage)))
    console.print(
        f"done in {time.monotonic() - begun:.0f} s; open [bold]{index.resolve().as_uri()}[/]",
        highlight=False,
    )


def run_until(experiment: Experiment, last: str, *, wait: bool = False) -> OpenedRun:
    """The stage with this name and all that it comes after.

    What is done already, by this or a killed run, is left as it is.

    Raises Busy as `run_all` does.
    """
    stages = stages_up_to(last)
    if stages[last].optional and last not in experiment.stages:
        raise BadSettings(f"the experiment has no table [{last}]; add one, empty for the defaults")
    return run_stages(experiment, stages.values(), wait=wait)


def run_stages(experiment: Experiment, stages: Iterable[Stage], *, wait: bool = False) -> OpenedRun:
    """The steps of these stages, one after the other."""
    run = plan_run(experiment)
    if not experiment.collect.merge:
        # refuses what does not exist, or has no end, before anything is loaded or written
        open_run_texts(run)
    if not run.part("collect", 0).is_done:
        check_devices(experiment)
    steps = list(planned_steps(experiment, stages))
    # what was told of other results, before a job was started again, is heard by nobody
    team = run_team(experiment, result_key(steps[-1].name, run.keys))
    with (
        team.writing(wait=wait),
        publishing(run.folder, team.leads, wait=wait),
        telling_status(run.folder, team.leads),
    ):
        if team.leads:
            fetch_results(run)
            delete_damaged(run)
        for step in steps:
            step.stage.check(run, step)
        if team.leads:
            write_resolved(run)
            require_capabilities(run, [step.name for step in steps])
        team.follow("begin")
        with keeping_workers():
            run_in_rounds(run, steps, team)
        team.leave()
    return run


def run_in_rounds(run: OpenedRun, steps: Sequence[Step], team: Team) -> None:
    """The steps, one after the other; those that ask in batches as far as answers are there, round
    after round.

    A step that waits for answers keeps those waiting that read it, and no others.
    """
    asks_in_batches = any(chat.settings.get("batch") for chat in run.experiment.chats.values())
    if asks_in_batches and not team.alone:
        raise BadSettings(
            "batches are asked by one process, and this job has several; run the stages that ask"
            " without it, as the same command does outside of a job, or leave batch out of [chat]"
        )
    desk = BatchDesk(run.folder)
    while steps:
        waiting: list[Step] = []
        names: set[str] = set()
        for step in steps:
            try:
                if names.isdisjoint(each.name for each in Job(run, step).read_steps):
                    run_step(run, step, team, desk)
                    continue
            except AwaitsBatch:
                pass
            waiting.append(step)
            names.add(step.name)
        if waiting:
            desk.send()
        steps = waiting
    desk.close()


def run_team(experiment: Experiment, purpose: str) -> Team:
    """Those who run this experiment together, where its executor is of such a kind."""
    ranks = getattr(run_executor(experiment.run), "ranks", ALONE)
    if ranks.world > 1:
        ranks.take_card()
    return Team(ranks, experiment.folder, purpose)


def check_devices(experiment: Experiment) -> None:
    """Refuse a device that is not there.

    The CPU is, which spares a run that reads no weights the import of torch.
    """
    if experiment.devices - {AUTO, "cpu"}:
        from gloss.run.subject_loading import require_devices

        require_devices(experiment)


def delete_damaged(run: OpenedRun) -> None:
    """Delete results that are not as they were written, and say so.

    Then their stages make them again.
    """
    for found in list(find_damage(run.place(stage) for stage in run.keys)):
        print_notes(
            f"{found.path.relative_to(run.folder)} is damaged ({found.why}); it is made again"
        )
        found.delete()


def write_resolved(run: OpenedRun) -> None:
    """Every setting, seed, version and key beside the results."""
    content = {
        "experiment": run.experiment.tables(),
        "keys": run.keys,
        "tables": tables_of(run.keys),
        "versions": {
            "python": platform.python_version(),
            "gloss": __version__,
            **{name: version(name) for name in VERSIONED_PACKAGES},
        },
    }
    write_bytes(run.folder / RESOLVED, seal_json(content))


def run_step(
    run: OpenedRun, step: Step, team: Team = NOBODY_ELSE, desk: BatchDesk | None = None
) -> None:
    """Do the shards of a step that have no marker, under one bar, and say what came of it.

    Of a team, each does its share of the shards where these can be spread, and the leader the rest.
    Raises Capped, with what is left, where a cap on spending was reached, and AwaitsBatch where it
    waits for answers to a batch.
    """
    stage, where = step.stage, step.stage.where_to_run(run.experiment, step)
    asks = where is Where.EVENT_LOOP
    tell_step(step.name)
    job = Job(run, step, chat_client(run, step.settings, desk) if asks else NoClient())
    executor = step_executor(job)
    spread = isinstance(executor, RankExecutor)
    if not (spread or team.leads):
        team.follow(f"{step.name}-done")
        return
    sizes = stage.sizes(run, step)
    done = done_shards(run.place(step.name))
    left = [shard for shard in range(len(sizes)) if shard not in done]
    if left and where not in (Where.PROCESSES, Where.SERIAL):
        end_kept_workers()  # which would hold memory for nothing
    if stage.unit:
        run_shards(job, sizes, left, team)
    elif left:
        with time_stage(run, step.name) if team.leads else nullcontext():
            stage.work_together(job, team, executor)
    if spread:
        team.say(step.name)
        if not team.leads:
            team.follow(f"{step.name}-done")
            return
        if left:
            team.wait_for_all(step.name)
    stage.finish(job)
    if left:
        settle_parts(run.place(step.name), len(sizes))
    else:  # what a killed run was about to put together
        compact_parts(run.place(step.name), len(sizes))
    publish_soon()
    team.follow(f"{step.name}-done")
    print_notes(*(f"  {line}" for line in feature_error_lines(run, step.name)))
    if asks and (left or stage.unit):
        print_client_usage(job.client)
    print_notes(*(f"  {line}" for line in stage.lines(run, step) if line))


def run_shards(job: Job, sizes: Sequence[int], left: Sequence[int], team: Team) -> None:
    """Do the shards that are left, and show how much of all is done.

    Of a team that shares them, each process shows what all have done. Who leads notes the time, and
    puts parts together.
    """
    run, step, executor = job.run, job.step, step_executor(job)
    total = sum(sizes)
    done = total - sum(sizes[shard] for shard in left)
    shared = bool(left) and not team.alone and isinstance(executor, RankExecutor)
    with (
        progress_bar(step.name, step.stage.unit) as progress,
        time_stage(run, step.name) if left and team.leads else nullcontext(),
        telling_of_all(job, sizes, progress) if shared else nullcontext(),
    ):
        progress(done, total)
        ended = count(1)

        def one_more(shard: int) -> None:
            nonlocal done
            done += sizes[shard]
            if not shared:
                progress(done, total)
            publish_soon()
            if team.leads and next(ended) % COMPACTED_EVERY == 0:
                compact_parts(run.place(step.name), len(sizes))

        try:
            if left:
                with shared_client(job.client), log_losses(job, alone=team.alone):
                    executor.run(shard_work(job), left, one_more)
        except Capped as problem:
            raise Capped(
                problem.reached,
                f"{total - done:,} of {total:,} {step.stage.unit} of {step.name}",
            ) from problem
        if shared:
            team.say(step.name)
            if team.leads:
                team.wait_for_all(step.name)


@contextmanager
def telling_of_all(job: Job, sizes: Sequence[int], progress: Progress) -> Generator[None]:
    """Count, now and then, the shards that are done, whichever process did them."""
    folder = job.run.place(job.step.name)

    def tell() -> None:
        with suppress(GlossError, OSError):  # others write there meanwhile
            progress(sum(sizes[shard] for shard in done_shards(folder)), sum(sizes))

    with repeat_in_thread(EVERY_WATCHED, tell):
        yield
    tell()


def step_executor(job: Job) -> Executor:
    """What runs the shards of a step: the experiment's executor where they need no language model
    of this process, and no weights, unless it says what runs those that do.
    """
    asked = job.run.experiment.run
    where = job.step.stage.where_to_run(job.run.experiment, job.step)
    if where is Where.PROCESSES:
        return run_executor(asked)
    if where is Where.DEVICE and job.step.stage.spreads:
        return getattr(run_executor(asked), "with_weights", SerialExecutor())
    if isinstance(job.client, EndpointClient):
        if job.client.rounds is not None:
            return BatchExecutor()
        at_once = job.client.shards_at_once(asked.features_per_shard)
        return ThreadExecutor(at_once, job.client.cancel)
    return SerialExecutor()


def shared_client(client: ChatClient) -> AbstractContextManager[object]:
    """One session with an endpoint for all shards of a step, where one is asked."""
    return client.shared() if isinstance(client, EndpointClient) else nullcontext()


def page_executor(asked: RunSettings) -> Executor:
    """What writes pages: of ranks, one does."""
    executor = run_executor(asked)
    return executor.alone if isinstance(executor, RankExecutor) else executor


def run_executor(asked: RunSettings) -> Executor:
    """The executor that an experiment names."""
    given = asked.executor
    settings = {"method": given} if isinstance(given, str) else given
    return executor_method(settings, asked.processes)


def print_client_usage(client: ChatClient) -> None:
    """Print what was asked, where somebody was."""
    if not isinstance(client, NoClient):
        print_notes(f"  {client}")


def chat_client(
    run: OpenedRun,
    settings: SettingsMapping = MappingProxyType({}),
    desk: BatchDesk | None = None,
) -> ChatClient:
    """The language model of the experiment that a method asks, with the room that it gives it, by
    batches where it wants that and there is a `desk`; nobody where there is none.
    """
    chat = run.experiment.chat_of(settings)
    return EndpointClient(run, chat, settings, desk) if chat else NoClient()


def write_and_print_report(
    folders: Sequence[Path], out_path: Path | None = None, *, wait: bool = False
) -> None:
    """Write a run's report, print its short sections and say where it is.

    Or the comparison of several runs, a page with a record beside it.
    """
    if len(folders) > 1:
        path = out_path or comparison_path(folders)
        compared = compare_runs(folders)
        print_report(page := compared.page())
        print_notes(*(f"  left out: {each}" for each in compared.left_out))
        write_report_page(path, page)
        write_json(path.with_suffix(".json"), compared.record())
        put_beside(path, path.with_suffix(".json"))
        console.print(f"open [bold]{path.resolve().as_uri()}[/]", highlight=False)
        return
    if out_path:
        raise BadSettings(
            f"--out {out_path} is where the comparison of several runs goes; of one run the report"
            " lies in its folder, so leave it out"
        )
    run = read_run(folders[0])
    with sole_writer(run.folder, wait=wait), publishing(run.folder, wait=wait):
        print_report(write_run_report(run))
        out.print(f"{held_out_copies(run)}", highlight=False)
    print_judge_doubts(run)
    console.print(f"open [bold]{(run.folder / REPORT).resolve().as_uri()}[/]", highlight=False)


def comparison_path(folders: Sequence[Path]) -> Path:
    """Where the page of a comparison lies: with the first run, named after the others."""
    first, *others = (folder.resolve() for folder in folders)
    names = "-".join(other.name for other in others)
    tail = names if len(others) == 1 else f"{len(others)}-{result_key(*map(str, others))}"
    return first / f"beside-{tail}.html"


def print_judge_doubts(run: OpenedRun) -> None:
    """Print what speaks against the run's judges, last, where it is seen."""
    for doubt in judge_doubts(run):
        console.print(f"[bold red]take care:[/] {escape(doubt)}", highlight=False)


def rewrite_pages(folder: Path, *, wait: bool = False) -> None:
    """Write a run's pages again."""
    run = read_run(folder)
    with sole_writer(run.folder, wait=wait), publishing(run.folder, wait=wait):
        index = write_run_pages(run, page_executor(run.experiment.run))
    console.print(f"open [bold]{index.resolve().as_uri()}[/]", highlight=False)
