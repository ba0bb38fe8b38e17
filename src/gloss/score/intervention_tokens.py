"""Do the tokens that an explanation names become likelier when its feature is amplified?

Without any language model.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.errors import require_at_least
from gloss.models.chat_models.prompts import Conversation
from gloss.records import (
    Aspect,
    Control,
    Effect,
    Estimate,
    Explanation,
    Failure,
    Needs,
    Reason,
    Score,
)
from gloss.rules import parse_rule
from gloss.rules.language import After, Before, LineBegins, OneOf, Rule
from gloss.statistics.intervals import draw_rates, estimate_from_draws
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

# a JSON string between backticks, as explainers that name tokens write them
EXACT = re.compile(r'`("(?:[^"\\]|\\.)*")`')
LOOSE = re.compile(r'`` (.+?) ``|`([^`"]+)`|"([^"\n]{1,40})"|“([^”\n]{1,40})”')
METHOD = "intervention_tokens"
DRAWS = 2000
END = 0.25  # of a token, at either end of the ranking: one token at the top is not certainty


def named_tokens(explanation: Explanation, vocabulary: Vocabulary) -> Int64[ndarray, " token"]:
    """Their ids, ascending; none where it names none.

    A rule names the strings of its sets, wherever they stand. A text names what it quotes: a JSON
    string between backticks stands for exactly that token, anything else for every token that is
    the same but for blanks around it and capitals.
    """
    known = token_ids_by_string(vocabulary)
    if explanation.rule is not None:
        return unique_token_ids(
            [known[0].get(string, ()) for string in rule_strings(parse_rule(explanation.rule))]
        )
    exact = [json.loads(found) for found in EXACT.findall(explanation.text)]
    loose = ["".join(groups) for groups in LOOSE.findall(EXACT.sub("", explanation.text))]
    return unique_token_ids(
        [known[0].get(string, ()) for string in exact]
        + [known[1].get(casefolded_core(string), ()) for string in loose]
    )


def rule_strings(rule: Rule) -> list[str]:
    """The strings of every set in the rule that is not denied."""
    found: list[str] = []
    for alternative in rule.alternatives:
        for term in alternative.terms:
            condition = term.condition
            predicate = (
                condition.predicate
                if isinstance(condition, After | Before | LineBegins)
                else condition
            )
            if not term.negated and isinstance(predicate, OneOf):
                found += predicate.strings
    return found


@lru_cache(maxsize=2)
def token_ids_by_string(
    vocabulary: Vocabulary,
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The tokens of each string, and the tokens of each core."""
    exact: dict[str, tuple[int, ...]] = {}
    loose: dict[str, tuple[int, ...]] = {}
    for token, string in enumerate(vocabulary.strings):
        exact[string] = (*exact.get(string, ()), token)
        loose[casefolded_core(string)] = (*loose.get(casefolded_core(string), ()), token)
    return exact, loose


def casefolded_core(string: str) -> str:
    """The string without blanks around it and without capitals; blanks alone stay as they are."""
    return string.strip().casefold() or string


def unique_token_ids(found: list[tuple[int, ...]]) -> Int64[ndarray, " token"]:
    return np.unique(np.array([token for tokens in found for token in tokens], np.int64))


@dataclass(frozen=True)
class InterventionTokens:
    """Holds the named tokens against what rises after held-out prompts, at one KL, beside a random
    direction.
    """

    needs: ClassVar[Needs] = Needs(effects=True, about=(Aspect.OUTPUT,))
    kl: float = 1.0  # of the headline, in nats; one of [intervene]

    def __post_init__(self) -> None:
        require_at_least(1e-6, self, "kl")

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """F1 against the tokens that rise, and AUROC of the ranking of all tokens, at every KL.

        Yields no prompts.
        """
        yield from ()
        effect = effect_at(self.kl, evidence.effects)
        if effect is None:
            return unreached_kl_failure(explanation, self.kl)
        vocabulary = evidence.corpus.vocabulary
        named = named_tokens(explanation, vocabulary)
        if len(named) == 0:
            return Failure(
                explanation.feature,
                METHOD,
                Reason.NOT_APPLICABLE,
                "the explanation names no token of the vocabulary",
            )
        estimates = token_match_estimates(named, effect, len(vocabulary), rng)
        for other in evidence.effects:
            whose = "" if other.control is Control.NONE else f"_{other.control}"
            estimates[f"token_auroc{whose}_at_{other.target:g}_nats"] = named_token_auroc(
                named, other.ranking, len(vocabulary), rng
            )
        control = effect_at(self.kl, evidence.effects, Control.RANDOM_DIRECTION)
        if control is not None:
            estimates["token_f1_random_direction"] = token_match_estimates(
                named, control, len(vocabulary), rng
            )["token_f1"]
        return Score(
            explanation.feature, METHOD, explanation.method, len(named), 0, estimates, "token_f1"
        )


def effect_at(
    kl: float, effects: Collection[Effect], control: Control = Control.NONE
) -> Effect | None:
    """The effect that was calibrated to this KL."""
    return next(
        (effect for effect in effects if effect.control is control and effect.target == kl), None
    )


def unreached_kl_failure(explanation: Explanation, kl: float) -> Failure:
    """The failure of a feature without such an effect."""
    detail = (
        f"there is no effect at {kl:g} nats: [intervene] does not name it among kl, or no strength"
        " reaches it"
    )
    return Failure(explanation.feature, "score", Reason.UNREACHABLE, detail)


def token_match_estimates(
    named: Int64[ndarray, " token"], effect: Effect, size: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Precision, recall and F1 of the named tokens as a guess of those that rise, whose intervals
    lie above 0.

    Intervals redraw both rates under Jeffreys' prior, as if the tokens were drawn from many.
    """
    risen = [shift.token for shift in effect.risen if shift.change.low > 0]
    hits = int(np.isin(named, risen).sum())
    found = {
        "token_precision": Estimate.missing(),
        "token_recall": Estimate.missing(),
        "token_f1": Estimate.missing(),
    }
    guessed = 2 * len(named) * len(risen) / size / (len(named) + len(risen))
    found["token_f1_of_guessing"] = Estimate(guessed, guessed, guessed)
    if risen:
        right = len(risen) * draw_rates(hits, len(risen), rng=rng)
        wrong = (size - len(risen)) * draw_rates(len(named) - hits, size - len(risen), rng=rng)
        found["token_precision"] = estimate_from_draws(hits / len(named), right / (right + wrong))
        found["token_recall"] = estimate_from_draws(hits / len(risen), right / len(risen))
        found["token_f1"] = estimate_from_draws(
            2 * hits / (len(named) + len(risen)), 2 * right / (right + wrong + len(risen))
        )
    return found


def named_token_auroc(
    named: Int64[ndarray, " token"], ranking: tuple[int, ...], size: int, rng: np.random.Generator
) -> Estimate:
    """How often a named token rises further than another one.

    Those that the ranking leaves out tie. Chance is 1/2.

    The interval is that of a Bayesian bootstrap over the named tokens (Rubin, 1981), a quarter of a
    token at both ends.
    """
    level = ranking_levels(ranking, size)
    others = np.sort(np.delete(level, named))
    if len(others) == 0:
        return Estimate.missing()
    mine = level[named]
    above = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / (
        2 * len(others)
    )
    weights = rng.standard_exponential((DRAWS, len(named)))
    top, bottom = rng.standard_gamma(END, (2, DRAWS))
    return estimate_from_draws(
        float(above.mean()), (weights @ above + top) / (weights.sum(1) + top + bottom)
    )


def ranking_levels(ranking: tuple[int, ...], size: int) -> Float64[ndarray, " token"]:
    """How high each token of the vocabulary stands; 0 for those between the two ends that were
    kept.
    """
    level = np.zeros(size)
    half = len(ranking) // 2
    if ranking:
        level[list(ranking)] = np.arange(len(ranking), 0, -1) - (len(ranking) - half) - 0.5
    return level
