"""Takes the free explanation where it is good enough, asks a language model for the rest, and says
so where neither helps (the idea of AIR: one explainer for what reads, another for what speaks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.explain.candidate_selection import (
    CandidateScorer,
    ChoosingExplainer,
    ExplanationChoice,
    limit_evidence,
    make_choice,
)
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Explanation, ExplanationCandidate, Failure, Needs, Reason, Score
from gloss.store.evidence import Evidence, halve_evidence, judged_evidence

METHOD = "route"
PARTS = {
    "rule": "explain",
    "rule_scorer": "score",
    "output": "explain",
    "output_scorer": "score",
    "words": "explain",
    "words_scorer": "score",
}


@dataclass(frozen=True)
class Route:
    """A rule where one is good enough, output tokens where the feature speaks rather than reads,
    words of a language model for the rest, and otherwise nothing.

    Each is judged by its scorer on documents that it was not made from, by the lower end of its
    interval. Without `words` nobody is asked. Names stand for the parts until a run makes them.
    """

    needs: ClassVar[Needs] = Needs(parts=PARTS)
    rule: Explainer | ChoosingExplainer | str = "rule"
    rule_scorer: CandidateScorer | str = "execution"
    output: Explainer | ChoosingExplainer | str = "vocabulary_projection"
    output_scorer: CandidateScorer | str = "next_token"
    words: Explainer | ChoosingExplainer | str = ""
    words_scorer: CandidateScorer | str = ""
    enough: float = 0.5  # from where on a rule is taken without asking for more
    least: float = 0.1  # below which nobody knows

    def __post_init__(self) -> None:
        if bool(self.words) != bool(self.words_scorer):
            raise BadSettings(
                f"{METHOD} was given words={self.words!r} and words_scorer={self.words_scorer!r};"
                ' give both, as in words = "max_activating" and words_scorer = "detection", or'
                " neither"
            )
        if not 0 <= self.least <= self.enough <= 1:
            raise BadSettings(
                f"{METHOD} was given least={self.least} and enough={self.enough}, wants them"
                " between 0 and 1, least first"
            )
        for part in (self.rule, self.output, self.words):
            if not isinstance(part, str | Explainer):
                raise BadSettings(
                    f"{METHOD} cannot be made of {type(part).__name__}, which chooses itself; name"
                    " another explainer"
                )

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        return 3 if self.words else 2

    def investigate(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """The explanation of the route that was taken, among those that were tried.

        The evidence is of the train split alone.
        """
        halves = halve_evidence(evidence)
        rules, outputs, words = rng.spawn(3)
        rule = yield from tried(self.rule, self.rule_scorer, halves, halves, rules)
        if lowest(rule) >= self.enough:
            whole = yield from explained(self.rule, evidence, rules)
            return chosen([rule], rule, whole)
        # it says what the direction or the interventions say, of which the text shows nothing
        output = yield from tried(
            self.output, self.output_scorer, evidence, judged_evidence(evidence), outputs
        )
        if lowest(output) >= max(self.least, value(rule)):
            return chosen([rule, output], output)
        found, holding = [rule, output], [rule] if lowest(rule) >= self.least else []
        if self.words:
            said = yield from tried(self.words, self.words_scorer, halves, halves, words)
            found.append(said)
            # what a judge who says yes to everything earns is no word of the feature
            if lowest(said) >= max(self.least, chance_of_yes(halves)):
                holding.append(said)
        if not holding:
            return ExplanationChoice(
                self.nobody_knows(evidence, found, chance_of_yes(halves)),
                tuple(one for one in found if isinstance(one, ExplanationCandidate)),
                tuple(one for one in found if isinstance(one, Failure)),
            )
        best = max(holding, key=value)
        whole = (yield from explained(self.rule, evidence, rules)) if best is rule else None
        return chosen(found, best, whole)

    def nobody_knows(
        self, evidence: Evidence, found: Sequence[ExplanationCandidate | Failure], yes: float
    ) -> Failure:
        """Why no route was taken."""
        told = [
            f"{name}: {why_not(one)}"
            for name, one in zip(("rule", "output", "words"), found, strict=False)
        ]
        return Failure(
            evidence.examples.feature,
            METHOD,
            Reason.NOBODY_KNOWS,
            f"no explanation holds from {self.least:g} on ({'; '.join(told)})"
            + (f"; a yes to everything earns words {yes:.2f}" if self.words else ""),
        )


def explained(
    explainer: Explainer | ChoosingExplainer | str, evidence: Evidence, rng: np.random.Generator
) -> Conversation[Explanation | Failure]:
    assert isinstance(explainer, Explainer)
    given = evidence.examples.for_explainer()
    return (yield from explainer.explain(given, evidence.corpus.vocabulary, rng))


def tried(
    explainer: Explainer | ChoosingExplainer | str,
    scorer: CandidateScorer | str,
    evidence: Evidence,
    judged: Evidence,
    rng: np.random.Generator,
) -> Conversation[ExplanationCandidate | Failure]:
    """An explanation and what it scores on what is held out of `judged`; a failure where there is
    no explanation.
    """
    assert not isinstance(scorer, str)
    said = yield from explained(explainer, evidence, rng)
    if isinstance(said, Failure):
        return said
    score = yield from scorer.score(said, limit_evidence(judged, scorer), rng)
    return ExplanationCandidate(said, score)


def lowest(tried: ExplanationCandidate | Failure) -> float:
    """The lower end of the headline; less than any number where there is none."""
    return headline(tried)[1]


def value(tried: ExplanationCandidate | Failure) -> float:
    """The headline; less than any number where there is none."""
    return headline(tried)[0]


def headline(tried: ExplanationCandidate | Failure) -> tuple[float, float]:
    if isinstance(tried, Failure) or isinstance(tried.validation, Failure):
        return -np.inf, -np.inf
    found = tried.validation.estimates[tried.validation.headline]
    value, low = np.nan_to_num([found.value, found.low], nan=-np.inf)
    return float(value), float(low)


def chance_of_yes(judged: Evidence) -> float:
    """The F1 of a judge who finds every context to fit, which any broad words would earn."""
    share = judged.examples.share_held_out
    return 2 * share / (1 + share)


def why_not(tried: ExplanationCandidate | Failure) -> str:
    """What came of a route that was not taken."""
    problem = tried if isinstance(tried, Failure) else tried.validation
    if isinstance(problem, Score):
        found = problem.estimates[problem.headline]
        return f"{problem.headline} {found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
    return problem.detail


def chosen(
    found: Sequence[ExplanationCandidate | Failure],
    best: ExplanationCandidate | Failure,
    whole: Explanation | Failure | None = None,
) -> ExplanationChoice:
    """The choice, with the explanation that was made of all train documents where there is one."""
    assert isinstance(best, ExplanationCandidate)
    candidates = [one for one in found if isinstance(one, ExplanationCandidate)]
    choice = make_choice(candidates, best, [one for one in found if isinstance(one, Failure)])
    if isinstance(whole, Explanation):
        return ExplanationChoice(whole, choice.candidates, choice.failures)
    return choice
