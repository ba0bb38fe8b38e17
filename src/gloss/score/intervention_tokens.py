"""Do the tokens that an explanation names become likelier when its feature is amplified? Without any language model."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.errors import require_at_least
from gloss.models.prompts import Conversation
from gloss.records import Control, Effect, Estimate, Explanation, Failure, Reason, Score
from gloss.score.intervals import from_draws, rate_draws
from gloss.score.named_tokens import named_tokens
from gloss.store.evidence import Evidence

METHOD = "intervention_tokens"
DRAWS = 2000
END = 0.25  # of a token, at either end of the ranking: one token at the top is not certainty


@dataclass(frozen=True)
class InterventionTokens:
    """Holds the named tokens against what rises after held-out prompts, at one divergence, beside a random direction."""

    reads_effects: ClassVar[bool] = True
    kl: float = 1.0  # of the headline, in nats; one of [intervene]

    def __post_init__(self) -> None:
        require_at_least(1e-6, self, "kl")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """F1 against the tokens that rise, and AUROC of the ranking of all tokens, at every divergence. Yields no prompts."""
        yield from ()
        effect = effect_at(self.kl, evidence.effects)
        if effect is None:
            return unreached(explanation, self.kl)
        vocabulary = evidence.corpus.vocabulary
        named = named_tokens(explanation, vocabulary)
        if len(named) == 0:
            return Failure(explanation.feature, METHOD, Reason.NOT_APPLICABLE, "the explanation names no token of the vocabulary")
        estimates = matched(named, effect, len(vocabulary), rng)
        for other in evidence.effects:
            whose = "" if other.control is Control.NONE else f"_{other.control}"
            estimates[f"token_auroc{whose}_at_{other.target:g}_nats"] = area(named, other.ranking, len(vocabulary), rng)
        control = effect_at(self.kl, evidence.effects, Control.RANDOM_DIRECTION)
        if control is not None:
            estimates["token_f1_random_direction"] = matched(named, control, len(vocabulary), rng)["token_f1"]
        return Score(explanation.feature, METHOD, explanation.method, len(named), 0, estimates, "token_f1")


def effect_at(kl: float, effects: Collection[Effect], control: Control = Control.NONE) -> Effect | None:
    """The effect that was calibrated to this divergence."""
    return next((effect for effect in effects if effect.control is control and effect.target == kl), None)


def unreached(explanation: Explanation, kl: float) -> Failure:
    """The failure of a feature without such an effect."""
    detail = f"there is no effect at {kl:g} nats: [intervene] does not name it among kl, or no strength reaches it"
    return Failure(explanation.feature, "score", Reason.UNREACHABLE, detail)


def matched(named: Int64[ndarray, " token"], effect: Effect, size: int, rng: np.random.Generator) -> dict[str, Estimate]:
    """Precision, recall and F1 of the named tokens as a guess of those that rise, whose intervals lie above 0.

    Intervals redraw both rates under Jeffreys' prior, as if the tokens were drawn from many.
    """
    risen = [shift.token for shift in effect.risen if shift.change.low > 0]
    hits = int(np.isin(named, risen).sum())
    found = {"token_precision": Estimate.missing(), "token_recall": Estimate.missing(), "token_f1": Estimate.missing()}
    guessed = 2 * len(named) * len(risen) / size / (len(named) + len(risen))
    found["token_f1_of_guessing"] = Estimate(guessed, guessed, guessed)
    if risen:
        right = len(risen) * rate_draws(hits, len(risen), rng=rng)
        wrong = (size - len(risen)) * rate_draws(len(named) - hits, size - len(risen), rng=rng)
        found["token_precision"] = from_draws(hits / len(named), right / (right + wrong))
        found["token_recall"] = from_draws(hits / len(risen), right / len(risen))
        found["token_f1"] = from_draws(2 * hits / (len(named) + len(risen)), 2 * right / (right + wrong + len(risen)))
    return found


def area(named: Int64[ndarray, " token"], ranking: tuple[int, ...], size: int, rng: np.random.Generator) -> Estimate:
    """How often a named token rises further than another one; those that the ranking leaves out tie. Chance is 1/2.

    The interval is that of a Bayesian bootstrap over the named tokens (Rubin, 1981), a quarter of a token at both ends.
    """
    level = levels(ranking, size)
    others = np.sort(np.delete(level, named))
    if len(others) == 0:
        return Estimate.missing()
    mine = level[named]
    above = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / (2 * len(others))
    weights = rng.standard_exponential((DRAWS, len(named)))
    top, bottom = rng.standard_gamma(END, (2, DRAWS))
    return from_draws(float(above.mean()), (weights @ above + top) / (weights.sum(1) + top + bottom))


def levels(ranking: tuple[int, ...], size: int) -> Float64[ndarray, " token"]:
    """How high each token of the vocabulary stands; 0 for those between the two ends that were kept."""
    level = np.zeros(size)
    half = len(ranking) // 2
    if ranking:
        level[list(ranking)] = np.arange(len(ranking), 0, -1) - (len(ranking) - half) - 0.5
    return level
