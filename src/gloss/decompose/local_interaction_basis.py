"""The local interaction basis (Bushnaq et al., 2024): directions by what a later site reads of
them, from the derivative of one site by another.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from gloss.decompose.fit import TrainingProgress, take_sample
from gloss.errors import BadInput, BadSettings, Mismatch, require_at_least
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.labelled_texts import require_subject
from gloss.models.massive_tokens import VectorLengths
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.sites import Site
from gloss.models.sparse_codes import Positive
from gloss.models.subject import Subject

UNUSED = 1e-5  # of the mean variance, or effect: what a direction has less of is left out
AT_ONCE = 2**10  # positions whose derivatives are held at a time


@runtime_checkable
class HasSequences(Protocol):
    """Batches that can give the sequences that they are read from."""

    def sequences(
        self, positions: int
    ) -> Iterator[tuple[Int64[Tensor, "row position"], Bool[Tensor, "row position"]]]:
        """What the subject is given, and at which positions batches have vectors."""
        ...


@dataclass(frozen=True, slots=True)
class LocalInteractionBasis:
    """Directions of a site in the order of how much a later one, `target`, depends on them (Local
    interaction basis, Bushnaq et al., 2024, arXiv 2405.10928).

        G = E[(x - mean)(x - mean)']    white = G^(-1/2) (x - mean)
        M = E[J' J]    J the derivative of the target, at all positions, by `white` at one
        M = V diag(effect) V'           code = sqrt(effect) V' white

    Codes are in units of the target: the mean square of one is its effect. Feature 2j is how far a
    vector lies along the j-th direction, 2j + 1 how far along its opposite. Where the target reads
    directions that are uncorrelated, and each with an effect of its own, these are found. M is
    estimated by the gradients of `probes` random sums of the target a batch.
    """

    reads_subject: ClassVar[bool] = True

    target: str = ""  # a later site; the residual stream behind the last layer where none is named
    components: int = 64  # directions at most, of which each makes two features
    tokens: int = 8_192  # whose vectors, and whose derivatives, are averaged
    probes: int = 4

    def __post_init__(self) -> None:
        require_at_least(1, self, "components")
        require_at_least(1, self, "probes")
        require_at_least(2, self, "tokens")

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[TrainingProgress], None] | None = None,
        massive: float = MASSIVE_MULTIPLE,
        subject: Subject | None = None,
    ) -> SparseCoder:
        """Run the subject over the sequences of the batches, and back from the target.

        Raises BadSettings without a subject or sequences, and Mismatch for a target that does not
        depend on the site.
        """
        subject = require_subject(subject, "local_interaction_basis")
        if not isinstance(batches, HasSequences):
            raise BadSettings(
                "local_interaction_basis takes derivatives, so that it needs the sequences that"
                " activations are read from; give activation_batches(...) to `fit`"
            )
        target = subject.site(self.target or f"resid_post.{subject.layers - 1}")
        x = take_sample(batches, self.tokens, site, massive).double()
        lengths, generator = VectorLengths.of(x.float(), massive), torch.Generator()
        generator.manual_seed(int(rng.integers(2**63)))
        effects = MeanEffects(subject, site, target, self.probes, generator)
        for given, kept in batches.sequences(AT_ONCE):
            effects.add(given, kept, lengths)
            if progress is not None:
                progress(TrainingProgress(min(effects.tokens, self.tokens), self.tokens))
            if effects.tokens >= self.tokens:
                break
        return interaction_basis(x, effects.mean, site, self.components)


class MeanEffects:
    """E[J' J], with J the derivative of the target at all positions by the site at one, without the
    positions that are left out.
    """

    def __init__(
        self, subject: Subject, site: Site, target: Site, probes: int, generator: torch.Generator
    ) -> None:
        self.subject, self.site, self.target = subject, site, target
        self.probes, self.generator = probes, generator
        width = subject.width_at(site)
        self.total, self.tokens = torch.zeros(width, width, dtype=torch.float64), 0

    def add(
        self,
        given: Int64[Tensor, "row position"],
        kept: Bool[Tensor, "row position"],
        lengths: VectorLengths,
    ) -> None:
        """The gradients of sums of the target with random signs, whose mean square is what is
        sought. Raises Mismatch where there are none.
        """
        leaves: list[Tensor] = []

        def begin_here(x: Tensor) -> Tensor:
            leaves.append(x.detach().requires_grad_())
            return leaves[-1]

        trace = self.subject.run(given, [self.target], {self.site: begin_here}, grad=True)
        y, x = trace.activations[self.target], leaves[0]
        read = kept.to(x.device) & ~lengths.are_massive(x.detach().flatten(0, 1)).view(kept.shape)
        for _ in range(self.probes):
            signs = torch.randint(0, 2, y.shape, generator=self.generator).to(y) * 2 - 1
            signs = signs * read.to(y.device)[:, :, None]
            gradient = (
                torch.autograd.grad(y, x, signs, retain_graph=True, allow_unused=True)[0]
                if y.requires_grad
                else None
            )
            if gradient is None:
                raise Mismatch(
                    f"{self.target} does not depend on {self.site}; give a later site as the target"
                )
            at_tokens = gradient[read].double().cpu()
            self.total += at_tokens.T @ at_tokens / self.probes
        self.tokens += int(read.sum())

    @property
    def mean(self) -> Float64[Tensor, "d d"]:
        """Over the tokens so far."""
        return self.total / max(1, self.tokens)


def interaction_basis(
    x: Float64[Tensor, "token d"], effects: Float64[Tensor, "d d"], site: Site, components: int
) -> SparseCoder:
    """The basis of these vectors where a later site depends on them so. Raises BadInput where it
    depends on none of the directions along which they vary.
    """
    mean = x.mean(0)
    variances, axes = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    used = variances > UNUSED * variances.mean()
    from_white = axes[:, used] * variances[used].sqrt()
    found, turned = torch.linalg.eigh(from_white.T @ effects @ from_white)
    found, turned, least = found.flip(0)[:components], turned.flip(1)[:, :components], found.mean()
    if not bool(found[0] > 0):
        raise BadInput(
            f"no direction along which the activations of {site} vary has an effect; give another"
            " target, or more text"
        )
    kept = found > UNUSED * least
    by_effect, turned = found[kept].sqrt(), turned[:, kept]
    decoder = (from_white @ turned / by_effect).T
    sign = decoder.gather(1, decoder.abs().argmax(1, keepdim=True)).sign()
    encoder = (axes[:, used] / variances[used].sqrt() @ turned * by_effect).T
    read, write = (
        torch.stack([rows * sign, -rows * sign], dim=1).flatten(0, 1).float()
        for rows in (encoder, decoder)
    )
    weights = Weights(read, torch.zeros(len(read)), write, mean.float())
    return SparseCoder(site, site, weights, Positive())
