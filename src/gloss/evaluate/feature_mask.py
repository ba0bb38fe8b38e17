"""Which features are exchanged: a mask of them that is learned for several aims at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

# of some rows, what the subject answers when these vectors are added, with its graph
Answers = Callable[[Int64[Tensor, " row"], Float32[Tensor, "row d"]], Float32[Tensor, "row answer"]]


@dataclass(frozen=True)
class MaskLearning:
    """Differential binary masking (MDBM) in SAEBench's definition: each feature has a number that
    begins at 0; its sigmoid, over a temperature that falls from 1 to 1e-4 by equal factors, is the
    share by which the feature is exchanged; Adam makes the cross-entropy of the wanted answers
    small. In the end features above 0 are exchanged, all others are not.

        >>> learning = MaskLearning(epochs=20, batch=2, learning_rate=0.1)
        >>> changes = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])  # the second one misleads
        >>> said = lambda rows, added: torch.stack([added.sum(1), -added.sum(1)], 1)
        >>> written, wanted = torch.tensor([[1.0], [5.0]]), torch.tensor([0, 1])
        >>> rng = np.random.default_rng(0)
        >>> learning.learn(changes, written, torch.zeros(2, 1), said, wanted, rng).tolist()
        [True, False]
    """

    epochs: int
    batch: int  # pairs of a step
    learning_rate: float

    def learn(
        self,
        changes: Float32[Tensor, "pair feature"],
        written: Float32[Tensor, "feature d"],
        lost: Float32[Tensor, "pair d"],
        answers: Answers,
        wanted: Int64[Tensor, " pair"],
        rng: np.random.Generator,
    ) -> Bool[Tensor, " feature"]:
        """By pairs, of which each feature differs by `changes` and writes so much; `lost` is taken
        away from every vector, whatever is exchanged.
        """
        chosen = torch.zeros(len(written), dtype=torch.bool)
        (differ,) = changes.any(0).nonzero(as_tuple=True)  # all others stay at 0
        changes, written = changes[:, differ], written[differ]
        numbers = torch.zeros(len(differ), requires_grad=True)
        optimizer = torch.optim.Adam([numbers], self.learning_rate)
        steps = self.epochs * -(-len(wanted) // self.batch)
        temperatures = iter(np.geomspace(1, 1e-4, steps).tolist())
        for _ in range(self.epochs):
            for rows in torch.from_numpy(rng.permutation(len(wanted))).split(self.batch):
                share = (numbers / next(temperatures)).sigmoid()
                logits = answers(rows, (changes[rows] * share) @ written - lost[rows])
                loss = torch.nn.functional.cross_entropy(logits, wanted[rows])
                optimizer.zero_grad()
                (numbers.grad,) = torch.autograd.grad(loss, [numbers])
                optimizer.step()
        chosen[differ] = numbers.detach() > 0
        return chosen
