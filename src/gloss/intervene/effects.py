"""All effects of one feature in a run: after shown contexts for those who explain, after held-out ones for those who score."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np

from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import FeatureEdit, random_direction
from gloss.intervene.effect import Telling, measure
from gloss.intervene.prompts import prompts_of
from gloss.intervene.settings import Intervening, Reach
from gloss.intervene.strength import calibrate_all
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import Contexts, Control, Effect, Examples, Failure, Split

RANKED = 200  # tokens at either end of a ranking that are kept: the whole of it would be a vocabulary for each effect


def effects_of(
    subject: Subject, dictionary: Dictionary, examples: Examples, asked: Intervening, rng: np.random.Generator
) -> Iterator[Effect | Failure]:
    """The feature's effect at each target, and that of a random direction; a failure where a target is out of reach.

    Shown and held-out contexts share no document, and neither do the prompts.
    """
    edit = FeatureEdit(dictionary, examples.feature.index)
    control = random_direction(edit, len(edit.atom), rng)
    told = Telling(asked.tokens, RANKED, asked.completions, asked.new_tokens)
    parts = {
        Split.SHOWN: (examples.shown, asked.shown_prompts, (asked.shown_kl,), replace(told, completions=0)),
        Split.HELD_OUT: (examples.held_out, asked.prompts, sorted(asked.kl), told),
    }
    for split, (contexts, number, targets, telling) in parts.items():
        baseline = baseline_of(subject, edit, contexts, number, asked, rng)
        drawn = rng.spawn(1)[0]  # the same for all targets, so that they are measured after the same prompts by the same draws
        for intervention in (edit, control):
            for found in calibrate_all(baseline, intervention, targets, examples.feature):
                if isinstance(found, Failure):
                    yield replace(found, detail=f"{whose(intervention.control)}, {split.replace('_', ' ')}: {found.detail}")
                else:
                    effect = measure(baseline, intervention, found, examples.feature, deepcopy(drawn), telling)
                    yield replace(effect, split=split)


def baseline_of(
    subject: Subject, edit: FeatureEdit, contexts: Contexts, number: int, asked: Intervening, rng: np.random.Generator
) -> Baseline:
    """The subject undisturbed, after prompts out of these contexts."""
    return Baseline.of(subject, prompts_of(contexts, number, subject, asked.new_tokens, rng), edit.writes, Reach(asked.reach))


def whose(control: Control) -> str:
    """Whom a failure is about."""
    return "the feature" if control is Control.NONE else control.replace("_", " ")
