"""Whole runs beside a run, of a random dictionary and of a random subject: what is left of its scores without training?"""

from collections.abc import Iterator
from pathlib import Path

from gloss.run.capabilities import CONTROL
from gloss.run.experiment import RANDOM, Experiment, Table
from gloss.run.keys import key
from gloss.run.plan import Plan, dtype_taken
from gloss.run.stages.packing import settled
from gloss.store.atomic import write_bytes
from gloss.store.results import Part
from gloss.store.sealed import sealed, unsealed

RANDOM_DICTIONARY, RANDOM_SUBJECT = "random_dictionary", "random_subject"
MARKER = CONTROL  # says which run it is a control of
SAMPLE_TOKENS = 2**15  # on which thresholds are set


def wanted(plan: Plan) -> tuple[str, ...]:
    """The controls that an experiment asks for."""
    asked = plan.experiment.controls
    return tuple(name for name in (RANDOM_DICTIONARY, RANDOM_SUBJECT) if getattr(asked, name))


def folder_of(plan: Plan, name: str) -> Path:
    return plan.folder / "controls" / name


def prepared(plan: Plan, name: str) -> Experiment:
    """The experiment of a control: the run's own, of fewer features, on another dictionary or another subject."""
    tables = plan.experiment.tables()
    tables["run"] |= {"folder": str(folder_of(plan, name)), "features": plan.experiment.controls.features}
    tables["controls"] = {}
    tables["subject"]["dtype"] = dtype_taken(plan.place("decompose")) or tables["subject"]["dtype"]
    for verb in ("explain", "score"):  # the same judge: what it can bear is known
        tables[verb] = [settled(plan, verb, settings) for settings in tables[verb]]
    if name == RANDOM_DICTIONARY:
        tables["decompose"] = {"dictionary": str(random_dictionary(plan)), "name": name}
    else:
        tables["subject"]["weights"] = RANDOM
        tables["decompose"] = trained_anew(plan)
    experiment = Experiment.of(tables)
    write_bytes(folder_of(plan, name) / MARKER, sealed({"of": identity(plan)}))
    return experiment


def identity(plan: Plan) -> str:
    """Changes with everything that a control shares with its run."""
    return key(plan.keys, vars(plan.experiment.controls))


def finished(plan: Plan) -> Iterator[tuple[str, Path]]:
    """The controls of this run, with its present settings, that have been begun."""
    for name in wanted(plan):
        marker = folder_of(plan, name) / MARKER
        if marker.exists() and unsealed(marker)["of"] == identity(plan):
            yield name, folder_of(plan, name)


def trained_anew(plan: Plan) -> Table:
    """How the random subject gets its dictionary: as the run got its own, or trained with the same shape where that was given."""
    asked = plan.experiment.decompose
    if "method" in asked or asked.get("dictionary") == "neurons":
        return asked | {"name": RANDOM_SUBJECT}
    activations = plan.activations
    return {
        "method": "topk",
        "name": RANDOM_SUBJECT,
        "site": activations.manifest["made_from"]["site"],
        "width": activations.width,
        "k": max(1, round(activations.manifest["nonzeros"] / max(1, activations.tokens - len(activations.left_out)))),
        "tokens": plan.experiment.controls.training_tokens,
    }


def random_dictionary(plan: Plan) -> Path:
    """The folder of the random dictionary that is like the run's; made where it is not there."""
    folder = folder_of(plan, RANDOM_DICTIONARY) / f"dictionary-{key(plan.keys['collect'], plan.experiment.run.seed)}"
    part = Part(folder, 0)
    if not part.is_done or part.differing(whole=True):
        from gloss.run.stages.decompose import save_random_like

        save_random_like(plan, folder, SAMPLE_TOKENS)
        part.write({}, beside=[file for file in folder.iterdir() if file != part.marker])
    return folder
