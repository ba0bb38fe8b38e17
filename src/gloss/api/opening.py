"""Models, dictionaries, experiments and runs by the names that every other surface takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gloss.api.runs import Run
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject
    from gloss.run.experiment import Experiment


def load_model(
    name: str | Path = "embedded",
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str = "",
) -> "Subject":
    """The language model of a folder, of a GGUF file, of a name on the hub, the embedded one, or
    the subject of a run, by its folder.

    What is left out is "auto", and of a run what its experiment says.

    Raises BadInput where there is none, or where its parts contradict each other.

        >>> model = gloss.load_model()
        >>> model.layers
        4
    """
    from gloss.run.sources import NamedModel

    return NamedModel.of(str(name), device, dtype, adapter).load()


def load_dictionary(name: str | Path = "embedded", site: str = "") -> "Dictionary":
    """The dictionary of a folder in a known format, the embedded one, or that of a run, by its
    folder.

    `site` says where it belongs, as in "resid_post.2", where its files do not. Raises BadInput for
    a folder that holds no dictionary, Mismatch where the folder names another site.

        >>> gloss.load_dictionary().width
        2048
    """
    from gloss.run.sources import NamedDictionary

    return NamedDictionary.of(str(name), site).load()


def open_run(folder: str | Path) -> "Run":
    """The run in a folder, with its features. Nothing is computed and no weights are loaded.

    Raises BadInput where there is none, and Damaged.

        >>> run = gloss.open("runs/demo")
    """
    from gloss.api.runs import Run

    return Run.open(Path(folder).expanduser())


def run_experiment(
    experiment: "str | Path | Mapping[str, Any] | Experiment", *, wait: bool = False
) -> "Run":
    """Run an experiment (its file, its tables, or the object) to its pages, and open it.

    What is done already is not done again. In a notebook one line tells how far it is, and the
    button that interrupts a cell ends it; the same call goes on from there. With `wait`, waits for
    another process that writes into its folder; without, raises Busy. Raises BadSettings and
    BadInput as `gloss run` does.

        >>> run = gloss.run({"run": {"folder": "runs/small", "features": 8}})
    """
    from gloss.api.runs import Run
    from gloss.errors import Stopped
    from gloss.run.experiment import Experiment
    from gloss.run.pipeline import run_all
    from gloss.run.progress import in_notebook, quiet_for_python

    match experiment:
        case Experiment():
            asked = experiment
        case Mapping():
            asked = Experiment.of(experiment)
        case _:
            asked = Experiment.read(Path(experiment).expanduser())
    with quiet_for_python():
        try:
            run_all(asked, wait=wait)
        except KeyboardInterrupt:
            if not in_notebook():
                raise
            raise Stopped("stopped; the same call goes on from here") from None
    return Run.open(asked.folder)
