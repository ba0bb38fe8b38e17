"""Stage `embeddings`: one index of what the windows of the held-out split say, for negatives that are similar."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.models.embedder import KEY, Embedder, embedder
from gloss.records import Split
from gloss.run.capabilities import tell_key
from gloss.run.plan import Plan
from gloss.store.atomic import write_array
from gloss.store.contexts import cut, tiles_of
from gloss.store.embeddings import STARTS
from gloss.store.evidence import NOWHERE
from gloss.store.progress import Progress
from gloss.store.results import Part
from gloss.store.whole import texts_of

STAGE = "embeddings"
WINDOWS_A_PART = 1024


def require_embedder(plan: Plan) -> None:
    """Embed one word where windows are to be embedded still, so that what cannot embed is refused before anything is spent."""
    if STAGE in plan.keys and not (plan.part("collect", 0).is_done and all(part.is_done for part in parts(plan))):
        chosen(plan).embed(["."])


def embed(plan: Plan, progress: Progress) -> None:
    """Embed the windows of every part that has no marker."""
    starts, width, done = windows(plan), plan.experiment.sampling.context_length, 0
    if not (place := plan.place(STAGE) / STARTS).exists():
        write_array(place, starts)
    for part in parts(plan):
        own = starts[part.shard * WINDOWS_A_PART :][:WINDOWS_A_PART]
        if not part.is_done:
            contexts = cut(plan.corpus, NOWHERE, own, width, np.zeros(len(own), np.int64))
            vectors = chosen(plan).embed(texts_of(contexts, plan.corpus.vocabulary))
            write_array(array := part.marker.with_suffix(".npy"), vectors.astype(np.float16))
            part.write({}, note={"windows": len(own)}, beside=[array] if part.shard else [place, array])
        done += len(own)
        progress(done, len(starts))


def parts(plan: Plan) -> list[Part]:
    """The parts of the index. Wants a finished `collect`."""
    return [plan.part(STAGE, number) for number in range(-(-len(windows(plan)) // WINDOWS_A_PART))]


def windows(plan: Plan) -> Int64[ndarray, " window"]:
    """Where the windows begin that are embedded: those of the held-out split, or `most_windows` of them, drawn at random."""
    tiles, most = tiles_of(plan.corpus, plan.experiment.sampling.context_length), plan.experiment.embeddings.most_windows
    held_out = tiles.starts[tiles.by_split[Split.HELD_OUT]]
    return held_out if len(held_out) <= most else np.sort(plan.generator(STAGE).choice(held_out, most, replace=False))


def chosen(plan: Plan) -> Embedder:
    asked = plan.experiment.embeddings
    if asked.base_url:
        tell_key(asked.base_url, KEY)
    return embedder(asked.model, asked.base_url)
