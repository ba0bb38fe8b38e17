"""Train a hyperdimensional probe (Bronzini et al., 2025): what fills each role in a text, read from
one vector by hypervectors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from gloss.errors import BadInput, require_at_least
from gloss.models.hyperdimensional_probe import (
    Codebook,
    HyperdimensionalProbe,
    HypervectorEncoder,
)
from gloss.models.labelled_texts import (
    LAST,
    RoleTexts,
    require_place,
    require_subject,
    text_vectors,
)
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import Estimate, Needs
from gloss.statistics.intervals import wilson_interval

HELD_OUT = 5  # one text in so many measures the probe and teaches nothing
BATCH = 256  # texts
SIGNS = np.array([-1, 1], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ProbeProgress:
    """How far the training of a probe has come."""

    tokens: int  # texts that were learned from, each as often as it was
    of_tokens: int
    found: Estimate | None = None  # the share of held-out fillers that it names, in the end
    chance: float = 0.0

    def __str__(self) -> str:
        if (found := self.found) is None:
            return ""
        return (
            f"names {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) of the fillers of"
            f" held-out texts, by chance {self.chance:.3f}"
        )


@dataclass(frozen=True, slots=True)
class HyperdimensionalTrainer:
    """What fills each role in a text, from one vector (Bronzini et al., 2025, arXiv 2509.25045).

    Every role and every filler has a random hypervector of -1 and 1. A text's is the sum over its
    roles of role times filler; a network of two layers learns to make it from the text's vector, by
    the cosine. Times a role again, it is near the filler's hypervector and nearly orthogonal to all
    others. `texts` is a file with an object {"text": ..., "roles": {"ROLE": "FILLER", ...}} a line.
    """

    needs: ClassVar[Needs] = Needs(files=("texts",))
    reads_subject: ClassVar[bool] = True
    saved_as: ClassVar[str] = "hyperdimensional"

    texts: str = ""
    at: str = LAST
    dimension: int = 1024  # numbers of a hypervector
    hidden: int = 512  # units of the network
    steps: int = 600  # of 256 texts
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        require_place(self.at)
        for name in ("dimension", "hidden", "steps"):
            require_at_least(1, self, name)
        require_at_least(1e-12, self, "learning_rate")

    def require_files(self) -> None:
        """Raise BadInput for a file that holds no texts with roles."""
        RoleTexts.read(self.texts)

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[ProbeProgress], None] | None = None,
        massive: float = MASSIVE_MULTIPLE,
        subject: Subject | None = None,
    ) -> HyperdimensionalProbe:
        """Read the texts with the subject; activations of others are not used."""
        given = RoleTexts.read(self.texts)
        subject = require_subject(subject, "hyperdimensional_probe")
        vectors = text_vectors(subject, site, given.texts, self.at)
        names = (given.role_names, given.filler_names)
        return self.fit_vectors(vectors, given.filled, names, site, rng, progress)

    def fit_vectors(
        self,
        vectors: Float32[Tensor, "text d"],
        filled: Int64[Tensor, "text role"],
        names: tuple[Sequence[str], Sequence[str]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[ProbeProgress], None] | None = None,
    ) -> HyperdimensionalProbe:
        """A probe of vectors, with the number of the filler of each role, and the names of both.

        One text in five is held out, and says what the probe can do.
        """
        order = torch.from_numpy(rng.permutation(len(vectors)))
        held_out, taught = order[::HELD_OUT], order[torch.arange(len(order)) % HELD_OUT != 0]
        if not len(taught):
            raise BadInput(f"{len(vectors)} texts teach a probe nothing; give more")
        roles, fillers = (
            torch.from_numpy(rng.choice(SIGNS, (len(each), self.dimension))) for each in names
        )
        codebook = Codebook(tuple(names[0]), tuple(names[1]), roles, fillers)
        wanted = (roles * fillers[filled]).sum(1)
        network = self.learn(vectors[taught], wanted[taught], rng, progress)
        with torch.no_grad():
            likest = codebook.similarities(network(vectors[held_out])).argmax(2)
        hits = int((likest == filled[held_out]).sum())
        if progress is not None:
            found, steps = wilson_interval(hits, likest.numel()), self.steps * BATCH
            progress(ProbeProgress(steps, steps, found, 1 / len(fillers)))
        directions, bias = mean_shares(vectors, filled, len(fillers))
        return HyperdimensionalProbe(site, network, codebook, directions, bias)

    @torch.enable_grad()
    def learn(
        self,
        x: Float32[Tensor, "text d"],
        wanted: Float32[Tensor, "text dimension"],
        rng: np.random.Generator,
        progress: Callable[[ProbeProgress], None] | None,
    ) -> HypervectorEncoder:
        """The network that makes these hypervectors of these vectors, by Adam whose steps shrink to
        none.
        """
        centre = x.mean(0)
        scale = (x - centre).square().mean().sqrt().clamp_min(1e-12)

        def drawn(rows: int, columns: int) -> Tensor:
            weight = rng.standard_normal((rows, columns), dtype=np.float32) / columns**0.5
            return torch.from_numpy(weight).requires_grad_()

        first, second = drawn(self.hidden, x.shape[1]), drawn(self.dimension, self.hidden)
        biases = [torch.zeros(n, requires_grad=True) for n in (self.hidden, self.dimension)]
        network = HypervectorEncoder(centre, scale, first, biases[0], second, biases[1])
        optimizer = torch.optim.Adam([first, second, *biases], lr=self.learning_rate)
        for step in range(self.steps):
            rows = torch.from_numpy(rng.integers(len(x), size=BATCH))
            made = network(x[rows])
            loss = 1 - torch.nn.functional.cosine_similarity(made, wanted[rows], dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0]["lr"] = self.learning_rate * (1 - step / self.steps)
            optimizer.step()
            if progress is not None and step % max(1, self.steps // 100) == 0:
                progress(ProbeProgress((step + 1) * BATCH, self.steps * BATCH))
        learned = (each.detach() for each in (first, biases[0], second, biases[1]))
        return HypervectorEncoder(centre, scale, *learned)


def mean_shares(
    vectors: Float32[Tensor, "text d"], filled: Int64[Tensor, "text role"], fillers: int
) -> tuple[Float32[Tensor, "feature d"], Float32[Tensor, " d"]]:
    """What each filler in each role adds to a vector, by least squares; and what all have."""
    roles = filled.shape[1]
    columns = filled + torch.arange(roles) * fillers
    there = torch.zeros(len(filled), roles * fillers, dtype=torch.float64)
    there.scatter_(1, columns, 1.0)
    apart = there - there.mean(0)
    directions = torch.linalg.pinv(apart, rtol=1e-6) @ (vectors - vectors.mean(0)).double()
    return directions.float(), (vectors.mean(0) - (there.mean(0) @ directions).float())
