"""Effects made by hand over the vocabulary of one_word, and the evidence that holds them."""

from dataclasses import replace

import numpy as np

from gloss.records import Completion, Control, EditKind, Effect, Estimate, Shift
from gloss.store.evidence import Evidence
from score.one_word import FEATURE, VOCABULARY, evidence

SIZE = len(VOCABULARY)


def effect(
    risen: tuple[int, ...],
    target: float = 1.0,
    control: Control = Control.NONE,
    completions: tuple[Completion, ...] = (),
    kept: int = SIZE,
) -> Effect:
    """These tokens rise, in this order, then all others; the last of `risen` does so unreliably."""
    rest = [token for token in range(SIZE) if token not in risen]
    ranking = [*risen, *rest]
    shifts = [
        Shift(
            token,
            VOCABULARY.strings[token],
            Estimate(1.0, -0.1 if token == risen[-1] else 0.5, 1.5),
            0.01,
            0.1,
        )
        for token in risen
    ]
    return Effect(
        FEATURE,
        EditKind.ADD,
        3.0,
        Estimate(target, target, target),
        target,
        16,
        8,
        tuple(shifts),
        (),
        completions,
        control,
        ranking=tuple(ranking[: kept // 2] + ranking[SIZE - (kept - kept // 2) :]),
    )


def material(*effects: Effect) -> Evidence:
    return replace(evidence(np.random.default_rng(0), firing=2, inactive=2), effects=effects)
