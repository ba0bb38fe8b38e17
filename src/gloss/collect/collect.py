"""Runs the subject over text and stores where each feature of a dictionary fires.

A killed run goes on where it was.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from gloss.collect.code_shards import CodeShards
from gloss.collect.collected_files import merge_all_shards, write_mined
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.mined_part import Mining
from gloss.collect.mined_shards import MinedShards
from gloss.collect.sequence_table import SequenceTable
from gloss.collect.site_reader import SiteReader
from gloss.collect.stretch_codes import do_now, encode_stretch, one_behind
from gloss.collect.texts import Texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadSettings, Damaged, Mismatch
from gloss.models.content_hash import content_hash
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.massive_tokens import MEASURED_TOKENS, NONE_MASSIVE, VectorLengths
from gloss.models.model_settings import (
    MASSIVE_MULTIPLE,
    SPECIAL,
    LeaveOut,
    require_leave_out,
    require_massive_multiple,
)
from gloss.models.subject import Subject
from gloss.store.atomic import remove_path, write_bytes
from gloss.store.corpus import StretchReader, corpus_stretches, stretch_sizes
from gloss.store.lock import sole_writer
from gloss.store.progress import Progress, ignore_progress
from gloss.store.sealed_json import read_sealed_json, seal_json


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
    """Texts to a corpus and to sparse activations.

    Memory does not grow with the texts.
    """

    context_length: int = 256  # tokens of a sequence, the start token included
    # read so many, then stop in the middle of a document; None reads everything
    max_tokens: int | None = None
    batch_tokens: int = 2**13  # positions in one forward pass
    shard_tokens: int = 2**16  # what is done at a time, and lost at most when the run is killed
    # "special" tokens, "none", or a list: they are read, and nothing is stored there
    leave_out: LeaveOut = SPECIAL
    # of the median length, beyond which a token's vector is left out; 0 leaves none out
    massive: float = MASSIVE_MULTIPLE
    # keep of each feature a sample of the sequences in which it fires, and exact counts; None keeps
    # every activation
    mined: Mining | None = None

    def __post_init__(self) -> None:
        require_leave_out(self.leave_out)
        require_massive_multiple(self.massive)
        for name in ("batch_tokens", "shard_tokens"):
            if (given := getattr(self, name)) < 1:
                raise BadSettings(f"{name} is {given}; give 1 or more")

    def run(
        self,
        subject: Subject,
        dictionary: Dictionary,
        texts: Texts,
        folder: Path,
        progress: Progress = ignore_progress,
        ready: Callable[[Path], None] | None = None,
    ) -> CollectReport:
        """Write `corpus/` and `activations/` into the folder, each of which appears whole; of a
        corpus that is mined `kept/`, too, the part of it that is read from then on.

        A run that was killed goes on after its last whole shard, and its files equal those of an
        undisturbed run byte for byte. A finished folder is left as it is. `progress` counts tokens;
        `ready` is given the corpus before the subject reads it. Raises Mismatch where the
        dictionary does not fit the subject, or where the folder was begun with other texts,
        settings or weights; BadInput for texts; Busy where another process writes there;
        Unwritable.
        """
        with sole_writer(folder):
            begun = self.begin(subject, dictionary, texts, folder, ready)
            if not begun.is_finished:
                begun.make_here(begun.left(range(len(begun.sizes))), progress)
            begun.finish()
        return read_collect_report(folder)

    def begin(
        self,
        subject: Subject,
        dictionary: Dictionary,
        texts: Texts,
        folder: Path,
        ready: Callable[[Path], None] | None = None,
    ) -> "Collecting":
        """Write what is there before any stretch is read, as the folder's only writer: the corpus,
        and the length of a usual vector. Raises what `run` raises.
        """
        if dictionary.width == 0:
            raise Mismatch("the dictionary has width 0; give one with features")
        require_fit(dictionary, subject)
        read_texts(
            subject,
            texts,
            folder / "corpus",
            self.context_length,
            self.max_tokens,
            self.leave_out,
        )
        if ready is not None:
            ready(folder / "corpus")
        begun = Collecting.of(self, subject, dictionary, folder)
        begun.begin()
        return begun

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they stand in a manifest."""
        whole = json.loads(json.dumps(asdict(self)))
        return whole if self.mined else {name: whole[name] for name in whole if name != "mined"}

    def tokens(self, subject: Subject) -> list[int]:
        """The numbers of the tokens that are left out."""
        return sorted(find_left_out_tokens(subject, self.leave_out))

    def forward(
        self, subject: Subject, dictionary: Dictionary, lengths: VectorLengths = NONE_MASSIVE
    ) -> SiteReader:
        """What reads the dictionary's site, and leaves out what these settings say."""
        return SiteReader(
            subject,
            dictionary.reads,
            self.batch_tokens,
            find_left_out_tokens(subject, self.leave_out),
            lengths,
        )


@dataclass(frozen=True, eq=False)
class Collecting:
    """Collecting that is begun in a folder. Its stretches may be read by several processes and in
    any order: what is found in each is a file, which is there whole or not at all.
    """

    asked: Collect
    subject: Subject
    dictionary: Dictionary
    folder: Path
    made_from: dict[str, Any]

    @staticmethod
    def of(asked: Collect, subject: Subject, dictionary: Dictionary, folder: Path) -> "Collecting":
        """What another process has begun there, or this one is about to. Wants a corpus."""
        made_from = {
            "corpus": read_sealed_json(folder / "corpus" / "manifest.json")["digest"],
            **hashes_of_models(subject),
            "dictionary": content_hash(dictionary),
            "settings": asked.settings,
            "left_out": asked.tokens(subject),
            "site": str(dictionary.reads),
            "torch": torch.__version__,
        }
        return Collecting(asked, subject, dictionary, folder, made_from)

    @property
    def work(self) -> Path:
        """Where what is found in each stretch is kept until all of them are read."""
        return self.folder / "shards"

    @property
    def results(self) -> list[Path]:
        """The folders that are there in the end."""
        return [self.folder / name for name in ("activations", *["kept"] * bool(self.asked.mined))]

    @property
    def is_finished(self) -> bool:
        """Whether all of them are there."""
        return all((each / "manifest.json").is_file() for each in self.results)

    def begin(self) -> None:
        """Find out how long a usual vector is, unless it is known. Raises Mismatch where the folder
        was made from something else.
        """
        if (self.results[0] / "manifest.json").is_file():
            require_same_source(self.results[0], self.made_from)
        if self.is_finished:
            return
        for each in self.results:  # one without the other is of another time
            remove_path(each)
        try:
            require_same_source(self.work, self.made_from)
        except Damaged:  # or not there; shards that may be there have keys of their own
            sample = next(corpus_stretches(self.folder / "corpus", MEASURED_TOKENS))
            found = (
                self.asked.forward(self.subject, self.dictionary)
                .with_median_length(sample.tokens, sample.lengths, self.asked.massive)
                .lengths
            )
            write_bytes(
                self.work / "manifest.json",
                seal_json({"made_from": self.made_from, "median_length": found.median}),
            )
        self.shards  # noqa: B018  the table of sequences, which several read

    @cached_property
    def shards(self) -> CodeShards | MinedShards:
        """What is found in each stretch."""
        return stretch_files(self.folder, self.made_from, self.asked.mined, self.dictionary.width)

    @cached_property
    def sizes(self) -> list[int]:
        """How many tokens each stretch has."""
        return stretch_sizes(self.folder / "corpus", self.asked.shard_tokens)

    @cached_property
    def stretches(self) -> StretchReader:
        """The text."""
        return StretchReader(self.folder / "corpus", self.asked.shard_tokens)

    @cached_property
    def forward(self) -> SiteReader:
        """What reads the site.

        Raises Mismatch where this process has not what the collecting was begun with.
        """
        require_same_source(self.work, self.made_from)
        median = read_sealed_json(self.work / "manifest.json")["median_length"]
        lengths = VectorLengths(median, self.asked.massive)
        return self.asked.forward(self.subject, self.dictionary, lengths)

    def left(self, numbers: Sequence[int]) -> list[int]:
        """Those of these stretches that are to be read yet, each that is there having been held
        against its hash.
        """
        whole = self.shards.whole_stretches(numbers)
        return [number for number in numbers if number not in whole]

    def make(
        self,
        number: int,
        progress: Callable[[int], None] = lambda done: None,
        write: Callable[[Callable[[], object]], object] = do_now,
    ) -> None:
        """Read a stretch and write what is found there; `progress` hears how many of its tokens
        have been read.
        """
        stretch = self.stretches.read(number)
        codes = encode_stretch(self.forward, self.dictionary, stretch, progress)
        own = (number, stretch.first, stretch.lengths, self.dictionary.width, codes)
        write(partial(self.shards.write, *own))

    def make_here(self, numbers: Sequence[int], progress: Progress = ignore_progress) -> None:
        """Read these stretches one after the other, while another thread writes; `progress` counts
        the tokens of the others of the corpus as read.
        """
        total = sum(self.sizes)
        done = total - sum(self.sizes[number] for number in numbers)
        progress(done, total)
        with one_behind() as write:
            for number in numbers:
                self.make(number, lambda read: progress(done + read, total), write)  # noqa: B023
                done += self.sizes[number]
                progress(done, total)

    @property
    def made_tokens(self) -> int:
        """How many tokens the stretches have of which files are there."""
        made = self.shards.made_stretches(range(len(self.sizes)))
        return sum(self.sizes[number] for number in made)

    def make_missing(self, progress: Progress = ignore_progress, *, by_others: bool = True) -> None:
        """Read the stretches of which no file is there, though somebody said so; or, of what was
        made `by_others`, none that holds what was written.
        """
        if not self.is_finished:
            every = range(len(self.sizes))
            made = set() if by_others else self.shards.made_stretches(every)
            missing = self.left(every) if by_others else [n for n in every if n not in made]
            self.make_here(missing, progress)

    def finish(self) -> None:
        """Put together what was found, as the folder's only writer. Raises Stopped where a part of
        it is not there.
        """
        if not self.is_finished:
            if isinstance(self.shards, MinedShards):
                write_mined(self.folder, self.made_from, self.shards, len(self.sizes))
            else:
                merge_all_shards(
                    self.folder,
                    self.made_from,
                    self.shards,
                    self.dictionary.width,
                    len(self.sizes),
                )
        remove_path(self.work)


def stretch_files(
    folder: Path, made_from: dict[str, Any], mined: Mining | None, width: int
) -> CodeShards | MinedShards:
    """Where what is found in each stretch is kept, under a key that follows from all that it is
    made from.
    """
    work, key = folder / "shards", content_hash(made_from)
    if mined is None:
        return CodeShards(work, key)
    sequences = work / f"sequences-{key[:12]}"
    table = SequenceTable.of(folder / "corpus", sequences, mined.background, mined.seed)
    return MinedShards(work, key, table, mined, width)


def require_same_source(folder: Path, made_from: dict[str, Any]) -> None:
    """Raise Mismatch, naming what differs, if the folder was made from something else."""
    found = read_sealed_json(folder / "manifest.json")["made_from"]
    differing = [
        name for name in made_from if found.get(name) != made_from[name] and name != "settings"
    ]
    before, now = found.get("settings", {}), made_from["settings"]
    differing += [
        f"{name} ({before.get(name)} there, {now.get(name)} here)"
        for name in {**now, **before}
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise Mismatch(
            f"{folder} was made with another {' and '.join(differing)}; give another folder, or"
            f" delete {folder.parent}"
        )


def read_collect_report(folder: Path) -> CollectReport:
    """What a finished folder holds."""
    corpus = read_sealed_json(folder / "corpus" / "manifest.json")
    found = read_sealed_json(folder / "activations" / "manifest.json")
    size = sum(path.stat().st_size for path in (folder / "activations").glob("*.parquet"))
    counted = (folder / "activations" / name for name in ("statistics.parquet", "bins.parquet"))
    size -= sum(path.stat().st_size for path in counted if path.exists())
    counts = (
        corpus["documents"],
        corpus["sequences"],
        corpus["tokens"],
        found["width"],
        found["live"],
        found["nonzeros"],
    )
    return CollectReport(*counts, size, found["left_out"], found["massive"])


def hashes_of_models(subject: Subject) -> dict[str, str]:
    """What is read: the subject, and the other model where there is one."""
    models = {"subject": subject} | ({"other": subject.other} if subject.other else {})
    return {name: content_hash(each.model) for name, each in models.items()}
