"""What the subject has at a dictionary's sites in labelled texts, and its features' codes there,
pooled over the tokens of each text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.errors import BadInput, BadSettings
from gloss.evaluate.dictionary_check import text_positions
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import PADDING

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROWS = 16  # texts in one forward pass
TOKENS_AT_ONCE = 4096  # that are encoded together, roughly
LEAST = 10  # texts of a label on either side of the split
MEAN, MAX = "mean", "max"
TEST_SHARE = 5  # one of so many texts is a test's, where there are few


@dataclass(frozen=True)
class LabelledItems:
    """Some of a list of texts, and which of them have a label."""

    places: Int64[ndarray, " item"]
    positive: Bool[ndarray, " item"]


@dataclass(frozen=True)
class LabelledSplit:
    """Texts of a labelled set in no order, as many of each label, some to learn from and the others
    to test on.
    """

    names: tuple[str, ...]  # the labels
    texts: tuple[str, ...]
    labels: Int64[ndarray, " text"]  # into `names`
    train: Bool[ndarray, " text"]

    def one_against_all(
        self, label: int, *, train: bool, rng: np.random.Generator
    ) -> LabelledItems:
        """One side's texts that have a label, and as many that have another, of the others in equal
        parts as far as they reach.
        """
        side = self.train if train else ~self.train
        having = np.flatnonzero(side & (self.labels == label))
        others = [
            np.flatnonzero(side & (self.labels == other))
            for other in range(len(self.names))
            if other != label
        ]
        each = -(-len(having) // len(others))
        drawn = np.concatenate([rng.permutation(places)[:each] for places in others])
        places = np.concatenate([having, rng.permutation(drawn)[: len(having)]])
        order = rng.permutation(len(places))
        return LabelledItems(places[order], (np.arange(len(places)) < len(having))[order])


def split_labelled(
    given: LabelledTexts, sizes: tuple[int, int], most_labels: int, rng: np.random.Generator
) -> LabelledSplit:
    """The `most_labels` most frequent labels, each with half of `sizes` to learn from and to test
    on; a fifth of a label that has fewer is tested on. A text with two labels counts as its first.

    Raises BadInput where fewer than two labels have LEAST texts for the test.
    """
    first: dict[str, str] = {}
    for text, label in zip(given.texts, given.labels, strict=True):
        first.setdefault(text, label)
    places: dict[str, list[str]] = {}
    for text, label in first.items():
        places.setdefault(label, []).append(text)
    enough = {label: have for label, have in places.items() if len(have) >= LEAST * TEST_SHARE}
    names = sorted(enough, key=lambda label: (-len(enough[label]), label))[:most_labels]
    if len(names) < 2:
        raise BadInput(
            f"{len(names)} of its {len(places):,} labels have {LEAST * TEST_SHARE} texts or more;"
            " give texts of two labels at least"
        )
    number = min(sum(sizes) // 2, *(len(enough[name]) for name in names))
    tested = sizes[1] // 2
    if number < sum(sizes) // 2:
        tested = min(tested, max(LEAST, number // TEST_SHARE))
    texts: list[str] = []
    labels: list[int] = []
    train: list[bool] = []
    for place, name in enumerate(sorted(names)):
        chosen = rng.permutation(len(enough[name]))[:number]
        texts += [enough[name][i] for i in chosen]
        labels += [place] * number
        train += [i >= tested for i in range(number)]
    order = rng.permutation(len(texts))
    return LabelledSplit(
        tuple(sorted(names)),
        tuple(texts[i] for i in order),
        np.array(labels)[order],
        np.array(train)[order],
    )


@dataclass(frozen=True)
class PooledTexts:
    """What a dictionary reads and writes in each text."""

    inputs: Float32[ndarray, "text d_in"]  # the mean at the site that it reads
    vectors: Float32[ndarray, "text d_out"]  # and at the one that it writes
    codes: "csr_array"  # text x feature, pooled
    # the mean of codes times the scale with which they are written, so that written @ directions
    # is what features add to `vectors`
    written: "csr_array"

    def dense(self, features: Int64[ndarray, " k"]) -> Float64[ndarray, "text k"]:
        """The pooled codes of some features."""
        return np.asarray(self.codes[:, features].todense(), dtype=np.float64)

    def without(
        self, features: Int64[ndarray, " some"], directions: Float32[ndarray, "feature d_out"]
    ) -> Float64[ndarray, "text d_out"]:
        """The mean vectors with what these features add taken away."""
        return self.vectors - self.written[:, features] @ directions[features]


def mean_difference(codes: "csr_array", items: LabelledItems) -> Float64[ndarray, " feature"]:
    """The mean pooled code of positive items less that of the others."""
    return np.asarray(
        codes[items.places[items.positive]].mean(0) - codes[items.places[~items.positive]].mean(0)
    ).ravel()


def require_pool(pool: str) -> None:
    """Raise BadSettings for a way of pooling that there is not."""
    if pool not in (MEAN, MAX):
        raise BadSettings(f'pool is {pool!r}; give "{MEAN}" or "{MAX}"')


def pool_texts(
    dictionary: Dictionary, material: Material, texts: Sequence[str], most: int, pool: str = MEAN
) -> PooledTexts:
    """Each text's first `most` tokens, without the start token and those that are left out.

    Raises BadInput for a text that has no other.
    """
    from scipy.sparse import csr_array  # slow to import, and few commands ask

    at = {
        site: _site_vectors(material, texts, most, site)
        for site in dict.fromkeys((dictionary.reads, dictionary.writes))
    }
    (inputs, offsets), (outputs, _) = at[dictionary.reads], at[dictionary.writes]
    lengths = np.diff(offsets)
    read, written = (
        (np.add.reduceat(each, offsets[:-1], axis=0) / lengths[:, None]).astype(np.float32)
        for each in (inputs, outputs)
    )
    parts = [
        _pool_rows(dictionary, inputs[offsets[a] : offsets[b]], lengths[a:b], pool)
        for a, b in _together(offsets)
    ]
    starts = [a for a, _ in _together(offsets)]
    shape = (len(texts), dictionary.width)

    def joined(side: int) -> csr_array:
        rows = np.concatenate([p[0] + a for p, a in zip(parts, starts, strict=True)])
        columns, values = (np.concatenate([p[i] for p in parts]) for i in (1, 2 + side))
        return csr_array((values, (rows, columns)), shape=shape)

    return PooledTexts(read, written, joined(0), joined(1))


def _together(offsets: Int64[ndarray, " text_1"]) -> Iterator[tuple[int, int]]:
    """The texts that are encoded together, first and past the last."""
    first = 0
    for text in range(1, len(offsets)):
        if text == len(offsets) - 1 or offsets[text + 1] - offsets[first] > TOKENS_AT_ONCE:
            yield first, text
            first = text


@torch.no_grad()
def _pool_rows(
    dictionary: Dictionary, inputs: ndarray, lengths: Int64[ndarray, " text"], pool: str
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """The text, feature, pooled code and mean written code of each feature that is active in each
    of some texts.
    """
    x = torch.from_numpy(np.array(inputs)).to(dictionary.decoder_directions.device)
    codes = dictionary.encode(x)
    used = codes.used.cpu()
    values = codes.values.double().cpu()
    scale = dictionary.output_scale(x).double().cpu() if isinstance(dictionary, Scaled) else 1.0
    texts = np.repeat(np.arange(len(lengths)), lengths)[used.nonzero()[:, 0].numpy()]
    keys = texts * dictionary.width + codes.indices.cpu()[used].numpy()
    order = np.argsort(keys, kind="stable")
    found, begins = np.unique(keys[order], return_index=True)
    row, feature = np.divmod(found, dictionary.width)
    if len(found) == 0:
        return row, feature, np.zeros(0), np.zeros(0)
    single, written = (each[used].numpy()[order] for each in (values, values * scale))
    mean = np.add.reduceat(written, begins) / lengths[row]
    pooled = (
        np.add.reduceat(single, begins) / lengths[row]
        if pool == MEAN
        else np.maximum.reduceat(single, begins)
    )
    return row, feature, pooled, mean


def _site_vectors(
    material: Material, texts: Sequence[str], most: int, site: Site
) -> tuple[Float32[ndarray, "token d"], Int64[ndarray, " text_1"]]:
    """The vectors at a site of every token that counts, text by text, and where each text begins;
    kept in the material's scratch folder, and read from there.
    """
    rows = _tokenized(material, texts, most)
    masks = [_counted(material, row)[0] for row in rows]
    offsets = np.concatenate([[0], np.cumsum([int(mask.sum()) for mask in masks])])
    if (empty := np.flatnonzero(np.diff(offsets) == 0)).size:
        raise BadInput(
            f"the text {texts[empty[0]]!r:.60} has no token that counts in this model; take it out"
        )
    content = (str(site), [row.tolist() for row in rows])
    vectors = material.kept(
        content, lambda: _read_vectors(material.subject, rows, masks, offsets, site)
    )
    return vectors, offsets


def _tokenized(material: Material, texts: Sequence[str], most: int) -> list[torch.Tensor]:
    """Each text's first tokens, behind the start token."""
    subject = material.subject
    front = [] if subject.start_token is None else [subject.start_token]
    length = min(most, subject.context or most)
    return [torch.tensor([*front, *subject.encode(text)][:length]) for text in texts]


def _counted(material: Material, row: torch.Tensor) -> Bool[torch.Tensor, "1 position"]:
    return text_positions(row[None], material.subject.start_token, material.left_out)


def _read_vectors(
    subject: Subject,
    rows: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    offsets: Int64[ndarray, " text_1"],
    site: Site,
) -> Float32[ndarray, "token d"]:
    """Run the subject over all texts, those of like lengths together."""
    found = np.empty((int(offsets[-1]), subject.width_at(site)), dtype=np.float32)
    by_length = sorted(range(len(rows)), key=lambda text: len(rows[text]))
    for first in range(0, len(rows), ROWS):
        chosen = by_length[first : first + ROWS]
        longest = max(len(rows[text]) for text in chosen)
        batch = torch.full((len(chosen), longest), PADDING)
        for place, text in enumerate(chosen):
            batch[place, : len(rows[text])] = rows[text]
        vectors = subject.run(batch, read=(site,)).activations[site].float().cpu()
        for place, text in enumerate(chosen):
            kept = vectors[place, : len(rows[text])][masks[text]]
            found[offsets[text] : offsets[text + 1]] = kept.numpy()
    return found
