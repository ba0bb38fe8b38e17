"""What a dictionary finds in a stretch of the corpus, and what is done with it meanwhile."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gloss.collect.code_shards import CodeTriples
from gloss.collect.site_reader import SiteReader
from gloss.errors import Mismatch
from gloss.models.dictionary import Dictionary
from gloss.store.corpus import Stretch


def do_now(work: Callable[[], object]) -> None:
    """Do a piece of work here, before anything else."""
    work()


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

    `progress` hears how many of its tokens have been read, after each forward pass. Raises Mismatch
    where one is not finite.
    """
    features: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    values: list[np.ndarray] = []
    special = np.flatnonzero(np.isin(stretch.tokens, list(forward.left_out)))
    massive: list[np.ndarray] = []
    done = 0
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
