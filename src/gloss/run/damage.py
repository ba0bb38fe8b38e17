"""Find what in a run's folder is not as it was written, and delete it, so that it is made again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gloss.errors import Damaged
from gloss.store.atomic import remove_path
from gloss.store.marked_files import MarkedFiles
from gloss.store.results import Part, marked_pieces
from gloss.store.sealed_json import damage_error

# bytes of results that are held against their hashes whenever a run goes on; of the others, sizes
READ_AT_START = 2**28
# folders that were written as one, each with those that are made with it
UNITS = {name: (name,) for name in ("corpus", "dictionary")} | dict.fromkeys(
    ("activations", "kept"), ("activations", "kept")
)


@dataclass(frozen=True)
class Damage:
    """A file that is not as it was written."""

    path: Path
    why: str
    part: MarkedFiles  # whose marker vouches for it

    def delete(self) -> None:
        """Delete the file, or the folder that it is a piece of, and the marker: then the shard
        counts as not done, or all shards of the group.

        Raises Unwritable.
        """
        remove_path(self.part.marker)
        first = self.path.relative_to(self.part.folder).parts[0]
        for name in UNITS.get(first, ()):
            remove_path(self.part.folder / name)
        remove_path(self.path)


def find_damage(folders: Iterable[Path], limit: int | None = READ_AT_START) -> Iterator[Damage]:
    """What is not as it was written in the folders of stages' results.

    Sizes are compared, and the content of files, smallest first, that hold `limit` bytes together;
    of all for None.
    """
    parts = [part for folder in folders for part in marked_pieces(folder)]
    sizes: dict[MarkedFiles, int] = {}
    for part in parts:
        if found := part.changed_files(whole=False):
            yield from (Damage(path, why, part) for path, why in found.items())
        else:
            sizes[part] = sum(size for size, _ in part.files.values())
    read = 0
    for part, size in sorted(sizes.items(), key=lambda each: each[1]):
        read += size
        if limit is None or read <= limit:
            yield from (
                Damage(path, why, part) for path, why in part.changed_files(whole=True).items()
            )


def require_undamaged(folders: Iterable[Path]) -> None:
    """Raise Damaged, naming the first file that is not as it was written."""
    for found in find_damage(folders):
        raise damage_error(found.path, found.why)


def is_readable_part(part: Part) -> bool:
    """Whether a shard is done and its marker can be read."""
    try:
        return part.is_done and bool(part.note())
    except Damaged:
        return False
