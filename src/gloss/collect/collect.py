"""Runs the subject over text and stores where each feature of a dictionary fires.

A killed run goes on where it was.
"""

import json
import shutil
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gloss.collect.code_shards import CodeShards, CodeTriples
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.mined_part import Mining
from gloss.collect.mined_shards import MinedShards
from gloss.collect.mined_store import MinedStore
from gloss.collect.sequence_table import SequenceTable
from gloss.collect.shard_merge import ShardMerge
from gloss.collect.site_reader import SiteReader
from gloss.collect.texts import Texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadSettings, Damaged, Mismatch, Stopped
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
from gloss.store.atomic import disk_errors, new_folder, remove_path, write_array, write_bytes
from gloss.store.corpus import Stretch, corpus_stretches
from gloss.store.digests import file_digest
from gloss.store.lock import sole_writer
from gloss.store.parquet import ROWS, footer_digests
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
        if dictionary.width == 0:
            raise Mismatch("the dictionary has width 0; give one with features")
        require_fit(dictionary, subject)
        with sole_writer(folder):
            corpus = read_texts(
                subject,
                texts,
                folder / "corpus",
                self.context_length,
                self.max_tokens,
                self.leave_out,
            )
            if ready is not None:
                ready(folder / "corpus")
            self.write(subject, dictionary, corpus, folder, progress)
        return read_collect_report(folder)

    def write(
        self,
        subject: Subject,
        dictionary: Dictionary,
        corpus: str,
        folder: Path,
        progress: Progress,
    ) -> None:
        """Write what is not there yet, as the folder's only writer.

        `corpus` is the digest of what was read.
        """
        whole = {
            "corpus": corpus,
            "subject": content_hash(subject.model),
            "dictionary": content_hash(dictionary),
        }
        made_from = whole | {
            "settings": self.settings,
            "left_out": self.tokens(subject),
            "site": str(dictionary.reads),
            "torch": torch.__version__,
        }
        work, finished = folder / "shards", folder / "activations"
        kept = [folder / "kept"] * (self.mined is not None)
        if (finished / "manifest.json").is_file():
            require_same_source(finished, made_from)
        if not all((each / "manifest.json").is_file() for each in (finished, *kept)):
            for each in (finished, *kept):  # one without the other is of another time
                remove_path(each)
            number = self.shards(subject, dictionary, folder, made_from, progress)
            if self.mined is None:
                merge_all_shards(folder, made_from, dictionary.width, number)
            else:
                write_mined(
                    folder, made_from, self.shard_folder(folder, made_from, dictionary), number
                )
        with disk_errors(work):
            shutil.rmtree(work) if work.exists() else None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they stand in a manifest."""
        whole = json.loads(json.dumps(asdict(self)))
        return whole if self.mined else {name: whole[name] for name in whole if name != "mined"}

    def shard_folder(
        self, folder: Path, made_from: dict[str, Any], dictionary: Dictionary
    ) -> CodeShards | MinedShards:
        """Where what is found in each stretch is kept until all of them are read."""
        work, key = folder / "shards", content_hash(made_from)
        if self.mined is None:
            return CodeShards(work, key)
        table = SequenceTable.of(
            folder / "corpus",
            work / f"sequences-{key[:12]}",
            self.mined.background,
            self.mined.seed,
        )
        return MinedShards(work, key, table, self.mined, dictionary.width)

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

    def shards(
        self,
        subject: Subject,
        dictionary: Dictionary,
        folder: Path,
        made_from: dict[str, Any],
        progress: Progress,
    ) -> int:
        """Make every shard that is not there yet; gives how many there are then."""
        work = folder / "shards"
        try:
            require_same_source(work, made_from)
        except Damaged:  # or not there; shards that may be there have keys of their own
            sample = next(corpus_stretches(folder / "corpus", MEASURED_TOKENS))
            found = (
                self.forward(subject, dictionary)
                .with_median_length(sample.tokens, sample.lengths, self.massive)
                .lengths
            )
            write_bytes(
                work / "manifest.json",
                seal_json({"made_from": made_from, "median_length": found.median}),
            )
        lengths = VectorLengths(
            read_sealed_json(work / "manifest.json")["median_length"], self.massive
        )
        shards = self.shard_folder(folder, made_from, dictionary)
        total: int = read_sealed_json(folder / "corpus" / "manifest.json")["tokens"]
        forward = self.forward(subject, dictionary, lengths)
        progress(0, total)
        stretches = partial(corpus_stretches, folder / "corpus", self.shard_tokens)
        # looked at before any is written, which may put others together
        there = stretches() if shards.begun else ()
        whole = {each.number for each in there if shards.is_whole(each.number)}
        number = 0
        with one_behind() as write:
            for stretch in stretches():
                if stretch.number not in whole:
                    codes = encode_stretch(
                        forward, dictionary, stretch, lambda done: progress(done, total)
                    )
                    own = (stretch.number, stretch.first, stretch.lengths)
                    write(partial(shards.write, *own, dictionary.width, codes))
                progress(stretch.first + len(stretch.tokens), total)
                number += 1
        return number


@contextmanager
def one_behind() -> Generator[Callable[[Callable[[], object]], None]]:
    """Gives what does a piece of work in another thread, so that the subject reads on meanwhile.

    One piece at a time: the next waits for the one before, which bounds memory. What went wrong
    with a piece is raised where the next is given, or at the end.
    """
    with ThreadPoolExecutor(1, "shards") as thread:
        before: list[Future[object]] = []

        def begin(work: Callable[[], object]) -> None:
            if before:
                before.pop().result()
            before.append(thread.submit(work))

        yield begin
        if before:
            before.pop().result()


def encode_stretch(
    forward: SiteReader,
    dictionary: Dictionary,
    stretch: Stretch,
    progress: Callable[[int], None] = lambda done: None,
) -> CodeTriples:
    """The codes of every token of a stretch that is not left out.

    `progress` hears how far in the text the reading is, after each forward pass. Raises Mismatch
    where one is not finite.
    """
    features: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    values: list[np.ndarray] = []
    special = np.flatnonzero(np.isin(stretch.tokens, list(forward.left_out)))
    massive: list[np.ndarray] = []
    done = stretch.first
    for batch in forward.read_batches(stretch.tokens, stretch.lengths):
        codes = dictionary.encode(batch.vectors)
        indices, every = to_processor(codes.indices.int(), codes.values.float())
        used = every != 0
        token, active = used.nonzero()[0], every[used]
        if not np.isfinite(active).all():
            where = stretch.first + int(batch.positions[token[~np.isfinite(active)][0]])
            raise Mismatch(
                f"an activation at token {where} is not a finite number; load the subject in a"
                " wider dtype"
            )
        features.append(indices[used])
        positions.append(batch.positions[token].astype(np.uint32))
        values.append(active)
        massive.append(batch.massive)
        progress(done := done + len(batch.positions))
    without = np.sort(np.concatenate([special, *massive]))
    codes = (np.concatenate(features), np.concatenate(positions), np.concatenate(values))
    return CodeTriples(*codes, without, len(without) - len(special))


def to_processor(*tensors: Tensor) -> list[np.ndarray]:
    """The tensors in this processor's memory, for all of which a device is waited for once."""
    if tensors[0].device.type != "cuda":
        return [tensor.cpu().numpy() for tensor in tensors]
    copies = [torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return [copy.numpy() for copy in copies]


def merge_all_shards(folder: Path, made_from: dict[str, Any], width: int, number: int) -> None:
    """Merge so many shards into `activations/`. Raises Stopped where one of them is not there."""
    corpus = read_sealed_json(folder / "corpus" / "manifest.json")
    shards = CodeShards(folder / "shards", content_hash(made_from))
    if missing := [each for each in range(number) if not shards.path(each).exists()]:
        raise Stopped(
            f"{shards.path(missing[0])} went away while gloss worked, {len(missing)} of {number}"
            " shards in all; run the same command again, which makes them again"
        )
    positions, massive = left_out_positions(shards, number)
    with new_folder(folder / "activations") as partial:
        write_array(partial / "left_out.npy", positions)
        totals = ShardMerge(
            shards, number, corpus["tokens"], corpus["sequences"], left_out=len(positions)
        ).write_into(partial, ignore_progress)
        counts = {
            "tokens": corpus["tokens"],
            "width": width,
            "nonzeros": int(totals.counts.sum()),
            "rows_per_group": ROWS,
        }
        counts |= {
            "live": int((totals.counts > 0).sum()),
            "left_out": len(positions),
            "massive": massive,
        }
        seal_activations(folder, partial, made_from, counts)


def write_mined(
    folder: Path, made_from: dict[str, Any], shards: CodeShards | MinedShards, number: int
) -> None:
    """Put together what so many stretches keep: `kept/`, a corpus, and `activations/` on it.

    Raises Stopped where a part of it is not there.
    """
    assert isinstance(shards, MinedShards)
    store = MinedStore(shards, shards.all(number), folder / "corpus")
    with new_folder(folder / "kept") as partial:
        store.write_corpus(partial)
    with new_folder(folder / "activations") as partial:
        counts = {**store.write_activations(partial), "rows_per_group": ROWS, "store": "mined"}
        seal_activations(folder, partial, made_from, counts)


def seal_activations(
    folder: Path, partial: Path, made_from: dict[str, Any], counts: dict[str, Any]
) -> None:
    """Write the manifest of activations that are whole: what they are made from and how many there
    are, with hashes of their files.
    """
    median = read_sealed_json(folder / "shards" / "manifest.json")["median_length"]
    with disk_errors(partial):
        files = sorted(path.name for path in partial.iterdir())
        tables = [name for name in files if name.endswith(".parquet")]
        arrays = [name for name in files if name.endswith(".npy")]
        counts = {
            **counts,
            "footers": footer_digests(partial, tables),
            "arrays": {name: file_digest(partial / name) for name in arrays},
        }
        (partial / "manifest.json").write_bytes(
            seal_json({"made_from": made_from, "median_length": median, **counts})
        )


def left_out_positions(shards: CodeShards, number: int) -> tuple[np.ndarray, int]:
    """The global indices of all tokens at which nothing is stored, ascending, and how many of them
    are massive.
    """
    positions, massive = [np.empty(0, np.int64)], 0
    for each in range(number):
        with shards.open_shard(each) as shard:
            positions.append(shard.left_out)
            massive += shard.massive
    return np.concatenate(positions), massive


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
    size -= (folder / "activations" / "statistics.parquet").stat().st_size
    counts = (
        corpus["documents"],
        corpus["sequences"],
        corpus["tokens"],
        found["width"],
        found["live"],
        found["nonzeros"],
    )
    return CollectReport(*counts, size, found["left_out"], found["massive"])
