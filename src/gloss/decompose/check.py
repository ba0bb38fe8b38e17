"""Whether a dictionary fits its subject: sparsity, reconstruction, and what the subject loses when it runs on reconstructions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.decompose.estimates import ratio
from gloss.errors import BadInput
from gloss.models.dictionary import Card, Dictionary, require_fit
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import PADDING, Estimate

TOLERANCE = 0.1  # share by which a card may differ: it was measured on other text


@dataclass(frozen=True, slots=True)
class Check:
    """What was measured on text, with 95 % intervals over sequences. Cross-entropies are in nats for each token."""

    sequences: int
    tokens: int  # of text; start tokens are neither encoded nor replaced
    l0: Estimate  # active features for each token
    fvu: Estimate  # squared error over squared distance from the mean
    dead_share: float  # of the features, those that were active at none of these tokens
    clean: Estimate  # cross-entropy of the subject as it is
    spliced: Estimate  # with reconstructions in place of the vectors
    zero_ablated: Estimate  # with zeros in their place
    mean_ablated: Estimate  # with their mean in their place
    recovered: Estimate  # (zero_ablated - spliced) / (zero_ablated - clean)
    recovered_over_mean: Estimate  # the same against mean_ablated, which is the harder test

    @property
    def fits(self) -> bool:
        """Whether the dictionary explains anything: with a wrong site or scale it is worse than the mean."""
        return self.fvu.value < 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number of the card beside the one that was measured."""

    name: str
    measured: float
    stated: float
    agrees: bool


def check(
    subject: Subject, dictionary: Dictionary, batches: Sequence[Int64[Tensor, "_ position"]], rng: np.random.Generator
) -> Check:
    """Measure a dictionary on batches of sequences, each with its start token in front, and padded at the end.

    Raises Mismatch for a dictionary of another width or site than the subject has, and BadInput where there is no text.
    """
    require_fit(dictionary, subject)
    if not any(int(text_positions(tokens, subject.start_token).sum()) for tokens in batches):
        raise BadInput("there is no text to check the dictionary on; give at least one sequence of two tokens")
    sums = [_reconstruct(subject, dictionary, tokens) for tokens in batches]
    tokens = np.concatenate([part.tokens for part in sums])
    mean = torch.stack([part.vectors.sum(0) for part in sums]).sum(0) / tokens.sum()
    squares = np.concatenate([part.squared_distances(mean) for part in sums])
    fired = torch.stack([part.fired for part in sums]).any(0)
    losses = _losses(subject, dictionary, batches, mean)
    predicted = losses.pop("predicted")
    kept = {name: ratio(loss, predicted, rng) for name, loss in losses.items()}
    gained = {name: losses[name] - losses["spliced"] for name in ("zero_ablated", "mean_ablated")}
    gainable = {name: losses[name] - losses["clean"] for name in ("zero_ablated", "mean_ablated")}
    return Check(
        sequences=len(tokens),
        tokens=int(tokens.sum()),
        l0=ratio(np.concatenate([part.active for part in sums]), tokens, rng),
        fvu=ratio(np.concatenate([part.errors for part in sums]), squares, rng),
        dead_share=float((~fired).float().mean()),
        recovered=ratio(gained["zero_ablated"], gainable["zero_ablated"], rng),
        recovered_over_mean=ratio(gained["mean_ablated"], gainable["mean_ablated"], rng),
        **kept,
    )


def compare(measured: Check, card: Card) -> tuple[Comparison, ...]:
    """Each number that the card states beside the measured one. They agree within the interval or a tenth."""
    estimates = {"fvu": measured.fvu, "l0": measured.l0, "cross_entropy_recovered": measured.recovered}
    compared: list[Comparison] = []
    for name, estimate in estimates.items():
        stated: float | None = getattr(card, name)
        if stated is not None:
            near = abs(estimate.value - stated) <= TOLERANCE * abs(stated)
            compared.append(Comparison(name, estimate.value, stated, near or estimate.low <= stated <= estimate.high))
    return tuple(compared)


def splice(dictionary: Dictionary, text: Bool[Tensor, "sequence position"]) -> Mapping[Site, Callable[[Tensor], Tensor]]:
    """The edits that put reconstructions in the place of the vectors, where the sequences hold text."""
    seen: list[Tensor] = []

    def remember(x: Tensor) -> Tensor:
        seen[:] = [x]
        return x

    def replaced(source: Tensor, x: Tensor) -> Tensor:
        chosen, edited = text.to(x.device), x.clone()
        edited[chosen] = dictionary.reconstruct(source[chosen]).to(x.dtype)
        return edited

    if dictionary.reads == dictionary.writes:
        return {dictionary.writes: lambda x: replaced(x, x)}
    return {dictionary.reads: remember, dictionary.writes: lambda x: replaced(seen.pop(), x)}


def text_positions(tokens: Int64[Tensor, "sequence position"], start_token: int | None) -> Bool[Tensor, "sequence position"]:
    """Which positions hold text: neither padding, nor the start token in front, whose vectors are unlike all others."""
    text = tokens != PADDING
    if start_token is not None:
        text[:, 0] &= tokens[:, 0] != start_token
    return text


@dataclass(frozen=True, slots=True)
class _Sums:
    """One batch's sums, sequence by sequence."""

    tokens: Float64[ndarray, " sequence"]
    active: Float64[ndarray, " sequence"]
    errors: Float64[ndarray, " sequence"]
    squares: Float64[ndarray, " sequence"]
    vectors: Float64[Tensor, "sequence d_out"]
    fired: Bool[Tensor, " feature"]

    def squared_distances(self, mean: Float64[Tensor, " d_out"]) -> Float64[ndarray, " sequence"]:
        """Each sequence's sum of squared distances from a point."""
        return self.squares - 2 * (self.vectors @ mean).numpy() + self.tokens * float(mean.square().sum())


@torch.no_grad()
def _reconstruct(subject: Subject, dictionary: Dictionary, tokens: Int64[Tensor, "sequence position"]) -> _Sums:
    text = text_positions(tokens, subject.start_token)
    found = subject.run(tokens, read=(dictionary.reads, dictionary.writes)).activations
    inputs, targets = (found[site][text].float() for site in (dictionary.reads, dictionary.writes))
    codes = dictionary.encode(inputs)
    rows = text.nonzero()[:, 0]

    def by_sequence(values: Float[Tensor, " token"]) -> Float64[ndarray, " sequence"]:
        return np.bincount(rows.numpy(), weights=values.double().cpu().numpy(), minlength=len(tokens)).astype(np.float64)

    fired = torch.zeros(dictionary.width, dtype=torch.bool)
    fired[codes.indices[codes.used].cpu()] = True
    return _Sums(
        tokens=text.sum(1).double().numpy(),
        active=by_sequence(codes.used.sum(1).double()),
        errors=by_sequence((dictionary.reconstruct(inputs) - targets).square().sum(1)),
        squares=by_sequence(targets.square().sum(1)),
        vectors=torch.zeros(len(tokens), targets.shape[1], dtype=torch.float64).index_add_(0, rows, targets.double().cpu()),
        fired=fired,
    )


@torch.no_grad()
def _losses(
    subject: Subject, dictionary: Dictionary, batches: Sequence[Int64[Tensor, "_ position"]], mean: Float64[Tensor, " d_out"]
) -> dict[str, Float64[ndarray, " sequence"]]:
    """Each sequence's summed cross-entropy under each edit, and of how many tokens; predictions from the start token stay out."""
    losses: dict[str, list[ndarray]] = {name: [] for name in ("predicted", "clean", "spliced", "zero_ablated", "mean_ablated")}
    for tokens in batches:
        text = text_positions(tokens, subject.start_token)
        tried = text[:, :-1] & text[:, 1:]
        edits = {
            "clean": {},
            "spliced": splice(dictionary, text),
            "zero_ablated": {dictionary.writes: _constant(torch.zeros_like(mean), text)},
            "mean_ablated": {dictionary.writes: _constant(mean, text)},
        }
        losses["predicted"].append(tried.sum(1).double().numpy())
        for name, edit in edits.items():
            logits = subject.run(tokens, edits=edit, logits=True).logits
            assert logits is not None
            nats = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().transpose(1, 2).cpu(), tokens[:, 1:].clamp_min(0).cpu(), reduction="none"
            )
            losses[name].append((nats * tried).sum(1).double().numpy())
    return {name: np.concatenate(parts) for name, parts in losses.items()}


def _constant(value: Float64[Tensor, " d_out"], text: Bool[Tensor, "sequence position"]) -> Callable[[Tensor], Tensor]:
    """The edit that puts one vector everywhere that holds text."""
    return lambda x: torch.where(text.to(x.device)[..., None], value.to(x), x)
