"""What a feature makes the subject say: how a page shows effects of interventions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gloss.pages.heatmap import spell_characters, visible_text
from gloss.pages.number_format import (
    format_decimal,
    format_interval,
    format_nats,
    format_strength,
    format_whole,
)
from gloss.pages.page_records import FeaturePage
from gloss.records import Control, Effect, Shift, Split

TOKENS = 6  # of each list
COMPLETIONS = 3
TAIL = 48  # characters of a prompt, its last ones
USUAL = 1.0  # nats; the KL nearest to it is shown first


@dataclass(frozen=True, slots=True)
class ShiftLine:
    """A token that rises or falls, written out."""

    token: str
    change: str
    interval: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class MovedTokens:
    """The tokens that one intervention moves."""

    whose: str
    note: str
    risen: tuple[ShiftLine, ...]
    fallen: tuple[ShiftLine, ...]


@dataclass(frozen=True, slots=True)
class CompletionLine:
    """One prompt gone on with: as the subject is, and with the feature.

    Along a random direction as well, where there is one.
    """

    prompt: str
    clean: str
    edited: str
    random: str | None


@dataclass(frozen=True, slots=True)
class EffectView:
    """The feature beside a random direction, at one KL."""

    target: str
    note: str
    moved: tuple[MovedTokens, ...]
    completions: tuple[CompletionLine, ...]


def effect_views(page: FeaturePage) -> tuple[EffectView, ...]:
    """After held-out prompts, one view a target, the one nearest to a nat first."""
    found = [effect for effect in page.effects if effect.split is Split.HELD_OUT and effect.target]
    own = [effect for effect in found if effect.control is Control.NONE]
    random = {
        effect.target: effect for effect in found if effect.control is Control.RANDOM_DIRECTION
    }
    own.sort(key=lambda effect: abs(math.log((effect.target or USUAL) / USUAL)))
    return tuple(
        _effect_view(effect, random.get(effect.target), page.statistics.strongest) for effect in own
    )


def _effect_view(own: Effect, random: Effect | None, strongest: float) -> EffectView:
    both = [own] if random is None else [own, random]
    others = (
        [visible_text(pair.edited) for pair in random.completions]
        if random
        else [None] * len(own.completions)
    )
    return EffectView(
        target=format_nats(own.target or 0.0),
        note=_measurement_note(own, strongest),
        moved=tuple(
            MovedTokens(
                _edit_name(one), _kl_note(one), _shift_lines(one.risen), _shift_lines(one.fallen)
            )
            for one in both
        ),
        completions=tuple(
            CompletionLine(
                _prompt_tail(pair.prompt),
                visible_text(pair.clean),
                visible_text(pair.edited),
                other,
            )
            for pair, other in zip(own.completions, others, strict=True)
        )[:COMPLETIONS],
    )


def _measurement_note(effect: Effect, strongest: float) -> str:
    """On how many prompts, and how strong an edit it took."""
    prompts = f"After {format_whole(effect.n)} held-out prompts"
    if effect.choosing:
        prompts += (
            f", of which {format_whole(effect.choosing)} chose the tokens and"
            f" {format_whole(effect.n - effect.choosing)} measured them"
        )
    else:
        prompts += ", too few to choose the tokens on others than measure them, which flatters"
    added = f"activation + {format_strength(effect.strength)}"
    return (
        f"{prompts}; {added}, {format_strength(effect.strength / strongest)} times its strongest"
        if strongest
        else f"{prompts}; {added}"
    )


def _edit_name(effect: Effect) -> str:
    return "The feature" if effect.control is Control.NONE else "A random direction"


def _kl_note(effect: Effect) -> str:
    return f"{format_decimal(effect.kl.value)} nats {format_interval(effect.kl)}".rstrip()


def _shift_lines(shifts: Sequence[Shift]) -> tuple[ShiftLine, ...]:
    return tuple(
        ShiftLine(
            token=spell_characters(shift.text),
            change=format_decimal(shift.change.value),
            interval=format_interval(shift.change),
            tooltip=f"probability {shift.clean:.2g} → {shift.edited:.2g}",
        )
        for shift in shifts[:TOKENS]
    )


def _prompt_tail(prompt: str) -> str:
    shown = visible_text(prompt)
    return shown if len(shown) <= TAIL else f"…{shown[-TAIL:]}"
