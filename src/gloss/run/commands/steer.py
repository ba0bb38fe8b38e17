"""Print what the subject writes as it is and with a feature changed, side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from gloss.errors import BadInput, BadSettings
from gloss.intervene.baseline import Baseline, prompt_tokens
from gloss.intervene.edits import DirectionEdit, FeatureEdit, random_direction
from gloss.intervene.effect_measurement import EffectOptions, measure_effect
from gloss.intervene.strength_calibration import StrengthCalibration, calibrate_strength
from gloss.models.dictionary import require_fit
from gloss.records import Control, EditKind, Effect, Estimate, Failure, FeatureId, Shift
from gloss.run.progress import out
from gloss.run.sources import NamedFeature

LARGEST = 1e12  # strength: beyond it the vectors are all edit, and their squares overflow


@dataclass(frozen=True, slots=True)
class SteeringSettings:
    """What is done to the feature, how strongly, and how much is written."""

    edit: str = "add"
    strength: float | None = None
    kl: float | None = None
    new_tokens: int = 24
    control: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("strength", "kl") if getattr(self, name) is not None]
        if self.edit not in list(EditKind):
            raise BadSettings(
                f"--edit {self.edit}: there is no such edit; choose add, set or ablate"
            )
        if self.edit == EditKind.ABLATE and given:
            raise BadSettings(
                f"--edit ablate takes the feature away and has no strength; leave --{given[0]} out"
            )
        if self.edit != EditKind.ABLATE and len(given) != 1:
            raise BadSettings(
                "give one of --strength, in units of the feature's activation, and --kl, in nats"
            )
        if self.strength is not None and not abs(self.strength) <= LARGEST:
            raise BadSettings(
                f"--strength is {self.strength}; give a number of {LARGEST:g} at most, in units of"
                " the feature's activation"
            )
        if self.control and self.kl is None:
            raise BadSettings(
                "a random direction is comparable at equal KL alone; give --kl with --control"
            )
        if self.new_tokens < 1:
            raise BadSettings(f"--tokens {self.new_tokens}: wanted at least 1")


def print_steering(
    source: NamedFeature, prompts: Sequence[str], steering: SteeringSettings
) -> None:
    """Steer and print.

    Raises BadInput for a feature that there is not or an empty prompt, Mismatch for a dictionary
    that does not fit, and BadSettings for a KL that no strength reaches.
    """
    feature = source.index
    if not prompts or not all(prompts):
        raise BadInput(
            'there is no prompt to go on from, or an empty one; give a text, as in "def main("'
        )
    subject = source.model.load()
    dictionary = source.dictionary.load(subject)
    require_fit(dictionary, subject)
    intervention = FeatureEdit(dictionary, feature, EditKind(steering.edit))
    baseline = Baseline.of(subject, prompt_tokens(subject, prompts), dictionary.writes)
    name = FeatureId(source.dictionary.name, feature)
    found = steered_effect(baseline, intervention, name, steering)
    print_effect(found, f"{steering.edit} feature {feature} at {dictionary.writes}")
    if steering.control:
        instead = random_direction(
            intervention, dictionary.decoder_directions.shape[1], np.random.default_rng(1)
        )
        print_effect(
            steered_effect(baseline, instead, name, steering),
            "control: a random direction of the same KL",
        )


def steered_effect(
    baseline: Baseline,
    intervention: FeatureEdit | DirectionEdit,
    name: FeatureId,
    steering: SteeringSettings,
) -> Effect:
    """The effect at the strength that was given, or at the one that reaches the KL that was asked
    for.
    """
    strength: float | StrengthCalibration = steering.strength or 0.0
    if steering.kl is not None:
        found = calibrate_strength(baseline, intervention, steering.kl, name)
        if isinstance(found, Failure):
            what = (
                f"feature {name.index}"
                if intervention.control is Control.NONE
                else "a random direction"
            )
            raise BadSettings(
                f"{what} cannot be brought to {found.detail}; give another --kl, or a --strength"
            )
        strength = found
    effect_options = EffectOptions(completions=len(baseline), new_tokens=steering.new_tokens)
    return measure_effect(
        baseline, intervention, strength, name, np.random.default_rng(0), effect_options
    )


def print_effect(effect: Effect, title: str) -> None:
    """Completions side by side, then the KL, then the tokens that moved."""
    texts = Table("clean", "steered", title=title, show_lines=True)
    for pair in effect.completions:
        texts.add_row(
            *(Text.assemble((pair.prompt, "bold"), text) for text in (pair.clean, pair.edited))
        )
    out.print(texts)
    strength = "" if effect.edit is EditKind.ABLATE else f", at strength {effect.strength:.4g}"
    asked = "" if effect.target is None else f" (asked for {effect.target:g})"
    reached = f"{effect.kl.value:.3g} nats{asked}, {interval_words(effect.kl, effect.n)}{strength}"
    out.print(f"KL(clean ‖ steered) = {reached}", highlight=False, soft_wrap=True)
    for name, shifts in (("rises", effect.risen), ("falls", effect.fallen)):
        tokens = Table(name, "by nats", "95 % interval", "probability")
        for shift in shifts:
            tokens.add_row(*shift_cells(shift))
        out.print(tokens)
    measured = effect.n - effect.choosing
    apart = (
        f"{effect.choosing} others chose them"
        if effect.choosing
        else "which chose them too: give 8 to keep this apart"
    )
    out.print(
        f"log-probabilities, mean over {measured} prompt{'s' * (measured > 1)}; {apart}",
        highlight=False,
    )


def shift_cells(shift: Shift) -> tuple[Text, str, str, str]:
    interval = (
        f"{shift.change.low:+.2f} to {shift.change.high:+.2f}"
        if math.isfinite(shift.change.high)
        else "-"
    )
    return (
        Text(repr(shift.text)),
        f"{shift.change.value:+.2f}",
        interval,
        f"{shift.clean:.2g} → {shift.edited:.2g}",
    )


def interval_words(estimate: Estimate, n: int) -> str:
    """An interval in words; one prompt has none."""
    if not math.isfinite(estimate.high):
        return "no interval from one prompt"
    return f"95 % interval {estimate.low:.3g} to {estimate.high:.3g}, n = {n} prompts"
