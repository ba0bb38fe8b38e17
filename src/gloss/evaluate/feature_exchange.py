"""Setting few features of a vector to what they are in its twin, and which of them tell a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from gloss.evaluate.prompt_reader import PromptVectors
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.sparse_codes import packed_codes

AT_ONCE = 2**23  # numbers of features' directions that are held at a time


@dataclass(frozen=True)
class FeatureExchange:
    """Of each vector the features that differ in its twin, and what they write in either."""

    features: Int64[Tensor, "pair differing"]  # unused slots write nothing
    own: Float32[Tensor, "pair differing"]  # their activations, in units of the decoder directions
    twin: Float32[Tensor, "pair differing"]
    decoder_directions: Float32[Tensor, "feature d"]
    wanted: Float32[Tensor, "pair d"]  # the twin's vector less the own
    whole: Float32[Tensor, "pair d"]  # what all features of the own vector write together

    @staticmethod
    @torch.no_grad()
    def of(dictionary: Dictionary, own: PromptVectors, twin: PromptVectors) -> "FeatureExchange":
        """Of pairs of prompts."""
        before, after = (amounts(dictionary, each.given) for each in (own, twin))
        differing = packed_codes(after - before, after != before)
        directions = dictionary.decoder_directions.detach().float().cpu()
        return FeatureExchange(
            differing.indices,
            before.gather(1, differing.indices) * differing.used,
            after.gather(1, differing.indices) * differing.used,
            directions,
            twin.written - own.written,
            before @ directions,
        )

    def greedy(self, numbers: Sequence[int]) -> Mapping[int, Bool[Tensor, "pair differing"]]:
        """For each number the features that are exchanged: one after another the one that brings
        the vector nearest to its twin, while any does.
        """
        found = {number: torch.zeros_like(self.own, dtype=torch.bool) for number in numbers}
        d = self.wanted.shape[1]
        for rows in torch.arange(len(self.own)).split(max(1, AT_ONCE // (d * self.own.shape[1]))):
            moves = (self.twin - self.own)[rows, :, None] * self.decoder_directions[
                self.features[rows]
            ]
            left, squares = self.wanted[rows].clone(), moves.square().sum(2)
            chosen = torch.zeros_like(squares, dtype=torch.bool)
            for step in range(1, max(numbers) + 1):
                gain = 2 * (moves @ left[:, :, None])[:, :, 0] - squares
                best = gain.masked_fill(chosen, 0.0).max(1)
                useful = best.values > 0
                chosen[useful, best.indices[useful]] = True
                picked = moves[torch.arange(len(rows)), best.indices]
                left = left - picked * useful[:, None]
                if step in found:
                    found[step][rows] = chosen
        return found

    def by_rank(
        self,
        own: Float32[Tensor, "pair feature"],
        twin: Float32[Tensor, "pair feature"],
        number: int,
    ) -> Bool[Tensor, "pair differing"]:
        """So many features of the own vector and so many of the twin's: those of the highest rank
        among the active ones.
        """
        chosen = torch.zeros_like(self.own, dtype=torch.bool)
        for side, ranks in ((self.own, own), (self.twin, twin)):
            told = ranks.gather(1, self.features).masked_fill(side == 0, -1.0)
            best = told.topk(min(number, told.shape[1]), dim=1)
            chosen.scatter_(1, best.indices, chosen.gather(1, best.indices) | (best.values >= 0))
        return chosen

    def moved(self, chosen: Bool[Tensor, "pair differing"]) -> Float32[Tensor, "pair d"]:
        """What is added to each vector when these features are exchanged."""
        return self._written((self.twin - self.own) * chosen)

    def weight(self, chosen: Bool[Tensor, "pair differing"]) -> Float32[Tensor, " pair"]:
        """The share that these have in what all features write: their projection on it."""
        part = self._written(self.own * chosen)
        return (part * self.whole).sum(1) / self.whole.square().sum(1).clamp_min(1e-12)

    def _written(self, values: Float32[Tensor, "pair differing"]) -> Float32[Tensor, "pair d"]:
        return torch.nn.functional.embedding_bag(
            self.features, self.decoder_directions, per_sample_weights=values, mode="sum"
        )


def amounts(dictionary: Dictionary, x: Float32[Tensor, "token d"]) -> Float32[Tensor, "token f"]:
    """How much of each decoder direction is in the reconstruction."""
    codes = dictionary.encode(x.to(dictionary.decoder_directions.device))
    dense = codes.dense(dictionary.width).float()
    scale = dictionary.output_scale(x.to(dense.device)) if isinstance(dictionary, Scaled) else 1.0
    return (dense * scale).detach().cpu()


def f1_of_features(
    fires: Bool[Tensor, "prompt feature"], numbers: Int64[Tensor, " prompt"], values: int
) -> Float32[Tensor, "value feature"]:
    """How well each feature's firing tells each value: the harmonic mean of precision and recall.

    >>> fires = torch.tensor([[True, True], [True, False], [False, False]])
    >>> f1_of_features(fires, torch.tensor([0, 0, 1]), 2)[0].tolist()
    [1.0, 0.6666666865348816]
    """
    has = (numbers[:, None] == torch.arange(values)).float()
    both = has.T @ fires.float()
    return 2 * both / (has.sum(0)[:, None] + fires.float().sum(0)).clamp_min(1)
