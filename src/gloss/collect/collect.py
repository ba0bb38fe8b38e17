"""Runs the subject over text and stores where each feature of a dictionary fires; a killed run goes on where it was."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gloss.collect.forward import Forward
from gloss.collect.left_out import left_out
from gloss.collect.merge import Merge
from gloss.collect.shards import Shards, Triples
from gloss.collect.texts import Texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadSettings, Damaged, Mismatch, Stopped
from gloss.models.counting import MULTIPLE, SPECIAL, Asked, require_known, require_multiple
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.identity import identity
from gloss.models.massive import ANY, MEASURED, Lengths
from gloss.models.subject import Subject
from gloss.store.atomic import disk, new_folder, write_array, write_bytes
from gloss.store.corpus import Stretch, stretches
from gloss.store.digests import digest
from gloss.store.lock import sole_writer
from gloss.store.parquet import ROWS, footers
from gloss.store.progress import Progress, silent
from gloss.store.sealed import sealed, unsealed


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What was collected."""

    documents: int
    sequences: int
    tokens: int
    features: int
    live: int  # features that fire somewhere
    nonzeros: int
    bytes: int  # of the activations' Parquet file
    left_out: int = 0  # tokens at which nothing is stored
    massive: int = 0  # those of them that are massive

    @property
    def l0(self) -> float:
        """Features that fire at a token, on average; tokens that are left out do not count."""
        return self.nonzeros / max(1, self.tokens - self.left_out)


@dataclass(frozen=True, slots=True)
class Collect:
    """Texts to a corpus and to sparse activations, with memory that does not grow with the texts."""

    context_length: int = 256  # tokens of a sequence, the start token included
    max_tokens: int | None = None  # read so many, then stop in the middle of a document; None reads everything
    batch_tokens: int = 2**13  # positions in one forward pass
    shard_tokens: int = 2**16  # what is done at a time, and lost at most when the run is killed
    leave_out: Asked = SPECIAL  # "special" tokens, "none", or a list: they are read, and nothing is stored there
    massive: float = MULTIPLE  # of the median length, beyond which a token's vector is left out; 0 leaves none out

    def __post_init__(self) -> None:
        require_known(self.leave_out)
        require_multiple(self.massive)
        for name in ("batch_tokens", "shard_tokens"):
            if (given := getattr(self, name)) < 1:
                raise BadSettings(f"{name} is {given}; give 1 or more")

    def run(
        self,
        subject: Subject,
        dictionary: Dictionary,
        texts: Texts,
        folder: Path,
        progress: Progress = silent,
        ready: Callable[[Path], None] | None = None,
    ) -> CollectReport:
        """Write `corpus/` and `activations/` into the folder, each of which appears whole.

        A run that was killed goes on after its last whole shard, and its files equal those of an undisturbed run byte for
        byte. A finished folder is left as it is. `progress` counts tokens; `ready` is given the corpus before the
        subject reads it. Raises Mismatch where the dictionary does not fit the
        subject, or where the folder was begun with other texts, settings or weights; BadInput for texts; Busy where
        another process writes there; Unwritable.
        """
        if dictionary.width == 0:
            raise Mismatch("the dictionary has width 0; give one with features")
        require_fit(dictionary, subject)
        with sole_writer(folder):
            corpus = read_texts(subject, texts, folder / "corpus", self.context_length, self.max_tokens, self.leave_out)
            if ready is not None:
                ready(folder / "corpus")
            self.write(subject, dictionary, corpus, folder, progress)
        return report(folder)

    def write(self, subject: Subject, dictionary: Dictionary, corpus: str, folder: Path, progress: Progress) -> None:
        """Write what is not there yet, as the folder's only writer; `corpus` is the digest of what was read."""
        whole = {"corpus": corpus, "subject": identity(subject.model), "dictionary": identity(dictionary)}
        made_from = whole | {
            "settings": self.settings,
            "left_out": self.tokens(subject),
            "site": str(dictionary.reads),
            "torch": torch.__version__,
        }
        work, finished = folder / "shards", folder / "activations"
        if (finished / "manifest.json").is_file():
            require_same(finished, made_from)
        else:
            number = self.shards(subject, dictionary, folder, made_from, progress)
            finish(folder, made_from, dictionary.width, number)
        with disk(work):
            shutil.rmtree(work) if work.exists() else None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they stand in a manifest."""
        return json.loads(json.dumps(asdict(self)))

    def tokens(self, subject: Subject) -> list[int]:
        """The numbers of the tokens that are left out."""
        return sorted(left_out(subject, self.leave_out))

    def forward(self, subject: Subject, dictionary: Dictionary, lengths: Lengths = ANY) -> Forward:
        """What reads the dictionary's site, and leaves out what these settings say."""
        return Forward(subject, dictionary.reads, self.batch_tokens, left_out(subject, self.leave_out), lengths)

    def shards(
        self, subject: Subject, dictionary: Dictionary, folder: Path, made_from: dict[str, Any], progress: Progress
    ) -> int:
        """Make every shard that is not there yet; gives how many there are then."""
        work = folder / "shards"
        try:
            require_same(work, made_from)
        except Damaged:  # or not there; shards that may be there have keys of their own
            sample = next(stretches(folder / "corpus", MEASURED))
            found = self.forward(subject, dictionary).measured(sample.tokens, sample.lengths, self.massive).lengths
            write_bytes(work / "manifest.json", sealed({"made_from": made_from, "median_length": found.median}))
        lengths = Lengths(unsealed(work / "manifest.json")["median_length"], self.massive)
        shards = Shards(work, identity(made_from))
        total: int = unsealed(folder / "corpus" / "manifest.json")["tokens"]
        forward = self.forward(subject, dictionary, lengths)
        progress(0, total)
        number = 0
        for stretch in stretches(folder / "corpus", self.shard_tokens):
            if not shards.holds(stretch.number):
                codes = encode(forward, dictionary, stretch)
                shards.write(stretch.number, stretch.first, stretch.lengths, dictionary.width, codes)
            progress(stretch.first + len(stretch.tokens), total)
            number += 1
        return number


def encode(forward: Forward, dictionary: Dictionary, stretch: Stretch) -> Triples:
    """The codes of every token of a stretch that is not left out. Raises Mismatch where one is not finite."""
    features: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    values: list[np.ndarray] = []
    special = np.flatnonzero(np.isin(stretch.tokens, list(forward.left_out)))
    massive: list[np.ndarray] = []
    for batch in forward.over(stretch.tokens, stretch.lengths):
        codes = dictionary.encode(batch.vectors)
        used = codes.values != 0
        token = used.nonzero()[:, 0].cpu().numpy()
        active = codes.values[used].float().cpu().numpy()
        if not np.isfinite(active).all():
            where = stretch.first + int(batch.positions[token[~np.isfinite(active)][0]])
            raise Mismatch(f"an activation at token {where} is not a finite number; load the subject in a wider dtype")
        features.append(codes.indices[used].cpu().numpy().astype(np.int32))
        positions.append(batch.positions[token].astype(np.uint32))
        values.append(active)
        massive.append(batch.massive)
    without = np.sort(np.concatenate([special, *massive]))
    codes = (np.concatenate(features), np.concatenate(positions), np.concatenate(values))
    return Triples(*codes, without, len(without) - len(special))


def finish(folder: Path, made_from: dict[str, Any], width: int, number: int) -> None:
    """Merge so many shards into `activations/`. Raises Stopped where one of them is not there."""
    corpus = unsealed(folder / "corpus" / "manifest.json")
    shards = Shards(folder / "shards", identity(made_from))
    if missing := [each for each in range(number) if not shards.path(each).exists()]:
        raise Stopped(
            f"{shards.path(missing[0])} went away while gloss worked, {len(missing)} of {number} shards in all; run the same "
            "command again, which makes them again"
        )
    positions, massive = dropped(shards, number)
    with new_folder(folder / "activations") as partial:
        write_array(partial / "left_out.npy", positions)
        totals = Merge(shards, number, corpus["tokens"], corpus["sequences"], left_out=len(positions)).into(partial, silent)
        counts = {"tokens": corpus["tokens"], "width": width, "nonzeros": int(totals.counts.sum()), "rows_per_group": ROWS}
        counts |= {"live": int((totals.counts > 0).sum()), "left_out": len(positions), "massive": massive}
        median = unsealed(folder / "shards" / "manifest.json")["median_length"]
        with disk(partial):
            counts |= {"footers": footers(partial, ("activations.parquet", "statistics.parquet"))}
            counts |= {"arrays": {name: digest(partial / name) for name in ("indptr.npy", "left_out.npy")}}
            (partial / "manifest.json").write_bytes(sealed({"made_from": made_from, "median_length": median, **counts}))


def dropped(shards: Shards, number: int) -> tuple[np.ndarray, int]:
    """The global indices of all tokens at which nothing is stored, ascending, and how many of them are massive."""
    positions, massive = [np.empty(0, np.int64)], 0
    for each in range(number):
        with shards.opened(each) as shard:
            positions.append(shard.left_out)
            massive += shard.massive
    return np.concatenate(positions), massive


def require_same(folder: Path, made_from: dict[str, Any]) -> None:
    """Raise Mismatch, naming what differs, if the folder was made from something else."""
    found = unsealed(folder / "manifest.json")["made_from"]
    differing = [name for name in made_from if found.get(name) != made_from[name] and name != "settings"]
    before, now = found.get("settings", {}), made_from["settings"]
    differing += [f"{name} ({before.get(name)} there, {now[name]} here)" for name in now if before.get(name) != now[name]]
    if differing:
        raise Mismatch(
            f"{folder} was made with another {' and '.join(differing)}; give another folder, or delete {folder.parent}"
        )


def report(folder: Path) -> CollectReport:
    """What a finished folder holds."""
    corpus = unsealed(folder / "corpus" / "manifest.json")
    found = unsealed(folder / "activations" / "manifest.json")
    size = (folder / "activations" / "activations.parquet").stat().st_size
    counts = (corpus["documents"], corpus["sequences"], corpus["tokens"], found["width"], found["live"], found["nonzeros"])
    return CollectReport(*counts, size, found["left_out"], found["massive"])
