"""What an intervention does to what the subject says: tokens that rise and fall, and completions with and without it."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.intervene.baseline import Baseline, first_of_text
from gloss.intervene.edits import Intervention
from gloss.intervene.estimates import mean_with_interval
from gloss.intervene.strength import Calibration
from gloss.intervene.token_change import most_moved
from gloss.records import PADDING, Completion, Effect, FeatureId, Shift

FEWEST_APART = 8  # prompts; with fewer none are set aside to choose tokens, as too few would be left to measure them


@dataclass(frozen=True, slots=True)
class Telling:
    """How much of an effect is written down."""

    tokens: int = 10  # that rise, and as many that fall
    ranked: int = 0  # tokens at either end of the ranking of all
    completions: int = 0  # of the first so many prompts
    new_tokens: int = 8
    temperature: float = 1.0


def measure(
    baseline: Baseline,
    intervention: Intervention,
    strength: float | Calibration,
    feature: FeatureId,
    rng: np.random.Generator,
    telling: Telling | None = None,
) -> Effect:
    """The effect at one strength, given or calibrated; the divergence is measured anew.

    With eight prompts or more, one half drawn at random chooses the tokens and the other measures how far they move, so that
    the largest of many chance movements is not taken for an effect. Strength 0 of `ADD` changes nothing at all.
    Raises BadInput where completions would be longer than the subject's context.
    """
    telling = telling or Telling()
    value, target = (strength.strength, strength.target) if isinstance(strength, Calibration) else (strength, None)
    edited = baseline.edited(intervention, value)
    order = torch.from_numpy(rng.permutation(len(baseline)))
    choosing = len(baseline) // 2 if len(baseline) >= FEWEST_APART else 0
    shifts = Shifts(baseline, edited, order[:choosing] if choosing else order, order[choosing:])
    return Effect(
        feature=feature,
        deed=intervention.deed,
        strength=value,
        divergence=mean_with_interval(baseline.divergence(edited).numpy(), least=0.0),
        target=target,
        n=len(baseline),
        choosing=choosing,
        risen=shifts.most(telling.tokens, rising=True),
        fallen=shifts.most(telling.tokens, rising=False),
        completions=completions(baseline, intervention, value, rng, telling) if telling.completions else (),
        control=intervention.control,
        passes=strength.passes if isinstance(strength, Calibration) else 0,
        ranking=shifts.ends(telling.ranked),
    )


@dataclass(frozen=True, slots=True)
class Shifts:
    """Log-probabilities with and without an edit, and which prompts choose tokens and which measure them."""

    baseline: Baseline
    edited: Float64[Tensor, "prompt vocabulary"]
    choosing: Int64[Tensor, " choosing"]
    measuring: Int64[Tensor, " measuring"]

    def ends(self, number: int) -> tuple[int, ...]:
        """The tokens by their mean change over all prompts, so many at either end; all where these would meet."""
        order = (self.edited - self.baseline.clean).mean(0).argsort(descending=True, stable=True)
        chosen = order if 2 * number >= len(order) else torch.cat([order[:number], order[len(order) - number :]])
        return tuple(chosen.tolist()) if number else ()

    def most(self, number: int, *, rising: bool) -> tuple[Shift, ...]:
        """The tokens that move most in one direction, by the prompts that choose."""
        chosen = most_moved(self.baseline.clean[self.choosing], self.edited[self.choosing], number, rising=rising)
        clean, edited = self.baseline.clean[self.measuring][:, chosen], self.edited[self.measuring][:, chosen]
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


def completions(
    baseline: Baseline, intervention: Intervention, strength: float, rng: np.random.Generator, telling: Telling
) -> tuple[Completion, ...]:
    """The first prompts gone on with, clean and edited by the same random numbers, so that only the edit tells them apart."""
    subject = baseline.subject
    begins = baseline.begins[: telling.completions]
    prompts = baseline.tokens[: telling.completions]
    longest = int((prompts != PADDING).sum(1).max()) + telling.new_tokens
    if subject.context is not None and longest > subject.context + 1:
        raise BadInput(
            f"a prompt and its {telling.new_tokens} new tokens are {longest} together, and the subject takes "
            f"{subject.context}; give a shorter prompt or fewer new tokens"
        )
    edits = intervention.edits(strength, begins)
    twin = deepcopy(rng)
    clean = subject.generate(prompts, max_new_tokens=telling.new_tokens, rng=twin, temperature=telling.temperature)
    edited = subject.generate(prompts, edits, telling.new_tokens, rng, telling.temperature)
    words = subject.vocabulary()

    def told(whole: Int64[Tensor, " position"], first: int, length: int) -> tuple[str, str]:
        """Prompt and completion in whole characters; one that the completion completes belongs to it."""
        pieces = words.texts(whole[first:].tolist(), (b"", b""))
        return "".join(pieces[: length - first]), "".join(pieces[length - first :])

    firsts, lengths = first_of_text(prompts, subject.start_token).tolist(), (prompts != PADDING).sum(1).tolist()
    rows = zip(clean.cpu(), edited.cpu(), firsts, lengths, strict=True)
    return tuple(Completion(*told(one, *ends), told(other, *ends)[1]) for one, other, *ends in rows)
