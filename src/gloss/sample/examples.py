"""Gather what shows one feature: contexts of both splits in which it fires, and contexts in which it is silent."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt64
from numpy import ndarray

from gloss.records import Contexts, Examples, Failure, FeatureActivations, FeatureId, Reason, Split
from gloss.sample import Sampler
from gloss.sample.negatives import NOTHING_NEAR, Ground, Near
from gloss.sample.neighbours import NEGATIVES
from gloss.sample.windows import PLACEMENTS, Windows
from gloss.store.contexts import cut, first_of_each
from gloss.store.corpus import Corpus
from gloss.store.examples import favourites_of, share_near, strongest_shown


@dataclass(frozen=True)
class Sampling:
    """How many contexts of each kind a feature gets, how long they are, where they stand and what the silent ones hold."""

    context_length: int = 32  # tokens
    shown: int = 200  # a language model is shown fewer of them; rules are found from all
    held_out: int = 50
    silent_shown: int = 2000  # half of them hold a favourite token: an explainer learns most from near misses
    silent_held_out: int = 50
    minimum: int = 10  # windows in which the feature must fire, in each split
    placement: str = "aligned"  # or centred
    negatives: str = "random"  # of the held-out split; or same_token, mix, neighbours, siblings, hard, similar

    def __post_init__(self) -> None:
        for name in ("context_length", "shown", "held_out", "minimum"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("silent_shown", "silent_held_out"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name, known in (("placement", PLACEMENTS), ("negatives", NEGATIVES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


def gather(
    feature: FeatureId,
    activations: FeatureActivations,
    corpus: Corpus,
    sampler: Sampler,
    sampling: Sampling,
    rng: np.random.Generator,
    near: Near = NOTHING_NEAR,
) -> Examples | Failure:
    """The feature's examples, or the failure that it fires in too few windows of a split.

    Windows are split by document, near copies together, before any is drawn; no two of a feature's hold the same tokens.
    Where fewer are found than asked for, all are taken.
    The negatives `neighbours`, `siblings` and `hard` want the feature's neighbours, `similar` wants embeddings.
    """
    ground = Ground(corpus, activations, PLACEMENTS[sampling.placement], sampling.context_length, near)
    windows, prints = without_copies(ground, ground.placement.firing(activations, corpus, ground.width))
    in_shown = corpus.shown[windows.starts]
    fires = {Split.SHOWN: np.flatnonzero(in_shown), Split.HELD_OUT: np.flatnonzero(~in_shown)}
    if min(map(len, fires.values())) < sampling.minimum:
        return too_few(feature, len(fires[Split.SHOWN]), len(fires[Split.HELD_OUT]), sampling.minimum)

    def firing(split: Split, number: int) -> Contexts:
        return chosen(ground, windows, fires[split], sampler, number, rng)

    firing_tiles = ground.tiles.firing(activations)
    favourites = favourites_of(corpus, activations)
    shown, held_out = firing(Split.SHOWN, sampling.shown), firing(Split.HELD_OUT, sampling.held_out)
    ground = replace(ground, taken=prints)
    silent_shown = silent(ground, "mix", Split.SHOWN, sampling.silent_shown, rng)
    ground = replace(ground, taken=np.append(prints, ground.prints(silent_shown.starts)))
    return Examples(
        feature,
        shown=shown,
        held_out=held_out,
        silent_shown=silent_shown,
        silent_held_out=silent(ground, sampling.negatives, Split.HELD_OUT, sampling.silent_held_out, rng),
        strongest=strongest_shown(corpus, activations),
        share_shown=ground.tiles.share(firing_tiles, Split.SHOWN),
        share_held_out=ground.tiles.share(firing_tiles, Split.HELD_OUT),
        favourites=favourites,
        share_near=share_near(corpus, activations, ground.width, favourites),
    )


def without_copies(ground: Ground, windows: Windows) -> tuple[Windows, UInt64[ndarray, " window"]]:
    """The windows without those that hold the tokens of another, and their prints.

    Of equal windows a shown one stays, and of these the strongest.
    """
    prints = ground.prints(windows.starts)
    order = np.lexsort((-windows.maxima, ~ground.corpus.shown[windows.starts]))
    kept = np.sort(order[first_of_each(prints[order])])
    return Windows(windows.starts[kept], windows.maxima[kept]), prints[kept]


def chosen(
    ground: Ground, windows: Windows, rows: np.ndarray, sampler: Sampler, number: int, rng: np.random.Generator
) -> Contexts:
    """The contexts that the sampler chooses among these rows of the windows."""
    choice = sampler.choose(windows.maxima[rows], number, rng)
    return cut(ground.corpus, ground.activations, windows.starts[rows[choice.rows]], ground.width, choice.quantiles)


def silent(ground: Ground, negatives: str, split: Split, number: int, rng: np.random.Generator) -> Contexts:
    """Contexts of the split in which the feature is silent."""
    found = NEGATIVES[negatives].choose(ground, split, number, rng)
    return cut(ground.corpus, ground.activations, found.starts, ground.width, found.labels)


def too_few(feature: FeatureId, shown: int, held_out: int, minimum: int) -> Failure:
    """The failure of a feature that fires in too few windows, with the numbers."""
    detail = f"fires in {shown} shown and {held_out} held-out windows that differ, wanted at least {minimum} of each"
    return Failure(feature, "sample", Reason.TOO_FEW_EXAMPLES, detail)
