"""The record of an attribution: all that was asked and found, as JSON holds it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gloss.attribute.bases import Basis
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.interactions import Interactions


def attribution_record(
    question: AttributionQuestion,
    settings: Mapping[str, Any],
    named_game: NamedGame,
    found: Interactions,
) -> Mapping[str, Any]:
    """All that was asked and found, as JSON holds it."""
    own = found.into(Basis.MOBIUS)
    trust = found.faithfulness
    return {
        "question": asdict(question),
        "settings": dict(settings),
        "value": named_game.value,
        "told": list(named_game.told),
        "players": list(found.players),
        "coefficients": {
            "mobius": coefficient_rows(own),
            "fourier": coefficient_rows(found.into(Basis.FOURIER)),
        },
        "method": found.method,
        "evaluations": found.evaluations,
        "failed": found.failed,
        "held_out_r2": {
            "value": trust.r2.value,
            "low": trust.r2.low,
            "high": trust.r2.high,
            "n": trust.n,
            "over_all_masks": trust.whole,
        },
        "explained": trust.explained,
        "said": found.summary_sentence(),
    }


def coefficient_rows(found: Interactions) -> list[dict[str, Any]]:
    """Every set with its coefficient, the strongest first."""
    return [
        {"players": list(each), "value": value}
        for each, value in found.strongest(len(found.coefficients), least_order=0)
    ]
