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

from gloss.errors import BadInput
from gloss.pages import charts, page_text
from gloss.pages.charts import ChartScale, chart_scale
from gloss.pages.feature_view import feature_view
from gloss.pages.heatmap import Palette
from gloss.pages.index_entries import IndexEntries, IndexEntry, ScoreColumn, index_entry
from gloss.pages.page_records import FeaturePage, FeatureState, RunSummary
from gloss.pages.single_page import page_templates
from gloss.records import Control
from gloss.store.atomic import partial_path
from gloss.store.sealed_json import FILES, record_files, seal_json
from gloss.store.vocabulary import Vocabulary

HERE = Path(__file__).parent
MARK = ".gloss-pages"  # tells a folder of ours from one that must not be touched
DATA = "var glossFeatures"  # how the file that holds all features begins
# filled in when all features are known; text is escaped, so it never holds them
TURN, NEIGHBOURS = "<!--turn-->", "<!--neighbours-->"
SHELL = "feature.html"  # of packed pages: shows the feature that stands behind its #
NEAREST = 10
GOLDEN = 0.6180339887


def write_feature_pages(
    folder: Path,
    summary: RunSummary,
    pages: Iterable[FeaturePage],
    vocabulary: Vocabulary,
    progress: Callable[[int], None] | None = None,
    instead: Callable[[FeaturePage, Exception], FeaturePage] | None = None,
) -> Path:
    """Write index.html, a page for each feature, and what they need; return the index.

    Holds one page at a time. `progress` is told how many are written; `instead` gives another page
    for one that cannot be drawn. The folder appears when it is complete, in place of an older one
    of ours; raises BadInput if it holds anything else, or cannot be written.
    """
    with _staging_folder(folder) as staging:
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
        self.entries = IndexEntries()
        self.folders: dict[str, str] = {}
        self.templates = page_templates()

    def add(self, page: FeaturePage) -> None:
        """Write one feature's page, without the links to pages that are not there yet."""
        path = f"features/{self._folder_of(page.feature.dictionary)}/{page.feature.index}.html"
        palette = Palette(self.vocabulary, page.statistics.strongest, self.summary.document_names)
        html = self._render(
            "feature.html",
            page=page,
            view=feature_view(page, palette),
            root="../../",
            turn=TURN,
            neighbours_here=NEIGHBOURS,
        )
        write_page_text(self.folder / path, html)
        self.entries.rows.append(index_entry(page, path, self.vocabulary))

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
            known = [
                (feature, cosine, by_feature.get(feature))
                for feature, cosine in row.neighbours[:NEAREST]
            ]
            alike = [(feature, by_feature.get(feature)) for feature in row.collisions]
            neighbours = self._render(
                "neighbours.html", neighbours=known, alike=alike, root="../../"
            )
            text = (self.folder / row.path).read_text(encoding="utf-8")
            write_page_text(
                self.folder / row.path,
                text.replace(TURN, turn, 1).replace(NEIGHBOURS, neighbours, 1),
            )
        write_page_text(
            self.folder / "features.js",
            f"{DATA} = {json.dumps(_index_data(self.entries), separators=(',', ':'))};\n",
        )
        html = self._render(
            "index.html",
            entries=self.entries,
            overview=score_overview(self.entries),
            root="",
            packed=False,
            unlisted=0,
        )
        write_page_text(self.folder / "index.html", html)

    def _render(self, template: str, **values: object) -> str:
        return self.templates.get_template(template).render(
            run=self.summary, FeatureState=FeatureState, **values
        )

    def _folder_of(self, dictionary: str) -> str:
        """A folder name for any dictionary's name, never the same for two."""
        if dictionary not in self.folders:
            plain = dictionary_folder_name(dictionary)
            taken = {name.lower() for name in self.folders.values()}
            name, number = plain, 2
            while name.lower() in taken:
                name, number = f"{plain}-{number}", number + 1
            self.folders[dictionary] = name
        return self.folders[dictionary]


def dictionary_folder_name(dictionary: str) -> str:
    """A dictionary's name as a folder may be called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", dictionary).strip(".-") or "dictionary"


def feature_page_path(pages: Path, dictionary: str, index: int) -> str:
    """Where the page of a feature lies, seen from the index, among pages of one dictionary; empty
    where these have none.
    """
    path = f"features/{dictionary_folder_name(dictionary)}/{index}.html"
    if (pages / SHELL).is_file():
        return packed_path(index)
    return path if (pages / path).is_file() else ""


def packed_path(index: int) -> str:
    """Where the page of a feature is among packed ones, seen from the index."""
    return f"{SHELL}#{index}"


def score_overview(entries: IndexEntries) -> list[dict[str, object]]:
    """For each score its median over features, and its distribution beside its controls'.

    Features without an explanation count as 0.
    """
    found: list[dict[str, object]] = []
    for column in entries.columns:
        values = entries.column_scores(column)
        if not values:
            continue
        padded = entries.padded(column)
        quarter, three_quarters = (sorted(padded)[int(q * (len(padded) - 1))] for q in (0.25, 0.75))
        controls = [
            (page_text.CONTROLS[c], entries.column_scores(column, c))
            for c in (Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION)
        ]
        exchanged = [value for _, under in controls for value in under]
        scale = (
            ChartScale(0.0, 1.0)
            if column.bounded
            else chart_scale([np.array(values), np.array(exchanged)])
        )
        found.append(
            {
                "column": column,
                "help": page_text.METHODS.get(column.method, ""),
                "metric": page_text.metric_label(column.headline),
                "median": median(padded),
                "without": len(padded) - len(values),
                "alone": median(values),
                "middle": (quarter, three_quarters),
                "n": len(values),
                "outline": charts.distribution_outline(values, scale.low, scale.high),
                "ends": (scale.low, scale.high),
                "controls": [(label, median(under)) for label, under in controls if under],
                "control_outline": charts.distribution_outline(exchanged, scale.low, scale.high),
            }
        )
    return found


def _index_data(entries: IndexEntries) -> dict[str, object]:
    """What the index's script reads: short rows, numbers rounded, no number as null."""
    columns = entries.columns
    dictionaries = {row.feature.dictionary for row in entries.rows}
    rows = [index_row(row, columns, named=len(dictionaries) > 1) for row in entries.rows]
    return index_score_columns(columns) | {"rows": rows}


def index_score_columns(columns: Sequence[ScoreColumn]) -> dict[str, object]:
    """The scores that the index shows, for its script."""
    return {
        "columns": [
            {"label": column.label, "explainer": column.explained_by, "bounded": column.bounded}
            for column in columns
        ]
    }


def index_row(row: IndexEntry, columns: Sequence[ScoreColumn], named: bool) -> list[object]:
    """A feature's row for the index's script."""
    scores: list[object] = []
    for column in columns:
        if column in row.scores:
            control = max(row.controls[column].values(), default=math.nan)
            scores.append([_round_number(number) for number in (*row.scores[column], control)])
        else:
            scores.append(None)
    label = str(row.feature) if named else str(row.feature.index)
    share = float(f"{row.share:.3g}")
    rules = " ".join(row.rules.values())
    return [
        row.path,
        label,
        row.texts,
        rules,
        row.peek,
        row.state.value,
        row.reason,
        share,
        _round_number(row.strongest),
        scores,
    ]


def _round_number(number: float) -> float | None:
    return round(number, 3) if math.isfinite(number) else None


def _stride(number: int) -> int:
    """A step that visits every page once before it comes back, and looks like chance."""
    step = max(1, int(GOLDEN * number))
    while math.gcd(step, max(number, 1)) != 1:
        step += 1
    return step


@contextmanager
def _staging_folder(folder: Path) -> Generator[Path]:
    """A folder beside the wanted one.

    It takes that one's place if all goes well, and vanishes if not.
    """
    require_page_folder(folder)
    staging = partial_path(folder)
    try:
        copy_static_files(staging)
        yield staging
        put_in_place(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_page_folder(folder: Path) -> None:
    """Raise BadInput where a folder holds something else than pages."""
    if folder.exists() and not is_page_folder(folder):
        raise BadInput(f"{folder} holds something else than pages; give a new or an empty folder")


def copy_static_files(staging: Path) -> None:
    """Begin a folder of pages: its mark, and what all pages need."""
    write_page_text(staging / MARK, "")
    for source in sorted((HERE / "static").iterdir()):
        write_page_text(staging / "static" / source.name, source.read_text(encoding="utf-8"))


def put_in_place(folder: Path, staging: Path) -> None:
    """Seal what was written, and put it in the place of the older pages."""
    files = [path for path in sorted(staging.iterdir()) if path.name != MARK]
    write_page_text(staging / MARK, seal_json({FILES: record_files(staging, files)}).decode())
    _replace_folder(folder, staging)


def is_page_folder(folder: Path) -> bool:
    """Whether a folder is empty or holds pages.

    Pages are known by their mark, or by what else lies there when that was lost.
    """
    if not folder.is_dir():
        return False
    if (folder / MARK).exists() or not any(folder.iterdir()):
        return True
    index = folder / "features.js"
    with suppress(OSError), index.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(DATA)) == DATA
    return False


def _replace_folder(folder: Path, staging: Path) -> None:
    """Put the new pages in the place of the old.

    The old are renamed before they are deleted, so that none lose their mark.
    """
    old = partial_path(folder)
    try:
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise BadInput(
            f"cannot put the pages at {folder}: {error.strerror}; choose a folder that can be"
            " written"
        ) from error


def write_page_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise BadInput(
            f"cannot write {path}: {error.strerror}; choose a folder that can be written and has"
            " space"
        ) from error
