"""What a page shows: the records that whoever runs the stages hands over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jaxtyping import Float, Int
from numpy import ndarray

from gloss.pages.report_sections import Section
from gloss.records import Contexts, Effect, Examples, Explanation, Failure, FeatureId, Score
from gloss.store.token_attributions import TokenAttribution


class FeatureState(StrEnum):
    """What there is to read of a feature."""

    EXPLAINED = "explained"
    FAILED = "failed"  # it fires, but a stage could not treat it
    INACTIVE = "inactive"  # it never fired on this corpus


class MistakeKind(StrEnum):
    """How an explanation went wrong at a context."""

    FALSE_POSITIVE = "false_positive"  # it predicts the feature where the feature is inactive
    FALSE_NEGATIVE = "false_negative"  # the feature fires where the explanation predicts nothing


@dataclass(frozen=True, slots=True)
class Statistics:
    """How often and how strongly one feature fires over the whole corpus."""

    count: int  # tokens at which it is active
    share: float  # of all tokens, from 0 to 1
    strongest: float  # its largest activation; 0 if it never fires
    # of the histogram's bins, ascending; one more than there are bins, or none
    edges: Float[ndarray, " edge"]
    counts: Int[ndarray, " bin"]  # tokens whose activation lies in each bin

    def __post_init__(self) -> None:
        if len(self.counts) and len(self.edges) != len(self.counts) + 1:
            raise ValueError(
                f"{len(self.counts)} bins need {len(self.counts) + 1} edges, got {len(self.edges)}"
            )


@dataclass(frozen=True, slots=True)
class MistakenContexts:
    """Held-out contexts that one explanation got wrong in one way, the worst first."""

    kind: MistakeKind
    explained_by: str  # the explainer's method
    contexts: Contexts
    # strength predicted at each position; above 0 where the rule fires
    predicted: Float[ndarray, "context position"]
    total: int | None = None  # how many there are in all, where more than these are known

    def __post_init__(self) -> None:
        if self.predicted.shape != self.contexts.tokens.shape:
            raise ValueError(
                f"predicted {self.predicted.shape} strengths for contexts of shape"
                f" {self.contexts.tokens.shape}"
            )


@dataclass(frozen=True, slots=True)
class FeaturePage:
    """Everything that one feature's page shows. The first explanation is the page's headline."""

    feature: FeatureId
    statistics: Statistics
    explanations: tuple[Explanation, ...] = ()
    scores: tuple[Score, ...] = ()  # real ones and controls
    failures: tuple[Failure, ...] = ()
    examples: Examples | None = None
    mistakes: tuple[MistakenContexts, ...] = ()
    # whose logits the feature raises most, highest first
    promoted_tokens: tuple[tuple[str, float], ...] = ()
    # whose logits it lowers most, lowest first
    suppressed_tokens: tuple[tuple[str, float], ...] = ()
    # with the cosine of their directions, nearest first
    neighbours: tuple[tuple[FeatureId, float], ...] = ()
    collisions: tuple[FeatureId, ...] = ()  # features that the first explanation fits as well
    effects: tuple[Effect, ...] = ()  # of amplifying it, and of random directions beside it
    # why it fires in its strongest train contexts
    token_attributions: tuple[TokenAttribution, ...] = ()
    sections: tuple[Section, ...] = ()  # facts and tables that stages of one's own add

    @property
    def state(self) -> FeatureState:
        """Inactive if it never fired; failed if it has no explanation; explained otherwise."""
        if self.statistics.count == 0:
            return FeatureState.INACTIVE
        return FeatureState.EXPLAINED if self.explanations else FeatureState.FAILED


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What run the pages show. Medians and counts are taken from the pages themselves."""

    name: str
    subject: str
    dictionary: str
    site: str
    tokens: int  # of the corpus
    documents: int  # of the corpus
    width: int  # features in the dictionary, shown or not
    seeds: Mapping[str, int]  # by stage, or one under "run"
    # more lines for "This run": settings, versions
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    document_names: tuple[str, ...] = ()  # by number, so that a context can say where it stands
    doubts: tuple[str, ...] = ()  # what speaks against the run's own judges, on every page
