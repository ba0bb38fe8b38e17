"""Results in the form of SAEBench's files (Karvonen et al., 2503.09532; version 0.6.0), so that
what reads those reads ours.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from gloss.installed import __version__
from gloss.models.dictionary import Dictionary
from gloss.records import Evaluation

# of a measure: what SAEBench calls its kind, the metrics by category, and the details
Form = Callable[[Evaluation], tuple[str, dict[str, Any], list[dict[str, Any]]]]


def core_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "core".

    Its explained variance is 1 - FVU here: theirs subtracts the square of the mean square of each
    number, where the square of the mean is meant. Its mean squared error is a token's.
    """
    held, value = dict(found.details), found.value

    def kept(*names: str) -> dict[str, Any]:
        return {name: held.get(name) for name in names}

    tokens = next((row.n for row in found.rows if row.name == "l0"), 0)
    metrics = {
        "model_behavior_preservation": {
            "kl_div_score": value("kl_recovered"),
            **kept("kl_div_with_ablation", "kl_div_with_sae"),
        },
        "model_performance_preservation": {
            "ce_loss_score": value("cross_entropy_recovered"),
            **kept("ce_loss_with_ablation", "ce_loss_with_sae", "ce_loss_without_sae"),
        },
        "reconstruction_quality": {
            "explained_variance": 1 - value("fvu"),
            "explained_variance_legacy": 1 - value("fvu"),
            "cossim": value("cosine"),
            **kept("mse"),
        },
        "shrinkage": {
            "l2_ratio": value("length_ratio"),
            **kept("l2_norm_in", "l2_norm_out", "relative_reconstruction_bias"),
        },
        "sparsity": {"l0": value("l0"), **kept("l1")},
        "token_stats": {
            "total_tokens_eval_reconstruction": tokens,
            "total_tokens_eval_sparsity_variance": tokens,
        },
        "misc_metrics": {
            "frac_alive": 1 - value("dead_share"),
            **{name: each for name, each in held.items() if "freq" in name or "average" in name},
        },
    }
    return "core", metrics, []


FORMS: Mapping[str, Form] = {"core": core_form}


def saebench_result(
    found: Evaluation,
    dictionary: Dictionary,
    settings: Mapping[str, Any],
    about: Mapping[str, str],
) -> dict[str, Any] | None:
    """The content of an `eval_results.json`; None of a measure that SAEBench has not, and of one
    that measured nothing.

    `about` has the `model_name` and the `name` of the dictionary.
    """
    form = FORMS.get(found.measure)
    if form is None or not found.rows:
        return None
    kind, metrics, details = form(found)
    site = dictionary.reads
    given = {name: value for name, value in settings.items() if name != "method"}
    return {
        "eval_type_id": kind,
        "eval_config": {"model_name": about["model_name"], **given},
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_URL, repr((found.plain(), dict(about))))),
        "datetime_epoch_millis": int(time.time() * 1000),
        "eval_result_metrics": metrics,
        "eval_result_details": details,
        "sae_bench_commit_hash": f"written by gloss {__version__}",
        "sae_lens_id": about["name"],
        "sae_lens_release_id": "custom_sae",
        "sae_lens_version": None,
        "sae_cfg_dict": {
            "model_name": about["model_name"],
            "d_in": getattr(dictionary, "d_in", None),
            "d_sae": dictionary.width,
            "hook_layer": site.layer,
            "hook_name": str(site),
        },
        "eval_result_unstructured": found.plain(),
    }
