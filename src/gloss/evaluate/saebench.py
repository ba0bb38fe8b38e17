"""Results in the form of SAEBench's files (Karvonen et al., 2503.09532; version 0.6.0), so that
what reads those reads ours.
"""

import math
import re
import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
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


def sparse_probing_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "sparse_probing": accuracies, by set and as means over sets.

    What was measured of k that it has no place for is left to the whole result.
    """
    details = [
        {"dataset_name": of} | named_by(probing_name, found, of) for of in labelled_sets(found)
    ]
    means = mean_of(details)
    sides = {
        side: {n: x for n, x in means.items() if n.startswith(side)} for side in ("llm", "sae")
    }
    return "sparse_probing", sides, details


def probing_name(row: str) -> str:
    """What SAEBench calls an accuracy; nothing where it has no such number.

    >>> probing_name("accuracy_of_5"), probing_name("accuracy_all_raw")
    ('sae_top_5_test_accuracy', 'llm_test_accuracy')
    """
    if row == "accuracy_all_raw":
        return "llm_test_accuracy"
    found = re.fullmatch(r"accuracy_of_(1|2|5|10|20|50|100)(_raw)?", row)
    return f"{'llm' if found[2] else 'sae'}_top_{found[1]}_test_accuracy" if found else ""


def tpp_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "tpp": the fall for the label itself, for others, and the difference."""
    details: list[dict[str, Any]] = []
    for of, held in found.details.items():
        detail: dict[str, Any] = {"dataset_name": of}
        for name, value in held.items():
            part, _, n = name.rpartition("_")
            if part in ("intended", "unintended"):
                detail[f"tpp_threshold_{n}_{part}_diff_only"] = value
            if part == "intended":
                detail[f"tpp_threshold_{n}_total_metric"] = value - held[f"unintended_{n}"]
        details.append(detail)
    return "tpp", {"tpp_metrics": mean_of(details)}, details


def scr_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "scr": either label wanted, and the one that the mistake costs more.

    Where there was nothing to remove, SAEBench counts 0.
    """
    details: list[dict[str, Any]] = []
    for of, held in found.details.items():
        detail: dict[str, Any] = {"dataset_name": of}
        for name, value in held.items():
            part, _, n = name.rpartition("_")
            if part in ("dir1", "dir2"):
                detail[f"scr_{part}_threshold_{n}"] = number_or_0(value)
        for row in found.rows:
            if row.of == of:
                name = f"scr_metric_threshold_{row.name.removeprefix('scr_')}"
                detail[name] = number_or_0(row.estimate.value)
        details.append(detail)
    return "scr", {"scr_metrics": mean_of(details)}, details


def number_or_0(value: float | None) -> float:
    """0 for what is not a number, which is None in what was kept in a file."""
    return 0.0 if value is None or math.isnan(value) else value


def absorption_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "absorption_first_letter", of the letters that it counts."""
    counted = {letter: held for letter, held in found.details.items() if held["counts"]}
    numbers: dict[str, list[float]] = {
        "absorption_fraction_score": [held["fraction"] for held in counted.values()],
        "full_absorption_score": [held["full"] / held["words"] for held in counted.values()],
        "num_split_features": [len(held["features"]) for held in counted.values()],
    }
    details = [
        {
            "first_letter": letter,
            "mean_absorption_fraction": held["fraction"],
            "full_absorption_rate": held["full"] / held["words"],
            "num_full_absorption": held["full"],
            "num_probe_true_positives": held["words"],
            "num_split_features": len(held["features"]),
        }
        for letter, held in counted.items()
    ]
    mean = {f"mean_{name}": statistics.mean(each) for name, each in numbers.items()}
    spread = {f"std_dev_{name}": statistics.stdev(each) for name, each in numbers.items()}
    return "absorption_first_letter", {"mean": mean | spread}, details


def ravel_form(found: Evaluation) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """SAEBench's "ravel": means over attributes, of features that a mask chose."""
    attributes = labelled_sets(found)
    rows = [f"{aim}_by_mask" for aim in ("disentanglement", "cause", "isolation")]
    metrics = {
        f"{row.removesuffix('_by_mask')}_score": statistics.mean(
            found.value(row, of) for of in attributes
        )
        for row in rows
    }
    return "ravel", {"ravel": metrics}, []


def labelled_sets(found: Evaluation) -> list[str]:
    """What rows are of, each once."""
    return [of for of in dict.fromkeys(row.of for row in found.rows) if of]


def named_by(rename: Callable[[str], str], found: Evaluation, of: str) -> dict[str, float]:
    """The numbers of one set that have a name in SAEBench, by that."""
    named = {rename(row.name): row.estimate.value for row in found.rows if row.of == of}
    return {name: value for name, value in named.items() if name}


def mean_of(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each number over the sets."""
    names = dict.fromkeys(name for each in details for name in each if name != "dataset_name")
    return {
        name: sum(each[name] for each in details if name in each)
        / sum(name in each for each in details)
        for name in names
    }


FORMS: Mapping[str, Form] = {
    "absorption": absorption_form,
    "core": core_form,
    "ravel": ravel_form,
    "sparse_probing": sparse_probing_form,
    "tpp": tpp_form,
    "scr": scr_form,
}


def saebench_result(
    found: Evaluation,
    dictionary: Dictionary,
    settings: Mapping[str, Any],
    about: Mapping[str, str],
) -> dict[str, Any] | None:
    """The content of an `eval_results.json`; None of a measure that SAEBench has not, and of one
    that measured nothing, or nothing by SAEBench's definition.

    `about` has the `model_name` and the `name` of the dictionary.
    """
    form = FORMS.get(found.measure)
    masked = settings.get("select", "mask") == "mask"
    masked = masked and any(row.name == "cause_by_mask" for row in found.rows)
    if form is None or not found.rows or (form is ravel_form and not masked):
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
