"""Files that a marker vouches for: it is written last, and says what each of them holds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from gloss.errors import Damaged
from gloss.store.sealed_json import (
    CHANGED_CONTENT,
    FILES,
    FileRecords,
    changed_files,
    read_sealed_json,
)


@dataclass(frozen=True)
class MarkedFiles(ABC):
    """Something that is whole where its marker is: the part of a shard, or a group of shards."""

    folder: Path  # that holds the marker and all that it speaks of

    @property
    @abstractmethod
    def marker(self) -> Path:
        """The file that is written last."""

    @property
    def files(self) -> FileRecords:
        """What was written, by names seen from the folder. Raises Damaged.

        Markers of a time before they said so say nothing.
        """
        said = read_sealed_json(self.marker).get(FILES, {})
        return {name: (size, content) for name, (size, content) in said.items()}

    def changed_files(self, *, whole: bool) -> dict[Path, str]:
        """The files that are not as they were written, each with why; the marker is one of them.

        By their sizes, or with `whole` by their content too.
        """
        try:
            return changed_files(self.folder, self.files, whole=whole)
        except Damaged:
            return {self.marker: CHANGED_CONTENT}
