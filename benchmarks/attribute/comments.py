"""The game of a comment's words: a classifier of sentiment, trained here on GoEmotions, says how
positive what is left of it is.

Words and neighbouring pairs of words are embedded, averaged, and read by a hidden layer (after
Joulin et al., 2017, "Bag of Tricks for Efficient Text Classification", which has no hidden layer).
Pairs, the average and the layer make words act together.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray
from torch import Tensor, nn

from gloss.attribute.game import FunctionGame

# admiration, amusement, approval, …, as labels.txt numbers them
POSITIVE = {0, 1, 4, 5, 8, 13, 15, 17, 18, 20, 21, 23}
NEGATIVE = {2, 3, 9, 10, 11, 12, 14, 16, 19, 24, 25}
BUCKETS = 1 << 15
WIDTH = 32
BATCH = 128


class Classifier(nn.Module):
    """Log-odds that a text is positive."""

    def __init__(self, weights: torch.Generator) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.hidden, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)
        for each in self.parameters():
            nn.init.normal_(each, std=WIDTH**-0.5, generator=weights)

    def forward(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """One number a text, given as the buckets of its words and pairs; a text may be empty."""
        starts = np.cumsum([0, *map(len, texts)])[:-1]
        flat = torch.tensor([bucket for text in texts for bucket in text], dtype=torch.int64)
        return self.out(torch.relu(self.hidden(self.bag(flat, torch.from_numpy(starts)))))[:, 0]


def comments(folder: Path, split: str) -> list[tuple[list[str], bool]]:
    """Words of each comment whose labels are all positive or all negative, and which it is."""
    found: list[tuple[list[str], bool]] = []
    for line in (folder / f"{split}.tsv").read_text().splitlines():
        text, numbers, _ = line.split("\t")
        labels = {int(number) for number in numbers.split(",")}
        if labels <= POSITIVE or labels <= NEGATIVE:
            found.append((re.findall(r"\[?[\w']+\]?|[!?]+", text.lower()), labels <= POSITIVE))
    return found


def buckets(words: Sequence[str]) -> list[int]:
    """Of the words and of neighbouring pairs."""
    pairs = (f"{one} {other}" for one, other in pairwise(words))
    return [crc32(part.encode()) % BUCKETS for part in (*words, *pairs)]


def trained(
    texts: list[tuple[list[str], bool]], rng: np.random.Generator, epochs: int = 3
) -> Classifier:
    """Adam on the log-loss, in batches."""
    model = Classifier(torch.Generator().manual_seed(int(rng.integers(1 << 31))))
    descent = torch.optim.Adam(model.parameters(), lr=0.003)
    rows, labels = (
        [buckets(words) for words, _ in texts],
        torch.tensor([float(positive) for _, positive in texts]),
    )
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(rows)), max(1, len(rows) // BATCH)):
            loss = nn.functional.binary_cross_entropy_with_logits(
                model([rows[row] for row in batch]), labels[batch]
            )
            descent.zero_grad()
            loss.backward()
            descent.step()
    return model


def right(model: Classifier, texts: list[tuple[list[str], bool]]) -> list[bool]:
    """Whether each text is classified as it is labelled."""
    with torch.no_grad():
        odds = model([buckets(words) for words, _ in texts])
    return [
        (value > 0) == positive for value, (_, positive) in zip(odds.tolist(), texts, strict=True)
    ]


def game(model: Classifier, words: Sequence[str]) -> FunctionGame:
    """Log-odds of what is left, the rest put together."""

    def value(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        left = [
            buckets([word for word, kept in zip(words, mask, strict=True) if kept])
            for mask in masks.tolist()
        ]
        with torch.no_grad():
            return model(left).double().numpy()

    return FunctionGame(tuple(words), value)
