"""A feature that varies much need not matter: how much of the variance each feature writes, beside
what the subject loses without it (in the manner of Lampinen et al., 2024, arXiv 2405.05847).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.evaluate.dictionary_check import text_positions
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.records import Evaluation, EvaluationRow, Needs
from gloss.statistics.correlation import correlations
from gloss.statistics.intervals import bounded, ratio_with_interval, wilson_interval

LEAST = 8  # features
WITHOUT_EFFECT = 0.01  # of the largest effect, up to which a feature does nothing
ROUNDING = 1e-6  # nats where a feature fires, up to which an effect is rounding, and counts as 0


@dataclass(frozen=True)
class VarianceImportance:
    """Of features drawn by chance among those that fire: the variance that each writes, and its
    effect, the divergence of what the subject says next when it is taken out wherever it fires.

    Both are a mean over all tokens. What is told is whether the order by variance is the order by
    effect; the numbers of each feature are in the details.

        >>> VarianceImportance(features=32, sequences=4).features
        32
    """

    needs: ClassVar[Needs] = Needs(corpus=True)

    features: int = 64
    sequences: int = 8  # at most, in which a feature fires, that its effect is measured on
    top: float = 0.25  # the share of features that count as the largest

    def __post_init__(self) -> None:
        require_at_least(LEAST, self, "features")
        require_at_least(1, self, "sequences")
        if not 0 < self.top < 1:
            raise BadSettings(f"top is {self.top}; it must lie between 0 and 1")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Over features. Raises BadInput where too few fire."""
        firing = FiringSums.of(dictionary, material)
        alive = np.flatnonzero(firing.counts.sum(0) > 0)
        if len(alive) < LEAST:
            raise BadInput(
                f"{len(alive)} features fire on this text, and {LEAST} are wanted; give more text"
            )
        chosen = np.sort(rng.permutation(alive)[: self.features])
        variances = firing.variances[chosen]
        effects = np.array([self._effect(int(f), dictionary, material, firing) for f in chosen])
        rows = [*self._rows(variances, effects, rng)]
        details = {
            "features": chosen.tolist(),
            "variances": variances.tolist(),
            "effects": effects.tolist(),
        }
        return Evaluation("variance_importance", tuple(rows), details=details)

    def _effect(
        self, feature: int, dictionary: Dictionary, material: Material, firing: "FiringSums"
    ) -> float:
        """The mean divergence over all tokens, from the sequences in which it fires the most."""
        counts = firing.counts[:, feature]
        order = np.argsort(-counts, kind="stable")[: self.sequences]
        order = order[counts[order] > 0]
        tokens = [firing.tokens[row] for row in order]
        lost = sum(divergence_without(feature, dictionary, material, row) for row in tokens)
        where_it_fires = lost / float(counts[order].sum())
        if where_it_fires <= ROUNDING:
            return 0.0
        return where_it_fires * float(counts.sum()) / firing.positions

    def _rows(
        self,
        variances: Float64[ndarray, " feature"],
        effects: Float64[ndarray, " feature"],
        rng: np.random.Generator,
    ) -> Iterator[EvaluationRow]:
        n = len(variances)
        spearman, _ = correlations(variances, effects, np.arange(n), rng)
        yield EvaluationRow("spearman_of_variance_and_effect", spearman, n, "features")
        most = max(1, round(self.top * n))
        vary, matter = (set(np.argsort(-each)[:most].tolist()) for each in (variances, effects))
        matter &= set(np.flatnonzero(effects).tolist())
        both = wilson_interval(len(vary & matter), most)
        note = f"of the {most} that vary most, among the {most} of most effect"
        yield EvaluationRow("top_shared", both, most, "features", note=note)
        idle = effects <= WITHOUT_EFFECT * effects.max()
        share = bounded(ratio_with_interval(variances * idle, variances, rng))
        note = "of the variance, written by features that do next to nothing"
        yield EvaluationRow("variance_without_effect", share, n, "features", note=note)


@dataclass(frozen=True)
class FiringSums:
    """How often and how strongly each feature fires, sequence by sequence."""

    tokens: list[Int64[Tensor, " position"]]
    counts: Float64[ndarray, "sequence feature"]
    variances: Float64[ndarray, " feature"]  # of what each writes
    positions: int  # of text

    @staticmethod
    @torch.no_grad()
    def of(dictionary: Dictionary, material: Material) -> "FiringSums":
        """Over the whole text."""
        rows, counts = list[Tensor](), list[Tensor]()
        sums = torch.zeros(2, dictionary.width, dtype=torch.float64)
        positions = 0
        for tokens in material.batches:
            text = text_positions(tokens, material.subject.start_token, material.left_out)
            x = material.subject.run(tokens, read=(dictionary.reads,)).activations[dictionary.reads]
            for row, here in enumerate(text):
                given = x[row][here.to(x.device)].float()
                dense = dictionary.encode(given).dense(dictionary.width).double()
                counts.append((dense != 0).sum(0).cpu())
                if isinstance(dictionary, Scaled):
                    dense *= dictionary.output_scale(given)
                sums += torch.stack([dense.sum(0), dense.square().sum(0)]).cpu()
                rows.append(tokens[row])
                positions += len(given)
        mean, square = sums / max(1, positions)
        lengths = dictionary.decoder_directions.detach().double().square().sum(1).cpu()
        variances = ((square - mean.square()) * lengths).clamp_min(0).numpy()
        return FiringSums(rows, torch.stack(counts).double().numpy(), variances, positions)


@torch.no_grad()
def divergence_without(
    feature: int, dictionary: Dictionary, material: Material, tokens: Int64[Tensor, " position"]
) -> float:
    """The sum over a sequence's positions of KL(clean || without), in nats."""
    subject = material.subject
    text = text_positions(tokens[None].clone(), subject.start_token, material.left_out)
    sides: list[Tensor] = []
    for edits in ({}, edits_without(feature, dictionary, text)):
        logits = subject.run(tokens[None], edits=edits, logits=True).logits
        assert logits is not None
        sides.append(logits[0][(tokens != -1).to(logits.device)].float().log_softmax(1))
    clean, without = sides
    return float((clean.exp() * (clean - without)).double().sum())


def edits_without(
    feature: int, dictionary: Dictionary, text: Bool[Tensor, "sequence position"]
) -> Mapping[Site, Edit]:
    """Take out what one feature writes, wherever it fires in the text."""
    seen: list[Tensor] = []

    def remember(x: Tensor) -> Tensor:
        seen[:] = [x]
        return x

    def cut(source: Tensor, x: Tensor) -> Tensor:
        here, x = text.to(x.device), x.clone()
        given = source[here]
        codes = dictionary.encode(given.float())
        amount = (codes.values * (codes.indices == feature)).sum(1, keepdim=True)
        if isinstance(dictionary, Scaled):
            amount = amount * dictionary.output_scale(given.float())
        x[here] -= (amount * dictionary.decoder_directions[feature]).to(x)
        return x

    if dictionary.reads == dictionary.writes:
        return {dictionary.writes: lambda x: cut(x, x)}
    return {dictionary.reads: remember, dictionary.writes: lambda x: cut(seen.pop(), x)}
