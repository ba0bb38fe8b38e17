"""What each metric can see: whether it falls when an explanation claims too little, or too much
(Oikarinen et al., 2025).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSanity:
    """Whether a metric passes the two tests of section 3 of the paper, on features that fire
    rarely.
    """

    missing: bool  # it falls where half of the right claims are taken away
    extra: bool  # it falls where as many claims again are made at random

    @property
    def sound(self) -> bool:
        """Whether both kinds of fault lower the metric; only then may it stand alone."""
        return self.missing and self.extra


BOTH, MISSING_ALONE, EXTRA_ALONE, NEITHER = (
    MetricSanity(True, True),
    MetricSanity(True, False),
    MetricSanity(False, True),
    MetricSanity(False, False),
)

# Over tokens or contexts that come as they do in text: all of them, or weighed by the feature's
# true rate.
SANITY: Mapping[str, MetricSanity] = {
    "f1": BOTH,
    "f1_above_10_percent": BOTH,
    "f1_above_50_percent": BOTH,
    "f1_at_base_rate": BOTH,
    "iou": BOTH,
    "token_f1": BOTH,
    "auprc": BOTH,
    "auprc_at_base_rate": BOTH,
    "pearson": BOTH,
    "pearson_at_base_rate": BOTH,
    "cosine": BOTH,
    "token_recall": MISSING_ALONE,
    "recall": MISSING_ALONE,
    "recall_above_10_percent": MISSING_ALONE,
    "recall_above_50_percent": MISSING_ALONE,
    "true_positive_rate": MISSING_ALONE,
    "balanced_accuracy": MISSING_ALONE,
    "auroc": MISSING_ALONE,
    "pearson_firing": MISSING_ALONE,
    "r_squared_linear": MISSING_ALONE,  # these four of contexts of which half fire
    "r_squared_percentile": MISSING_ALONE,
    "absolute_deviation_explained_linear": MISSING_ALONE,
    "absolute_deviation_explained_percentile": MISSING_ALONE,
    "token_precision": EXTRA_ALONE,
    "precision": EXTRA_ALONE,
    "precision_at_base_rate": EXTRA_ALONE,
    "accuracy": NEITHER,
    "spearman": NEITHER,
    "true_negative_rate": NEITHER,
    "true_negative_rate_same_token": NEITHER,
    "true_negative_rate_neighbours": NEITHER,
    "true_negative_rate_siblings": NEITHER,
    "true_negative_rate_similar": NEITHER,
}

# Of a sample in which firing contexts are far more frequent than in text, random extra claims are
# hardly seen.
AS_SAMPLED: Mapping[str, MetricSanity] = {
    "f1": MISSING_ALONE,
    "auprc": MISSING_ALONE,
    "pearson": MISSING_ALONE,
    "precision": NEITHER,
}


def sanity_of_metric(metric: str, beside: Collection[str]) -> MetricSanity | None:
    """Which tests a score's metric passes; None where they do not apply, as to choices.

    `beside` names all metrics of the score: where `f1_at_base_rate` is among them, `f1` is of the
    contexts as they were sampled.
    """
    plain = metric.removesuffix("_corrected")
    if f"{plain}_at_base_rate" in beside and plain in AS_SAMPLED:
        return AS_SAMPLED[plain]
    return SANITY.get(plain)
