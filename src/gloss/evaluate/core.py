"""How sparse a dictionary is, how well it reconstructs, and what the subject loses by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from gloss.evaluate.dictionary_check import DictionaryCheck, check_dictionary
from gloss.evaluate.measure import Aims, Material
from gloss.models.dictionary import Dictionary, encoder_of
from gloss.records import Estimate, Evaluation, EvaluationRow, Needs
from gloss.statistics.intervals import ratio_with_interval

LOWEST_DECADE = -6  # of firing rates that are told apart
AT_ONCE = 2**24  # cosines that are held at a time
MOST_COMPARED = 4096  # features whose nearest other one is looked for


@dataclass(frozen=True)
class Core:
    """What `gloss check` measures, and besides how much of the divergence is recovered, how much
    shorter reconstructions are, and how often features fire (SAEBench's "core").
    """

    needs: ClassVar[Needs] = Needs(corpus=True)
    aims: ClassVar[Aims] = Aims(
        more=("cross_entropy_recovered.*", "kl_recovered", "cosine"),
        less=("fvu.*", "dead_share"),
    )

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Numbers over tokens, with intervals over sequences; shares of features without."""
        found = check_dictionary(
            material.subject,
            dictionary,
            material.batches,
            rng,
            material.left_out,
            material.massive,
        )
        rows = (*reconstruction_rows(found, rng), *density_rows(found))
        details = saebench_numbers(found) | nearest_features(dictionary, rng)
        return Evaluation("core", rows, details=details)


def reconstruction_rows(
    found: DictionaryCheck, rng: np.random.Generator
) -> Iterator[EvaluationRow]:
    """What is a mean over tokens, or a ratio of sums over them."""
    every, normal = found.reconstruction.every, found.tokens - found.massive
    zeros, massive = "against zeros", f"{found.massive:,} are massive"

    def of_tokens(name: str) -> Estimate:
        return ratio_with_interval(every.others[name], every.tokens, rng)

    for name, estimate, n, note in (
        ("l0", found.l0, found.tokens, ""),
        ("fvu", found.fvu, found.tokens, massive),
        ("fvu_without_massive", found.fvu_normal, normal, ""),
        ("cross_entropy_recovered", found.recovered, found.tokens, zeros),
        ("cross_entropy_recovered_without_massive", found.recovered_normal, normal, zeros),
        ("cross_entropy_recovered_over_mean", found.recovered_over_mean, found.tokens, ""),
        ("kl_recovered", found.kl_recovered, found.tokens, zeros),
        ("length_ratio", of_tokens("length_ratio"), found.tokens, "below 1: shrinkage"),
        ("cosine", of_tokens("cosine"), found.tokens, ""),
    ):
        yield EvaluationRow(name, estimate, n, "tokens", note=note)


def density_rows(found: DictionaryCheck) -> Iterator[EvaluationRow]:
    """The share of features that fire never, and in each decade of firing rates."""
    counts = found.reconstruction.every.counts.numpy()
    width, note = len(counts), f"in {found.tokens:,} tokens"
    yield EvaluationRow.exact(
        "dead_share", float((counts == 0).mean()), width, "features", "", note
    )
    for name, share in rate_histogram(counts, found.tokens).items():
        yield EvaluationRow.exact(name, share, width, "features", "", note)


def rate_histogram(counts: ndarray, tokens: int) -> dict[str, float]:
    """The share of features whose firing rate lies in each decade that any is in, from the lowest.

    >>> rate_histogram(np.array([0, 1, 5, 90]), 100)
    {'rate_from_1e-2': 0.5, 'rate_from_1e-1': 0.25}
    """
    alive = counts[counts > 0]
    decades = np.floor(np.log10(alive / tokens) + 1e-9).clip(LOWEST_DECADE, -1).astype(int)
    return {
        f"rate_from_1e{decade}": float((decades == decade).sum() / len(counts))
        for decade in range(LOWEST_DECADE, 0)
        if (decades == decade).any()
    }


def saebench_numbers(found: DictionaryCheck) -> dict[str, float]:
    """What SAEBench reports besides, by its names."""
    every = found.reconstruction.every
    tokens = max(1.0, float(every.tokens.sum()))
    sums = {name: float(each.sum()) for name, each in every.others.items()}
    rates = every.counts.double().numpy() / tokens
    return {
        "kl_div_with_ablation": found.kl_zero_ablated.value,
        "kl_div_with_sae": found.kl_spliced.value,
        "ce_loss_with_ablation": found.zero_ablated.value,
        "ce_loss_with_sae": found.spliced.value,
        "ce_loss_without_sae": found.clean.value,
        "mse": float(every.errors.sum()) / tokens,
        "l2_norm_in": sums["length"] / tokens,
        "l2_norm_out": sums["length_written"] / tokens,
        "relative_reconstruction_bias": sums["squared_written"] / (sums["product"] or np.nan),
        "l1": sums["code_sum"] / tokens,
        **frequent_shares(rates),
    }


def frequent_shares(rates: Float64[ndarray, " feature"]) -> dict[str, float]:
    """The share of features that fire often, and their share of all firing."""
    often = {"1_percent": rates > 0.01, "10_percent": rates > 0.1}
    whole = float(rates.sum()) or np.nan
    return {f"freq_over_{name}": float(each.mean()) for name, each in often.items()} | {
        f"normalized_freq_over_{name}": float(rates[each].sum()) / whole
        for name, each in often.items()
    }


def nearest_features(dictionary: Dictionary, rng: np.random.Generator) -> dict[str, float]:
    """The mean cosine of features, up to MOST_COMPARED of them, with the nearest of all others."""
    directions = {"decoder": dictionary.decoder_directions, "encoder": encoder_of(dictionary)}
    most = min(MOST_COMPARED, dictionary.width)
    chosen = torch.from_numpy(np.sort(rng.choice(dictionary.width, most, replace=False)))
    return {
        f"average_max_{side}_cosine_sim": mean_nearest_cosine(given, chosen)
        for side, given in directions.items()
        if given is not None
    }


def mean_nearest_cosine(directions: Tensor, chosen: Tensor) -> float:
    """The mean over chosen directions of the largest cosine with another one."""
    unit = torch.nn.functional.normalize(directions.detach().float(), dim=1)
    found: list[Tensor] = []
    for rows in chosen.split(max(1, AT_ONCE // len(unit))):
        cosines = unit[rows.to(unit.device)] @ unit.T
        cosines[torch.arange(len(rows)), rows.to(unit.device)] = -1.0
        found.append(cosines.amax(1).cpu())
    return float(torch.cat(found).mean())
