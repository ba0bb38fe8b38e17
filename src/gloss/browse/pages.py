"""Writes the folder of pages: features one by one as they come, the index last."""

import json
import math
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np

from gloss.browse import drawings, words
from gloss.browse.alone import templates
from gloss.browse.entries import Column, Entries, Entry, entry
from gloss.browse.features import view
from gloss.browse.heatmap import Palette
from gloss.browse.model import FeaturePage, RunSummary, State
from gloss.browse.ridges import Scale, scale_of
from gloss.errors import BadInput
from gloss.records import Control
from gloss.store.atomic import partial_of
from gloss.store.sealed import FILES, sealed, written
from gloss.store.vocabulary import Vocabulary

HERE = Path(__file__).parent
MARK = ".gloss-pages"  # tells a folder of ours from one that must not be touched
DATA = "var glossFeatures"  # how the file that holds all features begins
TURN, NEIGHBOURS = (
    "<!--turn-->",
    "<!--neighbours-->",
)  # filled in when all features are known; text is escaped, so it never holds them
NEAREST = 10
GOLDEN = 0.6180339887


def write_pages(
    folder: Path,
    summary: RunSummary,
    pages: Iterable[FeaturePage],
    vocabulary: Vocabulary,
    progress: Callable[[int], None] | None = None,
    instead: Callable[[FeaturePage, Exception], FeaturePage] | None = None,
) -> Path:
    """Write index.html, a page for each feature, and what they need; return the index.

    Holds one page at a time. `progress` is told how many are written; `instead` gives another page for one that cannot be
    drawn. The folder appears when it is complete, in place of an older one of ours; raises BadInput if it holds anything
    else, or cannot be written.
    """
    with _staged(folder) as staging:
        paper = _Paper(staging, summary, vocabulary)
        for number, page in enumerate(pages, start=1):
            try:
                paper.add(page)
            except Exception as problem:
                if instead is None:
                    raise
                paper.add(instead(page, problem))
            if progress is not None:
                progress(number)
        paper.finish()
    return folder / "index.html"


class _Paper:
    """The pages as far as they are written."""

    def __init__(self, folder: Path, summary: RunSummary, vocabulary: Vocabulary) -> None:
        self.folder, self.summary, self.vocabulary = folder, summary, vocabulary
        self.entries = Entries()
        self.folders: dict[str, str] = {}
        self.templates = templates()

    def add(self, page: FeaturePage) -> None:
        """Write one feature's page, without the links to pages that are not there yet."""
        path = f"features/{self._folder_of(page.feature.dictionary)}/{page.feature.index}.html"
        palette = Palette(self.vocabulary, page.statistics.strongest, self.summary.document_names)
        html = self._render(
            "feature.html", page=page, view=view(page, palette), root="../../", turn=TURN, neighbours_here=NEIGHBOURS
        )
        _write(self.folder / path, html)
        self.entries.rows.append(entry(page, path, self.vocabulary))

    def finish(self) -> None:
        """Link the features to each other, then write the index."""
        rows = self.entries.rows
        by_feature = {row.feature: row for row in rows}
        stride = _stride(len(rows))
        for i, row in enumerate(rows):
            turn = self._render(
                "turn.html",
                previous=rows[i - 1] if i else None,
                next=rows[i + 1] if i + 1 < len(rows) else None,
                random=rows[(i + stride) % len(rows)],
                root="../../",
            )
            known = [(feature, cosine, by_feature.get(feature)) for feature, cosine in row.neighbours[:NEAREST]]
            alike = [(feature, by_feature.get(feature)) for feature in row.collisions]
            neighbours = self._render("neighbours.html", neighbours=known, alike=alike, root="../../")
            text = (self.folder / row.path).read_text(encoding="utf-8")
            _write(self.folder / row.path, text.replace(TURN, turn, 1).replace(NEIGHBOURS, neighbours, 1))
        _write(self.folder / "features.js", f"{DATA} = {json.dumps(_data(self.entries), separators=(',', ':'))};\n")
        html = self._render("index.html", entries=self.entries, overview=_overview(self.entries), root="")
        _write(self.folder / "index.html", html)

    def _render(self, template: str, **values: object) -> str:
        return self.templates.get_template(template).render(run=self.summary, State=State, **values)

    def _folder_of(self, dictionary: str) -> str:
        """A folder name for any dictionary's name, never the same for two."""
        if dictionary not in self.folders:
            plain = folder_name(dictionary)
            taken = {name.lower() for name in self.folders.values()}
            name, number = plain, 2
            while name.lower() in taken:
                name, number = f"{plain}-{number}", number + 1
            self.folders[dictionary] = name
        return self.folders[dictionary]


def folder_name(dictionary: str) -> str:
    """A dictionary's name as a folder may be called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", dictionary).strip(".-") or "dictionary"


def feature_path(dictionary: str, index: int) -> str:
    """Where the page of a feature lies, seen from the index, among pages of one dictionary."""
    return f"features/{folder_name(dictionary)}/{index}.html"


def _overview(entries: Entries) -> list[dict[str, object]]:
    """For each score: its median over features, those without an explanation as 0, and its distribution beside its controls'."""
    found: list[dict[str, object]] = []
    for column in entries.columns:
        values = entries.values(column)
        if not values:
            continue
        padded = entries.padded(column)
        quarter, three_quarters = (sorted(padded)[int(q * (len(padded) - 1))] for q in (0.25, 0.75))
        controls = [
            (words.CONTROLS[c], entries.values(column, c)) for c in (Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION)
        ]
        exchanged = [value for _, under in controls for value in under]
        scale = Scale(0.0, 1.0) if column.bounded else scale_of([np.array(values), np.array(exchanged)])
        found.append(
            {
                "column": column,
                "help": words.METHODS.get(column.method, ""),
                "metric": words.metric(column.headline),
                "median": median(padded),
                "without": len(padded) - len(values),
                "alone": median(values),
                "middle": (quarter, three_quarters),
                "n": len(values),
                "outline": drawings.outline(values, scale.low, scale.high),
                "ends": (scale.low, scale.high),
                "controls": [(label, median(under)) for label, under in controls if under],
                "control_outline": drawings.outline(exchanged, scale.low, scale.high),
            }
        )
    return found


def _data(entries: Entries) -> dict[str, object]:
    """What the index's script reads: short rows, numbers rounded, no number as null."""
    columns = entries.columns
    dictionaries = {row.feature.dictionary for row in entries.rows}
    return {
        "columns": [{"label": column.label, "explainer": column.explained_by, "bounded": column.bounded} for column in columns],
        "rows": [_row(row, columns, named=len(dictionaries) > 1) for row in entries.rows],
    }


def _row(row: Entry, columns: Sequence[Column], named: bool) -> list[object]:
    scores: list[object] = []
    for column in columns:
        if column in row.scores:
            control = max(row.controls[column].values(), default=math.nan)
            scores.append([_rounded(number) for number in (*row.scores[column], control)])
        else:
            scores.append(None)
    label = str(row.feature) if named else str(row.feature.index)
    share = float(f"{row.share:.3g}")
    rules = " ".join(row.rules.values())
    return [row.path, label, row.texts, rules, row.peek, row.state.value, row.reason, share, _rounded(row.strongest), scores]


def _rounded(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None


def _stride(number: int) -> int:
    """A step that visits every page once before it comes back, and looks like chance."""
    step = max(1, int(GOLDEN * number))
    while math.gcd(step, max(number, 1)) != 1:
        step += 1
    return step


@contextmanager
def _staged(folder: Path) -> Generator[Path]:
    """A folder beside the wanted one, which takes its place if all goes well and vanishes if not."""
    if folder.exists() and not is_ours(folder):
        raise BadInput(f"{folder} holds something else than pages; give a new or an empty folder")
    staging = partial_of(folder)
    try:
        _write(staging / MARK, "")
        for source in sorted((HERE / "static").iterdir()):
            _write(staging / "static" / source.name, source.read_text(encoding="utf-8"))
        yield staging
        files = [path for path in sorted(staging.iterdir()) if path.name != MARK]
        _write(staging / MARK, sealed({FILES: written(staging, files)}).decode())
        _replace(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_ours(folder: Path) -> bool:
    """Whether a folder is empty or holds pages: by their mark, or by what else lies there when that was lost."""
    if not folder.is_dir():
        return False
    if (folder / MARK).exists() or not any(folder.iterdir()):
        return True
    index = folder / "features.js"
    with suppress(OSError), index.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(DATA)) == DATA
    return False


def _replace(folder: Path, staging: Path) -> None:
    """Put the new pages in the place of the old, which are renamed before they are deleted, so that none lose their mark."""
    old = partial_of(folder)
    try:
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"cannot put the pages at {folder}: {error.strerror}; choose a folder that can be written") from error


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}; choose a folder that can be written and has space") from error
