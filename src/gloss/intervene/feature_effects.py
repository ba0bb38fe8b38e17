"""All effects of one feature in a run: after train contexts for those who explain, after held-out
ones for those who score.

A prompt is a context of the feature, cut behind the first token at which it fires (Paulo et al.,
2024).
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gloss.errors import BadSettings
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import FeatureEdit, random_direction
from gloss.intervene.effect_measurement import EffectOptions, measure_effect
from gloss.intervene.settings import EditReach, InterventionSettings
from gloss.intervene.strength_calibration import calibrate_strengths
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import PADDING, Contexts, Control, Effect, Examples, Failure, Split

# tokens at either end of a ranking that are kept: the whole of it would be a vocabulary for each
# effect
RANKED = 200


def measure_feature_effects(
    subject: Subject,
    dictionary: Dictionary,
    examples: Examples,
    settings: InterventionSettings,
    rng: np.random.Generator,
) -> Iterator[Effect | Failure]:
    """The feature's effect at each target, and that of a random direction.

    Gives a failure where a target is out of reach. Train and held-out contexts share no document,
    and neither do the prompts.
    """
    edit = FeatureEdit(dictionary, examples.feature.index)
    control = random_direction(edit, len(edit.decoder_direction), rng)
    held_out_options = EffectOptions(
        settings.tokens, RANKED, settings.completions, settings.new_tokens
    )
    parts = {
        Split.TRAIN: (
            examples.train,
            settings.train_prompts,
            (settings.train_kl,),
            replace(held_out_options, completions=0),
        ),
        Split.HELD_OUT: (
            examples.held_out,
            settings.prompts,
            sorted(settings.kl),
            held_out_options,
        ),
    }
    for split, (contexts, number, targets, effect_options) in parts.items():
        baseline = context_baseline(subject, edit, contexts, number, settings, rng)
        # the same for all targets, so that they are measured after the same prompts by the same
        # draws
        drawn = rng.spawn(1)[0]
        for intervention in (edit, control):
            for found in calibrate_strengths(baseline, intervention, targets, examples.feature):
                if isinstance(found, Failure):
                    yield replace(
                        found,
                        detail=(
                            f"{edited_thing(intervention.control)}, {split.replace('_', ' ')}:"
                            f" {found.detail}"
                        ),
                    )
                else:
                    effect = measure_effect(
                        baseline,
                        intervention,
                        found,
                        examples.feature,
                        deepcopy(drawn),
                        effect_options,
                    )
                    yield replace(effect, split=split)


def context_baseline(
    subject: Subject,
    edit: FeatureEdit,
    contexts: Contexts,
    number: int,
    settings: InterventionSettings,
    rng: np.random.Generator,
) -> Baseline:
    """The subject undisturbed, after prompts out of these contexts."""
    return Baseline.of(
        subject,
        draw_context_prompts(contexts, number, subject, settings.new_tokens, rng),
        edit.writes,
        EditReach(settings.reach),
    )


def edited_thing(control: Control) -> str:
    """What a failure is about."""
    return "the feature" if control is Control.NONE else control.replace("_", " ")


def draw_context_prompts(
    contexts: Contexts, number: int, subject: Subject, new_tokens: int, rng: np.random.Generator
) -> Int64[Tensor, "prompt position"]:
    """So many of the contexts, or all, behind the start token and padded at the end.

    A prompt keeps its last tokens where the whole of it and `new_tokens` after it are more than the
    subject takes. Raises BadSettings where the subject does not take even one.
    """
    rows = np.sort(rng.choice(len(contexts), min(number, len(contexts)), replace=False))
    front = [] if subject.start_token is None else [subject.start_token]
    room = None if subject.context is None else subject.context + 1 - new_tokens - len(front)
    if room is not None and room < 1:
        raise BadSettings(
            f"[intervene] new_tokens = {new_tokens} leaves no room for a prompt: "
            f"the subject takes {subject.context} tokens in all"
        )
    texts = [
        tokens_up_to_firing(contexts, row)[-room:] if room else tokens_up_to_firing(contexts, row)
        for row in rows.tolist()
    ]
    whole = torch.full((len(texts), max(map(len, texts), default=0) + len(front)), PADDING)
    for row, text in zip(whole, texts, strict=True):
        row[: len(front) + len(text)] = torch.tensor([*front, *text])
    return whole


def tokens_up_to_firing(contexts: Contexts, row: int) -> list[int]:
    """The tokens of one context, up to the first at which the feature fires."""
    end = int(np.flatnonzero(contexts.activations[row])[0]) + 1
    tokens = contexts.tokens[row, :end]
    return tokens[tokens != PADDING].tolist()
