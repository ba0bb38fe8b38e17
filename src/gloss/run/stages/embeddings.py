"""Stage `embeddings`: one index of what the windows of the held-out split say, for negatives that
are similar.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.models.embedder import KEY, Embedder, load_embedder
from gloss.records import Split
from gloss.run.chat_capabilities import print_key_use
from gloss.run.dependencies import subject_content, text_content
from gloss.run.experiment import Experiment
from gloss.run.keys import source_hash
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step
from gloss.sample.negatives import WANT_EMBEDDINGS
from gloss.store.atomic import write_array
from gloss.store.context_text import context_texts
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.embeddings import STARTS
from gloss.store.evidence import NO_ACTIVATIONS
from gloss.store.results import unfinished_parts

STAGE = "embeddings"
WINDOWS_A_PART = 1024


@dataclass(frozen=True)
class EmbeddingSettings:
    """What embeds windows of the held-out split for negatives that are similar, and how many of
    them.
    """

    # a folder, or what the endpoint calls it; "" takes the model of the extra `embed`
    model: str = ""
    base_url: str = ""  # of an endpoint; "" embeds on this machine
    most_windows: int = 2**16  # of more, so many are drawn at random

    def __post_init__(self) -> None:
        if self.base_url and not self.model:
            raise ValueError(
                f"{self.base_url} has models by name; give the one that embeds as model"
            )
        if self.most_windows < 1:
            raise ValueError(f"most_windows must be 1 or more, got {self.most_windows}")


class EmbeddingsStage(Stage):
    """The windows of the held-out split, where negatives are drawn by what windows say."""

    name, after, settings = STAGE, ("collect",), EmbeddingSettings
    unit = "windows"

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if asked.sampling.negatives in WANT_EMBEDDINGS:
            yield from super().steps(asked)

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        """Nothing but the texts: another dictionary leaves the windows as they are, and the
        background of a corpus that is mined, too.
        """
        return ()

    def content(self, asked: Experiment, step: Step) -> Any:
        model = asked.settings(EmbeddingSettings).model
        weights = source_hash(model) if model else ""
        cut = (asked.sampling.context_length, asked.run.seed)
        mining = asked.collect.mining
        cut += (mining["background"],) if mining else ()
        return text_content(asked), subject_content(asked.subject), step.settings, weights, cut

    def check(self, run: OpenedRun, step: Step) -> None:
        """Embed one word where windows are to be embedded still."""
        if not run.part("collect", 0).is_done or unfinished_parts(self.parts(run, step)):
            open_embedder(run).embed(["."])

    def sizes(self, run: OpenedRun, step: Step) -> Sequence[int]:
        windows = len(windows_to_embed(run))
        return [min(WINDOWS_A_PART, windows - first) for first in range(0, windows, WINDOWS_A_PART)]

    def worker(self, job: Job) -> Callable[[int], None]:
        starts = windows_to_embed(job.run)
        if not (path := job.run.place(STAGE) / STARTS).exists():
            write_array(path, starts)
        return partial(embed_windows, job.run, starts)


def embed_windows(run: OpenedRun, starts: Int64[ndarray, " window"], shard: int) -> None:
    """Embed the windows of one part."""
    own = starts[shard * WINDOWS_A_PART :][:WINDOWS_A_PART]
    width, part = run.experiment.sampling.context_length, run.part(STAGE, shard)
    contexts = cut_contexts(run.corpus, NO_ACTIVATIONS, own, width, np.zeros(len(own), np.int64))
    vectors = open_embedder(run).embed(context_texts(contexts, run.corpus.vocabulary))
    write_array(array := part.marker.with_suffix(".npy"), vectors.astype(np.float16))
    made = [array] if shard else [part.folder / STARTS, array]
    part.write({}, note={"windows": len(own)}, beside=made)


def windows_to_embed(run: OpenedRun) -> Int64[ndarray, " window"]:
    """Where the windows begin that are embedded: those of the held-out split, or `most_windows` of
    them, drawn at random.
    """
    fixed_windows, most = (
        corpus_windows(run.corpus, run.experiment.sampling.context_length),
        run.experiment.settings(EmbeddingSettings).most_windows,
    )
    held_out = fixed_windows.by_split[Split.HELD_OUT]
    held_out = fixed_windows.starts[held_out[held_out < fixed_windows.known]]
    return (
        held_out
        if len(held_out) <= most
        else np.sort(run.generator(STAGE).choice(held_out, most, replace=False))
    )


def open_embedder(run: OpenedRun) -> Embedder:
    asked = run.experiment.settings(EmbeddingSettings)
    if asked.base_url:
        print_key_use(asked.base_url, KEY)
    return load_embedder(asked.model, asked.base_url)
