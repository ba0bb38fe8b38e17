"""Does what a rule names make the feature fire? Its tokens are put into silent text, which the subject reads again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray

from gloss.errors import BadInput, BadSettings
from gloss.models.prompts import Conversation
from gloss.records import PADDING, Explanation, Failure, Reason, Score
from gloss.rules import Passage, Rule, execute, parse
from gloss.rules.language import After, Alternative, Before, IsClass, LineBegins, Matches, OneOf, Predicate, State, Unit
from gloss.rules.lexicon import lexicon_of
from gloss.score.fired import Attempt, estimates, fired
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence

METHOD = "generation_by_rule"
NEWLINE = IsClass(Unit.TOKEN, "newline")
LINE = 4  # tokens at most from the first of a line to the place

Tokens = Int32[ndarray, " _"]


@dataclass(frozen=True)
class GenerationByRule:
    """Puts what the rule asks for into silent held-out contexts, and other tokens into the same places for contrast."""

    reads_texts: ClassVar[bool] = True
    texts: int = 30  # of either kind
    tries: int = 20  # ways to make the rule hold in one context

    def __post_init__(self) -> None:
        if min(self.texts, self.tries) < 1:
            raise BadSettings(f"{METHOD} was given texts={self.texts} and tries={self.tries}, wants at least 1 of each")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """How often the feature fires in either. Yields no prompts. Raises ValueError where the evidence has no reader."""
        yield from ()
        feature = evidence.examples.feature
        if evidence.reader is None:
            raise ValueError(f"{METHOD} runs the subject over texts: give evidence with a reader")
        if explanation.rule is None:
            return Failure(feature, METHOD, Reason.NOT_APPLICABLE, "the explanation has no rule to write by")
        try:
            rule = parse(explanation.rule)
        except BadInput as unreadable:
            return Failure(feature, METHOD, Reason.UNPARSABLE, str(unreadable))
        contexts = silent_under(rule, evidence, self.texts)
        pairs = [self.edited(rule, context, evidence.corpus, rng) for context in contexts]
        if not any(pairs):
            detail = f"the rule could not be made to hold in any of {len(contexts)} silent held-out contexts"
            return Failure(feature, METHOD, Reason.NOT_APPLICABLE, detail)
        own = fired([attempt(pair and pair[0]) for pair in pairs], evidence, truth=True)
        contrast = fired([attempt(pair and pair[1]) for pair in pairs], evidence, truth=False)
        measured = estimates(own, contrast, evidence, rng)
        verdicts = own.verdicts + contrast.verdicts
        headline = "firing_above_contrast"
        return Score(feature, METHOD, explanation.method, len(pairs), own.failed, measured, headline, verdicts=verdicts)

    def edited(self, rule: Rule, context: Tokens, corpus: Corpus, rng: np.random.Generator) -> tuple[Tokens, Tokens] | None:
        """The context with the rule holding at one place, and with other tokens in the same places; None where no try does it."""
        own: list[Tokens] = []
        contrast: list[Tokens] = []
        for _ in range(self.tries):
            alternative = rule.alternatives[rng.integers(len(rule.alternatives))]
            put = dict(wanted(alternative, int(rng.integers(len(context))), corpus, rng))
            places = [place for place, token in put.items() if 0 <= place < len(context) and token >= 0]
            if len(places) == len(put) and places:
                own.append(replaced(context, places, [put[place] for place in places]))
                contrast.append(replaced(context, places, rng.choice(corpus.tokens, len(places)).tolist()))
        claims = zip(held(rule, own, corpus), held(rule, contrast, corpus), strict=True)
        sound = [number for number, (right, wrong) in enumerate(claims) if right and not wrong]
        return (own[sound[0]], contrast[sound[0]]) if sound else None


def attempt(tokens: Tokens | None) -> Attempt:
    return Attempt(None, Reason.NOT_APPLICABLE) if tokens is None else Attempt(tokens)


def silent_under(rule: Rule, evidence: Evidence, number: int) -> list[Tokens]:
    """Silent held-out contexts in which the rule holds nowhere, read by themselves, as many as asked for or there are."""
    rows = [row[row != PADDING] for row in evidence.examples.silent_held_out.tokens]
    return [row for row, holds in zip(rows, held(rule, rows, evidence.corpus), strict=True) if not holds][:number]


def held(rule: Rule, sequences: Sequence[Tokens], corpus: Corpus) -> list[bool]:
    """Whether the rule holds anywhere in each sequence."""
    if not sequences:
        return []
    offsets = np.append(0, np.cumsum([len(sequence) for sequence in sequences])).astype(np.int64)
    strengths = execute(rule, Passage(np.concatenate(sequences), offsets, corpus.vocabulary.strings))
    return [bool(strengths[first:end].any()) for first, end in pairwise(offsets)]


def replaced(context: Tokens, places: Sequence[int], tokens: Sequence[int]) -> Tokens:
    edit = context.copy()
    edit[list(places)] = tokens
    return edit


def wanted(alternative: Alternative, place: int, corpus: Corpus, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Tokens, and where to put them, so that the alternative may hold at a place; what is negated is left to chance."""
    for condition in (term.condition for term in alternative.terms if not term.negated):
        match condition:
            case After(nearest, farthest, predicate):
                yield place - int(rng.integers(nearest, farthest + 1)), drawn(predicate, corpus, rng)
            case Before(nearest, farthest, predicate):
                yield place + int(rng.integers(nearest, farthest + 1)), drawn(predicate, corpus, rng)
            case LineBegins(predicate):
                first = place - int(rng.integers(1, LINE + 1))
                yield first - 1, drawn(NEWLINE, corpus, rng)
                yield first, drawn(predicate, corpus, rng)
            case State.START_OF_LINE:
                yield place - 1, drawn(NEWLINE, corpus, rng)
            case OneOf() | Matches() | IsClass():
                yield place, drawn(condition, corpus, rng)
            case _:
                pass


def drawn(predicate: Predicate, corpus: Corpus, rng: np.random.Generator) -> int:
    """A token of which the predicate holds, as likely as it is among such tokens in the corpus; -1 where there is none."""
    totals = cumulated(predicate, corpus)
    return int(np.searchsorted(totals, rng.random() * totals[-1], side="right")) if totals[-1] else -1


@lru_cache(maxsize=64)
def cumulated(predicate: Predicate, corpus: Corpus) -> Int64[ndarray, " vocabulary"]:
    """How often tokens up to each, of which the predicate holds, stand in the corpus."""
    counts = np.bincount(corpus.tokens, minlength=len(corpus.vocabulary))
    return np.cumsum(counts * lexicon_of(corpus.vocabulary.strings).table(predicate))
