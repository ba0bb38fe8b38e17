"""What a feature makes the subject say: how a page shows effects of interventions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gloss.browse.figures import decimal, interval, nats, strength, whole
from gloss.browse.heatmap import spelled, visible
from gloss.browse.model import FeaturePage
from gloss.records import Control, Effect, Shift, Split

TOKENS = 6  # of each list
COMPLETIONS = 3
TAIL = 48  # characters of a prompt, its last ones
USUAL = 1.0  # nats; the divergence nearest to it is shown first


@dataclass(frozen=True, slots=True)
class ShiftLine:
    """A token that rises or falls, written out."""

    token: str
    change: str
    interval: str
    told: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The tokens that one intervention moves."""

    whose: str
    note: str
    risen: tuple[ShiftLine, ...]
    fallen: tuple[ShiftLine, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """One prompt gone on with: as the subject is, with the feature, and along a random direction where there is one."""

    prompt: str
    clean: str
    edited: str
    random: str | None


@dataclass(frozen=True, slots=True)
class EffectView:
    """The feature beside a random direction, at one divergence."""

    target: str
    note: str
    moved: tuple[Moved, ...]
    passages: tuple[Passage, ...]


def effects(page: FeaturePage) -> tuple[EffectView, ...]:
    """After held-out prompts, one view a target, the one nearest to a nat first."""
    found = [effect for effect in page.effects if effect.split is Split.HELD_OUT and effect.target]
    own = [effect for effect in found if effect.control is Control.NONE]
    random = {effect.target: effect for effect in found if effect.control is Control.RANDOM_DIRECTION}
    own.sort(key=lambda effect: abs(math.log((effect.target or USUAL) / USUAL)))
    return tuple(_view(effect, random.get(effect.target), page.statistics.strongest) for effect in own)


def _view(own: Effect, random: Effect | None, strongest: float) -> EffectView:
    both = [own] if random is None else [own, random]
    others = [visible(pair.edited) for pair in random.completions] if random else [None] * len(own.completions)
    return EffectView(
        target=nats(own.target or 0.0),
        note=_measured(own, strongest),
        moved=tuple(Moved(_whose(one), _reached(one), _lines(one.risen), _lines(one.fallen)) for one in both),
        passages=tuple(
            Passage(_end(pair.prompt), visible(pair.clean), visible(pair.edited), other)
            for pair, other in zip(own.completions, others, strict=True)
        )[:COMPLETIONS],
    )


def _measured(effect: Effect, strongest: float) -> str:
    """On how many prompts, and how strong an edit it took."""
    prompts = f"After {whole(effect.n)} held-out prompts"
    if effect.choosing:
        prompts += f", of which {whole(effect.choosing)} chose the tokens and {whole(effect.n - effect.choosing)} measured them"
    else:
        prompts += ", too few to choose the tokens on others than measure them, which flatters"
    added = f"activation + {strength(effect.strength)}"
    return (
        f"{prompts}; {added}, {strength(effect.strength / strongest)} times its strongest" if strongest else f"{prompts}; {added}"
    )


def _whose(effect: Effect) -> str:
    return "The feature" if effect.control is Control.NONE else "A random direction"


def _reached(effect: Effect) -> str:
    return f"{decimal(effect.divergence.value)} nats {interval(effect.divergence)}".rstrip()


def _lines(shifts: Sequence[Shift]) -> tuple[ShiftLine, ...]:
    return tuple(
        ShiftLine(
            token=spelled(shift.text),
            change=decimal(shift.change.value),
            interval=interval(shift.change),
            told=f"probability {shift.clean:.2g} → {shift.edited:.2g}",
        )
        for shift in shifts[:TOKENS]
    )


def _end(prompt: str) -> str:
    shown = visible(prompt)
    return shown if len(shown) <= TAIL else f"…{shown[-TAIL:]}"
