"""The stages in their order; each runs the shards that are not done and says how far it is."""

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from rich.markup import escape

from gloss.errors import BadSettings
from gloss.installed import __version__
from gloss.models.chat_models.account import Capped
from gloss.models.model_settings import AUTO
from gloss.run.chat_capabilities import require_capabilities
from gloss.run.chat_clients import ChatClient, EndpointClient, NoClient
from gloss.run.control_runs import control_experiment, wanted_controls
from gloss.run.corpus_texts import open_run_texts
from gloss.run.damage import find_damage
from gloss.run.execute.executors import Executor, ProcessExecutor, SerialExecutor
from gloss.run.execute.feature_errors import feature_error_lines
from gloss.run.execute.stage_times import time_stage
from gloss.run.experiment import JUDGE, Experiment
from gloss.run.judge_doubts import judge_doubts, position_bias_line, yes_share_line
from gloss.run.methods import SettingsMapping, method_asks
from gloss.run.plan import RESOLVED, STAGES, Plan, load_plan, stage_name
from gloss.run.progress import console, in_notebook, out, print_notes, progress_bar
from gloss.run.reporting.feature_pages import write_run_pages
from gloss.run.reporting.report import REPORT, print_report, print_section, write_run_report
from gloss.run.reporting.run_comparison import compare_runs
from gloss.run.reporting.setup import held_out_copies
from gloss.run.sources import dictionary_line
from gloss.run.stages import packing
from gloss.run.stages.collisions import CollisionFinder, write_collision_groups
from gloss.run.stages.embeddings import embed_windows_by_part, embedding_parts, require_embedder
from gloss.run.stages.explain import explain_shard
from gloss.run.stages.judge import judge_errors_line, measure_judge
from gloss.run.stages.neighbours import NeighbourFinder
from gloss.run.stages.sample import sample_shard
from gloss.run.stages.score import score_shard
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer
from gloss.store.results import Part
from gloss.store.schemas import TABLES_FORMAT
from gloss.store.sealed_json import seal_json

# stages that run only where the experiment has their table
OPTIONAL_STAGES = ("intervene", "attribute")
VERSIONED_PACKAGES = ("numpy", "pyarrow", "torch", "transformers")


def run_all(experiment: Experiment, *, wait: bool = False) -> None:
    """Every stage, the same for the controls, then the pages, the report, and the report's scores
    in the terminal.

    Raises Busy where another process writes into the run's folder; with `wait`, waits for it to
    end.
    """
    begun = time.monotonic()
    with sole_writer(experiment.folder, wait=wait):
        plan = run_until(experiment, "collisions")
        for name in wanted_controls(plan):
            console.print(f"control: {name.replace('_', ' ')}")
            run_until(control_experiment(plan, name), "score")
        index = write_run_pages(plan)
        print_report(write_run_report(plan))
        out.print(f"{held_out_copies(plan)}", highlight=False)
    print_judge_doubts(plan)
    print_notes(*(line for stage in plan.keys for line in feature_error_lines(plan, stage)))
    console.print(
        f"done in {time.monotonic() - begun:.0f} s; open [bold]{index.resolve().as_uri()}[/]",
        highlight=False,
    )


def run_until(experiment: Experiment, last: str, *, wait: bool = False) -> Plan:
    """The stages up to and with `last`.

    What is done already, by this or a killed run, is left as it is.

    Raises Busy as `run_all` does.
    """
    if last in OPTIONAL_STAGES and getattr(experiment, last) is None:
        raise BadSettings(f"the experiment has no table [{last}]; add one, empty for the defaults")
    plan = Plan(experiment)
    # refuses what does not exist, or has no end, before anything is loaded or written
    open_run_texts(plan)
    if not plan.part("collect", 0).is_done:
        check_devices(experiment)
    stages = STAGES[: STAGES.index(last) + 1]
    with sole_writer(plan.folder, wait=wait):
        delete_damaged(plan)
        if "embeddings" in stages:
            require_embedder(plan)
        write_resolved(plan)
        require_capabilities(plan, [verb for verb in stages if verb in ("explain", "score")])
        for stage in stages:
            RUNNERS[stage](plan)
    return plan


def check_devices(experiment: Experiment) -> None:
    """Refuse a device that is not there.

    The CPU is, which spares a run that reads no weights the import of torch.
    """
    if {experiment.subject.device, experiment.chat.get("device", AUTO)} - {AUTO, "cpu"}:
        from gloss.run.subject_loading import require_devices

        require_devices(experiment)


def delete_damaged(plan: Plan) -> None:
    """Delete results that are not as they were written, and say so.

    Then their stages make them again.
    """
    for found in list(find_damage(plan.place(stage) for stage in plan.keys)):
        print_notes(
            f"{found.path.relative_to(plan.folder)} is damaged ({found.why}); it is made again"
        )
        found.delete()


def write_resolved(plan: Plan) -> None:
    """Every setting, seed, version and key beside the results."""
    content = {
        "experiment": plan.experiment.tables(),
        "keys": plan.keys,
        "tables": TABLES_FORMAT,
        "versions": {
            "python": platform.python_version(),
            "gloss": __version__,
            **{name: version(name) for name in VERSIONED_PACKAGES},
        },
    }
    write_bytes(plan.folder / RESOLVED, seal_json(content))


def run_collect_stage(plan: Plan) -> None:
    """Stages `decompose` and `collect`: the only ones that load weights, and only where something
    is left to do.
    """
    if not (plan.part("decompose", 0).is_done and plan.part("collect", 0).is_done):
        from gloss.run.stages.collect import collect_activations

        with time_stage(plan, "collect"):
            collect_activations(plan)


def run_decompose_stage(plan: Plan) -> None:
    if not plan.part("decompose", 0).is_done:
        from gloss.run.stages.decompose import load_or_train_dictionary, load_run_subject

        with time_stage(plan, "decompose"):
            load_or_train_dictionary(plan, load_run_subject(plan))
        # a notebook travels, so that it names no folder of one machine; `run.dictionary` is there
        if not in_notebook():
            print_notes(f"  {dictionary_line(plan)}")


def run_shards(
    plan: Plan,
    title: str,
    work: Callable[[int], None],
    part: Callable[[int], Part],
    executor: Executor,
) -> None:
    """Run the shards that have no marker, under one bar that counts features."""
    shards = range(plan.shards)
    left = [shard for shard in shards if not part(shard).is_done]
    sizes = len(plan.features)
    done = sizes - sum(len(plan.shard(shard)) for shard in left)
    with (
        progress_bar(title, "features") as progress,
        time_stage(plan, title) if left else nullcontext(),
    ):
        progress(done, sizes)
        finished = iter(left)

        def one_more() -> None:
            nonlocal done
            done += len(plan.shard(next(finished)))
            progress(done, sizes)

        try:
            executor.run(work, left, one_more)
        except Capped as problem:
            raise Capped(
                problem.reached, f"{sizes - done:,} of {sizes:,} features of {title}"
            ) from problem
    print_feature_errors(plan, title)


def print_feature_errors(plan: Plan, stage: str) -> None:
    """Print the errors that features of a stage failed with."""
    print_notes(*(f"  {line}" for line in feature_error_lines(plan, stage)))


def run_neighbours_stage(plan: Plan) -> None:
    if "neighbours" in plan.keys:
        run_shards(
            plan,
            "neighbours",
            NeighbourFinder(plan),
            partial(plan.part, "neighbours"),
            SerialExecutor(),
        )


def run_embeddings_stage(plan: Plan) -> None:
    if "embeddings" not in plan.keys:
        return
    left = not all(part.is_done for part in embedding_parts(plan))
    with (
        progress_bar("embeddings", "windows") as progress,
        time_stage(plan, "embeddings") if left else nullcontext(),
    ):
        embed_windows_by_part(plan, progress)


def run_sample_stage(plan: Plan) -> None:
    run_shards(
        plan, "sample", partial(sample_shard, plan), partial(plan.part, "sample"), SerialExecutor()
    )


def has_unfinished_shards(plan: Plan, stage: str) -> bool:
    """Whether the experiment wants this stage and some of it is not done."""
    return stage in plan.keys and not all(
        plan.part(stage, shard).is_done for shard in range(plan.shards)
    )


def run_intervene_stage(plan: Plan) -> None:
    """Loads weights, in this process alone, and only where the experiment wants effects and some
    are left to measure.
    """
    if has_unfinished_shards(plan, "intervene"):
        from gloss.run.stages.intervene import intervene_shard, load_subject_and_dictionary

        run_shards(
            plan,
            "intervene",
            partial(intervene_shard, plan, load_subject_and_dictionary(plan)),
            partial(plan.part, "intervene"),
            SerialExecutor(),
        )


def run_attribute_stage(plan: Plan) -> None:
    """Loads weights likewise, where the experiment asks why features fire."""
    if has_unfinished_shards(plan, "attribute"):
        from gloss.run.stages.attribute import attribute_shard
        from gloss.run.stages.intervene import load_subject_and_dictionary

        run_shards(
            plan,
            "attribute",
            partial(attribute_shard, plan, load_subject_and_dictionary(plan)),
            partial(plan.part, "attribute"),
            SerialExecutor(),
        )


def run_method_stages(
    plan: Plan, verb: str, work: Callable[[Plan, int, ChatClient, int], None]
) -> None:
    """Run a verb's methods one after the other, each over all shards."""
    for number, stage in enumerate(plan.stages(verb)):
        client, executor = client_and_executor(plan, verb, getattr(plan.experiment, verb)[number])
        run_shards(
            plan, stage, partial(work, plan, number, client), partial(plan.part, stage), executor
        )
        print_client_usage(client)
        lines = [spared_requests_line(plan, stage)]
        if verb == "score":
            lines += [yes_share_line(plan, stage), position_bias_line(plan, stage)]
        print_notes(*(f"  {line}" for line in lines if line))


def spared_requests_line(plan: Plan, stage: str) -> str:
    """What a wanted precision saved, in one line.

    Nothing where none was wanted or all had to be asked.
    """
    parts = [plan.part(stage, shard) for shard in range(plan.shards)]
    notes = [part.note() for part in parts if part.is_done]
    asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
    every = asked + saved
    return (
        f"{asked:,} requests were enough for the precision, instead of {every:,}"
        f" ({saved / every:.0%} fewer)"
        if saved
        else ""
    )


def print_client_usage(client: ChatClient) -> None:
    """Print what was asked, where somebody was."""
    if not isinstance(client, NoClient):
        print_notes(f"  {client}")


def client_and_executor(
    plan: Plan, verb: str, settings: SettingsMapping
) -> tuple[ChatClient, Executor]:
    """Who answers a method's questions, and where its shards run: what computes uses processes,
    what asks waits in one.
    """
    client = chat_client(plan, settings) if method_asks(verb, settings) else NoClient()
    return client, (
        ProcessExecutor(plan.experiment.run.processes)
        if isinstance(client, NoClient)
        else SerialExecutor()
    )


def chat_client(plan: Plan, settings: SettingsMapping = MappingProxyType({})) -> ChatClient:
    """The language model of the experiment, where it names one, with the room that a method gives
    it.
    """
    if not plan.experiment.chat:
        return NoClient()
    return EndpointClient(plan, settings)


def run_collisions_stage(plan: Plan) -> None:
    """Compare near features by what explains them.

    The groups that collisions make come when all shards have been compared.
    """
    if "collisions" not in plan.keys:
        return
    client = chat_client(plan) if plan.experiment.collisions.by == JUDGE else NoClient()
    run_shards(
        plan,
        "collisions",
        CollisionFinder(plan, client),
        partial(plan.part, "collisions"),
        SerialExecutor(),
    )
    write_collision_groups(plan)
    print_client_usage(client)


def run_packing_stage(plan: Plan) -> None:
    """Find how many contexts a request may hold, once for each method whose settings leave that
    open.
    """
    for stage in plan.stages("packing"):
        name = stage.partition(".")[2]
        if not plan.part(stage, 0).is_done:
            client, _ = client_and_executor(plan, "score", {"method": name})
            with time_stage(plan, stage):
                packing.measure_packing(plan, name, client)
            print_client_usage(client)
            print_feature_errors(plan, stage)
        if line := packing.packing_line(plan, name):
            print_notes(f"  {line}")


def run_judge_stage(plan: Plan) -> None:
    """Ask about contexts of known truth, once for each method that can be corrected by them."""
    for settings in plan.experiment.score:
        stage = stage_name("judge", settings)
        if stage not in plan.keys:
            continue
        if not plan.part(stage, 0).is_done:
            client, _ = client_and_executor(plan, "score", settings)
            with time_stage(plan, stage):
                measure_judge(plan, settings, client)
            print_client_usage(client)
            print_feature_errors(plan, stage)
        if plan.part(stage, 0).is_done:
            print_notes(f"  {judge_errors_line(plan, settings)}")


RUNNERS: dict[str, Callable[[Plan], None]] = {
    "decompose": run_decompose_stage,
    "collect": run_collect_stage,
    "neighbours": run_neighbours_stage,
    "embeddings": run_embeddings_stage,
    "sample": run_sample_stage,
    "intervene": run_intervene_stage,
    "attribute": run_attribute_stage,
    "packing": run_packing_stage,
    "explain": partial(run_method_stages, verb="explain", work=explain_shard),
    "judge": run_judge_stage,
    "score": partial(run_method_stages, verb="score", work=score_shard),
    "collisions": run_collisions_stage,
}


def write_and_print_report(folders: Sequence[Path], *, wait: bool = False) -> None:
    """Write a run's report, print its short sections and say where it is.

    Or print the comparison of several runs.
    """
    if len(folders) > 1:
        print_section(compare_runs(folders))
        return
    plan = load_plan(folders[0])
    with sole_writer(plan.folder, wait=wait):
        print_report(write_run_report(plan))
        out.print(f"{held_out_copies(plan)}", highlight=False)
    print_judge_doubts(plan)
    console.print(f"open [bold]{(plan.folder / REPORT).resolve().as_uri()}[/]", highlight=False)


def print_judge_doubts(plan: Plan) -> None:
    """Print what speaks against the run's judges, last, where it is seen."""
    for doubt in judge_doubts(plan):
        console.print(f"[bold red]take care:[/] {escape(doubt)}", highlight=False)


def rewrite_pages(folder: Path, *, wait: bool = False) -> None:
    """Write a run's pages again."""
    plan = load_plan(folder)
    with sole_writer(plan.folder, wait=wait):
        index = write_run_pages(plan)
    console.print(f"open [bold]{index.resolve().as_uri()}[/]", highlight=False)
