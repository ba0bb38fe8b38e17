"""Families of features that fire on one word each, found by their neighbours: who names which word
is known.
"""

import json
import re

import numpy as np

from gloss.models.chat_models.prompts import Answer
from gloss.records import Explanation, FeatureActivations, FeatureId, Neighbour
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Random
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

FAMILIES, SIBLINGS, DOCUMENTS, LENGTH = 4, 4, 60, 128
FEATURES = [FeatureId("d", index) for index in range(FAMILIES * SIBLINGS)]


def word(index: int) -> str:
    return f"w{index}x"


def own_words(index: int) -> Explanation:
    return Explanation(FEATURES[index], f"the words `{word(index)}`", "test")


def family_words(index: int, phrase: str = "any of the words") -> Explanation:
    first = index // SIBLINGS * SIBLINGS
    named = " ".join(f"`{word(each)}`" for each in range(first, first + SIBLINGS))
    return Explanation(FEATURES[index], f"{phrase} {named}", "test")


def families(rng: np.random.Generator) -> list[Evidence]:
    """The evidence of every feature; its neighbours are its siblings, then the others."""
    pieces = [f" {word(index)}".encode() for index in range(len(FEATURES))] + [
        b" %d" % index for index in range(120)
    ]
    tokens = rng.integers(0, len(pieces), DOCUMENTS * LENGTH).astype(np.int32)
    offsets, hashes = (
        np.arange(0, len(tokens) + 1, LENGTH),
        np.where(np.arange(DOCUMENTS) % 2, np.uint64(2**63), np.uint64(0)),
    )
    names, vocabulary = tuple(map(str, range(DOCUMENTS))), Vocabulary(tuple(pieces))
    corpus = Corpus(tokens, offsets, np.arange(DOCUMENTS), hashes, names, vocabulary)
    where = [np.flatnonzero(tokens == index) for index in range(len(FEATURES))]
    fires = [FeatureActivations(each, np.ones(len(each), np.float32)) for each in where]
    found = []
    for index, feature in enumerate(FEATURES):
        order = sorted(
            range(len(FEATURES)),
            key=lambda other, mine=index: (other // SIBLINGS != mine // SIBLINGS, other),
        )
        near = tuple(
            Neighbour(FEATURES[other], 0.5, fires[other]) for other in order if other != index
        )
        examples = gather_examples(
            feature, fires[index], corpus, Random(), SamplingSettings(context_length=16), rng
        )
        found.append(Evidence(examples, corpus, fires[index], near))
    return found


def finished(conversation, rng: np.random.Generator, wrong: float = 0.0):
    """What a conversation returns when the judge picks the candidate most of whose marked words the
    explanation names.

    Where several fit as well, one of them is drawn; a share `wrong` of the answers is drawn from
    all.
    """
    try:
        prompts = next(conversation)
        while True:
            prompts = conversation.send(
                [answer(prompt.messages[-1].text, rng, wrong) for prompt in prompts]
            )
    except StopIteration as over:
        return over.value


def answer(text: str, rng: np.random.Generator, wrong: float) -> Answer:
    named = set(re.findall("`(.*?)`", re.search(r"(?m)^Explanation: (.*)$", text)[1]))
    picked = []
    for part in re.split(r"(?m)^Set \d+:$", text)[1:]:
        candidates = [json.loads(one) for one in re.findall(r"(?m)^\d+: (\[.*\])$", part)]
        marked = [
            [w for context in one for run in re.findall("<<(.*?)>>", context) for w in run.split()]
            for one in candidates
        ]
        fit = np.array([np.mean([one in named for one in words]) for words in marked])
        best = np.flatnonzero(fit == fit.max())
        picked.append(int(rng.integers(len(fit)) if rng.random() < wrong else rng.choice(best)) + 1)
    return Answer(json.dumps({"answers": picked}))
