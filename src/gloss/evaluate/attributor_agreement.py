"""How far two attributions of the same answer agree, and how far each is right: that they agree
says nothing of that (Neely et al., 2022, arXiv 2205.04559).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput, require_at_least
from gloss.evaluate.dictionary_check import text_positions
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.subject import Subject
from gloss.records import Estimate, Evaluation, EvaluationRow, Needs
from gloss.statistics.intervals import bounded, ratio_with_interval, student_interval

ROWS = 16  # sequences in one forward pass
FEWEST = 3  # active features of a token, for their order to mean something
TRIES = 16  # tokens that are looked at, at most, for each that is attributed


@dataclass(frozen=True)
class AttributorAgreement:
    """The features that are active at a token, and what each adds to the log-probability of the
    token that follows: by its gradient times what it writes, and by taking it out.

    Agreement is Kendall's tau of the two orders, the share of the three largest that both name, and
    the share of features with the same sign. Beside it stands how much of what happens when each
    feature is kept with probability 1/2 either predicts: that is quality, and agreement is none.

        >>> AttributorAgreement(tokens=4, most=8).most
        8
    """

    needs: ClassVar[Needs] = Needs(corpus=True)

    tokens: int = 16  # that are attributed
    most: int = 16  # of a token's features, those that write the longest vectors
    masks: int = 16  # of features, on which attributions are tried

    def __post_init__(self) -> None:
        require_at_least(2, self, "tokens", "masks")
        require_at_least(FEWEST, self, "most")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Means over tokens. Raises BadInput where too few tokens have features enough."""
        found = list[TokenAttributions]()
        drawn = [*islice(drawn_prefixes(material, rng), TRIES * self.tokens)]
        for beginning, target in drawn:
            game = FeatureGame.of(material.subject, dictionary, beginning, target, self.most)
            if game is not None:
                found.append(TokenAttributions.of(game, self.masks, rng))
            if len(found) == self.tokens:
                break
        if len(found) < 2:
            raise BadInput(
                f"{len(found)} of {len(drawn)} tokens that were tried have {FEWEST} active"
                " features, and 2 are wanted; give more text, or a dictionary with more of them"
            )
        return Evaluation("attributor_agreement", tuple(agreement_rows(found, rng)))


def agreement_rows(
    found: list["TokenAttributions"], rng: np.random.Generator
) -> Iterator[EvaluationRow]:
    """Agreement and quality, over tokens."""
    n, told = len(found), [OrderAgreement.of(each.gradient, each.removal) for each in found]
    for name, values, least in (
        ("kendall_tau", [each.kendall_tau for each in told], -1.0),
        ("top_shared", [each.top_shared for each in told], 0.0),
        ("same_sign", [each.same_sign for each in told], 0.0),
    ):
        yield EvaluationRow(name, bounded(student_interval(np.array(values)), least), n, "tokens")
    spread = np.array([np.square(each.changes - each.changes.mean()).sum() for each in found])
    for name in ("gradient", "removal"):
        errors = np.array([each.squared_error(name) for each in found])
        off = ratio_with_interval(errors, spread, rng)
        r2 = Estimate(1 - off.value, 1 - off.high, 1 - off.low)
        note = "on features kept with probability 1/2: 1 predicts all, 0 no better than the mean"
        yield EvaluationRow(f"r2_of_{name}", r2, n, "tokens", note=note)


@dataclass(frozen=True)
class OrderAgreement:
    """How far two attributions of the same players agree."""

    kendall_tau: float  # tau-b, of the signed values
    top_shared: float  # the share of the three largest by size that both name
    same_sign: float

    @staticmethod
    def of(
        one: Float64[ndarray, " player"], other: Float64[ndarray, " player"]
    ) -> "OrderAgreement":
        """Of two attributions, at least one player long. A constant one agrees with nothing.

        >>> OrderAgreement.of(np.array([3.0, 2.0, -1.0]), np.array([6.0, 4.0, -2.0]))
        OrderAgreement(kendall_tau=1.0, top_shared=1.0, same_sign=1.0)
        """
        signs = [np.sign(each[:, None] - each[None]) for each in (one, other)]
        sizes = [float((each**2).sum()) ** 0.5 for each in signs]
        tau = float((signs[0] * signs[1]).sum()) / (sizes[0] * sizes[1]) if all(sizes) else 0.0
        most = min(3, len(one))
        largest = [set(np.argsort(-np.abs(each), kind="stable")[:most]) for each in (one, other)]
        return OrderAgreement(
            round(tau, 12),
            len(largest[0] & largest[1]) / most,
            float((np.sign(one) == np.sign(other)).mean()),
        )


@dataclass(frozen=True)
class FeatureGame:
    """The features of one token as players: what each writes there, and the log-probability of the
    next token with some of them taken out.
    """

    subject: Subject
    dictionary: Dictionary
    tokens: Int64[Tensor, " position"]  # up to the one whose features are players
    target: int
    written: Float32[Tensor, "player d"]

    @staticmethod
    @torch.no_grad()
    def of(
        subject: Subject,
        dictionary: Dictionary,
        tokens: Int64[Tensor, " position"],
        target: int,
        most: int,
    ) -> "FeatureGame | None":
        """None where too few features are active."""
        site = dictionary.reads
        x = subject.run(tokens[None], read=(site,)).activations[site][0, -1:].float()
        codes = dictionary.encode(x)
        used = codes.used[0]
        written = dictionary.decoder_directions[codes.indices[0][used]].float()
        written = written * codes.values[0][used][:, None]
        if isinstance(dictionary, Scaled):
            written = written * dictionary.output_scale(x)
        if len(written) < FEWEST:
            return None
        longest = written.norm(dim=1).topk(min(most, len(written))).indices
        return FeatureGame(subject, dictionary, tokens, target, written[longest])

    @torch.no_grad()
    def values(self, kept: Bool[Tensor, "mask player"]) -> Float64[ndarray, " mask"]:
        """The log-probability where only these features are kept."""
        found = list[Tensor]()
        for some in kept.split(ROWS):
            out = (~some).to(self.written) @ self.written
            found.append(self._log_probability(out).double().cpu())
        return torch.cat(found).numpy()

    def gradient(self) -> Float64[ndarray, " player"]:
        """The slope of the log-probability along what each player writes."""
        with torch.enable_grad():
            out = self.written.new_zeros(1, self.written.shape[1]).requires_grad_()
            [slope] = torch.autograd.grad(self._log_probability(out).sum(), out)
        return -(self.written @ slope[0]).double().cpu().numpy()

    def _log_probability(self, out: Float32[Tensor, "row d"]) -> Float32[Tensor, " row"]:
        """Of the target, where this is subtracted from what is written at the last token."""

        def change(x: Tensor) -> Tensor:
            return torch.cat([x[:, :-1], x[:, -1:] - out[:, None].to(x)], dim=1)

        rows = self.tokens.expand(len(out), -1)
        edits = {self.dictionary.writes: change}
        trace = self.subject.run(rows, edits=edits, logits=True, grad=out.requires_grad)
        assert trace.logits is not None
        return trace.logits[:, -1].float().log_softmax(1)[:, self.target]


@dataclass(frozen=True)
class TokenAttributions:
    """Both attributions of one token's features, and what masks changed."""

    gradient: Float64[ndarray, " player"]
    removal: Float64[ndarray, " player"]
    kept: Bool[ndarray, "mask player"]
    changes: Float64[ndarray, " mask"]  # from all players to those that are kept

    @staticmethod
    def of(game: FeatureGame, masks: int, rng: np.random.Generator) -> "TokenAttributions":
        """Measure both, and drawn masks."""
        players = len(game.written)
        drawn = rng.random((masks, players)) < 0.5
        asked = np.concatenate([np.ones((1, players), bool), ~np.eye(players, dtype=bool), drawn])
        whole, *rest = game.values(torch.from_numpy(asked))
        values = np.array(rest)
        return TokenAttributions(
            game.gradient(), whole - values[:players], drawn, values[players:] - whole
        )

    def squared_error(self, name: str) -> float:
        """Of what an attribution says that the masks change."""
        said = -(~self.kept @ getattr(self, name))
        return float(np.square(said - self.changes).sum())


def drawn_prefixes(
    material: Material, rng: np.random.Generator
) -> Iterator[tuple[Int64[Tensor, " position"], int]]:
    """Beginnings of sequences in random order, each with the token that follows it."""
    places = [
        (batch, row, position)
        for batch, tokens in enumerate(material.batches)
        for row, position in text_positions(
            tokens, material.subject.start_token, material.left_out
        ).nonzero().tolist()
        if position + 1 < tokens.shape[1] and int(tokens[row, position + 1]) >= 0
    ]  # fmt: skip
    for place in rng.permutation(len(places)):
        batch, row, position = places[place]
        tokens = material.batches[batch][row]
        yield tokens[: position + 1], int(tokens[position + 1])
