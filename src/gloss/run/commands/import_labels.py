"""Behind `gloss import`: labels that others made, read in any layout and written as one table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gloss.errors import BadInput, suggestion
from gloss.run.progress import out as terminal
from gloss.store.labels import (
    Label,
    PublishedContext,
    PublishedFiles,
    SkipReason,
    read_published,
    write_labels,
)
from gloss.store.labels.published_files import skipped_words
from gloss.store.parquet import GroupWriter

SHOWN = 3  # labels, as examples
CONTEXTS = pa.schema(
    [
        ("feature", pa.int64()),
        ("layer", pa.string()),
        ("tokens", pa.list_(pa.string())),  # or null, where only the tokenizer's numbers are known
        ("token_ids", pa.list_(pa.int64())),
        ("values", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """Which labels are kept; nothing of each keeps all."""

    layer: str = ""
    by: str = ""  # whose
    width: int = 0  # of the dictionary

    def keeps(self, label: Label | PublishedContext) -> bool:
        """Whether the label, or the context, is of this layer, by this maker, of a feature."""
        of_layer = not self.layer or label.layer == self.layer
        of_maker = not self.by or not isinstance(label, Label) or label.made_by == self.by
        return of_layer and of_maker and not (self.width and label.index >= self.width)


def print_imported_labels(
    files: Sequence[str],
    choice: LabelChoice,
    out: Path | None = None,
    as_format: str = "",
    contexts: Path | None = None,
) -> None:
    """Read the files, write what they hold where that is wanted, and say what it was.

    Raises BadInput where there is neither a label nor a context.
    """
    found = read_published(files)
    labels = [label for label in found.labels if choice.keeps(label)]
    shown = [each for each in found.contexts if choice.keeps(each)]
    told = list(summary_lines(found, labels, shown, choice))
    if not labels and not shown:
        makers = dict.fromkeys(label.made_by for label in found.labels)
        layers = dict.fromkeys(label.layer for label in found.labels)
        hint = suggestion(choice.layer, layers) if choice.layer else ""
        hint = hint or (suggestion(choice.by, makers) if choice.by else "")
        raise BadInput(
            f"{', '.join(files)}: no label was found ({'; '.join(told)}){hint or '; give others'}"
        )
    for line in told:
        terminal.print(line, highlight=False, markup=False)
    for label in labels[:SHOWN]:
        line = f"  {label.index}: {label.text}"
        terminal.print(line, highlight=False, markup=False, overflow="ellipsis", no_wrap=True)
    if out is not None:
        write_labels(labels, out, as_format)
        terminal.print(f"wrote {len(labels):,} labels to {out}", highlight=False, markup=False)
    if contexts is not None:
        write_published_contexts(shown, contexts)
        terminal.print(
            f"wrote {len(shown):,} contexts to {contexts}", highlight=False, markup=False
        )


def summary_lines(
    found: PublishedFiles,
    labels: Sequence[Label],
    contexts: Sequence[PublishedContext],
    choice: LabelChoice,
) -> Iterable[str]:
    """How many labels and contexts of which features, from which files, and what was not kept."""
    kinds = ", ".join(f"{number:,} of {title}" for title, number in found.formats)
    yield f"files: {kinds or 'none in a known format'}"
    features = Counter((label.layer, label.index) for label in labels)
    yield f"labels: {len(labels):,} of {len(features):,} features"
    if several := sum(number > 1 for number in features.values()):
        yield f"features with several labels: {several:,}; the first counts, unless --by chooses"
    layers = Counter(label.layer for label in labels)
    if len(layers) > 1:
        yield "layers: " + ", ".join(
            f"{name!r} {number:,}" for name, number in layers.most_common(8)
        )
    makers = Counter(label.made_by for label in labels if label.made_by)
    if makers:
        yield "made by: " + ", ".join(f"{name!r} {n:,}" for name, n in makers.most_common(5))
    if contexts:
        yield f"contexts: {len(contexts):,} of {len({each.index for each in contexts}):,} features"
    beyond = sum(bool(choice.width) and label.index >= choice.width for label in found.labels)
    counts = Counter(found.skipped_counts) + Counter({str(SkipReason.BEYOND): beyond})
    if told := skipped_words(counts):
        yield told


def write_published_contexts(contexts: Sequence[PublishedContext], path: Path) -> None:
    """Write contexts as a table, a row each. Raises Unwritable."""
    texts = [each.tokens if isinstance((*each.tokens, "")[0], str) else None for each in contexts]
    with GroupWriter(path, CONTEXTS) as file:
        file.add(
            feature=[each.index for each in contexts],
            layer=[each.layer for each in contexts],
            tokens=list(texts),
            token_ids=[
                None if text is not None else each.tokens
                for each, text in zip(contexts, texts, strict=True)
            ],
            values=[each.values for each in contexts],
        )
