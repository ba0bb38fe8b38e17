"""Which of k contexts does not belong? Needs no explanation: how clear is the feature itself (Paulo and Belrose, 2025)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.marks import Marks, Spelled, above, numbered, spell_all, suitable
from gloss.models.prompts import Conversation, prompt_file
from gloss.records import Estimate, Explanation, Failure, Reason, Score, Verdict
from gloss.score.choices import Riddle, estimates, lost, solve
from gloss.score.marks import Marked, assigned, likenesses
from gloss.store.evidence import Evidence

METHOD = "intruder"


@dataclass(frozen=True)
class Intruder:
    """Shows sets of `k` contexts with marked tokens: all but one fire, about equally strongly, and one is silent.

    The intruder bears the marks of a firing context that it stands in for, so that the `k` patterns of marks are those of `k`
    firing contexts, and who looks at the marks alone finds one in `k`.
    """

    asks: ClassVar[bool] = True
    reads_explanation: ClassVar[bool] = False
    k: int = 5
    trials: int = 50
    sets_per_question: int = 10
    threshold: float = 0.3  # of a context's maximum, above which a token is marked

    def __post_init__(self) -> None:
        if self.k < 2 or self.trials < 1 or self.sets_per_question < 1 or not 0 <= self.threshold < 1:
            raise BadSettings(
                f"intruder was given k={self.k}, trials={self.trials}, sets_per_question={self.sets_per_question} and "
                f"threshold={self.threshold}, wants k of at least 2, the others at least 1 and a threshold from 0 to below 1"
            )

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Ask for the intruder of every set, whatever the explanation; a failure where a set cannot be filled."""
        examples = evidence.examples
        firing, silent = len(examples.held_out), len(examples.silent_held_out)
        sets = self.sets(evidence, rng) if firing >= self.k and silent else []
        if not sets:
            detail = f"{firing} firing and {silent} silent held-out contexts, wants at least {self.k} and 1 that can bear marks"
            return Failure(examples.feature, "score", Reason.TOO_FEW_EXAMPLES, detail)
        file = prompt_file("gloss.score", METHOD)
        marks = suitable([(item.spelled.pieces, item.marks) for members, _ in sets for item in members])
        riddles = [riddle(members, place, marks, evidence) for members, place in sets]
        verdicts = yield from solve(
            riddles,
            lambda asked, again: file.fill(
                sets=[numbered(texts) for texts in asked], open=marks.open, close=marks.close, again=again
            ),
            self.sets_per_question,
        )
        found = estimates(verdicts, self.k) | by_strength(sets, verdicts)
        n, failed = len(verdicts), lost(verdicts)
        return Score(examples.feature, METHOD, explanation.method, n, failed, found, "accuracy", verdicts=verdicts)

    def sets(self, evidence: Evidence, rng: np.random.Generator) -> list[tuple[list[Marked], int]]:
        """Up to `trials` sets of contexts in the order that the judge sees, each with the place of its intruder."""
        vocabulary = evidence.corpus.vocabulary
        firing = spell_all(evidence.examples.held_out, vocabulary)
        silent = spell_all(evidence.examples.silent_held_out, vocabulary)
        own = [Marked(row, True, spelled, above(spelled, self.threshold)) for row, spelled in enumerate(firing)]
        usable = [item for item in own if item.marks.any()]
        if len(usable) < self.k:
            return []
        pairs = self.pairs(usable, silent, rng)
        strengths = np.array([item.spelled.activations.max() for item in usable])
        slices = np.array_split(np.argsort(-strengths, kind="stable"), min(10, len(usable) // self.k))
        found: list[tuple[list[Marked], int]] = []
        for row, number in pairs:
            alike = next(rows for rows in slices if number in rows)
            others = rng.choice(alike[alike != number], self.k - 1, replace=False)
            members = [usable[other] for other in others]
            place = int(rng.integers(self.k))
            members.insert(place, Marked(row, False, silent[row], usable[number].marks))
            found.append((members, place))
        return found

    def pairs(self, usable: Sequence[Marked], silent: Sequence[Spelled], rng: np.random.Generator) -> list[tuple[int, int]]:
        """Intruders, each with the firing context whose marks it bears; patterns take turns."""
        likeness = likenesses([(item.spelled, item.marks) for item in usable], silent)
        pairs = assigned(likeness, rng)
        return [pairs[number] for number in rng.permutation(len(pairs))[: self.trials]]


def riddle(members: Sequence[Marked], place: int, marks: Marks, evidence: Evidence) -> Riddle:
    """A set as the judge reads it."""
    start = int(evidence.examples.silent_held_out.starts[members[place].row])
    return Riddle(start, place, tuple(marks.wrap(item.spelled.pieces, item.marks) for item in members))


def by_strength(sets: Sequence[tuple[list[Marked], int]], verdicts: Sequence[Verdict]) -> dict[str, Estimate]:
    """The accuracy in the half of the sets with the strongest contexts, and in the other half."""
    strengths = np.array([max(item.spelled.activations.max() for item in members if item.firing) for members, _ in sets])
    order: Int64[ndarray, " set"] = np.argsort(-strengths, kind="stable")
    halves = zip(("strong", "weak"), np.array_split(order, 2), strict=True)
    return {f"accuracy_{name}": estimates([verdicts[row] for row in rows], 2)["accuracy"] for name, rows in halves}
