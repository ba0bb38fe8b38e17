"""Whole runs beside a run, of a random dictionary and of a random subject: what is left of its
scores without training?
"""

from collections.abc import Iterator
from pathlib import Path

from gloss.run.chat_capabilities import CONTROL
from gloss.run.experiment import RANDOM, Experiment, SettingsTable
from gloss.run.keys import result_key
from gloss.run.opened_run import OpenedRun
from gloss.run.plan import recorded_dtype
from gloss.run.sources import reads_neurons
from gloss.run.stages.packing import with_measured_packing
from gloss.run.trained_beside import ALSO
from gloss.store.atomic import write_bytes
from gloss.store.remote import shown_name
from gloss.store.results import Part
from gloss.store.sealed_json import read_sealed_json, seal_json

RANDOM_DICTIONARY, RANDOM_SUBJECT = "random_dictionary", "random_subject"
MARKER = CONTROL  # says which run it is a control of
SAMPLE_TOKENS = 2**15  # on which thresholds are set


def wanted_controls(run: OpenedRun) -> tuple[str, ...]:
    """The controls that an experiment asks for."""
    asked = run.experiment.controls
    return tuple(name for name in (RANDOM_DICTIONARY, RANDOM_SUBJECT) if getattr(asked, name))


def control_folder(run: OpenedRun, name: str) -> Path:
    return run.folder / "controls" / name


def control_experiment(run: OpenedRun, name: str) -> Experiment:
    """The experiment of a control: the run's own, of fewer features, on another dictionary or
    another subject.
    """
    tables = run.experiment.tables()
    tables["run"] |= {
        "folder": shown_name(control_folder(run, name)),
        "features": run.experiment.controls.features,
    }
    tables["controls"] = {}
    tables["collect"]["merge"] = []  # what another dictionary finds there, nobody knows yet
    tables["subject"]["dtype"] = (
        recorded_dtype(run.place("decompose")) or tables["subject"]["dtype"]
    )
    for verb in ("explain", "score"):  # the same judge: what it can bear is known
        tables[verb] = [with_measured_packing(run, verb, settings) for settings in tables[verb]]
    if name == RANDOM_DICTIONARY:
        # by a name that is the same on all machines
        folder = shown_name(make_random_dictionary(run))
        tables["decompose"] = {"dictionary": folder, "name": name}
    else:
        tables["subject"]["weights"] = RANDOM
        tables["decompose"] = random_subject_decompose(run)
    experiment = Experiment.of(tables)
    write_bytes(control_folder(run, name) / MARKER, seal_json({"of": control_identity(run)}))
    return experiment


def control_identity(run: OpenedRun) -> str:
    """Changes with everything that a control shares with its run."""
    return result_key(run.keys, vars(run.experiment.controls))


def started_controls(run: OpenedRun) -> Iterator[tuple[str, Path]]:
    """The controls of this run, with its present settings, that have been begun."""
    for name in wanted_controls(run):
        marker = control_folder(run, name) / MARKER
        if marker.exists() and read_sealed_json(marker)["of"] == control_identity(run):
            yield name, control_folder(run, name)


def random_subject_decompose(run: OpenedRun) -> SettingsTable:
    """How the random subject gets its dictionary: as the run got its own, or trained with the same
    shape where that was given.
    """
    asked = run.experiment.decompose
    if "method" in asked or reads_neurons(run):
        own = {key: value for key, value in asked.items() if key != ALSO}
        return own | {"name": RANDOM_SUBJECT}
    activations = run.activations
    site = activations.manifest["made_from"]["site"]
    return {
        "method": "crosscoder" if "+" in site else "topk",
        "name": RANDOM_SUBJECT,
        "site": site,
        "width": activations.width,
        "k": max(
            1,
            round(activations.manifest["nonzeros"] / activations.counted_tokens),
        ),
        "tokens": run.experiment.controls.training_tokens,
    }


def make_random_dictionary(run: OpenedRun) -> Path:
    """The folder of the random dictionary that is like the run's; made where it is not there."""
    folder = (
        control_folder(run, RANDOM_DICTIONARY)
        / f"dictionary-{result_key(run.keys['collect'], run.experiment.run.seed)}"
    )
    part = Part(folder, 0)
    if not part.is_done or part.changed_files(whole=True):
        from gloss.run.run_dictionary import save_random_dictionary

        save_random_dictionary(run, folder, SAMPLE_TOKENS)
        part.write({}, beside=[file for file in folder.iterdir() if file != part.marker])
    return folder
