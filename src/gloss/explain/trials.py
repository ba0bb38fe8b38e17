"""Trials: train contexts with a few tokens changed, and what the feature then does at one place of
each.

A text says what occurs together; only a change shows which of it matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from gloss.records import PADDING, Contexts
from gloss.rules import Passage, Rule, execute
from gloss.rules.execute import where_condition_holds, where_predicate_holds
from gloss.rules.language import (
    After,
    Alternative,
    Before,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    RuleTerm,
)
from gloss.rules.writing import TokenSupply, tokens_for_alternative
from gloss.store.evidence import NewTextReader

REACH = 8  # tokens before the place whose part is tried
TRIES = 8  # ways to change one context as a trial wants it
NO_POSITION = -1  # of a text that the corpus does not hold

Tokens = Int32[ndarray, " token"]


class Draft(NamedTuple):
    """A text to be read, and where to look."""

    tokens: Tokens
    place: int
    unit: int  # the document that it is made from, by its group of near copies
    expected: bool  # whether the feature is to fire there, if the hypothesis holds


@dataclass(frozen=True, eq=False)
class Trials:
    """What was read, in the order in which it was asked for."""

    drafts: tuple[Draft, ...] = ()
    # at each one's place
    activations: Float32[ndarray, " trial"] = field(default_factory=lambda: np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.drafts)

    def __add__(self, other: "Trials") -> "Trials":
        return Trials(
            self.drafts + other.drafts, np.concatenate([self.activations, other.activations])
        )

    @property
    def fires(self) -> Bool[ndarray, " trial"]:
        return self.activations > 0

    def contexts(self, width: int) -> Contexts:
        """Each as a window of its own, in which nothing counts but the place."""
        number, places = len(self), np.array([draft.place for draft in self.drafts], np.int64)
        tokens = np.full((number, width), PADDING, np.int32)
        for row, draft in enumerate(self.drafts):
            tokens[row, : len(draft.tokens)] = draft.tokens
        activations = np.zeros((number, width), np.float32)
        activations[np.arange(number), places] = self.activations
        left_out = np.ones((number, width), bool)
        left_out[np.arange(number), places] = False
        units = np.array([draft.unit for draft in self.drafts], np.int64)
        return Contexts(
            np.full(number, NO_POSITION),
            units,
            np.zeros(number, np.int64),
            tokens,
            activations,
            np.zeros(number, np.int64),
            left_out=left_out,
        )

    def predicted(self, rule: Rule, strings: tuple[str, ...]) -> Bool[ndarray, " trial"]:
        """Whether the rule says that the feature fires at each place."""
        if not self.drafts:
            return np.empty(0, bool)
        return execute(rule, drafts_passage(self.drafts, strings))[absolute_places(self.drafts)] > 0


def read_drafts(drafts: Sequence[Draft], reader: NewTextReader, feature: int) -> Trials:
    """Have the subject read the texts."""
    values = reader.read([draft.tokens for draft in drafts], feature)
    return Trials(
        tuple(drafts),
        np.array([v[d.place] for v, d in zip(values, drafts, strict=True)], np.float32),
    )


def unchanged_drafts(contexts: Contexts) -> list[Draft]:
    """The contexts as they are, each to be looked at where the feature is strongest."""
    found: list[Draft] = []
    for tokens, activations, unit in zip(
        contexts.tokens, contexts.activations, contexts.units.tolist(), strict=True
    ):
        real = tokens != PADDING
        found.append(Draft(tokens[real], int(activations[real].argmax()), unit, expected=True))
    return found


def scanning_drafts(
    starts: Sequence[Draft], number: int, supply: TokenSupply, rng: np.random.Generator
) -> list[Draft]:
    """Each start with one token replaced, of the place and of those before it in turn.

    Nothing is expected but that most of them do not matter.
    """
    found: list[Draft] = []
    for turn in range(number):
        start = starts[turn % len(starts)]
        at = start.place - (turn // len(starts)) % min(REACH + 1, start.place + 1)
        found.append(replaced(start, {at: supply.draw(None, rng)}, expected=at != start.place))
    return found


def breaking_drafts(
    rule: Rule,
    starts: Sequence[Draft],
    number: int,
    supply: TokenSupply,
    rng: np.random.Generator,
) -> list[Draft]:
    """Starts in which an alternative holds, with one of its terms made false and nothing else: if
    the rule is right, the feature is silent there.
    """
    targets: list[tuple[Draft, Alternative, RuleTerm]] = []
    for alternative in rule.alternatives:
        holds = terms_hold(alternative.terms, starts, supply.strings)
        targets += [
            (start, alternative, term)
            for start, inside in zip(starts, holds, strict=True)
            if inside
            for term in alternative.terms
        ]
    rng.shuffle(targets)
    found: list[Draft] = []
    for start, alternative, term in targets[: 2 * number]:
        tried = [
            replaced(start, put, expected=False)
            for _ in range(TRIES)
            if (put := flipping_tokens(term, start, supply, rng))
        ]
        silent = ~Trials(tuple(tried)).predicted(rule, supply.strings)
        others = tuple(each for each in alternative.terms if each != term)
        kept = terms_hold(others, tried, supply.strings)
        found += [draft for draft, sound in zip(tried, silent & kept, strict=True) if sound][:1]
    return found[:number]


def making_drafts(
    rule: Rule, inactive: Contexts, number: int, supply: TokenSupply, rng: np.random.Generator
) -> list[Draft]:
    """Inactive contexts in which the rule holds nowhere, changed so that it does: if it is right,
    the feature fires there.
    """
    found: list[Draft] = []
    for turn, row in enumerate(rng.permutation(len(inactive))[: 2 * number].tolist()):
        tokens, unit = inactive.tokens[row], int(inactive.units[row])
        tokens = tokens[tokens != PADDING]
        alternative = rule.alternatives[turn % len(rule.alternatives)]
        tried: list[Draft] = []
        for _ in range(TRIES):
            place = int(rng.integers(len(tokens)))
            put = dict(tokens_for_alternative(alternative, place, supply, rng))
            if put and all(0 <= at < len(tokens) and token >= 0 for at, token in put.items()):
                tried.append(replaced(Draft(tokens, place, unit, expected=True), put))
        sound = Trials(tuple(tried)).predicted(rule, supply.strings)
        found += [draft for draft, holds in zip(tried, sound, strict=True) if holds][:1]
    return found[:number]


def replaced(draft: Draft, put: dict[int, int], *, expected: bool = True) -> Draft:
    """The draft with other tokens at some positions."""
    tokens = draft.tokens.copy()
    tokens[list(put)] = list(put.values())
    return draft._replace(tokens=tokens, expected=expected)


def flipping_tokens(
    term: RuleTerm, start: Draft, supply: TokenSupply, rng: np.random.Generator
) -> dict[int, int]:
    """Where to put which tokens so that the term may turn false; empty where no way is known."""
    condition, place = term.condition, start.place
    passage = drafts_passage([start], supply.strings)
    match condition:
        case After(nearest, farthest, predicate) | Before(nearest, farthest, predicate):
            side = -1 if isinstance(condition, After) else 1
            positions = [
                at
                for distance in range(nearest, farthest + 1)
                if 0 <= (at := place + side * distance) < len(start.tokens)
            ]
        case OneOf() | Matches() | IsClass():
            predicate, positions = condition, [place]
        case LineBegins(predicate):
            head = int(passage.line_heads[place])
            positions = [head] if head >= 0 else []
        case _:
            return {}
    if term.negated:
        token = supply.draw(predicate, rng)
        return {int(rng.choice(positions)): token} if positions and token >= 0 else {}
    holds = where_predicate_holds(predicate, passage)
    return {at: supply.draw(None, rng) for at in positions if holds[at]}


def terms_hold(
    terms: Sequence[RuleTerm], drafts: Sequence[Draft], strings: tuple[str, ...]
) -> Bool[ndarray, " draft"]:
    """Whether all terms hold at each place."""
    if not drafts:
        return np.empty(0, bool)
    passage, places = drafts_passage(drafts, strings), absolute_places(drafts)
    held = np.ones(len(drafts), bool)
    for term in terms:
        held &= where_condition_holds(term.condition, passage)[places] ^ term.negated
    return held


def drafts_passage(drafts: Sequence[Draft], strings: tuple[str, ...]) -> Passage:
    """The drafts as rules read them, each by itself."""
    return Passage(np.concatenate([draft.tokens for draft in drafts]), ends_of(drafts), strings)


def absolute_places(drafts: Sequence[Draft]) -> Int64[ndarray, " draft"]:
    """Each place as an index into the passage of all."""
    return ends_of(drafts)[:-1] + np.array([draft.place for draft in drafts], np.int64)


def ends_of(drafts: Sequence[Draft]) -> Int64[ndarray, " draft_and_end"]:
    return np.cumsum([0, *(len(draft.tokens) for draft in drafts)]).astype(np.int64)
