"""Labelled texts by name: files, with the column that is meant, and the sets of the wheel
sae-probes (Kantamneni et al., 2502.16681).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gloss.errors import BadInput, suggestion
from gloss.store.labels.label_records import SkippedRow
from gloss.store.labels.label_rows import values_of_csv
from gloss.store.named_parts import split_part_name
from gloss.store.probe_sets import INSTALL, installed_probe_sets

TABLES = {".csv", ".tsv"}
TEXT_COLUMNS, LABEL_COLUMNS = ("text", "prompt"), ("label", "target")


def labelled_file(source: str) -> tuple[Path, str]:
    """The file behind a name, and the label's column where one is named, as in `bios.csv#gender`.

    Raises BadInput where there is none.
    """
    name, column = split_part_name(source)
    if Path(name).is_file():
        return Path(name), column
    sets = sets_by_name()
    if name in sets:
        return sets[name], column
    known = (
        suggestion(name, sets) if sets else f"; sets by name are in the wheel sae-probes: {INSTALL}"
    )
    raise BadInput(f"{name} is no file here, and no labelled set that is installed{known}")


def sets_by_name() -> Mapping[str, Path]:
    """The sets of the wheel, each by its file's name and by the same without the number in front,
    as `97_news_class` and `news_class`.
    """
    return {
        known: file
        for name, file in installed_probe_sets().items()
        for known in (name, name.partition("_")[2])
    }


def rows_of_table(path: Path, column: str) -> Iterator[tuple[int, str, str]]:
    """The number, the text and the label of each row of a table with a header line, packed or not.

    The text stands in a column of TEXT_COLUMNS; the label in the one that is named, or else in one
    of LABEL_COLUMNS. Raises BadInput for a row that has not both.
    """
    wanted = TEXT_COLUMNS, (column,) if column else LABEL_COLUMNS
    for number, found in enumerate(values_of_csv(path), 1):
        if isinstance(found, SkippedRow):
            raise BadInput(
                f"{found.where} cannot be read; quote cells that hold a comma or a quote"
            )
        where, row = found
        cells = [next((row[name] for name in names if name in row), None) for names in wanted]
        text, label = cells
        if text is None or label is None:
            missing = wanted[1] if label is None else wanted[0]
            raise BadInput(f"{where} has no cell {' or '.join(missing)}; it has {', '.join(row)}")
        if not text:
            raise BadInput(f"{where} has no text; take it out")
        yield number, text, label
