"""What an intervention does to what the subject says: tokens that rise and fall, and completions
with and without it (Paulo et al., 2024).
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.intervene.baseline import Baseline, first_text_positions
from gloss.intervene.edits import Intervention
from gloss.intervene.strength_calibration import StrengthCalibration
from gloss.records import PADDING, Completion, Effect, FeatureId, RankedToken, Shift
from gloss.statistics.intervals import mean_with_interval

# prompts; with fewer none are set aside to choose tokens, as too few would be left to measure them
FEWEST_APART = 8


@dataclass(frozen=True, slots=True)
class EffectOptions:
    """How much of an effect is written down."""

    tokens: int = 10  # that rise, and as many that fall
    ranked: int = 0  # tokens at either end of the ranking of all
    completions: int = 0  # of the first so many prompts
    new_tokens: int = 8
    temperature: float = 1.0


def measure_effect(
    baseline: Baseline,
    intervention: Intervention,
    strength: float | StrengthCalibration,
    feature: FeatureId,
    rng: np.random.Generator,
    effect_options: EffectOptions | None = None,
) -> Effect:
    """The effect at one strength, given or calibrated; the KL is measured anew.

    With eight prompts or more, one half drawn at random chooses the tokens and the other measures
    how far they move, so that the largest of many chance movements is not taken for an effect.
    Strength 0 of `ADD` changes nothing at all. Raises BadInput where completions would be longer
    than the subject's context.
    """
    effect_options = effect_options or EffectOptions()
    value, target = (
        (strength.strength, strength.target)
        if isinstance(strength, StrengthCalibration)
        else (strength, None)
    )
    edited = baseline.edited(intervention, value)
    order = torch.from_numpy(rng.permutation(len(baseline)))
    choosing = len(baseline) // 2 if len(baseline) >= FEWEST_APART else 0
    shifts = TokenShifts(
        baseline, edited, order[:choosing] if choosing else order, order[choosing:]
    )
    return Effect(
        feature=feature,
        edit=intervention.edit,
        strength=value,
        kl=mean_with_interval(baseline.kl(edited).numpy(), least=0.0),
        target=target,
        n=len(baseline),
        choosing=choosing,
        risen=shifts.most(effect_options.tokens, rising=True),
        fallen=shifts.most(effect_options.tokens, rising=False),
        completions=(
            complete_with_and_without(baseline, intervention, value, rng, effect_options)
            if effect_options.completions
            else ()
        ),
        control=intervention.control,
        passes=strength.passes if isinstance(strength, StrengthCalibration) else 0,
        ranking=shifts.extremes(effect_options.ranked),
    )


@dataclass(frozen=True, slots=True)
class TokenShifts:
    """Log-probabilities with and without an edit, and which prompts choose tokens and which measure
    them.
    """

    baseline: Baseline
    edited: Float64[Tensor, "prompt vocabulary"]
    choosing: Int64[Tensor, " choosing"]
    measuring: Int64[Tensor, " measuring"]

    def extremes(self, number: int) -> tuple[int, ...]:
        """The tokens by their mean change over all prompts, so many at either end.

        All where these would meet.
        """
        order = (self.edited - self.baseline.clean).mean(0).argsort(descending=True, stable=True)
        chosen = (
            order
            if 2 * number >= len(order)
            else torch.cat([order[:number], order[len(order) - number :]])
        )
        return tuple(chosen.tolist()) if number else ()

    def most(self, number: int, *, rising: bool) -> tuple[Shift, ...]:
        """The tokens that move most in one direction, by the prompts that choose."""
        chosen = most_moved_tokens(
            self.baseline.clean[self.choosing], self.edited[self.choosing], number, rising=rising
        )
        clean, edited = (
            self.baseline.clean[self.measuring][:, chosen],
            self.edited[self.measuring][:, chosen],
        )
        strings = self.baseline.subject.vocabulary().strings
        return tuple(
            Shift(
                token=token,
                text=strings[token],
                change=mean_with_interval((edited - clean)[:, place].numpy()),
                clean=float(clean[:, place].exp().mean()),
                edited=float(edited[:, place].exp().mean()),
            )
            for place, token in enumerate(chosen.tolist())
        )


def complete_with_and_without(
    baseline: Baseline,
    intervention: Intervention,
    strength: float,
    rng: np.random.Generator,
    effect_options: EffectOptions,
) -> tuple[Completion, ...]:
    """The first prompts gone on with, clean and edited by the same random numbers, so that only the
    edit tells them apart.
    """
    subject = baseline.subject
    begins = baseline.begins[: effect_options.completions]
    prompts = baseline.tokens[: effect_options.completions]
    longest = int((prompts != PADDING).sum(1).max()) + effect_options.new_tokens
    if subject.context is not None and longest > subject.context + 1:
        raise BadInput(
            f"a prompt and its {effect_options.new_tokens} new tokens are {longest} together, and"
            f" the subject takes {subject.context}; give a shorter prompt or fewer new tokens"
        )
    twin = deepcopy(rng)
    clean = subject.generate(
        prompts,
        max_new_tokens=effect_options.new_tokens,
        rng=twin,
        temperature=effect_options.temperature,
    )
    edited = subject.generate(
        prompts,
        lambda rows, first: intervention.edits(strength, begins[rows] - first),
        effect_options.new_tokens,
        rng,
        effect_options.temperature,
    )
    words = subject.vocabulary()

    def prompt_and_completion(
        whole: Int64[Tensor, " position"], first: int, length: int
    ) -> tuple[str, str]:
        """Prompt and completion in whole characters.

        One that the completion completes belongs to it.
        """
        pieces = words.texts(whole[first:].tolist(), (b"", b""))
        return "".join(pieces[: length - first]), "".join(pieces[length - first :])

    firsts, lengths = (
        first_text_positions(prompts, subject.start_token).tolist(),
        (prompts != PADDING).sum(1).tolist(),
    )
    rows = zip(clean.cpu(), edited.cpu(), firsts, lengths, strict=True)
    return tuple(
        Completion(*prompt_and_completion(one, *ends), prompt_and_completion(other, *ends)[1])
        for one, other, *ends in rows
    )


def token_change(
    baseline: Baseline, intervention: Intervention, strength: float, number: int = 10
) -> tuple[RankedToken, ...]:
    """The tokens whose log-probability rises most, by its mean over the prompts in nats, highest
    first.

    Give the prompts that an explainer may see: a score has to be measured on others. Fewer come
    back where fewer rise.
    """
    edited = baseline.edited(intervention, strength)
    strings = baseline.subject.vocabulary().strings
    mean = (edited - baseline.clean).mean(0)
    chosen = most_moved_tokens(baseline.clean, edited, number, rising=True)
    return tuple(
        RankedToken(token, strings[token], float(mean[token])) for token in chosen.tolist()
    )


def most_moved_tokens(
    clean: Float64[Tensor, "prompt vocabulary"],
    edited: Float64[Tensor, "prompt vocabulary"],
    number: int,
    *,
    rising: bool,
) -> Int64[Tensor, " chosen"]:
    """The tokens whose mean log-probability rises, or falls, most; fewer where fewer do.

    Rare tokens may rise: a weak edit that says one word lifts it from 1e-8 to 1e-6, and nothing
    else as far. Only tokens likelier than 1 / vocabulary can fall: of those that would not be read
    anyway there are always some that fall further.
    """
    change = (edited - clean).mean(0)
    if not rising:
        change = torch.where(clean.exp().mean(0) > 1 / clean.shape[1], -change, 0.0)
    order = change.argsort(descending=True, stable=True)[:number]
    return order[change[order] > 0]


def output_tokens(ranked: tuple[RankedToken, ...]) -> tuple[str, ...]:
    """The tokens' texts alone, as examples carry them to explainers."""
    return tuple(token.text for token in ranked)
