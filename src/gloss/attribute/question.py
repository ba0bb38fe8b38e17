"""What is asked of an attribution, checked before anything is loaded, and the game it means."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from gloss.attribute.game import Game
from gloss.attribute.learners import FineTune, Logistic, Ridge, parse_learner
from gloss.attribute.players.prompt_file import PromptLine, require_prompt_lines
from gloss.attribute.players.prompt_parts import PromptUnit, Removal
from gloss.attribute.values import AttributedValue
from gloss.errors import BadSettings, suggestion

COMPONENT_KINDS = ("heads", "mlps", "layers")
# how components can be ablated; features have no mean activation that is theirs
COMPONENT_REMOVALS = ("mean", "zero", "resample", "patch")
FEATURE_REMOVALS = ("zero", "resample", "patch")
# what each value is read from, beside the prompt
READ_FROM: Mapping[AttributedValue, tuple[str, ...]] = {
    AttributedValue.LOG_PROBABILITY: ("answer",),
    AttributedValue.LOG_ODDS: ("answer",),
    AttributedValue.DIFFERENCE: ("answer", "other"),
    AttributedValue.KL: (),
    AttributedValue.ACTIVATION: ("feature",),
}
USUAL_LEARNER = "logistic"
# settings that only a model in this process reads
HERE_ALONE = (
    *("feature", "components", "features", "device", "dtype", "adapter"),
    *("other_prompts", "prompts"),
)
ANSWER_VALUES = ("log_probability", "log_odds", "difference")  # that an answer is enough for


@dataclass(frozen=True)
class AttributionQuestion:
    """A model, a prompt, the value whose reasons are wanted, and whose part in it is asked for.

    What is left empty is decided by the rest: `settle` says how.
    """

    model: str = "embedded"  # or a folder, a name on the hub, a run, an endpoint's name for it
    prompt: str = ""
    answer: str = ""
    other: str = ""
    feature: str = ""  # DICTIONARY@3 or RUN@3
    base_url: str = ""  # of an endpoint; "" runs the model here
    value: str = ""
    unit: str = ""  # what is removed as a whole from the prompt
    removal: str = ""  # what takes the place of what is removed
    components: str = ""  # parts of the model as players
    features: str = ""  # features of a dictionary as players: DICTIONARY@3,17,40, or of a run
    data: str = ""  # a table of masks and values
    device: str = "auto"
    dtype: str = "auto"
    adapter: str = ""
    seed: int = 0  # of what is drawn to stand in for what is removed
    other_prompts: str = ""  # a file: what a mean is over, and what is resampled from
    prompts: tuple[PromptLine, ...] = ()  # one question about all of them
    examples: str = ""  # a file of training examples
    learner: str = ""  # what is trained on them, with its settings
    groups: int = 0  # clusters of examples that are one player each
    checks: ClassVar[Mapping[str, Callable[[object], None]]] = {"prompts": require_prompt_lines}

    def __post_init__(self) -> None:
        if not self.prompt and not self.data and not self.prompts:
            raise BadSettings(
                'there is nothing to attribute; give --prompt "a text", or --data TABLE'
            )
        kinds = ("components", "features", "data", "examples")
        players = [name for name in kinds if getattr(self, name)]
        if len(players) > 1:
            raise BadSettings(
                f"--{players[0]} and --{players[1]} name different players; give one of them"
            )
        self._require("value", AttributedValue)
        self._require("unit", PromptUnit)
        self._require("components", COMPONENT_KINDS)
        self._require(
            "removal",
            COMPONENT_REMOVALS
            if self.components
            else FEATURE_REMOVALS
            if self.features
            else Removal,
        )
        if self.data:
            self._refuse("a table brings its players and its values", *settings_but("data", "seed"))
            return
        if self.examples:
            self._check_examples()
        else:
            self._refuse("it belongs to --examples FILE", "learner", "groups")
        if self.base_url:
            self._check_endpoint()
        self._check_value()
        if self.components or self.features:
            self._refuse("parts of the model are players, not of the prompt", "unit")
        self._check_prompts()
        self._check_others()
        if self.removal == Removal.FADE and self.unit not in ("", PromptUnit.TOKENS):
            raise BadSettings(f"--unit {self.unit}: only tokens fade; leave it out")

    def _require(self, name: str, known: Iterable[str]) -> None:
        """Raises BadSettings for a word that is not among those known."""
        choices = [str(each) for each in known]
        if (given := getattr(self, name)) and given not in choices:
            said = suggestion(given, dict.fromkeys(choices))
            raise BadSettings(f"--{name} {given}: there is no such choice{said}")

    def _refuse(self, why: str, *names: str) -> None:
        """Raises BadSettings where one of these settings was given, which nothing would read."""
        for name in names:
            if getattr(self, name) not in ("", getattr(AttributionQuestion, name)):
                flag = name.replace("_", "-")
                raise BadSettings(f"--{flag} {getattr(self, name)!r}: {why}; leave it out")

    def _check_value(self) -> None:
        kind, needed = self.kind, READ_FROM[self.kind]
        alone = not self.prompts  # or else each line says which answers are meant
        if kind is AttributedValue.DIFFERENCE and alone and not (self.answer and self.other):
            raise BadSettings("a difference needs --answer and --other")
        if kind is AttributedValue.ACTIVATION and not self.feature:
            raise BadSettings("an activation needs --feature DICTIONARY@INDEX")
        unread = [name for name in ("answer", "other", "feature") if name not in needed]
        self._refuse(f"the value {kind} does not read it", *unread)

    def _check_prompts(self) -> None:
        """What one question about many prompts may say, and what needs many."""
        if not self.prompts:
            if self.unit == PromptUnit.POSITIONS or self.removal == Removal.PATCH:
                given = "--unit positions" if self.unit else "--removal patch"
                raise BadSettings(
                    f"{given} takes what stands in a prompt's corrupted twin; give --prompts FILE"
                    ' with lines such as {"prompt": "…", "corrupted": "…"}'
                )
            return
        self._refuse("--prompts brings the prompts", "prompt", "other_prompts")
        if not is_about_all_prompts(vars(self)):
            raise BadSettings(
                "a question about many prompts needs players that all have; give --components,"
                " --features or --unit positions"
            )
        if self.unit and self.removal not in ("", Removal.PATCH):
            raise BadSettings(f"--removal {self.removal}: positions are patched; leave it out")

    def _check_others(self) -> None:
        if self.prompts:
            return
        if self.removal == Removal.RESAMPLE and not self.other_prompts:
            raise BadSettings(
                "--removal resample takes what other prompts have in the same place; give"
                " --other-prompts FILE with a prompt a line, or choose another removal"
            )
        reads = ("", "mean", "resample") if self.components else ("", "resample")
        if self.removal not in reads:
            self._refuse(f"the removal {self.removal} does not read it", "other_prompts")

    def _check_examples(self) -> None:
        learner = parse_learner(self.learner or USUAL_LEARNER)
        self._refuse(
            "training examples are players, of a learner that runs here",
            *("feature", "base_url", "unit", "removal", "other_prompts", "prompts"),
        )
        if self.groups < 0:
            raise BadSettings(f"--groups is {self.groups}; give how many clusters there shall be")
        if isinstance(learner, FineTune):
            if self.kind not in ANSWER_VALUES:
                raise BadSettings(
                    f"--value {self.value}: of a fine-tuned model {', '.join(ANSWER_VALUES)} are"
                    " read"
                )
            return
        name = (self.learner or USUAL_LEARNER).split()[0]
        if not self.answer:
            raise BadSettings(f"{name} predicts a label; give --answer")
        self._refuse(f"{name} says of each text how far it is the answer", "other", "value")
        if learner.reads == "words":
            self._refuse(
                f"{name} reads words and no model, but for --learner '{name} reads=model'",
                *("model", "device", "dtype", "adapter"),
            )

    def _check_endpoint(self) -> None:
        can = (
            "an endpoint tells how likely an answer is while words, sentences or lines are removed"
        )
        if self.kind not in ANSWER_VALUES:
            given = f"--value {self.value}" if self.value else f"--feature {self.feature}"
            raise BadSettings(f"{can}; for {given} run the model here")
        if not self.answer:
            raise BadSettings(f"{can}; give --answer")
        if self.unit == PromptUnit.TOKENS or self.removal not in ("", Removal.REMOVE):
            raise BadSettings(f"{can}; for tokens and other removals run the model here")
        self._refuse(can, *HERE_ALONE)

    @property
    def kind(self) -> AttributedValue:
        """What is read, as asked for or as the other settings suggest."""
        if self.value:
            return AttributedValue(self.value)
        if self.feature:
            return AttributedValue.ACTIVATION
        other = self.other or any(line.other for line in self.prompts)
        return AttributedValue.DIFFERENCE if other else AttributedValue.LOG_PROBABILITY

    def settle(self, *, slopes: bool = False, seed: int = 0) -> "AttributionQuestion":
        """The same with all that was left open decided, so that equal games are equal questions.

        A method that needs `slopes` gets tokens that fade. The `seed` counts where something is
        drawn. Raises BadSettings where the players have no slopes.
        """
        if self.data:
            return replace(self, model="")  # none is read
        if self.examples:
            return self._settle_examples(slopes, seed)
        if slopes:
            why = "a method that follows slopes needs tokens that fade"
            self._refuse(why, "components", "features", "base_url", "other_prompts", "prompts")
            if self.removal not in ("", Removal.FADE) or self.unit not in ("", PromptUnit.TOKENS):
                raise BadSettings(f"{why}; leave --unit and --removal out")
        fades = slopes or self.removal == Removal.FADE
        parts = bool(self.components or self.features)
        # what misled least, by benchmarks/attribute/removal.py
        usual = Removal.RESAMPLE if self.other_prompts else Removal.REMOVE
        if parts and not (self.features and self.other_prompts):
            usual = "mean" if self.components else "zero"
        if self.unit == PromptUnit.POSITIONS or any(line.corrupted for line in self.prompts):
            usual = Removal.PATCH
        removal = str(Removal.FADE if fades else self.removal or usual)
        return replace(
            self,
            value=self.value if self.base_url else str(self.kind),
            unit=""
            if parts
            else self.unit or str(PromptUnit.TOKENS if fades else PromptUnit.WORDS),
            removal=removal,
            seed=seed if removal == Removal.INFILL else 0,
        )

    def _settle_examples(self, slopes: bool, seed: int) -> "AttributionQuestion":
        given = self.learner or USUAL_LEARNER
        learner = parse_learner(given)
        if slopes and not isinstance(learner, Ridge | Logistic):
            raise BadSettings(
                f"--learner {given}: a method that follows slopes needs a learner that can count"
                " examples in part; give --learner logistic or ridge, or another --method, such as"
                " auto"
            )
        tuned = isinstance(learner, FineTune)
        return replace(
            self,
            learner=given,
            value=str(self.kind) if tuned else "",
            model=self.model if tuned or learner.reads == "model" else "",
            seed=seed if tuned else 0,
        )

    @property
    def players_kind(self) -> str:
        """What the players of a settled question are, for people."""
        if self.data:
            return "columns"
        if self.examples:
            return "groups of examples" if self.groups else "training examples"
        return self.components or ("features" if self.features else self.unit) or "players"


def is_about_all_prompts(asked: Mapping[str, object]) -> bool:
    """Whether these settings of many prompts make one question: players that all prompts have."""
    parts = asked.get("components") or asked.get("features")
    return bool(parts or asked.get("unit") == PromptUnit.POSITIONS)


def settings_but(*names: str) -> list[str]:
    """The names of all settings of a question but these."""
    return [name for name in AttributionQuestion.__dataclass_fields__ if name not in names]


@dataclass(frozen=True)
class NamedGame:
    """A game, what its value is called, and where its players stand in the prompt."""

    game: Game
    value: str
    # stretches of the prompt, and the player that each is
    text: tuple[tuple[str, int | None], ...] = ()
    reading: str = ""  # what becomes of a player that is removed, as in "words are left out"
    notes: tuple[str, ...] = ()  # what must be known to read the outcome rightly, a sentence each
    rows: int = 0  # that were read to check the prompt, before any value was asked for

    @property
    def told(self) -> tuple[str, ...]:
        """What is said beside the outcome, a sentence each."""
        removed = f"What is removed: {self.reading}." if self.reading else ""
        return tuple(one for one in (removed, *self.notes) if one)


def split_feature_name(name: str) -> tuple[str, tuple[int, ...]]:
    """A dictionary's name and features of it, each once, from `DICTIONARY@3,17`.

    Raises BadSettings for anything else.
    """
    source, _, numbers = name.rpartition("@")
    if not source or not all(number.strip().isdecimal() for number in numbers.split(",")):
        raise BadSettings(
            f"{name!r} names no feature; write DICTIONARY@INDEX or RUN@INDEX, for example"
            " embedded@17 or embedded@3,17"
        )
    return source, tuple(dict.fromkeys(int(number) for number in numbers.split(",")))
