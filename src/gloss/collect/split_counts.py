"""How many documents of a corpus are in the train split and how many are held out.

This is known before the subject reads.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gloss.errors import BadInput
from gloss.store.corpus import TRAIN_SHARE, read_column
from gloss.store.sealed_json import read_sealed_json

SPLIT_REMEDY = (
    'give more texts, or say what separates them: [collect] split = "\\n\\n" (blank lines) or'
    " another string"
)


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Documents of a stored corpus, and groups of near copies on either side of the split."""

    documents: int
    train: int  # groups
    held_out: int
    empty: int  # texts without a token, left out

    @staticmethod
    def of(folder: Path) -> "SplitCounts":
        """Read what `read_texts` wrote."""
        hashes, groups = (
            read_column(folder / "documents.parquet", "hash"),
            read_column(folder / "groups.parquet", "group"),
        )
        train = hashes[np.unique(groups)] < np.uint64(int(TRAIN_SHARE * 2**64))
        empty = read_sealed_json(folder / "manifest.json")["empty"]
        return SplitCounts(len(hashes), int(train.sum()), int((~train).sum()), empty)

    def require_both(self) -> None:
        """Raise BadInput where a side of the split has no document: no explanation could be found
        there, or none judged.
        """
        groups = self.train + self.held_out
        if self.train and self.held_out:
            return
        if groups > 1:
            side = "train" if self.train else "held-out"
            raise BadInput(
                f"all {self.documents} documents fall on the {side} side by their hashes, which is"
                f" chance with so few; {SPLIT_REMEDY}"
            )
        what = (
            "one document"
            if self.documents == 1
            else f"{self.documents} near copies of one document"
        )
        raise BadInput(
            f"the texts are {what}, and the train split and what is held out never share a"
            f" document; {SPLIT_REMEDY}"
        )

    def __str__(self) -> str:
        groups = self.train + self.held_out
        copies = f", {groups:,} without near copies" if groups < self.documents else ""
        empty = f"; {self.empty:,} without text left out" if self.empty else ""
        return (
            f"{self.documents:,} documents{copies}: {self.train:,} train, {self.held_out:,} held"
            f" out{empty}"
        )
