"""Documents from the Hugging Face `datasets` library, where it is installed; rows are streamed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gloss.collect.columns import looked_up, no_column, value_of
from gloss.collect.texts import Document, value_pieces
from gloss.errors import BadInput


@dataclass(frozen=True)
class Dataset:
    """One document a row of a data set."""

    name: str
    configuration: str | None
    split: str
    column: str

    @staticmethod
    def named(name: str, column: str) -> "Dataset":
        """Understand `NAME`, `NAME,CONFIGURATION`, `NAME:SPLIT` and both; the split is `train` where none is named."""
        whole, _, split = name.partition(":")
        dataset, _, configuration = whole.partition(",")
        if not dataset:
            raise BadInput(
                f"datasets:{name} names no data set; wanted datasets:NAME, with `,CONFIGURATION` and `:SPLIT` where needed"
            )
        return Dataset(dataset, configuration or None, split or "train", column)

    def __iter__(self) -> Iterator[Document]:
        try:
            import datasets  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise BadInput(f"datasets:{self.name} needs the package `datasets`; install gloss[datasets]") from error
        try:
            rows = datasets.load_dataset(self.name, self.configuration, split=self.split, streaming=True)
        except (OSError, ValueError) as error:
            raise BadInput(f"datasets:{self.name} cannot be opened: {str(error).splitlines()[0]}") from error
        path, found = Path(self.name), False
        for number, row in enumerate(rows, 1):
            value, has = looked_up(row, self.column)
            if not has and not found:
                raise no_column(path, number, row, self.column)
            found |= has
            yield Document(f"{self.name}:{number}", value_pieces(value_of(value, path, number, self.column)))
