"""How much less an explanation surprises a model that has read what an amplified feature says
(Paulo et al., 2024).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.errors import BadSettings, require_at_least
from gloss.models.chat_models.prompts import Conversation, prompt_file
from gloss.models.chat_models.token_marks import json_string
from gloss.records import (
    Ability,
    Aspect,
    Completion,
    Control,
    Effect,
    Estimate,
    Explanation,
    Failure,
    Needs,
    Reason,
    Score,
    Verdict,
)
from gloss.score.intervention_tokens import effect_at, unreached_kl_failure
from gloss.score.surprisal import likelihood_prompt, mean_saved_nats, saved_nats
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class InterventionSurprisal:
    """Two requests a completion: how likely is the explanation after the edited text, and after the
    clean one?
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.OWN_TEXT,), effects=True, about=(Aspect.OUTPUT,))
    kl: float = 1.0  # of the headline, in nats; one of [intervene]
    worked_examples: int = 3  # in the prompt, three at most
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        require_at_least(1e-6, self, "kl")
        if not 0 <= self.worked_examples <= 3:
            raise BadSettings(
                f"intervention was given worked_examples={self.worked_examples}, wants a number"
                " from 0 to 3"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """The mean drop in nats at every KL, for the feature and for a random direction."""
        told = [effect for effect in evidence.effects if effect.completions]
        first = effect_at(self.kl, told)
        if first is None and effect_at(self.kl, evidence.effects) is not None:
            detail = "the effects hold no completions; set completions in [intervene]"
            return Failure(explanation.feature, "score", Reason.NOT_APPLICABLE, detail)
        if first is None:
            return unreached_kl_failure(explanation, self.kl)
        pairs = [self.passages(pair) for effect in told for pair in effect.completions]
        text = json_string(explanation.text)
        answers = yield [likelihood_prompt(passage, text) for pair in pairs for passage in pair]
        found = [
            saved_nats((edited, clean), pair)
            for edited, clean, pair in zip(answers[::2], answers[1::2], pairs, strict=True)
        ]
        drops = split_by_effect(told, found)
        own = drops[told.index(first)]
        if lost := reason_if_all_failed(own):
            return Failure(
                explanation.feature,
                "score",
                lost,
                f"none of {len(own)} completions got an answer that can be read",
            )
        nats = numeric_drops(own)
        error = float(nats.std(ddof=1)) / math.sqrt(len(nats)) if len(nats) > 1 else math.nan
        estimates = {
            "nats": mean_saved_nats(nats, rng),
            "standard_error": Estimate(error, error, error),
        }
        for effect, of_effect in zip(told, drops, strict=True):
            whose = "" if effect.control is Control.NONE else f"_{effect.control}"
            estimates[f"nats{whose}_at_{effect.target:g}_nats"] = mean_saved_nats(
                numeric_drops(of_effect), rng
            )
        return Score(
            feature=explanation.feature,
            method="intervention",
            explained_by=explanation.method,
            n=len(own),
            failed=int(sum(isinstance(one, Reason) for one in own)),
            estimates=estimates,
            headline="nats",
            verdicts=tuple(
                Verdict(n, True, None, one)
                for n, one in enumerate(found)
                if isinstance(one, Reason)
            ),
        )

    def passages(self, pair: Completion) -> tuple[str, str]:
        """All that stands before the explanation, after the edited text and after the clean one."""
        return self.prefix(pair.prompt + pair.edited), self.prefix(pair.prompt + pair.clean)

    def prefix(self, passage: str) -> str:
        turns = prompt_file("gloss.score", "intervention", self.prompt).fill(
            passage=json_string(passage)
        )
        return (
            "\n\n".join(
                turn.text for turn in (turns[0], *turns[1 : 1 + self.worked_examples], turns[-1])
            )
            + " "
        )


def split_by_effect(
    effects: list[Effect], found: list[float | Reason]
) -> list[list[float | Reason]]:
    """The drops of each effect's completions."""
    ends = np.cumsum([len(effect.completions) for effect in effects]).tolist()
    return [found[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def reason_if_all_failed(drops: list[float | Reason]) -> Reason | None:
    """Why every completion failed; nothing where one did not."""
    reasons = [one for one in drops if isinstance(one, Reason)]
    return max(reasons, key=reasons.count) if len(reasons) == len(drops) else None


def numeric_drops(drops: list[float | Reason]) -> Float64[ndarray, " completion"]:
    """The drops as numbers; a completion that failed drops nothing."""
    return np.array([0.0 if isinstance(one, Reason) else one for one in drops])
