"""What is asked of `gloss attribute`, checked before anything is loaded."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gloss.attribute.players.model_components import Ablation
from gloss.attribute.players.prompt_parts import PromptUnit, Removal
from gloss.errors import BadSettings
from gloss.models.model_settings import AUTO
from gloss.run.methods import suggestion
from gloss.run.sources import NamedModel


class AttributedValue(StrEnum):
    """What is read after the prompt."""

    LOG_PROBABILITY = "log_probability"  # of the answer, in nats
    LOG_ODDS = "log_odds"  # of the answer
    DIFFERENCE = "difference"  # how much likelier the answer is than the other one, in nats
    KL = "kl"  # KL from the clean prediction, in nats
    ACTIVATION = "activation"  # of a feature at the prompt's last token


COMPONENT_KINDS = ("heads", "mlps", "layers")


@dataclass(frozen=True)
class PlayerSettings:
    """Whose part in the value is asked for: pieces of the prompt, unless one of the others is
    named.
    """

    unit: str = "words"
    removal: str = "remove"  # or `mask`, `infill`; of components `mean`, `zero`, `resample`
    components: str = ""
    features: str = ""  # DICTIONARY@3,17,40 or RUN@3,17,40
    data: str = ""  # a table of masks and values

    def __post_init__(self) -> None:
        if (
            len(
                given := [
                    name for name in ("components", "features", "data") if getattr(self, name)
                ]
            )
            > 1
        ):
            raise BadSettings(
                f"--{given[0]} and --{given[1]} name different players; give one of them"
            )
        require_choice("--unit", self.unit, list(PromptUnit))
        if self.components:
            require_choice("--components", self.components, COMPONENT_KINDS)
        of_parts = bool(self.components or self.features)
        if self.removal != "remove" or not of_parts:
            require_choice("--removal", self.removal, list(Ablation) if of_parts else list(Removal))


@dataclass(frozen=True)
class LoadingSettings:
    """How the model is computed, as in the table [subject] of an experiment."""

    device: str = AUTO
    dtype: str = AUTO
    adapter: str = ""


@dataclass(frozen=True)
class AttributionQuestion:
    """A model, a prompt, and the value whose reasons are wanted."""

    model: str = "embedded"
    prompt: str = ""
    answer: str = ""
    other: str = ""
    feature: str = ""  # DICTIONARY@3 or RUN@3
    base_url: str = ""  # of an endpoint; "" runs the model here
    value: str = ""  # worked out from the others where it is left out
    players: PlayerSettings = field(default_factory=PlayerSettings)
    loading: LoadingSettings = field(default_factory=LoadingSettings)

    def __post_init__(self) -> None:
        if not self.prompt and not self.players.data:
            raise BadSettings(
                'there is nothing to attribute; give --prompt "a text", or --data TABLE'
            )
        if self.value:
            require_choice("--value", self.value, list(AttributedValue))
        if self.kind is AttributedValue.DIFFERENCE and not (self.answer and self.other):
            raise BadSettings("a difference needs --answer and --other")
        if self.kind is AttributedValue.ACTIVATION and not self.feature:
            raise BadSettings("an activation needs --feature DICTIONARY@INDEX")
        if self.base_url and (
            not self.answer
            or self.players.unit == PromptUnit.TOKENS
            or self.players.components
            or self.feature
        ):
            raise BadSettings(
                "an endpoint shows words, sentences or lines and an --answer; the rest needs a"
                " model here"
            )

    @property
    def source(self) -> NamedModel:
        """The model, to be loaded here.

        Raises BadSettings for a device or a type that there is not.
        """
        return NamedModel.of(
            self.model, self.loading.device, self.loading.dtype, self.loading.adapter
        )

    @property
    def kind(self) -> AttributedValue:
        """What is read, as asked for or as the other settings suggest."""
        if self.value:
            return AttributedValue(self.value)
        if self.feature:
            return AttributedValue.ACTIVATION
        return AttributedValue.DIFFERENCE if self.other else AttributedValue.LOG_PROBABILITY


@dataclass(frozen=True)
class AttributionSettings:
    """How the question is answered, and where the outcome is kept."""

    method: str = "auto"
    budget: int | None = None  # masks; each method has its own where it is left out
    order: int | None = None
    folder: Path = Path("runs/attribute")
    seed: int = 0


def require_choice(option: str, given: str, known: tuple[str, ...] | list[str]) -> None:
    """Raises BadSettings for a word that is not among those known."""
    if given not in list(known):
        raise BadSettings(
            f"{option} {given}: there is no such choice{suggestion(given, dict.fromkeys(known))}"
        )
