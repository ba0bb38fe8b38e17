"""Where the real models and labelled texts are that some experiments need, and which no user's
machine has to hold.
"""

import os
from pathlib import Path

from gloss.errors import BadInput
from gloss.models.bundled import SMOLLM2, model_place
from gloss.models.subject import Subject


def found(*parts: str) -> Path | None:
    """A file or folder in the folder of data, `GLOSS_DATA` or the one beside the project; None
    where it is not there.
    """
    folder = Path(os.environ.get("GLOSS_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = folder.joinpath(*parts)
    return path if path.exists() else None


def smollm2() -> Subject | None:
    """SmolLM2-135M-Instruct; None where its package is not installed."""
    try:
        return Subject.load(model_place(SMOLLM2), device="cpu")
    except BadInput:
        return None
