"""The game of a feature at one token: which of the tokens up to it make the feature fire there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject

POSITIONS = 32_768  # in one forward pass, those that are read once included


@dataclass(frozen=True)
class Ending:
    """A feature's activation at the last token of a sequence, its last tokens being the players.

    A token that is removed gives its place to a stand-in, so that positions stay; the value is the mean over rows of stand-ins.
    What stands before the players is read once and always stays.
    """

    subject: Subject
    dictionary: Dictionary
    feature: int
    before: Int64[ndarray, " position"]  # without the start token
    tokens: Int64[ndarray, " player"]
    stand_ins: Int64[ndarray, "row player"]

    @property
    def players(self) -> tuple[str, ...]:
        """What each says."""
        return tuple(self.subject.vocabulary().strings[token] for token in self.tokens.tolist())

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The mean activation for each mask."""
        kept, tokens = torch.from_numpy(masks)[:, None], torch.from_numpy(self.tokens)
        rows = torch.where(kept, tokens, torch.from_numpy(self.stand_ins)).reshape(-1, len(self.tokens))
        front = [] if self.subject.start_token is None else [self.subject.start_token]
        beginning = torch.tensor([*front, *self.before.tolist()], dtype=torch.int64)
        size = max(1, POSITIONS // (len(beginning) + len(self.tokens)))
        parts = [self.activations(beginning, some) for some in rows.split(size)]
        return torch.cat(parts).reshape(len(masks), -1).mean(1).numpy()

    def activations(
        self, beginning: Int64[torch.Tensor, " position"], rows: Int64[torch.Tensor, "row player"]
    ) -> Float64[torch.Tensor, " row"]:
        """At the last token of each row."""
        site = self.dictionary.reads
        codes = self.dictionary.encode(self.subject.run_after(beginning, rows, [site]).activations[site][:, -1])
        return (codes.values * (codes.indices == self.feature)).sum(1).cpu().double()
