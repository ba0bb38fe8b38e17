"""At which tokens features peak: the entropy of that distribution tells a trained subject from a random one.

After arXiv 2501.17727: scores of explanations are alike there, while features of a trained subject's deeper layers peak at more
different tokens.
"""

import math

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import FeatureActivations
from gloss.run.plan import Plan
from gloss.run.reporting.material import Values
from gloss.store.contexts import Tiles, tiles_of
from gloss.store.corpus import Corpus

TOP = 20  # contexts of each feature
FEWEST = 10  # or else the entropy says little
WIDTH = 32  # tokens of a context, whatever the run's windows are


def entropies(plan: Plan) -> tuple[Values, Values]:
    """Of each feature with contexts enough: the entropy of its peaks' tokens in nats, and as a share of the most it could be."""
    tiles = tiles_of(plan.corpus, WIDTH)
    nats: list[float] = []
    shares: list[float] = []
    for feature in plan.features:
        tokens = peaks(plan.corpus, tiles, plan.activations.feature(feature.index))
        if len(tokens) >= FEWEST:
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
