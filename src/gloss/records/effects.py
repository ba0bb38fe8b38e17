"""What an edit of a feature does to what the subject says next."""

from dataclasses import dataclass
from enum import StrEnum

from gloss.records.contexts import Split
from gloss.records.features import FeatureId
from gloss.records.scores import Control, Estimate


class EditKind(StrEnum):
    """What an intervention does to a feature; the part that the dictionary does not reconstruct
    stays.
    """

    ADD = "add"  # the strength comes on top of the feature's activation
    SET = "set"  # the strength takes the activation's place
    ABLATE = "ablate"  # the activation becomes 0


@dataclass(frozen=True, slots=True)
class RankedToken:
    """A token and by how much a feature moves it, in nats or logits."""

    token: int
    text: str
    value: float


@dataclass(frozen=True, slots=True)
class Shift:
    """How an edit moves the probability that one token comes next."""

    token: int
    text: str
    change: Estimate  # of the log-probability in nats: the mean over prompts
    clean: float  # mean probability without the edit
    edited: float  # and with it


@dataclass(frozen=True, slots=True)
class Completion:
    """A prompt continued twice by the same random numbers: unedited, and under an edit."""

    prompt: str
    clean: str
    edited: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What an intervention on a feature does to what the subject says next.

    Raises ValueError where no prompt is left to measure the tokens that others chose.

        >>> effect = gloss.steer(model, dictionary, 999, ["def f(", "import"], kl=0.5, new_tokens=2)
        >>> effect.n, effect.risen[0].change.value > 0
        (2, True)
    """

    feature: FeatureId
    edit: EditKind
    strength: float  # in units of the feature's activation; means nothing where the edit is ABLATE
    kl: Estimate  # KL(clean ‖ edited) of the next token in nats: the mean over prompts
    # the KL that the strength was calibrated to; None where the strength was given
    target: float | None
    n: int  # prompts
    # prompts that chose the tokens; the others measured them. 0: all did both, which flatters
    choosing: int
    risen: tuple[Shift, ...]
    fallen: tuple[Shift, ...]
    completions: tuple[Completion, ...] = ()
    control: Control = Control.NONE
    split: Split = Split.HELD_OUT  # that the prompts come from
    passes: int = 0  # that the calibration took
    # tokens, furthest risen first; of a large vocabulary as many at either end, and none between
    ranking: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.choosing < self.n:
            raise ValueError(
                f"{self.feature}: {self.choosing} of {self.n} prompts chose tokens; at least one"
                " must measure them"
            )
