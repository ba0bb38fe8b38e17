"""What a judge's errors hide: its answers on contexts of known truth correct its scores (Rogan and
Gladen, 1978).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate, Examples, Score
from gloss.score.judge.calibration_items import CalibrationCounts
from gloss.score.judge.verdict_metrics import VerdictCounts, counts_by_side
from gloss.statistics.intervals import estimate_from_draws
from gloss.statistics.rates import harmonic_f1, precision_at_share

Rates = Float64[ndarray, " draw"]
RATES = ("balanced_accuracy", "true_positive_rate", "true_negative_rate")
AT_BASE_RATE = ("precision_at_base_rate", "f1_at_base_rate")


def add_corrections(
    score: Score, examples: Examples, calibration_items: CalibrationCounts, rng: np.random.Generator
) -> Score:
    """The score with what a judge without error would have given beside each estimate that can be
    corrected.

    Those at the base rate are made of inactive contexts drawn at random alone, as in the score
    itself.
    """
    firing, plain, hard = counts_by_side(score.verdicts, examples)
    inactive = VerdictCounts(
        *(
            sum(getattr(kind, name) for kind in (plain, *hard.values()))
            for name in ("yes", "no", "failed")
        )
    )
    found: dict[str, Estimate] = {}
    for others, names in ((inactive, RATES), (plain, AT_BASE_RATE)):
        values = corrected_estimates(
            firing, others, calibration_items, examples.share_held_out, rng
        )
        found |= {name: values[name] for name in (f"{name}_corrected" for name in names)}
    return replace(score, estimates={**score.estimates, **found})


def corrected_estimates(
    firing: VerdictCounts,
    inactive: VerdictCounts,
    calibration_items: CalibrationCounts,
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Detection's metrics as a judge without error would have got them.

    `firing` and `inactive` are what this judge said.

    A judge with sensitivity s and false positive rate f says yes in y = s t + f (1 - t) of contexts
    of which the explanation covers the share t, so that t = (y - f) / (s - f). The values are not
    cut off at 0 and 1, because that would bias their mean; precision and F1, which are not defined
    beyond, are. Answers that could not be read are left out. All is missing where the judge says
    yes no more often where it should, or was never asked.
    """
    sides = [
        VerdictCounts(side.yes, side.no, 0)
        for side in (firing, inactive, calibration_items.covered, calibration_items.others)
    ]
    if not all(side.items for side in sides):
        return dict.fromkeys(CORRECTED, Estimate.missing())
    found, wrong, sensitivity, false_positive = (side.share_of(side.yes) for side in sides)
    if sensitivity <= false_positive:
        return dict.fromkeys(CORRECTED, Estimate.missing())
    values = corrected_metrics(found, wrong, sensitivity, false_positive, share_firing)
    found, wrong, sensitivity, false_positive = (side.draws(side.yes, rng) for side in sides)
    draws = corrected_metrics(found, wrong, sensitivity, false_positive, share_firing)
    return {name: estimate_from_draws(float(values[name][0]), draws[name]) for name in CORRECTED}


CORRECTED = tuple(f"{name}_corrected" for name in (*RATES, *AT_BASE_RATE))


def corrected_metrics(
    firing: Rates, inactive: Rates, sensitivity: Rates, false_positive: Rates, share: float
) -> dict[str, Rates]:
    """The corrected metrics of rates of yes.

    Draws in which the judge would tell nothing are not a number.
    """
    skill = sensitivity - false_positive
    skill = np.where(skill > 0, skill, np.nan)
    found, wrong = (firing - false_positive) / skill, (inactive - false_positive) / skill
    inside = np.clip(found, 0, 1), np.clip(wrong, 0, 1)
    precision = precision_at_share(*inside, share)
    values = (
        (found + 1 - wrong) / 2,
        found,
        1 - wrong,
        precision,
        harmonic_f1(precision, inside[0]),
    )
    return dict(zip(CORRECTED, values, strict=True))
