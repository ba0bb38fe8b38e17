"""What learns from training examples, and its settings, read from `NAME` or
`NAME setting=value …` before anything is loaded.
"""

from dataclasses import dataclass, fields
from typing import Any

from gloss.errors import BadSettings, require_at_least, suggestion

READS = ("words", "model")  # what stands for a text: its words, or the model's hidden state
WEIGHTS = ("all", "last_layer")  # what fine-tuning changes


@dataclass(frozen=True)
class Reader:
    """A classical learner, fitted exactly to vectors that stand for texts."""

    reads: str = "words"

    def __post_init__(self) -> None:
        require_choice("reads", self.reads, READS)


@dataclass(frozen=True)
class Penalised(Reader):
    """A linear learner; the penalty is on its squared weights, whatever is kept."""

    penalty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("penalty", self.penalty)


@dataclass(frozen=True)
class Ridge(Penalised):
    """Ridge regression: labels are numbers."""


@dataclass(frozen=True)
class Logistic(Penalised):
    """Logistic regression of the answer against all other labels."""


@dataclass(frozen=True)
class Neighbours(Reader):
    """The k nearest kept examples vote."""

    k: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, self, "k")


@dataclass(frozen=True)
class FineTune:
    """The model itself is trained: AdamW without decay, in an order that is drawn."""

    epochs: int = 3
    rate: float = 1e-3
    batch: int = 16  # texts in a step
    weights: str = "all"

    def __post_init__(self) -> None:
        require_at_least(1, self, "epochs", "batch")
        require_positive("rate", self.rate)
        require_choice("weights", self.weights, WEIGHTS)


Learner = Ridge | Logistic | Neighbours | FineTune
LEARNERS: dict[str, type[Learner]] = {
    "ridge": Ridge,
    "logistic": Logistic,
    "neighbours": Neighbours,
    "fine_tune": FineTune,
}


def parse_learner(given: str) -> Learner:
    """The learner that `fine_tune epochs=2` names. Raises BadSettings for anything else."""
    name, *settings = given.split() or [""]
    if name not in LEARNERS:
        raise BadSettings(f"--learner {name}: there is no such learner{suggestion(name, LEARNERS)}")
    kind = LEARNERS[name]
    known: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    chosen: dict[str, Any] = {}
    for each in settings:
        setting, equals, value = each.partition("=")
        if setting not in known or not equals:
            raise BadSettings(
                f"--learner {given!r}: {each!r} sets nothing of {name}; write one or more of"
                f" {', '.join(f'{one}={default}' for one, default in known.items())}"
            )
        try:
            chosen[setting] = type(known[setting])(value)
        except ValueError as problem:
            raise BadSettings(
                f"--learner {given!r}: {setting} is {value!r}; give a number, such as"
                f" {known[setting]}"
            ) from problem
    return kind(**chosen)


def require_choice(name: str, given: str, choices: tuple[str, ...]) -> None:
    """Raises BadSettings for what is none of these."""
    if given not in choices:
        raise BadSettings(f"{name} is {given!r}; give {' or '.join(choices)}")


def require_positive(name: str, given: float) -> None:
    """Raises BadSettings for 0, less, infinity, and what is not a number."""
    if not 0 < given < float("inf"):
        raise BadSettings(f"{name} is {given:g}; give a number above 0")
