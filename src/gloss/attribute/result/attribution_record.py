"""The record of an attribution: all that was asked and found, as JSON holds it."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gloss.attribute.bases import Basis
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.interaction_terms import (
    InteractionTerm,
    player_terms,
    set_terms,
    share_of_rest,
    variation_shares,
)
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.over_prompts import OverPrompts
from gloss.records import Estimate


def attribution_record(
    question: AttributionQuestion,
    settings: Mapping[str, Any],
    named_game: NamedGame,
    found: Interactions,
) -> Mapping[str, Any]:
    """All that was asked and found, as JSON holds it; null where there is no number."""
    return {
        "question": asdict(question),
        "settings": dict(settings),
        "value": named_game.value,
        "told": list(named_game.told),
        **interactions_record(found),
    }


def interactions_record(found: Interactions) -> dict[str, Any]:
    """What was found among some players, and how far it is to be trusted."""
    own = found.into(Basis.MOBIUS)
    trust, measured = found.faithfulness, found.measured
    return {
        "with_everything": number_or_null(measured.everybody) if measured else None,
        "with_nothing": number_or_null(measured.nobody) if measured else None,
        "over_prompts": over_prompts_row(found.over_prompts),
        "players": list(found.players),
        # true of the game, or of the method's account alone
        "averages_are_of": "game" if found.averages else "account",
        "single_players": [term_row(term) for term in player_terms(found)],
        "sets": [term_row(term) for term in set_terms(found)],
        "share_of_variation": {str(size): share for size, share in variation_shares(found).items()},
        "share_of_many_sets": share_of_rest(found),
        "coefficients": {
            "mobius": coefficient_rows(own),
            "fourier": coefficient_rows(found.into(Basis.FOURIER)),
        },
        "method": found.method,
        "evaluations": found.evaluations,
        "failed": found.failed,
        "held_out_r2": {
            "value": number_or_null(trust.r2.value),
            "low": number_or_null(trust.r2.low),
            "high": number_or_null(trust.r2.high),
            "n": trust.n,
            "over_all_masks": trust.whole,
        },
        "near_r2": near_r2(trust),
        "noise": noise_row(trust),
        "proxy": found.proxy.as_json() if found.proxy else None,
        "explained": trust.explained,
        "said": found.summary_sentence(),
    }


def over_prompts_row(over: OverPrompts | None) -> dict[str, Any] | None:
    """How many prompts a mean game is of, and its ends with intervals over them."""
    if over is None:
        return None
    return {
        "prompts": over.prompts,
        "right": over.right,
        "with_everything": interval_row(over.everybody),
        "with_nothing": interval_row(over.nobody),
    }


def interval_row(found: Estimate) -> dict[str, float | None]:
    """A number with the ends of its interval."""
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {name: number_or_null(each) for name, each in ends.items()}


def near_r2(trust: Faithfulness) -> dict[str, Any] | None:
    """R2 on masks near the whole; None where there were none."""
    if not trust.near_n:
        return None
    return {
        "value": number_or_null(trust.near.value),
        "low": number_or_null(trust.near.low),
        "high": number_or_null(trust.near.high),
        "n": trust.near_n,
        "kept": trust.kept / 100,
    }


def noise_row(trust: Faithfulness) -> dict[str, Any] | None:
    """How much values differ when they are asked for again; None where none was."""
    if trust.noise is None:
        return None
    return {
        "deviation": trust.noise.deviation,
        "masks": trust.noise.masks,
        "most_r2": number_or_null(trust.most),
    }


def term_row(term: InteractionTerm) -> dict[str, Any]:
    """A player or a set: what it does on average, and what was measured of it."""
    return {
        "players": list(term.players),
        "average": number_or_null(term.average.value),
        "low": number_or_null(term.average.low),
        "high": number_or_null(term.average.high),
        "lost": number_or_null(term.lost),
        "alone": number_or_null(term.alone),
        "kind": None if term.kind is None else str(term.kind),
    } | {
        name: interval_row(interval)
        for name, interval in (
            ("lost_over_prompts", term.lost_interval),
            ("alone_over_prompts", term.alone_interval),
        )
        if math.isfinite(interval.low)
    }


def number_or_null(value: float) -> float | None:
    """JSON has no word for what is not a number."""
    return float(value) if math.isfinite(value) else None


def coefficient_rows(found: Interactions) -> list[dict[str, Any]]:
    """Every set with its coefficient, the strongest first."""
    return [
        {"players": list(each), "value": value}
        for each, value in found.strongest(len(found.coefficients), least_order=0)
    ]
