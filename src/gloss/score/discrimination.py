"""Which of k sibling features does this explanation name?

A label that fits all of them finds one in k.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Conversation, prompt_file
from gloss.models.chat_models.token_marks import (
    SpelledContext,
    json_string,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import (
    Ability,
    Contexts,
    Explanation,
    Failure,
    Needs,
    Neighbour,
    Reason,
    Score,
    Verdict,
)
from gloss.score.judge.multiple_choice import (
    ChoiceItem,
    accuracy_estimates,
    ask_choices,
    count_unanswered,
)
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.evidence import Evidence

METHOD = "discrimination"
MarkedContext = tuple[SpelledContext, Bool[ndarray, " position"]]
MOST_SIBLING_CONTEXTS = 200  # contexts of a sibling, spread over the corpus


@dataclass(frozen=True)
class Discrimination:
    """Shows marked contexts of the feature and of its nearest siblings, and asks whose explanation
    this is.

    Siblings are shown where the feature is inactive, so that there is a right answer; one that
    fires only where the feature does is passed over. Trials draw new contexts and a new order.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), neighbours=True)
    k: int = 5
    trials: int = 10
    contexts_each: int = 2
    sets_per_question: int = 5
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        least = min(self.k - 1, self.trials, self.contexts_each, self.sets_per_question)
        if least < 1 or not 0 <= self.threshold < 1:
            raise BadSettings(
                f"discrimination was given k={self.k}, trials={self.trials},"
                f" contexts_each={self.contexts_each}, sets_per_question={self.sets_per_question}"
                f" and threshold={self.threshold}, wants k of at least 2, the other counts at least"
                " 1 and a threshold from 0 to below 1"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask `trials` times; the share of trials in which the feature was found, or a failure
        where it has no siblings.
        """
        pools = self.pools(evidence)
        if len(pools) < 2:
            detail = (
                f"{len(pools)} features with enough held-out contexts of their own, this one among"
                " them, wants at least 2"
            )
            return Failure(evidence.examples.feature, "score", Reason.TOO_FEW_EXAMPLES, detail)
        verdicts = yield from self.ask(explanation, evidence, pools, rng)
        found, n, failed = (
            accuracy_estimates(verdicts, len(pools)),
            len(verdicts),
            count_unanswered(verdicts),
        )
        return Score(
            explanation.feature,
            METHOD,
            explanation.method,
            n,
            failed,
            found,
            "accuracy",
            verdicts=verdicts,
        )

    def pools(self, evidence: Evidence) -> list[list[MarkedContext]]:
        """Marked contexts of the feature, and then of its nearest siblings: `k` lists or as many as
        are long enough.
        """
        own = self.mark_contexts(evidence.examples.held_out, evidence)
        if len(own) < self.contexts_each:
            return []
        pools = [own]
        for sibling in evidence.neighbours:
            if len(pools) == self.k:
                break
            if (
                len(
                    contexts := self.mark_contexts(
                        sibling_only_contexts(sibling, evidence), evidence
                    )
                )
                >= self.contexts_each
            ):
                pools.append(contexts)
        return pools

    def mark_contexts(self, contexts: Contexts, evidence: Evidence) -> list[MarkedContext]:
        """Contexts as text, with the tokens on which their feature fires.

        Without those that spell nothing there.
        """
        spelled = spell_contexts(contexts, evidence.corpus.vocabulary)
        return [
            (each, marks) for each in spelled if (marks := where_above(each, self.threshold)).any()
        ]

    def ask(
        self,
        explanation: Explanation,
        evidence: Evidence,
        pools: Sequence[Sequence[MarkedContext]],
        rng: np.random.Generator,
    ) -> Conversation[tuple[Verdict, ...]]:
        """Whether the judge finds the first pool in each of the trials."""
        marks = suitable_marks(
            [(spelled.pieces, marked) for pool in pools for spelled, marked in pool]
        )
        start = int(evidence.examples.held_out.starts[0])
        choice_items: list[ChoiceItem] = []
        for _ in range(self.trials):
            order = rng.permutation(len(pools))
            drawn = [
                [
                    pools[p][row]
                    for row in rng.choice(len(pools[p]), self.contexts_each, replace=False)
                ]
                for p in order
            ]
            texts = [
                [marks.wrap(spelled.pieces, marked) for spelled, marked in contexts]
                for contexts in drawn
            ]
            shown = tuple(json.dumps(contexts, ensure_ascii=False) for contexts in texts)
            choice_items.append(ChoiceItem(start, int(np.flatnonzero(order == 0)[0]), shown))
        file = prompt_file("gloss.score", METHOD, self.prompt)
        return (
            yield from ask_choices(
                choice_items,
                lambda sets, again: file.fill(
                    explanation=json_string(explanation.text),
                    sets=[
                        [f"{number}: {shown}" for number, shown in enumerate(one, start=1)]
                        for one in sets
                    ],
                    open=marks.open,
                    close=marks.close,
                    again=again,
                ),
                self.sets_per_question,
            )
        )


def sibling_only_contexts(sibling: Neighbour, evidence: Evidence) -> Contexts:
    """Held-out windows in which the sibling fires and the feature itself is known to be inactive,
    at most a few hundred.
    """
    width = evidence.examples.held_out.tokens.shape[1]
    windows = corpus_windows(evidence.corpus, width)
    fires = np.setdiff1d(
        windows.firing(sibling.activations),
        windows.firing(evidence.activations),
        assume_unique=True,
    )
    held_out = fires[~windows.in_train[fires] & (fires < windows.known)]
    spread = held_out[:: max(1, len(held_out) // MOST_SIBLING_CONTEXTS)]
    return cut_contexts(
        evidence.corpus,
        sibling.activations,
        windows.starts[spread],
        width,
        np.zeros(len(spread), np.int64),
    )
