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
    """Load a language model: a folder, a GGUF file, a name on the hub, the subject of a run by its
    folder, or `"embedded"`.

    `device` is `"auto"` (a card where there is one), `"cpu"`, `"cuda"` or `"cuda:1"`; `dtype` is
    `"auto"` (on a card as stored, on a CPU float32), `"float32"`, `"bfloat16"` or `"float16"`;
    `adapter` is the folder of a PEFT adapter that is added to the weights. What is left out is, of
    a run, what its experiment says. Anything that looks like a path is never looked for on the hub.
    Raises BadInput where there is no model, or where its parts contradict each other, and
    BadSettings for a device that is not there.

        >>> model = gloss.load_model("embedded")
        >>> model.layers
        4
    """
    from gloss.run.sources import NamedModel

    return NamedModel.of(str(name), device, dtype, adapter).load()


def load_dictionary(name: str | Path = "embedded", site: str = "") -> "Dictionary":
    """Load a dictionary of features: a folder or file in a known format, a published one by its
    name, that of a run by its folder, or `"embedded"`.

    Published names are `hf://owner/repository/path@revision`, and `release/id` of SAELens'
    registry. `site` says where the dictionary belongs, as in `"resid_post.2"`, where its files do
    not. Raises BadInput for a place that holds no dictionary, and Mismatch where its files name
    another site.

        >>> dictionary = gloss.load_dictionary("embedded")
        >>> dictionary.width, str(dictionary.reads)
        (2048, 'resid_post.2')
    """
    from gloss.run.sources import NamedDictionary

    return NamedDictionary.of(str(name), site).load()


def open_run(folder: str | Path) -> "Run":
    """Open the run in a folder. Nothing is computed and no weights are loaded.

    Of a run at a URL, as `s3://bucket/mine`, what it has made is brought to this machine first.
    Raises BadInput where there is no run, and Damaged where a file of it is not as it was written.

        >>> run = gloss.open("runs/demo")
        >>> run
        <gloss run 'runs/demo': ... features of ...>
    """
    from gloss.api.runs import Run
    from gloss.store.remote import local_folder

    return Run.open(local_folder(folder).expanduser())


def run_experiment(
    experiment: "str | Path | Mapping[str, Any] | Experiment", *, wait: bool = False
) -> "Run":
    """Run an experiment to its pages, and open it.

    Takes the path of a TOML file, its tables as a dictionary, or an `Experiment`. What is done
    already is not done again. In a notebook one line tells how far it is, and the button that
    interrupts a cell ends it; the same call goes on from there. With `wait`, waits for another
    process that writes into the folder; without, raises Busy. Raises BadSettings for a setting that
    does not exist, BadInput for texts and models that cannot be read, and Unreachable for an
    endpoint that does not answer.

        >>> gloss.run("experiment.toml")  # done already, so it is only opened
        <gloss run 'runs/demo': ... features of ...>
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
