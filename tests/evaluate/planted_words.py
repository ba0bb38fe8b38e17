"""A subject whose residual stream holds the embedding of each token and nothing else, so that what
words write there is planted; and dictionaries that know these words.
"""

from collections.abc import Sequence

import numpy as np
import torch

from collect.tiny import SITE, tiny_subject
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.sparse_codes import AboveThreshold
from gloss.models.subject import Subject

D = 16
PLANTED = ("cat", "dog", "sun", "red", "blue")  # each writes along an axis of its own
OTHERS = ("the", "sat", "ran", "on", "under", "and", "then", "big")


def planted_subject() -> Subject:
    """Every layer writes nothing; embeddings are noise, and for planted words their axis."""
    subject = tiny_subject()
    rows = subject.model.get_input_embeddings().get_parameter("weight")
    with torch.no_grad():
        rows.mul_(0.1 / rows.std())
        for layer in subject.anatomy.layers:
            for name, parameter in layer.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    parameter.zero_()
        for axis, word in enumerate(PLANTED):
            [token] = subject.encode(f" {word}")
            rows[token] = 0.0
            rows[token, axis] = 4.0
    return subject


def word_features(groups: Sequence[Sequence[str]]) -> SparseCoder:
    """A feature for each group of words: it fires at each of them and writes what they share."""
    directions = torch.zeros(len(groups), D)
    for feature, words in enumerate(groups):
        for word in words:
            directions[feature, PLANTED.index(word)] = 1.0
    weights = Weights(
        directions, torch.zeros(len(groups)), directions / len(groups[0]), torch.zeros(D)
    )
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((len(groups),), 2.0)))


def texts_with(words: Sequence[Sequence[str]], number: int, seed: int = 0) -> list[list[str]]:
    """So many different texts for each group of words, which hold all of them among others."""
    rng = np.random.default_rng(seed)
    found: list[list[str]] = []
    for group in words:
        texts = dict[str, None]()
        while len(texts) < number:
            drawn = [*rng.choice(OTHERS, 6), *group]
            texts[" ".join(["the", *rng.permutation(drawn)])] = None
        found.append(list(texts))
    return found


def labelled(words: Sequence[Sequence[str]], labels: Sequence[str], number: int) -> LabelledTexts:
    """Texts of each group of words, with the group's label."""
    groups = texts_with(words, number)
    return LabelledTexts(
        tuple(text for group in groups for text in group),
        tuple(label for label, group in zip(labels, groups, strict=True) for _ in group),
    )
