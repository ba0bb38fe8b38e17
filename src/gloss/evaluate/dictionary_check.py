"""Whether a dictionary fits its subject: sparsity, reconstruction, and what the subject loses when
it runs on reconstructions.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import Card, Dictionary, require_fit
from gloss.models.joint_coder import JointCoder
from gloss.models.massive_tokens import MEASURED_TOKENS, VectorLengths
from gloss.models.model_settings import MASSIVE_MULTIPLE, require_massive_multiple
from gloss.models.sites import JointSite, OtherSite, Site, parts_of
from gloss.models.sparse_codes import Codes
from gloss.models.subject import Subject
from gloss.records import PADDING, Estimate
from gloss.statistics.intervals import ratio_with_interval

LOSSES_RECOVERED = ("clean", "spliced", "zero_ablated")  # what `recovered` is a ratio of
LOSSES = (*LOSSES_RECOVERED, "mean_ablated", "kl_spliced", "kl_zero_ablated")
CARD_TOLERANCE = 0.1  # share by which a card may differ: it was measured on other text


@dataclass(frozen=True, slots=True)
class DictionaryCheck:
    """What was measured on text, with 95 % intervals over sequences.

    Cross-entropies are in nats for each token.
    """

    sequences: int
    tokens: int  # of text; start tokens and what is left out are neither encoded nor replaced
    massive: int  # of these, with a vector many times longer than the median
    median_length: float  # of the vectors that are read
    l0: Estimate  # active features for each token
    fvu: Estimate  # squared error over squared distance from the mean
    fvu_normal: Estimate  # the same without massive tokens, which hide all others
    dead_share: float  # of the features, those that were active at none of these tokens
    clean: Estimate  # cross-entropy of the subject as it is
    spliced: Estimate  # with reconstructions in place of the vectors
    zero_ablated: Estimate  # with zeros in their place
    mean_ablated: Estimate  # with their mean in their place
    recovered: Estimate  # (zero_ablated - spliced) / (zero_ablated - clean)
    recovered_over_mean: Estimate  # the same against mean_ablated, which is the harder test
    recovered_normal: Estimate  # as `recovered`, with massive tokens left as they are
    kl_spliced: Estimate  # Kullback-Leibler divergence from the subject as it is, in nats
    kl_zero_ablated: Estimate
    kl_recovered: Estimate  # 1 - kl_spliced / kl_zero_ablated
    reconstruction: "Reconstruction"  # what these numbers are sums of

    @property
    def fits(self) -> bool:
        """Whether the dictionary explains any normal token: with a wrong site or scale it is worse
        than the mean.
        """
        return self.fvu_normal.value < 1


@dataclass(frozen=True, slots=True)
class CardComparison:
    """One number of the card beside the one that was measured."""

    name: str
    measured: float
    stated: float
    agrees: bool


def check_dictionary(
    subject: Subject,
    dictionary: Dictionary,
    batches: Sequence[Int64[Tensor, "_ position"]],
    rng: np.random.Generator,
    left_out: frozenset[int] = frozenset(),
    massive: float = MASSIVE_MULTIPLE,
) -> DictionaryCheck:
    """Measure a dictionary on batches of sequences, each with its start token in front, and padded
    at the end.

    Tokens in `left_out` do not count. Those whose vectors are longer than `massive` times the
    median (0: none) are counted apart. Raises Mismatch for a dictionary of another width or site
    than the subject has, and BadInput where there is no text.
    """
    found = measure_reconstruction(subject, dictionary, batches, left_out, massive)
    every, normal = found.every, found.normal
    losses = _measure_losses(subject, dictionary, batches, every)
    others = losses
    if found.massive:
        others = _measure_losses(subject, dictionary, batches, normal, LOSSES_RECOVERED)
    predicted = losses.pop("predicted")
    return DictionaryCheck(
        sequences=len(every.tokens),
        tokens=int(every.tokens.sum()),
        massive=found.massive,
        median_length=found.median_length,
        l0=ratio_with_interval(every.active, every.tokens, rng),
        fvu=ratio_with_interval(every.errors, every.distances, rng),
        fvu_normal=ratio_with_interval(normal.errors, normal.distances, rng),
        dead_share=float((~every.fired).float().mean()),
        recovered=_share_recovered(losses, "zero_ablated", rng),
        recovered_over_mean=_share_recovered(losses, "mean_ablated", rng),
        recovered_normal=_share_recovered(others, "zero_ablated", rng),
        **{name: ratio_with_interval(loss, predicted, rng) for name, loss in losses.items()},
        kl_recovered=ratio_with_interval(
            losses["kl_zero_ablated"] - losses["kl_spliced"], losses["kl_zero_ablated"], rng
        ),
        reconstruction=found,
    )


def _share_recovered(
    losses: Mapping[str, Float64[ndarray, " sequence"]], ablated: str, rng: np.random.Generator
) -> Estimate:
    return ratio_with_interval(
        losses[ablated] - losses["spliced"], losses[ablated] - losses["clean"], rng
    )


def compare_with_card(measured: DictionaryCheck, card: Card) -> tuple[CardComparison, ...]:
    """Each number that the card states beside the measured one.

    They agree within the interval or a tenth.
    """
    estimates = {"fvu": measured.fvu, "fvu_normal": measured.fvu_normal, "l0": measured.l0}
    estimates |= {"cross_entropy_recovered": measured.recovered}
    compared: list[CardComparison] = []
    for name, estimate in estimates.items():
        stated: float | None = getattr(card, name)
        if stated is not None:
            near = abs(estimate.value - stated) <= CARD_TOLERANCE * abs(stated)
            compared.append(
                CardComparison(
                    name, estimate.value, stated, near or estimate.low <= stated <= estimate.high
                )
            )
    return tuple(compared)


def splice_edits(
    dictionary: Dictionary, text: Bool[Tensor, "sequence position"]
) -> Mapping[Site, Callable[[Tensor], Tensor]]:
    """The edits that put reconstructions in the place of the vectors, where the sequences hold
    text.
    """
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


def spliced_beforehand(
    subject: Subject,
    dictionary: Dictionary,
    tokens: Int64[Tensor, "sequence position"],
    text: Bool[Tensor, "sequence position"],
) -> Mapping[Site, Callable[[Tensor], Tensor]]:
    """As `splice_edits`, for a dictionary of several sites: what it makes of the subject as it is,
    at every site that it writes.
    """
    x = subject.run(tokens, read=(dictionary.reads,)).activations[dictionary.reads]
    chosen = text.to(x.device)
    made = x.new_zeros(*x.shape[:2], dictionary.decoder_directions.shape[1])
    made[chosen] = dictionary.reconstruct(x[chosen]).to(made.dtype)
    return puts(dictionary, made, text)


def parts_of_written(dictionary: Dictionary, x: Tensor) -> dict[Site, Tensor]:
    """What is of each site that the dictionary writes, of vectors of all of them."""
    if not isinstance(dictionary, JointCoder):
        return {dictionary.writes: x}
    return dict(zip(parts_of(dictionary.writes), x.split(dictionary.widths, dim=-1), strict=True))


def puts(
    dictionary: Dictionary, x: Tensor, text: Bool[Tensor, "sequence position"]
) -> Mapping[Site, Callable[[Tensor], Tensor]]:
    """The edits that put vectors of all sites where the sequences hold text; those of another model
    are put nowhere.
    """
    parts = parts_of_written(dictionary, x).items()
    return {
        site: partial(_put, text, part) for site, part in parts if not isinstance(site, OtherSite)
    }


def is_of_several(dictionary: Dictionary) -> bool:
    """Whether it writes more than one site."""
    return isinstance(dictionary, JointCoder) and len(dictionary.widths) > 1


def text_positions(
    tokens: Int64[Tensor, "sequence position"],
    start_token: int | None,
    left_out: frozenset[int] = frozenset(),
) -> Bool[Tensor, "sequence position"]:
    """Which positions count: neither padding, nor the start token in front, whose vectors are
    unlike all others, nor left out.
    """
    text = (tokens != PADDING) & ~torch.isin(
        tokens, torch.tensor(sorted(left_out), dtype=tokens.dtype, device=tokens.device)
    )
    if start_token is not None:
        text[:, 0] &= tokens[:, 0] != start_token
    return text


OTHER_SUMS: Mapping[str, str] = {
    "length_ratio": "of the reconstruction's length to the vector's; 1 where the vector is 0",
    "cosine": "of both; 0 where either is 0",
    "length": "of the vector",
    "length_written": "of the reconstruction",
    "squared_written": "the square of this",
    "product": "of both, entry by entry",
    "code_sum": "of the active features' codes",
}


@dataclass(frozen=True, slots=True)
class ReconstructionSums:
    """What the vectors of some positions amount to, sequence by sequence."""

    masks: tuple[Bool[Tensor, "_ _"], ...]  # the positions, a mask for each batch
    tokens: Float64[ndarray, " sequence"]
    active: Float64[ndarray, " sequence"]  # features
    errors: Float64[ndarray, " sequence"]  # squared, of the reconstructions
    distances: Float64[ndarray, " sequence"]  # squared, from the mean
    others: Mapping[str, Float64[ndarray, " sequence"]]  # sums over tokens, as OTHER_SUMS says
    mean: Float64[Tensor, " d_out"]
    counts: Int64[Tensor, " feature"]  # tokens at which each is active
    # errors and distances at each site, of a dictionary that writes several
    by_site: Mapping[Site, tuple[Float64[ndarray, " sequence"], Float64[ndarray, " sequence"]]]

    @property
    def fired(self) -> Bool[Tensor, " feature"]:
        """Which features were active at any token."""
        return self.counts > 0


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How well vectors are reconstructed: of every token that counts, and of those that are not
    massive.
    """

    every: ReconstructionSums
    normal: ReconstructionSums
    median_length: float

    @property
    def massive(self) -> int:
        """How many tokens are massive."""
        return int(self.every.tokens.sum() - self.normal.tokens.sum())


def site_reconstructions(
    found: ReconstructionSums, rng: np.random.Generator
) -> Mapping[Site, Estimate]:
    """The FVU at each of several sites that a dictionary writes; none of a dictionary of one."""
    return {
        site: ratio_with_interval(errors, distances, rng)
        for site, (errors, distances) in found.by_site.items()
    }


def measure_reconstruction(
    subject: Subject,
    dictionary: Dictionary,
    batches: Sequence[Int64[Tensor, "_ position"]],
    left_out: frozenset[int],
    massive: float,
) -> Reconstruction:
    """Encode and decode every token that counts.

    What is usual is the median length of the first 4,096 of them.
    """
    require_massive_multiple(massive)
    require_fit(dictionary, subject)
    texts = tuple(text_positions(tokens, subject.start_token, left_out) for tokens in batches)
    if not any(bool(text.any()) for text in texts):
        raise BadInput(
            "there is no text to check the dictionary on; give at least one sequence of two tokens"
        )
    lengths = _measure_lengths(subject, dictionary.reads, batches, texts, massive)
    counts = torch.zeros(2, dictionary.width, dtype=torch.int64)
    parts = [
        _sum_batch(subject, dictionary, tokens, text, lengths, counts)
        for tokens, text in zip(batches, texts, strict=True)
    ]
    every, normal = zip(*parts, strict=True)
    return Reconstruction(
        _join_batches(dictionary, texts, every, counts[0]),
        _join_batches(dictionary, tuple(part.text for part in normal), normal, counts[1]),
        lengths.median,
    )


def _measure_lengths(
    subject: Subject,
    site: Site,
    batches: Sequence[Int64[Tensor, "_ position"]],
    texts: Sequence[Bool[Tensor, "_ position"]],
    massive: float,
) -> VectorLengths:
    """The median length of the first vectors."""
    vectors: list[Tensor] = []
    for tokens, text in zip(batches, texts, strict=True):
        vectors.append(
            subject.run(tokens, read=(site,))
            .activations[site][text.to(subject.device)]
            .float()
            .cpu()
        )
        if sum(map(len, vectors)) >= MEASURED_TOKENS:
            break
    return VectorLengths.of(torch.cat(vectors), massive)


@dataclass(frozen=True, slots=True)
class _BatchSums:
    """One batch's sums over some positions, sequence by sequence."""

    text: Bool[Tensor, "sequence position"]
    sums: Mapping[str, Float64[ndarray, " sequence"]]
    vectors: Float64[Tensor, "sequence d_out"]


def _join_batches(
    dictionary: Dictionary,
    masks: Sequence[Bool[Tensor, "_ position"]],
    parts: Sequence[_BatchSums],
    counts: Int64[Tensor, " feature"],
) -> ReconstructionSums:
    """All batches together; distances are from the mean of all their vectors."""
    sums = {name: np.concatenate([part.sums[name] for part in parts]) for name in parts[0].sums}
    tokens, squares = sums.pop("tokens"), sums.pop("squares")
    vectors = torch.cat([part.vectors for part in parts])
    mean = vectors.sum(0) / max(1.0, tokens.sum())
    by_site: dict[Site, tuple[ndarray, ndarray]] = {}
    if is_of_several(dictionary):
        both = parts_of_written(dictionary, vectors), parts_of_written(dictionary, mean)
        by_site = {
            site: (
                sums.pop(f"errors of {site}"),
                _distances(sums.pop(f"squares of {site}"), part, both[1][site], tokens),
            )
            for site, part in both[0].items()
        }
    distances = _distances(squares, vectors, mean, tokens)
    active, errors = sums.pop("active"), sums.pop("errors")
    return ReconstructionSums(
        tuple(masks), tokens, active, errors, distances, sums, mean, counts, by_site
    )


def _distances(
    squares: Float64[ndarray, " sequence"],
    vectors: Float64[Tensor, "sequence d_out"],
    mean: Float64[Tensor, " d_out"],
    tokens: Float64[ndarray, " sequence"],
) -> Float64[ndarray, " sequence"]:
    """Squared distances from the mean, summed, of vectors whose squares and sums are given."""
    return squares - 2 * (vectors @ mean).numpy() + tokens * float(mean.square().sum())


@torch.no_grad()
def _sum_batch(
    subject: Subject,
    dictionary: Dictionary,
    tokens: Int64[Tensor, "sequence position"],
    text: Bool[Tensor, "sequence position"],
    lengths: VectorLengths,
    counts: Int64[Tensor, "2 feature"],
) -> tuple[_BatchSums, _BatchSums]:
    """One batch's sums over every position of text, and over those that are not massive; tokens at
    which features are active are added to the two rows of `counts`.
    """
    found = subject.run(tokens, read=(dictionary.reads, dictionary.writes)).activations
    inputs, targets = (
        found[site][text.to(found[site].device)].float()
        for site in (dictionary.reads, dictionary.writes)
    )
    codes, written = dictionary.encode(inputs), dictionary.reconstruct(inputs)
    if isinstance(dictionary, JointCoder):
        written, targets = written * dictionary.written_scale, targets * dictionary.written_scale
    summed = _token_sums(codes, written, targets)
    if is_of_several(dictionary):
        made, wanted = (parts_of_written(dictionary, x) for x in (written, targets))
        for site, part_written in made.items():
            summed[f"errors of {site}"] = (part_written - wanted[site]).square().sum(1)
            summed[f"squares of {site}"] = wanted[site].square().sum(1)
    each = {name: values.double().cpu() for name, values in summed.items()}
    normal = ~lengths.are_massive(inputs).cpu()
    where = text.nonzero()

    def part(chosen: Bool[Tensor, " token"], active: Int64[Tensor, " feature"]) -> _BatchSums:
        rows = where[chosen][:, 0]
        mask = torch.zeros_like(text)
        mask[tuple(where[chosen].T)] = True
        fired = codes.indices.cpu()[chosen][codes.used.cpu()[chosen]]
        active += fired.bincount(minlength=dictionary.width)
        vectors = torch.zeros(len(tokens), targets.shape[1], dtype=torch.float64)
        vectors.index_add_(0, rows, targets.double().cpu()[chosen])
        sums = {
            name: np.bincount(
                rows.numpy(), weights=values[chosen].numpy(), minlength=len(tokens)
            ).astype(np.float64)
            for name, values in each.items()
        }
        sums["tokens"] = mask.sum(1).double().numpy()
        return _BatchSums(mask, sums, vectors)

    return part(torch.ones_like(normal), counts[0]), part(normal, counts[1])


def _token_sums(
    codes: Codes, written: Float[Tensor, "token d_out"], targets: Float[Tensor, "token d_out"]
) -> dict[str, Float[Tensor, " token"]]:
    """What is summed over tokens: OTHER_SUMS, active features and squares."""
    length, length_written = targets.norm(dim=1), written.norm(dim=1)
    product = (written * targets).sum(1)
    return {
        "active": codes.used.sum(1).float(),
        "errors": (written - targets).square().sum(1),
        "squares": targets.square().sum(1),
        "length_ratio": torch.where(length > 0, length_written / length, torch.ones_like(length)),
        "cosine": (product / (length * length_written)).nan_to_num(0.0, 0.0, 0.0),
        "length": length,
        "length_written": length_written,
        "squared_written": written.square().sum(1),
        "product": product,
        "code_sum": codes.values.sum(1),
    }


@torch.no_grad()
def _measure_losses(
    subject: Subject,
    dictionary: Dictionary,
    batches: Sequence[Int64[Tensor, "_ position"]],
    edited: ReconstructionSums,
    wanted: Collection[str] = LOSSES,
) -> dict[str, Float64[ndarray, " sequence"]]:
    """Each sequence's summed cross-entropy under each edit of these positions, its divergence from
    the subject without edits, and of how many tokens; no more than is wanted, of LOSSES.

    Predictions from other positions, and of tokens there, stay out.
    """
    losses = defaultdict[str, list[ndarray]](list)
    for tokens, text in zip(batches, edited.masks, strict=True):
        tried = text[:, :-1] & text[:, 1:]
        edits = {
            "clean": {},
            "spliced": spliced_beforehand(subject, dictionary, tokens, text)
            if isinstance(dictionary.reads, JointSite)
            else splice_edits(dictionary, text),
            "zero_ablated": _constant_edits(dictionary, torch.zeros_like(edited.mean), text),
            "mean_ablated": _constant_edits(dictionary, edited.mean, text),
        }
        losses["predicted"].append(tried.sum(1).double().numpy())
        clean: Tensor | None = None
        for name in filter(wanted.__contains__, edits):
            edit, diverges = edits[name], f"kl_{name}" in wanted
            logits = subject.run(tokens, edits=edit, logits=True).logits
            assert logits is not None
            clean = logits if clean is None else clean
            nats, divergence = _sum_nats(logits, clean if diverges else None, tokens, tried)
            losses[name].append(nats)
            if diverges:
                losses[f"kl_{name}"].append(divergence)
    return {name: np.concatenate(parts) for name, parts in losses.items()}


def _sum_nats(
    logits: Float[Tensor, "sequence position vocabulary"],
    clean: Float[Tensor, "sequence position vocabulary"] | None,
    tokens: Int64[Tensor, "sequence position"],
    tried: Bool[Tensor, "sequence before_last"],
) -> tuple[Float64[ndarray, " sequence"], Float64[ndarray, " sequence"]]:
    """Each sequence's cross-entropy, and its divergence KL(clean || these), over what is tried;
    the latter is 0 where clean logits are not given.

    A sequence at a time, so that little is held beside both logits.
    """
    found: list[tuple[float, float]] = []
    for row, each in enumerate(tried):
        at = each.nonzero()[:, 0].to(logits.device)
        ours = logits[row, at].float().log_softmax(1)
        following = tokens[row, 1:][each].to(logits.device)
        nats = -ours.gather(1, following[:, None]).double().sum()
        divergence = 0.0
        if clean is not None:
            theirs = clean[row, at].float().log_softmax(1)
            divergence = float((theirs.exp() * (theirs - ours)).double().sum())
        found.append((float(nats), divergence))
    both = np.array(found, dtype=np.float64)
    return both[:, 0], both[:, 1]


def _constant_edits(
    dictionary: Dictionary,
    value: Float64[Tensor, " d_out"],
    text: Bool[Tensor, "sequence position"],
) -> Mapping[Site, Callable[[Tensor], Tensor]]:
    """The edits that put one vector everywhere that holds text, at each site that is written."""
    if isinstance(dictionary, JointCoder):
        value = value / dictionary.written_scale.to(value)
    return puts(dictionary, value, text)


def _put(text: Bool[Tensor, "sequence position"], value: Tensor, x: Tensor) -> Tensor:
    return torch.where(text.to(x.device)[..., None], value.to(x), x)
