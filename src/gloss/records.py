"""The nouns that stages hand to each other: frozen, checked when made, free of torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

NOBODY = "nobody"  # who explains a feature whose score needs no explanation
PADDING = -1  # the token of a position that lies outside the document


class Split(StrEnum):
    """The part of the corpus that a document and its near copies belong to, decided by a hash before anything is sampled."""

    SHOWN = "shown"
    HELD_OUT = "held_out"


class Negative(IntEnum):
    """How a silent context was found, kept where a firing one has its quantile. Only random ones come as they do in text."""

    RANDOM = -1
    SAME_TOKEN = -2  # it holds a token at which the feature often fires
    NEIGHBOURS = -3  # a feature fires in it whose direction lies near
    SIBLINGS = -4  # such a feature fires in it, at a token at which this one fires elsewhere
    SIMILAR = -5  # it says much the same as a context in which the feature fires


class Reason(StrEnum):
    """Why something has no value. A failure is a state with a reason, never a number or a substitute."""

    TOO_FEW_EXAMPLES = "too_few_examples"
    NO_RULE_FOUND = "no_rule_found"
    UNPARSABLE = "unparsable"
    REFUSED = "refused"
    REQUEST_ERROR = "request_error"
    NOT_APPLICABLE = "not_applicable"
    UNREACHABLE = "unreachable"
    NO_EFFECT = "no_effect"
    ERROR = "error"  # an exception, of which the traceback is in the run's log
    REPEATED = "repeated"  # a text that was written before, or that quotes what it was to be written from


class Control(StrEnum):
    """What an explanation or an edit was exchanged for; a sound score falls to chance under every control."""

    NONE = "none"
    RANDOM_EXPLANATION = "random_explanation"  # the explanation of another feature, drawn at random
    SHUFFLED_EXPLANATION = "shuffled_explanation"  # a permutation: each explanation serves exactly one other feature
    RANDOM_DIRECTION = "random_direction"  # an edit along a random direction, at the same divergence


class Deed(StrEnum):
    """What an intervention does to a feature; the dictionary's error is kept."""

    ADD = "add"  # the strength comes on top of the feature's activation
    SET = "set"  # the strength takes the activation's place
    ABLATE = "ablate"  # the activation becomes 0


@dataclass(frozen=True, slots=True, order=True)
class FeatureId:
    """One feature: the dictionary's name in the run, and the feature's index in it."""

    dictionary: str
    index: int

    def __str__(self) -> str:
        return f"{self.dictionary}/{self.index}"


@dataclass(frozen=True, slots=True)
class FeatureActivations:
    """Every place where one feature is active: sorted global token indices, and its value there, never 0."""

    positions: Int64[ndarray, " nonzero"]
    values: Float32[ndarray, " nonzero"]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A feature that is near another, how near, and where it fires."""

    feature: FeatureId
    closeness: float  # the cosine of their directions, or the Jaccard index of the tokens at which they fire
    activations: FeatureActivations


@dataclass(frozen=True, slots=True)
class Contexts:
    """Windows of the corpus with one feature's true activation at every position.

    A window never leaves its document: positions past the document's edge hold the token PADDING and activation 0. At a token
    that is left out nobody knows whether the feature fires: it holds 0, and counts neither as firing nor as silent.
    """

    starts: Int64[ndarray, " context"]  # global index of the first position; before the document's first token if padded in front
    documents: Int64[ndarray, " context"]  # number of the document in the corpus
    quantiles: Int64[ndarray, " context"]  # 0 holds the strongest; a Negative where silent
    tokens: Int32[ndarray, "context position"]
    activations: Float32[ndarray, "context position"]
    places: Int64[ndarray, " context"] | None = None  # of the first position in its sequence, from 0; negative if padded in front
    edges: ndarray | None = None  # (context, 2): bytes outside that complete the first and the last character, where they are cut
    groups: Int64[ndarray, " context"] | None = None  # first document of the document's group of near copies; None: itself
    left_out: Bool[ndarray, "context position"] | None = None  # tokens where nothing is stored; None: none is

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: "ndarray | slice") -> "Contexts":
        """Those contexts alone, in the order of `rows`."""
        columns: list[Any] = [getattr(self, each.name) for each in fields(self)]
        chosen: list[Any] = [None if each is None else each[rows] for each in columns]
        return Contexts(*chosen)

    @property
    def counted(self) -> Bool[ndarray, "context position"]:
        """Whether a token stands at each position that either fires or is silent: no padding, none that is left out."""
        there = self.tokens != PADDING
        return there if self.left_out is None else there & ~self.left_out

    @property
    def units(self) -> Int64[ndarray, " context"]:
        """What each context is split by: its group of near copies."""
        return self.documents if self.groups is None else self.groups

    @property
    def maxima(self) -> Float32[ndarray, " context"]:
        """Each context's strongest activation."""
        return self.activations.max(axis=1, initial=0.0)

    def spaced(self, number: int) -> "Contexts":
        """At most so many of them, evenly spaced, in their order."""
        return self[np.unique(np.linspace(0, len(self) - 1, min(number, len(self))).astype(np.int64))]

    @staticmethod
    def empty(width: int) -> "Contexts":
        """No contexts, of `width` positions each."""
        none = np.empty(0, np.int64)
        return Contexts(none, none, none, np.empty((0, width), np.int32), np.empty((0, width), np.float32))


@dataclass(frozen=True, slots=True)
class Examples:
    """What shows one feature. Shown and held-out contexts never share a document or its near copy; the record refuses it."""

    feature: FeatureId
    shown: Contexts  # where it fires, in documents of the shown split: an explainer may see these
    held_out: Contexts  # where it fires, in documents of the held-out split: scorers use these
    silent_shown: Contexts  # where it is silent, in the shown split
    silent_held_out: Contexts  # where it is silent, in the held-out split
    strongest: float  # the feature's largest activation in the shown split
    share_shown: float  # of the shown split's windows, the share in which it fires: turns samples back into true rates
    share_held_out: float  # the same of the held-out split
    output_tokens: tuple[str, ...] = ()  # whose logits the feature raises further than random directions do, where known
    favourites: tuple[int, ...] = ()  # the tokens at which it fires most often in the shown split
    share_near: float = math.nan  # of the shown split's silent windows, the share that hold a favourite: weighs near misses
    offsets: tuple[int, ...] = ()  # of the tokens that drive it at its peaks (0 the peak, -1 the one before), weightiest first
    effects: "tuple[Effect, ...]" = ()  # of interventions after shown contexts; for explainers that say `reads_effects = True`

    def for_explainer(self) -> "Examples":
        """The same without anything that is held out."""
        none = Contexts.empty(self.held_out.tokens.shape[1])
        effects = tuple(effect for effect in self.effects if effect.split is Split.SHOWN)
        return replace(self, held_out=none, silent_held_out=none, share_held_out=math.nan, effects=effects)

    def __post_init__(self) -> None:
        shown = np.union1d(self.shown.units, self.silent_shown.units)
        held_out = np.union1d(self.held_out.units, self.silent_held_out.units)
        if len(shared := np.intersect1d(shown, held_out)):
            raise ValueError(
                f"{self.feature}: documents {shared[:5].tolist()}, or near copies of them, are both shown and held out; "
                "split by group first"
            )
        for name in ("silent_shown", "silent_held_out"):
            if (getattr(self, name).activations != 0).any():
                raise ValueError(f"{self.feature}: a context of {name} holds an activation; negatives must be silent")


@dataclass(frozen=True, slots=True)
class Failure:
    """A feature that a stage could not treat, and why."""

    feature: FeatureId
    stage: str
    reason: Reason
    detail: str
    explained_by: str = ""  # the explainer's method, where an explanation could not be scored


def is_text(value: object) -> bool:
    """Whether a value is text, whatever its annotation says."""
    return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a feature means, in words, and as an executable rule where there is one."""

    feature: FeatureId
    text: str
    method: str
    rule: str | None = None  # source text in the rule language
    prompt_hash: str | None = None  # of the prompt file that asked for it

    def __post_init__(self) -> None:
        if not is_text(self.text) or not (self.rule is None or is_text(self.rule)):  # strangers make explanations, too
            raise TypeError(f"an explanation is text, with a rule as text or none, got {self.text!r} and {self.rule!r}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge, or the subject itself, said of one context. A missing answer keeps its place, with its reason."""

    context: int  # global index of the context's first position; of a text that is not the corpus's, its number
    truth: bool
    answer: bool | None
    reason: Reason | None = None
    probability: float | None = None  # that the answer is yes, where the judge gives one
    question: int | None = None  # the request that asked, counted from 0 in each score
    place: int | None = None  # in that request, from 0

    def __post_init__(self) -> None:
        if (self.answer is None) == (self.reason is None):
            raise ValueError(f"a verdict has an answer or a reason, got answer={self.answer} and reason={self.reason}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval. An estimate that cannot be made is not a number in all three."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isinstance(number, Real) for number in (self.value, self.low, self.high)):
            raise TypeError(f"an estimate is three numbers, got {self.value!r}, {self.low!r} and {self.high!r}")

    @staticmethod
    def missing() -> "Estimate":
        return Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Score:
    """How well an explanation foretells its feature, by one scorer."""

    feature: FeatureId
    method: str  # of the scorer
    explained_by: str  # the explainer's method
    n: int  # items judged, failed ones included
    failed: int
    estimates: Mapping[str, Estimate]  # by name of metric: "balanced_accuracy", "f1", ...
    headline: str  # the metric to show first
    control: Control = Control.NONE
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)
    spared: int = 0  # requests that were not needed, because the interval was narrow enough without

    def __post_init__(self) -> None:
        if self.headline not in self.estimates:
            raise ValueError(f"{self.method}: headline {self.headline!r} is not among the estimates {sorted(self.estimates)}")
        if not 0 <= self.failed <= self.n:
            raise ValueError(f"{self.method}: {self.failed} failed of {self.n}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several explanations of a feature, and its score on the part of the shown split that chooses among them."""

    explanation: Explanation
    selection: Score | Failure
    chosen: bool = False


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
    """A prompt gone on with twice by the same random numbers: as the subject is, and under an edit."""

    prompt: str
    clean: str
    edited: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What an intervention on a feature does to what the subject says next."""

    feature: FeatureId
    deed: Deed
    strength: float  # in units of the feature's activation; means nothing where the deed is ABLATE
    divergence: Estimate  # KL(clean ‖ edited) of the next token in nats: the mean over prompts
    target: float | None  # the divergence that the strength was calibrated to; None where the strength was given
    n: int  # prompts
    choosing: int  # prompts that chose the tokens; the others measured them. 0: all did both, which flatters
    risen: tuple[Shift, ...]
    fallen: tuple[Shift, ...]
    completions: tuple[Completion, ...] = ()
    control: Control = Control.NONE
    split: Split = Split.HELD_OUT  # that the prompts come from
    passes: int = 0  # that the calibration took
    ranking: tuple[int, ...] = ()  # tokens, furthest risen first; of a large vocabulary as many at either end, and none between

    def __post_init__(self) -> None:
        if not 0 <= self.choosing < self.n:
            raise ValueError(f"{self.feature}: {self.choosing} of {self.n} prompts chose tokens; at least one must measure them")
