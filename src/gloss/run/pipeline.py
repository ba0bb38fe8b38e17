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
from gloss.models.account import Capped
from gloss.models.machine import AUTO
from gloss.run.browsing import write_pages
from gloss.run.capabilities import require
from gloss.run.clock import timed
from gloss.run.comparison import comparison
from gloss.run.controls import prepared, wanted
from gloss.run.damage import damages
from gloss.run.dialogue import Dialogue, Silence
from gloss.run.doubts import doubts_of
from gloss.run.doubts import told as doubts_told
from gloss.run.executor import Executor, Here, Local
from gloss.run.experiment import JUDGE, Experiment
from gloss.run.habits import told as habits_told
from gloss.run.methods import Table, asks
from gloss.run.mishaps import told as mishaps
from gloss.run.plan import RESOLVED, STAGES, Plan, named, plan_of
from gloss.run.progress import bar, console, out, tell
from gloss.run.report import REPORT, print_report, print_section, write_report
from gloss.run.reporting.setup import copied_of
from gloss.run.sources import texts
from gloss.run.stages import packing
from gloss.run.stages.collisions import FindCollisions, write_groups
from gloss.run.stages.embeddings import embed, parts, require_embedder
from gloss.run.stages.explain import explain
from gloss.run.stages.judge import judge
from gloss.run.stages.judge import told as judge_told
from gloss.run.stages.neighbours import FindNeighbours
from gloss.run.stages.sample import sample
from gloss.run.stages.score import score
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer
from gloss.store.results import Part
from gloss.store.sealed import sealed

WANTED = ("intervene", "attribute")  # stages that run only where the experiment has their table
VERSIONED = ("gloss", "numpy", "pyarrow", "torch", "transformers")


def run_all(experiment: Experiment, *, wait: bool = False) -> None:
    """Every stage, the same for the controls, then the pages, the report, and the report's scores in the terminal.

    Raises Busy where another process writes into the run's folder; with `wait`, waits for it to end.
    """
    begun = time.monotonic()
    with sole_writer(experiment.folder, wait=wait):
        plan = run_until(experiment, "collisions")
        for name in wanted(plan):
            console.print(f"control: {name.replace('_', ' ')}")
            run_until(prepared(plan, name), "score")
        index = write_pages(plan)
        print_report(write_report(plan))
        out.print(f"{copied_of(plan)}", highlight=False)
    take_care(plan)
    tell(*(line for stage in plan.keys for line in mishaps(plan, stage)))
    console.print(f"done in {time.monotonic() - begun:.0f} s; open [bold]{index.resolve().as_uri()}[/]", highlight=False)


def run_until(experiment: Experiment, last: str, *, wait: bool = False) -> Plan:
    """The stages up to and with `last`. What is done already, by this or a killed run, is left as it is.

    Raises Busy as `run_all` does.
    """
    if last in WANTED and getattr(experiment, last) is None:
        raise BadSettings(f"the experiment has no table [{last}]; add one, empty for the defaults")
    plan = Plan(experiment)
    texts(plan)  # refuses what does not exist, or has no end, before anything is loaded or written
    if not plan.part("collect", 0).is_done:
        devices(experiment)
    stages = STAGES[: STAGES.index(last) + 1]
    with sole_writer(plan.folder, wait=wait):
        mend(plan)
        if "embeddings" in stages:
            require_embedder(plan)
        write_resolved(plan)
        require(plan, [verb for verb in stages if verb in ("explain", "score")])
        for stage in stages:
            RUNNERS[stage](plan)
    return plan


def devices(experiment: Experiment) -> None:
    """Refuse a device that is not there. The CPU is, which spares a run that reads no weights the import of torch."""
    if {experiment.subject.device, experiment.chat.get("device", AUTO)} - {AUTO, "cpu"}:
        from gloss.run.subjects import require_devices

        require_devices(experiment)


def mend(plan: Plan) -> None:
    """Delete results that are not as they were written, and say so; then their stages make them again."""
    for found in list(damages(plan.place(stage) for stage in plan.keys)):
        tell(f"{found.path.relative_to(plan.folder)} is damaged ({found.why}); it is made again")
        found.delete()


def write_resolved(plan: Plan) -> None:
    """Every setting, seed, version and key beside the results."""
    content = {
        "experiment": plan.experiment.tables(),
        "keys": plan.keys,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONED},
    }  # fmt: skip
    write_bytes(plan.folder / RESOLVED, sealed(content))


def read_models(plan: Plan) -> None:
    """Stages `decompose` and `collect`: the only ones that load weights, and only where something is left to do."""
    if not (plan.part("decompose", 0).is_done and plan.part("collect", 0).is_done):
        from gloss.run.stages.collect import collect_with_models

        with timed(plan, "collect"):
            collect_with_models(plan)


def prepare_dictionary(plan: Plan) -> None:
    if not plan.part("decompose", 0).is_done:
        from gloss.run.stages.decompose import decompose, load_subject

        with timed(plan, "decompose"):
            decompose(plan, load_subject(plan))


def sharded(plan: Plan, title: str, work: Callable[[int], None], part: Callable[[int], Part], executor: Executor) -> None:
    """Run the shards that have no marker, under one bar that counts features."""
    shards = range(plan.shards)
    left = [shard for shard in shards if not part(shard).is_done]
    sizes = len(plan.features)
    done = sizes - sum(len(plan.shard(shard)) for shard in left)
    with bar(title, "features") as progress, timed(plan, title) if left else nullcontext():
        progress(done, sizes)
        finished = iter(left)

        def one_more() -> None:
            nonlocal done
            done += len(plan.shard(next(finished)))
            progress(done, sizes)

        try:
            executor.run(work, left, one_more)
        except Capped as problem:
            raise Capped(problem.reached, f"{sizes - done:,} of {sizes:,} features of {title}") from problem
    tell_mishaps(plan, title)


def tell_mishaps(plan: Plan, stage: str) -> None:
    """Print the errors that features of a stage failed with."""
    tell(*(f"  {line}" for line in mishaps(plan, stage)))


def find_neighbours(plan: Plan) -> None:
    if "neighbours" in plan.keys:
        sharded(plan, "neighbours", FindNeighbours(plan), partial(plan.part, "neighbours"), Here())


def embed_windows(plan: Plan) -> None:
    if "embeddings" not in plan.keys:
        return
    left = not all(part.is_done for part in parts(plan))
    with bar("embeddings", "windows") as progress, timed(plan, "embeddings") if left else nullcontext():
        embed(plan, progress)


def sample_all(plan: Plan) -> None:
    sharded(plan, "sample", partial(sample, plan), partial(plan.part, "sample"), Here())


def is_left(plan: Plan, stage: str) -> bool:
    """Whether the experiment wants this stage and some of it is not done."""
    return stage in plan.keys and not all(plan.part(stage, shard).is_done for shard in range(plan.shards))


def intervene_all(plan: Plan) -> None:
    """Loads weights, in this process alone, and only where the experiment wants effects and some are left to measure."""
    if is_left(plan, "intervene"):
        from gloss.run.stages.intervene import intervene, models

        sharded(plan, "intervene", partial(intervene, plan, models(plan)), partial(plan.part, "intervene"), Here())


def attribute_all(plan: Plan) -> None:
    """Loads weights likewise, where the experiment asks why features fire."""
    if is_left(plan, "attribute"):
        from gloss.run.stages.attribute import attribute
        from gloss.run.stages.intervene import models

        sharded(plan, "attribute", partial(attribute, plan, models(plan)), partial(plan.part, "attribute"), Here())


def by_every_method(plan: Plan, verb: str, work: Callable[[Plan, int, Dialogue, int], None]) -> None:
    """Run a verb's methods one after the other, each over all shards."""
    for number, stage in enumerate(plan.stages(verb)):
        dialogue, executor = partners(plan, verb, getattr(plan.experiment, verb)[number])
        sharded(plan, stage, partial(work, plan, number, dialogue), partial(plan.part, stage), executor)
        told(dialogue)
        lines = (doubts_told(plan, stage), habits_told(plan, stage)) if verb == "score" else ()
        tell(*(f"  {line}" for line in (spared(plan, stage), *lines) if line))


def spared(plan: Plan, stage: str) -> str:
    """What a wanted precision saved, in one line; nothing where none was wanted or all had to be asked."""
    parts = [plan.part(stage, shard) for shard in range(plan.shards)]
    notes = [part.note() for part in parts if part.is_done]
    asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
    every = asked + saved
    return f"{asked:,} requests were enough for the precision, instead of {every:,} ({saved / every:.0%} fewer)" if saved else ""


def told(dialogue: Dialogue) -> None:
    """Print what was asked, where somebody was."""
    if not isinstance(dialogue, Silence):
        tell(f"  {dialogue}")


def partners(plan: Plan, verb: str, settings: Table) -> tuple[Dialogue, Executor]:
    """Who answers a method's questions, and where its shards run: what computes uses processes, what asks waits in one."""
    dialogue = partner(plan, settings) if asks(verb, settings) else Silence()
    return dialogue, Local(plan.experiment.run.processes) if isinstance(dialogue, Silence) else Here()


def partner(plan: Plan, settings: Table = MappingProxyType({})) -> Dialogue:
    """The language model of the experiment, where it names one, with the room that a method gives it."""
    if not plan.experiment.chat:
        return Silence()
    from gloss.run.chatting import Partner

    return Partner(plan, settings)


def find_collisions(plan: Plan) -> None:
    """Compare near features by what explains them; the groups that collisions make come when all shards have been compared."""
    if "collisions" not in plan.keys:
        return
    dialogue = partner(plan) if plan.experiment.collisions.by == JUDGE else Silence()
    sharded(plan, "collisions", FindCollisions(plan, dialogue), partial(plan.part, "collisions"), Here())
    write_groups(plan)
    told(dialogue)


def measure_packings(plan: Plan) -> None:
    """Find how many contexts a request may hold, once for each method whose settings leave that open."""
    for stage in plan.stages("packing"):
        name = stage.partition(".")[2]
        if not plan.part(stage, 0).is_done:
            dialogue, _ = partners(plan, "score", {"method": name})
            with timed(plan, stage):
                packing.measure(plan, name, dialogue)
            told(dialogue)
            tell_mishaps(plan, stage)
        if line := packing.told(plan, name):
            tell(f"  {line}")


def measure_judges(plan: Plan) -> None:
    """Ask about contexts of known truth, once for each method that can be corrected by them."""
    for settings in plan.experiment.score:
        stage = named("judge", settings)
        if stage not in plan.keys:
            continue
        if not plan.part(stage, 0).is_done:
            dialogue, _ = partners(plan, "score", settings)
            with timed(plan, stage):
                judge(plan, settings, dialogue)
            told(dialogue)
            tell_mishaps(plan, stage)
        if plan.part(stage, 0).is_done:
            tell(f"  {judge_told(plan, settings)}")


RUNNERS: dict[str, Callable[[Plan], None]] = {
    "decompose": prepare_dictionary,
    "collect": read_models,
    "neighbours": find_neighbours,
    "embeddings": embed_windows,
    "sample": sample_all,
    "intervene": intervene_all,
    "attribute": attribute_all,
    "packing": measure_packings,
    "explain": partial(by_every_method, verb="explain", work=explain),
    "judge": measure_judges,
    "score": partial(by_every_method, verb="score", work=score),
    "collisions": find_collisions,
}


def report_of(folders: Sequence[Path], *, wait: bool = False) -> None:
    """Write a run's report, print its short sections and say where it is; or print the comparison of several runs."""
    if len(folders) > 1:
        print_section(comparison(folders))
        return
    plan = plan_of(folders[0])
    with sole_writer(plan.folder, wait=wait):
        print_report(write_report(plan))
        out.print(f"{copied_of(plan)}", highlight=False)
    take_care(plan)
    console.print(f"open [bold]{(plan.folder / REPORT).resolve().as_uri()}[/]", highlight=False)


def take_care(plan: Plan) -> None:
    """Print what speaks against the run's judges, last, where it is seen."""
    for doubt in doubts_of(plan):
        console.print(f"[bold red]take care:[/] {escape(doubt)}", highlight=False)


def write_pages_of(folder: Path, *, wait: bool = False) -> None:
    """Write a run's pages again."""
    plan = plan_of(folder)
    with sole_writer(plan.folder, wait=wait):
        index = write_pages(plan)
    console.print(f"open [bold]{index.resolve().as_uri()}[/]", highlight=False)
