"""Prompts and what the subject says after each of them when nobody interferes: computed once,
compared with often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.intervene.edits import Intervention, positions_from
from gloss.intervene.settings import EditReach
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.models.subject import NO_EDITS, Subject
from gloss.records import PADDING

ROWS = 64  # prompts in one forward pass


@dataclass(frozen=True, slots=True)
class Baseline:
    """Prompts, the positions that are changed, and the subject's clean next-token distributions."""

    subject: Subject
    tokens: Int64[Tensor, "prompt position"]
    begins: Int64[Tensor, " prompt"]  # the first position that is changed
    clean: Float64[Tensor, "prompt vocabulary"]  # log-probabilities in nats
    # mean length of the vectors that will be changed: what strengths are large or small against
    size: float

    @staticmethod
    def of(
        subject: Subject,
        tokens: Int64[Tensor, "prompt position"],
        writes: Site,
        reach: EditReach = EditReach.TEXT,
    ) -> "Baseline":
        """Run the prompts, one a row, that end where their PADDING begins.

        `writes` is the site that will be changed. Raises BadInput where a prompt has no token
        beside the start token.
        """
        tokens = tokens.cpu()
        lengths = (tokens != PADDING).sum(1)
        text = first_text_positions(tokens, subject.start_token)
        if len(tokens) == 0 or bool((lengths <= text).any()):
            raise BadInput(
                "there is no prompt to go on from, or an empty one; give each at least one token of"
                " text"
            )
        begins = text if reach is EditReach.TEXT else lengths - 1
        sizes: list[Tensor] = []

        def note_sizes(rows: slice) -> Mapping[Site, Edit]:
            def look(x: Tensor) -> Tensor:
                chosen = positions_from(begins[rows], x) & (tokens[rows] != PADDING).to(x.device)
                sizes.append(x[chosen].float().norm(dim=1).cpu())
                return x

            return {writes: look}

        clean = torch.cat(
            [
                next_token_log_probabilities(subject, tokens[rows], note_sizes(rows))
                for rows in prompt_batches(len(tokens))
            ]
        )
        return Baseline(subject, tokens, begins, clean, float(torch.cat(sizes).mean()))

    def __len__(self) -> int:
        return len(self.tokens)

    def edited(
        self, intervention: Intervention, strength: float
    ) -> Float64[Tensor, "prompt vocabulary"]:
        """The log-probabilities of the next token under an intervention.

        One pass over all prompts.
        """
        rows = prompt_batches(len(self))
        return torch.cat(
            [self._edited(rows, intervention.edits(strength, self.begins[rows])) for rows in rows]
        )

    def _edited(
        self, rows: slice, edits: Mapping[Site, Edit]
    ) -> Float64[Tensor, "prompt vocabulary"]:
        return next_token_log_probabilities(self.subject, self.tokens[rows], edits)

    def kl(self, edited: Float64[Tensor, "prompt vocabulary"]) -> Float64[Tensor, " prompt"]:
        """KL(clean ‖ edited) after each prompt, in nats."""
        return (self.clean.exp() * (self.clean - edited)).sum(1).clamp_min(0)


def first_text_positions(
    tokens: Int64[Tensor, "prompt position"], start_token: int | None
) -> Int64[Tensor, " prompt"]:
    """Each prompt's first position that is no start token, whose vectors are unlike all others."""
    return (
        torch.zeros(len(tokens), dtype=torch.int64)
        if start_token is None
        else (tokens[:, 0] == start_token).long()
    )


def prompt_tokens(subject: Subject, texts: Sequence[str]) -> Int64[Tensor, "prompt position"]:
    """Each text's tokens behind the start token, padded at the end.

    Raises BadInput for texts that are empty.
    """
    front = [] if subject.start_token is None else [subject.start_token]
    rows = [[*front, *subject.encode(text)] for text in texts]
    if not rows or min(map(len, rows)) == len(front):
        raise BadInput(
            'there is no prompt to go on from, or an empty one; give a text, as in "def main("'
        )
    whole = torch.full((len(rows), max(map(len, rows))), PADDING)
    for row, tokens in zip(whole, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return whole


def next_token_log_probabilities(
    subject: Subject,
    tokens: Int64[Tensor, "prompt position"],
    edits: Mapping[Site, Edit] = NO_EDITS,
) -> Float64[Tensor, "prompt vocabulary"]:
    """The next token's log-probabilities after each prompt, in nats.

    They have 64 bits, because small KLs are differences of large sums.
    """
    logits: Float[Tensor, "prompt vocabulary"] = subject.next_logits(tokens, edits)
    return logits.double().log_softmax(dim=1)


def prompt_batches(prompts: int) -> list[slice]:
    """The prompts, so many at a time as one pass takes."""
    return [slice(begin, begin + ROWS) for begin in range(0, prompts, ROWS)]
