"""At which tokens features peak: the entropy of that distribution tells a trained subject from a random one.

After arXiv 2501.17727: scores of explanations are alike there, while features of a trained subject's deeper layers peak at more
different tokens.
"""

import math
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Failure, FeatureActivations, FeatureId
from gloss.run.reporting.material import Material, Values
from gloss.store.contexts import Tiles, tiles_of
from gloss.store.corpus import Corpus

TOP = 20  # contexts of each feature
FEWEST = 10  # or else the entropy says little
WIDTH = 32  # tokens of a context, whatever the run's windows are


def entropies(found: Material) -> tuple[Values, Values]:
    """Of each feature with contexts enough: the entropy of its peaks' tokens in nats, and as a share of the most it could be."""
    plan, tiles = found.plan, tiles_of(found.plan.corpus, WIDTH)

    def of(feature: FeatureId) -> Int64[ndarray, " context"]:
        return peaks(plan.corpus, tiles, plan.activations.feature(feature.index))

    nats: list[float] = []
    shares: list[float] = []
    for feature in plan.features:
        tokens = found.watch.treated(feature, partial(of, feature))
        if not isinstance(tokens, Failure) and len(tokens) >= FEWEST:
            nats.append(entropy(tokens))
            shares.append(nats[-1] / math.log(len(tokens)))
    return np.array(nats), np.array(shares)


def peaks(corpus: Corpus, tiles: Tiles, activations: FeatureActivations) -> Int64[ndarray, " context"]:
    """The token at the peak of each of the TOP contexts with the highest peaks."""
    held = tiles.holding(activations.positions)
    order = np.lexsort((-activations.values, held))  # by context, its strongest first
    first = order[np.diff(held[order], prepend=-1) > 0]
    strongest = first[np.argsort(-activations.values[first], kind="stable")[:TOP]]
    return corpus.tokens[activations.positions[strongest]].astype(np.int64)


def entropy(tokens: Int64[ndarray, " context"]) -> float:
    """In nats: 0 where all are the same token, the logarithm of their number where all differ."""
    _, counts = np.unique(tokens, return_counts=True)
    shares = counts / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum()))
