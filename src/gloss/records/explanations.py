"""Explanations of features, and the candidates that one is chosen from."""

from dataclasses import dataclass

from gloss.records.features import Failure, FeatureId
from gloss.records.scores import Score

NOBODY = "nobody"  # who explains a feature whose score needs no explanation


def is_text(value: object) -> bool:
    """Whether a value is text, whatever its annotation says."""
    return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a feature means, in words, and as an executable rule where there is one.

    Raises TypeError where `text` or `rule` is no text.

        >>> rule = 'token in {" raise"}'
        >>> said = gloss.Explanation(FeatureId("mine", 7), "the word raise", "by hand", rule)
        >>> gloss.score(feature, said).explained_by
        'by hand'
    """

    feature: FeatureId
    text: str
    method: str
    rule: str | None = None  # source text in the rule language
    prompt_hash: str | None = None  # of the prompt file that asked for it

    def __post_init__(self) -> None:
        # strangers make explanations, too
        if not is_text(self.text) or not (self.rule is None or is_text(self.rule)):
            raise TypeError(
                f"an explanation is text, with a rule as text or none, got {self.text!r} and"
                f" {self.rule!r}"
            )


@dataclass(frozen=True, slots=True)
class ExplanationCandidate:
    """One of several explanations of a feature, and its score on the validation split.

    That is the part of the train split that chooses among candidates.
    """

    explanation: Explanation
    validation: Score | Failure
    chosen: bool = False
