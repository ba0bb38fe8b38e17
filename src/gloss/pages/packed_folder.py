"""Pages of many features in few files: compressed, in chunks that a browser loads as it needs them.

Chunks are written one by one, by whichever process; the index comes last. Until then they lie in a
folder beside, where a killed writing goes on.
"""

import base64
import json
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment

from gloss.pages.feature_view import feature_view
from gloss.pages.heatmap import Palette
from gloss.pages.index_entries import IndexEntries, IndexEntry, ScoreColumn, index_entry
from gloss.pages.page_folder import (
    DATA,
    NEAREST,
    SHELL,
    copy_static_files,
    index_row,
    index_score_columns,
    packed_path,
    put_in_place,
    require_page_folder,
    score_overview,
    write_page_text,
)
from gloss.pages.page_records import FeaturePage, FeatureState, RunSummary
from gloss.pages.single_page import page_templates
from gloss.records import Control, FeatureId
from gloss.store.atomic import remove_path, write_bytes
from gloss.store.vocabulary import Vocabulary

CHUNKS, INDEX, BEGUN = "pages", "index", "begun"  # folders of the pages; the last only meanwhile
ROWS = 4096  # features in a chunk of the index
LISTED = 100_000  # features that the index lists whatever is known of them


@dataclass(frozen=True)
class PageLink:
    """What a page says of another feature's."""

    path: str  # from the index
    text: str


Links = Callable[[FeatureId], PageLink | None]  # None where a feature has no page


@contextmanager
def packed_pages(folder: Path, key: str) -> Generator[Path]:
    """A folder beside the wanted one, to be filled by `PackedWriting` and `finish_packed`; it takes
    that one's place when the block ends.

    It stays where the block fails, or the process is killed; then the next with the same `key`
    finds what is written. Raises BadInput where the wanted folder holds something else than pages.
    """
    require_page_folder(folder)
    staging = folder.with_name(f".{folder.name}.begun")
    noted = staging / BEGUN / "key"
    if not noted.exists() or noted.read_text("utf-8") != key:
        remove_path(staging)
        copy_static_files(staging)
        write_bytes(noted, key.encode())
    yield staging
    shutil.rmtree(staging / BEGUN)
    put_in_place(folder, staging)


def chunk_record(folder: Path, number: int) -> Path:
    """What is known of a chunk's features for the index; it is written last."""
    return folder / BEGUN / f"{number:05d}.json"


@dataclass(frozen=True)
class PackedWriting:
    """Writes chunks into a folder of `packed_pages`; several may do so at once, each its own."""

    folder: Path
    summary: RunSummary
    vocabulary: Vocabulary
    links: Links

    def write_chunk(
        self,
        number: int,
        pages: Iterable[FeaturePage],
        instead: Callable[[FeaturePage, Exception], FeaturePage],
        noted: Callable[[], list[Any]] = list,
    ) -> None:
        """Write the pages of features of one dictionary, in the order of their indices, into one
        file.

        Holds one page at a time, beside the compressed ones. `instead` gives another page for one
        that cannot be drawn; what is `noted` in the end, `finish_packed` gives back. Raises
        Unwritable.
        """
        packed: dict[int, str] = {}
        dictionary, records = "", list[dict[str, Any]]()
        for page in pages:
            try:
                html, entry = self.draw(page)
            except Exception as problem:
                html, entry = self.draw(instead(page, problem))
            packed[page.feature.index] = pack_text(html)
            dictionary = page.feature.dictionary
            records.append(entry_record(entry))
        write_call(self.folder, CHUNKS, number, packed)
        record = {"dictionary": dictionary, "rows": records, "noted": noted()}
        write_bytes(chunk_record(self.folder, number), json.dumps(record).encode(), flush=False)

    def draw(self, page: FeaturePage) -> tuple[str, IndexEntry]:
        """A page without its frame, and its row in the index."""
        known = [(other, value, self.links(other)) for other, value in page.neighbours[:NEAREST]]
        alike = [(other, self.links(other)) for other in page.collisions]
        strongest = page.statistics.strongest
        near = self.templates.get_template("neighbours.html")
        html = self.templates.get_template("article.html").render(
            run=self.summary,
            FeatureState=FeatureState,
            page=page,
            view=feature_view(
                page, Palette(self.vocabulary, strongest, self.summary.document_names)
            ),
            root="",
            neighbours_here=near.render(neighbours=known, alike=alike, root=""),
        )
        return html, index_entry(page, packed_path(page.feature.index), self.vocabulary)

    @cached_property
    def templates(self) -> Environment:
        return page_templates()


def finish_packed(folder: Path, summary: RunSummary, chunks: int) -> list[Any]:
    """Write the index of all chunks, and the page that unpacks them; gives what was noted."""
    kept: list[IndexEntry] = []  # without what only their own rows show
    bounds: dict[str, list[int]] = {"first": [], "last": []}
    for entries in chunk_entries(folder, chunks):
        bounds["first"].append(entries[0].feature.index)
        bounds["last"].append(entries[-1].feature.index)
        kept += [replace(entry, texts={}, rules={}, peek=("", "", "")) for entry in entries]
    every, all_listed = IndexEntries(kept), len(kept) <= LISTED
    columns = every.columns
    rows = (
        index_row(entry, columns, named=False)
        for entries in chunk_entries(folder, chunks)
        for entry in entries
        if all_listed or entry.state is FeatureState.EXPLAINED
    )
    listed, packed = 0, 0
    while some := list(islice(rows, ROWS)):
        write_call(folder, INDEX, packed, pack_text(compact_json(some)))
        listed, packed = listed + len(some), packed + 1
    data = index_score_columns(columns) | {"rows": [], "chunks": packed, "total": listed}
    write_page_text(folder / "features.js", f"{DATA} = {compact_json(data)};\n")
    write_page_text(folder / "pages.js", f"var glossPages = {compact_json(bounds)};\n")
    overview, unlisted = score_overview(every), len(kept) - listed
    for name, template, values in (
        (SHELL, "packed.html", {"dictionary": kept[0].feature.dictionary}),
        ("index.html", "index.html", {"entries": every, "overview": overview, "packed": True}),
    ):
        html = (
            page_templates()
            .get_template(template)
            .render(run=summary, FeatureState=FeatureState, root="", unlisted=unlisted, **values)
        )
        write_page_text(folder / name, html)
    records = (read_chunk_record(folder, number) for number in range(chunks))
    return [each for record in records for each in record["noted"]]


def chunk_entries(folder: Path, chunks: int) -> Iterator[list[IndexEntry]]:
    """What each chunk holds, one chunk at a time in memory."""
    for number in range(chunks):
        found = read_chunk_record(folder, number)
        yield [entry_of_record(found["dictionary"], record) for record in found["rows"]]


def read_chunk_record(folder: Path, number: int) -> dict[str, Any]:
    """What was written of a chunk beside its pages."""
    return json.loads(chunk_record(folder, number).read_text("utf-8"))


def write_call(folder: Path, name: str, number: int, content: object) -> None:
    """Write a script that hands its content to who loads it. Raises Unwritable."""
    text = f'glossChunk("{name}",{number},{compact_json(content)});\n'
    write_bytes(folder / name / f"{number:05d}.js", text.encode(), flush=False)


def pack_text(text: str) -> str:
    """Text as `DecompressionStream("deflate")` takes it, in base64."""
    return base64.b64encode(zlib.compress(text.encode("utf-8", errors="replace"))).decode()


def compact_json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))


def entry_record(entry: IndexEntry) -> dict[str, Any]:
    """A row of the index as plain values."""
    return {
        "index": entry.feature.index,
        "texts": entry.texts,
        "rules": entry.rules,
        "peek": entry.peek,
        "state": entry.state.value,
        "reason": entry.reason,
        "share": entry.share,
        "strongest": entry.strongest,
        "scores": [
            [column.explained_by, column.method, column.headline, values, entry.controls[column]]
            for column, values in entry.scores.items()
        ],
    }


def entry_of_record(dictionary: str, record: dict[str, Any]) -> IndexEntry:
    """The same row again, without what only its own page shows."""
    scores: dict[ScoreColumn, tuple[float, float, float]] = {}
    controls: dict[ScoreColumn, dict[Control, float]] = {}
    for explained_by, method, headline, (value, low, high), exchanged in record["scores"]:
        column = ScoreColumn(explained_by, method, headline)
        scores[column] = value, low, high
        controls[column] = {Control(name): number for name, number in exchanged.items()}
    before, peak, after = record["peek"]
    return IndexEntry(
        FeatureId(dictionary, record["index"]),
        packed_path(record["index"]),
        record["texts"],
        record["rules"],
        (before, peak, after),
        FeatureState(record["state"]),
        record["reason"],
        record["share"],
        record["strongest"],
        scores,
        controls,
        neighbours=(),
        collisions=(),
    )
