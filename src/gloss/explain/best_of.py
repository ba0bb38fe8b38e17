"""Explains several times and keeps what scores best on documents that made no candidate."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.explain.candidate_selection import (
    EXPLAINER_AND_SCORER,
    CandidateScorer,
    ChoosingExplainer,
    ExplanationChoice,
    make_choice,
    require_parts,
    score_candidates,
    validation_score,
)
from gloss.models.chat_models.prompts import Conversation, join_conversations
from gloss.records import Contexts, Examples, Explanation, Failure, Needs
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class BestOf:
    """Explains `n` times: first from all contexts of one half of the train documents, then from
    parts of them drawn at random.

    The other half chooses. `explainer` and `scorer` are methods; their names stand for them until a
    run makes them.
    """

    needs: ClassVar[Needs] = Needs(parts=EXPLAINER_AND_SCORER)
    explainer: Explainer | ChoosingExplainer | str = "max_activating"
    scorer: CandidateScorer | str = "detection"
    n: int = 4
    share: float = 0.7  # of the contexts that each candidate but the first is made from

    def __post_init__(self) -> None:
        require_parts("best_of", self.explainer, self.scorer)
        if self.n < 1 or not 0 < self.share <= 1:
            raise BadSettings(
                f"best_of was given n={self.n} and share={self.share}, wants at least 1 and a share"
                " above 0, up to 1"
            )

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        return self.n

    def choose(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """The best of the candidates.

        What is held out of the evidence is what chooses, and must not be held out of the run.
        """
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        given, vocabulary = evidence.examples.for_explainer(), evidence.corpus.vocabulary
        drawn = [given, *(draw_example_share(given, self.share, rng) for _ in range(self.n - 1))]
        made = yield from join_conversations(
            self.explainer.explain(examples, vocabulary, own)
            for examples, own in zip(drawn, rng.spawn(self.n), strict=True)
        )
        found = [each for each in made if isinstance(each, Explanation)]
        failures = [each for each in made if isinstance(each, Failure)]
        if not found:
            return ExplanationChoice(failures[0], failures=tuple(failures))
        distinct = list({(each.text, each.rule): each for each in reversed(found)}.values())[::-1]
        candidates = yield from score_candidates(distinct, self.scorer, evidence, rng)
        return make_choice(candidates, max(candidates, key=validation_score), failures)


def draw_example_share(examples: Examples, share: float, rng: np.random.Generator) -> Examples:
    """The examples with a share of the train contexts of either kind, drawn at random."""

    def drawn(contexts: Contexts) -> Contexts:
        return contexts[
            np.sort(rng.choice(len(contexts), -int(-len(contexts) * share // 1), replace=False))
        ]

    return replace(
        examples, train=drawn(examples.train), inactive_train=drawn(examples.inactive_train)
    )
