"""Which of k contexts does not belong?

Needs no explanation: how clear is the feature itself (Paulo and Belrose, 2025).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Conversation, prompt_file
from gloss.models.chat_models.token_marks import (
    Marks,
    SpelledContext,
    numbered_lines,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import Ability, Estimate, Explanation, Failure, Needs, Reason, Score, Verdict
from gloss.score.judge.multiple_choice import (
    ChoiceItem,
    accuracy_estimates,
    ask_choices,
    count_unanswered,
)
from gloss.score.mark_matching import MarkedItem, assign_patterns, mark_likeness
from gloss.store.evidence import Evidence

METHOD = "intruder"


@dataclass(frozen=True)
class Intruder:
    """Shows sets of `k` contexts with marked tokens: all but one fire, about equally strongly, and
    one is inactive.

    The intruder bears the marks of a firing context that it stands in for, so that the `k` patterns
    of marks are those of `k` firing contexts, and who looks at the marks alone finds one in `k`.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), explanation=False)
    k: int = 5
    trials: int = 50
    sets_per_question: int = 10
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if (
            self.k < 2
            or self.trials < 1
            or self.sets_per_question < 1
            or not 0 <= self.threshold < 1
        ):
            raise BadSettings(
                f"intruder was given k={self.k}, trials={self.trials},"
                f" sets_per_question={self.sets_per_question} and threshold={self.threshold}, wants"
                " k of at least 2, the others at least 1 and a threshold from 0 to below 1"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask for the intruder of every set, whatever the explanation.

        A failure where a set cannot be filled.
        """
        examples = evidence.examples
        firing, inactive = len(examples.held_out), len(examples.inactive_held_out)
        sets = self.sets(evidence, rng) if firing >= self.k and inactive else []
        if not sets:
            detail = (
                f"{firing} firing and {inactive} inactive held-out contexts, wants at least"
                f" {self.k} and 1 that can bear marks"
            )
            return Failure(examples.feature, "score", Reason.TOO_FEW_EXAMPLES, detail)
        file = prompt_file("gloss.score", METHOD, self.prompt)
        marks = suitable_marks(
            [(item.spelled.pieces, item.marks) for members, _ in sets for item in members]
        )
        choice_items = [
            intruder_item(members, position, marks, evidence) for members, position in sets
        ]
        verdicts = yield from ask_choices(
            choice_items,
            lambda asked, again: file.fill(
                sets=[numbered_lines(texts) for texts in asked],
                open=marks.open,
                close=marks.close,
                again=again,
            ),
            self.sets_per_question,
        )
        found = accuracy_estimates(verdicts, self.k) | accuracy_by_strength(sets, verdicts)
        n, failed = len(verdicts), count_unanswered(verdicts)
        return Score(
            examples.feature,
            METHOD,
            explanation.method,
            n,
            failed,
            found,
            "accuracy",
            verdicts=verdicts,
        )

    def sets(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> list[tuple[list[MarkedItem], int]]:
        """Up to `trials` sets of contexts in the order that the judge sees, each with the position
        of its intruder.
        """
        vocabulary = evidence.corpus.vocabulary
        firing = spell_contexts(evidence.examples.held_out, vocabulary)
        inactive = spell_contexts(evidence.examples.inactive_held_out, vocabulary)
        own = [
            MarkedItem(row, True, spelled, where_above(spelled, self.threshold))
            for row, spelled in enumerate(firing)
        ]
        usable = [item for item in own if item.marks.any()]
        if len(usable) < self.k:
            return []
        pairs = self.pairs(usable, inactive, rng)
        strengths = np.array([item.spelled.activations.max() for item in usable])
        slices = np.array_split(
            np.argsort(-strengths, kind="stable"), min(10, len(usable) // self.k)
        )
        found: list[tuple[list[MarkedItem], int]] = []
        for row, number in pairs:
            alike = next(rows for rows in slices if number in rows)
            others = rng.choice(alike[alike != number], self.k - 1, replace=False)
            members = [usable[other] for other in others]
            position = int(rng.integers(self.k))
            members.insert(position, MarkedItem(row, False, inactive[row], usable[number].marks))
            found.append((members, position))
        return found

    def pairs(
        self,
        usable: Sequence[MarkedItem],
        inactive: Sequence[SpelledContext],
        rng: np.random.Generator,
    ) -> list[tuple[int, int]]:
        """Intruders, each with the firing context whose marks it bears; patterns take turns."""
        likeness = mark_likeness([(item.spelled, item.marks) for item in usable], inactive)
        pairs = assign_patterns(likeness, rng)
        return [pairs[number] for number in rng.permutation(len(pairs))[: self.trials]]


def intruder_item(
    members: Sequence[MarkedItem], position: int, marks: Marks, evidence: Evidence
) -> ChoiceItem:
    """A set as the judge reads it."""
    start = int(evidence.examples.inactive_held_out.starts[members[position].row])
    return ChoiceItem(
        start, position, tuple(marks.wrap(item.spelled.pieces, item.marks) for item in members)
    )


def accuracy_by_strength(
    sets: Sequence[tuple[list[MarkedItem], int]], verdicts: Sequence[Verdict]
) -> dict[str, Estimate]:
    """The accuracy in the half of the sets with the strongest contexts, and in the other half."""
    strengths = np.array(
        [
            max(item.spelled.activations.max() for item in members if item.firing)
            for members, _ in sets
        ]
    )
    order: Int64[ndarray, " set"] = np.argsort(-strengths, kind="stable")
    halves = zip(("strong", "weak"), np.array_split(order, 2), strict=True)
    return {
        f"accuracy_{name}": accuracy_estimates([verdicts[row] for row in rows], 2)["accuracy"]
        for name, rows in halves
    }
