"""How much less a context surprises a base model that was told the explanation first (Paulo et al., 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.marks import quoted
from gloss.models.prompts import PLAIN, Answer, Conversation, Message, Prompt, PromptToken, prompt_file
from gloss.records import Contexts, Estimate, Explanation, Failure, Reason, Score, Verdict
from gloss.score.intervals import bootstrap
from gloss.score.ranking import ranked
from gloss.score.verdicts import HARD, too_few
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class Surprisal:
    """Two requests a context: after the explanation, and after a description that fits anything."""

    asks: ClassVar[bool] = True
    worked_examples: int = 3  # in the prompt, three at most
    fits_anything: str = "Various unrelated texts."

    def __post_init__(self) -> None:
        if not 0 <= self.worked_examples <= 3:
            raise BadSettings(f"surprisal was given worked_examples={self.worked_examples}, wants a number from 0 to 3")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """How well the nats that the explanation saves tell firing from silent contexts; a failure where a side is empty."""
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, silent = examples.held_out, examples.silent_held_out
        if len(firing) == 0 or len(silent) == 0:
            return too_few(explanation, len(firing), len(silent))
        texts = [vocabulary.text(tokens.tolist()) for side in (firing, silent) for tokens in side.tokens]
        told, untold = self.prefix(explanation.text), self.prefix(self.fits_anything)
        answers = yield [asked(prefix, text) for text in texts for prefix in (told, untold)]
        found = [saved(pair, (told, untold)) for pair in zip(answers[::2], answers[1::2], strict=True)]
        nats = np.array([one if isinstance(one, float) else np.nan for one in found])
        starts, fires, hard = sides(firing, silent)
        estimates = ranked(nats, fires, hard, examples.share_held_out, rng) | means(nats, fires, rng)
        places = zip(starts, fires.tolist(), found, strict=True)
        return Score(
            feature=explanation.feature,
            method="surprisal",
            explained_by=explanation.method,
            n=len(nats),
            failed=int(np.isnan(nats).sum()),
            estimates=estimates,
            headline="auroc",
            verdicts=tuple(Verdict(start, fired, None, one) for start, fired, one in places if isinstance(one, Reason)),
        )

    def prefix(self, explanation: str) -> str:
        """All that stands before the context."""
        turns = prompt_file("gloss.score", "surprisal").fill(explanation=quoted(explanation))
        return "\n\n".join(turn.text for turn in (turns[0], *turns[1 : 1 + self.worked_examples], turns[-1])) + "\n"


def asked(prefix: str, text: str) -> Prompt:
    """How likely is the text after the prefix?"""
    return Prompt((Message(PLAIN, prefix + text),), max_tokens=1, prompt_logprobs=0)


def saved(answers: tuple[Answer, Answer], prefixes: tuple[str, str]) -> float | Reason:
    """The nats by which the text is likelier after the first prefix than after the second, or why that is not known."""
    tokens: list[Sequence[PromptToken]] = []
    for answer, prefix in zip(answers, prefixes, strict=True):
        if answer.prompt_logprobs is None:
            return answer.reason or Reason.UNPARSABLE
        tokens.append(after(answer.prompt_logprobs, len(prefix)))
    told, untold = tokens
    same = [one.token for one in told] == [one.token for one in untold]
    logprobs = [one.logprob for one in (*told, *untold)]
    if not same or None in logprobs:
        return Reason.UNPARSABLE  # only sums over the same tokens can be compared
    return sum(one.logprob or 0.0 for one in told) - sum(one.logprob or 0.0 for one in untold)


def after(tokens: Sequence[PromptToken], start: int) -> Sequence[PromptToken]:
    """The tokens of the text that begins there; one that reaches across the beginning belongs to it."""
    return [one for one in tokens if one.start >= start or one.end > start]


def sides(firing: Contexts, silent: Contexts) -> tuple[list[int], Bool[ndarray, " context"], Bool[ndarray, " context"]]:
    """Where each context starts, whether it fires, and whether it is silent at a favourite token."""
    fires = np.repeat([True, False], [len(firing), len(silent)])
    quantiles = np.concatenate([firing.quantiles, silent.quantiles])
    return [*firing.starts.tolist(), *silent.starts.tolist()], fires, ~fires & (quantiles == HARD)


def means(nats: Float64[ndarray, " context"], fires: Bool[ndarray, " context"], rng: np.random.Generator) -> dict[str, Estimate]:
    """Mean nats saved in a context of each kind; one that failed saves nothing."""
    values = np.nan_to_num(nats)
    sides = {"nats_saved_firing": values[fires], "nats_saved_silent": values[~fires]}
    return {name: bootstrap(lambda x: x.mean(axis=-1), part, rng=rng) for name, part in sides.items()}
