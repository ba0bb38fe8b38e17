"""Explains several times and keeps what scores best on documents that no candidate was made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.explain.choosing import Choice, Chooser, Selector, choice, require_parts, weighed, worth
from gloss.models.prompts import Conversation, together
from gloss.records import Contexts, Examples, Explanation, Failure
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class BestOf:
    """Explains `n` times: first from all contexts of one half of the shown documents, then from parts of them drawn at random.

    The other half chooses. `explainer` and `scorer` are methods; their names stand for them until a run makes them.
    """

    wraps: ClassVar[Mapping[str, str]] = {"explainer": "explain", "scorer": "score"}
    explainer: Explainer | Chooser | str = "max_activating"
    scorer: Selector | str = "detection"
    n: int = 4
    share: float = 0.7  # of the contexts that each candidate but the first is made from

    def __post_init__(self) -> None:
        require_parts("best_of", self.explainer, self.scorer)
        if self.n < 1 or not 0 < self.share <= 1:
            raise BadSettings(
                f"best_of was given n={self.n} and share={self.share}, wants at least 1 and a share above 0, up to 1"
            )

    @property
    def asks(self) -> bool:
        """Whether one of its parts asks a language model."""
        return any(getattr(part, "asks", False) for part in (self.explainer, self.scorer))

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        return self.n

    def choose(self, evidence: Evidence, rng: np.random.Generator) -> Conversation[Choice]:
        """The best of the candidates. What is held out of the evidence is what chooses, and must not be held out of the run."""
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        given, vocabulary = evidence.examples.for_explainer(), evidence.corpus.vocabulary
        drawn = [given, *(part(given, self.share, rng) for _ in range(self.n - 1))]
        made = yield from together(
            self.explainer.explain(examples, vocabulary, own) for examples, own in zip(drawn, rng.spawn(self.n), strict=True)
        )
        found = [each for each in made if isinstance(each, Explanation)]
        failures = [each for each in made if isinstance(each, Failure)]
        if not found:
            return Choice(failures[0], failures=tuple(failures))
        distinct = list({(each.text, each.rule): each for each in reversed(found)}.values())[::-1]
        candidates = yield from weighed(distinct, self.scorer, evidence, rng)
        return choice(candidates, max(candidates, key=worth), failures)


def part(examples: Examples, share: float, rng: np.random.Generator) -> Examples:
    """The examples with a share of the shown contexts of either kind, drawn at random."""

    def drawn(contexts: Contexts) -> Contexts:
        return contexts[np.sort(rng.choice(len(contexts), -int(-len(contexts) * share // 1), replace=False))]

    return replace(examples, shown=drawn(examples.shown), silent_shown=drawn(examples.silent_shown))
