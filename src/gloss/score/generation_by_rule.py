"""Does what a rule names make the feature fire?

Its tokens are put into inactive text, which the subject reads again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from gloss.errors import BadInput, BadSettings
from gloss.models.chat_models.prompts import Conversation
from gloss.records import PADDING, Explanation, Failure, Needs, Reason, Score
from gloss.rules import Passage, Rule, execute, parse_rule
from gloss.rules.writing import tokens_for_alternative
from gloss.score.new_texts import (
    TextAttempt,
    active_in_new_texts,
    new_text_estimates,
    require_reader,
)
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence

METHOD = "generation_by_rule"

TokenIds = Int32[ndarray, " _"]


@dataclass(frozen=True)
class GenerationByRule:
    """Puts what the rule asks for into inactive held-out contexts, and other tokens into the same
    places for contrast.
    """

    needs: ClassVar[Needs] = Needs(texts=True)
    texts: int = 30  # of either kind
    tries: int = 20  # ways to make the rule hold in one context

    def __post_init__(self) -> None:
        if min(self.texts, self.tries) < 1:
            raise BadSettings(
                f"{METHOD} was given texts={self.texts} and tries={self.tries}, wants at least 1 of"
                " each"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """How often the feature fires in either.

        Yields no prompts. Raises BadInput where the evidence has no reader.
        """
        yield from ()
        feature = evidence.examples.feature
        require_reader(evidence, METHOD)
        if explanation.rule is None:
            return Failure(
                feature, METHOD, Reason.NOT_APPLICABLE, "the explanation has no rule to write by"
            )
        try:
            rule = parse_rule(explanation.rule)
        except BadInput as unreadable:
            return Failure(feature, METHOD, Reason.UNPARSABLE, str(unreadable))
        contexts = contexts_without_rule(rule, evidence, self.texts)
        pairs = [self.edit_context(rule, context, evidence.corpus, rng) for context in contexts]
        if not any(pairs):
            detail = (
                f"the rule could not be made to hold in any of {len(contexts)} inactive held-out"
                " contexts"
            )
            return Failure(feature, METHOD, Reason.NOT_APPLICABLE, detail)
        own = active_in_new_texts(
            [edited_attempt(pair and pair[0]) for pair in pairs], evidence, truth=True
        )
        contrast = active_in_new_texts(
            [edited_attempt(pair and pair[1]) for pair in pairs], evidence, truth=False
        )
        measured = new_text_estimates(own, contrast, evidence, rng)
        verdicts = own.verdicts + contrast.verdicts
        headline = "firing_above_contrast"
        return Score(
            feature,
            METHOD,
            explanation.method,
            len(pairs),
            own.failed,
            measured,
            headline,
            verdicts=verdicts,
        )

    def edit_context(
        self, rule: Rule, context: TokenIds, corpus: Corpus, rng: np.random.Generator
    ) -> tuple[TokenIds, TokenIds] | None:
        """The context with the rule holding at one place, and with other tokens in the same places;
        None where no try does it.
        """
        own: list[TokenIds] = []
        contrast: list[TokenIds] = []
        supply = corpus.token_supply
        for _ in range(self.tries):
            alternative = rule.alternatives[rng.integers(len(rule.alternatives))]
            put = dict(
                tokens_for_alternative(alternative, int(rng.integers(len(context))), supply, rng)
            )
            places = [
                place for place, token in put.items() if 0 <= place < len(context) and token >= 0
            ]
            if len(places) == len(put) and places:
                own.append(replace_tokens(context, places, [put[place] for place in places]))
                contrast.append(
                    replace_tokens(context, places, rng.choice(corpus.tokens, len(places)).tolist())
                )
        claims = zip(
            rule_holds_anywhere(rule, own, corpus),
            rule_holds_anywhere(rule, contrast, corpus),
            strict=True,
        )
        sound = [number for number, (right, wrong) in enumerate(claims) if right and not wrong]
        return (own[sound[0]], contrast[sound[0]]) if sound else None


def edited_attempt(tokens: TokenIds | None) -> TextAttempt:
    return TextAttempt(None, Reason.NOT_APPLICABLE) if tokens is None else TextAttempt(tokens)


def contexts_without_rule(rule: Rule, evidence: Evidence, number: int) -> list[TokenIds]:
    """Inactive held-out contexts in which the rule holds nowhere, read by themselves, as many as
    asked for or there are.
    """
    rows = [row[row != PADDING] for row in evidence.examples.inactive_held_out.tokens]
    return [
        row
        for row, holds in zip(rows, rule_holds_anywhere(rule, rows, evidence.corpus), strict=True)
        if not holds
    ][:number]


def rule_holds_anywhere(rule: Rule, sequences: Sequence[TokenIds], corpus: Corpus) -> list[bool]:
    """Whether the rule holds anywhere in each sequence."""
    if not sequences:
        return []
    offsets = np.append(0, np.cumsum([len(sequence) for sequence in sequences])).astype(np.int64)
    strengths = execute(
        rule, Passage(np.concatenate(sequences), offsets, corpus.vocabulary.strings)
    )
    return [bool(strengths[first:end].any()) for first, end in pairwise(offsets)]


def replace_tokens(context: TokenIds, places: Sequence[int], tokens: Sequence[int]) -> TokenIds:
    edit = context.copy()
    edit[list(places)] = tokens
    return edit
