"""The nouns that stages hand to each other: frozen, checked when made, free of torch."""

from gloss.records.contexts import PADDING, Contexts, Negative, Split
from gloss.records.effects import Completion, EditKind, Effect, RankedToken, Shift
from gloss.records.evaluations import Evaluation, EvaluationFailure, EvaluationRow
from gloss.records.examples import Examples
from gloss.records.explanations import NOBODY, Explanation, ExplanationCandidate, is_text
from gloss.records.features import (
    Failure,
    FeatureActivations,
    FeatureId,
    FeatureIds,
    Neighbour,
    Reason,
    SequenceWeights,
)
from gloss.records.needs import Ability, Aspect, Needs, needs_of
from gloss.records.scores import Control, Estimate, Score, Verdict

__all__ = [
    "NOBODY",
    "PADDING",
    "Ability",
    "Aspect",
    "Completion",
    "Contexts",
    "Control",
    "EditKind",
    "Effect",
    "Estimate",
    "Evaluation",
    "EvaluationFailure",
    "EvaluationRow",
    "Examples",
    "Explanation",
    "ExplanationCandidate",
    "Failure",
    "FeatureActivations",
    "FeatureId",
    "FeatureIds",
    "Needs",
    "Negative",
    "Neighbour",
    "RankedToken",
    "Reason",
    "Score",
    "SequenceWeights",
    "Shift",
    "Split",
    "Verdict",
    "is_text",
    "needs_of",
]
