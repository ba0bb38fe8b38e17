"""Stage `embeddings`: one index of what the windows of the held-out split say, for negatives that
are similar.
"""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.models.embedder import KEY, Embedder, load_embedder
from gloss.records import Split
from gloss.run.chat_capabilities import print_key_use
from gloss.run.plan import Plan
from gloss.store.atomic import write_array
from gloss.store.context_text import context_texts
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.embeddings import STARTS
from gloss.store.evidence import NO_ACTIVATIONS
from gloss.store.progress import Progress
from gloss.store.results import Part

STAGE = "embeddings"
WINDOWS_A_PART = 1024


def require_embedder(plan: Plan) -> None:
    """Embed one word where windows are to be embedded still, so that what cannot embed is refused
    before anything is spent.
    """
    if STAGE in plan.keys and not (
        plan.part("collect", 0).is_done and all(part.is_done for part in embedding_parts(plan))
    ):
        open_embedder(plan).embed(["."])


def embed_windows_by_part(plan: Plan, progress: Progress) -> None:
    """Embed the windows of every part that has no marker."""
    starts, width, done = windows_to_embed(plan), plan.experiment.sampling.context_length, 0
    if not (starts_file := plan.place(STAGE) / STARTS).exists():
        write_array(starts_file, starts)
    for part in embedding_parts(plan):
        own = starts[part.shard * WINDOWS_A_PART :][:WINDOWS_A_PART]
        if not part.is_done:
            contexts = cut_contexts(
                plan.corpus, NO_ACTIVATIONS, own, width, np.zeros(len(own), np.int64)
            )
            vectors = open_embedder(plan).embed(context_texts(contexts, plan.corpus.vocabulary))
            write_array(array := part.marker.with_suffix(".npy"), vectors.astype(np.float16))
            part.write(
                {},
                note={"windows": len(own)},
                beside=[array] if part.shard else [starts_file, array],
            )
        done += len(own)
        progress(done, len(starts))


def embedding_parts(plan: Plan) -> list[Part]:
    """The parts of the index. Wants a finished `collect`."""
    return [
        plan.part(STAGE, number)
        for number in range(-(-len(windows_to_embed(plan)) // WINDOWS_A_PART))
    ]


def windows_to_embed(plan: Plan) -> Int64[ndarray, " window"]:
    """Where the windows begin that are embedded: those of the held-out split, or `most_windows` of
    them, drawn at random.
    """
    fixed_windows, most = (
        corpus_windows(plan.corpus, plan.experiment.sampling.context_length),
        plan.experiment.embeddings.most_windows,
    )
    held_out = fixed_windows.starts[fixed_windows.by_split[Split.HELD_OUT]]
    return (
        held_out
        if len(held_out) <= most
        else np.sort(plan.generator(STAGE).choice(held_out, most, replace=False))
    )


def open_embedder(plan: Plan) -> Embedder:
    asked = plan.experiment.embeddings
    if asked.base_url:
        print_key_use(asked.base_url, KEY)
    return load_embedder(asked.model, asked.base_url)
