"""How often a feature fires by chance: the share of all windows of a length in which it does."""

import numpy as np

from gloss.records import FeatureActivations, Split
from gloss.store.corpus import Corpus


def share_of_windows(corpus: Corpus, activations: FeatureActivations, split: Split, length: int) -> float:
    """Of all windows of so many tokens inside a sequence of the split, the share in which the feature fires; 0 where none fits.

    Exact: a silent stretch of g tokens holds g - length + 1 silent windows.
    """
    fired = activations.positions
    inside = corpus.document_splits[corpus.documents] == (split is Split.SHOWN)
    firsts, ends = corpus.offsets[:-1], corpus.offsets[1:]
    windows = int(np.maximum(ends - firsts - length + 1, 0)[inside].sum())
    if windows == 0:
        return 0.0
    borders = np.concatenate([firsts - 1, ends, fired])
    sequences = np.concatenate([np.arange(len(firsts)), np.arange(len(firsts)), corpus.sequences_of(fired)])
    order = np.lexsort((borders, sequences))
    borders, sequences = borders[order], sequences[order]
    within = (np.diff(sequences) == 0) & inside[sequences[1:]]
    silent = np.maximum(np.diff(borders) - length, 0)[within].sum()
    return float(1 - silent / windows)
