"""Planted conjunctions that the train text cannot tell apart: what stands together there stands
alone elsewhere.
"""

import numpy as np

from gloss.models.planted.conditions import Among, NearbyTest, PlantedText, RuleCase
from gloss.models.planted.families import FILLER, PlantedPhrase, WordSupply
from gloss.models.planted.plant import Planted, describe_siblings
from gloss.models.planted.text import write_planted_text
from gloss.models.planted.words import fresh_words
from gloss.store.corpus import Corpus

ROOM = 0.5  # of the text, that the phrases fill
TOP_BIT = np.uint64(1 << 63)  # of a document's hash: set, it is held out


def plant_apart(rng: np.random.Generator, tokens: int = 200_000, families: int = 10) -> Planted:
    """Families of four features over a word, each with so much text in either split.

    One fires at the word after a second, one where a third stands two back, one where both do, and
    one at the word wherever it is. In the train split the word follows both, always; elsewhere the
    four kinds of context are equally frequent.
    """
    words, rate = WordSupply(fresh_words()), ROOM / (7 * families)
    together: list[PlantedPhrase] = []
    apart: list[PlantedPhrase] = []
    siblings: list[tuple[str, str, tuple[RuleCase, ...]]] = []
    for family in range(families):
        word, second, third = ((each,) for each in words.take(3))
        alone = [PlantedPhrase((each, FILLER), rate) for each in (second, third)]
        together += [PlantedPhrase((third, second, word), rate), *alone]
        apart += alone
        apart += [
            PlantedPhrase((back, before, word), rate / 4)
            for back in (third, FILLER)
            for before in (second, FILLER)
        ]
        near = NearbyTest(-1, 1, 1, Among(second)), NearbyTest(-1, 2, 2, Among(third))
        kinds = {"after second": near[:1], "after third": near[1:], "after both": near, "word": ()}
        siblings += [
            (f"apart {family}", kind, (RuleCase(Among(word), conditions),))
            for kind, conditions in kinds.items()
        ]
    corpus = joined(*(write_planted_text(phrases, tokens, rng) for phrases in (together, apart)))
    return describe_siblings(PlantedText(corpus), siblings, rng)


def joined(train: Corpus, held_out: Corpus) -> Corpus:
    """Both as one corpus, the first as its train split, the second as what is held out."""
    assert train.vocabulary == held_out.vocabulary
    return Corpus(
        np.concatenate([train.tokens, held_out.tokens]),
        np.append(train.offsets[:-1], held_out.offsets + len(train)),
        np.append(train.documents, held_out.documents + len(train.hashes)),
        np.append(train.hashes & ~TOP_BIT, held_out.hashes | TOP_BIT),
        train.names + held_out.names,
        train.vocabulary,
    )
