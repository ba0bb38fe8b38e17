"""Files of labels, each in whichever installed format it is, as one set; and one label a feature
out of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from gloss.errors import BadInput, BadSettings, suggestion
from gloss.installed import installed, listed, load_installed, package_name
from gloss.store.labels.label_records import (
    GROUP,
    Label,
    LabelFormat,
    Published,
    PublishedContext,
    PublishedScore,
    SkippedRow,
    SkipReason,
)

# of tools whose folders are read, files that say nothing of one feature
BESIDE = (".md", ".pdf", ".log", ".pt", ".toml", ".yaml", ".png", ".html")


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """Everything that some files hold, and how many of them are in which format."""

    labels: tuple[Label, ...] = ()
    contexts: tuple[PublishedContext, ...] = ()
    skipped: tuple[SkippedRow, ...] = ()
    formats: tuple[tuple[str, int], ...] = ()  # titles, with the number of files

    @property
    def skipped_counts(self) -> Mapping[str, int]:
        """How many rows were passed over, by the reason."""
        return Counter(str(row.reason) for row in self.skipped)


@cache
def installed_label_formats() -> Mapping[str, LabelFormat]:
    """Every format of labels, by name, in the order in which files are offered to them."""
    found: dict[str, LabelFormat] = {}
    for name, point in installed(GROUP).items():
        format_ = load_installed(point)
        if not isinstance(format_, LabelFormat):
            raise BadSettings(
                f"{name} ({GROUP}) of {package_name(point)} is of type {type(format_).__name__};"
                f" make {point.value} a LabelFormat"
            )
        found[name] = format_
    return MappingProxyType(dict(sorted(found.items(), key=lambda each: each[1].rank)))


def read_published(paths: Iterable[str | Path]) -> PublishedFiles:
    """Everything that files, and the files in folders, hold of labels.

    A row that cannot be used is among the skipped ones; so is a file of a folder that is in no
    known format. Raises BadInput for a path that is not there, and for a file that is named by
    itself and is in no known format.

        >>> read_published(["labels.csv"]).labels[0].text
        'the word raise'
    """
    titles: Counter[str] = Counter()
    records: list[Published] = []
    for path in map(Path, paths):
        if not path.exists():
            raise BadInput(f"{path} is not there; give a file or a folder of labels")
        for file in label_files(path):
            format_ = next(
                (one for one in installed_label_formats().values() if one.recognises(file)), None
            )
            if format_ is None and file == path:
                raise BadInput(
                    f"{path} is in no format of labels that is known; give"
                    f" {listed(one.files for one in installed_label_formats().values())}"
                )
            if format_ is None:
                records.append(SkippedRow(str(file), SkipReason.UNKNOWN))
                continue
            titles[format_.title] += 1
            records += read_file(format_, file, alone=file == path)
    scores: dict[tuple[str, int], tuple[tuple[str, float], ...]] = {}
    for each in records:
        if isinstance(each, PublishedScore):
            place = (each.layer, each.index)
            scores[place] = (*scores.get(place, ()), (each.scorer, each.value))
    labels = (each for each in records if isinstance(each, Label))
    return PublishedFiles(
        tuple(
            replace(each, scores=each.scores + scores.get((each.layer, each.index), ()))
            for each in labels
        ),
        tuple(each for each in records if isinstance(each, PublishedContext)),
        tuple(each for each in records if isinstance(each, SkippedRow)),
        tuple(sorted(titles.items())),
    )


def label_files(path: Path) -> Iterator[Path]:
    """The file itself, or the files in a folder that may say something, in order."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        about = file.suffix.lower() in BESIDE or file.name in ("config.json", "run_config.json")
        if file.is_file() and not hidden and not about:
            yield file


def read_file(format_: LabelFormat, file: Path, *, alone: bool) -> Iterator[Published]:
    """What one file holds; one of a folder that cannot be read is passed over."""
    try:
        yield from format_.read(file)
    except BadInput:
        if alone:
            raise
        yield SkippedRow(str(file), SkipReason.UNREADABLE)


def labels_by_feature(
    found: PublishedFiles, layer: str = "", by: str = "", width: int = 0
) -> tuple[dict[int, Label], list[SkippedRow]]:
    """One label a feature, the first, and what was passed over for it.

    `layer` and `by` choose where files hold several layers, or labels of several makers; with a
    `width` of the dictionary, indices beyond it are passed over. Raises BadInput where there is
    none, or where several layers are there and none is chosen.
    """
    layers = dict.fromkeys(label.layer for label in found.labels)
    makers = dict.fromkeys(label.made_by for label in found.labels)
    if layer and layer not in layers:
        raise BadInput(f"the labels are of no layer {layer!r}{suggestion(layer, layers)}")
    if not layer and len(layers) > 1:
        shown = ", ".join(map(repr, list(layers)[:8])) + (", ..." if len(layers) > 8 else "")
        raise BadInput(
            f"the labels are of {len(layers)} layers ({shown}); choose one, as in layer ="
            f" {next(iter(layers))!r}"
        )
    if by and by not in makers:
        raise BadInput(f"no label was made by {by!r}{suggestion(by, makers)}")
    chosen: dict[int, Label] = {}
    skipped: list[SkippedRow] = []
    for label in found.labels:
        if (layer and label.layer != layer) or (by and label.made_by != by):
            continue
        if width and label.index >= width:
            skipped.append(SkippedRow(f"feature {label.index}", SkipReason.BEYOND))
        elif label.index in chosen:
            skipped.append(SkippedRow(f"feature {label.index}", SkipReason.TWICE))
        else:
            chosen[label.index] = label
    if not chosen:
        why = skipped_words(Counter(str(row.reason) for row in (*found.skipped, *skipped)))
        raise BadInput(
            f"there is no label{f' ({why})' if why else ''}; give a file with the index of a"
            " feature and a text in each row"
        )
    return chosen, skipped


def skipped_words(counts: Mapping[str, int]) -> str:
    """What was passed over, in words: `3 rows passed over: 2 no text, 1 cannot be read`."""
    told = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items()))
    every = sum(counts.values())
    return f"{every:,} row{'s' if every > 1 else ''} passed over: {told}" if every else ""


def write_labels(labels: Sequence[Label], path: Path, format_name: str = "") -> None:
    """Write labels in a format, by its name, or in that which the file's name stands for.

    Raises BadSettings for a format that is only read, and Unwritable.
    """
    formats = installed_label_formats()
    writable = {name: one for name, one in formats.items() if one.write is not None}
    if not format_name:
        last = Path(path.name.removesuffix(".gz")).suffix.lower()
        format_name = "parquet" if last == ".parquet" else "table"
    write = writable[format_name].write if format_name in writable else None
    if write is None:
        raise BadSettings(
            f"labels cannot be written as {format_name!r}{suggestion(format_name, writable)}"
        )
    write(labels, path)
