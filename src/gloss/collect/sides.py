"""What the split makes of a corpus: how many documents are shown and held out, told before anything is spent."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gloss.errors import BadInput
from gloss.store.corpus import SHOWN_SHARE, column
from gloss.store.sealed import unsealed

REMEDY = 'give more texts, or say what separates them: [collect] split = "\\n\\n" (blank lines) or another string'


@dataclass(frozen=True, slots=True)
class Sides:
    """Documents of a stored corpus, and groups of near copies on either side of the split."""

    documents: int
    shown: int  # groups
    held_out: int
    empty: int  # texts without a token, left out

    @staticmethod
    def of(folder: Path) -> "Sides":
        """Read what `read_texts` wrote."""
        hashes, groups = column(folder / "documents.parquet", "hash"), column(folder / "groups.parquet", "group")
        shown = hashes[np.unique(groups)] < np.uint64(int(SHOWN_SHARE * 2**64))
        empty = unsealed(folder / "manifest.json")["empty"]
        return Sides(len(hashes), int(shown.sum()), int((~shown).sum()), empty)

    def require_both(self) -> None:
        """Raise BadInput where a side of the split has no document: no explanation could be found there, or none judged."""
        groups = self.shown + self.held_out
        if self.shown and self.held_out:
            return
        if groups > 1:
            side = "shown" if self.shown else "held-out"
            raise BadInput(
                f"all {self.documents} documents fall on the {side} side by their hashes, which is chance with so few; {REMEDY}"
            )
        what = "one document" if self.documents == 1 else f"{self.documents} near copies of one document"
        raise BadInput(f"the texts are {what}, and what is shown and what is held out are never of one document; {REMEDY}")

    def __str__(self) -> str:
        groups = self.shown + self.held_out
        copies = f", {groups:,} without near copies" if groups < self.documents else ""
        empty = f"; {self.empty:,} without text left out" if self.empty else ""
        return f"{self.documents:,} documents{copies}: {self.shown:,} shown, {self.held_out:,} held out{empty}"
