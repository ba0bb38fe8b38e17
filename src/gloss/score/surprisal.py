"""How much less a context surprises a base model that was told the explanation first (Paulo et al.,
2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import (
    PLAIN,
    Answer,
    Conversation,
    Message,
    Prompt,
    PromptToken,
    prompt_file,
)
from gloss.models.chat_models.token_marks import json_string
from gloss.records import (
    Ability,
    Estimate,
    Explanation,
    Failure,
    Needs,
    Negative,
    Reason,
    Score,
    Verdict,
)
from gloss.score.judge.verdict_metrics import too_few_contexts
from gloss.statistics.intervals import bootstrap
from gloss.statistics.ranking import ranking_estimates, ranking_headline
from gloss.store.context_text import context_texts
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class Surprisal:
    """Two requests a context: after the explanation, and after a description that fits anything."""

    needs: ClassVar[Needs] = Needs(asks=(Ability.OWN_TEXT,))
    worked_examples: int = 3  # in the prompt, three at most
    fits_anything: str = "Various unrelated texts."
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if not 0 <= self.worked_examples <= 3:
            raise BadSettings(
                f"surprisal was given worked_examples={self.worked_examples}, wants a number from 0"
                " to 3"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """How well the nats that the explanation saves tell firing from inactive contexts.

        A failure where a side is empty.
        """
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, inactive = examples.held_out, examples.inactive_held_out
        if len(firing) == 0 or len(inactive) == 0:
            return too_few_contexts(explanation, len(firing), len(inactive))
        texts = [text for side in (firing, inactive) for text in context_texts(side, vocabulary)]
        told, untold = self.prefix(explanation.text), self.prefix(self.fits_anything)
        answers = yield [
            likelihood_prompt(prefix, text) for text in texts for prefix in (told, untold)
        ]
        found = [
            saved_nats(pair, (told, untold))
            for pair in zip(answers[::2], answers[1::2], strict=True)
        ]
        nats = np.array([one if isinstance(one, float) else np.nan for one in found])
        sides = {"firing": nats[: len(firing)], "inactive": nats[len(firing) :]}
        hard = inactive.quantiles != Negative.RANDOM
        estimates = ranking_estimates(
            **sides, hard=hard, share_firing=examples.share_held_out, rng=rng
        )
        fires = np.repeat([True, False], [len(firing), len(inactive)])
        places = zip(
            [*firing.starts.tolist(), *inactive.starts.tolist()], fires.tolist(), found, strict=True
        )
        return Score(
            feature=explanation.feature,
            method="surprisal",
            explained_by=explanation.method,
            n=len(nats),
            failed=int(np.isnan(nats).sum()),
            estimates=estimates
            | {f"nats_saved_{side}": mean_saved_nats(part, rng) for side, part in sides.items()},
            headline=ranking_headline(hard),
            verdicts=tuple(
                Verdict(start, fired, None, one)
                for start, fired, one in places
                if isinstance(one, Reason)
            ),
        )

    def prefix(self, explanation: str) -> str:
        """All that stands before the context."""
        turns = prompt_file("gloss.score", "surprisal", self.prompt).fill(
            explanation=json_string(explanation)
        )
        return (
            "\n\n".join(
                turn.text for turn in (turns[0], *turns[1 : 1 + self.worked_examples], turns[-1])
            )
            + "\n"
        )


def likelihood_prompt(prefix: str, text: str) -> Prompt:
    """How likely is the text after the prefix?"""
    return Prompt((Message(PLAIN, prefix + text),), max_tokens=1, prompt_logprobs=0)


def saved_nats(answers: tuple[Answer, Answer], prefixes: tuple[str, str]) -> float | Reason:
    """The nats by which the text is likelier after the first prefix than after the second, or why
    that is not known.
    """
    tokens: list[Sequence[PromptToken]] = []
    for answer, prefix in zip(answers, prefixes, strict=True):
        if answer.prompt_logprobs is None:
            return answer.reason or Reason.UNPARSABLE
        tokens.append(text_tokens(answer.prompt_logprobs, len(prefix)))
    told, untold = tokens
    same = [one.token for one in told] == [one.token for one in untold]
    logprobs = [one.logprob for one in (*told, *untold)]
    if not same or None in logprobs:
        return Reason.UNPARSABLE  # only sums over the same tokens can be compared
    return sum(one.logprob or 0.0 for one in told) - sum(one.logprob or 0.0 for one in untold)


def text_tokens(tokens: Sequence[PromptToken], start: int) -> Sequence[PromptToken]:
    """The tokens of the text that begins there.

    One that reaches across the beginning belongs to it.
    """
    return [one for one in tokens if one.start >= start or one.end > start]


def mean_saved_nats(nats: Float64[ndarray, " context"], rng: np.random.Generator) -> Estimate:
    """Mean nats saved; a context that failed saves nothing."""
    return bootstrap(lambda x: x.mean(axis=-1), np.nan_to_num(nats), rng=rng)
